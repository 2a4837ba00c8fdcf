//! Passwords that were verified a short while ago.

use std::{
    collections::HashMap,
    fmt, mem,
    time::{Duration, Instant},
};

use aws_lc_rs::{hmac, rand};
use zeroize::Zeroizing;

/// The most that one era has, of which there are two at a time.
const MOST: usize = 5000;

/// A password that fits a hash, and who asked for it.
#[derive(Clone, Copy)]
pub(super) struct Fit<'a> {
    /// A plugin knows nothing of the passwords that another one had verified.
    pub scope: &'a str,
    pub hash: &'a str,
    pub password: &'a str,
}

/// Passwords that were verified, each for so long since the whole hash was computed, however often it is used.
///
/// It is in two eras. One lasts as long as a password is remembered, and stays as the one before for as
/// long again: then all in it is too old. With its key goes the meaning of the tags that were made by it,
/// wherever copies of them have come to lie in memory.
pub(super) struct Remembered {
    age: Duration,
    current: Era,
    before: Era,
}

/// Tags that one key has made.
struct Era {
    /// Made with the first tag. Where the system has no random numbers there is none, and no tag.
    key: Option<Key>,
    begun: Instant,
    verified: HashMap<Tag, Instant>,
}

/// Overwritten when it is dropped, and never moved.
struct Key(Box<Zeroizing<[u8; 32]>>);

/// Stands for a [`Fit`]: HMAC-SHA-256.
///
/// It may be looked up in a map, whose comparisons take other times for other bytes: without the key
/// nobody can choose, or learn, a byte of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Tag([u8; 32]);

impl Remembered {
    /// `age` 0 remembers nothing.
    pub fn new(age: Duration) -> Self {
        let now = Instant::now();
        Self {
            age,
            current: Era::new(now),
            before: Era::new(now),
        }
    }

    /// Whether it was verified not longer ago than that.
    pub fn has(&self, fit: Fit<'_>, now: Instant) -> bool {
        let verified = self.current.has(fit).or_else(|| self.before.has(fit));
        verified.is_some_and(|at| now.saturating_duration_since(at) < self.age)
    }

    /// It was verified at this moment.
    pub fn add(&mut self, fit: Fit<'_>, now: Instant) {
        if self.age.is_zero() {
            return;
        }
        if self.expire(now).is_none() {
            self.current.begun = now;
        }
        if self.current.verified.len() >= MOST {
            self.next_era(now);
        }
        self.current.add(fit, now);
    }

    /// Forgets what is too old; how long it is until there is something to forget, if there will be.
    pub fn expire(&mut self, now: Instant) -> Option<Duration> {
        if self.current.is_empty() && self.before.is_empty() {
            return None;
        }
        let lasted = now.saturating_duration_since(self.current.begun);
        if lasted < self.age {
            return Some(self.age - lasted);
        }
        self.next_era(now);
        if lasted >= self.age.saturating_mul(2) {
            self.before = Era::new(now);
        }
        (!self.before.is_empty()).then_some(self.age)
    }

    /// Forgets all.
    pub fn forget(&mut self) {
        *self = Self::new(self.age);
    }

    fn next_era(&mut self, now: Instant) {
        self.before = mem::replace(&mut self.current, Era::new(now));
    }
}

impl Era {
    fn new(begun: Instant) -> Self {
        Self {
            key: None,
            begun,
            verified: HashMap::new(),
        }
    }

    fn is_empty(&self) -> bool {
        self.verified.is_empty()
    }

    fn has(&self, fit: Fit<'_>) -> Option<Instant> {
        if self.is_empty() {
            return None;
        }
        let tag = self.key.as_ref()?.tag(fit);
        self.verified.get(&tag).copied()
    }

    fn add(&mut self, fit: Fit<'_>, now: Instant) {
        self.key = self.key.take().or_else(Key::new);
        if let Some(key) = &self.key {
            self.verified.insert(key.tag(fit), now);
        }
    }
}

impl Key {
    fn new() -> Option<Self> {
        let mut key = Box::new(Zeroizing::new([0; 32]));
        rand::fill(&mut **key).ok()?;
        Some(Self(key))
    }

    fn tag(&self, fit: Fit<'_>) -> Tag {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &**self.0);
        let mut context = hmac::Context::with_key(&key);
        for part in [fit.scope, fit.hash, fit.password] {
            // Each behind its length: no other three are the same bytes.
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut tag = Tag([0; 32]);
        for (to, from) in tag.0.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        tag
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(600);
    const SECOND: Duration = Duration::from_secs(1);

    fn fit<'a>(scope: &'a str, hash: &'a str, password: &'a str) -> Fit<'a> {
        Fit {
            scope,
            hash,
            password,
        }
    }

    #[test]
    fn it_is_the_same_password_hash_and_plugin_or_not_known() {
        let mut remembered = Remembered::new(AGE);
        let now = Instant::now();
        let known = fit("users", "$hash", "secret");
        assert!(!remembered.has(known, now));
        remembered.add(known, now);
        assert!(remembered.has(known, now));
        for other in [
            fit("users", "$hash", "secre"),
            fit("users", "$hash", "Secret"),
            fit("users", "$hash", ""),
            fit("users", "$other", "secret"),
            fit("others", "$hash", "secret"),
            // The same bytes in a row.
            fit("users", "$hashs", "ecret"),
            fit("user", "s$hash", "secret"),
            fit("users$hash", "", "secret"),
        ] {
            assert!(!remembered.has(other, now), "{:?}", other.password);
        }
        remembered.forget();
        assert!(!remembered.has(known, now));
    }

    #[test]
    fn it_is_known_for_a_time_from_the_whole_hash_on() {
        let mut remembered = Remembered::new(AGE);
        let now = Instant::now();
        let known = fit("users", "$hash", "secret");
        // Wherever in an era that was.
        for begin in [Duration::ZERO, AGE / 2, AGE - SECOND] {
            let begin = now + begin;
            remembered.add(known, begin);
            for later in 1..600 {
                let now = begin + SECOND * later;
                if later % 100 == 0 {
                    remembered.expire(now);
                }
                assert!(remembered.has(known, now), "{later}");
            }
            assert!(!remembered.has(known, begin + AGE));
            remembered.forget();
        }
    }

    #[test]
    fn nothing_that_is_too_old_is_kept() {
        let mut remembered = Remembered::new(AGE);
        let now = Instant::now();
        assert_eq!(remembered.expire(now), None);
        remembered.add(fit("users", "$hash", "secret"), now);
        let left = remembered.expire(now + SECOND).unwrap_or_default();
        assert!(left <= AGE && left >= AGE - 2 * SECOND, "{left:?}");
        assert_eq!(remembered.expire(now + AGE + SECOND), Some(AGE));
        assert!(!remembered.before.is_empty());
        assert_eq!(remembered.expire(now + 2 * AGE + 2 * SECOND), None);
        assert!(remembered.before.is_empty() && remembered.current.is_empty());
        remembered.add(fit("users", "$hash", "secret"), now);
        assert_eq!(remembered.expire(now + 5 * AGE), None);
        assert!(remembered.before.is_empty() && remembered.current.is_empty());
    }

    #[test]
    fn there_are_not_more_than_so_many() {
        let mut remembered = Remembered::new(AGE);
        let now = Instant::now();
        for number in 0..3 * MOST {
            let password = number.to_string();
            remembered.add(fit("users", "$hash", &password), now);
            assert!(remembered.has(fit("users", "$hash", &password), now));
        }
        assert!(remembered.current.verified.len() + remembered.before.verified.len() <= 2 * MOST);
        assert!(!remembered.has(fit("users", "$hash", "0"), now));
    }

    #[test]
    fn no_time_is_none() {
        let mut remembered = Remembered::new(Duration::ZERO);
        let now = Instant::now();
        remembered.add(fit("users", "$hash", "secret"), now);
        assert!(!remembered.has(fit("users", "$hash", "secret"), now));
        assert!(remembered.current.is_empty());
    }
}
