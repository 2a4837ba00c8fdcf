//! Components that decide what a user may do to which path.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use wasmtime::Store;

use super::{
    bindings::path_guard::{
        PathGuard, PathGuardPre,
        exports::portcullis::plugin::path_policy::{
            Decision as Answered, Operation as Asked, Request as Question,
        },
    },
    call::Call,
    imports::uploads,
    instance_limiter::Keeper,
    instances::{Component, Lease, Pool},
    output::one_line,
};
use crate::{
    config::Instances,
    gate::{
        Fault, FaultKind, SessionInfo,
        path_policy::{Decision, Guard, Operation, PathPolicy, Request},
    },
    types::BoxFuture,
};

impl Component for PathGuardPre<Call> {
    type Instance = PathGuard;

    async fn instantiate(&self, store: &mut Store<Call>) -> wasmtime::Result<Self::Instance> {
        self.instantiate_async(store).await
    }
}

/// By default one instance for each session, made at its first question.
#[derive(Clone)]
pub(super) struct ComponentPolicy(pub(super) Pool<PathGuardPre<Call>>);

impl PathPolicy for ComponentPolicy {
    fn guard(&self) -> Box<dyn Guard> {
        Box::new(ComponentGuard {
            number: self.0.plugin.shared.instances.keeper(),
            pool: self.0.clone(),
            kept: Arc::new(Kept(Mutex::default())),
        })
    }
}

struct ComponentGuard {
    number: u64,
    pool: Pool<PathGuardPre<Call>>,
    /// Taken out for a call and put back when it succeeded.
    kept: Arc<Kept>,
}

struct Kept(Mutex<Option<Lease<PathGuard>>>);

impl Kept {
    fn lease(&self) -> MutexGuard<'_, Option<Lease<PathGuard>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper for Kept {
    fn release_idle(&self) -> bool {
        let lease = self.lease().take();
        drop(lease);
        false
    }
}

impl Drop for ComponentGuard {
    fn drop(&mut self) {
        self.pool.plugin.forget(self.number);
    }
}

impl Guard for ComponentGuard {
    fn decide(
        &self,
        session: Arc<SessionInfo>,
        requests: Arc<[Request]>,
    ) -> BoxFuture<'_, Result<Vec<Decision>, Fault>> {
        Box::pin(async {
            let decisions = self.ask(session, requests).await;
            self.pool.plugin.health.note(&decisions);
            decisions
        })
    }

    fn release_idle(&self) {
        drop(self.take());
    }
}

impl ComponentGuard {
    fn take(&self) -> Option<Lease<PathGuard>> {
        self.kept.lease().take()
    }

    async fn ask(
        &self,
        session: Arc<SessionInfo>,
        requests: Arc<[Request]>,
    ) -> Result<Vec<Decision>, Fault> {
        let plugin = &self.pool.plugin;
        let kept = self.take();
        let mut lease = match kept {
            Some(lease) => self.pool.again(lease, session).await,
            None => self.pool.lease(session).await?,
        };
        let clock = lease.store.data().clock.clone();
        let questions: Vec<Question<'_>> = requests.iter().map(question).collect();
        let call = async {
            let instance = self.pool.instance(&mut lease).await?;
            let session = lease.store.data_mut().lend_session()?;
            let policy = instance.portcullis_plugin_path_policy();
            let store = &mut lease.store;
            let answer = policy.call_decide(store, session, &questions).await?;
            lease.ended(instance);
            Ok(answer)
        };
        let answer = clock.time(plugin.limits.wall_time, call).await;
        let decisions = plugin.conclude(&lease.store, answer)?;
        if decisions.len() != requests.len() {
            let text = format!("{} answers to {} requests", decisions.len(), requests.len());
            return Err(plugin.fault(FaultKind::InvalidResponse, text));
        }
        if plugin.instances != Instances::PerSession {
            self.pool.put_back(lease);
        } else if self.pool.may_stay(&lease) {
            let slot = lease.slot.clone();
            *self.kept.lease() = Some(lease);
            let kept = Arc::downgrade(&self.kept);
            let kept: Weak<dyn Keeper> = kept;
            slot.kept(self.number, &kept);
        }
        Ok(decisions.into_iter().map(decision).collect())
    }
}

fn question(request: &Request) -> Question<'_> {
    let operation = match &request.operation {
        Operation::See => Asked::See,
        Operation::List => Asked::List,
        Operation::Download => Asked::Download,
        Operation::Upload(mode) => Asked::Upload(uploads::to_contract(*mode)),
        Operation::Delete => Asked::Delete,
        Operation::RenameFrom(to) => Asked::RenameFrom(to.as_str()),
        Operation::RenameTo(from) => Asked::RenameTo(from.as_str()),
        Operation::MakeDirectory => Asked::MakeDirectory,
        Operation::RemoveDirectory => Asked::RemoveDirectory,
        Operation::ChangeMetadata => Asked::ChangeMetadata,
    };
    Question {
        operation,
        path: request.path.as_str(),
    }
}

fn decision(answered: Answered) -> Decision {
    match answered {
        Answered::Allow => Decision::Allow,
        Answered::Deny(reason) => Decision::Deny(one_line(reason)),
        Answered::Hide => Decision::Hide,
    }
}
