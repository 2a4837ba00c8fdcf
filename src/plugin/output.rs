//! The output of a plugin: lines in the server's log, and the bytes that it writes to stdout and
//! stderr.

use std::{
    borrow::Cow,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamError},
};

use crate::observe::escape;

/// The bytes that a line costs besides its text, so that empty ones are bounded, too.
const OVERHEAD: u64 = 32;
/// The longest line; what is longer is cut in pieces.
const LINE: usize = 4 << 10;
/// How much of stderr a fault's text repeats.
const TAIL: usize = 2 << 10;

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// One instance's voice, within a budget for each call.
pub(super) struct Output {
    plugin: Arc<str>,
    session: Arc<str>,
    limit: u64,
    state: Mutex<Spoken>,
}

#[derive(Default)]
struct Spoken {
    used: u64,
    dropped: bool,
    /// The bytes that have not seen their newline yet.
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// The last of stderr, for the fault.
    tail: String,
}

impl Output {
    pub(super) fn new(plugin: Arc<str>, session: Arc<str>, limit: u64) -> Arc<Self> {
        Arc::new(Self {
            plugin,
            session,
            limit,
            state: Mutex::default(),
        })
    }

    /// The budget of a new call.
    pub(super) fn restart(&self) {
        let mut spoken = self.spoken();
        spoken.used = 0;
        spoken.dropped = false;
        spoken.tail.clear();
    }

    /// One line of the plugin's own.
    pub(super) fn say(&self, level: Level, text: &str) {
        let mut rest = text;
        let mut spoken = self.spoken();
        loop {
            let (line, more) = rest.split_at(rest.floor_char_boundary(LINE));
            self.line(&mut spoken, level, line);
            if more.is_empty() || spoken.dropped {
                return;
            }
            rest = more;
        }
    }

    /// The call is over: lines without an end are lines. Returns the last of stderr.
    pub(super) fn finish(&self) -> String {
        let mut spoken = self.spoken();
        for stream in [StandardStream::Out, StandardStream::Err] {
            let rest = std::mem::take(stream.buffer(&mut spoken));
            if !rest.is_empty() {
                self.written(&mut spoken, stream, &rest);
            }
        }
        std::mem::take(&mut spoken.tail)
    }

    fn write(&self, stream: StandardStream, bytes: &[u8]) {
        let mut spoken = self.spoken();
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = LINE
                .saturating_sub(stream.buffer(&mut spoken).len())
                .min(rest.len());
            let end = rest.iter().take(room).position(|&byte| byte == b'\n');
            let (now, later) = rest.split_at(end.unwrap_or(room));
            stream.buffer(&mut spoken).extend_from_slice(now);
            rest = if end.is_some() {
                later.get(1..).unwrap_or_default()
            } else {
                later
            };
            if end.is_some() || stream.buffer(&mut spoken).len() >= LINE {
                let line = std::mem::take(stream.buffer(&mut spoken));
                self.written(&mut spoken, stream, &line);
            }
        }
    }

    fn written(&self, spoken: &mut Spoken, stream: StandardStream, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches('\r');
        if line.is_empty() {
            return;
        }
        if stream == StandardStream::Err {
            if !spoken.tail.is_empty() {
                spoken.tail.push_str(" | ");
            }
            spoken.tail.push_str(&harmless(line));
            let from = spoken
                .tail
                .ceil_char_boundary(spoken.tail.len().saturating_sub(TAIL));
            spoken.tail.drain(..from);
        }
        let level = if stream == StandardStream::Err {
            Level::Warn
        } else {
            Level::Info
        };
        self.line(spoken, level, line);
    }

    fn line(&self, spoken: &mut Spoken, level: Level, text: &str) {
        let cost = u64::try_from(text.len())
            .unwrap_or(u64::MAX)
            .saturating_add(OVERHEAD);
        spoken.used = spoken.used.saturating_add(cost);
        let (plugin, session) = (&*self.plugin, &*self.session);
        if spoken.used > self.limit {
            if !spoken.dropped {
                spoken.dropped = true;
                tracing::warn!(
                    plugin,
                    session,
                    limit = self.limit,
                    "the plugin says more than limits.log in one call: the rest is dropped"
                );
            }
            return;
        }
        let text = harmless(text);
        match level {
            Level::Trace => tracing::trace!(plugin, session, "{text}"),
            Level::Debug => tracing::debug!(plugin, session, "{text}"),
            Level::Info => tracing::info!(plugin, session, "{text}"),
            Level::Warn => tracing::warn!(plugin, session, "{text}"),
            Level::Error => tracing::error!(plugin, session, "{text}"),
        }
    }

    fn spoken(&self) -> MutexGuard<'_, Spoken> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Text with which nobody forges a line or moves a terminal's cursor: control characters, and those
/// that turn the direction of writing, are escaped.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    escape::plain(text)
}

/// Text for the log of no more than a line.
pub(super) fn bounded_line(text: &str) -> Cow<'_, str> {
    harmless(
        text.get(..text.floor_char_boundary(LINE))
            .unwrap_or_default(),
    )
}

/// Text for a client: one line, and not too long a one.
pub(super) fn one_line(mut text: String) -> String {
    const LONGEST: usize = 500;
    text.truncate(text.floor_char_boundary(LONGEST));
    if text.contains(char::is_control) {
        text = text.replace(char::is_control, " ");
    }
    text
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StandardStream {
    Out,
    Err,
}

impl StandardStream {
    fn buffer(self, spoken: &mut Spoken) -> &mut Vec<u8> {
        match self {
            Self::Out => &mut spoken.stdout,
            Self::Err => &mut spoken.stderr,
        }
    }
}

/// A guest's stdout or stderr.
#[derive(Clone)]
pub(super) struct Voice {
    output: Arc<Output>,
    stream: StandardStream,
}

impl Voice {
    pub(super) fn stdout(output: &Arc<Output>) -> Self {
        Self {
            output: output.clone(),
            stream: StandardStream::Out,
        }
    }

    pub(super) fn stderr(output: &Arc<Output>) -> Self {
        Self {
            output: output.clone(),
            stream: StandardStream::Err,
        }
    }
}

impl IsTerminal for Voice {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Voice {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Voice {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.output.write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(64 << 10)
    }
}

impl Pollable for Voice {
    fn ready<'a, 'b>(&'a mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(std::future::ready(()))
    }
}

impl AsyncWrite for Voice {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.output.write(self.stream, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_forges_a_line() {
        assert_eq!(harmless("all is well, ünï 文"), "all is well, ünï 文");
        assert_eq!(
            harmless("a\r\nb\x1b[1m\u{202e}"),
            r"a\r\nb\u{1b}[1m\u{202e}"
        );
        assert_eq!(one_line("hello\r\n230 in".into()), "hello  230 in");
        assert_eq!(one_line("ü".repeat(400)).len(), 500);
    }

    #[test]
    fn lines_are_put_together_and_bounded() {
        let output = Output::new("p".into(), "s".into(), 1000);
        for part in ["Trace", "back:\r\n  File\n", "", "last"] {
            output.write(StandardStream::Err, part.as_bytes());
        }
        output.write(StandardStream::Out, &[b'x'; 3 * LINE]);
        assert!(output.spoken().dropped);
        assert!(output.spoken().stdout.len() < LINE);
        assert_eq!(output.finish(), "Traceback: |   File | last");
        output.restart();
        assert!(!output.spoken().dropped);
    }
}
