//! The rights of a user to each path.

use std::{sync::Arc, time::Instant};

use super::{
    Account, Fault, Named, Permissions, SessionInfo,
    event::{Answer, Asked, Event, Observers},
    requests::Requests,
};
use crate::{
    ftp::path::VirtualPath,
    types::{BoxFuture, OnFailure, UploadMode},
};

const PERMISSION_DENIED: &str = "Permission denied";

/// An operation on a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Show the entry in a listing, or tell its facts.
    See,
    /// List the directory, or make it the current one.
    List,
    /// Read the file, or its digest.
    Download,
    /// Write it.
    Upload(UploadMode),
    /// Remove the file.
    Delete,
    /// The payload is the new name.
    RenameFrom(VirtualPath),
    /// The payload is the old name.
    RenameTo(VirtualPath),
    /// Make the directory.
    MakeDirectory,
    /// Remove the directory.
    RemoveDirectory,
    /// Times and modes.
    ChangeMetadata,
}

impl Operation {
    fn permission(&self) -> Permissions {
        match self {
            Self::See | Self::List => Permissions::LIST,
            Self::Download => Permissions::DOWNLOAD,
            Self::Upload(UploadMode::Create) => Permissions::UPLOAD,
            Self::Upload(UploadMode::Overwrite) => Permissions::OVERWRITE,
            Self::Upload(UploadMode::Append) => Permissions::APPEND,
            Self::Delete => Permissions::DELETE,
            Self::RenameFrom(_) | Self::RenameTo(_) => Permissions::RENAME,
            Self::MakeDirectory => Permissions::MAKE_DIRECTORY,
            Self::RemoveDirectory => Permissions::REMOVE_DIRECTORY,
            Self::ChangeMetadata => Permissions::CHANGE_METADATA,
        }
    }
}

impl Operation {
    /// The contract's word for it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::See => "see",
            Self::List => "list",
            Self::Download => "download",
            Self::Upload(_) => "upload",
            Self::Delete => "delete",
            Self::RenameFrom(_) => "rename-from",
            Self::RenameTo(_) => "rename-to",
            Self::MakeDirectory => "make-directory",
            Self::RemoveDirectory => "remove-directory",
            Self::ChangeMetadata => "change-metadata",
        }
    }
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The operation.
    pub operation: Operation,
    /// To what, within the user's own tree.
    pub path: VirtualPath,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on.
    Allow,
    /// No, and the client is told this reason.
    Deny(String),
    /// As if nothing were there.
    Hide,
}

impl Decision {
    /// The contract's word for it.
    fn name(&self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny(_) => "deny",
            Self::Hide => "hide",
        }
    }
}

/// The answers to a batch of questions: one each, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decisions(Vec<Decision>);

impl Decisions {
    /// The answers to so many questions.
    ///
    /// # Errors
    /// When there are more or fewer of them; for the log.
    pub fn new(requests: usize, decisions: Vec<Decision>) -> Result<Self, String> {
        match decisions.len() == requests {
            true => Ok(Self(decisions)),
            false => Err(format!(
                "{} answers to {requests} requests",
                decisions.len()
            )),
        }
    }
}

impl Decisions {
    /// The contract's word for the one decision; for several, where they differ, "mixed".
    fn name(&self) -> &'static str {
        let mut names = self.0.iter().map(Decision::name);
        let first = names.next().unwrap_or("allow");
        match names.all(|name| name == first) {
            true => first,
            false => "mixed",
        }
    }
}

impl IntoIterator for Decisions {
    type Item = Decision;
    type IntoIter = std::vec::IntoIter<Decision>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Decides for one session. It may keep an instance between calls.
pub trait Guard: Send + Sync {
    /// Answers the questions.
    fn decide(
        &self,
        session: Arc<SessionInfo>,
        requests: Arc<Requests>,
    ) -> BoxFuture<'_, Result<Decisions, Fault>>;

    /// The session has been idle for a little: what is costly to keep may go.
    fn release_idle(&self);
}

/// Makes guards for sessions.
pub trait PathPolicy: Send + Sync {
    /// A guard for one session; cheap, as nothing is made before the first question.
    fn guard(&self) -> Box<dyn Guard>;
}

/// Why an operation may not be done.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// The account, or a plugin, says no; the client is told why.
    Denied(String),
    /// As if nothing were there.
    Hidden,
    /// A plugin could not decide.
    Failed(Fault),
}

/// All that stands between one logged-in session and its paths: the account's permissions, then
/// each guard. Every verb that touches a path goes through here.
pub struct Policy {
    session: Arc<SessionInfo>,
    permissions: Permissions,
    guards: Vec<(Named<dyn PathPolicy>, Box<dyn Guard>)>,
    observers: Observers,
}

impl Policy {
    /// The policy of a session that logged in as `account`.
    #[must_use]
    pub fn new(
        session: Arc<SessionInfo>,
        account: &Account,
        chain: &[Named<dyn PathPolicy>],
        observers: Observers,
    ) -> Self {
        let guards = chain
            .iter()
            .map(|named| (named.clone(), named.gate.guard()))
            .collect();
        Self {
            session,
            permissions: account.permissions,
            guards,
            observers,
        }
    }

    /// The most that the account may do.
    #[must_use]
    pub fn permissions(&self) -> Permissions {
        self.permissions
    }

    /// Asks for one operation.
    ///
    /// # Errors
    /// When it may not be done.
    pub async fn check(&self, operation: Operation, path: &VirtualPath) -> Result<(), Refusal> {
        self.ask(operation, path, true).await
    }

    /// The same for what the client has not asked for by itself, such as the directories that a pattern
    /// leads to: only that it could not be decided is told.
    ///
    /// # Errors
    /// When it may not be done.
    pub async fn check_aside(
        &self,
        operation: Operation,
        path: &VirtualPath,
    ) -> Result<(), Refusal> {
        self.ask(operation, path, false).await
    }

    async fn ask(
        &self,
        operation: Operation,
        path: &VirtualPath,
        asked_for: bool,
    ) -> Result<(), Refusal> {
        let request = Request {
            operation,
            path: path.clone(),
        };
        let requests = Arc::new(vec![request].into());
        let refusal = match self.decide(&requests).await {
            Ok(mut answers) => answers.pop().flatten(),
            Err(refusal) => Some(refusal),
        };
        let Some(refusal) = refusal else {
            return Ok(());
        };
        if asked_for || matches!(refusal, Refusal::Failed(_)) {
            self.report(requests.first(), &refusal);
        }
        Err(refusal)
    }

    /// Whether an entry may be seen that the client has not asked for by itself.
    pub async fn may_see(&self, path: &VirtualPath) -> bool {
        let request = Request {
            operation: Operation::See,
            path: path.clone(),
        };
        self.may(vec![request]).await == [true]
    }

    /// Whether each of these may be done, for what a client is told without having asked for it:
    /// listeners hear of no refusal. Where it cannot be decided, the answer is no.
    pub async fn may(&self, requests: Vec<Request>) -> Vec<bool> {
        let requests = Arc::new(requests.into());
        match self.decide(&requests).await {
            Ok(answers) => answers.iter().map(Option::is_none).collect(),
            Err(_) => vec![false; requests.len()],
        }
    }

    /// Asks for several operations at once; an answer of `None` allows.
    ///
    /// # Errors
    /// When a guard could not decide at all.
    pub async fn check_all(
        &self,
        requests: impl Into<Requests>,
    ) -> Result<Vec<Option<Refusal>>, Refusal> {
        let requests = Arc::new(requests.into());
        let answers = self.decide(&requests).await;
        match &answers {
            Ok(answers) => {
                for (request, answer) in requests.each().iter().zip(answers) {
                    // Entries that a listing leaves out were not asked for.
                    if let Some(refusal) = answer
                        && request.operation != Operation::See
                    {
                        self.report(Some((&request.operation, &request.path)), refusal);
                    }
                }
            }
            Err(refusal) => self.report(requests.first(), refusal),
        }
        answers
    }

    fn report(&self, request: Option<(&Operation, &VirtualPath)>, refusal: &Refusal) {
        let Some((operation, path)) = request else {
            return;
        };
        let operation = operation.name();
        let reason = match refusal {
            Refusal::Denied(reason) => Some(reason.as_str()),
            Refusal::Hidden => None,
            Refusal::Failed(fault) => {
                let event = Event::Faulted {
                    operation,
                    path: Some(path),
                    upload: None,
                    fault,
                };
                return self.observers.emit(&self.session, &event);
            }
        };
        let event = Event::Denied {
            operation,
            path,
            reason,
        };
        self.observers.emit(&self.session, &event);
    }

    async fn decide(&self, requests: &Arc<Requests>) -> Result<Vec<Option<Refusal>>, Refusal> {
        let mut answers: Vec<Option<Refusal>> = requests
            .iter()
            .map(|(operation, _)| {
                let allowed = self.permissions.contains(operation.permission());
                (!allowed).then(|| Refusal::Denied(PERMISSION_DENIED.into()))
            })
            .collect();
        if self.guards.is_empty() || answers.iter().all(Option::is_some) {
            return Ok(answers);
        }
        for (named, guard) in &self.guards {
            let begun = Instant::now();
            let decisions = guard.decide(self.session.clone(), requests.clone()).await;
            self.asked(&named.name, requests, begun, &decisions);
            let decisions = match decisions {
                Ok(decisions) => decisions,
                Err(fault) => {
                    self.failed(named, fault)?;
                    continue;
                }
            };
            let mut decisions = decisions.into_iter();
            for answer in &mut answers {
                // Answers to another batch allow nothing of this one.
                let decision = decisions
                    .next()
                    .unwrap_or_else(|| Decision::Deny(PERMISSION_DENIED.into()));
                if answer.is_none() {
                    *answer = match decision {
                        Decision::Allow => None,
                        Decision::Deny(reason) => Some(Refusal::Denied(reason)),
                        Decision::Hide => Some(Refusal::Hidden),
                    };
                }
            }
        }
        Ok(answers)
    }

    fn asked(
        &self,
        plugin: &str,
        requests: &Requests,
        begun: Instant,
        decisions: &Result<Decisions, Fault>,
    ) {
        let Some((operation, path)) = requests.first() else {
            return;
        };
        let asked = Asked {
            plugin,
            kind: "path guard",
            operation: operation.name(),
            path: Some(path),
            lasted: begun.elapsed(),
            answer: match decisions {
                Ok(decisions) => Answer::Decided(decisions.name()),
                Err(fault) => Answer::Failed(fault),
            },
        };
        self.observers.emit(&self.session, &Event::Asked(&asked));
    }

    fn failed(&self, named: &Named<dyn PathPolicy>, fault: Fault) -> Result<(), Refusal> {
        match named.on_failure {
            OnFailure::Deny => Err(Refusal::Failed(fault)),
            OnFailure::Allow => {
                let event = Event::FaultPassed {
                    kind: "path guard",
                    path: None,
                    fault: &fault,
                };
                self.observers.emit(&self.session, &event);
                Ok(())
            }
        }
    }

    /// Gives back what guards keep between questions.
    pub fn release_idle(&self) {
        for (_, guard) in &self.guards {
            guard.release_idle();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// It answers each batch as if it were of one question.
    struct Short;

    impl Guard for Short {
        fn decide(
            &self,
            _: Arc<SessionInfo>,
            _: Arc<Requests>,
        ) -> BoxFuture<'_, Result<Decisions, Fault>> {
            let decisions = Decisions::new(1, vec![Decision::Allow]).unwrap();
            Box::pin(async { Ok(decisions) })
        }

        fn release_idle(&self) {}
    }

    impl PathPolicy for Short {
        fn guard(&self) -> Box<dyn Guard> {
            Box::new(Self)
        }
    }

    #[tokio::test]
    async fn a_batch_has_an_answer_to_each_question() {
        for count in [0, 2] {
            let decisions = Decisions::new(1, vec![Decision::Allow; count]);
            let text = format!("{count} answers to 1 requests");
            assert_eq!(decisions.unwrap_err(), text);
        }
        let chain = [Named::<dyn PathPolicy> {
            name: "short".into(),
            on_failure: OnFailure::Deny,
            gate: Arc::new(Short),
        }];
        let account = Account::new(VirtualPath::root());
        let session = SessionInfo::nobody("test");
        let policy = Policy::new(session, &account, &chain, Observers::default());
        let request = Request {
            operation: Operation::See,
            path: VirtualPath::root(),
        };
        assert_eq!(policy.may(vec![request.clone(); 2]).await, [true, false]);
    }
}
