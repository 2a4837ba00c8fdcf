//! Listeners, admission, reload, and the end in order.

mod admission;
pub mod control;
mod listeners;
mod parts;
mod proxy;
mod quarantine;
mod reload;
mod signal;

use std::{
    fmt, io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::sleep,
};

use self::{
    admission::Admission, control::Control, listeners::Shared, parts::Lasting, signal::Sign,
};
use crate::{
    config::{Config, Loaded, Problem},
    session::{Shutdown, context::Context},
};

/// How often broken uploads are looked through for old ones.
const EXPIRY: Duration = Duration::from_secs(600);
/// The time that sessions have to write what they keep, once transfers are cut off.
const CUT: Duration = Duration::from_secs(20);
/// How long listeners may take, at the end, for the events that still wait.
const LAST_EVENTS: Duration = Duration::from_secs(5);

/// Reads the configuration again, and makes what is missing; an error is for people.
pub type Reread = Box<dyn Fn() -> Result<Loaded, String> + Send + Sync>;

/// A server that listens, and does not serve yet.
pub struct Server {
    loaded: Loaded,
    context: Arc<Context>,
    listeners: Vec<Bound>,
    lasting: Lasting,
    control: Control,
    /// Ends when all events have been told.
    told: mpsc::Receiver<()>,
}

/// A listener under the address that the configuration gives it.
struct Bound {
    configured: SocketAddr,
    kind: Kind,
    socket: TcpListener,
}

/// One address that the server listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// With the port that the system chose, if it was to choose.
    pub address: SocketAddr,
    /// Explicit or implicit.
    pub kind: Kind,
}

/// How TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// With AUTH TLS (RFC 4217).
    Explicit,
    /// With the first byte.
    Implicit,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Explicit => "explicit",
            Self::Implicit => "implicit",
        })
    }
}

impl Server {
    /// Loads everything and listens.
    ///
    /// # Errors
    /// What is wrong, with its place in the configuration.
    pub async fn start(loaded: Loaded) -> Result<Self, Problem> {
        signal::raise_open_files();
        let control = Control::listen(&loaded.config.server.state)
            .map_err(|error| loaded.problem("server.state", error.to_string()))?;
        let (ended, told) = mpsc::channel(1);
        let lasting = Lasting::new(&loaded, ended)?;
        let prepared = lasting.prepare(&loaded).await?;
        let listeners = bind(&loaded, addresses(&loaded.config))?;
        let context = lasting.context(&loaded, prepared);
        Ok(Self {
            loaded,
            context,
            listeners,
            lasting,
            control,
            told,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn listening(&self) -> Vec<Listening> {
        let listening = self.listeners.iter().filter_map(Bound::listening);
        listening.collect()
    }

    /// Serves until SIGTERM or SIGINT; then takes no new sessions, and gives transfers
    /// `server.drain-timeout` to end. SIGHUP, or a request on the control socket, reloads what
    /// `again` reads.
    ///
    /// # Errors
    /// When signals cannot be waited for.
    pub async fn run(self, again: Reread) -> io::Result<()> {
        let Self {
            loaded,
            context,
            listeners,
            lasting,
            control,
            mut told,
        } = self;
        let mut signals = signal::Signals::new()?;
        lasting.users().accounts.replace(&context);
        let limits = &loaded.config.limits;
        let (shutdown, shutting_down) = watch::channel(Shutdown::None);
        let (alive, mut gone) = mpsc::channel::<()>(1);
        let running = Arc::new(Running {
            shared: Arc::new(Shared::new(
                context,
                Admission::new(limits.sessions, limits.sessions_per_address),
                shutting_down,
            )),
            lasting,
            again: Arc::new(again),
            ending: watch::Sender::new(false),
            first: loaded.config.clone(),
            alive: alive.downgrade(),
            current: tokio::sync::Mutex::new(Current {
                loaded,
                listeners: Vec::new(),
                since: SystemTime::now(),
            }),
            started: SystemTime::now(),
        });
        for bound in listeners {
            running
                .current
                .lock()
                .await
                .serve(bound, &running.shared, &alive);
        }
        drop(alive);
        let expiry = tokio::spawn(expire(running.clone()));
        let accounts = tokio::spawn(reload::follow_accounts(running.clone()));
        let control = tokio::spawn(control.serve(running.clone()));
        let signal = loop {
            match signals.next().await {
                Sign::Stop(signal) => break signal,
                Sign::Reload => {
                    // Aside, so that SIGTERM is heard meanwhile.
                    let running = running.clone();
                    tokio::spawn(async move { running.reload("SIGHUP").await });
                }
            }
        };
        tracing::info!(
            signal,
            "shutting down: no new sessions, transfers may finish"
        );
        let drain = running.stop().await;
        expiry.abort();
        accounts.abort();
        control.abort();
        let _ = shutdown.send(Shutdown::Draining);
        let ended = tokio::select! {
            _ = gone.recv() => true,
            () = sleep(drain) => {
                tracing::warn!(limit = ?drain, "transfers are cut off");
                false
            }
            () = signals.stop() => {
                tracing::warn!("a second signal: transfers are cut off");
                false
            }
        };
        // A cut like any other: what has arrived of uploads is kept.
        let _ = shutdown.send(Shutdown::Cutting);
        tokio::select! {
            biased;
            _ = gone.recv() => tracing::info!("all sessions have ended"),
            () = sleep(CUT), if !ended => tracing::warn!(limit = ?CUT, "sessions were given up"),
            () = signals.stop() => tracing::warn!("another signal: sessions are given up"),
        }
        let _ = (expiry.await, accounts.await, control.await);
        // With it goes the last that keeps listeners waiting for events.
        let host = running.lasting.host();
        drop(running);
        tokio::select! {
            _ = told.recv() => {}
            () = sleep(LAST_EVENTS) => tracing::warn!("event listeners were cut off"),
            () = signals.stop() => tracing::warn!("a second signal: event listeners are cut off"),
        }
        // Last, since listeners keep things, too.
        let _ = tokio::task::spawn_blocking(move || host.flush()).await;
        Ok(())
    }
}

impl Bound {
    fn listening(&self) -> Option<Listening> {
        Some(Listening {
            address: self.socket.local_addr().ok()?,
            kind: self.kind,
        })
    }
}

/// Listens on these of the addresses that the configuration names.
fn bind(
    loaded: &Loaded,
    addresses: impl IntoIterator<Item = (SocketAddr, Kind)>,
) -> Result<Vec<Bound>, Problem> {
    let mut listeners = Vec::new();
    for (configured, kind) in addresses {
        let key = match kind {
            Kind::Explicit => "server.listen",
            Kind::Implicit => "server.listen-implicit",
        };
        let socket = listeners::listen(configured)
            .map_err(|error| loaded.problem(key, format!("{configured}: {error}")))?;
        listeners.push(Bound {
            configured,
            kind,
            socket,
        });
    }
    Ok(listeners)
}

fn addresses(config: &Config) -> impl Iterator<Item = (SocketAddr, Kind)> {
    let explicit = config
        .server
        .listen
        .iter()
        .map(|address| (*address, Kind::Explicit));
    let implicit = config.server.listen_implicit.iter();
    explicit.chain(implicit.map(|address| (*address, Kind::Implicit)))
}

/// A server that serves.
pub struct Running {
    shared: Arc<Shared>,
    lasting: Lasting,
    again: Arc<Reread>,
    /// Whether the end has begun, which a reload must not hold up.
    ending: watch::Sender<bool>,
    /// What it was started with.
    first: Config,
    /// Held by each session.
    alive: mpsc::WeakSender<()>,
    /// Held by the one who reloads.
    current: tokio::sync::Mutex<Current>,
    started: SystemTime,
}

/// What a reload replaces.
struct Current {
    loaded: Loaded,
    listeners: Vec<Serving>,
    /// When it was loaded.
    since: SystemTime,
}

/// A listener that accepts connections.
struct Serving {
    configured: SocketAddr,
    listening: Listening,
    task: JoinHandle<()>,
}

impl Current {
    /// Gives up those that go; their sockets are closed when this returns.
    async fn close(&mut self, goes: impl Fn(&Serving) -> bool) -> Vec<Serving> {
        let (mut closed, stay) = std::mem::take(&mut self.listeners)
            .into_iter()
            .partition::<Vec<_>, _>(goes);
        self.listeners = stay;
        for serving in &mut closed {
            serving.task.abort();
            let _ = (&mut serving.task).await;
        }
        closed
    }

    fn serve(&mut self, bound: Bound, shared: &Arc<Shared>, alive: &mpsc::Sender<()>) {
        let Some(listening) = bound.listening() else {
            return;
        };
        tracing::info!(address = %listening.address, tls = %listening.kind, "listening");
        let accept = listeners::accept(bound.socket, bound.kind, shared.clone(), alive.clone());
        self.listeners.push(Serving {
            configured: bound.configured,
            listening,
            task: tokio::spawn(accept),
        });
    }
}

impl Running {
    /// Takes no new sessions; says how long the others have.
    async fn stop(&self) -> Duration {
        // Whoever reloads gives up, and the lock.
        self.ending.send_replace(true);
        let current = self.current.lock().await;
        current
            .listeners
            .iter()
            .for_each(|serving| serving.task.abort());
        self.shared.replace(None);
        current.loaded.config.server.drain_timeout
    }
}

/// Removes broken uploads that nobody came back for.
async fn expire(running: Arc<Running>) {
    loop {
        sleep(EXPIRY).await;
        for (_, storage) in running.lasting.storages() {
            match storage.expire().await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, root = %storage.root().display(),
                    "broken uploads expired"),
                Err(error) => tracing::warn!(%error, "broken uploads cannot be looked through"),
            }
        }
    }
}
