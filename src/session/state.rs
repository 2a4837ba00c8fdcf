//! Where a session stands. Each state owns what only it has: there is no root before the login.

use std::sync::{Arc, OnceLock};

use super::{
    accounts::Standing,
    users::{Guest, Membership},
};
use crate::{
    data::{Route, rate::Rate},
    ftp::{digest::Algorithm, facts::Facts, path::VirtualPath, secret::Secret},
    gate::{
        Account, SessionInfo,
        event::{Event, Observers},
        path_policy::Policy,
    },
    spool::{Quota, Tree},
    types::UserId,
};

/// The login, step by step.
pub enum LoginState {
    /// Nobody yet.
    Greeted,
    /// USER came; PASS is next.
    Identified {
        /// As the client gave it.
        user: String,
    },
    /// The password was right, and a second factor is wanted; ACCT is next.
    Challenged {
        /// As the client gave it.
        user: String,
        /// For the second question.
        password: Secret,
    },
    /// Somebody.
    Active(Box<Active>),
}

impl LoginState {
    /// The user, after the login.
    pub fn user(&self) -> Option<&Active> {
        match self {
            Self::Active(user) => Some(user),
            Self::Greeted | Self::Identified { .. } | Self::Challenged { .. } => None,
        }
    }
}

/// A user with a root.
pub struct Active {
    /// The user.
    pub id: UserId,
    /// The account as the authenticator gave it.
    pub account: Arc<Account>,
    /// The user's files.
    pub tree: Arc<Tree>,
    /// The user's rights to them.
    pub policy: Arc<Policy>,
    /// One of the sessions of the same user.
    pub _membership: Membership,
    /// Whether the session goes on, should the account change.
    pub standing: Standing,
    /// Tells of the end.
    pub presence: Presence,
    /// The working directory.
    pub cwd: VirtualPath,
    /// Among the sessions of its host.
    pub _guest: Guest,
    /// The limits on the rate of uploads.
    pub upload_rates: Vec<Arc<Rate>>,
    /// The limits on the rate of downloads.
    pub download_rates: Vec<Arc<Rate>>,
}

impl Active {
    /// The most that the home may have.
    pub fn quota(&self) -> Quota {
        Quota {
            bytes: self.account.quota,
            files: self.account.quota_files,
        }
    }
}

/// From the login to the logout, however that comes about.
pub struct Presence {
    observers: Observers,
    facts: Arc<SessionInfo>,
    reason: OnceLock<String>,
}

impl Presence {
    /// Of a session that has logged in.
    pub fn new(observers: Observers, facts: Arc<SessionInfo>) -> Self {
        Self {
            observers,
            facts,
            reason: OnceLock::new(),
        }
    }

    /// The server ends it, for this reason.
    pub fn ended(&self, reason: &str) {
        let _ = self.reason.set(reason.to_owned());
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let reason = self.reason.get().map(String::as_str);
        let event = Event::LoggedOut { reason };
        self.observers.emit(&self.facts, &event);
    }
}

/// The client's settings for the transfers to come. AUTH and REIN reset it (RFC 4217 §4, RFC 959).
pub struct Parameters {
    /// TYPE A, the default (RFC 959 §5.1).
    pub ascii: bool,
    /// PBSZ came.
    pub buffer_size_set: bool,
    /// PROT P.
    pub private: bool,
    /// How the next data connection comes about.
    pub route: Option<Route>,
    /// EPSV ALL: no other way for the rest of the session (RFC 2428 §4).
    pub epsv_all: bool,
    /// REST, until the next transfer.
    pub restart: u64,
    /// RNFR, until the next command.
    pub rename_from: Option<VirtualPath>,
    /// ALLO, until the next upload.
    pub announced_size: Option<u64>,
    /// OPTS MLST.
    pub facts: Facts,
    /// OPTS HASH.
    pub hash: Algorithm,
    /// RANG, until the next HASH: first and last byte.
    pub range: Option<(u64, u64)>,
}

impl Parameters {
    /// As a session begins; implicit TLS protects data connections, too.
    #[must_use]
    pub fn new(private: bool) -> Self {
        Self {
            ascii: true,
            buffer_size_set: private,
            private,
            route: None,
            epsv_all: false,
            restart: 0,
            rename_from: None,
            announced_size: None,
            facts: Facts::default(),
            hash: Algorithm::default(),
            range: None,
        }
    }
}
