//! One file of a plugin's settings: read whole, TOML or JSON by its name's ending.

use std::{io::Read, path::Path};

use serde_json::Value;

use crate::config::{Stamp, regular, toml_error};

/// The largest file that is read.
const LARGEST: u64 = 256 << 20;

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
