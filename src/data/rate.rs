//! Bandwidth limits.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// Bytes a second, shared by all transfers that hold it.
#[derive(Debug)]
pub struct Rate {
    bytes_per_second: u64,
    /// When everything that was taken so far will have been paid for.
    paid: Mutex<Instant>,
}

/// The time whose bytes may be taken at once after a pause.
const BURST: Duration = Duration::from_millis(250);

impl Rate {
    /// A limit; 0 is none.
    #[must_use]
    pub fn new(bytes_per_second: u64) -> Option<Self> {
        let paid = Mutex::new(Instant::now());
        (bytes_per_second > 0).then_some(Self {
            bytes_per_second,
            paid,
        })
    }

    /// Takes `bytes`, and waits for as long as they cost.
    pub async fn take(&self, bytes: usize) {
        let wait = self.book(bytes, Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    fn book(&self, bytes: usize, now: Instant) -> Duration {
        let cost = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let mut paid = self
            .paid
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        *paid = (*paid).max(earliest) + cost;
        paid.saturating_duration_since(now)
    }

    /// How much to move at a time, so that a slow rate is even: a quarter of a second's worth.
    #[must_use]
    pub fn portion(&self) -> usize {
        usize::try_from(self.bytes_per_second / 4)
            .unwrap_or(usize::MAX)
            .max(512)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_paid_for_in_time() {
        let rate = Rate {
            bytes_per_second: 1000,
            paid: Mutex::new(Instant::now()),
        };
        let start = Instant::now();
        let mut wait = Duration::ZERO;
        for _ in 0..10 {
            wait = rate.book(1000, start);
        }
        assert!(
            wait > Duration::from_millis(9700) && wait <= Duration::from_secs(10),
            "{wait:?}"
        );
        // After a long pause no more than the burst is free.
        let later = start + Duration::from_secs(1000);
        let wait = rate.book(1000, later);
        assert_eq!(wait, Duration::from_secs(1) - BURST);
    }
}
