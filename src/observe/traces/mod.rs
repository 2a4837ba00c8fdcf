//! Traces: spans of sessions, logins, transfers and questions to plugins, for an OpenTelemetry collector.

#[cfg(feature = "traces")]
mod export;
#[cfg(feature = "traces")]
mod spans;

use std::sync::Arc;

#[cfg(feature = "traces")]
use self::spans::Spans;
use crate::{
    config::{Loaded, Problem},
    gate::{
        SessionInfo,
        event::{Event, Observer},
    },
    startup::Startup,
};

/// Sends spans to the collector of the configuration, if there is one. Cheap to clone.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Spans>>);

/// There are none in a program that was built without traces.
#[cfg(not(feature = "traces"))]
enum Spans {}

#[cfg(not(feature = "traces"))]
impl Spans {
    fn start(loaded: &Loaded, _: &Startup) -> Result<Option<Self>, Problem> {
        let text = "this program was built without traces: cargo build --release --features traces";
        Err(loaded.problem("traces.endpoint", text))
    }

    fn observe(&self, _: &SessionInfo, _: &Event<'_>) {
        match *self {}
    }

    fn flush(&self) {
        match *self {}
    }
}

impl Traces {
    /// Starts the thread that sends. A trial starts nothing, and finds the same errors.
    ///
    /// # Errors
    /// When the authorities cannot be read, or the program was built without traces.
    pub fn start(loaded: &Loaded, startup: &Startup) -> Result<Self, Problem> {
        if loaded.config.traces.endpoint.is_none() {
            return Ok(Self::default());
        }
        Spans::start(loaded, startup).map(|spans| Self(spans.map(Arc::new)))
    }

    /// Sends what there is, and waits a moment for it. Blocks.
    pub fn flush(&self) {
        if let Some(spans) = &self.0 {
            spans.flush();
        }
    }
}

impl Observer for Traces {
    fn observe(&self, session: &SessionInfo, event: &Event<'_>) {
        if let Some(spans) = &self.0 {
            spans.observe(session, event);
        }
    }
}
