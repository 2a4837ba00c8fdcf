//! Listeners, admission, and the end in order.

mod admission;
mod proxy;
mod signal;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use socket2::{Domain, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use self::admission::{Admission, Refused};
use crate::{
    config::{Loaded, Problem},
    gate::Gates,
    plugin::{Host, LoadError},
    session::{Origin, Session, context::Context},
    storage::{Storage, local::Local},
    tls::Tls,
};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// How often broken uploads are looked through for old ones.
const EXPIRY: Duration = Duration::from_secs(600);

/// A server that listens, and does not serve yet.
pub struct Server {
    context: Arc<Context>,
    listeners: Vec<(TcpListener, Kind)>,
    storages: Vec<Arc<Local>>,
}

/// One address that the server listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// With the port that the system chose, if it was to choose.
    pub address: SocketAddr,
    /// Explicit or implicit.
    pub kind: Kind,
}

/// How TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// With AUTH TLS (RFC 4217).
    Explicit,
    /// With the first byte.
    Implicit,
}

/// What a configuration stands for, loaded and checked, but not listening.
pub struct Parts {
    /// What sessions share.
    pub context: Arc<Context>,
    /// To look after.
    pub storages: Vec<Arc<Local>>,
}

/// Loads plugins, storages and certificates.
///
/// # Errors
/// What is wrong, with its place in the configuration.
pub async fn load(loaded: &Loaded) -> Result<Parts, Problem> {
    let config = &loaded.config;
    let (Some(certificate), Some(key)) = (&config.tls.certificate, &config.tls.key) else {
        let text = "no certificate is named, and none was made";
        return Err(loaded.problem("tls.certificate", text));
    };
    let tls = Tls::new(&config.tls, certificate, key)
        .map_err(|error| loaded.problem(&error.key, error.text.clone()))?;
    let gates = gates(loaded).await?;
    let (mut storages, mut locals) = (BTreeMap::new(), Vec::new());
    for (name, storage) in &config.storage {
        let local = Local::open(name, storage, &config.server.state)
            .map_err(|error| loaded.problem(&format!("storage.{name}"), error.to_string()))?;
        let local = Arc::new(local);
        locals.push(local.clone());
        storages.insert(name.clone(), local as Arc<dyn Storage>);
    }
    let context = Context::new(config.clone(), tls, gates, storages);
    Ok(Parts {
        context: Arc::new(context),
        storages: locals,
    })
}

async fn gates(loaded: &Loaded) -> Result<Gates, Problem> {
    let config = &loaded.config;
    let cache = config.server.compiled();
    let wrong = |error: LoadError| error.problem(loaded);
    let host = Host::new(&config.plugin_host, &cache).map_err(wrong)?;
    let gates = host
        .gates(&config.plugin, &config.server.state)
        .await
        .map_err(wrong)?;
    if gates.authenticators.is_empty() {
        let text = "there is no authentication plugin, so nobody could log in";
        return Err(loaded.problem("plugin", text));
    }
    Ok(gates)
}

impl Server {
    /// Loads everything and listens.
    ///
    /// # Errors
    /// What is wrong, with its place in the configuration.
    pub async fn start(loaded: &Loaded) -> Result<Self, Problem> {
        signal::raise_open_files();
        let Parts { context, storages } = load(loaded).await?;
        let server = &loaded.config.server;
        let mut listeners = Vec::new();
        for (addresses, kind, key) in [
            (&server.listen, Kind::Explicit, "server.listen"),
            (
                &server.listen_implicit,
                Kind::Implicit,
                "server.listen-implicit",
            ),
        ] {
            for address in addresses {
                let listener = listen(*address)
                    .map_err(|error| loaded.problem(key, format!("{address}: {error}")))?;
                listeners.push((listener, kind));
            }
        }
        Ok(Self {
            context,
            listeners,
            storages,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn listening(&self) -> Vec<Listening> {
        let listeners = self.listeners.iter();
        let listening = listeners.filter_map(|(listener, kind)| {
            Some(Listening {
                address: listener.local_addr().ok()?,
                kind: *kind,
            })
        });
        listening.collect()
    }

    /// Serves until SIGTERM or SIGINT; then takes no new sessions, and gives transfers
    /// `server.drain-timeout` to end.
    ///
    /// # Errors
    /// When signals cannot be waited for.
    pub async fn run(self) -> io::Result<()> {
        let mut stop = signal::Stop::new()?;
        let limits = &self.context.config.limits;
        let (shutdown, shutting_down) = watch::channel(false);
        let (alive, mut gone) = mpsc::channel::<()>(1);
        let shared = Arc::new(Shared {
            admission: Admission::new(limits.sessions, limits.sessions_per_address),
            context: self.context.clone(),
            sessions: AtomicU64::new(1),
            shutdown: shutting_down,
        });
        let mut tasks = JoinSet::new();
        for listening in self.listening() {
            let tls = match listening.kind {
                Kind::Explicit => "explicit",
                Kind::Implicit => "implicit",
            };
            tracing::info!(address = %listening.address, tls, "listening");
        }
        for (listener, kind) in self.listeners {
            tasks.spawn(accept(listener, kind, shared.clone(), alive.clone()));
        }
        tasks.spawn(expire(self.storages));
        drop(alive);
        let signal = stop.wait().await;
        tracing::info!(
            signal,
            "shutting down: no new sessions, transfers may finish"
        );
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
        let _ = shutdown.send(true);
        let drain = self.context.config.server.drain_timeout;
        tokio::select! {
            _ = gone.recv() => tracing::info!("all sessions have ended"),
            () = sleep(drain) => tracing::warn!(limit = ?drain, "transfers were cut off"),
            _ = stop.wait() => tracing::warn!("a second signal: transfers are cut off"),
        }
        Ok(())
    }
}

/// What accepting takes.
struct Shared {
    context: Arc<Context>,
    admission: Arc<Admission>,
    sessions: AtomicU64,
    shutdown: watch::Receiver<bool>,
}

/// Each address stands for itself: `[::]` does not take IPv4 along, so that both can be listed.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn accept(listener: TcpListener, kind: Kind, shared: Arc<Shared>, alive: mpsc::Sender<()>) {
    let mut backoff = Duration::ZERO;
    loop {
        match listener.accept().await {
            Ok((tcp, peer)) => {
                backoff = Duration::ZERO;
                let (shared, alive) = (shared.clone(), alive.clone());
                tokio::spawn(async move {
                    shared.connection(tcp, peer, kind).await;
                    drop(alive);
                });
            }
            Err(error) => {
                // Out of file descriptors, mostly: sessions that end give some back.
                backoff = (backoff * 2).clamp(Duration::from_millis(5), Duration::from_secs(1));
                tracing::error!(%error, wait = ?backoff, "cannot accept connections");
                sleep(backoff).await;
            }
        }
    }
}

impl Shared {
    async fn connection(&self, mut tcp: TcpStream, peer: SocketAddr, kind: Kind) {
        let Ok(local) = tcp.local_addr() else { return };
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let (mut client, mut server) = (peer, local);
        let config = &self.context.config;
        if config
            .server
            .proxy_networks
            .iter()
            .any(|network| network.contains(&peer.ip()))
        {
            let limit = config.limits.handshake_timeout;
            match timeout(limit, proxy::read_header(&mut tcp)).await {
                Ok(Ok(Some(addresses))) => (client, server) = addresses,
                Ok(Ok(None)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(proxy = %peer, %error, "a connection was refused");
                    return;
                }
                Err(_) => {
                    tracing::warn!(proxy = %peer, "no PROXY protocol header came in time");
                    return;
                }
            }
        }
        let permit = match self.admission.admit(client.ip()) {
            Ok(permit) => permit,
            Err(refused) => return refuse(&tcp, client, kind, refused),
        };
        let id = self.sessions.fetch_add(1, Ordering::Relaxed);
        let origin = Origin {
            id: format!("{id:x}").into(),
            client,
            server,
            local,
            implicit: kind == Kind::Implicit,
        };
        let session = Session::new(self.context.clone(), tcp, origin, self.shutdown.clone());
        session.run().await;
        drop(permit);
    }
}

/// Says why, if the client can understand it, and waits for nothing.
fn refuse(tcp: &TcpStream, client: SocketAddr, kind: Kind, refused: Refused) {
    let (limit, text) = match refused {
        Refused::Full => ("limits.sessions", "Too many sessions, try again later"),
        Refused::Address => (
            "limits.sessions-per-address",
            "Too many sessions from your address, try again later",
        ),
    };
    tracing::warn!(%client, limit, "a connection was refused");
    if kind == Kind::Explicit {
        let _ = tcp.try_write(format!("421 {text}\r\n").as_bytes());
    }
}

/// Removes broken uploads that nobody came back for.
async fn expire(storages: Vec<Arc<Local>>) {
    loop {
        sleep(EXPIRY).await;
        for storage in &storages {
            match storage.expire().await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, root = %storage.root().display(),
                    "broken uploads expired"),
                Err(error) => tracing::warn!(%error, "broken uploads cannot be looked through"),
            }
        }
    }
}
