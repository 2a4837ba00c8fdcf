//! The operator's view: the log.

mod append;
pub mod audit;
pub mod escape;
mod format;
mod level;
pub mod metrics;
mod rate;
mod sessions;
mod writer;

use std::{
    io::{self, IsTerminal},
    panic,
};

use tracing_subscriber::{fmt, layer::SubscriberExt, util::SubscriberInitExt};

use self::{
    format::{Fields, Json},
    writer::Writer,
};
pub use self::{
    level::{level, set_level},
    rate::Rate,
    sessions::SessionLog,
    writer::Flush,
};
use crate::config::{Log, LogFormat};

/// Sends log lines to standard error, as configured. A thread of its own writes them, once it is
/// started: what it cannot write is dropped and counted. The last lines are written when the value is
/// dropped that this returns.
///
/// Text from clients and plugins goes into fields as strings, which are written quoted. In all values
/// what steers a terminal is escaped, and what is long is cut: no name can forge a line.
///
/// # Errors
/// When `log.level` is not understood.
pub fn init(config: &Log) -> Result<Flush, String> {
    let filter = level::filter(&config.level).map_err(|error| format!("log.level: {error}"))?;
    let registry = tracing_subscriber::registry().with(filter);
    let (writer, flush) =
        Writer::new().map_err(|error| format!("the log cannot be written: {error}"))?;
    let result = match config.format {
        LogFormat::Text => registry
            .with(
                fmt::layer()
                    .fmt_fields(Fields)
                    .with_writer(writer)
                    .with_ansi(io::stderr().is_terminal()),
            )
            .try_init(),
        LogFormat::Json => registry
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

/// Has memory that is free given back to the system by and by, on a thread of the allocator.
pub fn give_memory_back() {
    if let Err(error) = tikv_jemalloc_ctl::background_thread::write(true) {
        tracing::warn!(%error, "free memory is given back only where the server allocates");
    }
}
