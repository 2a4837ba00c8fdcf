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
mod reload;
mod resources;
mod signal;
mod telling;
mod warnings;

use std::{
    future::pending,
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use sd_notify::NotifyState;
use serde::{Deserialize, Serialize};
use tokio::{
    runtime,
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
    time::sleep,
};

use self::{
    addresses::{Bound, Taken, addresses, listen, take},
    admin::{AdminListener, AdminSockets},
    admission::Admission,
    control::Control,
    generations::Generations,
    listeners::Acceptor,
    resources::{Prepared, Resources, Storages, open_storages},
    signal::Sign,
};
use crate::{
    acme::{self, Keeper, store::Store},
    config::{self, Config, Loaded, Problem},
    confine::{self, Confinement, Loader},
    observe::{self, audit::Audit},
    open_files,
    plugin::{Tools, compiler::Compiler},
    service::{Manager, Notifier, name_of},
    session::{Shutdown, generation::Generation},
    spool::Storage,
    startup::Startup,
    types::BoxFuture,
};

pub use self::resources::PreparedHost;
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

/// Things that take more rights than serving does, opened before the walls are built.
pub struct Preopened {
    /// None where a server runs already, of which this is a trial.
    control: Option<Control>,
    admin: AdminSockets,
    audit: Audit,
    addresses: Vec<Taken>,
    storages: Storages,
}

impl Preopened {
    /// The storages, and how they are configured.
    #[must_use]
    pub fn storages(&self) -> &Storages {
        &self.storages
    }

    /// The addresses, with the ports that the system chose.
    #[must_use]
    pub fn listening(&self) -> Vec<Listening> {
        self.addresses.iter().map(Taken::listening).collect()
    }
}

/// Opens them, in earnest or as a trial.
///
/// # Errors
/// The problem, with its place in the configuration.
pub fn preopen(
    loaded: &mut Loaded,
    startup: &Arc<Startup>,
    manager: Manager,
) -> Result<Preopened, Problem> {
    let Manager {
        notifier,
        mut passed,
    } = manager;
    let others = passed.compare(&all_addresses(&loaded.config));
    let others = others.map_err(|text| loaded.problem("server.listen", text))?;
    if !others.is_empty() {
        others.iter().for_each(|name| notifier.forget(name));
        // An address of this configuration may overlap one of theirs.
        notifier.settle();
    }
    open_files::raise();
    let control = Control::listen(loaded, startup)
        .map_err(|error| loaded.problem("server.state", error.to_string()))?;
    let runtime = runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|error| loaded.problem("server.threads", error.to_string()))?;
    let storages = runtime.block_on(open_storages(loaded, &Storages::new(), startup));
    // A thread may wait for a file system that hangs.
    runtime.shutdown_timeout(Duration::from_secs(1));
    let storages = storages?;
    let configured = addresses(&loaded.config);
    let addresses = take(loaded, configured, startup, &Loader::here(), &mut passed)?;
    // A running server's transfers have some of the ports.
    if startup.running().is_none() {
        let ports = warnings::passive_ports(loaded);
        loaded.warnings.extend(ports);
    }
    let admin = AdminSockets::take(loaded, startup, &mut passed)?;
    observe::try_log(loaded, startup)?;
    let audit = Audit::open(loaded, startup)?;
    Ok(Preopened {
        control,
        admin,
        audit,
        addresses,
        storages,
    })
}

/// All that is listened on.
fn all_addresses(config: &Config) -> Vec<SocketAddr> {
    let more = [
        config.admin.listen,
        config.metrics.listen,
        config.acme.listens(),
    ];
    let listeners = addresses(config).map(|(address, _)| address);
    listeners.chain(more.into_iter().flatten()).collect()
}

/// The rest of what a configuration names, opened.
struct Opened {
    resources: Resources,
    prepared: Prepared,
    told: mpsc::Receiver<()>,
}

/// Opens the rest of what the configuration names, in earnest or as a trial. Together with
/// [`preopen`] that is everything that can fail when a server starts. Warnings go to those of `loaded`.
async fn open(
    loaded: &mut Loaded,
    storages: Storages,
    audit: Audit,
    tools: Tools,
    startup: &Arc<Startup>,
) -> Result<Opened, Problem> {
    let (ended, told) = mpsc::channel(1);
    let resources = Resources::new(loaded, storages, audit, tools, ended, startup).await?;
    let prepared = resources.prepare(loaded, startup).await?;
    loaded.warnings.extend(prepared.warnings.iter().cloned());
    Ok(Opened {
        resources,
        prepared,
        told,
    })
}

/// The findings of a trial of the start.
pub struct Tried {
    /// Each address, and whether the running server has it.
    pub listening: Vec<(Listening, bool)>,
    /// The virtual hosts with their plugins.
    pub hosts: Vec<PreparedHost>,
    /// The storages, by name.
    pub storages: Vec<(String, Arc<Storage>)>,
}

/// Does what the start does, to its end, but lets nobody in, and leaves nothing behind when `startup`
/// is dropped. Warnings go to those of `loaded`.
///
/// # Errors
/// The problem that the start would name.
pub async fn try_start(
    loaded: &mut Loaded,
    preopened: Preopened,
    tools: Tools,
    startup: &Arc<Startup>,
) -> Result<Tried, Problem> {
    let opened = open(loaded, preopened.storages, preopened.audit, tools, startup).await?;
    let names = warnings::advertise(loaded).await;
    loaded.warnings.extend(names);
    let listening = preopened.addresses.iter().map(|taken| {
        let (address, kind) = (taken.configured, taken.kind);
        (Listening { address, kind }, taken.socket.is_none())
    });
    let Prepared {
        default,
        others,
        storages,
        ..
    } = opened.prepared;
    Ok(Tried {
        listening: listening.collect(),
        hosts: std::iter::once(default).chain(others).collect(),
        storages: storages
            .into_iter()
            .map(|(name, (_, local))| (name, local))
            .collect(),
    })
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

/// A server that serves.
pub struct Running {
    /// How the certificate of ACME stands.
    acme: Arc<Mutex<acme::Report>>,
    acceptor: Arc<Acceptor>,
    generations: Generations,
    resources: Resources,
    again: Arc<Reread>,
    confinement: Confinement,
    /// Whether the end has begun, which a reload must not hold up.
    ending: watch::Sender<bool>,
    /// The configuration at the start.
    first: Config,
    /// Held by each session.
    alive: mpsc::WeakSender<()>,
    /// Held by the one who reloads.
    current: tokio::sync::Mutex<Current>,
    /// Ends the server.
    stop: Notify,
    /// The same, when another one has its listeners.
    taken_over: Notify,
    /// Where the administration is served over TCP.
    admin: Option<SocketAddr>,
    /// Where the metrics are.
    metrics: Option<SocketAddr>,
    started: SystemTime,
    notifier: Notifier,
}

/// The parts that a reload replaces.
struct Current {
    loaded: Loaded,
    listeners: Vec<Serving>,
    /// When it was loaded.
    since: SystemTime,
    notifier: Notifier,
}

/// A listener that accepts connections.
struct Serving {
    configured: SocketAddr,
    listening: Listening,
    /// Whether its socket is a socket unit's of the service manager.
    is_units: bool,
    /// A handle of its socket, for a server that takes over. None once it is closed.
    socket: Option<OwnedFd>,
    task: JoinHandle<()>,
}

impl Serving {
    /// Notes that it was closed.
    fn tell_closed(&self) {
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
    async fn close(&mut self, goes: impl Fn(&Serving) -> bool) -> Vec<Serving> {
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
    fn forget(&self, serving: &Serving) {
        self.notifier.forget(&name_of(serving.listening.address));
    }

    fn serve(&mut self, bound: Bound, acceptor: &Arc<Acceptor>, alive: &mpsc::Sender<()>) {
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
    async fn forget(&self, beside: &[SocketAddr]) {
        // A reload under way gives up, and the lock.
        self.ending.send_replace(true);
        let current = self.current.lock().await;
        let listeners = current.listeners.iter();
        listeners.for_each(|serving| current.forget(serving));
        let beside = beside.iter();
        beside.for_each(|address| self.notifier.forget(&name_of(*address)));
    }

    /// Takes no new sessions; says how long the others have.
    async fn stop(&self) -> Duration {
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
