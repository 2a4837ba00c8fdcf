//! The description of a call that went wrong: its kind, and for the log a text of one line.

use std::fmt::Write;

use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace, component::ResourceTableError};
use wasmtime_wasi::I32Exit;

use super::{
    call::{Call, Overrun},
    limiter::Excess,
    output::harmless,
};
use crate::{gate::FaultKind, shared::Away};

/// The frames that a fault's text names.
const FRAMES: usize = 16;
/// The longest text.
const TEXT: usize = 4 << 10;

/// The kind of the failure, and the text for the log.
pub(super) fn describe_error(error: &wasmtime::Error, call: &Call) -> (FaultKind, String) {
    let (kind, mut text) = kind(error, call);
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        frames(backtrace, &mut text);
    }
    stderr(call, &mut text);
    (kind, text)
}

/// Adds what the guest wrote to stderr: the panics of Go, the tracebacks of Python.
pub(super) fn stderr(call: &Call, text: &mut String) {
    let stderr = call.output.finish();
    if !stderr.is_empty() {
        let _ = write!(text, "; stderr: {stderr}");
    }
}

/// A fault's text for people who have more than one line: what happened, each function that it
/// happened in, and each line that the guest wrote to stderr.
#[must_use]
pub fn spread(text: &str) -> (String, Vec<String>, Vec<String>) {
    let (text, stderr) = text.split_once("; stderr: ").unwrap_or((text, ""));
    let (what, frames) = text.split_once("; in ").unwrap_or((text, ""));
    let lines = |text: &str, separator| -> Vec<String> {
        let lines = text.split(separator).filter(|line| !line.is_empty());
        lines.map(str::to_owned).collect()
    };
    (what.to_owned(), lines(frames, " < "), lines(stderr, " | "))
}

/// Text of a plugin's own for the log: one line, bounded.
pub(super) fn bounded(text: String) -> String {
    let mut text = match harmless(&text) {
        std::borrow::Cow::Borrowed(_) => text,
        std::borrow::Cow::Owned(text) => text,
    };
    text.truncate(text.floor_char_boundary(TEXT));
    text
}

fn kind(error: &wasmtime::Error, call: &Call) -> (FaultKind, String) {
    if let Some(overrun) = error.downcast_ref::<Overrun>() {
        return (FaultKind::Timeout, overrun.to_string());
    }
    if let Some(excess) = error.downcast_ref::<Excess>() {
        return (FaultKind::TooBig, excess.to_string());
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref::<ResourceTableError>() {
        return (FaultKind::TooBig, "it holds too many handles".into());
    }
    if let Some(error) = error.downcast_ref::<PoolConcurrencyLimitError>() {
        return (FaultKind::Busy, error.to_string());
    }
    if let Some(away) = error.downcast_ref::<Away>() {
        return (FaultKind::Unavailable, away.to_string());
    }
    let cause = error.root_cause().to_string();
    // A guest that is denied memory traps in a way of its own.
    if let Some(excess) = call.limiter.denied() {
        return (FaultKind::TooBig, format!("{excess}; {cause}"));
    }
    // These have no public type.
    if cause.contains("fuel allocated for hostcalls")
        || cause.contains("store handle limit exceeded")
    {
        return (FaultKind::TooBig, cause);
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return (FaultKind::Trap, format!("it exited with status {}", exit.0));
    }
    match error.downcast_ref::<Trap>() {
        Some(trap) => (FaultKind::Trap, trap.to_string()),
        None => (FaultKind::Trap, cause),
    }
}

fn frames(backtrace: &WasmBacktrace, text: &mut String) {
    for (index, frame) in backtrace.frames().iter().take(FRAMES).enumerate() {
        text.push_str(if index == 0 { "; in " } else { " < " });
        let name = frame.func_name();
        match name {
            Some(name) => {
                let _ = write!(text, "{:#}", rustc_demangle::demangle(name));
            }
            None => {
                let _ = write!(text, "function {}", frame.func_index());
            }
        }
        if let Some(symbol) = frame.symbols().first()
            && let (Some(file), Some(line)) = (symbol.file(), symbol.line())
        {
            let _ = write!(text, " ({file}:{line})");
        }
    }
    let more = backtrace.frames().len().saturating_sub(FRAMES);
    if more > 0 {
        let _ = write!(text, " < {more} more");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_spread_over_lines() {
        let text =
            "unreachable; in a (x.rs:1) < <T as U>::b < 3 more; stderr: panic: no | goroutine 1";
        let (what, frames, stderr) = spread(text);
        assert_eq!(what, "unreachable");
        assert_eq!(frames, ["a (x.rs:1)", "<T as U>::b", "3 more"]);
        assert_eq!(stderr, ["panic: no", "goroutine 1"]);
        assert_eq!(spread("late"), ("late".to_owned(), Vec::new(), Vec::new()));
    }
}
