//! The service manager is told that the server serves, reloads and ends, and how it is.

use std::{process, sync::Arc, time::Duration};

use sd_notify::NotifyState;
use tokio::time::sleep;

use super::Running;

/// How often the state is looked at that people see (`systemctl status`).
const LOOK: Duration = Duration::from_secs(5);

impl Running {
    /// Tells it that the server serves, and then how it is, until it is aborted.
    pub(super) async fn tell_state(self: Arc<Self>) {
        let mut told = self.state().await;
        self.notifier.tell(&[
            NotifyState::Ready,
            NotifyState::MainPid(process::id()),
            NotifyState::Status(&told),
        ]);
        loop {
            sleep(LOOK).await;
            let state = self.state().await;
            if state != told {
                self.notifier.tell(&[NotifyState::Status(&state)]);
                told = state;
            }
        }
    }

    /// One line for people.
    async fn state(&self) -> String {
        let current = self.current.lock().await;
        let addresses = current.listeners.iter();
        let addresses: Vec<_> = addresses
            .map(|serving| serving.listening.address.to_string())
            .collect();
        let sessions = match self.acceptor.admission.sessions() {
            1 => "1 session".to_owned(),
            count => format!("{count} sessions"),
        };
        format!("{sessions}; listening on {}", addresses.join(", "))
    }
}

/// Tells it of a reload for as long as it is there: also where the one who asked for it goes away.
pub(super) struct Reloading<'a>(&'a Running);

impl<'a> Reloading<'a> {
    pub(super) fn new(running: &'a Running) -> Self {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            running.notifier.tell(&[NotifyState::Reloading, now]);
        }
        Self(running)
    }
}

impl Drop for Reloading<'_> {
    fn drop(&mut self) {
        // A server that ends is not ready.
        if !*self.0.ending.borrow() {
            self.0.notifier.tell(&[NotifyState::Ready]);
        }
    }
}
