//! The definition of the configuration as a JSON schema, and what is read from it: the names of
//! keys, their bounds, and which of them take a restart.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use schemars::{Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::Value;

use super::{
    Config,
    path::KeyPath,
    value::{self, FORM},
};

/// The word that marks a key of which a change takes a restart.
const RESTART: &str = "x-restart";

/// The JSON schema (draft 2020-12) of `config.toml`, for editors and for tests.
#[must_use]
pub fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        let mut settings = SchemaSettings::draft2020_12();
        // Editors show descriptions beside a `$ref` only if they know the newer drafts.
        settings.inline_subschemas = true;
        settings
            .with_transform(RecursiveTransform(as_toml))
            .into_generator()
            .into_root_schema_for::<Config>()
            .to_value()
    });
    &SCHEMA
}

/// Takes away what TOML has not, null and the names of Rust's integers, and the defaults of whole
/// tables, which their keys have.
fn as_toml(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            object.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(alternatives)) = object.get_mut("anyOf") {
        alternatives.retain(|alternative| alternative.get("type") != Some(&"null".into()));
        if let [Value::Object(one)] = alternatives.as_slice() {
            let one = one.clone();
            object.remove("anyOf");
            for (word, value) in one {
                object.entry(word).or_insert(value);
            }
        }
    }
    if let Some(Value::String(text)) = object.get_mut("description") {
        *text = text.replace('\n', " ");
    }
    object.retain(|word, value| match (word.as_str(), &*value) {
        ("default", Value::Object(table)) => table.is_empty(),
        ("default", Value::Array(array)) => !array.iter().any(Value::is_object),
        ("default", value) => !value.is_null(),
        ("format", Value::String(name)) => !name.starts_with("uint"),
        _ => true,
    });
    if object.contains_key("properties") {
        object.remove("default");
    }
}

/// A key that holds a value, not more keys.
pub struct Key {
    /// `limits.idle-timeout`, `storage.NAME.root`, `plugin[].limits.memory`.
    pub name: String,
    /// Its schema.
    pub schema: &'static Value,
    /// Whether its table has to have it.
    pub required: bool,
}

impl Key {
    /// Whether a change takes a restart.
    pub fn restart(&self) -> bool {
        marked(self.schema)
    }
}

/// Every key.
pub fn keys() -> Vec<Key> {
    let mut found = Vec::new();
    descend(schema(), String::new(), false, &mut found);
    found
}

/// The names of all keys; those that a host has as the top level does stand for both.
pub fn known() -> Vec<String> {
    let all: BTreeSet<String> = keys().into_iter().map(|key| key.name).collect();
    let is_repeated = |name: &&String| {
        let inner = name.strip_prefix("host[].");
        inner.is_some_and(|inner| all.contains(inner))
    };
    all.iter()
        .filter(|name| !is_repeated(name))
        .cloned()
        .collect()
}

fn descend(schema: &'static Value, name: String, required: bool, found: &mut Vec<Key>) {
    if let Some(properties) = properties(schema) {
        let list = schema.get("required").and_then(Value::as_array);
        for (key, inner) in properties {
            let dot = if name.is_empty() { "" } else { "." };
            let required = list.is_some_and(|list| list.iter().any(|required| required == key));
            descend(inner, format!("{name}{dot}{key}"), required, found);
        }
        return;
    }
    let named = schema
        .get("additionalProperties")
        .filter(|inner| properties(inner).is_some());
    if let Some(inner) = named {
        return descend(inner, format!("{name}.NAME"), false, found);
    }
    let items = alternatives(schema).find_map(|one| one.get("items"));
    let table = items.and_then(|items| alternatives(items).find(|one| properties(one).is_some()));
    if table.is_none() || table != schema.get("items") {
        found.push(Key {
            name: name.clone(),
            schema,
            required,
        });
    }
    if let Some(table) = table {
        descend(table, format!("{name}[]"), false, found);
    }
}

fn properties(schema: &Value) -> Option<&serde_json::Map<String, Value>> {
    schema.get("properties")?.as_object()
}

/// The schemas of which a value has to meet one.
pub fn alternatives(schema: &Value) -> impl Iterator<Item = &Value> {
    let words = ["anyOf", "oneOf"];
    let list = words.iter().find_map(|word| schema.get(word)?.as_array());
    let whole = list.is_none().then_some(schema);
    list.into_iter().flatten().chain(whole)
}

/// The keys of which a change takes a restart, and which are not the same in both.
#[must_use]
pub fn restart(before: &Config, after: &Config) -> Vec<String> {
    let marks = |config: &Config| {
        let mut found = BTreeMap::new();
        each(
            &values(config),
            schema(),
            KeyPath::default(),
            &mut |path, schema, value| {
                if marked(schema) {
                    found.insert(path.to_string(), value.clone());
                }
            },
        );
        found
    };
    let before = marks(before);
    let after = marks(after).into_iter();
    after
        .filter(|(key, value)| before.get(key) != Some(value))
        .map(|(key, _)| key)
        .collect()
}

/// Values that are less or more than their key takes: each with its key.
pub fn out_of_bounds(config: &Config) -> Vec<(String, String)> {
    let mut found = Vec::new();
    each(
        &values(config),
        schema(),
        KeyPath::default(),
        &mut |path, schema, value| {
            let Some(amount) = value::amount(form(schema), value) else {
                return;
            };
            let (least, most) = (schema.get("minimum"), schema.get("maximum"));
            let limit = |bound: Option<&Value>| bound.and_then(Value::as_f64);
            let little = limit(least).is_some_and(|least| amount < least);
            let much = limit(most).is_some_and(|most| amount > most);
            if (little || much)
                && let Some(bounds) = bounds(schema)
            {
                found.push((
                    path.to_string(),
                    format!("expected {bounds}, found {value}"),
                ));
            }
        },
    );
    found
}

/// "1 or more", "512 to 64KiB".
pub fn bounds(schema: &Value) -> Option<String> {
    let bound = |word| Some(value::bound(form(schema), schema.get(word)?));
    match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) => Some(format!("{least} to {most}")),
        (Some(least), None) => Some(format!("{least} or more")),
        (None, Some(most)) => Some(format!("{most} at most")),
        (None, None) => None,
    }
}

/// The form in which a value is written.
pub fn form(schema: &Value) -> Option<&str> {
    schema.get(FORM)?.as_str()
}

fn marked(schema: &Value) -> bool {
    schema.get(RESTART) == Some(&true.into())
}

/// All of it as the file would say it. Nothing in it cannot be written as JSON.
fn values(config: &Config) -> Value {
    serde_json::to_value(config).unwrap_or_default()
}

/// Goes through all values, each with its schema.
fn each(
    value: &Value,
    schema: &Value,
    path: KeyPath,
    visit: &mut dyn FnMut(&KeyPath, &Value, &Value),
) {
    match value {
        Value::Object(table) if form(schema).is_none() => {
            let of = |key: &str| properties(schema)?.get(key);
            for (key, value) in table {
                if let Some(inner) = of(key).or_else(|| schema.get("additionalProperties")) {
                    each(value, inner, path.key(key), visit);
                }
            }
        }
        Value::Array(array) if form(schema).is_none() => {
            if let Some(items) = schema.get("items") {
                for (index, value) in array.iter().enumerate() {
                    each(value, items, path.index(index), visit);
                }
            }
        }
        _ => visit(&path, schema, value),
    }
}
