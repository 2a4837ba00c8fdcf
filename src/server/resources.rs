//! From a configuration to what sessions share.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::mpsc, time::timeout};

use super::{
    bans::{self, Bans, Denied},
    warnings,
};
use crate::{
    acme::challenges::Challenges,
    config::{self, Loaded, NamedStorage, Problem, Storage as Configured},
    data::{rate::Rate, shared::SharedPorts},
    fair::Turns,
    gate::{Gates, event::Observers, listeners::Listeners},
    observe::{SessionLog, audit::Audit, metrics::Metrics, traces::Traces},
    plugin::{Host, Tools, cache_directory},
    session::{
        generation::Generation,
        host::{Hosts, VirtualHost},
        leases::Leases,
        users::Users,
    },
    shared::Shared,
    spool::Storage,
    startup::Startup,
    storage::OpenError,
    tls::Tls,
};

/// How long a storage may take to be opened: what waits in its staging is looked through.
const OPEN: Duration = Duration::from_secs(20);

/// Storages that are open, and how they are configured, by their names among all hosts'.
pub type Storages = BTreeMap<String, (Configured, Arc<Storage>)>;

/// The parts that outlive a reload: the plugin host with its engine, the users that are logged in,
/// the storages with the uploads that are under way.
pub struct Resources {
    host: Host,
    shared: Option<Arc<Shared>>,
    users: Arc<Users>,
    logins: Arc<Turns>,
    bans: Arc<Bans>,
    audit: Audit,
    metrics: Arc<Metrics>,
    traces: Traces,
    shared_ports: Arc<SharedPorts>,
    challenges: Arc<Challenges>,
    storages: Mutex<Storages>,
    /// Dropped when all events have been told.
    ended: mpsc::Sender<()>,
}

/// All that a generation takes and that can fail.
pub struct Prepared {
    pub default: PreparedHost,
    pub others: Vec<PreparedHost>,
    pub storages: Storages,
    denied: Denied,
    /// Things that work, and may not for long.
    pub warnings: Vec<Problem>,
}

/// All that a virtual host takes and that can fail.
pub struct PreparedHost {
    /// Its keys.
    pub config: config::Host,
    tls: Tls,
    /// Its plugins.
    pub gates: Gates,
}

impl PreparedHost {
    /// A warning where no certificate is for the host's name.
    fn unknown_name(&self, loaded: &Loaded) -> Option<Problem> {
        let table = self.config.keys.table()?;
        let name = self.config.names.first()?;
        (!self.tls.knows(name)).then(|| {
            let text = format!(
                "no certificate is for {name}: clients that verify certificates refuse the host"
            );
            loaded.problem(&format!("{table}.name"), text)
        })
    }
}

impl Prepared {
    /// The virtual hosts, the default one first.
    pub fn hosts(&self) -> impl Iterator<Item = &PreparedHost> {
        std::iter::once(&self.default).chain(&self.others)
    }
}

impl Resources {
    /// Starts the plugin host; all clones of `ended` are gone when all events have been told.
    ///
    /// # Errors
    /// When there is no engine to be had.
    pub async fn new(
        loaded: &Loaded,
        storages: Storages,
        audit: Audit,
        tools: Tools,
        ended: mpsc::Sender<()>,
        startup: &Startup,
    ) -> Result<Self, Problem> {
        let config = &loaded.config;
        let cache = cache_directory(startup, &config.server.compiled());
        let mut state_file = config.state.file.as_deref();
        // Nothing stays that plugins write when they are tried.
        if startup.is_trial()
            && let Some(path) = state_file.take()
        {
            Host::try_state_file(path, startup).map_err(|error| error.problem(loaded))?;
        }
        let at = |(key, text): (&str, String)| loaded.problem(key, text);
        // A trial is to say what is wrong; a server begins without, and goes on when it is back.
        let shared = Shared::open(&config.state, startup.is_trial()).await;
        let shared = shared.map_err(at)?;
        let leases = shared.as_ref().map(Leases::start).transpose();
        let leases = leases.map_err(|text| loaded.problem("state.url", text))?;
        let bans = Bans::open(
            &config.bans,
            &config.server.state,
            shared.as_ref(),
            audit.clone(),
        );
        let bans = bans.map_err(at)?;
        let host = Host::with(
            &config.plugin_host,
            &cache,
            state_file,
            // Nor in Redis.
            shared.clone().filter(|_| !startup.is_trial()),
            tools,
        );
        Ok(Self {
            host: host.map_err(|error| error.problem(loaded))?,
            users: Arc::new(Users::with(leases)),
            shared,
            logins: Turns::new(
                config.limits.concurrent_logins,
                config.limits.waiting_logins,
            ),
            bans: Arc::new(bans),
            audit,
            metrics: Arc::default(),
            traces: Traces::start(loaded, startup)?,
            shared_ports: Arc::default(),
            challenges: Arc::default(),
            storages: Mutex::new(storages),
            ended,
        })
    }

    /// Loads plugins, storages and certificates, and changes nothing yet.
    ///
    /// # Errors
    /// The problem, with its place in the configuration.
    pub async fn prepare(
        &self,
        loaded: &Loaded,
        startup: &Arc<Startup>,
    ) -> Result<Prepared, Problem> {
        let (default, more) = loaded.config.hosts();
        let default = self.prepare_host(loaded, default).await?;
        let mut others = Vec::new();
        for host in more {
            others.push(self.prepare_host(loaded, host).await?);
        }
        let denied = {
            let settings = loaded.config.bans.clone();
            let read = tokio::task::spawn_blocking(move || bans::read_denied(&settings)).await;
            read.unwrap_or_else(|error| Err(error.to_string()))
                .map_err(|text| loaded.problem("bans.deny-file", text))?
        };
        let storages = open_storages(loaded, &self.storages(), startup).await?;
        if let Some(shared) = self.shared().filter(|_| !startup.is_trial()) {
            let all = storages.values();
            all.for_each(|(_, storage)| storage.share(shared));
        }
        let mut prepared = Prepared {
            denied,
            default,
            others,
            storages,
            warnings: Vec::new(),
        };
        let mut warnings: Vec<Problem> = Vec::new();
        for host in prepared.hosts() {
            let of_host = host.tls.warnings.iter();
            let of_host = of_host.map(|one| loaded.problem(&one.key, one.text.clone()));
            for warning in of_host.chain(host.unknown_name(loaded)) {
                // Hosts that have their certificates of the top level have the same.
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
        warnings.extend(warnings::open_files(loaded));
        prepared.warnings = warnings;
        Ok(prepared)
    }

    async fn prepare_host(
        &self,
        loaded: &Loaded,
        config: config::Host,
    ) -> Result<PreparedHost, Problem> {
        if config.tls.certificate.is_empty() {
            let text = "no certificate is named, and none was made";
            return Err(loaded.problem(&config.key("tls.certificate"), text));
        }
        let tls = {
            let (tls, keys) = (config.tls.clone(), config.keys.clone());
            // Reading files blocks.
            let read = tokio::task::spawn_blocking(move || Tls::new(&tls, &keys));
            read.await.map_err(|error| {
                loaded.problem(&config.key("tls.certificate"), error.to_string())
            })?
        };
        let tls = tls.map_err(|error| loaded.problem(&error.key, error.text.clone()))?;
        let state = &loaded.config.server.state;
        let gates = self.host.gates_of(&config.id, &config.plugin, state).await;
        let gates = gates.map_err(|error| error.problem_of(loaded, &config.keys))?;
        if gates.authenticators.is_empty() {
            let text = "there is no authentication plugin, so nobody could log in";
            return Err(loaded.problem(&config.key("plugin"), text));
        }
        Ok(PreparedHost { config, tls, gates })
    }

    /// Takes what was loaded in the place of what there was before. Nothing fails here.
    pub fn generation(&self, loaded: &Loaded, prepared: Prepared) -> Arc<Generation> {
        let config = &loaded.config;
        self.host.retain(prepared.hosts().map(|host| &host.config));
        let host = |host: PreparedHost| {
            let PreparedHost { config, tls, gates } = host;
            let queue = loaded.config.plugin_host.event_queue;
            let own = config.storage.keys().filter_map(|name| {
                let (_, storage) = prepared.storages.get(&config.storage_id(name))?;
                Some((name.clone(), storage.clone()))
            });
            let together = config.together;
            Arc::new(VirtualHost {
                storages: own.collect(),
                upload_rate: Rate::new(together.upload_rate).map(Arc::new),
                download_rate: Rate::new(together.download_rate).map(Arc::new),
                observers: Observers::new(vec![
                    Arc::new(SessionLog),
                    self.bans.clone(),
                    Arc::new(self.audit.clone()),
                    self.metrics.clone(),
                    Arc::new(self.traces.clone()),
                    Arc::new(Listeners::start(&gates.listeners, queue, &self.ended)),
                ]),
                config,
                tls,
                gates,
            })
        };
        let others = prepared.others.into_iter().map(host).collect();
        let hosts = Hosts::new(host(prepared.default), others);
        self.bans.replace(&config.bans, prepared.denied);
        *self.opened() = prepared.storages;
        let (users, logins) = (self.users.clone(), self.logins.clone());
        let ports = self.shared_ports.clone();
        let used: Vec<u16> = config
            .listeners()
            .filter_map(|one| one.shared_port())
            .collect();
        ports.close_others(&used);
        Arc::new(Generation::new(
            config.clone(),
            hosts,
            users,
            logins,
            ports,
            self.challenges.clone(),
        ))
    }

    /// The Redis that state is shared by, if it is.
    pub fn shared(&self) -> Option<&Arc<Shared>> {
        self.shared.as_ref()
    }

    /// The users that are logged in.
    pub fn users(&self) -> &Arc<Users> {
        &self.users
    }

    /// The clients that are not let in.
    pub fn bans(&self) -> &Arc<Bans> {
        &self.bans
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The files of the audit.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The answers to authorities that ask whose a name is.
    pub fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }

    /// The way of spans to the collector.
    pub fn traces(&self) -> &Traces {
        &self.traces
    }

    /// The plugin host.
    pub fn host(&self) -> Host {
        self.host.clone()
    }

    /// The storages that there are now.
    pub fn storages(&self) -> Storages {
        self.opened().clone()
    }

    fn opened(&self) -> std::sync::MutexGuard<'_, Storages> {
        self.storages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The storages, of which those that stay where they are go on with their uploads.
///
/// # Errors
/// The problem, with its place in the configuration.
pub async fn open_storages(
    loaded: &Loaded,
    before: &Storages,
    startup: &Arc<Startup>,
) -> Result<Storages, Problem> {
    let mut storages = BTreeMap::new();
    for named in loaded.config.storages() {
        let (id, storage) = (&named.id, &named.storage);
        let stays = |old: &Configured| old.is_at(storage);
        let local = match before.get(id) {
            Some((old, local)) if old == storage => local.clone(),
            Some((old, local)) if stays(old) => {
                let (local, storage) = (local.clone(), storage.clone());
                beside(loaded, &named, move || local.with(&storage)).await?
            }
            _ => {
                let taken = before.iter().find(|(other, (old, _))| {
                    *other == id && storage.staging.is_none()
                        || storage.staging.is_some() && old.staging == storage.staging
                });
                if let Some((other, _)) = taken {
                    let text = format!(
                        "uploads of storage {other} may be under way in its staging: this takes a \
                         restart, or another `staging`"
                    );
                    return Err(loaded.problem(&named.key("root"), text));
                }
                let state = loaded.config.server.state.clone();
                let (own, storage) = (id.clone(), storage.clone());
                let startup = startup.clone();
                let open = move || Storage::open(&own, &storage, &state, &startup);
                beside(loaded, &named, open).await?
            }
        };
        storages.insert(id.clone(), (storage.clone(), local));
    }
    apart(loaded, &storages)?;
    Ok(storages)
}

/// Whether the storages of two hosts, links resolved, are two directories, and neither reaches into the
/// other.
fn apart(loaded: &Loaded, storages: &Storages) -> Result<(), Problem> {
    let all = loaded.config.storages();
    let root = |named: &NamedStorage| Some(storages.get(&named.id)?.1.root().to_owned());
    for (index, one) in all.iter().enumerate() {
        for other in all.get(..index).unwrap_or_default() {
            let (Some(here), Some(there)) = (root(one), root(other)) else {
                continue;
            };
            let meet = here.starts_with(&there) || there.starts_with(&here);
            if one.host != other.host && meet {
                let text = format!(
                    "it leads to {}, which reaches into storage {}, another host's: {}",
                    here.display(),
                    other.id,
                    there.display()
                );
                return Err(loaded.problem(&one.key("root"), text));
            }
        }
    }
    Ok(())
}

/// Opens a storage on a thread of the pool, as its file system may hang.
async fn beside(
    loaded: &Loaded,
    named: &NamedStorage,
    open: impl FnOnce() -> Result<Storage, OpenError> + Send + 'static,
) -> Result<Arc<Storage>, Problem> {
    let problem = |key: &str, text: String| loaded.problem(&named.key(key), text);
    match timeout(OPEN, tokio::task::spawn_blocking(open)).await {
        Ok(Ok(Ok(local))) => Ok(Arc::new(local)),
        Ok(Ok(Err(error))) => Err(problem(error.key, error.text)),
        Ok(Err(error)) => Err(problem("root", error.to_string())),
        Err(_) => {
            let text = format!(
                "{}: it could not be opened within {} s: does its file system hang?",
                named.storage.root.display(),
                OPEN.as_secs()
            );
            Err(problem("root", text))
        }
    }
}
