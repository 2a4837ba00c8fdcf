//! What the log says of what a plugin tried and was not granted.

use std::{
    fmt,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use super::Asker;
use crate::plugin::output::bounded_line;

/// As many refusals of one instance are logged.
const MOST: u32 = 16;

/// Logs the refusals of one instance. The plugin itself hears that it was refused, and not why.
pub(super) struct Refusals {
    asker: Asker,
    count: AtomicU32,
}

impl Refusals {
    pub(super) fn new(asker: Asker) -> Self {
        Self {
            asker,
            count: AtomicU32::new(0),
        }
    }

    pub(super) fn say(&self, why: fmt::Arguments<'_>) {
        let (plugin, session) = (&*self.asker.plugin, &*self.asker.session);
        let why = why.to_string();
        let why = bounded_line(&why);
        match self.count.fetch_add(1, Relaxed) {
            0..MOST => tracing::warn!(plugin, session, "refused: {why}"),
            MOST => tracing::warn!(
                plugin,
                session,
                "refused again and again: no more is logged"
            ),
            // Far from the end of the numbers.
            _ => self.count.store(MOST + 1, Relaxed),
        }
    }
}
