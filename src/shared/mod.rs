//! The Redis that several servers share state by: one connection for all that is kept there, and how it is.
//!
//! No caller ever waits longer for it than [`config::State::timeout`], and once it has not answered it is
//! *away*: requests fail at once, until the one task that connects has found that it answers again.
//!
//! The manager of connections of the library would not do: there requests wait for the next connection, and a
//! password that was wrong once is never tried again.

mod connect;
mod error;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use redis::{
    Cmd, FromRedisValue, Pipeline, RedisResult, ScriptInvocation, aio::MultiplexedConnection,
};
use tokio::{
    sync::Notify,
    time::{error::Elapsed, sleep, timeout},
};

use self::connect::Connector;
pub use self::error::Away;
use crate::{config, observe::Rate};

/// How long until it is tried again to connect; doubled each time, up to the second one.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// The connection, for all who share something.
pub struct Shared {
    connector: Connector,
    link: Mutex<Link>,
    /// The connection was lost.
    lost: Notify,
    requests: AtomicU64,
    failed: AtomicU64,
    told: Arc<Rate>,
}

struct Link {
    connection: Option<MultiplexedConnection>,
    /// Connections are told apart by their number.
    number: u64,
    /// Since when it is away, and why.
    away: Option<(SystemTime, Arc<str>)>,
}

/// How Redis is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedStatus {
    /// Its host and port.
    pub place: String,
    /// Since when it is away, and why.
    pub away: Option<(SystemTime, String)>,
    /// Requests since the start.
    pub requests: u64,
    /// Those of them that had no answer, or an error for one.
    pub failed: u64,
}

impl Shared {
    /// Connects, if the configuration names a Redis. Where it does not answer it is away, and connected to
    /// when it does; `must_answer` makes that an error.
    ///
    /// # Errors
    /// The key, and for people what is wrong.
    pub async fn open(
        settings: &config::State,
        must_answer: bool,
    ) -> Result<Option<Arc<Self>>, (&'static str, String)> {
        let place = settings.redis().map_err(|text| ("state.url", text))?;
        let Some(place) = place else {
            return Ok(None);
        };
        let connector = Connector::new(settings.clone(), place);
        let shared = Arc::new(Self {
            connector,
            link: Mutex::new(Link {
                connection: None,
                number: 0,
                away: None,
            }),
            lost: Notify::new(),
            requests: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            told: Rate::new("more requests to Redis failed"),
        });
        match shared.connector.connect().await {
            Ok(connection) => shared.connected(connection),
            Err(error) if must_answer => return Err(error),
            Err((_, error)) => shared.leave(0, &error),
        }
        tokio::spawn(shared.clone().keep());
        Ok(Some(shared))
    }

    /// The name of a key in Redis.
    #[must_use]
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.connector.settings.prefix)
    }

    /// The fate of plugins' calls while it is away.
    #[must_use]
    pub fn when_away(&self) -> config::StateAway {
        self.connector.settings.away
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> SharedStatus {
        let away = self.link().away.clone();
        SharedStatus {
            place: self.connector.place(),
            away: away.map(|(since, why)| (since, why.to_string())),
            requests: self.requests.load(Relaxed),
            failed: self.failed.load(Relaxed),
        }
    }

    /// Runs a script.
    ///
    /// # Errors
    /// When it is away, or goes meanwhile.
    pub async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, Away> {
        let (number, mut connection) = self.connection()?;
        let answer = timeout(self.timeout(), script.invoke_async(&mut connection)).await;
        self.judge(number, answer)
    }

    /// Sends a command.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Away> {
        let (number, mut connection) = self.connection()?;
        let answer = timeout(self.timeout(), command.query_async(&mut connection)).await;
        self.judge(number, answer)
    }

    /// Sends several commands at once.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn ask_all<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, Away> {
        let (number, mut connection) = self.connection()?;
        let answer = timeout(self.timeout(), commands.query_async(&mut connection)).await;
        self.judge(number, answer)
    }

    fn timeout(&self) -> Duration {
        self.connector.settings.timeout
    }

    fn connection(&self) -> Result<(u64, MultiplexedConnection), Away> {
        self.requests.fetch_add(1, Relaxed);
        let link = self.link();
        match (&link.connection, &link.away) {
            (Some(connection), _) => Ok((link.number, connection.clone())),
            (None, away) => {
                self.failed.fetch_add(1, Relaxed);
                let why = away
                    .as_ref()
                    .map_or_else(Arc::default, |(_, why)| why.clone());
                Err(Away(why))
            }
        }
    }

    fn judge<T>(&self, number: u64, answer: Result<RedisResult<T>, Elapsed>) -> Result<T, Away> {
        let (is_away, why) = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => (
                error::is_away(&error),
                error::explain(&error, self.timeout()),
            ),
            Err(_) => (true, error::no_answer(self.timeout())),
        };
        self.failed.fetch_add(1, Relaxed);
        if is_away {
            self.leave(number, &why);
        } else if self.told.admits(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) {
            let redis = self.connector.place();
            tracing::error!(redis, error = why, "a request for shared state failed");
        }
        Err(Away(why.into()))
    }

    /// The connection of that number is lost.
    fn leave(&self, number: u64, why: &str) {
        let mut link = self.link();
        if link.number != number || link.away.is_some() {
            return;
        }
        link.connection = None;
        link.away = Some((SystemTime::now(), why.into()));
        drop(link);
        let redis = self.connector.place();
        let consequence = match self.when_away() {
            config::StateAway::Refuse => "logins that need it are refused (state.away)",
            config::StateAway::Allow => "this server goes on with its own (state.away)",
        };
        tracing::error!(redis, error = why, "shared state is away: {consequence}");
        self.lost.notify_one();
    }

    fn connected(&self, connection: MultiplexedConnection) {
        let mut link = self.link();
        link.number += 1;
        link.connection = Some(connection);
        let away = link.away.take();
        drop(link);
        if let Some((since, _)) = away {
            let seconds = since.elapsed().unwrap_or_default().as_secs();
            let redis = self.connector.place();
            tracing::info!(redis, seconds, "shared state is back");
        }
    }

    /// Connects whenever it is away.
    async fn keep(self: Arc<Self>) {
        let (first, longest) = RETRY;
        let mut pause = first;
        loop {
            if self.link().connection.is_some() {
                self.lost.notified().await;
                pause = first;
            }
            match self.connector.connect().await {
                Ok(connection) => self.connected(connection),
                Err((_, why)) => {
                    if let Some((_, reason)) = &mut self.link().away {
                        *reason = why.into();
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(longest);
                }
            }
        }
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
