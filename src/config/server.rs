//! The process as a whole: `[server]`, `[data]`, `[limits]` and `[log]`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use super::{Advertise, value};

/// `[server]`
#[derive(Clone, Debug, PartialEq, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Server {
    /// Where the server keeps what it makes: certificate, users, files, staging, compiled plugins.
    /// Relative to the configuration file.
    #[schemars(extend("x-restart" = true))]
    #[serde(with = "value::FilePath")]
    #[default = "var"]
    pub state: PathBuf,
    /// Where explicit FTPS is served (RFC 4217). Port 0 takes a free one. Unset where there is a
    /// `[[listener]]`: nowhere else.
    #[schemars(with = "Vec<value::Socket>")]
    #[default(vec![SocketAddr::from(([127, 0, 0, 1], 2121))])]
    pub listen: Vec<SocketAddr>,
    /// Where implicit FTPS is served: TLS from the first byte. Unset where there is a `[[listener]]`: nowhere
    /// else.
    #[schemars(with = "Vec<value::Socket>")]
    #[default(vec![SocketAddr::from(([127, 0, 0, 1], 2990))])]
    pub listen_implicit: Vec<SocketAddr>,
    /// The text of reply 220: one line, 500 bytes at most.
    #[default = "Portcullis FTPS server ready"]
    pub greeting: String,
    /// Names that HOST takes besides those of the certificates (RFC 7151).
    #[schemars(with = "Vec<value::DnsName>")]
    pub hosts: Vec<String>,
    /// Networks whose connections begin with a PROXY protocol header, v1 or v2.
    #[schemars(with = "Vec<value::Network>")]
    pub proxy_networks: Vec<IpNet>,
    /// The end of sessions whose account has changed.
    #[default(AccountChange::End)]
    pub account_change: AccountChange,
    /// How long transfers may go on after SIGTERM.
    #[serde(with = "value::Time")]
    #[default(Duration::from_secs(30))]
    pub drain_timeout: Duration,
    /// Threads that serve clients. 0: one for each core.
    #[schemars(range(max = 1024), extend("x-restart" = true))]
    pub threads: usize,
    /// The user that serves, by name or uid: a server that root starts becomes this user before it
    /// opens anything, and keeps but the right to bind its listeners until it has.
    #[schemars(extend("x-restart" = true))]
    pub user: Option<String>,
    /// The group that serves, by name or gid; unset, the user's own.
    #[schemars(extend("x-restart" = true))]
    pub group: Option<String>,
    /// Whether root may serve addresses other than loopback ones.
    #[schemars(extend("x-restart" = true))]
    pub allow_root: bool,
    /// The answer to system calls that serving does not take (seccomp(2)).
    #[schemars(extend("x-restart" = true))]
    #[default(Seccomp::Enforce)]
    pub seccomp: Seccomp,
    /// Whether files and ports that the configuration does not name are out of reach (landlock(7)).
    #[schemars(extend("x-restart" = true))]
    #[default(Landlock::Enforce)]
    pub landlock: Landlock,
}

/// The answer to system calls that serving does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Seccomp {
    /// The process ends at those that only an intruder makes; the others fail, and the log says so.
    Enforce,
    /// They are done, and the kernel's audit log says so.
    Log,
    /// They are done.
    Off,
}

/// Whether files and ports that the configuration does not name are out of reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Landlock {
    /// As far as the kernel can.
    Enforce,
    /// Not at all.
    Off,
}

/// The end of a session whose account has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AccountChange {
    /// At once.
    End,
    /// Instead of its next command.
    AtNextCommand,
    /// When the client wants.
    Keep,
}

impl Server {
    /// The directory of logs that are not told to be elsewhere, in the state directory.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.state.join("log")
    }

    /// The directory of compiled plugins, in the state directory.
    #[must_use]
    pub fn compiled(&self) -> PathBuf {
        self.state.join("cache")
    }
}

/// `[data]`
#[derive(Clone, Debug, PartialEq, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Data {
    /// Ports for PASV and EPSV, both ends included; 0-0 lets the system choose. One port alone serves all
    /// sessions at once.
    #[serde(with = "value::Ports")]
    #[default((10_000, 30_000))]
    pub passive_ports: (u16, u16),
    /// The address that PASV tells: IPv4, or a DNS name that is looked up anew every minute; or an array of
    /// such, each with `clients` that it is for, of which the first that fits counts. Unset, or where none
    /// fits, the one that the client connected to.
    pub advertise: Option<Advertise>,
    /// Networks whose data connections begin with a PROXY protocol header, v1 or v2, which has to name the
    /// session's client.
    #[schemars(with = "Vec<value::Network>")]
    pub proxy_networks: Vec<IpNet>,
    /// Whether PORT and EPRT work, to the client's own address, ports from 1024.
    pub active: bool,
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Control connections in all. 0: no limit.
    #[default(10_000)]
    pub sessions: usize,
    /// Control connections from one address. 0: no limit.
    #[default(1000)]
    pub sessions_per_address: usize,
    /// Sessions of one user, unless the account says otherwise. 0: no limit.
    pub sessions_per_user: usize,
    /// Failed logins on one connection; then 421.
    #[schemars(range(min = 1))]
    #[default(3)]
    pub login_attempts: u32,
    /// How long the answer to a failed login is held back; doubled with each one.
    #[serde(with = "value::Time")]
    #[default(Duration::from_secs(1))]
    pub login_delay: Duration,
    /// Time from the connection to the login.
    #[schemars(range(min = 0.001))]
    #[serde(with = "value::Time")]
    #[default(Duration::from_secs(60))]
    pub login_timeout: Duration,
    /// Logins that are decided at the same time; the others wait, and client networks take turns.
    #[schemars(range(min = 1, max = 100_000), extend("x-restart" = true))]
    #[default(100)]
    pub concurrent_logins: usize,
    /// Logins that wait; beyond it the address that has the most of them hears 421.
    #[schemars(extend("x-restart" = true))]
    #[default(5000)]
    pub waiting_logins: usize,
    /// Silence on the control connection, transfers not counted (RFC 1123 §4.1.3.2: five minutes).
    #[schemars(range(min = 0.001))]
    #[serde(with = "value::Time")]
    #[default(Duration::from_secs(300))]
    pub idle_timeout: Duration,
    /// How long a transfer waits for its data connection.
    #[schemars(range(min = 0.001))]
    #[serde(with = "value::Time")]
    #[default(Duration::from_secs(30))]
    pub data_timeout: Duration,
    /// Time that a TLS handshake may take.
    #[schemars(range(min = 0.001))]
    #[serde(with = "value::Time")]
    #[default(Duration::from_secs(10))]
    pub handshake_timeout: Duration,
    /// How long a transfer may go on in which no byte moves.
    #[schemars(range(min = 0.001))]
    #[serde(with = "value::Time")]
    #[default(Duration::from_secs(60))]
    pub stall_timeout: Duration,
    /// Bytes of a command line.
    #[schemars(range(min = 512, max = 65_536))]
    #[serde(with = "value::Size")]
    #[default(4096)]
    pub line_length: u64,
    /// Commands that wait while another one runs.
    #[schemars(range(min = 1, max = 10_000))]
    #[default(1000)]
    pub queued_commands: usize,
    /// Bytes of one upload, unless the account says otherwise. 0: no limit.
    #[serde(with = "value::Size")]
    pub upload_size: u64,
    /// All uploads of one user, unless the account says otherwise. 0: no limit.
    #[serde(with = "value::Rate")]
    pub upload_rate: u64,
    /// All downloads of one user. 0: no limit.
    #[serde(with = "value::Rate")]
    pub download_rate: u64,
    /// All uploads of all users. 0: no limit.
    #[serde(with = "value::Rate")]
    pub total_upload_rate: u64,
    /// All downloads of all users. 0: no limit.
    #[serde(with = "value::Rate")]
    pub total_download_rate: u64,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Log {
    /// error, warn, info, debug or trace; or directives: `info,portcullis::session=debug`.
    #[default = "info"]
    pub level: String,
    /// Where lines go.
    #[schemars(extend("x-restart" = true))]
    #[default(LogOutput::Stderr)]
    pub output: LogOutput,
    /// The file of the output `"file"`; relative to `log/` in the state directory. Opened anew by a reload.
    #[serde(with = "value::FilePath")]
    #[schemars(extend("x-restart" = true))]
    #[default(PathBuf::from("portcullis.log"))]
    pub file: PathBuf,
    /// The form of lines, unless journald gets their fields.
    #[schemars(extend("x-restart" = true))]
    #[default(LogFormat::Text)]
    pub format: LogFormat,
    /// Whether lines about logins name users that nobody knows: some of these names are passwords.
    pub unknown_users: bool,
}

/// Where log lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogOutput {
    /// To standard error.
    Stderr,
    /// To journald, with a priority and the fields of the line: `PORTCULLIS_USER=` and so on.
    Journald,
    /// To a file.
    File,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}
