//! All that can fail when a server starts, in earnest or as a trial.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{runtime, sync::mpsc};

use super::{
    Listening, PreparedHost,
    addresses::{Taken, addresses, take},
    admin::AdminSockets,
    control::Control,
    resources::{Prepared, Resources, Storages, open_storages},
    warnings,
};
use crate::{
    config::{Config, Loaded, Problem},
    confine::Loader,
    observe::{self, audit::Audit},
    open_files,
    plugin::Tools,
    service::Manager,
    spool::Storage,
    startup::Startup,
};

/// Things that take more rights than serving does, opened before the walls are built.
pub struct Preopened {
    /// None where a server runs already, of which this is a trial.
    pub(super) control: Option<Control>,
    pub(super) admin: AdminSockets,
    pub(super) audit: Audit,
    pub(super) addresses: Vec<Taken>,
    pub(super) storages: Storages,
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
pub(super) fn all_addresses(config: &Config) -> Vec<SocketAddr> {
    let more = [
        config.admin.listen,
        config.metrics.listen,
        config.acme.listens(),
    ];
    let listeners = addresses(config).map(|(address, _)| address);
    listeners.chain(more.into_iter().flatten()).collect()
}

/// The rest of what a configuration names, opened.
pub(super) struct Opened {
    pub(super) resources: Resources,
    pub(super) prepared: Prepared,
    pub(super) told: mpsc::Receiver<()>,
}

/// Opens the rest of what the configuration names, in earnest or as a trial. Together with
/// [`preopen`] that is everything that can fail when a server starts. Warnings go to those of `loaded`.
pub(super) async fn open(
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
