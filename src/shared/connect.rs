//! Connecting to Redis, and finding out whether it will do.

use std::{collections::HashMap, path::Path, time::Duration};

use data_encoding::BASE64;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, IntoConnectionInfo, RedisError, ServerErrorKind,
    TlsCertificates, Value, aio::MultiplexedConnection, cmd,
};
use tokio::time::timeout;

use super::error::{explain, no_answer, not_redis, unreadable};
use crate::config::{self, RedisPlace, regular};

/// The oldest version that knows all commands.
const OLDEST: u32 = 6;
/// How long the key stays that tells whether Redis can be written to.
const PROBE: Duration = Duration::from_secs(1);

/// The key of the configuration, and what is wrong, for people.
type Wrong = (&'static str, String);

/// Makes connections.
pub(super) struct Connector {
    pub(super) settings: config::State,
    place: RedisPlace,
}

impl Connector {
    pub(super) fn new(settings: config::State, place: RedisPlace) -> Self {
        Self { settings, place }
    }

    /// Its host and port.
    pub(super) fn place(&self) -> String {
        self.place.to_string()
    }

    /// A connection to a Redis that will do. Takes `state.timeout` to connect, and once more to find that out.
    ///
    /// # Errors
    /// The key, and for people what is wrong.
    pub(super) async fn connect(&self) -> Result<MultiplexedConnection, Wrong> {
        let (settings, tls) = (self.settings.clone(), self.place.tls);
        let client = tokio::task::spawn_blocking(move || client(&settings, tls)).await;
        let client = client.map_err(|error| ("state.url", error.to_string()))??;
        let patience = self.settings.timeout;
        let at_url = |text: String| ("state.url", format!("{}: {text}", self.place()));
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(patience))
            .set_response_timeout(None);
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = connecting.await.map_err(|error| {
            let mut text = explain(&error, patience);
            if self.place.tls && error.is_timeout() {
                // One that does not waits for the end of the first line.
                text += ": does it speak TLS?";
            }
            at_url(text)
        })?;
        let probing = timeout(patience, self.probe(&mut connection)).await;
        probing
            .unwrap_or_else(|_| Err(no_answer(patience)))
            .map_err(at_url)?;
        Ok(connection)
    }

    /// Whether it is new enough, is no cluster, and can be written to.
    async fn probe(&self, connection: &mut MultiplexedConnection) -> Result<(), String> {
        let facts = cmd("HELLO").query_async(connection).await;
        let facts: HashMap<String, Value> = facts.map_err(|error| self.no_facts(&error))?;
        let text = |key: &str| match facts.get(key) {
            Some(Value::BulkString(text)) => String::from_utf8_lossy(text).into_owned(),
            Some(Value::SimpleString(text)) => text.clone(),
            _ => String::new(),
        };
        let version = text("version");
        let first = version.split('.').next();
        match first.and_then(|first| first.parse::<u32>().ok()) {
            Some(first) if first < OLDEST => return Err(too_old(&version)),
            Some(_) => {}
            None => return Err(not_redis()),
        }
        let mode = text("mode");
        if mode != "standalone" {
            return Err(format!("it runs as {mode:?}: expected one Redis by itself"));
        }
        let life = u64::try_from(PROBE.as_millis()).unwrap_or(u64::MAX);
        let key = format!("{}probe", self.settings.prefix);
        let written = cmd("SET")
            .arg(key)
            .arg(1)
            .arg("PX")
            .arg(life)
            .query_async(connection)
            .await;
        let written: Result<(), RedisError> = written;
        written.map_err(|error| explain(&error, self.settings.timeout))
    }

    fn no_facts(&self, error: &RedisError) -> String {
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::ResponseError) => too_old("before 6"),
            _ => explain(error, self.settings.timeout),
        }
    }
}

fn too_old(version: &str) -> String {
    format!("it is Redis {version}: expected {OLDEST} or later")
}

/// Reads the files. They may change from one connection to the next.
fn client(settings: &config::State, tls: bool) -> Result<Client, Wrong> {
    let at_url = |error: RedisError| ("state.url", error.to_string());
    let url = settings.url.as_deref().unwrap_or_default();
    let mut info = url.into_connection_info().map_err(at_url)?;
    let mut login = info.redis_settings().clone().set_skip_set_lib_name();
    if let Some(file) = &settings.password_file {
        let text = regular::read_text(file);
        let text = text.map_err(|error| ("state.password-file", unreadable(file, &error)))?;
        login = login.set_password(text.trim_end_matches(['\r', '\n']));
    }
    info = info.set_redis_settings(login);
    match &settings.authorities {
        Some(file) if tls => {
            let root_cert = Some(authorities(file)?);
            let certificates = TlsCertificates {
                client_tls: None,
                root_cert,
            };
            let client = Client::build_with_tls(info, certificates);
            client.map_err(|error| ("state.authorities", format!("{}: {error}", file.display())))
        }
        _ => Client::open(info).map_err(at_url),
    }
}

/// Those of the file and of the system, PEM.
fn authorities(file: &Path) -> Result<Vec<u8>, Wrong> {
    let own = regular::read(file);
    let mut pem = own.map_err(|error| ("state.authorities", unreadable(file, &error)))?;
    if !pem.windows(10).any(|part| part == b"-----BEGIN") {
        let text = format!("{}: no certificate in it", file.display());
        return Err(("state.authorities", text));
    }
    for certificate in rustls_native_certs::load_native_certs().certs {
        let text = BASE64.encode(&certificate);
        let block = format!("\n-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        pem.extend_from_slice(block.as_bytes());
    }
    Ok(pem)
}
