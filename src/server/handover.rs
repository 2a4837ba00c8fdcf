//! Handing the listening sockets over to the server that is to come after this one: `serve --take-over`.
//!
//! The new one connects to a socket in the state directory, gets the listening sockets, and waits until
//! the old one has ended. Nobody is refused meanwhile: who comes waits in their queues. The two never
//! serve at the same time, so that all that is one server's (the state file, staging, bans) is left in
//! order before the next one takes it.

use std::{
    io::{self, IoSlice, IoSliceMut, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
        sockopt::{Timeout, set_socket_timeout, socket_peercred},
    },
    process::{Pid, PidfdFlags, geteuid, pidfd_open},
};
use tokio::{
    io::{AsyncReadExt, Interest},
    time::timeout,
};

use super::{Running, control::Short};
use crate::service::{EXTEND, Notifier};

/// The socket's name in the state directory.
pub(super) const SOCKET: &str = "handover.sock";
/// The question, with the version of all that follows.
const ASK: &[u8] = b"portcullis take-over 1\n";
/// The word of the new server that it has the sockets.
const TAKEN: &[u8] = b"taken\n";
/// How long the other side may take for each step. The old server may be reloading.
const STEP: Duration = Duration::from_secs(30);
/// The most sockets that are handed over, as the system has it for one message (SCM_MAX_FD).
const MOST: usize = 253;

/// A listening socket on its way.
pub struct Handed {
    /// The socket.
    pub socket: OwnedFd,
    /// Whether it is a socket unit's of the service manager.
    pub is_units: bool,
}

/// Waits for a server that is to come after this one, until it is aborted. `beside` are the sockets that no
/// reload replaces.
pub(super) async fn serve(listener: UnixListener, beside: Vec<Handed>, running: Arc<Running>) {
    let listener = match tokio::net::UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the socket for a take-over"),
    };
    loop {
        let handed = match listener.accept().await {
            Ok((stream, _)) => hand_over(stream, &beside, &running).await,
            Err(error) => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Err(error)
            }
        };
        match handed {
            Ok(process) => {
                tracing::info!(process, "another server takes over");
                let audit = running.resources.audit();
                audit.administration("the control socket", "take-over", Ok("the server ends"));
                running.taken_over.notify_one();
                return;
            }
            Err(error) => tracing::warn!(%error, "nothing was taken over, and the server goes on"),
        }
    }
}

/// Gives the sockets to the one who asks; says which process that is.
async fn hand_over(
    mut stream: tokio::net::UnixStream,
    beside: &[Handed],
    running: &Running,
) -> io::Result<i32> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let peer = stream.peer_cred()?;
    if peer.uid() != geteuid().as_raw() {
        let text = format!("user {} asked for it, who is not the server's", peer.uid());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    let mut asked = [0; ASK.len()];
    let read = timeout(STEP, stream.read_exact(&mut asked)).await;
    read.map_err(late)??;
    if asked != *ASK {
        return Err(io::Error::other(
            "another version asks for it in other words",
        ));
    }
    // Handles of its own: neither a reload nor the end is to wait for the other server.
    let mut handed = Vec::new();
    for one in &running.current.lock().await.listeners {
        if let Some(socket) = &one.socket {
            let (socket, is_units) = (socket.try_clone()?, one.is_units);
            handed.push(Handed { socket, is_units });
        }
    }
    let all = || handed.iter().chain(beside);
    if all().count() > MOST {
        return Err(io::Error::other("there are too many listeners"));
    }
    let sockets: Vec<_> = all().map(|one| one.socket.as_fd()).collect();
    let units: Vec<_> = all().map(|one| one.is_units).collect();
    let text = serde_json::to_vec(&units).map_err(io::Error::other)?;
    let sent = stream.async_io(Interest::WRITABLE, || send(stream.as_fd(), &text, &sockets));
    timeout(STEP, sent).await.map_err(late)??;
    let mut taken = [0; TAKEN.len()];
    let read = timeout(STEP, stream.read_exact(&mut taken)).await;
    read.map_err(late)??;
    match taken == *TAKEN {
        true => Ok(peer.pid().unwrap_or_default()),
        false => Err(io::Error::other("the other server did not take them")),
    }
}

fn send(stream: BorrowedFd<'_>, text: &[u8], sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(sockets));
    sendmsg(
        stream,
        &[IoSlice::new(text)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// The server that runs with a state directory.
pub struct Predecessor {
    stream: UnixStream,
    process: Pid,
    alive: OwnedFd,
}

impl Predecessor {
    /// Finds it, if one runs.
    ///
    /// # Errors
    /// When there is one that cannot be asked.
    pub fn find(state: &Path) -> io::Result<Option<Self>> {
        let stream =
            match Short::new(state, SOCKET).and_then(|short| UnixStream::connect(&short.path)) {
                Ok(stream) => stream,
                Err(error) => {
                    return match error.kind() {
                        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
                        _ => Err(error),
                    };
                }
            };
        let process = socket_peercred(&stream)?.pid;
        let alive = pidfd_open(process, PidfdFlags::empty())?;
        Ok(Some(Self {
            stream,
            process,
            alive,
        }))
    }

    /// Gets its listening sockets, and waits until it has ended.
    ///
    /// # Errors
    /// When it hands nothing over; then it goes on.
    pub fn take_over(mut self, notifier: &Notifier) -> io::Result<Vec<Handed>> {
        for side in [Timeout::Recv, Timeout::Send] {
            // Longer than the other side gives itself.
            set_socket_timeout(&self.stream, side, Some(STEP * 2))?;
        }
        self.stream.write_all(ASK)?;
        let handed = self.receive()?;
        self.stream.write_all(TAKEN)?;
        let process = self.process.as_raw_nonzero();
        tracing::info!(process, "the server there has handed over, and ends");
        let wait = Timespec::try_from(EXTEND).map_err(io::Error::other)?;
        let mut ends = [PollFd::new(&self.alive, PollFlags::IN)];
        while poll(&mut ends, Some(&wait))? == 0 {
            notifier.extend();
        }
        Ok(handed)
    }

    fn receive(&self) -> io::Result<Vec<Handed>> {
        let mut text = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut text)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(&self.stream, &mut parts, &mut control, flags)?;
        let mut sockets = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(more) = message {
                sockets.extend(more);
            }
        }
        let text = text.get(..received.bytes).unwrap_or_default();
        if text.is_empty() {
            return Err(io::Error::other(
                "the server that runs hands nothing over; its log says why",
            ));
        }
        let units: Vec<bool> = serde_json::from_slice(text).map_err(io::Error::other)?;
        if units.len() != sockets.len() {
            return Err(io::Error::other("some of the sockets are missing"));
        }
        let handed = sockets.into_iter().zip(units);
        Ok(handed
            .map(|(socket, is_units)| Handed { socket, is_units })
            .collect())
    }
}
