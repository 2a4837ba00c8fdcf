//! The contract's `state`: small values that all instances of one plugin share, and that a file keeps
//! across restarts where there is one.
//!
//! A full `state` fails no call: who can fill it could shut out everybody else. It refuses what does
//! not fit, which `try-set` and `try-add` tell the plugin and the log tells the operator; and counters
//! that were made with `count` give way, the least and oldest of them first.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use super::state_file::{Source, StateFile, Stored};

/// The bytes that an entry costs besides its key and value.
const OVERHEAD: u64 = 64;
/// How often expired entries are looked for at most.
const SWEEP: Duration = Duration::from_secs(1);
/// How often the log says that there is no room.
pub(super) const TELL: Duration = Duration::from_secs(60);

/// The values of one plugin. They outlive a reload, and with a file the server.
pub(super) struct PluginState {
    plugin: Arc<str>,
    limit: AtomicU64,
    refused: AtomicU64,
    gave_way: AtomicU64,
    values: Mutex<Values>,
}

struct Values {
    entries: HashMap<String, Entry>,
    bytes: u64,
    /// The age of entries is told by their number.
    made: u64,
    next_sweep: Instant,
    next_tale: Instant,
    file: Option<Noted>,
}

/// There is no room for a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// How much a plugin keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Keys, those that have expired among them.
    pub keys: usize,
    /// Bytes, as `limits.state` counts them.
    pub bytes: u64,
    /// The most that there may be.
    pub limit: u64,
    /// Values for which there was no room.
    pub refused: u64,
    /// Counters that gave way to others.
    pub gave_way: u64,
}

/// Where changes are noted, and under which name.
struct Noted {
    plugin: Arc<str>,
    file: Arc<StateFile>,
}

struct Entry {
    value: Vec<u8>,
    until: Option<Instant>,
    made: u64,
    /// It gives way where there is no room.
    yields: bool,
}

impl PluginState {
    /// No values yet, and no more than `limit` bytes of them.
    pub(super) fn new(limit: u64, plugin: &str) -> Self {
        let now = Instant::now();
        let values = Values {
            entries: HashMap::new(),
            bytes: 0,
            made: 0,
            next_sweep: now,
            next_tale: now,
            file: None,
        };
        Self {
            plugin: plugin.into(),
            limit: AtomicU64::new(limit),
            refused: AtomicU64::new(0),
            gave_way: AtomicU64::new(0),
            values: Mutex::new(values),
        }
    }

    /// The state of the plugin in the file, where changes go as well. Entries beyond `limit` are
    /// dropped.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn kept(
        limit: u64,
        plugin: &str,
        file: &Arc<StateFile>,
    ) -> Result<Arc<Self>, String> {
        let state = Arc::new(Self::new(limit, plugin));
        let (now, today) = (Instant::now(), SystemTime::now());
        let mut dropped = 0;
        let mut values = state.values();
        for (key, stored) in file.read(plugin)? {
            let left = stored.until;
            let left = left.map(|until| until.duration_since(today).unwrap_or_default());
            let entry = Entry {
                yields: stored.yields,
                ..Entry::new(stored.value, left.map(|left| now + left))
            };
            dropped += u32::from(values.insert(key, entry, now, limit).is_err());
        }
        if dropped > 0 {
            tracing::warn!(
                plugin,
                dropped,
                limit,
                "the file has more than limits.state"
            );
        }
        values.file = Some(Noted {
            plugin: plugin.into(),
            file: file.clone(),
        });
        drop(values);
        let source: Arc<dyn Source> = state.clone();
        file.keep(plugin.into(), &source);
        Ok(state)
    }

    /// A reload changed the limit. The entries that are there stay.
    pub(super) fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Relaxed);
    }

    /// The value of `key`, unless its time is up.
    pub(super) fn get(&self, key: &str) -> Option<Vec<u8>> {
        let now = Instant::now();
        self.values()
            .alive(key, now)
            .map(|entry| entry.value.clone())
    }

    /// Sets a value.
    ///
    /// # Errors
    /// When there is no room: what was there stays.
    pub(super) fn set(
        &self,
        key: String,
        value: Vec<u8>,
        seconds: Option<u32>,
    ) -> Result<(), Full> {
        let now = Instant::now();
        let entry = Entry::new(value, expiry(now, seconds));
        let mut values = self.values();
        self.insert(&mut values, key, entry, now)
    }

    /// Adds to a counter and returns the sum. The time to live counts from the first addition.
    ///
    /// # Errors
    /// When there is no room: the sum that is not kept.
    pub(super) fn add(&self, key: String, delta: i64, seconds: Option<u32>) -> Result<i64, i64> {
        self.sum(key, delta, seconds, false)
    }

    /// The same for a counter that gives way to others, and others to it.
    ///
    /// # Errors
    /// When there is no room even so: the sum that is not kept.
    pub(super) fn count(&self, key: String, delta: i64, seconds: Option<u32>) -> Result<i64, i64> {
        self.sum(key, delta, seconds, true)
    }

    fn sum(&self, key: String, delta: i64, seconds: Option<u32>, yields: bool) -> Result<i64, i64> {
        let now = Instant::now();
        let mut values = self.values();
        let (count, until) = match values.alive(&key, now) {
            Some(entry) => (entry.count(), entry.until),
            None => (0, expiry(now, seconds)),
        };
        let sum = i64::saturating_add(count, delta);
        let entry = Entry {
            yields,
            ..Entry::new(sum.to_string().into_bytes(), until)
        };
        let kept = self.insert(&mut values, key, entry, now);
        kept.map(|()| sum).map_err(|Full| sum)
    }

    /// How much there is.
    pub(super) fn size(&self) -> Kept {
        let values = self.values();
        Kept {
            keys: values.entries.len(),
            bytes: values.bytes,
            limit: self.limit.load(Relaxed),
            refused: self.refused.load(Relaxed),
            gave_way: self.gave_way.load(Relaxed),
        }
    }

    /// The keys that begin so, with the time that they have left, if that is limited.
    pub(super) fn with_prefix(&self, prefix: &str) -> Vec<(String, Option<Duration>)> {
        let now = Instant::now();
        let values = self.values();
        let alive = values.entries.iter();
        let alive = alive.filter(|(key, entry)| key.starts_with(prefix) && !entry.expired(now));
        let left = |entry: &Entry| Some(entry.until?.saturating_duration_since(now));
        alive
            .map(|(key, entry)| (key.clone(), left(entry)))
            .collect()
    }

    /// Forgets everything. The result says how many keys there were.
    pub(super) fn clear(&self) -> usize {
        let mut values = self.values();
        let keys: Vec<String> = values.entries.keys().cloned().collect();
        keys.iter().for_each(|key| values.remove(key));
        keys.len()
    }

    /// Forgets a value. The result says whether there was one, whose time was not up.
    pub(super) fn delete(&self, key: &str) -> bool {
        let mut values = self.values();
        let there = values.alive(key, Instant::now()).is_some();
        values.remove(key);
        there
    }

    /// Inserts, and says in the log and in the figures what that took.
    fn insert(
        &self,
        values: &mut Values,
        key: String,
        entry: Entry,
        now: Instant,
    ) -> Result<(), Full> {
        let limit = self.limit.load(Relaxed);
        let yields = entry.yields;
        let mut inserted = values.insert(key, entry, now, limit);
        let mut gave_way = 0;
        if let (Err((key, entry)), true) = (&mut inserted, yields) {
            gave_way = values.make_room(key, limit);
            let (key, entry) = (std::mem::take(key), entry.take());
            if let Some(entry) = entry {
                inserted = values.insert(key, entry, now, limit);
            }
        }
        self.gave_way.fetch_add(gave_way, Relaxed);
        self.refused
            .fetch_add(u64::from(inserted.is_err()), Relaxed);
        if (inserted.is_err() || gave_way > 0) && now >= values.next_tale {
            values.next_tale = now + TELL;
            tell_full(&self.plugin, limit, inserted.is_ok().then_some(gave_way));
        }
        inserted.map_err(|_| Full)
    }

    fn values(&self) -> MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Values {
    fn alive(&self, key: &str, now: Instant) -> Option<&Entry> {
        self.entries.get(key).filter(|entry| !entry.expired(now))
    }

    /// Gives back what there is no room for.
    fn insert(
        &mut self,
        key: String,
        mut entry: Entry,
        now: Instant,
        limit: u64,
    ) -> Result<(), (String, Option<Entry>)> {
        let old = self.entries.get(&key).map_or(0, |entry| entry.cost(&key));
        let cost = entry.cost(&key);
        // Expired entries go when there is no room, and once in a while so that they do not stay.
        if now >= self.next_sweep {
            let crowded = self.bytes - old + cost > limit;
            if crowded || now.duration_since(self.next_sweep) > SWEEP * 60 {
                self.sweep(now);
                self.next_sweep = now + SWEEP;
            }
        }
        let old = self.entries.get(&key).map_or(0, |entry| entry.cost(&key));
        if self.bytes - old + cost > limit {
            return Err((key, Some(entry)));
        }
        self.bytes = self.bytes - old + cost;
        if let Some(noted) = &self.file {
            noted.note(&key, Some(entry.stored(now)));
        }
        self.made += 1;
        entry.made = match self.entries.get(&key) {
            Some(old) if old.yields => old.made,
            _ => self.made,
        };
        self.entries.insert(key, entry);
        Ok(())
    }

    /// Has counters give way, the least of them first and of those the oldest, until an eighth is
    /// free: to look for one alone each time would take long. Not the one that room is made for.
    fn make_room(&mut self, except: &str, limit: u64) -> u64 {
        let counters = self.entries.iter().filter(|(_, entry)| entry.yields);
        let counters = counters.filter(|(key, _)| key.as_str() != except);
        let mut counters: Vec<(i64, u64, String)> = counters
            .map(|(key, entry)| (entry.count(), entry.made, key.clone()))
            .collect();
        counters.sort_unstable();
        let enough = limit - limit / 8;
        let mut gone = 0;
        for (_, _, key) in counters {
            if self.bytes <= enough {
                break;
            }
            self.remove(&key);
            gone += 1;
        }
        gone
    }

    fn remove(&mut self, key: &str) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.cost(key);
            if let Some(noted) = &self.file {
                noted.note(key, None);
            }
        }
    }

    fn sweep(&mut self, now: Instant) {
        let mut freed = 0;
        self.entries.retain(|key, entry| {
            let expired = entry.expired(now);
            if expired {
                freed += entry.cost(key);
                if let Some(noted) = &self.file {
                    noted.note(key, None);
                }
            }
            !expired
        });
        self.bytes -= freed;
        self.entries.shrink_to(self.entries.len() * 2);
    }
}

impl Noted {
    fn note(&self, key: &str, value: Option<Stored>) {
        self.file.note(&self.plugin, key, value);
    }
}

impl Entry {
    fn new(value: Vec<u8>, until: Option<Instant>) -> Self {
        Self {
            value,
            until,
            made: 0,
            yields: false,
        }
    }

    /// The value of a counter; 0 where it is none.
    fn count(&self) -> i64 {
        let text = std::str::from_utf8(&self.value).unwrap_or_default();
        text.parse().unwrap_or(0)
    }

    /// As the file has it.
    fn stored(&self, now: Instant) -> Stored {
        let left = self.until.map(|until| until.saturating_duration_since(now));
        let until = left.map(|left| SystemTime::now() + left);
        Stored {
            value: self.value.clone(),
            until,
            yields: self.yields,
        }
    }

    fn expired(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    fn cost(&self, key: &str) -> u64 {
        u64::try_from(key.len() + self.value.len()).unwrap_or(u64::MAX / 4) + OVERHEAD
    }
}

impl Source for PluginState {
    fn all(&self) -> Vec<(String, Stored)> {
        let now = Instant::now();
        let values = self.values();
        let alive = values
            .entries
            .iter()
            .filter(|(_, entry)| !entry.expired(now));
        alive
            .map(|(key, entry)| (key.clone(), entry.stored(now)))
            .collect()
    }
}

/// Says in the log that `state` is full: that so many counters gave way, or that nothing was kept.
pub(super) fn tell_full(plugin: &str, limit: u64, gave_way: Option<u64>) {
    match gave_way {
        Some(gave_way) => tracing::warn!(
            plugin,
            limit,
            gave_way,
            "state is full: counters give way to newer ones (limits.state)"
        ),
        None => tracing::error!(
            plugin,
            limit,
            "state is full, and what the plugin wants to keep is not kept: see limits.state, and \
             `portcullis state list`"
        ),
    }
}

fn expiry(now: Instant, seconds: Option<u32>) -> Option<Instant> {
    seconds.map(|seconds| now + Duration::from_secs(seconds.into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn counters_give_way_after_a_restart_too() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.redb");
        let open = || {
            let file = Arc::new(StateFile::open(&path).unwrap());
            PluginState::kept(10_000, "test", &file).unwrap()
        };
        let state = open();
        state.set("kept".into(), vec![0; 1000], None).unwrap();
        for stranger in 0..200 {
            let sum = state.count(format!("stranger {stranger}"), 1, Some(600));
            sum.unwrap();
        }
        drop(state);
        let state = open();
        let before = state.size();
        assert!(before.bytes > 7_000, "{before:?}");
        for newer in 0..200 {
            assert_eq!(state.count(format!("newer {newer}"), 1, Some(600)), Ok(1));
        }
        assert!(state.get("newer 199").is_some());
        assert_eq!(state.get("kept").unwrap().len(), 1000);
    }
}
