//! Time.

use std::io;
use std::time::Duration;
use wasip2::clocks::monotonic_clock::{now, subscribe_duration, subscribe_instant};
use wasip2::clocks::wall_clock;
use wasip2::io::poll::{Pollable, poll};

/// A point in time after which nothing is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(u64);

impl Deadline {
    /// The one so far from now.
    pub fn after(duration: Duration) -> Self {
        Self(now().saturating_add(nanoseconds(duration)))
    }

    /// What is left until then.
    pub fn left(self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(now()))
    }

    /// Waits until `event` is ready.
    pub fn wait(self, event: &Pollable) -> io::Result<()> {
        let timer = subscribe_instant(self.0);
        let ready = poll(&[event, &timer]);
        if ready.contains(&0) {
            Ok(())
        } else {
            Err(io::ErrorKind::TimedOut.into())
        }
    }

    /// Waits until one of the two is ready. The result says whether `event` is.
    pub fn wait_either(self, event: &Pollable, other: &Pollable) -> io::Result<bool> {
        let timer = subscribe_instant(self.0);
        let ready = poll(&[event, other, &timer]);
        if ready.contains(&0) {
            Ok(true)
        } else if ready.contains(&1) {
            Ok(false)
        } else {
            Err(io::ErrorKind::TimedOut.into())
        }
    }
}

/// Waits so long.
pub fn sleep(duration: Duration) {
    subscribe_duration(nanoseconds(duration)).block();
}

/// Seconds since 1970.
pub fn unix_time() -> u64 {
    wall_clock::now().seconds
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
