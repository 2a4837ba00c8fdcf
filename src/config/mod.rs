//! The keys of `config.toml` as typed values.
//!
//! [`Config`] is the one definition: a field is a key, its attributes are default, form, bounds and
//! the mark that a change takes a restart, its doc comment is the text of the JSON [`schema()`] and of
//! the [`reference()`]. `config.toml` in the repository says each default with its reason beside it.
//! Sizes are bytes, rates bytes a second; 0 is no limit wherever a limit can be lifted.
//!
//! [`load`] reads the file and what the command line overrides, and remembers where each key was
//! said, so that whoever finds fault with a value later can name the place: [`Loaded::locate`].

mod acme;
mod admin;
mod advertise;
mod audit;
mod bans;
mod check;
mod defaults;
mod document;
mod error;
mod explain;
mod form;
pub mod grants;
mod host;
mod listener;
mod load;
mod metrics;
mod overlay;
mod path;
mod plugin;
mod reference;
pub mod regular;
mod schema;
mod server;
mod source;
mod stamp;
mod state;
mod storage;
#[cfg(test)]
#[allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]
mod tests;
mod tls;
mod traces;
pub(crate) mod value;

use std::{collections::BTreeMap, path::Path};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

pub use acme::{Acme, Challenge};
pub use admin::Admin;
pub use advertise::{Advertise, AdvertiseRule, Advertised};
pub use audit::Audit;
pub use bans::Bans;
pub(crate) use defaults::default_plugin_tables;
pub use document::Document;
pub use error::{ConfigError, Problem};
pub use form::{duration, size};
pub use grants::Grants;
pub use host::{Host, HostKeys, HostTable, NamedStorage, Together};
pub use listener::{Listener, ListenerTable};
pub use load::{Loaded, load, state};
pub use metrics::Metrics;
pub use overlay::{HostLimits, HostTls, HostUploads};
pub use plugin::{Engine, Instances, Plugin, PluginHost, PluginLimits, file_setting};
pub use reference::reference;
pub use schema::{restart, schema};
pub use server::{
    AccountChange, Data, Landlock, Limits, Log, LogFormat, LogOutput, Seccomp, Server,
};
pub(crate) use source::toml_error;
pub use stamp::Stamp;
pub use state::{RedisPlace, State, StateAway};
pub use storage::{
    LateVerdict, OddNames, PartialListing, Resume, Storage, StorageKind, UploadDigest, Uploads,
};
pub use tls::{Binding, ClientCertificates, CloseNotify, Identity, Tls, TlsVersion};
pub use traces::Traces;

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "config.toml of Portcullis")]
pub struct Config {
    /// The server as a whole.
    pub server: Server,
    /// A listener with terms of its own, besides those of `[server]`.
    pub listener: Vec<ListenerTable>,
    /// Certificates, and what connections have to meet.
    pub tls: Tls,
    /// The server's certificate by ACME.
    pub acme: Acme,
    /// Data connections.
    pub data: Data,
    /// Limits of sessions, logins and transfers.
    pub limits: Limits,
    /// The log.
    pub log: Log,
    /// Files that tell all that happens.
    pub audit: Audit,
    /// The administration over TCP.
    pub admin: Admin,
    /// Numbers for Prometheus.
    pub metrics: Metrics,
    /// Spans for an OpenTelemetry collector.
    pub traces: Traces,
    /// Clients that are not let in.
    pub bans: Bans,
    /// A place for files. An account names one, or gets `default`, or the only one.
    #[default(defaults::default_storages())]
    pub storage: BTreeMap<String, Storage>,
    /// Uploads from the last byte to the verdict.
    pub uploads: Uploads,
    /// The values that plugins keep, and what several servers share.
    pub state: State,
    /// The resources that all plugins share.
    pub plugin_host: PluginHost,
    /// A plugin. They are asked in this order.
    #[default(defaults::default_plugins())]
    pub plugin: Vec<Plugin>,
    /// A virtual host, which clients choose by name (SNI, RFC 6066; HOST, RFC 7151). It has the keys of the
    /// top level where it says none of its own.
    pub host: Vec<HostTable>,
}

impl Config {
    /// The files that lines are appended to, with their keys.
    pub fn logs(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let log = (self.log.output == LogOutput::File).then_some(&self.log.file);
        let all = [
            ("log.file", log),
            ("audit.file", self.audit.file.as_ref()),
            ("audit.xferlog", self.audit.xferlog.as_ref()),
        ];
        all.into_iter()
            .filter_map(|(key, file)| Some((key, file?.as_path())))
    }
}
