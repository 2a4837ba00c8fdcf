//! What the operating system tells the daemon, and lends it.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that the server listens to.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// The end; by the signal's name.
    Stop(&'static str),
    /// A reload.
    Reload,
}

impl Signals {
    /// Takes over SIGTERM, SIGINT and SIGHUP.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self {
            terminate,
            interrupt,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Sign {
        tokio::select! {
            _ = self.terminate.recv() => Sign::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Sign::Stop("SIGINT"),
            _ = self.hangup.recv() => Sign::Reload,
        }
    }

    /// The next one that ends the server.
    pub async fn stop(&mut self) {
        while self.next().await == Sign::Reload {}
    }
}

/// A session has up to four descriptors; the usual soft limit of 1024 is for `select`.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}
