//! The sessions there are: whose each is, what it does, and its end from outside.

use std::{
    collections::BTreeMap,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use super::{journal::Operation, watched::Watched};
use crate::{data::socket::Meter, ftp::path::VirtualPath, gate::SessionInfo, types::HostId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All sessions, in the order in which they came.
#[derive(Default)]
pub struct SessionTable {
    sessions: Mutex<BTreeMap<u64, Arc<Entry>>>,
    next: AtomicU64,
    /// Bytes of transfers that are over.
    moved: AtomicU64,
}

/// How much goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Transfers that are under way.
    pub transfers: usize,
    /// Bytes on the wire of all data connections since the start, TLS included.
    pub moved: u64,
}

struct Entry {
    since: SystemTime,
    /// Why the session is to end.
    end: Watched<Option<Arc<str>>>,
    state: Mutex<State>,
}

struct State {
    info: Arc<SessionInfo>,
    /// When what it does began.
    begun: Instant,
    activity: Activity,
}

/// The work of a session.
enum Activity {
    /// It waits for a command.
    Idle,
    /// It executes this one.
    Command(&'static str),
    /// It moves bytes.
    Transfer(Transfer),
}

/// A transfer as the table shows it.
#[derive(Clone)]
pub(super) struct Transfer {
    pub(super) operation: Operation,
    pub(super) path: Option<VirtualPath>,
    pub(super) meter: Arc<Meter>,
}

/// One session, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct SessionStatus {
    /// Its name in the log.
    pub session: String,
    /// The client's address and port.
    pub client: String,
    /// The virtual host; unset is the default one.
    pub host: Option<String>,
    /// The user, from the login on; before it only where the log names it.
    pub user: Option<String>,
    /// Whether the user has logged in.
    pub logged_in: bool,
    /// The version of TLS on the control connection.
    pub tls: Option<String>,
    /// Seconds since it came.
    pub age: u64,
    /// Seconds since it has done anything.
    pub idle: u64,
    /// The command that it executes.
    pub command: Option<String>,
    /// The transfer that is under way.
    pub transfer: Option<TransferStatus>,
}

/// A transfer that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct TransferStatus {
    /// "upload", "download" or "list".
    pub direction: String,
    /// The file or directory.
    pub path: Option<String>,
    /// Bytes on the wire so far, TLS included.
    pub bytes: u64,
    /// Milliseconds since it began.
    pub milliseconds: u64,
}

impl SessionTable {
    /// The sessions of each virtual host.
    #[must_use]
    pub fn by_host(&self) -> BTreeMap<HostId, usize> {
        let entries: Vec<_> = self.sessions().values().cloned().collect();
        let mut counts = BTreeMap::new();
        for entry in entries {
            let host = entry.state().info.virtual_host.clone();
            *counts.entry(host).or_default() += 1;
        }
        counts
    }

    /// One more session.
    pub(super) fn enter(self: &Arc<Self>, info: Arc<SessionInfo>) -> Place {
        let number = self.next.fetch_add(1, Relaxed);
        let entry = Arc::new(Entry {
            since: SystemTime::now(),
            end: Watched::new(None),
            state: Mutex::new(State {
                info,
                begun: Instant::now(),
                activity: Activity::Idle,
            }),
        });
        self.sessions().insert(number, entry.clone());
        Place {
            table: self.clone(),
            number,
            entry,
        }
    }

    /// All of them.
    #[must_use]
    pub fn list(&self) -> Vec<SessionStatus> {
        let entries: Vec<_> = self.sessions().values().cloned().collect();
        entries.iter().map(|entry| entry.status()).collect()
    }

    /// How much goes on.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let entries: Vec<_> = self.sessions().values().cloned().collect();
        let mut traffic = Traffic {
            transfers: 0,
            moved: self.moved.load(Relaxed),
        };
        for entry in entries {
            if let Activity::Transfer(transfer) = &entry.state().activity {
                traffic.transfers += 1;
                traffic.moved += transfer.meter.moved();
            }
        }
        traffic
    }

    /// Ends those that `which` names, for this reason. Says how many.
    pub fn end(&self, which: impl Fn(&SessionInfo) -> bool, reason: &str) -> usize {
        let entries: Vec<_> = self.sessions().values().cloned().collect();
        let mut ended = 0;
        for entry in entries {
            if which(&entry.state().info) {
                entry.end.change(|end| {
                    end.get_or_insert_with(|| reason.into());
                });
                ended += 1;
            }
        }
        ended
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Entry>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> SessionStatus {
        let state = self.state();
        let (info, lasts) = (&state.info, state.begun.elapsed());
        let (mut command, mut transfer, mut idle) = (None, None, Duration::ZERO);
        match &state.activity {
            Activity::Idle => idle = lasts,
            Activity::Command(verb) => command = Some((*verb).to_owned()),
            Activity::Transfer(one) => {
                transfer = Some(TransferStatus {
                    direction: one.operation.name().to_owned(),
                    path: one.path.as_ref().map(|path| path.as_str().to_owned()),
                    bytes: one.meter.moved(),
                    milliseconds: u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX),
                });
            }
        }
        SessionStatus {
            session: info.id.as_ref().to_owned(),
            client: info.client.to_string(),
            host: info.virtual_host.name().map(str::to_owned),
            user: info.told_user().map(str::to_owned),
            logged_in: info.account.is_some(),
            tls: info.tls.map(|tls| tls.version.to_owned()),
            age: self.since.elapsed().unwrap_or_default().as_secs(),
            idle: idle.as_secs(),
            command,
            transfer,
        }
    }
}

/// A session's own place in the table, which it leaves when this is dropped.
pub(super) struct Place {
    table: Arc<SessionTable>,
    number: u64,
    entry: Arc<Entry>,
}

impl Place {
    /// It waits for the next command; its facts are these now.
    pub(super) fn idle(&self, info: &Arc<SessionInfo>) {
        let mut state = self.entry.state();
        if !matches!(state.activity, Activity::Idle) {
            self.change(&mut state, Activity::Idle);
        }
        if !Arc::ptr_eq(&state.info, info) {
            state.info = info.clone();
        }
    }

    /// It executes a command.
    pub(super) fn command(&self, verb: &'static str) {
        self.begin(Activity::Command(verb));
    }

    /// It moves bytes.
    pub(super) fn transfer(&self, transfer: Transfer) {
        self.begin(Activity::Transfer(transfer));
    }

    fn begin(&self, activity: Activity) {
        self.change(&mut self.entry.state(), activity);
    }

    fn change(&self, state: &mut State, activity: Activity) {
        state.begun = Instant::now();
        if let Activity::Transfer(over) = mem::replace(&mut state.activity, activity) {
            self.table.moved.fetch_add(over.meter.moved(), Relaxed);
        }
    }

    /// Why it is to end, if it is.
    pub(super) fn end(&self) -> Option<Arc<str>> {
        self.entry.end.get(Option::clone)
    }

    /// Waits until it is to end.
    pub(super) fn ends(&self) -> impl Future<Output = Arc<str>> + Send + use<> {
        let entry = self.entry.clone();
        async move { entry.end.wait_for(Option::clone).await }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.begin(Activity::Idle);
        self.table.sessions().remove(&self.number);
    }
}
