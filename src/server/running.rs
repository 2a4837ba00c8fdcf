//! A server that serves, as all its tasks see it.

use std::{
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
};

use super::{
    Listening, Reread,
    addresses::Bound,
    generations::Generations,
    listeners::{self, Acceptor},
    resources::Resources,
};
use crate::{
    acme,
    config::{Config, Loaded},
    confine::Confinement,
    service::{Notifier, name_of},
};

/// A server that serves.
pub struct Running {
    /// How the certificate of ACME stands.
    pub(super) acme: Arc<Mutex<acme::Report>>,
    pub(super) acceptor: Arc<Acceptor>,
    pub(super) generations: Generations,
    pub(super) resources: Resources,
    pub(super) again: Arc<Reread>,
    pub(super) confinement: Confinement,
    /// Whether the end has begun, which a reload must not hold up.
    pub(super) ending: watch::Sender<bool>,
    /// The configuration at the start.
    pub(super) first: Config,
    /// Held by each session.
    pub(super) alive: mpsc::WeakSender<()>,
    /// Held by the one who reloads.
    pub(super) current: tokio::sync::Mutex<Current>,
    /// Ends the server.
    pub(super) stop: Notify,
    /// The same, when another one has its listeners.
    pub(super) taken_over: Notify,
    /// Where the administration is served over TCP.
    pub(super) admin: Option<SocketAddr>,
    /// Where the metrics are.
    pub(super) metrics: Option<SocketAddr>,
    pub(super) started: SystemTime,
    pub(super) notifier: Notifier,
}

/// The parts that a reload replaces.
pub(super) struct Current {
    pub(super) loaded: Loaded,
    pub(super) listeners: Vec<Serving>,
    /// When it was loaded.
    pub(super) since: SystemTime,
    pub(super) notifier: Notifier,
}

/// A listener that accepts connections.
pub(super) struct Serving {
    pub(super) configured: SocketAddr,
    pub(super) listening: Listening,
    /// Whether its socket is a socket unit's of the service manager.
    pub(super) is_units: bool,
    /// A handle of its socket, for a server that takes over. None once it is closed.
    pub(super) socket: Option<OwnedFd>,
    pub(super) task: JoinHandle<()>,
}

impl Serving {
    /// Notes that it was closed.
    pub(super) fn tell_closed(&self) {
        let address = self.listening.address;
        match self.is_units {
            false => tracing::info!(%address, "listening no more"),
            true => tracing::warn!(
                %address,
                "listening no more, but the service manager does: take the address out of its socket unit"
            ),
        }
    }
}

impl Current {
    /// Gives up those that go; their sockets are closed when this returns.
    pub(super) async fn close(&mut self, goes: impl Fn(&Serving) -> bool) -> Vec<Serving> {
        let (mut closed, stay) = std::mem::take(&mut self.listeners)
            .into_iter()
            .partition::<Vec<_>, _>(goes);
        self.listeners = stay;
        for serving in &mut closed {
            self.forget(serving);
            serving.socket = None;
            serving.task.abort();
            let _ = (&mut serving.task).await;
        }
        closed
    }

    /// Has the service manager let go of the address, too.
    pub(super) fn forget(&self, serving: &Serving) {
        self.notifier.forget(&name_of(serving.listening.address));
    }

    pub(super) fn serve(
        &mut self,
        bound: Bound,
        acceptor: &Arc<Acceptor>,
        alive: &mpsc::Sender<()>,
    ) {
        let Some(listening) = bound.listening() else {
            return;
        };
        tracing::info!(address = %listening.address, tls = %listening.kind, "listening");
        if !bound.is_units {
            let name = name_of(listening.address);
            self.notifier.keep(&name, bound.socket.as_fd());
        }
        let socket = bound.socket.as_fd().try_clone_to_owned();
        let socket = socket.inspect_err(|error| tracing::warn!(%error, "it cannot be handed over"));
        let configured = (bound.configured, bound.kind);
        let accept = listeners::accept(bound.socket, configured, acceptor.clone(), alive.clone());
        self.listeners.push(Serving {
            configured: bound.configured,
            listening,
            is_units: bound.is_units,
            socket: socket.ok(),
            task: tokio::spawn(accept),
        });
    }
}

impl Running {
    /// Has the service manager keep none of the listeners, and none of the addresses beside them.
    pub(super) async fn forget(&self, beside: &[SocketAddr]) {
        // A reload under way gives up, and the lock.
        self.ending.send_replace(true);
        let current = self.current.lock().await;
        let listeners = current.listeners.iter();
        listeners.for_each(|serving| current.forget(serving));
        let beside = beside.iter();
        beside.for_each(|address| self.notifier.forget(&name_of(*address)));
    }

    /// Takes no new sessions; says how long the others have.
    pub(super) async fn stop(&self) -> Duration {
        // A reload under way gives up, and the lock.
        self.ending.send_replace(true);
        let mut current = self.current.lock().await;
        for serving in current.listeners.drain(..) {
            serving.task.abort();
        }
        self.acceptor.replace(None);
        current.loaded.config.server.drain_timeout
    }
}
