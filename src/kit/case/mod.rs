//! Case files: what to ask a plugin without a server, and what it should answer.

mod account;
mod events;
mod expect;
mod form;
mod login;
mod paths;
mod plan;
mod session;
mod upload;

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;

pub use account::AccountFacts;
pub use account::granted;
pub use expect::{Answer, decision};
pub(super) use form::NAME;
pub use form::{Asking, Question};
pub use plan::{Asked, Plan, kinds};

use crate::{
    config::{ConfigError, Document, Grants, Instances, PluginLimits, value},
    types::UploadMode,
};

/// A key below `[[call]]`, and what is wrong with it.
type Wrong = (String, String);

/// A case file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Case {
    /// As `[plugin.settings]`; files in it are relative to the case file.
    pub settings: toml::Table,
    /// As `[plugin.grants]`.
    pub grants: Grants,
    /// As `[plugin.limits]`.
    pub limits: PluginLimits,
    /// As the plugin's `instances`.
    pub instances: Option<Instances>,
    /// The session that all calls are about.
    pub session: Session,
    /// The calls, in this order.
    pub call: Vec<Call>,
}

/// `[session]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Session {
    client_address: IpAddr,
    client_port: u16,
    server_address: IpAddr,
    server_port: u16,
    host: Option<String>,
    tls_version: session::TlsVersion,
    tls_cipher_suite: Option<String>,
    user: Option<String>,
    /// PEM.
    certificate: Option<PathBuf>,
    account: Option<AccountFacts>,
}

/// `[[call]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Call {
    name: Option<String>,

    user: Option<String>,
    password: Option<String>,
    one_time_code: Option<String>,

    requests: Option<Vec<String>>,

    path: Option<String>,
    mode: Option<Mode>,
    announced_size: Option<u64>,
    content: Option<String>,
    file: Option<PathBuf>,
    base64: Option<String>,
    #[serde(with = "value::Size")]
    chunk: u64,
    cut_at: Option<u64>,

    events: Option<Vec<toml::Table>>,

    expect: Expect,
}

/// `expect`: what is not said is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expect {
    outcome: Option<String>,
    verdict: Option<String>,
    reason: Option<String>,
    account: Option<AccountFacts>,
    decisions: Option<Vec<String>>,
    path: Option<String>,
    log: Vec<String>,
    state: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    Create,
    Overwrite,
    Append,
}

impl Call {
    /// The keys that are there, of those that say what is asked.
    fn given(&self) -> impl Iterator<Item = &'static str> {
        let keys = [
            ("user", self.user.is_some()),
            ("password", self.password.is_some()),
            ("one-time-code", self.one_time_code.is_some()),
            ("requests", self.requests.is_some()),
            ("path", self.path.is_some()),
            ("mode", self.mode.is_some()),
            ("announced-size", self.announced_size.is_some()),
            ("content", self.content.is_some()),
            ("file", self.file.is_some()),
            ("base64", self.base64.is_some()),
            ("cut-at", self.cut_at.is_some()),
            ("events", self.events.is_some()),
        ];
        let given = keys.into_iter().filter(|(_, given)| *given);
        given.map(|(key, _)| key)
    }
}

impl From<Mode> for UploadMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Create => Self::Create,
            Mode::Overwrite => Self::Overwrite,
            Mode::Append => Self::Append,
        }
    }
}

impl Default for Session {
    /// A client over TLS, at addresses that are for documentation (RFC 5737).
    fn default() -> Self {
        Self {
            client_address: IpAddr::from([192, 0, 2, 1]),
            client_port: 50_000,
            server_address: IpAddr::from([192, 0, 2, 2]),
            server_port: 21,
            host: None,
            tls_version: session::TlsVersion::V1_3,
            tls_cipher_suite: None,
            user: None,
            certificate: None,
            account: None,
        }
    }
}

impl Default for Call {
    fn default() -> Self {
        Self {
            name: None,
            user: None,
            password: None,
            one_time_code: None,
            requests: None,
            path: None,
            mode: None,
            announced_size: None,
            content: None,
            file: None,
            base64: None,
            chunk: 64 << 10,
            cut_at: None,
            events: None,
            expect: Expect::default(),
        }
    }
}

/// Reads a case file, and all that it names but the settings' files.
///
/// # Errors
/// All that is wrong, each with its place.
pub fn read(file: &Path) -> Result<Plan, ConfigError> {
    let directory = match file.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    plan::plan(Document::read(file)?, directory)
}
