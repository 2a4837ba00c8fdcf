//! What `config.toml` can say, as typed values.
//!
//! Every key has a default here, and `config.toml` in the repository says the same with its reason
//! beside it. Sizes are bytes, rates bytes a second; 0 is no limit wherever a limit can be lifted.
//!
//! [`load`] reads the file and what the command line overrides, and remembers where each key was
//! said, so that whoever finds fault with a value later can name the place: [`Loaded::locate`].

mod check;
mod defaults;
mod document;
mod error;
mod explain;
pub mod grants;
mod host;
mod keys;
mod load;
mod path;
pub mod regular;
mod source;
#[cfg(test)]
#[allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used)]
mod tests;
pub(crate) mod value;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use serde::Deserialize;

use crate::types::{Durability, OnFailure};

pub use document::Document;
pub use error::{ConfigError, Problem};
pub use grants::Grants;
pub use host::Host;
pub use load::{Loaded, load, state};
pub(crate) use source::toml_error;

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[tls]`
    pub tls: Tls,
    /// `[data]`
    pub data: Data,
    /// `[limits]`
    pub limits: Limits,
    /// `[log]`
    pub log: Log,
    /// `[storage.NAME]`, in the order of their names; an account that names none gets `default`,
    /// or the only one.
    pub storage: BTreeMap<String, Storage>,
    /// `[uploads]`: from the last byte to the verdict.
    pub uploads: Uploads,
    /// `[state]`: what plugins keep.
    pub state: State,
    /// `[plugin-host]`: what all plugins share.
    pub plugin_host: PluginHost,
    /// `[[plugin]]`: the chains, in this order.
    pub plugin: Vec<Plugin>,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Server {
    /// Where the server keeps what it makes: certificate, users, files, staging, compiled plugins.
    pub state: PathBuf,
    /// Explicit FTPS (RFC 4217).
    pub listen: Vec<SocketAddr>,
    /// Implicit FTPS: TLS from the first byte.
    pub listen_implicit: Vec<SocketAddr>,
    /// The text of 220.
    pub greeting: String,
    /// Names that HOST takes besides those of the certificates (RFC 7151).
    pub hosts: Vec<String>,
    /// Networks whose connections begin with a PROXY protocol header, v1 or v2.
    pub proxy_networks: Vec<IpNet>,
    /// The end of sessions whose account has changed.
    pub account_change: AccountChange,
    /// How long transfers may go on after SIGTERM.
    #[serde(with = "value::duration")]
    pub drain_timeout: Duration,
    /// Runtime threads; 0 is one for each core.
    pub threads: usize,
}

/// The end of a session whose account has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
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
    /// The directory of compiled plugins, in the state directory.
    #[must_use]
    pub fn compiled(&self) -> PathBuf {
        self.state.join("cache")
    }
}

/// `[tls]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tls {
    /// PEM chain; without it a self-signed one is made in the state directory.
    pub certificate: Option<PathBuf>,
    /// PEM key of `certificate`.
    pub key: Option<PathBuf>,
    /// More certificates, chosen by SNI: `[[tls.host]]`.
    pub host: Vec<Identity>,
    /// Whether logging in takes TLS (RFC 4217 §9).
    pub required: bool,
    /// Whether data connections take TLS: else 521.
    pub data_required: bool,
    /// How a data connection is bound to its session.
    pub data_binding: Binding,
    /// Whether a protected upload has to end with `close_notify`.
    pub close_notify: CloseNotify,
    /// The oldest version.
    pub minimum_version: TlsVersion,
    /// Whether client certificates are asked for.
    pub client_certificates: ClientCertificates,
    /// PEM file of authorities that client certificates are verified against.
    pub client_authorities: Option<PathBuf>,
    /// Whether CCC may take TLS off the control connection.
    pub allow_ccc: bool,
}

/// `[[tls.host]]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Identity {
    /// PEM chain. Its DNS names are what SNI is compared with.
    pub certificate: PathBuf,
    /// PEM key.
    pub key: PathBuf,
}

/// How a data connection shows that it belongs to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Binding {
    /// By its address alone.
    Off,
    /// By resuming the session's TLS, or a full handshake from the session's own address.
    Prefer,
    /// By resuming the session's TLS: anything else is 522.
    Require,
}

/// The end that a protected upload must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CloseNotify {
    /// `close_notify` alone: without it, 426.
    Require,
    /// `close_notify`; FIN alone, from a client that has not sent any on a data connection.
    Prefer,
    /// `close_notify` or FIN.
    Ignore,
}

/// A TLS version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum TlsVersion {
    /// RFC 5246.
    #[serde(rename = "1.2")]
    V1_2,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    V1_3,
}

/// Whether clients present certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientCertificates {
    /// They are not asked for.
    Off,
    /// One that is presented must verify.
    Optional,
    /// No session without one.
    Required,
}

/// `[data]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Data {
    /// Ports for PASV and EPSV, both ends included; 0-0 lets the system choose.
    #[serde(with = "value::ports")]
    pub passive_ports: (u16, u16),
    /// What PASV says; unset, the address that the client connected to. An IPv4 address or a DNS
    /// name, looked up anew every minute.
    pub advertise: Option<Advertise>,
    /// Whether PORT and EPRT work, to the client's own address, ports from 1024.
    pub active: bool,
}

/// What PASV tells clients to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Advertise {
    /// This.
    Address(IpAddr),
    /// What this name resolves to.
    Name(String),
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Control connections in all.
    pub sessions: usize,
    /// Control connections from one address.
    pub sessions_per_address: usize,
    /// Sessions of one user, unless the account says otherwise.
    pub sessions_per_user: usize,
    /// Failed logins on one connection; then 421.
    pub login_attempts: u32,
    /// How long the answer to a failed login is held back; doubled with each one.
    #[serde(with = "value::duration")]
    pub login_delay: Duration,
    /// From the connection to the login.
    #[serde(with = "value::duration")]
    pub login_timeout: Duration,
    /// Logins that are decided at the same time; the others wait, and client networks take turns.
    pub concurrent_logins: usize,
    /// Logins that wait; beyond it the address that has the most of them hears 421.
    pub waiting_logins: usize,
    /// Silence on the control connection, transfers not counted (RFC 1123 §4.1.3.2: five minutes).
    #[serde(with = "value::duration")]
    pub idle_timeout: Duration,
    /// How long a transfer waits for its data connection.
    #[serde(with = "value::duration")]
    pub data_timeout: Duration,
    /// A TLS handshake.
    #[serde(with = "value::duration")]
    pub handshake_timeout: Duration,
    /// A transfer in which no byte moves.
    #[serde(with = "value::duration")]
    pub stall_timeout: Duration,
    /// Bytes of a command line.
    #[serde(with = "value::size")]
    pub line_length: u64,
    /// Commands that wait while another one runs.
    pub queued_commands: usize,
    /// Bytes of one upload.
    #[serde(with = "value::size")]
    pub upload_size: u64,
    /// Bytes a second of all uploads of one user.
    #[serde(with = "value::size")]
    pub upload_rate: u64,
    /// Bytes a second of all downloads of one user.
    #[serde(with = "value::size")]
    pub download_rate: u64,
    /// Bytes a second of all uploads.
    #[serde(with = "value::size")]
    pub total_upload_rate: u64,
    /// Bytes a second of all downloads.
    #[serde(with = "value::size")]
    pub total_download_rate: u64,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Log {
    /// error, warn, info, debug, trace, or directives as `info,portcullis::session=debug`.
    pub level: String,
    /// Lines for people or for machines.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// `[storage.NAME]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Storage {
    /// The directory; relative to the state directory.
    pub root: PathBuf,
    /// Where uploads wait for their verdict: on the same file system, outside of `root`. Unset, a
    /// place in the state directory, or, on another file system, beside `root`.
    pub staging: Option<PathBuf>,
    /// Where uploads are kept that a person has to look at, outside of `root`. Unset, in staging.
    pub quarantine: Option<PathBuf>,
    /// Whether a home that is not there is made at the first login.
    pub create_homes: bool,
    /// What is on the disk before 226.
    pub durability: Durability,
    /// Mode of new files, before SITE CHMOD.
    #[serde(with = "value::mode")]
    pub file_mode: u32,
    /// Mode of new directories.
    #[serde(with = "value::mode")]
    pub directory_mode: u32,
    /// How long a broken upload waits to be resumed.
    #[serde(with = "value::duration")]
    pub partial_age: Duration,
    /// Bytes of all broken uploads that wait: beyond it the oldest are removed, of the user who has
    /// most. Unset, no user has more than half of
    /// the file system, but for the last one; 0 is no limit.
    #[serde(with = "value::optional_size")]
    pub partial_size: Option<u64>,
    /// How many broken uploads of one user may wait; beyond it the oldest go.
    pub partial_count: usize,
    /// Whether listings show a user's own broken uploads.
    pub partial_listing: PartialListing,
    /// Whether entries are shown whose names no path can have.
    pub odd_names: OddNames,
}

/// The treatment of entries whose names are not UTF-8, or hold control characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OddNames {
    /// They are not there for clients.
    Hide,
    /// Listings show them escaped, and they can be read, renamed and removed by that name.
    Escape,
}

/// Whether listings show broken uploads to the user who sent them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartialListing {
    /// As files, as long as what has arrived.
    Show,
    /// Not at all; SIZE and MLST tell of them even so.
    Hide,
}

/// `[uploads]`
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Uploads {
    /// Which digest is made of every upload.
    pub digest: UploadDigest,
    /// How long inspectors may take after the last byte before `verdict_late` says what happens; 0
    /// is no limit.
    #[serde(with = "value::duration")]
    pub verdict_after: Duration,
    /// What happens when a verdict is late.
    pub verdict_late: LateVerdict,
    /// How often the client is told, by another 150, that it is still waited for; 0 is never.
    #[serde(with = "value::duration")]
    pub keep_alive: Duration,
    /// For how long, after an overwrite was cut, the same user at the same address is told of the
    /// broken upload in the place of the file.
    #[serde(with = "value::duration")]
    pub resume_overwrites: Duration,
}

/// Which digest is made of every upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UploadDigest {
    /// None, unless a plugin asks for one.
    None,
    /// SHA-256.
    Sha256,
}

/// What happens when inspectors take longer than `verdict-after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LateVerdict {
    /// The client waits on; the log says so.
    Wait,
    /// The upload is refused and kept for a person to look at.
    Quarantine,
    /// It is published; a refusal that comes later is told as an event.
    Accept,
}

/// `[state]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct State {
    /// Where it outlives the server, relative to the state directory; unset, it is kept in memory.
    pub file: Option<PathBuf>,
}

/// `[plugin-host]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PluginHost {
    /// Instances of all plugins at a time; address space is reserved for them at the start.
    pub instances: u32,
    /// Bytes of linear memory that all instances have together; unset, half of what the machine, or
    /// the server's control group, has. 0 is no limit.
    #[serde(with = "value::optional_size")]
    pub memory: Option<u64>,
    /// How long a session keeps its path guards when it asks nothing.
    #[serde(with = "value::duration")]
    pub idle_instance_timeout: Duration,
    /// Bytes of events that wait for one event-listener; what comes beyond is dropped, and counted.
    #[serde(with = "value::size")]
    pub event_queue: u64,
}

/// `[[plugin]]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Plugin {
    /// For logs and for `state`; unique.
    pub name: String,
    /// A file, relative to the configuration file, or `builtin:NAME`.
    pub component: String,
    /// The component's digest, 64 hexadecimal digits: anything else is not loaded.
    #[serde(default)]
    pub sha256: Option<String>,
    /// What a fault means.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// The plugin's own; `{ file = "…" }` in it is read from the state directory and watched.
    #[serde(default)]
    pub settings: toml::Table,
    /// How long an instance lives; unset, as suits what the plugin decides.
    #[serde(default)]
    pub instances: Option<Instances>,
    /// What one call may take, and how many at once.
    #[serde(default)]
    pub limits: PluginLimits,
    /// What it may reach outside of itself.
    #[serde(default)]
    pub grants: Grants,
}

/// How long an instance of a plugin lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Instances {
    /// One call: nothing that it was told outlives it.
    PerCall,
    /// A session's questions, one after the other, while it asks; path guards alone.
    PerSession,
    /// Many calls of anybody's, for components that are costly to start.
    Pool,
}

/// `[plugin.limits]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PluginLimits {
    /// Bytes of linear memory.
    #[serde(with = "value::size")]
    pub memory: u64,
    /// Computing time of one call; of an inspector, between two reads.
    #[serde(with = "value::duration")]
    pub cpu_time: Duration,
    /// Time of one call from end to end, waiting for the client's bytes not counted.
    #[serde(with = "value::duration")]
    pub wall_time: Duration,
    /// Bytes of log lines of one call.
    #[serde(with = "value::size")]
    pub log: u64,
    /// Bytes of all values in `state`.
    #[serde(with = "value::size")]
    pub state: u64,
    /// Instances of this plugin at once; 0: as many as `plugin-host.instances` has room for.
    pub instances: u32,
    /// How long a call waits for an instance, before it is refused for now.
    #[serde(with = "value::duration")]
    pub pool_wait: Duration,
    /// Calls after which a pooled instance is retired.
    pub pool_calls: u32,
    /// Time after which a pooled instance is retired.
    #[serde(with = "value::duration")]
    pub pool_age: Duration,
}
