//! Components that decide what a user may do to which path.

use std::sync::Arc;

use wasmtime::{Store, component::Val};

use super::{
    bindings::imports::portcullis::plugin::types::Failure,
    call::Call,
    imports::uploads,
    instances::{Export, MakeHandle, Pool, World, bind},
    kind::PluginKind,
    output::one_line,
};
use crate::{
    gate::{
        Fault, Gates, Named, SessionInfo,
        path_policy::{Decision, Decisions, Guard, Operation, PathPolicy},
        requests::Requests,
    },
    types::BoxFuture,
};

bind!("portcullis:plugin/path-guard", PathGuard, PathGuardPre);
use bindings::exports::portcullis::plugin::path_policy::{
    Decision as Answered, Operation as Asked, Request as Question,
};

impl Export for PathGuard {
    type Question = Arc<Requests>;
    /// With how many there should be.
    type Answer = (usize, Vec<Answered>);

    async fn ask(
        &self,
        store: &mut Store<Call>,
        requests: Arc<Requests>,
    ) -> wasmtime::Result<Result<Self::Answer, Failure>> {
        let session = store.data_mut().lend_session()?;
        let questions: Vec<Question<'_>> = requests.iter().map(question).collect();
        let policy = self.portcullis_plugin_path_policy();
        let answer = policy.call_decide(store, session, &questions).await?;
        Ok(answer.map(|decisions| (requests.len(), decisions)))
    }
}

/// By default one instance for each session, made at its first question.
impl World for PathGuard {
    const KIND: &'static PluginKind = &PluginKind::PATH_GUARD;
    type Outcome = Decisions;
    type Gate = dyn PathPolicy;

    fn outcome(_: &mut Call, (asked, decisions): Self::Answer) -> Result<Decisions, String> {
        Decisions::new(asked, decisions.into_iter().map(decision).collect())
    }

    fn trial(handle: MakeHandle<'_>) -> wasmtime::Result<Vec<Val>> {
        let request = vec![
            ("operation".into(), Val::Variant("see".into(), None)),
            ("path".into(), Val::String("/nothing".into())),
        ];
        Ok(vec![handle()?, Val::List(vec![Val::Record(request)])])
    }

    fn gate(pool: Pool<Self>) -> Arc<Self::Gate> {
        Arc::new(pool)
    }

    fn chain(gates: &mut Gates) -> &mut Vec<Named<Self::Gate>> {
        &mut gates.policies
    }
}

impl PathPolicy for Pool<PathGuard> {
    fn guard(&self) -> Box<dyn Guard> {
        Box::new(self.of_session())
    }
}

impl Guard for Pool<PathGuard> {
    fn decide(
        &self,
        session: Arc<SessionInfo>,
        requests: Arc<Requests>,
    ) -> BoxFuture<'_, Result<Decisions, Fault>> {
        Box::pin(self.call(session, requests))
    }

    fn release_idle(&self) {
        self.release_kept();
    }
}

fn question<'a>((operation, path): (&'a Operation, &'a str)) -> Question<'a> {
    let operation = match operation {
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
    Question { operation, path }
}

fn decision(answered: Answered) -> Decision {
    match answered {
        Answered::Allow => Decision::Allow,
        Answered::Deny(reason) => Decision::Deny(one_line(reason)),
        Answered::Hide => Decision::Hide,
    }
}
