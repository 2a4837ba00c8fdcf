//! Telling the service manager how the server is, as sd_notify(3) has it.

use std::{
    env,
    fmt::Write,
    future::Future,
    io::{self, IoSlice},
    mem::MaybeUninit,
    net::SocketAddr,
    os::{
        fd::{AsFd, BorrowedFd},
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr as UnixAddress, UnixDatagram},
    },
    pin::pin,
    sync::Arc,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
};
use sd_notify::NotifyState;
use tokio::time::sleep;

/// The variable that names the manager's socket.
const SOCKET: &str = "NOTIFY_SOCKET";
/// How long a message may wait for a manager that does not read.
const SEND: Duration = Duration::from_secs(1);
/// How often more time is asked for, and how much of it.
pub const EXTEND: Duration = Duration::from_secs(10);
const EXTENSION: u32 = 30_000_000;
/// How long the manager may take to do what it was told.
const SETTLE: Timespec = Timespec {
    tv_sec: 5,
    tv_nsec: 0,
};
/// The names of sockets that are kept begin with it.
pub(super) const KEPT: &str = "portcullis-listener-";

/// The way to the service manager; without one nothing is told. The socket is opened before the walls are
/// built: no serving thread could open it.
#[derive(Clone, Debug, Default)]
pub struct Notifier(Option<Arc<UnixDatagram>>);

/// The name under which the manager keeps a socket that listens on this address.
#[must_use]
pub fn name_of(address: SocketAddr) -> String {
    // A name has no colons.
    format!("{KEPT}{}", address.to_string().replace(':', "_"))
}

impl Notifier {
    /// Connects to the manager, if the environment names one.
    ///
    /// # Errors
    /// For people.
    pub(super) fn connect() -> Result<Self, String> {
        let Some(name) = env::var_os(SOCKET).filter(|name| !name.is_empty()) else {
            return Ok(Self::default());
        };
        let connected = || {
            let bytes = name.as_encoded_bytes();
            let address = match bytes.split_first() {
                Some((b'@', rest)) => UnixAddress::from_abstract_name(rest)?,
                Some((b'/', _)) => UnixAddress::from_pathname(&name)?,
                _ => {
                    return Err(io::Error::other(
                        "it is neither a path nor an abstract name",
                    ));
                }
            };
            let socket = UnixDatagram::unbound()?;
            socket.connect_addr(&address)?;
            socket.set_write_timeout(Some(SEND))?;
            Ok(socket)
        };
        let socket = connected()
            .map_err(|error| format!("{SOCKET} is {}: {error}", name.to_string_lossy()))?;
        Ok(Self(Some(Arc::new(socket))))
    }

    /// Tells it these things at once.
    pub fn tell(&self, states: &[NotifyState<'_>]) {
        self.send(states, None);
    }

    /// Has it keep a listening socket for the server that it starts after this one.
    pub fn keep(&self, name: &str, socket: BorrowedFd<'_>) {
        let states = [NotifyState::FdStore, NotifyState::FdName(name)];
        self.send(&states, Some(socket));
    }

    /// Has it close what it keeps under this name, if anything.
    pub fn forget(&self, name: &str) {
        self.tell(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)]);
    }

    /// Waits until it has done all that it was told, as sd_notify_barrier(3) does; some seconds at most.
    pub fn settle(&self) {
        if self.0.is_none() {
            return;
        }
        let settled = || -> io::Result<bool> {
            let (here, there) = io::pipe()?;
            self.send(&[NotifyState::Custom("BARRIER=1")], Some(there.as_fd()));
            drop(there);
            // It closes its end then.
            let mut ends = [PollFd::new(&here, PollFlags::empty())];
            Ok(poll(&mut ends, Some(&SETTLE))? > 0)
        };
        match settled() {
            Ok(true) => {}
            Ok(false) => tracing::warn!("the service manager takes its time"),
            Err(error) => tracing::warn!(%error, "the service manager"),
        }
    }

    /// Asks for more time to start or to end, enough until it is asked again after [`EXTEND`].
    pub fn extend(&self) {
        self.tell(&[NotifyState::ExtendTimeoutUsec(EXTENSION)]);
    }

    /// Does this, and asks for more time as long as that takes.
    pub async fn patient<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            self.extend();
            tokio::select! {
                done = &mut work => return done,
                () = sleep(EXTEND) => {}
            }
        }
    }

    /// Tells it that this process is alive, as often as it wants to hear it, until it is aborted. A runtime
    /// that hangs does not.
    pub async fn watch(self) {
        let Some(limit) = sd_notify::watchdog_enabled().filter(|_| self.0.is_some()) else {
            return;
        };
        loop {
            self.tell(&[NotifyState::Watchdog]);
            sleep(limit / 2).await;
        }
    }

    fn send(&self, states: &[NotifyState<'_>], descriptor: Option<BorrowedFd<'_>>) {
        let Some(socket) = &self.0 else { return };
        let mut text = String::new();
        for state in states {
            let _ = writeln!(text, "{state}");
        }
        let text = text.trim_end();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = descriptor.map(|one| [one]);
        if let Some(one) = &descriptors {
            control.push(SendAncillaryMessage::ScmRights(one));
        }
        let data = [IoSlice::new(text.as_bytes())];
        if let Err(error) = sendmsg(socket, &data, &mut control, SendFlags::NOSIGNAL) {
            tracing::warn!(%error, "the service manager cannot be told {text:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_such_as_systemd_takes() {
        for (address, name) in [
            ("127.0.0.1:21", "portcullis-listener-127.0.0.1_21"),
            ("[::1]:990", "portcullis-listener-[__1]_990"),
        ] {
            assert_eq!(address.parse().map(name_of), Ok(name.to_owned()));
        }
    }
}
