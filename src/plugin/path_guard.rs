//! Components that decide what a user may do to which path.

use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::Store;

use super::{
    bindings::path_guard::{
        PathGuard, PathGuardPre,
        exports::portcullis::plugin::path_policy::{
            Decision as Answered, Operation as Asked, Request as Question,
        },
    },
    call::Call,
    component::{Plugin, Term},
    imports::uploads,
    output::one_line,
    slots::Slot,
};
use crate::gate::{
    Answer, Fault, FaultKind, SessionFacts,
    path_policy::{Decision, Guard, Operation, PathPolicy, Request},
};

/// One instance for each session, made at its first question.
#[derive(Clone)]
pub(super) struct ComponentPolicy {
    pub(super) plugin: Arc<Plugin>,
    pub(super) component: PathGuardPre<Call>,
}

impl PathPolicy for ComponentPolicy {
    fn guard(&self) -> Box<dyn Guard> {
        Box::new(ComponentGuard {
            policy: self.clone(),
            kept: Mutex::default(),
        })
    }
}

struct ComponentGuard {
    policy: ComponentPolicy,
    /// Taken out for a call and put back when it succeeded: an instance that trapped, ran late or
    /// was dropped in the middle of a call is never entered again.
    kept: Mutex<Option<Kept>>,
}

/// The instance goes before its slot does.
struct Kept {
    instance: PathGuard,
    store: Store<Call>,
    slot: Slot,
}

impl Guard for ComponentGuard {
    fn decide(
        &self,
        session: Arc<SessionFacts>,
        requests: Arc<[Request]>,
    ) -> Answer<'_, Result<Vec<Decision>, Fault>> {
        Box::pin(self.ask(session, requests))
    }

    fn rest(&self) {
        drop(self.take());
    }
}

impl ComponentGuard {
    fn take(&self) -> Option<Kept> {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    async fn ask(
        &self,
        session: Arc<SessionFacts>,
        requests: Arc<[Request]>,
    ) -> Result<Vec<Decision>, Fault> {
        let plugin = &self.policy.plugin;
        let settings = plugin.settings.current().await;
        // In this order: dropped half-way, the store goes before its slot.
        let (slot, mut store, kept) = match self.take() {
            Some(Kept {
                instance,
                mut store,
                slot,
            }) => {
                store.data_mut().restart(settings, session);
                // The epoch went on in the meantime, and would have the first check yield.
                store.set_epoch_deadline(1);
                (slot, store, Some(instance))
            }
            None => {
                let slot = plugin.slot(Term::Short).await?;
                (slot, plugin.store(settings, session), None)
            }
        };
        let clock = store.data().clock.clone();
        clock.restart();
        let questions: Vec<Question<'_>> = requests.iter().map(question).collect();
        let call = async {
            let instance = match kept {
                Some(instance) => instance,
                None => self.policy.component.instantiate_async(&mut store).await?,
            };
            let session = store.data_mut().lend_session()?;
            let policy = instance.portcullis_plugin_path_policy();
            let answer = policy.call_decide(&mut store, session, &questions).await?;
            Ok(answer.map(|decisions| (instance, decisions)))
        };
        let answer = clock.time(plugin.limits.wall_time, call).await;
        let (instance, decisions) = plugin.conclude(&store, answer)?;
        if decisions.len() != requests.len() {
            let text = format!("{} answers to {} requests", decisions.len(), requests.len());
            return Err(plugin.fault(FaultKind::Nonsense, text));
        }
        if plugin.shared.slots.plenty() && !store.data().hoards() {
            let kept = Kept {
                instance,
                store,
                slot,
            };
            *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
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
