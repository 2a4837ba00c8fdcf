//! The health of a plugin: its calls, its faults, and whether it is well.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use super::Fault;

/// The faults among the last 32 calls from which on the plugin is unhealthy.
const UNHEALTHY: u32 = 5;
/// The calls without a fault after which it is healthy again.
const RECOVERED: u32 = 8;

/// One plugin's counters, for the life of the server: a reload takes them over by the name.
#[derive(Debug)]
pub struct PluginHealth {
    plugin: Arc<str>,
    calls: AtomicU64,
    faults: AtomicU64,
    cpu: AtomicU64,
    recent: Mutex<Recent>,
    durations: Durations,
    /// Events that a listener missed.
    events_dropped: AtomicU64,
}

/// Seconds of calls, each a histogram. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Durations {
    /// From end to end, waiting for an instance or for a client not counted.
    pub calls: Histogram,
    /// Computing time of each.
    pub cpu: Histogram,
    /// Waits for an instance.
    pub waits: Histogram,
}

impl Default for Durations {
    fn default() -> Self {
        // From a tenth of a millisecond to 26 seconds.
        let histogram = || Histogram::new(exponential_buckets(0.0001, 4.0, 10));
        Self {
            calls: histogram(),
            cpu: histogram(),
            waits: histogram(),
        }
    }
}

#[derive(Debug, Default)]
struct Recent {
    /// The last calls, one bit each, the newest lowest: set where it was a fault.
    history: u32,
    unhealthy: bool,
    last_fault: Option<(SystemTime, Fault)>,
    last: Option<Usage>,
}

/// The time that one call took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Computing time.
    pub cpu: Duration,
    /// From end to end, waiting for a client not counted.
    pub wall: Duration,
    /// The most linear memory that the instance had, in bytes.
    pub memory: u64,
}

/// The counters at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The plugin's name.
    pub plugin: Arc<str>,
    /// Calls that ended, well or not.
    pub calls: u64,
    /// Those of them that were faults.
    pub faults: u64,
    /// Computing time of all calls.
    pub cpu: Duration,
    /// Whether it faults again and again.
    pub unhealthy: bool,
    /// The last fault, and when it was.
    pub last_fault: Option<(SystemTime, Fault)>,
    /// The time that the last call took.
    pub last: Option<Usage>,
}

impl PluginHealth {
    /// Of a plugin that was not called yet.
    #[must_use]
    pub fn new(plugin: Arc<str>) -> Self {
        Self {
            plugin,
            calls: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            cpu: AtomicU64::new(0),
            recent: Mutex::default(),
            durations: Durations::default(),
            events_dropped: AtomicU64::new(0),
        }
    }

    /// Records the time that a call took, whatever came of it.
    pub fn used(&self, usage: Usage) {
        let cpu = u64::try_from(usage.cpu.as_nanos()).unwrap_or(u64::MAX);
        self.cpu.fetch_add(cpu, Relaxed);
        self.durations.calls.observe(usage.wall.as_secs_f64());
        self.durations.cpu.observe(usage.cpu.as_secs_f64());
        self.recent().last = Some(usage);
    }

    /// Records how long a call waited for its instance, whether it got one or not.
    pub fn waited(&self, wait: Duration) {
        self.durations.waits.observe(wait.as_secs_f64());
    }

    /// Records that events were dropped, as the listener did not keep up.
    pub fn missed(&self, events: u64) {
        self.events_dropped.fetch_add(events, Relaxed);
    }

    /// Events that were dropped since the start.
    #[must_use]
    pub fn events_dropped(&self) -> u64 {
        self.events_dropped.load(Relaxed)
    }

    /// The plugin's name.
    #[must_use]
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// The durations of its calls.
    #[must_use]
    pub fn durations(&self) -> &Durations {
        &self.durations
    }

    /// Records the result of a call. Whether the plugin is well is said when it changes, and not at
    /// each fault.
    pub fn note<T>(&self, result: &Result<T, Fault>) {
        self.calls.fetch_add(1, Relaxed);
        let mut recent = self.recent();
        recent.history = recent.history << 1 | u32::from(result.is_err());
        let faults = recent.history.count_ones();
        if let Err(fault) = result {
            self.faults.fetch_add(1, Relaxed);
            recent.last_fault = Some((SystemTime::now(), fault.clone()));
            if faults >= UNHEALTHY && !recent.unhealthy {
                recent.unhealthy = true;
                drop(recent);
                tracing::error!(plugin = &*self.plugin, faults, kind = %fault.kind,
                    error = fault.text.as_str(),
                    "the plugin is unhealthy: so many of its last 32 calls failed, this one the last");
            }
        } else if recent.unhealthy && recent.history.trailing_zeros() >= RECOVERED {
            recent.unhealthy = false;
            recent.history = 0;
            drop(recent);
            tracing::info!(plugin = &*self.plugin, "the plugin is healthy again");
        }
    }

    /// The counters as they are now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let recent = self.recent();
        Snapshot {
            plugin: self.plugin.clone(),
            calls: self.calls.load(Relaxed),
            faults: self.faults.load(Relaxed),
            cpu: Duration::from_nanos(self.cpu.load(Relaxed)),
            unhealthy: recent.unhealthy,
            last_fault: recent.last_fault.clone(),
            last: recent.last,
        }
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let health = if self.unhealthy {
            "UNHEALTHY"
        } else {
            "healthy"
        };
        let (calls, faults) = (self.calls, self.faults);
        write!(formatter, "{health}, {calls} calls, {faults} faults")?;
        if let Some((_, fault)) = &self.last_fault {
            write!(formatter, ", the last: {}: {}", fault.kind, fault.text)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::FaultKind;

    #[test]
    fn a_plugin_that_faults_again_and_again_is_unhealthy_until_it_answers() {
        let health = PluginHealth::new("test".into());
        let fault = Fault {
            plugin: "test".into(),
            kind: FaultKind::Trap,
            text: "unreachable".into(),
        };
        let failed: Result<(), Fault> = Err(fault);
        for call in 1..=5 {
            health.note(&Ok::<_, Fault>(()));
            assert!(!health.snapshot().unhealthy, "{call}");
            health.note(&failed);
        }
        let snapshot = health.snapshot();
        assert!(snapshot.unhealthy);
        assert_eq!((snapshot.calls, snapshot.faults), (10, 5));
        let text = "UNHEALTHY, 10 calls, 5 faults, the last: trap: unreachable";
        assert_eq!(snapshot.to_string(), text);

        for _ in 0..7 {
            health.note(&Ok::<_, Fault>(()));
        }
        assert!(health.snapshot().unhealthy);
        health.note(&Ok::<_, Fault>(()));
        assert!(!health.snapshot().unhealthy);
        health.note(&failed);
        assert!(!health.snapshot().unhealthy, "old faults are forgiven");
    }

    #[test]
    fn single_faults_long_ago_are_forgotten() {
        let health = PluginHealth::new("test".into());
        let fault = || Fault {
            plugin: "test".into(),
            kind: FaultKind::Timeout,
            text: String::new(),
        };
        for _ in 0..20 {
            health.note(&Err::<(), _>(fault()));
            for _ in 0..10 {
                health.note(&Ok::<_, Fault>(()));
            }
        }
        assert!(!health.snapshot().unhealthy);
    }
}
