//! `[state]`

use std::{fmt, path::PathBuf, time::Duration};

use redis::{ConnectionAddr, IntoConnectionInfo};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use super::value;

/// `[state]`
#[derive(Clone, Debug, PartialEq, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct State {
    /// A database in which the state outlives the server, relative to the state directory. Unset, it
    /// is kept in memory.
    #[schemars(extend("x-restart" = true))]
    #[serde(with = "value::OptionalPath")]
    pub file: Option<PathBuf>,
    /// A Redis that keeps the state for all servers that name it, and what else they share: bans, and the
    /// sessions of each user. "redis://host:6379/0", or "rediss://" with TLS; with "user@" before the host.
    #[schemars(extend("x-restart" = true))]
    pub url: Option<String>,
    /// A file with the password for Redis. It is read at each connection.
    #[schemars(extend("x-restart" = true))]
    #[serde(with = "value::OptionalPath")]
    pub password_file: Option<PathBuf>,
    /// PEM file of authorities that are trusted besides the system's, where the URL is one of rediss.
    #[schemars(extend("x-restart" = true))]
    #[serde(with = "value::OptionalPath")]
    pub authorities: Option<PathBuf>,
    /// The beginning of all keys in Redis. Servers that share state have the same one.
    #[schemars(extend("x-restart" = true))]
    #[default = "portcullis:"]
    pub prefix: String,
    /// How long Redis may take for a request; then it counts as away.
    #[schemars(range(min = 0.01, max = 60), extend("x-restart" = true))]
    #[serde(with = "value::Time")]
    #[default(Duration::from_secs(1))]
    pub timeout: Duration,
    /// The fate of a plugin's call that needs its state while Redis is away.
    #[schemars(extend("x-restart" = true))]
    #[default(StateAway::Refuse)]
    pub away: StateAway,
}

/// The fate of a plugin's call that needs its state while Redis is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StateAway {
    /// It fails: a login is refused for the time being.
    Refuse,
    /// It goes on with what this server alone has counted since.
    Allow,
}

/// The place of a Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisPlace {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it is spoken to by TLS.
    pub tls: bool,
}

impl fmt::Display for RedisPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        match host.contains(':') {
            true => write!(formatter, "[{host}]:{port}"),
            false => write!(formatter, "{host}:{port}"),
        }
    }
}

impl State {
    /// The place of the Redis that the URL names. None where there is no URL.
    ///
    /// # Errors
    /// For people: why it is none that can be used. The URL is not repeated, as a password may be in it.
    pub fn redis(&self) -> Result<Option<RedisPlace>, String> {
        let Some(url) = self.url.as_deref() else {
            return Ok(None);
        };
        let expected = "expected \"redis://host:port/database\", or rediss:// for TLS";
        if !url.starts_with("redis://") && !url.starts_with("rediss://") {
            return Err(expected.to_owned());
        }
        if url.contains(['?', '#']) {
            return Err(format!("{expected}, without parameters"));
        }
        let parsed = url.into_connection_info();
        let parsed = parsed.map_err(|error| format!("{expected}: {error}"))?;
        match parsed.addr() {
            ConnectionAddr::Tcp(host, port) => Ok(Some(RedisPlace {
                host: host.clone(),
                port: *port,
                tls: false,
            })),
            ConnectionAddr::TcpTls { host, port, .. } => Ok(Some(RedisPlace {
                host: host.clone(),
                port: *port,
                tls: true,
            })),
            _ => Err(expected.to_owned()),
        }
    }
}
