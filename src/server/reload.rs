//! Everything anew, for sessions to come.

use std::{
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use tokio::time::{sleep, timeout};

use super::{
    Listening, Running,
    addresses::{Bound, addresses, bind, listener_key},
    listeners,
    running::{Current, Serving},
    telling::Reloading,
    warnings,
};
use crate::{
    config::{self, Config, Loaded, Problem},
    confine::{Reach, privileges},
    observe,
    session::{accounts, generation::Generation},
    startup::{Startup, overlap},
};

/// How long it may take to read the configuration, of which each file has its own deadline.
const READ: Duration = Duration::from_secs(20);
/// How often the files are looked at that accounts, revoked certificates and OCSP responses are in.
const FOLLOW: Duration = Duration::from_secs(1);
/// How long it may take to look at those of certificates.
const LOOK: Duration = Duration::from_secs(20);

impl Running {
    /// Reads configuration, certificates and components again; sessions that begin from now on use
    /// them, those that are there keep what they have. Says what came of it.
    ///
    /// # Errors
    /// The problem, for people; nothing has changed then.
    pub(super) async fn reload(self: &Arc<Self>, why: &str) -> Result<String, String> {
        // They are opened anew also where the rest fails.
        let audit = self.resources.audit().clone();
        let reopen = move || {
            audit.reopen();
            observe::reopen();
        };
        let _ = tokio::task::spawn_blocking(reopen).await;
        // One after the other.
        let mut current = self.current.lock().await;
        tracing::info!(why, "reloading");
        let _reloading = Reloading::new(self);
        let mut ending = self.ending.subscribe();
        // Listeners hold it, all of which may be replaced. None where the server ends.
        let alive = self.alive.upgrade();
        let prepared = tokio::select! {
            biased;
            () = async { let _ = ending.wait_for(|ending| *ending).await.is_ok(); } => {
                Err("the server ends".to_owned())
            }
            prepared = self.prepare(&mut current) => prepared,
        };
        match prepared {
            Ok((loaded, generation, bound)) => {
                warnings::tell(&loaded);
                let limits = &loaded.config.limits;
                let admission = &self.acceptor.admission;
                admission.set_limits(limits.sessions, limits.sessions_per_address);
                // A server that is about to end has none, and gets none.
                if self.acceptor.generation().is_some() {
                    self.generations.push(&generation);
                    self.acceptor.replace(Some(generation.clone()));
                    self.resources.users().accounts.replace(&generation);
                    self.judge().await;
                }
                drop(generation);
                let wanted: Vec<_> = addresses(&loaded.config).collect();
                current
                    .close(|serving| {
                        !wanted.contains(&(serving.configured, serving.listening.kind))
                    })
                    .await
                    .iter()
                    .for_each(Serving::tell_closed);
                if let Some(alive) = alive {
                    for bound in bound {
                        current.serve(bound, &self.acceptor, &alive);
                    }
                }
                if let Err(error) = observe::set_level(&loaded.config.log.level) {
                    tracing::warn!(error, "log.level");
                }
                let text = summary(&self.first, &loaded.config);
                current.loaded = loaded;
                current.since = SystemTime::now();
                tracing::info!("{text}");
                Ok(text)
            }
            Err(text) => {
                for line in text.lines() {
                    tracing::error!("{line}");
                }
                tracing::error!("the reload failed, and all stays as it was");
                Err(text)
            }
        }
    }

    /// All that can fail.
    async fn prepare(
        self: &Arc<Self>,
        current: &mut Current,
    ) -> Result<(Loaded, Arc<Generation>, Vec<Bound>), String> {
        let again = self.again.clone();
        // Reading files blocks.
        let read = timeout(READ, tokio::task::spawn_blocking(move || again())).await;
        let read = read.map_err(|_| "the configuration could not be read in time".to_owned())?;
        let mut loaded = read.map_err(|error| error.to_string())??;
        if loaded.config.server.state != current.loaded.config.server.state {
            let text = "the state directory cannot be changed while the server runs";
            return Err(loaded.problem("server.state", text).to_string());
        }
        self.within_walls(&loaded)
            .map_err(|problem| problem.to_string())?;
        let loader = &self.confinement.loader;
        let wanted: Vec<_> = addresses(&loaded.config).collect();
        let serving = current.listeners.iter();
        let already: Vec<_> = serving
            .map(|serving| (serving.configured, serving.listening.kind))
            .collect();
        let new = wanted.iter().filter(|address| !already.contains(address));
        let goes =
            |serving: &Serving| !wanted.contains(&(serving.configured, serving.listening.kind));
        // Some of the new addresses may be taken by those that go.
        let (taken, free): (Vec<_>, Vec<_>) = new.copied().partition(|(address, _)| {
            let mut listeners = current.listeners.iter().filter(|serving| goes(serving));
            listeners.any(|serving| overlap(*address, serving.listening.address))
        });
        let text = |problem: Problem| problem.to_string();
        for (new, kind) in &taken {
            let mut units = current.listeners.iter().filter(|one| one.is_units);
            if let Some(old) = units.find(|one| overlap(*new, one.listening.address)) {
                let why = format!(
                    "{new}: a socket unit of the service manager has {}: this change takes a restart",
                    old.listening.address
                );
                let key = listener_key(&loaded, *new, *kind);
                return Err(text(loaded.problem(&key, why)));
            }
        }
        let mut bound = bind(&loaded, free, loader).map_err(text)?;
        let startup = Arc::new(Startup::real());
        let prepared = self
            .resources
            .prepare(&loaded, &startup)
            .await
            .map_err(text)?;
        loaded.warnings.extend(prepared.warnings.iter().cloned());
        if !taken.is_empty() {
            // Last, since nobody is let in meanwhile.
            let closed = current
                .close(|serving| {
                    let address = serving.listening.address;
                    goes(serving) && taken.iter().any(|(new, _)| overlap(*new, address))
                })
                .await;
            // It may have kept what was closed.
            let notifier = self.notifier.clone();
            let _ = tokio::task::spawn_blocking(move || notifier.settle()).await;
            match bind(&loaded, taken, loader) {
                Ok(more) => bound.extend(more),
                Err(problem) => {
                    self.restore(current, &closed);
                    return Err(text(problem));
                }
            }
            closed.iter().for_each(Serving::tell_closed);
        }
        let generation = self.resources.generation(&loaded, prepared);
        Ok((loaded, generation, bound))
    }

    /// Whether the walls, which stand since the start, leave room for this configuration.
    fn within_walls(&self, loaded: &Loaded) -> Result<(), Problem> {
        privileges::root_may_serve(loaded)?;
        match &self.confinement.reach {
            Some(reach) => reach.covers(&Reach::of(loaded, &self.resources.storages()), loaded),
            None => Ok(()),
        }
    }

    /// Listens again on what was closed for nothing.
    fn restore(&self, current: &mut Current, closed: &[Serving]) {
        let Some(alive) = self.alive.upgrade() else {
            return;
        };
        for serving in closed {
            let Listening { address, kind } = serving.listening;
            let loader = &self.confinement.loader;
            let bound = loader.run(move || listeners::bind(address));
            match bound.and_then(|bound| bound).and_then(listeners::listen) {
                Ok(socket) => {
                    let configured = serving.configured;
                    let bound = Bound {
                        configured,
                        kind,
                        socket,
                        is_units: false,
                    };
                    current.serve(bound, &self.acceptor, &alive);
                }
                Err(error) => tracing::error!(%address, %error, "cannot listen there again"),
            }
        }
    }
}

impl Running {
    /// Ends sessions whose account is not what it was.
    async fn judge(&self) {
        let accounts = self.resources.users().accounts.clone();
        // Takes a while where there are many.
        let _ = tokio::task::spawn_blocking(move || accounts.judge()).await;
    }
}

/// Looks at the files that accounts are in, as long as somebody is logged in.
pub(super) async fn follow_accounts(running: Arc<Running>) {
    // Which configuration was looked at, and its files.
    let mut before = (Weak::new(), Vec::new());
    loop {
        sleep(FOLLOW).await;
        if running.resources.users().accounts.is_empty() {
            before = (Weak::new(), Vec::new());
            continue;
        }
        let Some(generation) = running.acceptor.generation() else {
            return;
        };
        let files = accounts::follow(&generation).await;
        let generation = Arc::downgrade(&generation);
        if !before.0.ptr_eq(&generation) || before.1 != files {
            running.judge().await;
            before = (generation, files);
        }
    }
}

/// Looks at the files of certificates, of revoked certificates and of OCSP responses, also of configurations that a reload
/// has replaced, as their sessions may begin TLS anew.
pub(super) async fn follow_certificates(running: Arc<Running>) {
    loop {
        sleep(FOLLOW).await;
        let mut followed = Vec::new();
        let generations = running.generations.living();
        for (index, generation) in generations.iter().enumerate() {
            let is_newest = index + 1 == generations.len();
            let hosts = generation.hosts.iter().map(|host| host.tls.in_force());
            followed.extend(hosts.map(|one| (one.clone(), is_newest)));
        }
        // A file system that hangs must not keep a configuration.
        drop(generations);
        if followed.is_empty() {
            continue;
        }
        let looking = tokio::task::spawn_blocking(move || {
            followed.iter().for_each(|(one, tell)| one.follow(*tell));
        });
        tokio::pin!(looking);
        if timeout(LOOK, &mut looking).await.is_err() {
            tracing::warn!(
                limit = ?LOOK,
                "certificates, revocation lists and OCSP responses cannot be looked at: does their \
                 file system hang?"
            );
            let _ = looking.await;
        }
    }
}

/// The result of a reload, and the settings that are not as they were at the start and take a restart.
fn summary(first: &Config, now: &Config) -> String {
    let counted = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    let of_hosts = now.host.iter().map(|host| host.plugin.len());
    let mut text = format!(
        "reloaded: {}{}, {}; new sessions use them",
        match now.host.len() {
            0 => String::new(),
            more => format!("{}, ", counted(more + 1, "host")),
        },
        counted(now.plugin.len() + of_hosts.sum::<usize>(), "plugin"),
        counted(now.storages().len(), "storage")
    );
    let restart = config::restart(first, now);
    if !restart.is_empty() {
        text += &format!("; a restart is needed for {}", restart.join(", "));
    }
    text
}
