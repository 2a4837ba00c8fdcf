//! What the operator sees: the log.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{Log, LogFormat};

/// Sends log lines to standard error, as configured.
///
/// Text from clients and plugins goes into fields as strings, which are written quoted and escaped:
/// no name can forge a line.
///
/// # Errors
/// When `log.level` is not understood.
pub fn init(config: &Log) -> Result<(), String> {
    let filter = EnvFilter::try_new(&config.level)
        .map_err(|error| format!("log.level: {error}: expected a level such as \"info\""))?;
    let registry = tracing_subscriber::registry().with(filter);
    let result = match config.format {
        LogFormat::Text => registry
            .with(
                fmt::layer()
                    .with_writer(io::stderr)
                    .with_ansi(io::stderr().is_terminal()),
            )
            .try_init(),
        LogFormat::Json => registry
            .with(
                fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_writer(io::stderr),
            )
            .try_init(),
    };
    result.map_err(|error| error.to_string())
}
