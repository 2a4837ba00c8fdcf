//! The configuration that each reload has brought, as long as a session uses it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};

use super::admin::messages::seconds_since;
use crate::session::generation::Generation;

/// The configurations that are in use, the oldest first.
pub(super) struct Generations(Mutex<Vec<(SystemTime, Weak<Generation>)>>);

/// A configuration with its certificates and components, and who uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GenerationUse {
    /// Seconds since it was loaded.
    pub loaded: u64,
    /// Sessions that began with it.
    pub sessions: usize,
}

impl Generations {
    pub(super) fn new(first: &Arc<Generation>) -> Self {
        Self(Mutex::new(vec![(SystemTime::now(), Arc::downgrade(first))]))
    }

    /// One more is in use.
    pub(super) fn push(&self, generation: &Arc<Generation>) {
        let mut all = self.all();
        all.retain(|(_, generation)| generation.strong_count() > 0);
        all.push((SystemTime::now(), Arc::downgrade(generation)));
    }

    /// Those that are in use, the newest first; `current` is what new sessions get.
    pub(super) fn used(&self, current: Option<&Arc<Generation>>) -> Vec<GenerationUse> {
        let all = self.all();
        let used = all.iter().rev().filter_map(|(since, generation)| {
            let generation = generation.upgrade()?;
            let is_current = current.is_some_and(|current| Arc::ptr_eq(current, &generation));
            let sessions = Arc::strong_count(&generation.sessions).saturating_sub(1);
            (is_current || sessions > 0).then(|| GenerationUse {
                loaded: seconds_since(*since),
                sessions,
            })
        });
        used.collect()
    }

    /// Those that are in use, the newest last.
    pub(super) fn living(&self) -> Vec<Arc<Generation>> {
        let all = self.all();
        all.iter().filter_map(|(_, one)| one.upgrade()).collect()
    }

    fn all(&self) -> MutexGuard<'_, Vec<(SystemTime, Weak<Generation>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
