//! The definition of the configuration as a page for people.

use std::collections::BTreeMap;

use serde_json::Value;

use super::schema::{Key, alternatives, bounds, form, keys, schema};

const HEAD: &str = "\
# Keys of the configuration

Made by `portcullis config reference` from the definition in `src/config/`. [config.toml](../config.toml) has each
key with its default and the reason for it.

- A duration is `\"250ms\"`, `\"90s\"`, `\"1h 30m\"`, `\"7d\"`, or an integer of seconds.
- A size is `\"64KiB\"`, `\"10MiB\"`, `\"2GB\"`, or an integer of bytes.
- *Restart*: a reload does not change it, and says so.
";

/// Every key with type, default, and text, as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut sections: BTreeMap<String, String> = BTreeMap::new();
    for key in keys() {
        if let Some((name, is_first)) = repeated(&key.name, &sections) {
            if is_first {
                let text = text_of(&format!("host[].{name}")).unwrap_or_default();
                let row = format!("| `{name}` | as there | unset | {text} |\n");
                *sections.entry("host[]".to_owned()).or_default() += &row;
            }
            continue;
        }
        let (table, name) = split(&key.name);
        let cells = [kind_and_bounds(key.schema), default(&key), text(&key)];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        *sections.entry(table.to_owned()).or_default() +=
            &format!("| `{name}` | {} |\n", cells.join(" | "));
    }
    let mut page = HEAD.to_owned();
    for (table, rows) in sections {
        let text = text_of(&table).unwrap_or_default();
        page += &format!(
            "\n## `{}`\n\n{text}\n\n| key | type | default | |\n|---|---|---|---|\n{rows}",
            heading(&table)
        );
    }
    page
}

/// A table that a host has as the top level does, and whether there is no row of it yet.
fn repeated(name: &str, sections: &BTreeMap<String, String>) -> Option<(&'static str, bool)> {
    let inner = name.strip_prefix("host[].")?;
    let tables = ["storage.NAME", "plugin[]"].into_iter();
    let table = tables.into_iter().find(|table| inner.starts_with(table))?;
    let rows = sections.get("host[]").map_or("", String::as_str);
    Some((table, !rows.contains(&format!("`{table}`"))))
}

/// The table that has a heading, and the key in it.
fn split(name: &str) -> (&str, &str) {
    let table = match name.split('.').next() {
        Some("tls") if name.starts_with("tls.host[]") => "tls.host[]",
        Some("storage") => "storage.NAME",
        Some("data") if name.starts_with("data.advertise[]") => "data.advertise[]",
        Some(first) => first,
        None => "",
    };
    let key = name.get(table.len()..).unwrap_or_default();
    (table, key.trim_start_matches('.'))
}

fn heading(table: &str) -> String {
    match table.strip_suffix("[]") {
        Some(table) => format!("[[{table}]]"),
        None => format!("[{table}]"),
    }
}

fn text_of(table: &str) -> Option<String> {
    let mut place = schema();
    for key in table.split('.').filter(|key| *key != "NAME") {
        let table = place.get("items").unwrap_or(place);
        place = table.get("properties")?.get(key.trim_end_matches("[]"))?;
    }
    description(place)
}

fn description(schema: &Value) -> Option<String> {
    Some(schema.get("description")?.as_str()?.to_owned())
}

fn kind_and_bounds(schema: &Value) -> String {
    match bounds(schema).filter(|bounds| bounds != "0 or more") {
        Some(bounds) if form(schema) != Some("ports") => format!("{}, {bounds}", kind(schema)),
        _ => kind(schema),
    }
}

/// The type in the operator's words.
fn kind(schema: &Value) -> String {
    if let Some(form) = form(schema) {
        return form.to_owned();
    }
    if let Some(value) = schema.get("const") {
        return format!("`{value}`");
    }
    let list = ["enum", "oneOf", "anyOf"];
    if let Some(list) = list.iter().find_map(|word| schema.get(word)?.as_array()) {
        let kinds = list.iter().map(|one| match one.is_object() {
            true => kind(one),
            false => format!("`{one}`"),
        });
        return kinds.collect::<Vec<_>>().join(", ");
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("boolean") => "boolean".to_owned(),
        Some("object") => "table".to_owned(),
        Some("array") => match schema.get("items") {
            Some(items) => format!("array of {}", kind(items)),
            None => "array".to_owned(),
        },
        Some(other) => other.to_owned(),
        None => "any".to_owned(),
    }
}

fn default(key: &Key) -> String {
    let written = |value: &Value| toml::Value::try_from(value).ok();
    match key.schema.get("default").and_then(written) {
        Some(value) => format!("`{value}`"),
        None if key.required => "required".to_owned(),
        None => "unset".to_owned(),
    }
}

fn text(key: &Key) -> String {
    let mut text = description(key.schema).unwrap_or_default();
    if key.restart() {
        text += " *Restart.*";
    }
    for value in alternatives(key.schema) {
        if let (Some(word), Some(meaning)) = (value.get("const"), description(value)) {
            text += &format!("<br>`{word}`: {meaning}");
        }
    }
    text
}
