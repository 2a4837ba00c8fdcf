//! Sockets that the service manager has opened and passes at the start, as sd_listen_fds(3) has it.

use std::{
    io,
    net::SocketAddr,
    os::fd::{FromRawFd, OwnedFd},
};

use rustix::net::{
    SocketType,
    sockopt::{ipv6_v6only, socket_acceptconn, socket_type},
};
use socket2::Socket;

use super::notifier::{KEPT, name_of};

/// The sockets that nobody has asked for yet.
#[derive(Default)]
pub struct Passed(Vec<One>);

struct One {
    name: String,
    source: Source,
    address: SocketAddr,
    socket: Socket,
}

/// Where a socket is from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// A socket unit of the manager.
    Unit,
    /// A server before this one, for which the manager has kept it.
    Kept,
    /// The server before this one, which has handed it over; it may have had it from a socket unit.
    Handed { is_units: bool },
}

impl Source {
    /// Of one that the manager passes under this name.
    fn of(name: &str) -> Self {
        match name.starts_with(KEPT) {
            true => Self::Kept,
            false => Self::Unit,
        }
    }
}

/// A socket that was passed for an address.
pub struct Fitting {
    /// It listens.
    pub socket: Socket,
    /// Whether it is a socket unit's, which goes on listening when the server does not.
    pub is_units: bool,
}

impl Passed {
    /// Takes those that the environment tells of. Has to be called before anything else is opened, and
    /// once.
    ///
    /// # Errors
    /// For people: one that does not listen on a TCP port.
    pub(super) fn take() -> Result<Self, String> {
        let passed = sd_notify::listen_fds_with_names()
            .map_err(|error| format!("the sockets that the service manager passes: {error}"))?;
        let mut all = Vec::new();
        for (number, name) in passed {
            #[allow(unsafe_code, reason = "a descriptor that was passed is a number")]
            // SAFETY: it is open, as `listen_fds_with_names` has just found, and by the protocol it is
            // this process's: nothing else has been opened yet. Each is taken once.
            let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
            let about = |error: io::Error| {
                format!("the service manager passes {name} (descriptor {number}): {error}")
            };
            let (address, socket) = listening(descriptor).map_err(about)?;
            all.push(One {
                source: Source::of(&name),
                name,
                address,
                socket,
            });
        }
        Ok(Self(all))
    }

    /// Adds those that another server has handed over, which may have had them from a socket unit.
    ///
    /// # Errors
    /// When one does not listen.
    pub fn add(&mut self, handed: impl IntoIterator<Item = (OwnedFd, bool)>) -> io::Result<()> {
        for (descriptor, is_units) in handed {
            let (address, socket) = listening(descriptor)?;
            self.0.push(One {
                name: name_of(address),
                source: Source::Handed { is_units },
                address,
                socket,
            });
        }
        Ok(())
    }

    /// Makes sure that each is for one of these addresses, the configuration's. Closes what a server before
    /// this one has listened on and this one does not, and tells under which names those were kept.
    ///
    /// # Errors
    /// For people: a socket unit's that no address fits.
    pub fn compare(&mut self, configured: &[SocketAddr]) -> Result<Vec<String>, String> {
        let mut free = configured.to_vec();
        let fits = |one: &One| {
            let place = free.iter().position(|address| *address == one.address);
            place.map(|place| free.swap_remove(place)).is_some()
        };
        let (fitting, others) = std::mem::take(&mut self.0).into_iter().partition(fits);
        self.0 = fitting;
        let others: Vec<One> = others;
        if let Some(one) = others.iter().find(|one| one.source == Source::Unit) {
            return Err(format!(
                "the service manager passes {}, which listens on {}, and that is no address of the \
                 configuration: name it there, or take it out of the socket unit",
                one.name, one.address
            ));
        }
        Ok(others.into_iter().map(|one| one.name).collect())
    }

    /// The socket for this address of the configuration, if one was passed.
    pub fn fitting(&mut self, configured: SocketAddr) -> Option<Fitting> {
        let place = self.0.iter().position(|one| one.address == configured)?;
        let one = self.0.swap_remove(place);
        Some(Fitting {
            is_units: matches!(one.source, Source::Unit | Source::Handed { is_units: true }),
            socket: one.socket,
        })
    }
}

/// Makes sure that it is a TCP socket that listens; says where.
fn listening(descriptor: OwnedFd) -> io::Result<(SocketAddr, Socket)> {
    let kind = socket_type(&descriptor)?;
    let listens = socket_acceptconn(&descriptor)?;
    let socket = Socket::from(descriptor);
    let address = socket.local_addr()?.as_socket();
    let Some(address) = address.filter(|_| kind == SocketType::STREAM && listens) else {
        return Err(io::Error::other("it is no TCP socket that listens"));
    };
    if address.is_ipv6() && address.ip().is_unspecified() && !ipv6_v6only(&socket)? {
        return Err(io::Error::other(
            "it takes IPv4 along: say BindIPv6Only=ipv6-only in the socket unit, and name the address \
             of IPv4 beside it",
        ));
    }
    socket.set_nonblocking(true)?;
    Ok((address, socket))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    fn passed(name: &str, listener: TcpListener) -> One {
        let (address, socket) = listening(listener.into()).unwrap();
        One {
            name: name.to_owned(),
            source: Source::of(name),
            address,
            socket,
        }
    }

    #[test]
    fn sockets_are_found_by_their_address_and_none_is_left() {
        let listeners = ["127.0.0.1:0", "127.0.0.1:0"].map(|at| TcpListener::bind(at).unwrap());
        let [one, other] = listeners.each_ref().map(|one| one.local_addr().unwrap());
        let [first, second] = listeners;
        let mut all = Passed(vec![
            passed("ftp.socket", first),
            passed(&name_of(other), second),
        ]);
        let any = "127.0.0.1:0".parse().unwrap();
        assert_eq!(all.compare(&[any, one]), Ok(vec![name_of(other)]));
        assert!(all.fitting(any).is_none());
        assert!(all.fitting(one).unwrap().is_units);
        assert!(all.fitting(one).is_none(), "once");
        assert!(TcpListener::bind(other).is_ok(), "it is closed");
    }

    #[test]
    fn strangers_among_them_are_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut all = Passed(vec![passed("ftp.socket", listener)]);
        let text = all.compare(&[]).unwrap_err();
        assert!(text.contains("ftp.socket") && text.contains(&address.to_string()));
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        let error = listening(datagrams.into()).err().unwrap();
        assert!(error.to_string().contains("no TCP socket"), "{error}");
        let idle = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        assert!(listening(idle.into()).is_err());
        if let Ok(both) = TcpListener::bind("[::]:0") {
            let error = listening(both.into()).err().unwrap();
            assert!(error.to_string().contains("BindIPv6Only"), "{error}");
        }
    }
}
