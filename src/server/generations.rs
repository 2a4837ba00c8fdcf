//! The configuration that each reload has brought, as long as a session uses it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};

use super::control::seconds_since;
use crate::session::context::Context;

/// The configurations that are in use, the oldest first.
pub(super) struct Generations(Mutex<Vec<(SystemTime, Weak<Context>)>>);

/// A configuration with its certificates and components, and who uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Generation {
    /// Seconds since it was loaded.
    pub loaded: u64,
    /// Sessions that began with it.
    pub sessions: usize,
}

impl Generations {
    pub(super) fn new(first: &Arc<Context>) -> Self {
        Self(Mutex::new(vec![(SystemTime::now(), Arc::downgrade(first))]))
    }

    /// One more is in use.
    pub(super) fn push(&self, context: &Arc<Context>) {
        let mut all = self.all();
        all.retain(|(_, context)| context.strong_count() > 0);
        all.push((SystemTime::now(), Arc::downgrade(context)));
    }

    /// Those that are in use, the newest first; `current` is what new sessions get.
    pub(super) fn used(&self, current: Option<&Arc<Context>>) -> Vec<Generation> {
        let all = self.all();
        let used = all.iter().rev().filter_map(|(since, context)| {
            let context = context.upgrade()?;
            let is_current = current.is_some_and(|current| Arc::ptr_eq(current, &context));
            let sessions = Arc::strong_count(&context.sessions).saturating_sub(1);
            (is_current || sessions > 0).then(|| Generation {
                loaded: seconds_since(*since),
                sessions,
            })
        });
        used.collect()
    }

    fn all(&self) -> MutexGuard<'_, Vec<(SystemTime, Weak<Context>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
