//! The contract's `state` where several servers share it: in Redis, each operation one script there, so that
//! none of two servers' changes is lost.

use std::{
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use redis::{Script, cmd};

use super::state::{Full, Kept, PluginState, TELL, tell_full};
use crate::{
    config::StateAway,
    shared::{Away, Shared},
};

/// All operations but to read one value.
static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("shared_state.lua")));

/// The values of one plugin, which all servers have that share them.
pub(super) struct SharedState {
    shared: Arc<Shared>,
    plugin: Arc<str>,
    /// The beginning of the names of values.
    values: String,
    /// The names of the bookkeeping.
    books: [String; 3],
    limit: AtomicU64,
    refused: AtomicU64,
    gave_way: AtomicU64,
    next_tale: Mutex<Instant>,
    /// The values that this server goes on with while Redis is away, where it is to go on.
    own: Option<PluginState>,
}

impl SharedState {
    /// The state of the plugin, of which there are `limit` bytes at most.
    pub(super) fn new(shared: &Arc<Shared>, limit: u64, plugin: &str) -> Self {
        let book = |name: &str| shared.key(&format!("state-{name}:{plugin}"));
        let own = match shared.when_away() {
            StateAway::Refuse => None,
            StateAway::Allow => Some(PluginState::new(limit, plugin)),
        };
        Self {
            plugin: plugin.into(),
            values: shared.key(&format!("state:{plugin}:")),
            books: ["expiry", "costs", "counters"].map(book),
            limit: AtomicU64::new(limit),
            refused: AtomicU64::new(0),
            gave_way: AtomicU64::new(0),
            next_tale: Mutex::new(Instant::now()),
            own,
            shared: shared.clone(),
        }
    }

    /// A reload changed the limit.
    pub(super) fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Relaxed);
        if let Some(own) = &self.own {
            own.set_limit(limit);
        }
    }

    /// The value of `key`.
    pub(super) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Away> {
        let mut get = cmd("GET");
        get.arg(format!("{}{key}", self.values));
        let found = self.shared.ask(&get).await;
        self.or_own(found, |own| own.get(key))
    }

    /// Sets a value. The inner error says that there is no room.
    pub(super) async fn set(
        &self,
        key: &str,
        value: Vec<u8>,
        seconds: Option<u32>,
    ) -> Result<Result<(), Full>, Away> {
        let set = self.run("set", |script| {
            script.arg(key).arg(&value).arg(told(seconds));
        });
        let set = set.await;
        let set = set.map(|(kept, gave_way): (bool, u64)| self.tell(kept, gave_way));
        self.or_own(set.map(|kept| kept.then_some(()).ok_or(Full)), |own| {
            own.set(key.to_owned(), value.clone(), seconds)
        })
    }

    /// Adds to a counter, which gives way to others if it `yields`. The inner error is a sum that is not kept.
    pub(super) async fn add(
        &self,
        key: &str,
        delta: i64,
        seconds: Option<u32>,
        yields: bool,
    ) -> Result<Result<i64, i64>, Away> {
        let added = self.run("add", |script| {
            let script = script.arg(key).arg(delta).arg(told(seconds));
            script.arg(u8::from(yields));
        });
        let added = added.await;
        let added =
            added.map(
                |(sum, kept, gave_way): (i64, bool, u64)| match self.tell(kept, gave_way) {
                    true => Ok(sum),
                    false => Err(sum),
                },
            );
        self.or_own(added, |own| match yields {
            true => own.count(key.to_owned(), delta, seconds),
            false => own.add(key.to_owned(), delta, seconds),
        })
    }

    /// Forgets a value. The result says whether there was one.
    pub(super) async fn delete(&self, key: &str) -> Result<bool, Away> {
        let deleted = self.run("delete", |script| {
            script.arg(key);
        });
        let deleted = deleted.await.map(|(deleted, _): (bool, u64)| deleted);
        self.or_own(deleted, |own| own.delete(key))
    }

    /// Forgets everything. The result says how many keys there were.
    pub(super) async fn clear(&self) -> Result<usize, Away> {
        let cleared = self.run("clear", |_| {}).await;
        let cleared = cleared.map(|(cleared, _): (usize, u64)| cleared);
        self.or_own(cleared, PluginState::clear)
    }

    /// How much all servers keep together; refused, and gave way, by this one.
    pub(super) async fn size(&self) -> Result<Kept, Away> {
        let size = self.run("size", |_| {}).await;
        let size = size.map(|(keys, bytes): (usize, u64)| Kept {
            keys,
            bytes,
            limit: self.limit.load(Relaxed),
            refused: self.refused.load(Relaxed),
            gave_way: self.gave_way.load(Relaxed),
        });
        self.or_own(size, PluginState::size)
    }

    /// The keys that begin so, with the time that they have left, if that is limited.
    pub(super) async fn with_prefix(
        &self,
        prefix: &str,
    ) -> Result<Vec<(String, Option<Duration>)>, Away> {
        let found = self.run("list", |script| {
            script.arg(prefix);
        });
        let found = found.await.map(|found: Vec<(String, i64)>| {
            let left = |millis| u64::try_from(millis).ok().map(Duration::from_millis);
            let found = found.into_iter();
            found.map(|(key, millis)| (key, left(millis))).collect()
        });
        self.or_own(found, |own| own.with_prefix(prefix))
    }

    async fn run<T: redis::FromRedisValue>(
        &self,
        operation: &str,
        arguments: impl FnOnce(&mut redis::ScriptInvocation<'_>),
    ) -> Result<T, Away> {
        let mut script = SCRIPT.prepare_invoke();
        for book in &self.books {
            script.key(book);
        }
        let limit = self.limit.load(Relaxed);
        script.arg(operation).arg(&self.values).arg(limit);
        arguments(&mut script);
        self.shared.run(&script).await
    }

    /// The answer of Redis; where that is away, the server's own if it is to go on.
    fn or_own<T>(
        &self,
        answer: Result<T, Away>,
        own: impl FnOnce(&PluginState) -> T,
    ) -> Result<T, Away> {
        answer.or_else(|away| self.own.as_ref().map(own).ok_or(away))
    }

    /// Says in the log and in the figures what a change took.
    fn tell(&self, kept: bool, gave_way: u64) -> bool {
        self.gave_way.fetch_add(gave_way, Relaxed);
        self.refused.fetch_add(u64::from(!kept), Relaxed);
        if !kept || gave_way > 0 {
            let now = Instant::now();
            let mut next = self
                .next_tale
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if now >= *next {
                *next = now + TELL;
                let limit = self.limit.load(Relaxed);
                tell_full(&self.plugin, limit, kept.then_some(gave_way));
            }
        }
        kept
    }
}

/// As the script takes it.
fn told(seconds: Option<u32>) -> String {
    seconds.map_or_else(String::new, |seconds| seconds.to_string())
}
