//! The operator's view: the log.

mod append;
pub mod audit;
pub mod escape;
mod format;
mod journal;
mod level;
pub mod metrics;
mod rate;
mod sessions;
pub mod traces;
mod writer;

use std::{
    io::{self, IsTerminal},
    panic,
    path::Path,
    sync::OnceLock,
};

use tracing_subscriber::{fmt, layer::SubscriberExt, util::SubscriberInitExt};

use self::{
    format::{Fields, Json},
    journal::Journal,
    writer::{To, Writer},
};
pub use self::{
    level::{level, set_level},
    rate::Rate,
    sessions::SessionLog,
    writer::Flush,
};
use crate::{
    config::{Loaded, LogFormat, LogOutput, Problem},
    startup::Startup,
};

static LOG: OnceLock<Writer> = OnceLock::new();

/// Sends log lines to where they are to go; to a file, once [`Flush::open`] has been called. A thread of its
/// own writes them, once it is started: what it cannot write is dropped and counted. The last lines are written
/// when the value is dropped that this returns.
///
/// Text from clients and plugins goes into fields as strings, which are written quoted. In all values
/// what steers a terminal is escaped, and what is long is cut: no name can forge a line.
///
/// # Errors
/// When `log.level` is not understood, or journald is not there.
pub fn init(loaded: &Loaded) -> Result<Flush, Problem> {
    let config = &loaded.config.log;
    let filter = level::filter(&config.level);
    let filter = filter.map_err(|error| loaded.problem("log.level", error))?;
    let registry = tracing_subscriber::registry().with(filter);
    let to = match config.output {
        LogOutput::Journald => journal::connect().map(To::Journal),
        // Until there is the file.
        LogOutput::Stderr | LogOutput::File => To::stderr(),
    };
    let to = to.map_err(|error| loaded.problem("log.output", error.to_string()))?;
    let (writer, flush) = Writer::over(to);
    // There is one log in a process.
    let _ = LOG.set(writer.clone());
    let result = match (config.output, config.format) {
        (LogOutput::Journald, _) => registry.with(Journal(writer)).try_init(),
        (output, LogFormat::Text) => registry
            .with(
                fmt::layer()
                    .fmt_fields(Fields)
                    .with_writer(writer)
                    .with_ansi(output == LogOutput::Stderr && io::stderr().is_terminal()),
            )
            .try_init(),
        (_, LogFormat::Json) => registry
            .with(
                fmt::layer()
                    .json()
                    .flatten_event(true)
                    .map_event_format(Json)
                    .with_writer(writer),
            )
            .try_init(),
    };
    result.map_err(|error| loaded.problem("log", error.to_string()))?;
    // The one that is there writes to standard error itself, and would wait for its reader.
    panic::set_hook(Box::new(|info| tracing::error!("{info}")));
    Ok(flush)
}

/// Finds out, in a trial, whether the log could be written to where it is to go.
///
/// # Errors
/// The key, and why not.
pub fn try_log(loaded: &Loaded, startup: &Startup) -> Result<(), Problem> {
    let config = &loaded.config.log;
    let (key, tried) = match config.output {
        _ if !startup.is_trial() => return Ok(()),
        LogOutput::Stderr => return Ok(()),
        LogOutput::Journald => ("log.output", journal::connect().map(drop)),
        LogOutput::File => ("log.file", try_file(&config.file, loaded, startup)),
    };
    tried.map_err(|error| match config.output {
        LogOutput::File => loaded.problem(key, format!("{}: {error}", config.file.display())),
        _ => loaded.problem(key, error.to_string()),
    })
}

/// Finds out whether a file of lines could be opened or made, and makes nothing.
fn try_file(file: &Path, loaded: &Loaded, startup: &Startup) -> io::Result<()> {
    if file.exists() {
        return Ok(());
    }
    let mut wanted = file;
    // The start makes that directory, and those above it.
    if file.parent() == Some(&loaded.config.server.logs()) {
        while let Some(parent) = wanted.parent().filter(|parent| !parent.exists()) {
            wanted = parent;
        }
    }
    startup.try_to_make(wanted)
}

/// Has the log's file opened anew, and waits a moment for it. Blocks.
pub fn reopen() {
    if let Some(file) = LOG.get().and_then(Writer::file) {
        file.reopen();
    }
}

/// Lines of the log that were dropped since the start.
#[must_use]
pub fn dropped() -> u64 {
    LOG.get().map_or(0, Writer::dropped)
}

/// Why the log's file cannot be written to, as long as that is so.
#[must_use]
pub fn failure() -> Option<String> {
    LOG.get().and_then(Writer::file)?.failure()
}

/// Has memory that is free given back to the system by and by, on a thread of the allocator.
pub fn give_memory_back() {
    if let Err(error) = tikv_jemalloc_ctl::background_thread::write(true) {
        tracing::warn!(%error, "free memory is given back only where the server allocates");
    }
}
