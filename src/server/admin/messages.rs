//! The messages of the API, as requests and answers have them: JSON objects.

use std::{net::SocketAddr, path::PathBuf, time::SystemTime};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    confine::Wall, gate::health::Snapshot, plugin::Taken, server::Listening, shared::SharedStatus,
    spool::QuarantinedUpload,
};
pub use crate::{
    server::{bans::Ban, generations::GenerationUse},
    session::session_table::{SessionStatus, TransferStatus},
};

/// It was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Done {
    /// The result, in a line for people.
    pub text: String,
}

/// It was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failed {
    /// Why, in lines for people.
    pub error: String,
}

/// A part of a long list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Page {
    /// Entries that have this text in one of their fields, in any case of letters.
    pub filter: Option<String>,
    /// How many of them are passed over.
    pub offset: Option<usize>,
    /// At most so many are given.
    pub limit: Option<usize>,
}

impl Page {
    /// The entries of this part, and how many there are of which it is one.
    pub fn of<T: Serialize>(&self, all: Vec<T>) -> (Vec<T>, usize) {
        let wanted = self.filter.as_deref().map(str::to_lowercase);
        let has = |entry: &T| {
            let Some(wanted) = &wanted else { return true };
            let value = serde_json::to_value(entry).unwrap_or_default();
            contains(&value, wanted)
        };
        let matching: Vec<T> = all.into_iter().filter(has).collect();
        let count = matching.len();
        let part = matching.into_iter().skip(self.offset.unwrap_or(0));
        (part.take(self.limit.unwrap_or(usize::MAX)).collect(), count)
    }
}

fn contains(value: &serde_json::Value, wanted: &str) -> bool {
    use serde_json::Value;
    match value {
        Value::String(text) => text.to_lowercase().contains(wanted),
        Value::Array(all) => all.iter().any(|one| contains(one, wanted)),
        Value::Object(all) => all.values().any(|one| contains(one, wanted)),
        _ => false,
    }
}

/// The sessions there are, in the order in which they came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sessions {
    /// All of them.
    pub total: usize,
    /// Those that the filter leaves.
    pub matching: usize,
    /// Transfers that are under way.
    pub transfers: usize,
    /// Bytes on the wire of all data connections since the start, TLS included.
    pub moved: u64,
    /// This part of those.
    pub sessions: Vec<SessionStatus>,
}

/// Sessions to be ended: those that all of this is true of, and something has to be said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EndSessions {
    /// The session, as the log names it.
    pub session: Option<String>,
    /// The user that has logged in.
    pub user: Option<String>,
    /// The virtual host.
    pub host: Option<String>,
    /// The network that the client is in.
    #[schemars(with = "Option<String>")]
    pub network: Option<IpNet>,
    /// Why, for the log.
    pub reason: Option<String>,
}

/// The bans that are in force, the newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bans {
    /// All of them.
    pub total: usize,
    /// Those that the filter leaves.
    pub matching: usize,
    /// This part of those.
    pub bans: Vec<Ban>,
}

/// A network to be banned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NewBan {
    /// The network.
    #[schemars(with = "String")]
    pub network: IpNet,
    /// For so many seconds; without it, until it is lifted.
    pub seconds: Option<u64>,
    /// Why, for people.
    pub reason: Option<String>,
    /// Whether sessions from there may go on.
    #[serde(default)]
    pub keep_sessions: bool,
}

/// A network, of which the bans are to be lifted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unban {
    /// The network, or one around those that are banned.
    #[schemars(with = "String")]
    pub network: IpNet,
}

/// Those whom the plugin `lockout` keeps out for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Locks {
    /// All of them.
    pub total: usize,
    /// Those that the filter leaves.
    pub matching: usize,
    /// This part of those.
    pub locks: Vec<Lock>,
}

/// A user, a network, or a user from a network, that is locked out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Lock {
    /// The plugin that keeps the lock.
    pub plugin: String,
    /// The user's name, where it is one of a file of users, or of somebody who is there.
    pub user: Option<String>,
    /// The first 16 bytes of the SHA-256 digest of the name; none where all users are locked out.
    pub user_digest: Option<String>,
    /// From where; none is from anywhere.
    #[schemars(with = "Option<String>")]
    pub network: Option<IpNet>,
    /// How long, in seconds.
    pub seconds: Option<u64>,
}

/// Locks to be lifted: those of which all of this is true, and something has to be said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unlock {
    /// The user's name.
    pub user: Option<String>,
    /// Its digest, where the name is not known.
    pub digest: Option<String>,
    /// The virtual host, of whose plugins alone the locks are lifted.
    pub host: Option<String>,
    /// The network, one around it, or an address in it.
    #[schemars(with = "Option<String>")]
    pub network: Option<IpNet>,
}

/// The broken uploads that wait to be resumed, by storage, the newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Uploads {
    /// All of them.
    pub total: usize,
    /// Those that the filter leaves.
    pub matching: usize,
    /// This part of those.
    pub uploads: Vec<Broken>,
}

/// The server's certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Certificates {
    /// All of them.
    pub certificates: Vec<Certificate>,
}

/// A certificate of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Certificate {
    /// The first name of the host that shows it, where it has one.
    pub host: Option<String>,
    /// The key in the configuration.
    pub key: String,
    /// Its subject.
    pub subject: String,
    /// When it expires, in seconds since 1970.
    pub expires: u64,
}

/// The uploads in quarantine, the oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quarantine {
    /// All of them.
    pub total: usize,
    /// Those that the filter leaves.
    pub matching: usize,
    /// This part of those.
    pub uploads: Vec<QuarantinedUpload>,
}

/// How an upload is to be released from quarantine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Also in place of a file that has come to be under its name since.
    #[serde(default)]
    pub replace: bool,
}

/// The level of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogLevel {
    /// A level, or directives, as `log.level` takes them.
    pub level: String,
}

/// How much plugins keep, by their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct States {
    /// All of them.
    pub plugins: Vec<KeptState>,
}

/// A key that a plugin is to forget.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Forget {
    /// One key; all of them otherwise.
    pub key: Option<String>,
}

/// How much a plugin keeps in `state`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct KeptState {
    /// The plugin's name.
    pub plugin: String,
    /// Keys.
    pub keys: usize,
    /// Bytes, as `limits.state` counts them.
    pub bytes: u64,
    /// `limits.state`.
    pub limit: u64,
    /// Values for which there was no room, since the start.
    pub refused: u64,
    /// Counters that gave way to others, since the start.
    pub gave_way: u64,
}

/// How a server is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// The server's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime: u64,
    /// Seconds since its configuration was loaded.
    pub loaded: u64,
    /// The configuration file, if there is one.
    pub configuration: Option<PathBuf>,
    /// Where it listens.
    pub listening: Vec<Listening>,
    /// The virtual hosts, in the configuration's order, without the one of clients that name none.
    #[serde(default)]
    pub hosts: Vec<HostStatus>,
    /// Where the administration is served over TCP.
    #[serde(default)]
    pub admin: Option<SocketAddr>,
    /// Where metrics are served to anybody.
    #[serde(default)]
    pub metrics: Option<SocketAddr>,
    /// The certificate that the server gets by itself.
    #[serde(default)]
    pub acme: Option<AcmeStatus>,
    /// Lines of the log that were dropped since the start.
    #[serde(default)]
    pub log_dropped: u64,
    /// Why the log's file cannot be written, as long as that is so.
    #[serde(default)]
    pub log_error: Option<String>,
    /// Lines of the audit that were dropped since the start, where there is one.
    #[serde(default)]
    pub audit_dropped: Option<u64>,
    /// Why the audit cannot be written, as long as that is so.
    #[serde(default)]
    pub audit_error: Option<String>,
    /// Control connections.
    pub sessions: usize,
    /// The configurations that sessions use, the newest first: a session keeps the one that it
    /// began with.
    #[serde(default)]
    pub generations: Vec<GenerationUse>,
    /// In the configuration's order.
    pub plugins: Vec<Plugin>,
    /// Instances of all plugins.
    #[serde(default)]
    pub instances: Option<Taken>,
    /// Broken uploads that wait to be resumed, by storage, the newest first.
    pub uploads: Vec<Broken>,
    /// Why what plugins keep is not written to `[state] file`, as long as that is so.
    #[serde(default)]
    pub state_error: Option<String>,
    /// Seconds since then.
    #[serde(default)]
    pub state_error_age: Option<u64>,
    /// Where what plugins keep is written to, if it is.
    #[serde(default)]
    pub state_file: Option<PathBuf>,
    /// The Redis that state is shared by, if it is.
    #[serde(default)]
    pub shared_state: Option<SharedState>,
    /// The directories that uploads wait in, links resolved.
    #[serde(default)]
    pub staging: Vec<PathBuf>,
    /// The walls around the process.
    #[serde(default)]
    pub walls: Vec<Wall>,
}

/// The Redis that state is shared by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct SharedState {
    /// Its host and port.
    pub redis: String,
    /// Why it is away, as long as that is so.
    pub error: Option<String>,
    /// Seconds since then.
    pub error_age: Option<u64>,
    /// Requests since the start.
    pub requests: u64,
    /// Those of them that failed.
    pub failed: u64,
}

impl From<SharedStatus> for SharedState {
    fn from(status: SharedStatus) -> Self {
        let (since, error) = status.away.unzip();
        Self {
            redis: status.place,
            error,
            error_age: since.map(seconds_since),
            requests: status.requests,
            failed: status.failed,
        }
    }
}

/// A certificate by ACME.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct AcmeStatus {
    /// Its names.
    pub names: Vec<String>,
    /// When it ends, in seconds since 1970; none as long as the authority has given none.
    pub expires: Option<u64>,
    /// When it is to be renewed, or ordered again, in seconds since 1970.
    pub next: Option<u64>,
    /// Why the last order failed.
    pub error: Option<String>,
}

/// A virtual host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct HostStatus {
    /// Its name.
    pub name: String,
    /// More names that the configuration gives it.
    pub aliases: Vec<String>,
    /// The sessions that it serves.
    pub sessions: usize,
}

/// A broken upload that waits to be resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Broken {
    /// The storage's name.
    pub storage: String,
    /// The user that sent it; unknown of a small one that the server's own end broke off.
    pub user: Option<String>,
    /// The user's virtual host; unset is the default one.
    #[serde(default)]
    pub host: Option<String>,
    /// Where it was to be seen, from the storage's root on.
    pub path: Option<String>,
    /// Bytes that have arrived.
    pub size: u64,
    /// Seconds since the last of them did.
    pub age: u64,
}

/// The health of a plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plugin {
    /// Its name.
    pub name: String,
    /// The rights that it was granted, for people.
    #[serde(default)]
    pub grants: String,
    /// False when it faults again and again.
    pub healthy: bool,
    /// Calls that ended, well or not.
    pub calls: u64,
    /// Those of them that were faults.
    pub faults: u64,
    /// Computing time of all calls, in seconds.
    pub cpu: f64,
    /// The last fault: its kind and its text.
    pub last_fault: Option<String>,
    /// Seconds since then.
    pub last_fault_age: Option<u64>,
}

impl From<Snapshot> for Plugin {
    fn from(snapshot: Snapshot) -> Self {
        let last = snapshot.last_fault.as_ref();
        Self {
            name: snapshot.plugin.as_ref().into(),
            grants: String::new(),
            healthy: !snapshot.unhealthy,
            calls: snapshot.calls,
            faults: snapshot.faults,
            cpu: snapshot.cpu.as_secs_f64(),
            last_fault: last.map(|(_, fault)| format!("{}: {}", fault.kind, fault.text)),
            last_fault_age: last.map(|(when, _)| seconds_since(*when)),
        }
    }
}

pub(crate) fn seconds_since(time: SystemTime) -> u64 {
    time.elapsed().unwrap_or_default().as_secs()
}
