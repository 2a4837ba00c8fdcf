//! The one way to call a plugin: an instance is leased, asked in its time, and dropped when the call is
//! over or kept for the next one.

use std::{
    mem,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use wasmtime::{
    Store,
    component::{InstancePre, Val},
};

use super::{
    bindings::imports::portcullis::plugin::types::Failure,
    call::Call,
    component::Plugin,
    instance_limiter::{InstancePermit, Keeper},
    kind::PluginKind,
    settings::Version,
};
use crate::{
    config::Instances,
    gate::{Fault, FaultKind, Gates, Named, SessionInfo},
    types::UserId,
};

/// An instance of a component, as bindings have it.
pub(super) trait Bound: Sized + Send + Sync + 'static {
    /// The component, with its imports resolved and its exports found.
    type Pre: Clone + Send + Sync + 'static;

    /// Finds the exports.
    fn link(component: InstancePre<Call>) -> wasmtime::Result<Self::Pre>;

    /// Makes an instance in an empty store, which compares the types of what is exported.
    fn instantiate(
        component: &Self::Pre,
        store: &mut Store<Call>,
    ) -> impl Future<Output = wasmtime::Result<Self>> + Send;
}

/// Bindings for a world of the contract, with the imports that all of them share: `$instance` and
/// `$pre` are the names of the types that are made of it.
macro_rules! bind {
    ($world:tt, $instance:ident, $pre:ident) => {
        mod bindings {
            #![allow(missing_docs, reason = "the contract in wit/ documents them")]
            wasmtime::component::bindgen!({
                world: $world,
                path: "wit",
                exports: { default: async },
                ownership: Borrowing { duplicate_if_necessary: false },
                with: {
                    "portcullis:plugin": crate::plugin::bindings::imports::portcullis::plugin,
                },
            });
        }
        pub(super) use bindings::$instance;

        impl $crate::plugin::instances::Bound for $instance {
            type Pre = bindings::$pre<$crate::plugin::call::Call>;

            fn link(
                component: wasmtime::component::InstancePre<$crate::plugin::call::Call>,
            ) -> wasmtime::Result<Self::Pre> {
                bindings::$pre::new(component)
            }

            async fn instantiate(
                component: &Self::Pre,
                store: &mut wasmtime::Store<$crate::plugin::call::Call>,
            ) -> wasmtime::Result<Self> {
                component.instantiate_async(store).await
            }
        }
    };
}
pub(super) use bind;

/// One interface that a component exports, and the function in it.
pub(super) trait Export: Bound {
    /// The question.
    type Question: Send;
    /// The answer, in the contract's types.
    type Answer: Send;

    /// Calls the function.
    fn ask(
        &self,
        store: &mut Store<Call>,
        question: Self::Question,
    ) -> impl Future<Output = wasmtime::Result<Result<Self::Answer, Failure>>> + Send;
}

/// Makes a handle of any resource, which leads to nothing.
pub(super) type MakeHandle<'a> = &'a mut dyn FnMut() -> wasmtime::Result<Val>;

/// A kind of plugin: all that the host has to know of it, besides the kind's row in the table.
pub(super) trait World: Export {
    /// The row.
    const KIND: &'static PluginKind;
    /// The answer's meaning to the server.
    type Outcome: Send;
    /// The gate that plugins of this kind answer.
    type Gate: ?Sized;

    /// A call begins, before there is an instance.
    fn begin(_: &mut Call) {}

    /// The meaning of an answer.
    ///
    /// # Errors
    /// When it makes no sense: why.
    fn outcome(call: &mut Call, answer: Self::Answer) -> Result<Self::Outcome, String>;

    /// Parameters for a call that has no effect.
    fn trial(handle: MakeHandle<'_>) -> wasmtime::Result<Vec<Val>>;

    /// A loaded plugin as the gate.
    fn gate(pool: Pool<Self>) -> Arc<Self::Gate>;

    /// The chain of such gates.
    fn chain(gates: &mut Gates) -> &mut Vec<Named<Self::Gate>>;
}

/// A plugin of one kind, and its instances that wait for a call.
pub(super) struct Pool<W: World> {
    component: W::Pre,
    idle: Arc<Idle<W>>,
}

struct Idle<W> {
    plugin: Arc<Plugin>,
    /// How long instances live here: "per-session" where there is one session.
    instances: Instances,
    number: u64,
    list: Mutex<List<W>>,
    /// One was put back: for those who wait for a permit, which idle instances keep.
    back: Notify,
}

struct List<W> {
    /// The newest last, which is taken first. They are dropped when the list is not locked any more:
    /// a permit that is given back may have another keeper, or this one, let go of an instance.
    leases: Vec<Lease<W>>,
    /// Whether somebody looks after their age.
    watched: bool,
}

impl<W: World> Clone for Pool<W> {
    fn clone(&self) -> Self {
        Self {
            component: self.component.clone(),
            idle: self.idle.clone(),
        }
    }
}

/// The right to an instance, and the instance once it is made. Where a call fails it is dropped: an
/// instance that trapped, ran late or was given up half-way is never entered again.
pub(super) struct Lease<E> {
    // In this order they are dropped: the instance before the permit that was its right to be.
    instance: Option<E>,
    store: Store<Call>,
    permit: InstancePermit,
    calls: u32,
    born: Instant,
}

impl<E: Export> Lease<E> {
    /// For a new instance.
    pub(super) fn new(
        plugin: &Arc<Plugin>,
        permit: InstancePermit,
        settings: Arc<Version>,
        session: Arc<SessionInfo>,
    ) -> Self {
        Self {
            instance: None,
            store: plugin.store(&permit, settings, session),
            permit,
            calls: 0,
            born: Instant::now(),
        }
    }

    /// Makes the instance, in the time that a call has.
    pub(super) async fn start(&mut self, component: &E::Pre) -> Result<(), Fault> {
        let plugin = self.store.data().plugin.clone();
        let clock = self.store.data().clock.clone();
        let start = async {
            self.instance = Some(E::instantiate(component, &mut self.store).await?);
            Ok(Ok(()))
        };
        let started = clock.time(plugin.limits.wall_time, start).await;
        plugin.conclude(&self.store, started)
    }

    /// Asks the instance, which is made if it is not yet.
    pub(super) async fn ask(
        &mut self,
        component: &E::Pre,
        question: E::Question,
    ) -> Result<E::Answer, Fault> {
        let plugin = self.store.data().plugin.clone();
        let clock = self.store.data().clock.clone();
        let call = async {
            let instance = match &self.instance {
                Some(instance) => instance,
                None => {
                    let instance = E::instantiate(component, &mut self.store).await?;
                    self.instance.insert(instance)
                }
            };
            instance.ask(&mut self.store, question).await
        };
        let answer = clock.time(plugin.limits.wall_time, call).await;
        let answer = plugin.conclude(&self.store, answer)?;
        self.calls = self.calls.saturating_add(1);
        Ok(answer)
    }
}

impl<W: World> Pool<W> {
    /// For all sessions together, so that no instance is any session's own.
    pub(super) fn new(plugin: Arc<Plugin>, component: W::Pre) -> Self {
        let instances = match plugin.instances {
            Instances::PerSession => Instances::PerCall,
            instances => instances,
        };
        Self {
            component,
            idle: Arc::new(Idle::new(plugin, instances)),
        }
    }

    /// The same plugin for one session, with an instance of the session's own where that is how
    /// instances live.
    pub(super) fn of_session(&self) -> Self {
        let mut pool = self.clone();
        let plugin = self.plugin();
        if plugin.instances == Instances::PerSession {
            pool.idle = Arc::new(Idle::new(plugin.clone(), Instances::PerSession));
        }
        pool
    }

    pub(super) fn plugin(&self) -> &Arc<Plugin> {
        &self.idle.plugin
    }

    /// Asks the plugin: the only way in which it is called.
    pub(super) async fn call(
        &self,
        session: Arc<SessionInfo>,
        question: W::Question,
    ) -> Result<W::Outcome, Fault> {
        let outcome = self.ask(session, question).await;
        self.plugin().health.note(&outcome);
        outcome
    }

    async fn ask(
        &self,
        session: Arc<SessionInfo>,
        question: W::Question,
    ) -> Result<W::Outcome, Fault> {
        let mut lease = self.lease(session).await?;
        W::begin(lease.store.data_mut());
        let answer = lease.ask(&self.component, question).await?;
        let outcome = W::outcome(lease.store.data_mut(), answer)
            .map_err(|why| self.plugin().fault(FaultKind::InvalidResponse, why))?;
        self.put_back(lease);
        Ok(outcome)
    }

    /// Makes an instance once, so that a component that cannot start is known now, and not at the first
    /// call.
    pub(super) async fn start(
        &self,
        permit: InstancePermit,
        session: Arc<SessionInfo>,
    ) -> Result<(), Fault> {
        let settings = self.plugin().settings.current().await;
        let mut lease = Lease::<W>::new(self.plugin(), permit, settings, session);
        lease.start(&self.component).await
    }

    /// For one call about `session`: a new instance, or one that is kept.
    async fn lease(&self, session: Arc<SessionInfo>) -> Result<Lease<W>, Fault> {
        let (plugin, instances) = (self.plugin(), self.idle.instances);
        let since = Instant::now();
        let user = session.user_id();
        let user = user.as_ref();
        let permit = loop {
            let mut back = pin!(self.idle.back.notified());
            back.as_mut().enable();
            if let Some(lease) = self.take(user) {
                plugin.health.waited(since.elapsed());
                return Ok(self.again(lease, session).await);
            }
            tokio::select! {
                permit = plugin.slot(W::KIND.purpose, user, since) => {
                    plugin.health.waited(since.elapsed());
                    break permit?;
                }
                () = back, if instances == Instances::Pool => {}
            }
        };
        let settings = plugin.settings.current().await;
        Ok(Lease::new(plugin, permit, settings, session))
    }

    /// A kept instance for one more call.
    async fn again(&self, mut lease: Lease<W>, session: Arc<SessionInfo>) -> Lease<W> {
        let settings = self.plugin().settings.current().await;
        lease.store.data_mut().restart(settings, session);
        // The epoch went on in the meantime, and would have the first check yield.
        lease.store.set_epoch_deadline(1);
        lease
    }

    /// After a call that went well: the instance waits for the next one, if it is to.
    fn put_back(&self, lease: Lease<W>) {
        let instances = self.idle.instances;
        if instances == Instances::PerCall || !self.may_stay(&lease) {
            return;
        }
        let permit = lease.permit.clone();
        if instances == Instances::Pool {
            permit.leave();
        }
        let mut list = self.idle.list();
        let (before, watched) = match instances {
            Instances::Pool => (Vec::new(), mem::replace(&mut list.watched, true)),
            // A session keeps one, and lets go of it itself.
            _ => (mem::take(&mut list.leases), true),
        };
        list.leases.push(lease);
        drop(list);
        drop(before);
        self.idle.back.notify_one();
        let keeper = Arc::downgrade(&self.idle);
        let keeper: Weak<dyn Keeper> = keeper;
        permit.kept(self.idle.number, &keeper);
        if !watched {
            let age = self.plugin().limits.pool_age;
            tokio::spawn(retire(Arc::downgrade(&self.idle), age));
        }
    }

    /// Whether an instance may be asked again: it is neither old nor greedy, and others have room.
    fn may_stay(&self, lease: &Lease<W>) -> bool {
        lease.permit.plenty()
            && !lease.store.data().leaks_handles()
            && (self.idle.instances != Instances::Pool || self.is_young(lease))
    }

    fn is_young(&self, lease: &Lease<W>) -> bool {
        let limits = &self.plugin().limits;
        lease.calls < limits.pool_calls && lease.born.elapsed() < limits.pool_age
    }

    fn take(&self, user: Option<&UserId>) -> Option<Lease<W>> {
        let mut old = Vec::new();
        let mut list = self.idle.list();
        match self.idle.instances {
            Instances::PerCall => None,
            Instances::PerSession => list.leases.pop(),
            Instances::Pool => loop {
                let lease = list.leases.pop()?;
                if !self.is_young(&lease) {
                    old.push(lease);
                } else if lease.permit.enter(user) {
                    break Some(lease);
                } else {
                    // It waits for somebody who has less.
                    list.leases.push(lease);
                    break None;
                }
            },
        }
    }

    /// Gives back what a session keeps.
    pub(super) fn release_kept(&self) {
        if self.idle.instances == Instances::PerSession {
            let kept = mem::take(&mut self.idle.list().leases);
            drop(kept);
        }
    }
}

impl<W: World> Keeper for Idle<W> {
    fn release_idle(&self) -> bool {
        let mut list = self.list();
        // The oldest.
        let lease = (!list.leases.is_empty()).then(|| list.leases.remove(0));
        let more = !list.leases.is_empty();
        drop(list);
        drop(lease);
        more
    }
}

impl<W> Idle<W> {
    fn new(plugin: Arc<Plugin>, instances: Instances) -> Self {
        Self {
            number: plugin.shared.instances.keeper(),
            plugin,
            instances,
            list: Mutex::new(List {
                leases: Vec::new(),
                watched: false,
            }),
            back: Notify::new(),
        }
    }

    fn list(&self) -> MutexGuard<'_, List<W>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W> Drop for Idle<W> {
    fn drop(&mut self) {
        self.plugin.forget(self.number);
    }
}

/// Ends idle instances in time, as long as there are any.
async fn retire<W: World>(idle: Weak<Idle<W>>, age: Duration) {
    loop {
        tokio::time::sleep(age).await;
        let Some(idle) = idle.upgrade() else { return };
        let mut list = idle.list();
        let leases = mem::take(&mut list.leases);
        let (young, old): (Vec<_>, Vec<_>) = leases
            .into_iter()
            .partition(|lease| lease.born.elapsed() < age);
        list.leases = young;
        list.watched = !list.leases.is_empty();
        let watched = list.watched;
        drop(list);
        drop(old);
        if !watched {
            return;
        }
    }
}
