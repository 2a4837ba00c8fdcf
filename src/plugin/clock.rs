//! The time that one call may take: computing time, and time from end to end.
//!
//! Computing time is what the thread has computed while it polled the call, measured around each
//! poll by the thread's own clock: neither waiting counts, nor that the machine had other things to
//! do. The epoch callback compares it with the limit while the guest runs.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    task::{Poll, ready},
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

/// The time of one call. Shared by the future that polls it and the store that is polled; both run
/// on the same task, so that no ordering is needed between the fields.
#[derive(Debug)]
pub(super) struct Clock {
    base: Instant,
    /// When the time from end to end began to count, in nanoseconds from `base`.
    started: AtomicU64,
    /// Nanoseconds spent in polls, up to the last one.
    spent: AtomicU64,
    /// Spent, and gone by, before both began to count anew.
    spent_before: AtomicU64,
    gone_before: AtomicU64,
    /// When the current poll, or what counts of it, began, by the clock of its thread.
    polled: AtomicU64,
    /// When the current pause began, from `base`.
    paused_at: AtomicU64,
    paused: AtomicBool,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self {
            base: Instant::now(),
            started: AtomicU64::new(0),
            spent: AtomicU64::new(0),
            spent_before: AtomicU64::new(0),
            gone_before: AtomicU64::new(0),
            polled: AtomicU64::new(0),
            paused_at: AtomicU64::new(0),
            paused: AtomicBool::new(false),
        }
    }

    /// A call begins.
    fn begin(&self) {
        self.started.store(self.now(), Relaxed);
        for time in [&self.spent, &self.spent_before, &self.gone_before] {
            time.store(0, Relaxed);
        }
        self.paused.store(false, Relaxed);
    }

    /// Both limits count from here on; a pause ends.
    // Asking for the thread's time is a system call: once for each piece of an upload.
    pub(super) fn restart(&self) {
        let (now, computed) = (self.now(), computed());
        let mut spent = self.spent.load(Relaxed);
        let mut end = now;
        if self.paused.load(Relaxed) {
            end = self.paused_at.load(Relaxed);
        } else {
            spent += computed.saturating_sub(self.polled.load(Relaxed));
        }
        self.spent_before.fetch_add(spent, Relaxed);
        let gone = end.saturating_sub(self.started.load(Relaxed));
        self.gone_before.fetch_add(gone, Relaxed);
        self.started.store(now, Relaxed);
        self.polled.store(computed, Relaxed);
        self.spent.store(0, Relaxed);
        self.paused.store(false, Relaxed);
    }

    /// The time from here on is not the guest's doing: the client is waited for, or the server
    /// computes.
    pub(super) fn pause(&self) {
        let computed = computed().saturating_sub(self.polled.load(Relaxed));
        self.spent.fetch_add(computed, Relaxed);
        self.paused_at.store(self.now(), Relaxed);
        self.paused.store(true, Relaxed);
    }

    /// The guest goes on, as if the pause had not been.
    pub(super) fn resume(&self) {
        let pause = self.now().saturating_sub(self.paused_at.load(Relaxed));
        self.started.fetch_add(pause, Relaxed);
        self.polled.store(computed(), Relaxed);
        self.paused.store(false, Relaxed);
    }

    /// The computing time up to this moment, asked from within a poll.
    pub(super) fn spent(&self) -> Duration {
        let current = computed().saturating_sub(self.polled.load(Relaxed));
        Duration::from_nanos(self.spent.load(Relaxed).saturating_add(current))
    }

    /// The time that the call took from its beginning: computing time, and time from end to end
    /// without pauses. For when it is over.
    pub(super) fn taken(&self) -> (Duration, Duration) {
        let spent = self.spent_before.load(Relaxed) + self.spent.load(Relaxed);
        let gone = self.now().saturating_sub(self.started.load(Relaxed));
        let gone = self.gone_before.load(Relaxed).saturating_add(gone);
        (Duration::from_nanos(spent), Duration::from_nanos(gone))
    }

    /// The rest of `wall`; a pause stops the clock.
    fn left(&self, wall: Duration) -> Duration {
        let now = if self.paused.load(Relaxed) {
            self.paused_at.load(Relaxed)
        } else {
            self.now()
        };
        wall.saturating_sub(Duration::from_nanos(
            now.saturating_sub(self.started.load(Relaxed)),
        ))
    }

    fn now(&self) -> u64 {
        to_nanos(self.base.elapsed())
    }

    fn poll_begins(&self) {
        // The end of a pause looks at the clock.
        if !self.paused.load(Relaxed) {
            self.polled.store(computed(), Relaxed);
        }
    }

    fn poll_ends(&self) {
        if !self.paused.load(Relaxed) {
            let poll = computed().saturating_sub(self.polled.load(Relaxed));
            self.spent.fetch_add(poll, Relaxed);
        }
    }

    /// Polls `call`, whose time counts from here on, and gives up on it when `wall` has gone by without it.
    pub(super) async fn time<F: Future>(&self, wall: Duration, call: F) -> Result<F::Output, Late> {
        self.begin();
        let mut call = pin!(call);
        // Costs nothing until it is polled, which a call that never waits does not come to.
        let mut alarm = pin!(tokio::time::sleep(wall));
        poll_fn(|context| {
            self.poll_begins();
            let polled = call.as_mut().poll(context);
            self.poll_ends();
            if let Poll::Ready(output) = polled {
                return Poll::Ready(Ok(output));
            }
            loop {
                ready!(alarm.as_mut().poll(context));
                let left = self.left(wall);
                if left.is_zero() {
                    return Poll::Ready(Err(Late));
                }
                alarm.as_mut().reset(tokio::time::Instant::now() + left);
            }
        })
        .await
    }
}

/// The time that this thread has computed since it began, in nanoseconds.
fn computed() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

fn to_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The call took longer than its wall-clock limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Late;

#[cfg(test)]
mod tests {
    use super::*;

    fn compute(time: Duration) {
        let end = computed() + to_nanos(time);
        while computed() < end {}
    }

    #[tokio::test]
    async fn waiting_is_no_computing_and_a_pause_is_nothing() {
        let clock = Clock::new();
        let wall = Duration::from_secs(5);
        let call = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(clock.spent() < Duration::from_millis(10));
            clock.pause();
            tokio::time::sleep(Duration::from_millis(60)).await;
            compute(Duration::from_millis(10));
            clock.resume();
            assert!(clock.spent() < Duration::from_millis(10));
            // A thread that is kept from the processor computes nothing.
            std::thread::sleep(Duration::from_millis(10));
            assert!(clock.spent() < Duration::from_millis(10));
            compute(Duration::from_millis(10));
            assert!(clock.spent() >= Duration::from_millis(10));
        };
        assert_eq!(clock.time(wall, call).await, Ok(()));
        let ever = std::future::pending::<()>();
        let wall = Duration::from_millis(40);
        assert_eq!(Clock::new().time(wall, ever).await, Err(Late));
    }
}
