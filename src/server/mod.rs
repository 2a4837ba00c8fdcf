//! Listeners, admission, reload, and the end in order.

mod addresses;
pub mod admin;
mod admission;
pub mod bans;
pub mod control;
mod generations;
pub mod handover;
mod listeners;
#[cfg(feature = "misbehave")]
mod misbehave;
mod preopen;
mod reload;
mod resources;
mod running;
mod signal;
mod telling;
mod warnings;

use std::{
    future::pending,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use sd_notify::NotifyState;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
    time::sleep,
};

use self::{
    addresses::{Bound, listen},
    admin::AdminListener,
    admission::Admission,
    control::Control,
    generations::Generations,
    listeners::Acceptor,
    preopen::open,
    resources::Resources,
    running::Current,
    signal::Sign,
};
use crate::{
    acme::{Keeper, store::Store},
    config::{self, Loaded, Problem},
    confine::{self, Confinement},
    plugin::{Tools, compiler::Compiler},
    service::Notifier,
    session::{Shutdown, generation::Generation},
    startup::Startup,
    types::BoxFuture,
};

pub use self::{
    preopen::{Preopened, Tried, preopen, try_start},
    resources::PreparedHost,
    running::Running,
};
pub use crate::types::TlsStart;

/// The name of an end that was asked for by a command.
const DRAIN: &str = "drain";
/// That of one after which another server has the listeners.
const TAKE_OVER: &str = "take-over";
/// After how many minutes broken uploads are looked through for old ones.
const EXPIRY: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);
/// The time that sessions have to write what they keep, once transfers are cut off.
const CUT: Duration = Duration::from_secs(20);
/// How long listeners may take, at the end, for the events that still wait.
const LAST_EVENTS: Duration = Duration::from_secs(5);

/// Reads the configuration again, and makes what is missing; an error is for people.
pub type Reread = Box<dyn Fn() -> Result<Loaded, String> + Send + Sync>;

/// A server that listens, and does not serve yet.
pub struct Server {
    loaded: Loaded,
    confinement: Confinement,
    generation: Arc<Generation>,
    listeners: Vec<Bound>,
    resources: Resources,
    control: Control,
    admin: Vec<AdminListener>,
    notifier: Notifier,
    /// Ends when all events have been told.
    told: mpsc::Receiver<()>,
}

/// One address that the server listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// With the port that the system chose, if it was to choose.
    pub address: SocketAddr,
    /// Explicit or implicit.
    pub kind: TlsStart,
}

impl Server {
    /// Loads everything and listens.
    ///
    /// # Errors
    /// The problem, with its place in the configuration.
    pub async fn start(
        mut loaded: Loaded,
        preopened: Preopened,
        compiler: Compiler,
        confinement: Confinement,
        notifier: Notifier,
    ) -> Result<Self, Problem> {
        let tools = Tools {
            compiler,
            loader: confinement.loader.clone(),
        };
        let (storages, audit) = (preopened.storages, preopened.audit);
        audit
            .start()
            .map_err(|error| loaded.problem("audit", error.to_string()))?;
        let startup = Arc::new(Startup::real());
        let opened = open(&mut loaded, storages, audit, tools, &startup).await?;
        let Some(control) = preopened.control else {
            return Err(loaded.problem("server.state", "it cannot be had"));
        };
        let listeners = listen(&loaded, preopened.addresses)?;
        let admin = preopened.admin.listen(&loaded)?;
        confinement.tell();
        warnings::tell(&loaded);
        let generation = opened.resources.generation(&loaded, opened.prepared);
        Ok(Self {
            loaded,
            confinement,
            generation,
            listeners,
            resources: opened.resources,
            control,
            admin,
            notifier,
            told: opened.told,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn listening(&self) -> Vec<Listening> {
        let listening = self.listeners.iter().filter_map(Bound::listening);
        listening.collect()
    }

    /// Serves until SIGTERM or SIGINT; then takes no new sessions, and gives transfers
    /// `server.drain-timeout` to end. SIGHUP, or a request on the control socket, reloads what
    /// `again` reads.
    ///
    /// # Errors
    /// When signals cannot be waited for.
    pub async fn run(self, again: Reread) -> io::Result<()> {
        let Self {
            loaded,
            confinement,
            generation,
            listeners,
            resources,
            control,
            admin,
            notifier,
            mut told,
        } = self;
        let mut signals = signal::Signals::new()?;
        resources.users().accounts.replace(&generation);
        let limits = &loaded.config.limits;
        let (shutdown, shutting_down) = watch::channel(Shutdown::None);
        let (alive, mut gone) = mpsc::channel::<()>(1);
        let store = Store::of(&loaded.config.server.state);
        let keeper = Keeper::new(store, resources.challenges().clone());
        let running = Arc::new(Running {
            acme: keeper.report(),
            generations: Generations::new(&generation),
            acceptor: Arc::new(Acceptor::new(
                generation,
                Admission::new(limits.sessions, limits.sessions_per_address),
                resources.bans().clone(),
                shutting_down,
            )),
            resources,
            again: Arc::new(again),
            confinement,
            ending: watch::Sender::new(false),
            first: loaded.config.clone(),
            alive: alive.downgrade(),
            stop: Notify::new(),
            taken_over: Notify::new(),
            admin: admin
                .iter()
                .find(|one| one.is_admin())
                .map(|one| one.address),
            metrics: admin
                .iter()
                .find(|one| one.is_metrics())
                .map(|one| one.address),
            current: tokio::sync::Mutex::new(Current {
                loaded,
                listeners: Vec::new(),
                since: SystemTime::now(),
                notifier: notifier.clone(),
            }),
            started: SystemTime::now(),
            notifier,
        });
        for one in &admin {
            one.keep(&running.notifier);
        }
        // Those of other servers are there before the first client is.
        running.resources.bans().exchange().await;
        let beside: Vec<_> = admin.iter().map(|one| one.address).collect();
        let handed: io::Result<Vec<_>> = admin.iter().map(AdminListener::handed).collect();
        let handed = handed?;
        for bound in listeners {
            running
                .current
                .lock()
                .await
                .serve(bound, &running.acceptor, &alive);
        }
        drop(alive);
        let expiry = tokio::spawn(expire(running.clone()));
        let accounts = tokio::spawn(reload::follow_accounts(running.clone()));
        let certificates = tokio::spawn(reload::follow_certificates(running.clone()));
        let acme = tokio::spawn(keep_certificate(keeper, running.clone()));
        let denied = tokio::spawn(bans::follow_denied(running.clone()));
        let shared_bans = tokio::spawn(bans::share(running.resources.bans().clone()));
        let bans = tokio::spawn(bans::keep(running.resources.bans().clone()));
        let handover = control.handover.try_clone()?;
        let handover = tokio::spawn(handover::serve(handover, handed, running.clone()));
        let control = tokio::spawn(control.serve(running.clone()));
        let admin = admin.into_iter();
        let admin: Vec<_> = admin
            .map(|one| tokio::spawn(one.serve(running.clone())))
            .collect();
        let refused = tokio::spawn(confine::follow_refused());
        let telling = tokio::spawn(running.clone().tell_state());
        let signal = loop {
            let sign = tokio::select! {
                sign = signals.next() => sign,
                () = running.stop.notified() => Sign::Stop(DRAIN),
                () = running.taken_over.notified() => Sign::Stop(TAKE_OVER),
            };
            match sign {
                Sign::Stop(signal) => break signal,
                Sign::Reload => {
                    // Aside, so that SIGTERM is heard meanwhile.
                    let running = running.clone();
                    tokio::spawn(async move {
                        let reloaded = running.reload("SIGHUP").await;
                        let outcome = reloaded.as_deref().map_err(String::as_str);
                        let audit = running.resources.audit();
                        audit.administration("SIGHUP", "reload", outcome);
                    });
                }
            }
        };
        tracing::info!(
            signal,
            "shutting down: no new sessions, transfers may finish"
        );
        telling.abort();
        let ending = NotifyState::Status("transfers may finish, and nobody is let in");
        running.notifier.tell(&[NotifyState::Stopping, ending]);
        let extending = {
            let notifier = running.notifier.clone();
            tokio::spawn(async move { notifier.patient(pending::<()>()).await })
        };
        if signal == DRAIN {
            // No server comes after this one.
            running.forget(&beside).await;
        }
        handover.abort();
        let drain = running.stop().await;
        expiry.abort();
        accounts.abort();
        certificates.abort();
        acme.abort();
        denied.abort();
        bans.abort();
        shared_bans.abort();
        control.abort();
        refused.abort();
        let _ = shutdown.send(Shutdown::Draining);
        let ended = tokio::select! {
            _ = gone.recv() => true,
            () = sleep(drain) => {
                tracing::warn!(limit = ?drain, "transfers are cut off");
                false
            }
            () = signals.stop() => {
                tracing::warn!("a second signal: transfers are cut off");
                false
            }
        };
        // A cut like any other: what has arrived of uploads is kept.
        let _ = shutdown.send(Shutdown::Cutting);
        tokio::select! {
            biased;
            _ = gone.recv() => tracing::info!("all sessions have ended"),
            () = sleep(CUT), if !ended => tracing::warn!(limit = ?CUT, "sessions were given up"),
            () = signals.stop() => tracing::warn!("another signal: sessions are given up"),
        }
        if let Some(leases) = running.resources.users().leases() {
            leases.settle().await;
        }
        // Until here they tell that it is not ready.
        admin.iter().for_each(JoinHandle::abort);
        let _ = (
            expiry.await,
            accounts.await,
            certificates.await,
            denied.await,
            bans.await,
            shared_bans.await,
            control.await,
        );
        for one in admin {
            let _ = one.await;
        }
        control::remove(&running);
        // With it goes the last that keeps listeners waiting for events.
        let host = running.resources.host();
        let bans = running.resources.bans().clone();
        let audit = running.resources.audit().clone();
        let traces = running.resources.traces().clone();
        drop(running);
        tokio::select! {
            _ = told.recv() => {}
            () = sleep(LAST_EVENTS) => tracing::warn!("event listeners were cut off"),
            () = signals.stop() => tracing::warn!("a second signal: event listeners are cut off"),
        }
        // Last, since listeners keep things, too.
        let _ = tokio::task::spawn_blocking(move || {
            bans::flush(&bans);
            audit.flush();
            traces.flush();
            host.flush();
        })
        .await;
        extending.abort();
        Ok(())
    }
}

/// Has the certificate kept of the configuration that is in force.
async fn keep_certificate(keeper: Keeper, running: Arc<Running>) {
    let current = {
        let running = running.clone();
        move || -> BoxFuture<'static, config::Acme> {
            let running = running.clone();
            Box::pin(async move { running.current.lock().await.loaded.config.acme.clone() })
        }
    };
    let tell = move |outcome: Result<&str, &str>| {
        let audit = running.resources.audit();
        audit.administration("the server", "certificate", outcome);
    };
    keeper.keep(current, tell).await;
}

/// Removes broken uploads that nobody came back for: at the start, and then now and again.
async fn expire(running: Arc<Running>) {
    for minute in (0..EXPIRY).cycle() {
        for (_, (_, storage)) in running.resources.storages() {
            storage.expire_spares();
            if minute > 0 {
                continue;
            }
            match storage.expire().await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, root = %storage.root().display(),
                    "broken uploads expired"),
                Err(error) => tracing::warn!(%error, "broken uploads cannot be looked through"),
            }
        }
        sleep(MINUTE).await;
    }
}
