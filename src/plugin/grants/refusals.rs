//! The log's lines about attempts of a plugin that were not granted.

use std::{
    collections::HashSet,
    fmt,
    sync::{Mutex, PoisonError},
};

use super::Asker;
use crate::plugin::output::bounded_line;

/// As many refusals of one call are logged.
const MOST: usize = 16;

/// Logs the refusals of one instance, each once a call, with what grants it. The plugin itself hears
/// that it was refused, and not why.
pub(in crate::plugin) struct Refusals(Mutex<Said>);

struct Said {
    asker: Asker,
    /// The lines of refusals in this call.
    lines: HashSet<String>,
}

impl Refusals {
    pub(in crate::plugin) fn new(asker: Asker) -> Self {
        Self(Mutex::new(Said {
            asker,
            lines: HashSet::new(),
        }))
    }

    /// A new call begins.
    pub(in crate::plugin) fn restart(&self, asker: Asker) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.asker = asker;
        said.lines.clear();
    }

    /// Says what failed, which no grant would help.
    pub(super) fn say(&self, why: fmt::Arguments<'_>) {
        self.log(&why.to_string(), None);
    }

    /// Says what was refused, and the line of `[plugin.grants]` that would have granted it.
    pub(super) fn refuse(&self, what: fmt::Arguments<'_>, line: &str) {
        self.log(&what.to_string(), Some(line));
    }

    fn log(&self, why: &str, line: Option<&str>) {
        let why = bounded_line(why).into_owned();
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = said.lines.len();
        if known > MOST || !said.lines.insert(why.clone()) {
            return;
        }
        let (plugin, session) = (&*said.asker.plugin, &*said.asker.session);
        match line {
            _ if known == MOST => tracing::warn!(
                plugin,
                session,
                "refused again and again: no more of this call is logged"
            ),
            Some(line) => {
                let line = bounded_line(line);
                tracing::warn!(
                    plugin,
                    session,
                    "refused: {why}; to grant it, below its [[plugin]]: [plugin.grants] {line}"
                );
            }
            None => tracing::warn!(plugin, session, "refused: {why}"),
        }
    }
}
