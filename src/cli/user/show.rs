//! `portcullis user show`: one user as they are in force.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    UsersOf,
    defaults::Defaults,
    keys::{self, ATTRIBUTES},
    known_in,
    list::{printable, without_secret},
};
use crate::cli::{Failure, files, output, users_file};

/// One key of a user.
struct Line {
    key: String,
    value: Value,
    /// The place of the value: the file, a group, a key of the configuration, or the default.
    from: String,
}

/// The user as text, or as JSON.
///
/// # Errors
/// The file cannot be read, or has no such user.
pub(super) fn show(of: &UsersOf, name: &str, json: bool) -> Result<String, Failure> {
    let path = of.file()?;
    let users = users_file::read(&path)?;
    known_in(&users, &path, name)?;
    let empty = Map::new();
    let user = users.get(name).and_then(Value::as_object).unwrap_or(&empty);
    let defined = of.groups()?;
    let entry = users.get(name).unwrap_or(&Value::Null);
    let defaults = Defaults::of_entry(of, &defined, name, entry);
    let lines = lines(&defaults, user, &files::short(&path));
    if json {
        let object: Map<_, _> = lines
            .into_iter()
            .map(|line| (line.key, json!({ "value": line.value, "from": line.from })))
            .collect();
        return Ok(output::json(&json!({ "user": name, "keys": object }))?);
    }
    let head = ["KEY", "VALUE", "FROM"].map(str::to_owned);
    let rows = lines.into_iter().map(|line| {
        let [key, value, from] = [line.key, in_text(&line.value), line.from];
        [printable(&key), printable(&value), printable(&from)]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    Ok(output::table(&rows))
}

fn lines(defaults: &Defaults<'_>, user: &Map<String, Value>, file: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for key in keys::names() {
        if key == ATTRIBUTES {
            lines.extend(attributes(defaults, user, file));
            continue;
        }
        let (value, from) = match user.get(key) {
            Some(value) => (without_secret(key, value), file.to_owned()),
            None => defaults.value(key),
        };
        lines.push(Line {
            key: key.to_owned(),
            value,
            from,
        });
    }
    let unknown = |key: &&String| *key != "attributes" && !keys::names().any(|name| name == **key);
    lines.extend(user.keys().filter(unknown).map(|key| Line {
        key: key.clone(),
        value: Value::Null,
        from: format!("{file}: there is no such key, which keeps the user out"),
    }));
    lines
}

/// The user's own, then those of the groups.
fn attributes(defaults: &Defaults<'_>, user: &Map<String, Value>, file: &str) -> Vec<Line> {
    let own = user.get("attributes").and_then(Value::as_object);
    let own = own.into_iter().flatten();
    let own = own.map(|(name, value)| (name, value, file.to_owned()));
    let mut all = BTreeMap::new();
    for (name, value, from) in own.chain(defaults.attributes()) {
        all.entry(name).or_insert((value, from));
    }
    let line = |(name, (value, from)): (&String, (&Value, String))| Line {
        key: format!("attributes.{name}"),
        value: value.clone(),
        from,
    };
    all.into_iter().map(line).collect()
}

/// A value as people write it.
fn in_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        Value::Array(list) if list.is_empty() => "none".to_owned(),
        Value::Array(list) => list.iter().map(in_text).collect::<Vec<_>>().join(", "),
        value => value.to_string(),
    }
}
