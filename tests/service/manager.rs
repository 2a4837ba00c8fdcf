//! The part of a service manager that a server sees.

use std::{
    collections::BTreeMap,
    io::IoSliceMut,
    mem::MaybeUninit,
    os::{
        fd::OwnedFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::support::eventually;

/// Hears what a server tells, and keeps the sockets that it is given.
pub struct Manager {
    /// The value of NOTIFY_SOCKET.
    pub name: String,
    heard: Arc<Heard>,
    listening: Option<JoinHandle<()>>,
    _directory: tempfile::TempDir,
}

#[derive(Default)]
struct Heard {
    messages: Mutex<Vec<String>>,
    kept: Mutex<BTreeMap<String, OwnedFd>>,
    ended: AtomicBool,
}

impl Manager {
    /// One that listens at a path, which everybody may reach, as systemd's may be.
    pub fn at_a_path() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let name = path.display().to_string();
        Self::new(UnixDatagram::bind(path).unwrap(), name, directory)
    }

    /// One that listens at an abstract name.
    pub fn at_an_abstract_name() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The name of the directory is nobody else's.
        let name = directory.path().display().to_string();
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        Self::new(socket, format!("@{name}"), directory)
    }

    fn new(socket: UnixDatagram, name: String, directory: tempfile::TempDir) -> Self {
        let wait = Duration::from_millis(50);
        socket.set_read_timeout(Some(wait)).unwrap();
        let heard = Arc::new(Heard::default());
        let hears = heard.clone();
        Self {
            name,
            heard,
            listening: Some(thread::spawn(move || hears.listen(&socket))),
            _directory: directory,
        }
    }

    /// All that it was told, a message each, but signs of life.
    pub fn told(&self) -> Vec<String> {
        let messages = self.heard.messages.lock().unwrap();
        let messages = messages.iter().filter(|one| *one != "WATCHDOG=1");
        messages.cloned().collect()
    }

    /// How often it was told that the server lives.
    pub fn signs_of_life(&self) -> usize {
        let messages = self.heard.messages.lock().unwrap();
        messages.iter().filter(|one| *one == "WATCHDOG=1").count()
    }

    /// Waits until it has been told so, in one message.
    #[track_caller]
    pub fn hears(&self, words: &[&str]) -> String {
        let mut found = None;
        eventually(&format!("{words:?} in {:?}", self.told()), || {
            let mut told = self.told().into_iter();
            found = told.find(|one| words.iter().all(|word| one.contains(word)));
            found.is_some()
        });
        found.unwrap()
    }

    /// Forgets all that it was told.
    pub fn clear(&self) {
        self.heard.messages.lock().unwrap().clear();
    }

    /// The names of the sockets that it keeps.
    pub fn names(&self) -> Vec<String> {
        self.heard.kept.lock().unwrap().keys().cloned().collect()
    }

    /// The sockets that it keeps.
    pub fn kept(&self) -> Vec<(String, OwnedFd)> {
        let kept = self.heard.kept.lock().unwrap();
        kept.iter()
            .map(|(name, socket)| (name.clone(), socket.try_clone().unwrap()))
            .collect()
    }
}

impl Heard {
    fn listen(&self, socket: &UnixDatagram) {
        while !self.ended.load(Ordering::Relaxed) {
            let mut bytes = [0; 4096];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut parts = [IoSliceMut::new(&mut bytes)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            let Ok(received) = recvmsg(socket, &mut parts, &mut control, flags) else {
                continue;
            };
            let mut descriptors = Vec::new();
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(more) = message {
                    descriptors.extend(more);
                }
            }
            let text = String::from_utf8_lossy(&bytes[..received.bytes]).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            let name = lines.iter().find_map(|line| line.strip_prefix("FDNAME="));
            if lines.contains(&"FDSTORE=1") {
                let mut kept = self.kept.lock().unwrap();
                kept.insert(name.unwrap().to_owned(), descriptors.pop().unwrap());
            }
            if lines.contains(&"FDSTOREREMOVE=1") {
                self.kept.lock().unwrap().remove(name.unwrap());
            }
            self.messages.lock().unwrap().push(text);
            // That of a barrier is closed here.
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.heard.ended.store(true, Ordering::Relaxed);
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}
