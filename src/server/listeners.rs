//! Listeners, and what happens to a connection before it is a session.

use std::{
    fs::File,
    io,
    net::SocketAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::process::geteuid;
use socket2::{Domain, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use super::{
    TlsStart,
    admission::{Admission, Refused},
    bans::{Bans, Refusal},
};
use crate::{
    ftp::address,
    gate::{SessionInfo, event::Event},
    observe::Rate,
    open_files, proxy,
    session::{Origin, Session, Shutdown, generation::Generation, wire::Wire},
    types::access,
};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// The state of accepting.
pub(super) struct Acceptor {
    /// The generation of new sessions; a reload replaces it. None when there are no new ones any
    /// more.
    generation: RwLock<Option<Arc<Generation>>>,
    pub(super) admission: Arc<Admission>,
    bans: Arc<Bans>,
    sessions: AtomicU64,
    shutdown: watch::Receiver<Shutdown>,
    refusals: Arc<Rate>,
}

impl Acceptor {
    pub(super) fn new(
        generation: Arc<Generation>,
        admission: Arc<Admission>,
        bans: Arc<Bans>,
        shutdown: watch::Receiver<Shutdown>,
    ) -> Self {
        Self {
            generation: RwLock::new(Some(generation)),
            admission,
            bans,
            sessions: AtomicU64::new(1),
            shutdown,
            refusals: Rate::new("more connections were refused"),
        }
    }

    /// Sets the generation of new sessions from now on.
    pub(super) fn replace(&self, generation: Option<Arc<Generation>>) {
        *self
            .generation
            .write()
            .unwrap_or_else(PoisonError::into_inner) = generation;
    }

    pub(super) fn generation(&self) -> Option<Arc<Generation>> {
        self.generation
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Takes an address. Each stands for itself: `[::]` does not take IPv4 along, so that both can be
/// listed.
pub(super) fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Lets clients in.
pub(super) fn listen(socket: Socket) -> io::Result<TcpListener> {
    Wire::prepare(&socket);
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// The reason why an address cannot be had, for people.
pub(super) fn explain(address: SocketAddr, error: &io::Error) -> String {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => "another process has this address and port".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        io::ErrorKind::PermissionDenied => format!(
            "{} may not listen on port {}: ports below 1024 take root or CAP_NET_BIND_SERVICE, of \
             which a server lets go once it has started, so that a new one takes a restart",
            access::user(geteuid().as_raw()),
            address.port()
        ),
        _ => return format!("{address}: {error}"),
    };
    format!("{address}: {why} ({error})")
}

/// Accepts connections until it is aborted.
pub(super) async fn accept(
    listener: TcpListener,
    (configured, kind): (SocketAddr, TlsStart),
    acceptor: Arc<Acceptor>,
    alive: mpsc::Sender<()>,
) {
    let mut backoff = Duration::ZERO;
    let mut spare = Spare::new();
    loop {
        match listener.accept().await {
            Ok((tcp, peer)) => {
                backoff = Duration::ZERO;
                spare.renew();
                let (acceptor, alive) = (acceptor.clone(), alive.clone());
                tokio::spawn(async move {
                    acceptor.connection(tcp, peer, (configured, kind)).await;
                    drop(alive);
                });
            }
            Err(error) => {
                backoff = (backoff * 2).clamp(Duration::from_millis(5), Duration::from_secs(1));
                if open_files::is_exhausted(&error) {
                    open_files::complain("a connection was refused");
                    // Sessions that end give some back. Until then each client is told.
                    if spare.refuse(&listener, kind).await {
                        backoff = Duration::ZERO;
                        continue;
                    }
                } else {
                    tracing::error!(%error, wait = ?backoff, "cannot accept connections");
                }
                sleep(backoff).await;
            }
        }
    }
}

/// A descriptor that is given up to tell a client that there is none.
struct Spare(Option<File>);

impl Spare {
    fn new() -> Self {
        let mut spare = Self(None);
        spare.renew();
        spare
    }

    fn renew(&mut self) {
        if self.0.is_none() {
            self.0 = File::open("/dev/null").ok();
        }
    }

    /// Accepts a connection in its place, says why it is closed, and takes it back.
    async fn refuse(&mut self, listener: &TcpListener, kind: TlsStart) -> bool {
        self.renew();
        if self.0.take().is_none() {
            return false;
        }
        // The client may be gone by now.
        let accepted = timeout(Duration::from_millis(10), listener.accept()).await;
        let refused = matches!(&accepted, Ok(Ok(_)));
        if let Ok(Ok((tcp, _))) = accepted {
            say(&tcp, kind, open_files::TEXT);
        }
        self.renew();
        refused
    }
}

/// Tells a client why it is not let in, if it can understand it, and waits for nothing.
fn say(tcp: &TcpStream, kind: TlsStart, text: &str) {
    if kind == TlsStart::Explicit {
        let _ = tcp.try_write(format!("421 {text}\r\n").as_bytes());
    }
}

impl Acceptor {
    /// Serves a connection to the listener that is configured with this address.
    async fn connection(
        &self,
        mut tcp: TcpStream,
        peer: SocketAddr,
        (configured, kind): (SocketAddr, TlsStart),
    ) {
        let Ok(local) = tcp.local_addr() else { return };
        let Some(generation) = self.generation() else {
            return say(&tcp, kind, "The server is shutting down");
        };
        // A reload may have taken it away just now.
        let Some(listener) = generation.listener(configured, kind).cloned() else {
            return;
        };
        let peer = address::canonical(peer);
        let (mut client, mut server) = (peer, local);
        let mut proxies = listener.proxy_networks.iter();
        if proxies.any(|network| network.contains(&peer.ip())) {
            let limit = generation.config.limits.handshake_timeout;
            match timeout(limit, proxy::read_header(&mut tcp)).await {
                Ok(Ok(Some(addresses))) => (client, server) = addresses,
                Ok(Ok(None)) => {}
                Ok(Err(error)) => {
                    if self.refusals.admits(peer.ip()) {
                        tracing::warn!(proxy = %peer, %error, "a connection was refused");
                    }
                    return;
                }
                Err(_) => {
                    if self.refusals.admits(peer.ip()) {
                        tracing::warn!(proxy = %peer, "no PROXY protocol header came in time");
                    }
                    return;
                }
            }
        }
        if let Some(refusal) = self.bans.refuses(client.ip()) {
            return self.turn_away(&tcp, client, kind, &refusal);
        }
        if open_files::is_kept_back(&tcp) {
            open_files::complain("a connection was refused");
            return say(&tcp, kind, open_files::TEXT);
        }
        let permit = match self.admission.admit(client.ip()) {
            Ok(permit) => permit,
            Err(refused) => return self.refuse(&tcp, client, kind, refused),
        };
        let id = self.sessions.fetch_add(1, Ordering::Relaxed);
        let origin = Origin {
            id: format!("{id:x}").into(),
            client,
            server,
            local,
            listener,
        };
        let session = Session::new(generation, Wire::tcp(tcp), origin, self.shutdown.clone());
        Box::new(session).run().await;
        drop(permit);
    }

    /// Refuses a client that is not let in at all. It is told no more than that.
    fn turn_away(&self, tcp: &TcpStream, client: SocketAddr, kind: TlsStart, refusal: &Refusal) {
        let text = match refusal {
            Refusal::Banned(..) | Refusal::Denied(_) => "Your address is not let in, goodbye",
            Refusal::TooFast => "Too many connections from your address, try again later",
        };
        if self.refusals.admits(client.ip()) {
            self.tell_refused(client, &refusal.to_string());
            match refusal {
                Refusal::Banned(network, reason) => {
                    tracing::info!(%client, %network, reason, "a connection was refused: banned");
                }
                Refusal::Denied(network) => tracing::info!(
                    %client,
                    %network,
                    "a connection was refused: the deny file names it"
                ),
                Refusal::TooFast => tracing::warn!(
                    %client,
                    limit = "bans.connections-per-minute",
                    "a connection was refused"
                ),
            }
        }
        say(tcp, kind, text);
    }

    /// Tells those who observe the default host: no other is known yet.
    fn tell_refused(&self, client: SocketAddr, cause: &str) {
        if let Some(generation) = self.generation() {
            let nobody = SessionInfo::nobody("");
            let nobody = SessionInfo {
                client,
                ..SessionInfo::clone(&nobody)
            };
            let event = Event::ConnectionRefused { cause };
            generation.hosts.default().observers.emit(&nobody, &event);
        }
    }

    fn refuse(&self, tcp: &TcpStream, client: SocketAddr, kind: TlsStart, refused: Refused) {
        let (limit, text) = match refused {
            Refused::Full => ("limits.sessions", "Too many sessions, try again later"),
            Refused::Address => (
                "limits.sessions-per-address",
                "Too many sessions from your address, try again later",
            ),
        };
        if self.refusals.admits(client.ip()) {
            self.tell_refused(client, limit);
            tracing::warn!(%client, limit, "a connection was refused");
        }
        say(tcp, kind, text);
    }
}
