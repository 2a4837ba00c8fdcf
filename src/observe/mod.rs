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
mod writer;

use std::{
    io::{self, IsTerminal},
    panic,
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
use crate::config::{Log, LogFormat, LogOutput};

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
pub fn init(config: &Log) -> Result<Flush, String> {
    let filter = level::filter(&config.level).map_err(|error| format!("log.level: {error}"))?;
    let registry = tracing_subscriber::registry().with(filter);
    let unwritten = |error: io::Error| format!("log.output: the log cannot be written: {error}");
    let to = match config.output {
        LogOutput::Journald => journal::connect().map(To::Journal),
        // Until there is the file.
        LogOutput::Stderr | LogOutput::File => To::stderr(),
    };
    let (writer, flush) = Writer::over(to.map_err(unwritten)?);
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
    result.map_err(|error| error.to_string())?;
    // The one that is there writes to standard error itself, and would wait for its reader.
    panic::set_hook(Box::new(|info| tracing::error!("{info}")));
    Ok(flush)
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
