//! The sessions that are logged in, and the end of those whose account has changed or expired.
//!
//! A change is seen in three ways: a file in an authenticator's settings is another one, a reload has
//! brought another configuration, or a login is accepted by what is no longer in force. Each time the
//! session's grounds are compared with what is in force now, here and nowhere else.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use tokio::time::sleep;

use super::{generation::Generation, host::VirtualHost, state::Active, watched::Watched};
use crate::{
    config::AccountChange,
    ftp::reply::Reply,
    gate::{SessionInfo, grounds::Grounds, session::line},
    tls::Rejected,
};

/// How long an expiry is waited for before the clock is looked at again: it may have been set.
const CLOCK: Duration = Duration::from_secs(30);

/// All of them.
#[derive(Default)]
pub struct Accounts {
    sessions: Mutex<HashMap<u64, Arc<Entry>>>,
    next: AtomicU64,
    /// The generation of new sessions. Weak, as it holds this.
    current: RwLock<Weak<Generation>>,
}

/// One session.
struct Entry {
    host: Arc<VirtualHost>,
    facts: Arc<SessionInfo>,
    grounds: Grounds,
    verdict: Watched<Verdict>,
    /// Whether it was said that it goes on for now.
    told: AtomicBool,
}

/// Whether a session goes on; the text is the cause, for the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    #[default]
    Stays,
    /// It ends instead of its next command.
    EndsAtNextCommand(Arc<str>),
    /// It ends now.
    Ends(Arc<str>),
}

impl Verdict {
    /// Why the session ends, sooner or later.
    #[must_use]
    pub fn cause(&self) -> Option<&Arc<str>> {
        match self {
            Self::Stays => None,
            Self::EndsAtNextCommand(cause) | Self::Ends(cause) => Some(cause),
        }
    }
}

/// A session's own place among them.
pub struct Standing {
    accounts: Arc<Accounts>,
    number: u64,
    entry: Arc<Entry>,
}

impl Standing {
    /// Whether the session goes on, as things are.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.entry.verdict.get(Verdict::clone)
    }

    /// Waits until the session has to end at once.
    pub fn ends(&self) -> impl Future<Output = Arc<str>> + Send + use<> {
        let entry = self.entry.clone();
        let ends = |verdict: &Verdict| match verdict {
            Verdict::Ends(cause) => Some(cause.clone()),
            Verdict::Stays | Verdict::EndsAtNextCommand(_) => None,
        };
        async move { entry.verdict.wait_for(ends).await }
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.accounts.sessions().remove(&self.number);
    }
}

impl Accounts {
    /// A session that has just logged in, compared with what is in force now.
    #[must_use]
    pub fn enter(
        self: &Arc<Self>,
        host: Arc<VirtualHost>,
        facts: Arc<SessionInfo>,
        grounds: Grounds,
    ) -> Standing {
        let entry = Arc::new(Entry {
            host,
            facts,
            grounds,
            verdict: Watched::new(Verdict::Stays),
            told: AtomicBool::new(false),
        });
        let number = self.next.fetch_add(1, Relaxed);
        // First, so that a change is seen here or by those who look.
        self.sessions().insert(number, entry.clone());
        if let Some(current) = self.current() {
            entry.judge(&current);
            // Nobody begins with it, whatever becomes of those who are there.
            if let Some(cause) = entry.revoked(&current) {
                let ends = Verdict::Ends(cause.into());
                entry.verdict.change(|verdict| *verdict = ends);
            }
        }
        Standing {
            accounts: self.clone(),
            number,
            entry,
        }
    }

    /// From now on this is in force.
    pub fn replace(&self, current: &Arc<Generation>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(current);
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions().is_empty()
    }

    /// Compares all sessions with what is in force now. Takes time where there are many.
    pub fn judge(&self) {
        let Some(current) = self.current() else {
            return;
        };
        let entries: Vec<_> = self.sessions().values().cloned().collect();
        for entry in entries {
            entry.judge(&current);
        }
    }

    fn current(&self) -> Option<Arc<Generation>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.upgrade()
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Entry>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn judge(&self, current: &Arc<Generation>) {
        let ended = |verdict: &Verdict| matches!(verdict, Verdict::Ends(_));
        if self.verdict.get(ended) {
            return;
        }
        let host = current.hosts.by_id(self.host.id());
        let (cause, change) = match host {
            Some(host) => (self.change(host), host.config.account_change),
            None => {
                let gone = "the host is not served any more".to_owned();
                (Some(gone), self.host.config.account_change)
            }
        };
        let verdict = match (cause, change) {
            (None, _) => Verdict::Stays,
            (Some(cause), AccountChange::End) => Verdict::Ends(cause.into()),
            (Some(cause), AccountChange::AtNextCommand) => {
                if !self.told.swap(true, Relaxed) {
                    line!(
                        info,
                        self.facts,
                        cause,
                        "the account has changed, and the session ends at its next command"
                    );
                }
                Verdict::EndsAtNextCommand(cause.into())
            }
            (Some(cause), AccountChange::Keep) => {
                if !self.told.swap(true, Relaxed) {
                    line!(
                        info,
                        self.facts,
                        cause,
                        "the account has changed, and the session goes on"
                    );
                }
                Verdict::Stays
            }
        };
        self.verdict.change(|old| *old = verdict);
    }

    /// The first cause why the session would not be what it is, had it begun now.
    fn change(&self, current: &Arc<VirtualHost>) -> Option<String> {
        if let Some(change) = self.grounds.change(&current.gates) {
            return Some(change);
        }
        if let Some(change) = self.certificate_change(current) {
            return Some(change);
        }
        if Arc::ptr_eq(&self.host, current) {
            return None;
        }
        let account = self.facts.account.as_ref()?;
        let (before, now) = (self.host.root(account), current.root(account));
        if before != now {
            let storage = account.storage.as_deref().unwrap_or("default");
            return Some(match now {
                None => format!("the storage {storage} is gone"),
                Some(_) => format!("the storage {storage} is another one"),
            });
        }
        None
    }

    /// Why the client's certificate would not be taken now: it is revoked, or, where it decided on the
    /// login or nobody is let in without one, nobody vouches for it.
    fn certificate_change(&self, current: &VirtualHost) -> Option<String> {
        let rejected = self.rejected(current)?;
        let counts =
            rejected.revoked || self.grounds.certificate() || current.tls.requires_certificates();
        counts.then(|| in_words(&rejected))
    }

    /// The same of one that is revoked.
    fn revoked(&self, current: &Generation) -> Option<String> {
        let rejected = self.rejected(current.hosts.by_id(self.host.id())?)?;
        rejected.revoked.then(|| in_words(&rejected))
    }

    fn rejected(&self, current: &VirtualHost) -> Option<Rejected> {
        let certificate = self.facts.certificate.as_ref()?;
        // The handshake has done it.
        if std::ptr::eq(&*self.host, current) && current.tls.in_force().revision() == 0 {
            return None;
        }
        current.tls.verify(certificate).err()
    }
}

fn in_words(rejected: &Rejected) -> String {
    format!("the client's certificate: {}", rejected.text)
}

/// The last reply of a session that ends, as its account is not what it was.
fn revoked(facts: &SessionInfo, user: Option<&Active>, cause: &str) -> Reply {
    line!(
        info,
        facts,
        cause,
        "the session ends, as its account has changed"
    );
    if let Some(user) = user {
        user.presence.ended(cause);
    }
    Reply::new(421, "This account has changed: log in again, goodbye")
}

/// The last reply of a session that somebody ends.
pub(super) fn dismissed(facts: &SessionInfo, user: Option<&Active>, reason: &str) -> Reply {
    line!(info, facts, reason, "the session is ended from outside");
    if let Some(user) = user {
        user.presence.ended(reason);
    }
    Reply::new(421, "The operator has ended this session, goodbye")
}

/// The last reply of a session whose account has come to its end.
pub(super) fn expired(facts: &SessionInfo, user: Option<&Active>) -> Reply {
    line!(info, facts, "the session ends, as its account has expired");
    if let Some(user) = user {
        user.presence.ended(EXPIRED);
    }
    Reply::new(421, "This account has expired, goodbye")
}

/// The cause of that, for transfers and events.
pub(super) const EXPIRED: &str = "the account has expired";

/// Why a session has to end at once by its account.
pub(super) enum End {
    /// The account has changed; the text is the cause, for the log.
    Changed(Arc<str>),
    /// The account has come to its end.
    Expired,
}

impl End {
    /// The last reply of the session.
    pub(super) fn last(&self, facts: &SessionInfo, user: Option<&Active>) -> Reply {
        match self {
            Self::Changed(cause) => revoked(facts, user, cause),
            Self::Expired => expired(facts, user),
        }
    }

    /// The cause, for a transfer that is cut off.
    pub(super) fn cause(&self) -> &'static str {
        match self {
            Self::Changed(_) => "the account has changed",
            Self::Expired => EXPIRED,
        }
    }
}

/// Waits until the session has to end at once, as its account has changed or expired.
pub(super) fn ends(user: Option<&Active>) -> impl Future<Output = End> + Send + use<> {
    let verdict = user.map(|user| user.standing.ends());
    let expires = user.and_then(|user| user.account.expires);
    let changed = async move {
        match verdict {
            Some(ends) => ends.await,
            None => std::future::pending().await,
        }
    };
    async move {
        tokio::select! {
            cause = changed => End::Changed(cause),
            () = reached(expires) => End::Expired,
        }
    }
}

/// Waits for a moment, by the clock of the machine; for ever, if there is none.
async fn reached(moment: Option<SystemTime>) {
    let Some(moment) = moment else {
        return std::future::pending().await;
    };
    while let Ok(left) = moment.duration_since(SystemTime::now()) {
        if left.is_zero() {
            return;
        }
        sleep(left.min(CLOCK)).await;
    }
}

/// Names the files that are followed: a number for each host's lists of revoked certificates and for
/// each authenticator, which changes with them.
pub async fn follow(generation: &Generation) -> Vec<u64> {
    let mut revisions = Vec::new();
    for host in generation.hosts.iter() {
        revisions.push(host.tls.in_force().revision());
        for member in &host.gates.authenticators {
            revisions.push(member.gate.follow().await);
        }
    }
    revisions
}
