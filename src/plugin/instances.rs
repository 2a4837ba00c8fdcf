//! Instances between calls: dropped after one, or kept for the next.

use std::{
    mem,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use wasmtime::Store;

use super::{
    call::Call,
    component::Plugin,
    instance_limiter::{InstancePermit, Keeper, Purpose},
};
use crate::{
    config::Instances,
    gate::{Fault, SessionInfo},
    types::UserId,
};

/// A linked component, of which instances can be made.
pub(super) trait Component: Clone + Send + Sync + 'static {
    /// What the calls go to.
    type Instance: Send + 'static;

    /// Makes one in an empty store.
    fn instantiate(
        &self,
        store: &mut Store<Call>,
    ) -> impl Future<Output = wasmtime::Result<Self::Instance>> + Send;
}

/// The instances of one plugin of one kind.
pub(super) struct Pool<C: Component> {
    pub(super) plugin: Arc<Plugin>,
    component: C,
    purpose: Purpose,
    idle: Arc<Idle<C::Instance>>,
}

/// The instances that wait for a call.
struct Idle<I> {
    number: u64,
    list: Mutex<List<I>>,
    /// One was put back: for those who wait for a slot, which idle instances keep.
    back: Notify,
}

struct List<I> {
    /// The newest last, which is taken first.
    leases: Vec<Lease<I>>,
    /// Whether somebody looks after their age.
    watched: bool,
}

impl<C: Component> Clone for Pool<C> {
    fn clone(&self) -> Self {
        Self {
            plugin: self.plugin.clone(),
            component: self.component.clone(),
            purpose: self.purpose,
            idle: self.idle.clone(),
        }
    }
}

/// The right to an instance, and the instance once it is made. Whoever had a call fail drops it:
/// what trapped, ran late or was given up half-way is never entered again.
pub(super) struct Lease<I> {
    // In this order they are dropped: the instance before the slot that was its right to be.
    instance: Option<I>,
    pub(super) store: Store<Call>,
    pub(super) slot: InstancePermit,
    calls: u32,
    born: Instant,
}

impl<C: Component> Pool<C> {
    pub(super) fn new(plugin: Arc<Plugin>, component: C, purpose: Purpose) -> Self {
        let idle = Idle {
            number: plugin.shared.instances.keeper(),
            list: Mutex::new(List {
                leases: Vec::new(),
                watched: false,
            }),
            back: Notify::new(),
        };
        Self {
            plugin,
            component,
            purpose,
            idle: Arc::new(idle),
        }
    }

    /// For one call about `session`: a new instance, or one of the pool.
    pub(super) async fn lease(
        &self,
        session: Arc<SessionInfo>,
    ) -> Result<Lease<C::Instance>, Fault> {
        let since = Instant::now();
        let user = session.user_id();
        let user = user.as_ref();
        let slot = loop {
            let mut back = pin!(self.idle.back.notified());
            back.as_mut().enable();
            if let Some(lease) = self.take(user) {
                return Ok(self.again(lease, session).await);
            }
            tokio::select! {
                slot = self.plugin.slot(self.purpose, user, since) => break slot?,
                () = back, if self.plugin.instances == Instances::Pool => {}
            }
        };
        let settings = self.plugin.settings.current().await;
        Ok(Lease {
            instance: None,
            store: self.plugin.store(&slot, settings, session),
            slot,
            calls: 0,
            born: Instant::now(),
        })
    }

    /// A kept instance for one more call.
    pub(super) async fn again(
        &self,
        mut lease: Lease<C::Instance>,
        session: Arc<SessionInfo>,
    ) -> Lease<C::Instance> {
        let settings = self.plugin.settings.current().await;
        lease.store.data_mut().restart(settings, session);
        // The epoch went on in the meantime, and would have the first check yield.
        lease.store.set_epoch_deadline(1);
        lease
    }

    /// The instance of a lease, made if it is not yet. Goes back by [`Lease::ended`].
    pub(super) async fn instance(
        &self,
        lease: &mut Lease<C::Instance>,
    ) -> wasmtime::Result<C::Instance> {
        match lease.instance.take() {
            Some(instance) => Ok(instance),
            None => self.component.instantiate(&mut lease.store).await,
        }
    }

    /// After a call that went well: the instance waits for the next one, if it is to.
    pub(super) fn put_back(&self, lease: Lease<C::Instance>) {
        if self.plugin.instances != Instances::Pool || !self.may_stay(&lease) {
            return;
        }
        let slot = lease.slot.clone();
        slot.leave();
        let mut list = self.idle.list();
        list.leases.push(lease);
        let watched = mem::replace(&mut list.watched, true);
        drop(list);
        self.idle.back.notify_one();
        let idle = Arc::downgrade(&self.idle);
        let idle: Weak<dyn Keeper> = idle;
        slot.kept(self.idle.number, &idle);
        if !watched {
            tokio::spawn(retire(
                Arc::downgrade(&self.idle),
                self.plugin.limits.pool_age,
            ));
        }
    }

    /// Whether an instance may be asked again: it is neither old nor greedy, and others have room.
    pub(super) fn may_stay(&self, lease: &Lease<C::Instance>) -> bool {
        lease.instance.is_some()
            && lease.slot.plenty()
            && !lease.store.data().leaks_handles()
            && (self.plugin.instances != Instances::Pool || self.is_young(lease))
    }

    fn is_young(&self, lease: &Lease<C::Instance>) -> bool {
        let limits = &self.plugin.limits;
        lease.calls < limits.pool_calls && lease.born.elapsed() < limits.pool_age
    }

    fn take(&self, user: Option<&UserId>) -> Option<Lease<C::Instance>> {
        if self.plugin.instances != Instances::Pool {
            return None;
        }
        let mut list = self.idle.list();
        while let Some(lease) = list.leases.pop() {
            if !self.is_young(&lease) {
                continue;
            }
            if lease.slot.enter(user) {
                return Some(lease);
            }
            // It waits for somebody who has less.
            list.leases.push(lease);
            break;
        }
        None
    }
}

impl<I: Send> Keeper for Idle<I> {
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

impl<I> Idle<I> {
    fn list(&self) -> MutexGuard<'_, List<I>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends idle instances in time, as long as there are any.
async fn retire<I>(idle: Weak<Idle<I>>, age: Duration) {
    loop {
        tokio::time::sleep(age).await;
        let Some(idle) = idle.upgrade() else { return };
        let mut list = idle.list();
        list.leases.retain(|lease| lease.born.elapsed() < age);
        if list.leases.is_empty() {
            list.watched = false;
            return;
        }
    }
}

impl<I> Lease<I> {
    /// A call has ended well, and its instance can be asked again.
    pub(super) fn ended(&mut self, instance: I) {
        self.instance = Some(instance);
        self.calls = self.calls.saturating_add(1);
    }
}
