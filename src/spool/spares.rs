//! Small files that were replaced, kept for a moment for the next upload to the same path.
//!
//! A name that is overwritten again and again, by a camera or a program that tells its state, else costs
//! a file that is made and one that is deleted each time: four times as much as one that is written over
//! ([`alone`](crate::storage::posix::alone::alone) says when nobody can tell). Nothing but the next
//! upload of the same user to the same path gets such a file: what a power cut leaves of it was to be
//! read there before.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::key::Key;

/// The longest file that is kept.
pub(super) const LONGEST: u64 = 256 << 10;
/// Files at a time, of all users.
const FILES: usize = 8192;
/// Their bytes together.
const BYTES: u64 = 64 << 20;
/// How long one is kept.
const AGE: Duration = Duration::from_secs(60);

/// A file in staging, which nobody else has open.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spare {
    pub(super) name: String,
    pub(super) length: u64,
}

#[derive(Clone, Copy)]
struct Age {
    since: Instant,
    key: Key,
    number: u64,
}

/// All of a staging directory.
#[derive(Default)]
pub(super) struct Spares {
    by_key: HashMap<Key, (u64, Spare)>,
    /// The oldest first; of those that were taken some are left.
    ages: VecDeque<Age>,
    bytes: u64,
    /// How many there have ever been.
    count: u64,
}

impl Spares {
    /// That of a path, which is its taker's from now on.
    pub(super) fn take(&mut self, key: Key) -> Option<Spare> {
        let (_, spare) = self.by_key.remove(&key)?;
        self.bytes = self.bytes.saturating_sub(spare.length);
        Some(spare)
    }

    /// Keeps one, and says which have to be removed for that.
    pub(super) fn put(&mut self, now: Instant, key: Key, spare: Spare) -> Vec<Spare> {
        let mut removed: Vec<_> = self.take(key).into_iter().collect();
        self.bytes = self.bytes.saturating_add(spare.length);
        self.count += 1;
        let number = self.count;
        self.by_key.insert(key, (number, spare));
        if self.ages.len() > 2 * FILES {
            let by_key = &self.by_key;
            let is_kept = |age: &Age| {
                let kept = by_key.get(&age.key);
                kept.is_some_and(|(number, _)| *number == age.number)
            };
            self.ages.retain(is_kept);
        }
        self.ages.push_back(Age {
            since: now,
            key,
            number,
        });
        while self.by_key.len() > FILES || self.bytes > BYTES {
            match self.ages.pop_front() {
                Some(oldest) => removed.extend(self.take_aged(oldest)),
                None => break,
            }
        }
        removed.extend(self.expire(now));
        removed
    }

    /// Those that have been kept for long enough, to be removed.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Spare> {
        let mut removed = Vec::new();
        while let Some(oldest) = self.ages.front().copied()
            && now.saturating_duration_since(oldest.since) >= AGE
        {
            self.ages.pop_front();
            removed.extend(self.take_aged(oldest));
        }
        removed
    }

    /// All of them, to be removed.
    pub(super) fn clear(&mut self) -> Vec<Spare> {
        self.ages.clear();
        self.bytes = 0;
        self.by_key.drain().map(|(_, (_, spare))| spare).collect()
    }

    fn take_aged(&mut self, age: Age) -> Option<Spare> {
        match self.by_key.get(&age.key) {
            Some((number, _)) if *number == age.number => self.take(age.key),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{HostId, UserId};

    fn key(number: usize) -> Key {
        let owner = UserId {
            host: HostId::default(),
            name: "alice".into(),
        };
        Key::new("default", &owner, "/home", &format!("/{number}"))
    }

    fn spare(number: usize, length: u64) -> Spare {
        Spare {
            name: number.to_string(),
            length,
        }
    }

    #[test]
    fn each_is_given_once_and_to_its_own_path() {
        let (mut spares, now) = (Spares::default(), Instant::now());
        assert_eq!(spares.put(now, key(1), spare(1, 10)), []);
        assert_eq!(spares.take(key(2)), None);
        assert_eq!(spares.take(key(1)), Some(spare(1, 10)));
        assert_eq!(spares.take(key(1)), None);
        spares.put(now, key(1), spare(1, 10));
        assert_eq!(spares.put(now, key(1), spare(2, 20)), [spare(1, 10)]);
        assert_eq!(spares.bytes, 20);
        assert_eq!(spares.clear(), [spare(2, 20)]);
        assert_eq!(spares.bytes, 0);
    }

    #[test]
    fn they_are_few_small_and_gone_soon() {
        let (mut spares, now) = (Spares::default(), Instant::now());
        for number in 0..FILES {
            assert_eq!(spares.put(now, key(number), spare(number, 1)), []);
        }
        assert_eq!(spares.put(now, key(FILES), spare(FILES, 1)), [spare(0, 1)]);
        let large = BYTES - 10;
        let removed = spares.put(now, key(FILES + 1), spare(FILES + 1, large));
        assert_eq!(removed.len(), FILES - 10);
        assert!(spares.bytes <= BYTES);
        assert_eq!(spares.expire(now + AGE - Duration::from_secs(1)), []);
        assert_eq!(spares.expire(now + AGE).len(), 11);
        assert_eq!((spares.bytes, spares.ages.len()), (0, 0));
        // Those that are taken are forgotten.
        for _ in 0..5 * FILES {
            spares.put(now, key(1), spare(1, 1));
            spares.take(key(1));
        }
        assert!(spares.ages.len() <= 2 * FILES + 1);
    }
}
