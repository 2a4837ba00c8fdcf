//! One port for the data connections of all sessions.
//!
//! A connection that comes is matched to its session by the ticket that it resumes, else by its address,
//! where one session of that address waits, else by nothing: then it is dropped, and those that it may
//! have been for are told. All that is seen from outside decides only who looks at a connection: the session
//! checks it as it checks those on a port of its own.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use ipnet::IpNet;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    task::AbortHandle,
    time::{sleep, timeout},
};

use super::{
    open::Terms,
    passive,
    proxied::{is_in, named},
};
use crate::{
    config::Binding,
    observe::Rate,
    open_files,
    tls::{
        SessionTls,
        hello::{ClientHello, FirstFlight},
    },
};

/// Connections that wait in the system's queue, of all sessions.
const BACKLOG: u32 = 1024;
/// Connections of one session that it has not looked at.
const QUEUE: usize = 8;
/// Connections of an address that have not said whose they are, for each of its sessions that wait.
const UNDECIDED: usize = 4;
/// The most bytes of a ClientHello.
const HELLO: usize = 16 << 10;
/// The first look at a ClientHello is at as many.
const USUAL: usize = 2 << 10;
/// How long the rest of a ClientHello is waited for: at first, and in all.
const REST: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(10));
/// How often a connection that says nothing is compared with those who wait.
const LOOK: Duration = Duration::from_secs(1);
/// Connections of proxies at a time whose header is read.
const PROXIED: usize = 1024;
/// How long nothing is accepted when there are too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Strangers may cause these lines by connecting to a proxy.
static UNNAMED: LazyLock<Arc<Rate>> =
    LazyLock::new(|| Rate::new("more data connections of proxies were nobody's"));

/// The ports that are open, each at one address of the server.
#[derive(Default)]
pub struct SharedPorts {
    open: Mutex<HashMap<SocketAddr, Arc<Port>>>,
}

/// A port, and the sessions that wait for a connection to it.
struct Port {
    board: Arc<Board>,
    accepting: AbortHandle,
}

impl Drop for Port {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Board {
    by_address: Mutex<HashMap<IpAddr, Address>>,
    /// The networks whose connections begin with a PROXY protocol header, and how long one may take, as
    /// the last session has it.
    proxies: Mutex<(Vec<IpNet>, Duration)>,
    proxied: Arc<Semaphore>,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            by_address: Mutex::default(),
            proxies: Mutex::default(),
            proxied: Arc::new(Semaphore::new(PROXIED)),
        }
    }
}

/// All that concerns one address of clients.
#[derive(Default)]
struct Address {
    waiting: Vec<Arc<Waiting>>,
    undecided: VecDeque<AbortHandle>,
}

/// A session that waits.
struct Waiting {
    /// The keys of PROT P, as the session has last said.
    tls: Mutex<Option<Arc<SessionTls>>>,
    come: mpsc::Sender<Come>,
}

/// Something that comes to a session.
pub enum Come {
    /// A connection, which is to prove itself.
    Connection(TcpStream, SocketAddr),
    /// There was one that may have been for this session, or for another.
    Ambiguous,
}

/// One session's place at a port. It waits for as long as it has it.
pub struct Seat {
    port: Arc<Port>,
    address: IpAddr,
    waiting: Arc<Waiting>,
    come: mpsc::Receiver<Come>,
}

impl SharedPorts {
    /// Closes all other ports than these, but for those that a session waits at.
    pub fn close_others(&self, ports: &[u16]) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|at, other| ports.contains(&at.port()) || other.board.is_used());
    }

    /// A place at the port of this address, which is opened if it is not yet. Connections from `proxies`
    /// begin with a PROXY protocol header. Needs a runtime.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn seat(&self, local: SocketAddr, terms: &Terms, proxies: &[IpNet]) -> io::Result<Seat> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let port = match open.get(&local) {
            Some(port) => port.clone(),
            None => {
                let listener = passive::bind(local, local.port(), BACKLOG)?;
                let board = Arc::new(Board::default());
                let accepting = tokio::spawn(accept(listener, board.clone())).abort_handle();
                let port = Arc::new(Port { board, accepting });
                open.insert(local, port.clone());
                port
            }
        };
        drop(open);
        *port.board.proxies() = (proxies.to_vec(), terms.handshake_timeout);
        let address = terms.peer.ip().to_canonical();
        let (sender, come) = mpsc::channel(QUEUE);
        let waiting = Arc::new(Waiting {
            tls: Mutex::new(terms.tls.clone()),
            come: sender,
        });
        let mut by_address = port.board.lock();
        let entry = by_address.entry(address).or_default();
        entry.waiting.push(waiting.clone());
        drop(by_address);
        Ok(Seat {
            port,
            address,
            waiting,
            come,
        })
    }
}

impl Seat {
    /// Says under which terms the session waits now.
    pub fn set_terms(&self, terms: &Terms) {
        let mut tls = self.waiting.lock();
        let same = match (&*tls, &terms.tls) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        if !same {
            tls.clone_from(&terms.tls);
        }
    }

    /// The next thing that comes.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Come>> {
        let come = self.come.poll_recv(context);
        // The sender is this seat's own.
        come.map(|come| come.ok_or_else(|| io::ErrorKind::BrokenPipe.into()))
    }

    /// Whether something has come that was not taken.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        !self.come.is_empty()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut by_address = self.port.board.lock();
        if let Some(address) = by_address.get_mut(&self.address) {
            address
                .waiting
                .retain(|waiting| !Arc::ptr_eq(waiting, &self.waiting));
            if address.waiting.is_empty() {
                let gone = by_address.remove(&self.address);
                let undecided = gone.into_iter().flat_map(|address| address.undecided);
                undecided.for_each(|connection| connection.abort());
            }
        }
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<SessionTls>>> {
        self.tls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session whose queue is full has enough to look at.
    fn tell(&self, come: Come) {
        let _ = self.come.try_send(come);
    }

    fn is_meant_by(&self, hello: &ClientHello) -> bool {
        self.lock()
            .as_ref()
            .is_some_and(|tls| tls.is_meant_by(hello))
    }

    /// Whether a connection may be for this one that resumes nothing; also if its client has `resumed`.
    fn may_be_meant_by(&self, flight: &FirstFlight, resumed: bool) -> bool {
        match (&*self.lock(), flight) {
            (None, FirstFlight::Clear | FirstFlight::Incomplete) => true,
            (Some(tls), FirstFlight::Hello(_)) => {
                tls.binding() != Binding::Require && (resumed || !tls.has_been_resumed())
            }
            _ => false,
        }
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Address>> {
        self.by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn proxies(&self) -> MutexGuard<'_, (Vec<IpNet>, Duration)> {
        self.proxies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the header of a connection from there may take; none where there is to be none.
    fn header_limit(&self, from: SocketAddr) -> Option<Duration> {
        let proxies = self.proxies();
        is_in(&proxies.0, from).then_some(proxies.1)
    }

    fn is_used(&self) -> bool {
        !self.lock().is_empty()
    }

    /// A connection has come.
    fn take(&self, tcp: TcpStream, from: SocketAddr) {
        let mut by_address = self.lock();
        let Some(address) = by_address.get_mut(&from.ip().to_canonical()) else {
            drop(by_address);
            tracing::debug!(client = %from, "nobody waits for a data connection from there");
            return;
        };
        if let [only] = address.waiting.as_slice() {
            only.tell(Come::Connection(tcp, from));
            return;
        }
        // Sessions that wait later are not meant.
        let waiting = address.waiting.clone();
        address.undecided.retain(|one| !one.is_finished());
        if address.undecided.len() >= UNDECIDED.saturating_mul(waiting.len())
            && let Some(oldest) = address.undecided.pop_front()
        {
            oldest.abort();
        }
        let undecided = tokio::spawn(decide(tcp, from, waiting));
        address.undecided.push_back(undecided.abort_handle());
    }
}

async fn accept(listener: TcpListener, board: Arc<Board>) {
    loop {
        match listener.accept().await {
            Ok((tcp, from)) => match board.header_limit(from) {
                Some(limit) => take_proxied(&board, tcp, from, limit),
                None => board.take(tcp, from),
            },
            Err(error) => {
                if open_files::is_exhausted(&error) {
                    open_files::complain("a data connection could not be accepted");
                }
                sleep(PAUSE).await;
            }
        }
    }
}

/// Takes a connection of a proxy once it has said for whom it is.
fn take_proxied(board: &Arc<Board>, tcp: TcpStream, proxy: SocketAddr, limit: Duration) {
    // Where so many say nothing, more of them are dropped.
    let Ok(permit) = board.proxied.clone().try_acquire_owned() else {
        return;
    };
    let board = board.clone();
    tokio::spawn(async move {
        match named(tcp, limit).await {
            Ok((tcp, client)) => board.take(tcp, client),
            Err(error) if UNNAMED.admits(proxy.ip()) => {
                tracing::warn!(%proxy, %error, "a data connection was dropped");
            }
            Err(_) => {}
        }
        drop(permit);
    });
}

/// Finds out which of these sessions a connection is for.
async fn decide(tcp: TcpStream, from: SocketAddr, waiting: Vec<Arc<Waiting>>) {
    // Nobody can tell those in the clear apart, whatever they will say.
    let clear = waiting.iter().all(|one| one.lock().is_none());
    let flight = match clear {
        true => FirstFlight::Incomplete,
        false => match first_flight(&tcp, &waiting).await {
            Some(flight) => flight,
            None => return,
        },
    };
    let meant: Vec<&Arc<Waiting>> = match &flight {
        FirstFlight::Hello(hello) => waiting
            .iter()
            .filter(|waiting| waiting.is_meant_by(hello))
            .collect(),
        _ => Vec::new(),
    };
    let may_be = |resumed: bool| -> Vec<&Arc<Waiting>> {
        let may_be = |one: &&Arc<Waiting>| one.may_be_meant_by(&flight, resumed);
        waiting.iter().filter(may_be).collect()
    };
    // A client that has resumed does so every time, unless it has used up its tickets.
    let fitting = [meant, may_be(false), may_be(true)];
    let fitting = fitting.iter().find(|fitting| !fitting.is_empty());
    match fitting.map_or(&[][..], Vec::as_slice) {
        [only] => only.tell(Come::Connection(tcp, from)),
        several => several.iter().for_each(|one| one.tell(Come::Ambiguous)),
    }
}

/// The first bytes of a connection, which stay in it. None when it, or everybody who waited, is gone.
async fn first_flight(tcp: &TcpStream, waiting: &[Arc<Waiting>]) -> Option<FirstFlight> {
    let mut bytes = vec![0; USUAL];
    let (mut rest, patience) = REST;
    let mut waited = Duration::ZERO;
    loop {
        let Ok(peeked) = timeout(LOOK, tcp.peek(&mut bytes)).await else {
            if waiting.iter().all(|waiting| waiting.come.is_closed()) {
                return None;
            }
            continue;
        };
        let length = peeked.ok().filter(|length| *length > 0)?;
        match FirstFlight::read(bytes.get(..length)?) {
            FirstFlight::Incomplete if length < bytes.len() => {
                if waited > patience {
                    return None;
                }
                sleep(rest).await;
                (waited, rest) = (waited + rest, rest * 2);
            }
            FirstFlight::Incomplete if length < HELLO => bytes.resize(HELLO, 0),
            // So long a one is nobody's.
            FirstFlight::Incomplete => return Some(FirstFlight::Hello(ClientHello::default())),
            flight => return Some(flight),
        }
    }
}
