//! A loaded plugin: what all of its instances share.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::Instant,
};

use wasmtime::{Engine, Store, component::Linker};

use super::{
    bindings::imports::portcullis::plugin::types::Failure,
    call::{Call, store},
    clock::Late,
    compiled::{Compiled, Library},
    engine::Allocation,
    fault,
    grants::Granted,
    instance_limiter::{Busy, InstanceLimiter, InstancePermit},
    settings::{Settings, Version},
    stock::Purpose,
    values::{Keeper, Values},
};
use crate::{
    config::{Instances, PluginLimits},
    gate::{Fault, FaultKind, PluginHealth, SessionInfo, Usage},
    passwords::Verifier,
    types::UserId,
};

/// The parts that all plugins share.
pub(super) struct HostShared {
    pub(super) engine: Engine,
    pub(super) allocation: Allocation,
    pub(super) linker: Linker<Call>,
    pub(super) instances: InstanceLimiter,
    pub(super) verifier: Verifier,
    pub(super) library: Library,
    /// The largest component, in bytes.
    pub(super) component_size: u64,
    /// By the plugins' names: a reload takes over what is there.
    kept: Mutex<HashMap<String, Retained>>,
    /// Where their state is kept.
    pub(super) keeper: Keeper,
}

/// The parts that outlive a reload.
struct Retained {
    state: Values,
    health: Arc<PluginHealth>,
}

impl HostShared {
    pub(super) fn new(
        engine: Engine,
        allocation: Allocation,
        linker: Linker<Call>,
        instances: InstanceLimiter,
        library: Library,
        keeper: Keeper,
        verifier: Verifier,
    ) -> Self {
        Self {
            engine,
            allocation,
            linker,
            instances,
            verifier,
            library,
            component_size: u64::MAX,
            kept: Mutex::default(),
            keeper,
        }
    }

    /// The state and the counters of the plugin of that name. Reads the file, if there is one, and
    /// so may block for a moment.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn kept(
        &self,
        plugin: &str,
        limit: u64,
    ) -> Result<(Values, Arc<PluginHealth>), String> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = match kept.entry(plugin.to_owned()) {
            Entry::Occupied(kept) => kept.into_mut(),
            Entry::Vacant(place) => place.insert(Retained {
                state: self.keeper.values(limit, plugin)?,
                health: Arc::new(PluginHealth::new(plugin.into())),
            }),
        };
        kept.state.set_limit(limit);
        Ok((kept.state.clone(), kept.health.clone()))
    }

    /// The state of the plugin of that name, if it was ever loaded.
    pub(super) fn state(&self, plugin: &str) -> Option<Values> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(plugin).map(|kept| kept.state.clone())
    }

    /// The states of all plugins, by their names.
    pub(super) fn states(&self) -> Vec<(String, Values)> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let states = kept.iter();
        let mut states: Vec<_> = states
            .map(|(name, kept)| (name.clone(), kept.state.clone()))
            .collect();
        states.sort_by(|one, other| one.0.cmp(&other.0));
        states
    }

    /// Forgets plugins that the configuration does not name any more.
    pub(super) fn retain(&self, named: impl Fn(&str) -> bool) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|name, _| named(name));
    }
}

/// One plugin of the configuration.
pub(super) struct Plugin {
    pub(super) name: Arc<str>,
    /// The name by which something is kept for it, which no plugin of another host has.
    pub(super) kept: Arc<str>,
    /// Keeps the code for the next generation.
    pub(super) compiled: Arc<Compiled>,
    pub(super) limits: PluginLimits,
    pub(super) granted: Granted,
    pub(super) settings: Settings,
    pub(super) state: Values,
    pub(super) health: Arc<PluginHealth>,
    /// How long its instances live.
    pub(super) instances: Instances,
    /// Where the configuration limits them.
    pub(super) at_once: Option<InstanceLimiter>,
    /// The linear memories of one instance: what it takes of the pool.
    pub(super) memories: u32,
    /// Whether it was said that it asks for directories and has none.
    pub(super) told_directories: AtomicBool,
    pub(super) shared: Arc<HostShared>,
}

impl Plugin {
    /// The right to an instance for `user`, when one is free in time; the wait began at `since`.
    pub(super) async fn slot(
        &self,
        purpose: Purpose,
        user: Option<&UserId>,
        since: Instant,
    ) -> Result<InstancePermit, Fault> {
        let limits = &self.limits;
        let patience = || limits.pool_wait.saturating_sub(since.elapsed());
        let busy = |key: &str, Busy { share }| {
            let wait = limits.pool_wait;
            let mut text = format!("no instance became free in {wait:?}: see {key}");
            if let Some(share) = share {
                text += &format!("; this user has {share}, and the rest is left to others");
            }
            self.fault(FaultKind::Busy, text)
        };
        let own = match &self.at_once {
            None => None,
            Some(own) => {
                let permit = own.take(purpose, user, 1, patience(), None).await;
                Some(permit.map_err(|error| busy("limits.instances", error))?)
            }
        };
        let instances = &self.shared.instances;
        let permit = instances.take(purpose, user, self.memories, patience(), own);
        permit
            .await
            .map_err(|error| busy("plugin-host.instances", error))
    }

    /// That keeper keeps nothing any more.
    pub(super) fn forget(&self, keeper: u64) {
        self.shared.instances.forget(keeper);
        if let Some(own) = &self.at_once {
            own.forget(keeper);
        }
    }

    /// A store for an instance.
    pub(super) fn store(
        self: &Arc<Self>,
        permit: &InstancePermit,
        settings: Arc<Version>,
        facts: Arc<SessionInfo>,
    ) -> Store<Call> {
        store(&self.shared.engine, self, permit.clone(), settings, facts)
    }

    /// The result of a call on `store`.
    pub(super) fn conclude<T>(
        &self,
        store: &Store<Call>,
        answer: Result<wasmtime::Result<Result<T, Failure>>, Late>,
    ) -> Result<T, Fault> {
        let call = store.data();
        let (cpu, wall) = call.clock.taken();
        let memory = call.limiter.peak();
        self.health.used(Usage { cpu, wall, memory });
        let fault = match answer {
            Ok(Ok(Ok(answer))) => {
                call.output.finish();
                return Ok(answer);
            }
            Ok(Ok(Err(failure))) => {
                call.output.finish();
                match failure {
                    Failure::Unavailable(why) => self.fault(FaultKind::Unavailable, why),
                    Failure::Internal(why) => self.fault(FaultKind::Internal, why),
                }
            }
            Ok(Err(error)) => {
                let (kind, text) = fault::describe_error(&error, call);
                self.fault(kind, text)
            }
            Err(Late) => {
                let wall = self.limits.wall_time;
                let mut text = format!("no answer within limits.wall-time, {wall:?}");
                fault::stderr(call, &mut text);
                self.fault(FaultKind::Timeout, text)
            }
        };
        Err(fault)
    }

    /// A fault of this plugin.
    pub(super) fn fault(&self, kind: FaultKind, text: String) -> Fault {
        Fault {
            plugin: self.name.clone(),
            kind,
            text: fault::bounded(text),
        }
    }
}
