//! The contract's `state`: small values that all instances of one plugin share, and that a file keeps
//! across restarts where there is one.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use super::{limiter::Excess, state_file::StateFile};

/// What an entry costs besides its key and value.
const OVERHEAD: u64 = 64;
/// How often expired entries are looked for at most.
const SWEEP: Duration = Duration::from_secs(1);

/// The values of one plugin. They outlive a reload, and with a file the server.
pub(super) struct State {
    limit: AtomicU64,
    values: Mutex<Values>,
}

struct Values {
    entries: HashMap<String, Entry>,
    bytes: u64,
    next_sweep: Instant,
    file: Option<Noted>,
}

/// Where changes are noted, and under which name.
struct Noted {
    plugin: Arc<str>,
    file: Arc<StateFile>,
}

struct Entry {
    value: Vec<u8>,
    until: Option<Instant>,
}

impl State {
    /// No values yet, and no more than `limit` bytes of them.
    pub(super) fn new(limit: u64) -> Self {
        let values = Values {
            entries: HashMap::new(),
            bytes: 0,
            next_sweep: Instant::now(),
            file: None,
        };
        Self {
            limit: AtomicU64::new(limit),
            values: Mutex::new(values),
        }
    }

    /// What the file has of the plugin, and changes go there. What is more than `limit` is dropped.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn kept(limit: u64, plugin: &str, file: &Arc<StateFile>) -> Result<Self, String> {
        let state = Self::new(limit);
        let (now, today) = (Instant::now(), SystemTime::now());
        let mut dropped = 0;
        let mut values = state.values();
        for (key, (value, until)) in file.read(plugin)? {
            let left = until.map(|until| until.duration_since(today).unwrap_or_default());
            let until = left.map(|left| now + left);
            let entry = Entry { value, until };
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
        Ok(state)
    }

    /// A reload changed the limit. What is there stays.
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
    /// When there is no room: the call fails, since forgetting others would forget lockouts.
    pub(super) fn set(
        &self,
        key: String,
        value: Vec<u8>,
        seconds: Option<u32>,
    ) -> Result<(), Excess> {
        let now = Instant::now();
        let entry = Entry {
            value,
            until: expiry(now, seconds),
        };
        self.values()
            .insert(key, entry, now, self.limit.load(Relaxed))
    }

    /// Adds to a counter and returns the sum. The time to live counts from the first addition.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub(super) fn add(&self, key: String, delta: i64, seconds: Option<u32>) -> Result<i64, Excess> {
        let now = Instant::now();
        let mut values = self.values();
        let (count, until) = match values.alive(&key, now) {
            Some(entry) => {
                let text = std::str::from_utf8(&entry.value).unwrap_or_default();
                (text.parse().unwrap_or(0), entry.until)
            }
            None => (0, expiry(now, seconds)),
        };
        let sum = i64::saturating_add(count, delta);
        let entry = Entry {
            value: sum.to_string().into_bytes(),
            until,
        };
        values.insert(key, entry, now, self.limit.load(Relaxed))?;
        Ok(sum)
    }

    /// Forgets a value.
    pub(super) fn delete(&self, key: &str) {
        self.values().remove(key);
    }

    fn values(&self) -> MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Values {
    fn alive(&self, key: &str, now: Instant) -> Option<&Entry> {
        self.entries.get(key).filter(|entry| !entry.expired(now))
    }

    fn insert(
        &mut self,
        key: String,
        entry: Entry,
        now: Instant,
        limit: u64,
    ) -> Result<(), Excess> {
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
            return Err(Excess::State(limit));
        }
        self.bytes = self.bytes - old + cost;
        if let Some(noted) = &self.file {
            let left = entry
                .until
                .map(|until| until.saturating_duration_since(now));
            let until = left.map(|left| SystemTime::now() + left);
            noted.note(&key, Some((entry.value.clone(), until)));
        }
        self.entries.insert(key, entry);
        Ok(())
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
    fn note(&self, key: &str, value: Option<(Vec<u8>, Option<SystemTime>)>) {
        self.file.note(&self.plugin, key, value);
    }
}

impl Entry {
    fn expired(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    fn cost(&self, key: &str) -> u64 {
        u64::try_from(key.len() + self.value.len()).unwrap_or(u64::MAX / 4) + OVERHEAD
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
    fn values_expire_and_make_room() {
        let state = State::new(200);
        state.set("a".into(), vec![0; 100], Some(0)).unwrap();
        assert_eq!(state.get("a"), None);
        state.set("b".into(), vec![0; 100], None).unwrap();
        assert_eq!(
            state.set("c".into(), vec![0; 100], None),
            Err(Excess::State(200))
        );
        state.set("b".into(), vec![1; 120], None).unwrap();
        state.delete("b");
        state.set("c".into(), vec![0; 100], None).unwrap();
    }

    #[test]
    fn counters_add_up_from_their_first_addition() {
        let state = State::new(1 << 20);
        assert_eq!(state.add("n".into(), 2, None), Ok(2));
        assert_eq!(state.add("n".into(), -5, Some(0)), Ok(-3));
        assert_eq!(state.get("n").unwrap(), b"-3");
        assert_eq!(state.add("m".into(), i64::MAX, Some(0)), Ok(i64::MAX));
        assert_eq!(state.add("m".into(), 1, None), Ok(1));
        assert_eq!(state.add("m".into(), i64::MAX, None), Ok(i64::MAX));
    }
}
