//! The log lines of a call, caught for those who look at it.

use std::{
    fmt::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Layer};

/// Where the host logs what plugins say.
const PLUGINS: &str = "portcullis::plugin::output";

/// A line that a plugin has logged, or that the host has to say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How important it is.
    pub level: Level,
    /// The text of the line.
    pub text: String,
}

/// Catches lines, and tells each as it comes.
#[derive(Clone)]
pub struct Log {
    lines: Arc<Mutex<Vec<Line>>>,
    tell: Arc<dyn Fn(&Line) + Send + Sync>,
}

impl Log {
    /// `tell` is called with each line.
    #[must_use]
    pub fn new(tell: impl Fn(&Line) + Send + Sync + 'static) -> Self {
        Self {
            lines: Arc::default(),
            tell: Arc::new(tell),
        }
    }

    /// The lines since this was last called.
    #[must_use]
    pub fn take(&self) -> Vec<Line> {
        std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let ours = metadata.target().starts_with("portcullis");
        metadata.target() == PLUGINS || (ours && *metadata.level() <= Level::WARN)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text {
            plugins: event.metadata().target() == PLUGINS,
            ..Text::default()
        };
        event.record(&mut text);
        let line = Line {
            level: *event.metadata().level(),
            text: text.message + &text.fields,
        };
        (self.tell)(&line);
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line);
    }
}

#[derive(Default)]
struct Text {
    /// Whether it is a plugin's own, whose fields say nothing new.
    plugins: bool,
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else if !self.plugins {
            let _ = write!(self.fields, " {field}={value:?}");
        }
    }
}
