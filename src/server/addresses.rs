//! The addresses of a configuration: taken first, and listened on when nothing else can fail.

use std::{io, net::SocketAddr};

use socket2::Socket;
use tokio::net::TcpListener;

use super::{Listening, TlsStart, listeners};
use crate::{
    config::{Config, Loaded, Problem},
    confine::Loader,
    service::Passed,
    startup::{Startup, overlap},
};

/// A listener under the address that the configuration gives it.
pub(super) struct Bound {
    pub(super) configured: SocketAddr,
    pub(super) kind: TlsStart,
    pub(super) socket: TcpListener,
    /// Whether it is a socket unit's of the service manager.
    pub(super) is_units: bool,
}

/// An address that nobody is let in on yet.
pub(super) struct Taken {
    pub(super) configured: SocketAddr,
    pub(super) kind: TlsStart,
    /// None where a running server has it, of which this is a trial.
    pub(super) socket: Option<Socket>,
    /// Whether it is a socket unit's of the service manager.
    pub(super) is_units: bool,
}

/// Listens on these of the addresses that the configuration names.
pub(super) fn bind(
    loaded: &Loaded,
    addresses: impl IntoIterator<Item = (SocketAddr, TlsStart)>,
    loader: &Loader,
) -> Result<Vec<Bound>, Problem> {
    let startup = Startup::real();
    let taken = take(loaded, addresses, &startup, loader, &mut Passed::default())?;
    listen(loaded, taken)
}

/// Takes these of the addresses that the configuration names: the sockets that were passed for them, else
/// new ones.
pub(super) fn take(
    loaded: &Loaded,
    addresses: impl IntoIterator<Item = (SocketAddr, TlsStart)>,
    startup: &Startup,
    loader: &Loader,
    passed: &mut Passed,
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
        let (socket, is_units) = match passed.fitting(configured) {
            Some(fitting) => (Some(fitting.socket), fitting.is_units),
            None => {
                let bound = loader
                    .run(move || listeners::bind(configured))
                    .and_then(|bound| bound);
                let socket = unless_running(bound, configured, startup)
                    .map_err(|error| problem(listeners::explain(configured, &error)))?;
                (socket, false)
            }
        };
        all.push(Taken {
            configured,
            kind,
            socket,
            is_units,
        });
    }
    Ok(all)
}

/// None where the address cannot be had because the running server has it, of which this is a trial. It may
/// be a low port, for which it had more rights at its start, or a socket that was passed to it.
pub(super) fn unless_running(
    bound: io::Result<Socket>,
    address: SocketAddr,
    startup: &Startup,
) -> io::Result<Option<Socket>> {
    match bound {
        Ok(socket) => Ok(Some(socket)),
        Err(error) => match error.kind() {
            io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied if startup.has(address) => {
                Ok(None)
            }
            _ => Err(error),
        },
    }
}

/// Lets clients in.
pub(super) fn listen(loaded: &Loaded, all: Vec<Taken>) -> Result<Vec<Bound>, Problem> {
    let mut listeners = Vec::new();
    for taken in all {
        let (configured, kind, is_units) = (taken.configured, taken.kind, taken.is_units);
        let Some(socket) = taken.socket else { continue };
        let socket = listeners::listen(socket).map_err(|error| {
            let key = listener_key(loaded, configured, kind);
            loaded.problem(&key, listeners::explain(configured, &error))
        })?;
        listeners.push(Bound {
            configured,
            kind,
            socket,
            is_units,
        });
    }
    Ok(listeners)
}

/// The key of an address: `server.listen[0]`, `listener[1].address`.
pub(super) fn listener_key(loaded: &Loaded, address: SocketAddr, kind: TlsStart) -> String {
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
