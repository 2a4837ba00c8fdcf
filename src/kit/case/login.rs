//! Calls to authenticators.

use std::sync::Arc;

use super::{
    Answer, Session,
    form::{Answering, Asking, Form, Question, absent},
};
use crate::{
    ftp::secret::Secret,
    gate::{
        SessionInfo,
        authentication::{Credentials, Outcome},
    },
    plugin::PluginKind,
};

pub(super) const FORM: Form = Form {
    kind: &PluginKind::AUTHENTICATOR,
    asks: "an authenticator",
    keys: &["user", "password", "one-time-code"],
    outcome: "outcome",
    words: &["accept", "deny", "challenge", "abstain"],
    expects: &["account"],
    read: |call, _| {
        Ok(Arc::new(Credentials {
            user: call.user.clone().unwrap_or_default(),
            password: call.password.clone().map(Secret::new),
            one_time_code: call.one_time_code.clone().map(Secret::new),
        }))
    },
    fits: |gates| !gates.authenticators.is_empty(),
};

impl Question for Credentials {
    fn describe(&self) -> String {
        format!("login of {:?}", self.user)
    }

    fn session(&self, session: &Session, sessions: &[Arc<SessionInfo>; 2]) -> Arc<SessionInfo> {
        let [before, _] = sessions;
        Arc::new(SessionInfo {
            user: Some(session.user.as_deref().unwrap_or(&self.user).into()),
            ..before.as_ref().clone()
        })
    }

    fn ask<'a>(&'a self, asking: &'a Asking, session: Arc<SessionInfo>) -> Answering<'a> {
        Box::pin(async move {
            let member = asking.gates.authenticators.first().ok_or_else(absent)?;
            let outcome = member.gate.authenticate(session, self.clone());
            Ok(match outcome.await? {
                Outcome::Accept(account) => Answer {
                    account: Some(account),
                    ..Answer::word("accept")
                },
                Outcome::Deny(why) => Answer::word("deny").because(why),
                Outcome::Challenge(prompt) => Answer::word("challenge").because(prompt),
                Outcome::Abstain => Answer::word("abstain"),
            })
        })
    }
}
