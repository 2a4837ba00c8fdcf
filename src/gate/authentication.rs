//! The identity of a client.

use std::{sync::Arc, time::Instant};

use super::{
    Account, Fault, Named, SessionInfo,
    event::{Answer, Asked, Event, Observers},
    grounds::{Grounds, Reads},
};
use crate::{ftp::secret::Secret, types::BoxFuture};

/// The credentials that the client has given so far.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// From USER.
    pub user: String,
    /// From PASS. `None` when the client's certificate must do.
    pub password: Option<Secret>,
    /// From ACCT, the answer to a challenge.
    pub one_time_code: Option<Secret>,
}

/// One authenticator's decision.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The client is this account.
    Accept(Box<Account>),
    /// No; the reason is for the log.
    Deny(String),
    /// Right so far; the prompt is for the client (332).
    Challenge(String),
    /// Not known here: the next one is asked.
    Abstain,
}

impl Outcome {
    /// The contract's word for it.
    fn name(&self) -> &'static str {
        match self {
            Self::Accept(_) => "accept",
            Self::Deny(_) => "deny",
            Self::Challenge(_) => "challenge",
            Self::Abstain => "abstain",
        }
    }
}

/// Decides who a client is.
pub trait Authenticator: Send + Sync {
    /// Asked once for each attempt; what it read is noted.
    fn ask(
        &self,
        session: Arc<SessionInfo>,
        credentials: Credentials,
    ) -> BoxFuture<'_, Result<(Outcome, Reads), Fault>>;

    /// The first setting that is not as it was read, for the log. Looks at no file.
    fn change(&self, reads: &Reads) -> Option<String>;

    /// Looks at the files of its settings; a number that changes when one of them has.
    fn follow(&self) -> BoxFuture<'_, u64>;

    /// As [`Authenticator::ask`], where the outcome is all that matters.
    fn authenticate(
        &self,
        session: Arc<SessionInfo>,
        credentials: Credentials,
    ) -> BoxFuture<'_, Result<Outcome, Fault>> {
        let asked = self.ask(session, credentials);
        Box::pin(async { asked.await.map(|(outcome, _)| outcome) })
    }
}

/// The authenticators in the configured order.
pub type Chain = [Named<dyn Authenticator>];

/// The decision of the chain.
#[derive(Debug)]
pub enum LoginDecision {
    /// Logged in, by the plugin of this name, on these grounds.
    Accepted(Box<Account>, Arc<str>, Grounds),
    /// Refused; for the log: by whom, and why.
    Denied(String),
    /// A second factor is wanted, with this prompt.
    Challenged(String),
    /// Every plugin abstained.
    Unknown,
    /// Somebody could not decide: refused, for now.
    Failed(Fault),
}

/// Asks each authenticator until one does not abstain. A fault ends the chain: what would have
/// been denied must not be accepted further on.
pub async fn authenticate(
    chain: &Chain,
    session: &Arc<SessionInfo>,
    credentials: &Credentials,
    observers: &Observers,
) -> LoginDecision {
    let mut grounds = Grounds::default();
    for member in chain {
        let begun = Instant::now();
        let asked = member.gate.ask(session.clone(), credentials.clone());
        let answer = asked.await;
        let asked = Asked {
            plugin: &member.name,
            kind: "authenticator",
            operation: "login",
            path: None,
            lasted: begun.elapsed(),
            answer: match &answer {
                Ok((outcome, _)) => Answer::Decided(outcome.name()),
                Err(fault) => Answer::Failed(fault),
            },
        };
        observers.emit(session, &Event::Asked(&asked));
        let (outcome, reads) = match answer {
            Ok(answer) => answer,
            Err(fault) => return LoginDecision::Failed(fault),
        };
        match outcome {
            Outcome::Accept(account) => {
                grounds.accepted(member, reads);
                return LoginDecision::Accepted(account, member.name.clone(), grounds);
            }
            Outcome::Deny(why) => return LoginDecision::Denied(format!("{}: {why}", member.name)),
            Outcome::Challenge(prompt) => return LoginDecision::Challenged(prompt),
            Outcome::Abstain => grounds.abstained(member, reads),
        }
    }
    LoginDecision::Unknown
}
