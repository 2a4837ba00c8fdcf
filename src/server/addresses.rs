//! The addresses of a configuration: taken first, and listened on when nothing else can fail.

use std::{io, net::SocketAddr};

use socket2::Socket;
use tokio::net::TcpListener;

use super::{Listening, TlsStart, listeners};
use crate::{
    config::{Config, Loaded, Problem},
    confine::Loader,
    startup::{Startup, overlap},
};

/// A listener under the address that the configuration gives it.
pub(super) struct Bound {
    pub(super) configured: SocketAddr,
    pub(super) kind: TlsStart,
    pub(super) socket: TcpListener,
}

/// An address that nobody is let in on yet.
pub(super) struct Taken {
    pub(super) configured: SocketAddr,
    pub(super) kind: TlsStart,
    /// None where a running server has it, of which this is a trial.
    pub(super) socket: Option<Socket>,
}

/// Listens on these of the addresses that the configuration names.
pub(super) fn bind(
    loaded: &Loaded,
    addresses: impl IntoIterator<Item = (SocketAddr, TlsStart)>,
    loader: &Loader,
) -> Result<Vec<Bound>, Problem> {
    listen(loaded, take(loaded, addresses, &Startup::real(), loader)?)
}

/// Takes these of the addresses that the configuration names.
pub(super) fn take(
    loaded: &Loaded,
    addresses: impl IntoIterator<Item = (SocketAddr, TlsStart)>,
    startup: &Startup,
    loader: &Loader,
) -> Result<Vec<Taken>, Problem> {
    let mut all: Vec<Taken> = Vec::new();
    for (configured, kind) in addresses {
        let problem = |text| loaded.problem(&listener_key(loaded, configured, kind), text);
        // The system says so only once one of them listens.
        if let Some(other) = all
            .iter()
            .find(|other| overlap(configured, other.configured))
        {
            let key = listener_key(loaded, other.configured, other.kind);
            let text = format!("{configured}: {key} takes it, as {}", other.configured);
            return Err(problem(text));
        }
        let socket = match loader
            .run(move || listeners::bind(configured))
            .and_then(|bound| bound)
        {
            Ok(socket) => Some(socket),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && startup.has(configured) => {
                None
            }
            Err(error) => return Err(problem(listeners::explain(configured, &error))),
        };
        all.push(Taken {
            configured,
            kind,
            socket,
        });
    }
    Ok(all)
}

/// Lets clients in.
pub(super) fn listen(loaded: &Loaded, all: Vec<Taken>) -> Result<Vec<Bound>, Problem> {
    let mut listeners = Vec::new();
    for taken in all {
        let (configured, kind) = (taken.configured, taken.kind);
        let Some(socket) = taken.socket else { continue };
        let socket = listeners::listen(socket).map_err(|error| {
            let key = listener_key(loaded, configured, kind);
            loaded.problem(&key, listeners::explain(configured, &error))
        })?;
        listeners.push(Bound {
            configured,
            kind,
            socket,
        });
    }
    Ok(listeners)
}

/// The key of an address: `server.listen[0]`, `listener[1].address`.
fn listener_key(loaded: &Loaded, address: SocketAddr, kind: TlsStart) -> String {
    let mut listeners = loaded.config.listeners();
    let found = listeners.find(|one| one.address == address && one.tls == kind);
    found.map_or_else(|| "server.listen".to_owned(), |listener| listener.key)
}

pub(super) fn addresses(config: &Config) -> impl Iterator<Item = (SocketAddr, TlsStart)> {
    let listeners = config.listeners();
    listeners.map(|listener| (listener.address, listener.tls))
}

impl Taken {
    pub(super) fn listening(&self) -> Listening {
        let address = self
            .socket
            .as_ref()
            .and_then(|socket| socket.local_addr().ok());
        Listening {
            address: address
                .and_then(|address| address.as_socket())
                .unwrap_or(self.configured),
            kind: self.kind,
        }
    }
}

impl Bound {
    pub(super) fn listening(&self) -> Option<Listening> {
        Some(Listening {
            address: self.socket.local_addr().ok()?,
            kind: self.kind,
        })
    }
}
