//! Signals of the operating system.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that the server listens to.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// The request of a signal.
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
