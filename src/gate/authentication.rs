//! Who a client is.

use std::sync::Arc;

use super::{Account, Answer, Fault, Named, SessionFacts};
use crate::ftp::secret::Secret;

/// What the client has given so far.
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

/// Decides who a client is.
pub trait Authenticator: Send + Sync {
    /// Asked once for each attempt.
    fn authenticate(
        &self,
        session: Arc<SessionFacts>,
        credentials: Credentials,
    ) -> Answer<'_, Result<Outcome, Fault>>;
}

/// The authenticators in the configured order.
pub type Chain = [Named<dyn Authenticator>];

/// What the chain says.
#[derive(Debug)]
pub enum Decision {
    /// Logged in, by the plugin of this name.
    Accepted(Box<Account>, Arc<str>),
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
    session: &Arc<SessionFacts>,
    credentials: &Credentials,
) -> Decision {
    for member in chain {
        match member
            .gate
            .authenticate(session.clone(), credentials.clone())
            .await
        {
            Ok(Outcome::Accept(account)) => {
                return Decision::Accepted(account, member.name.clone());
            }
            Ok(Outcome::Deny(why)) => return Decision::Denied(format!("{}: {why}", member.name)),
            Ok(Outcome::Challenge(prompt)) => return Decision::Challenged(prompt),
            Ok(Outcome::Abstain) => {}
            Err(fault) => return Decision::Failed(fault),
        }
    }
    Decision::Unknown
}
