//! The level of the log, which can be another one while the server runs.

use std::sync::{Mutex, OnceLock, PoisonError};

use tracing_subscriber::{
    EnvFilter, Registry,
    reload::{self, Handle},
};

static LEVEL: OnceLock<Level> = OnceLock::new();

struct Level {
    handle: Handle<EnvFilter, Registry>,
    now: Mutex<String>,
}

/// The filter of the log, at first with these directives.
///
/// # Errors
/// When they are not understood, for people.
pub(super) fn filter(directives: &str) -> Result<reload::Layer<EnvFilter, Registry>, String> {
    let (layer, handle) = reload::Layer::new(parse(directives)?);
    // There is one log in a process.
    let _ = LEVEL.set(Level {
        handle,
        now: Mutex::new(directives.to_owned()),
    });
    Ok(layer)
}

/// The directives that are in force.
#[must_use]
pub fn level() -> String {
    let level = LEVEL.get();
    let now = level.map(|level| level.now.lock().unwrap_or_else(PoisonError::into_inner));
    now.map_or_else(String::new, |now| now.clone())
}

/// Puts others in force.
///
/// # Errors
/// When they are not understood, for people; the log is then as it was.
pub fn set_level(directives: &str) -> Result<(), String> {
    let filter = parse(directives)?;
    let Some(level) = LEVEL.get() else {
        return Ok(());
    };
    let mut now = level.now.lock().unwrap_or_else(PoisonError::into_inner);
    let replaced = level.handle.reload(filter);
    replaced.map_err(|error| error.to_string())?;
    directives.clone_into(&mut now);
    Ok(())
}

fn parse(directives: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(directives).map_err(|error| {
        format!("{error}: expected error, warn, info, debug, trace, or directives such as \"info,portcullis::session=debug\"")
    })
}
