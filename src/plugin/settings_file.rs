//! One file of a plugin's settings: read whole, TOML or JSON by its name's ending.

use std::{
    fs,
    io::Read,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, SystemTime},
};

use serde_json::Value;

use crate::config::{regular, toml_error};

/// The largest file that is read.
const LARGEST: u64 = 256 << 20;

/// A file that was written to less than this before it was read may be written to again without its
/// times telling: the clock of file systems is that coarse.
const SETTLED: Duration = Duration::from_millis(50);

/// By what a change is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// There is no such file.
    Missing,
    /// It was written to just now: it counts as changed.
    Unsettled,
    /// Device, inode, size, and the times of its content and its inode.
    Seen(u64, u64, u64, (i64, i64), (i64, i64)),
}

impl Stamp {
    /// The stamp of the file as it is.
    pub(super) fn of(path: &Path) -> Self {
        fs::metadata(path).map_or(Self::Missing, |metadata| Self::new(&metadata))
    }

    /// Whether the file is still the same.
    pub(super) fn still_holds(self, path: &Path) -> bool {
        self == fs::metadata(path).map_or(Self::Missing, |metadata| Self::seen(&metadata))
    }

    fn new(metadata: &fs::Metadata) -> Self {
        let age = metadata
            .modified()
            .ok()
            .map(|at| SystemTime::now().duration_since(at));
        match age {
            Some(Ok(age)) if age < SETTLED => Self::Unsettled,
            _ => Self::seen(metadata),
        }
    }

    fn seen(metadata: &fs::Metadata) -> Self {
        let content = (metadata.mtime(), metadata.mtime_nsec());
        let inode = (metadata.ctime(), metadata.ctime_nsec());
        Self::Seen(
            metadata.dev(),
            metadata.ino(),
            metadata.len(),
            content,
            inode,
        )
    }
}

/// Reads and parses a file.
///
/// # Errors
/// For people: what is wrong, with the file's name.
pub(super) fn read(path: &Path) -> Result<(Stamp, Value), String> {
    let wrong = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
    let file = regular::open(path).map_err(|error| wrong(&error))?;
    // Before reading: what is written meanwhile is a change.
    let stamp = Stamp::new(&file.metadata().map_err(|error| wrong(&error))?);
    let mut text = String::new();
    file.take(LARGEST + 1)
        .read_to_string(&mut text)
        .map_err(|error| wrong(&error))?;
    if text.len() as u64 > LARGEST {
        return Err(wrong(&format_args!("more than {LARGEST} bytes")));
    }
    let extension = path
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default();
    let content = match extension.to_ascii_lowercase().as_str() {
        "toml" => {
            let table: toml::Table = toml::from_str(&text).map_err(|error| {
                let line = error.span().map(|span| line(&text, span.start));
                let at = line
                    .map(|line| format!("line {line}: "))
                    .unwrap_or_default();
                let message = toml_error(&text, error.message(), error.span());
                wrong(&format_args!("{at}{message}"))
            })?;
            Value::Object(
                table
                    .iter()
                    .map(|(key, value)| (key.clone(), json(value)))
                    .collect(),
            )
        }
        "json" => serde_json::from_str(&text).map_err(|error| wrong(&error))?,
        _ => return Err(wrong(&"expected a name that ends in .toml or .json")),
    };
    Ok((stamp, content))
}

fn line(text: &str, offset: usize) -> usize {
    text.bytes()
        .take(offset)
        .filter(|&byte| byte == b'\n')
        .count()
        + 1
}

/// TOML as JSON: times become text, and what JSON has no number for becomes null.
pub(crate) fn json(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text.clone()),
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Float(number) => Value::from(*number),
        toml::Value::Boolean(truth) => Value::Bool(*truth),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(list) => list.iter().map(json).collect(),
        toml::Value::Table(table) => Value::Object(
            table
                .iter()
                .map(|(key, value)| (key.clone(), json(value)))
                .collect(),
        ),
    }
}
