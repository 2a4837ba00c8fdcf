//! The plugin as the server sees it.

use crate::decide::{Subject, View};
use crate::operation::Operation;
use crate::rule::{Effect, Policy};
use sdk::path_guard::{self as contract, Decision, Failure, Guest, Request, Session, UploadMode};
use sdk::settings;
use sdk::settings_check::{self, Problem};
use std::cell::RefCell;

struct Rules;
sdk::path_guard::export!(Rules);
settings_check::export!(Rules);

thread_local! {
    static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
}

/// What an instance keeps from one question to the next.
struct State {
    policy: Policy,
    personal: bool,
    /// For whom the view is: a session and its user, unless all see the same.
    viewer: Option<(String, Option<String>)>,
    view: View,
}

impl Guest for Rules {
    fn decide(session: Session, requests: Vec<Request>) -> Result<Vec<Decision>, Failure> {
        STATE.with_borrow_mut(|state| {
            let state = match state {
                Some(state) => state,
                none => none.insert(State::new(&session).map_err(Failure::Internal)?),
            };
            state.look_for(&session).map_err(Failure::Internal)?;
            let answer =
                |request: &Request| match state.view.decide(operation(request), &request.path) {
                    Effect::Allow => Decision::Allow,
                    Effect::Deny(reason) => Decision::Deny(reason.clone()),
                    Effect::Hide => Decision::Hide,
                };
            Ok(requests.iter().map(answer).collect())
        })
    }
}

impl settings_check::Guest for Rules {
    fn check() -> Result<(), Vec<Problem>> {
        sdk::log_panics();
        // Some of what can be wrong shows when the rules are put together for somebody.
        let policy = Policy::parse(&settings::all());
        let somebody = Subject {
            user: "somebody".to_owned(),
            groups: Vec::new(),
        };
        settings_check::checked(policy.and_then(|policy| policy.view(&somebody)))
    }
}

impl State {
    fn new(session: &Session) -> Result<Self, String> {
        sdk::log_panics();
        let policy = Policy::parse(&settings::all())?;
        let personal = policy.is_personal();
        let viewer = personal.then(|| (session.id(), session.user()));
        let view = policy.view(&subject(session, personal)?)?;
        Ok(Self {
            policy,
            personal,
            viewer,
            view,
        })
    }

    /// An instance serves one session, but a session may log in anew, and an operator may have
    /// instances pooled: nobody must be judged as somebody else.
    fn look_for(&mut self, session: &Session) -> Result<(), String> {
        if !self.personal {
            return Ok(());
        }
        let viewer = Some((session.id(), session.user()));
        if self.viewer != viewer {
            self.view = self.policy.view(&subject(session, true)?)?;
            self.viewer = viewer;
        }
        Ok(())
    }
}

fn subject(session: &Session, personal: bool) -> Result<Subject, String> {
    if !personal {
        return Ok(Subject::default());
    }
    let account = session
        .account()
        .ok_or("asked before anybody has logged in")?;
    Ok(Subject {
        user: session.user().unwrap_or_default(),
        groups: account.groups(),
    })
}

fn operation(request: &Request) -> Operation {
    match request.operation {
        contract::Operation::See => Operation::See,
        contract::Operation::List => Operation::List,
        contract::Operation::Download => Operation::Download,
        contract::Operation::Upload(UploadMode::Create) => Operation::Create,
        contract::Operation::Upload(UploadMode::Overwrite) => Operation::Overwrite,
        contract::Operation::Upload(UploadMode::Append) => Operation::Append,
        contract::Operation::Delete => Operation::Delete,
        contract::Operation::RenameFrom(_) => Operation::RenameFrom,
        contract::Operation::RenameTo(_) => Operation::RenameTo,
        contract::Operation::MakeDirectory => Operation::MakeDirectory,
        contract::Operation::RemoveDirectory => Operation::RemoveDirectory,
        contract::Operation::ChangeMetadata => Operation::ChangeMetadata,
    }
}
