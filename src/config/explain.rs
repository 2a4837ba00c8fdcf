//! A deserialiser's complaint in the operator's words.

use toml::Value;

use super::path::{KeyPath, Step};

/// Explains `message`, which serde gave for `path`, where `value` was found, in a tree that has the
/// keys `known`.
pub fn explain(
    message: &str,
    path: &KeyPath,
    value: Option<&Value>,
    known: fn() -> Vec<String>,
) -> String {
    let found = value.map_or_else(String::new, |value| match path.is_of_a_plugin() {
        // It may be a password.
        true if value.is_str() => ", found a string".to_owned(),
        _ => format!(", found {}", describe(value)),
    });
    if message.starts_with("unknown field") {
        return unknown(path, &alternatives(message), known);
    }
    if let Some(field) = message.strip_prefix("missing field ") {
        return format!("{} is missing", field.replace('`', "\""));
    }
    if message.starts_with("unknown variant") {
        let words: Vec<_> = alternatives(message)
            .iter()
            .map(|word| format!("{word:?}"))
            .collect();
        return format!("expected {}{found}", either(&words));
    }
    if message.contains("socket address") {
        return format!(
            "expected an address and a port such as \"127.0.0.1:2121\" or \"[::]:2121\"{found}"
        );
    }
    if message.contains("IP address") || message.contains("network address") {
        return format!("expected a network such as \"10.0.0.0/8\"{found}");
    }
    match message.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {}{found}", in_toml(expected)),
        None => message.to_owned(),
    }
}

/// A value as it is told to people.
pub fn describe(value: &Value) -> String {
    match value {
        Value::String(text) if text.chars().count() <= 60 => format!("{text:?}"),
        Value::String(_) => "a long string".to_owned(),
        Value::Integer(number) => format!("the integer {number}"),
        Value::Float(number) => format!("the float {number:?}"),
        Value::Boolean(truth) => truth.to_string(),
        Value::Datetime(time) => format!("the date-time {time}"),
        Value::Array(_) => "an array".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    }
}

/// serde's names of types as TOML's.
fn in_toml(expected: &str) -> String {
    let name = match expected {
        "a boolean" => "true or false",
        "a sequence" | "sequence" => "an array",
        "a map" | "map" => "a table",
        "string" | "a string" => "a string",
        "usize" | "u64" | "u32" => "an integer from 0",
        "u16" => "an integer from 0 to 65535",
        "string only" | "string or table" => "a string",
        other if other.starts_with("struct ") => "a table",
        other if other.starts_with("enum ") => "a string",
        other => other,
    };
    name.to_owned()
}

fn unknown(path: &KeyPath, here: &[&str], known: fn() -> Vec<String>) -> String {
    let Some(Step::Key(wrong)) = path.0.last() else {
        return "unknown key".to_owned();
    };
    let nearest = here.iter().map(|key| (distance(wrong, key), *key)).min();
    if let Some((distance, key)) = nearest
        && distance <= 1.max(wrong.chars().count() / 3)
    {
        return format!("unknown key; did you mean {key:?}?");
    }
    let elsewhere: Vec<_> = known()
        .into_iter()
        .filter(|known| known.rsplit('.').next() == Some(wrong.as_str()))
        .collect();
    if elsewhere.is_empty() {
        format!("unknown key; known here: {}", here.join(", "))
    } else {
        format!("unknown key here; there is {}", either(&elsewhere))
    }
}

fn either(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [word] => word.clone(),
        [words @ .., last] => format!("{} or {last}", words.join(", ")),
    }
}

/// The names in serde's "unknown field `x`, expected one of `a`, `b`".
fn alternatives(message: &str) -> Vec<&str> {
    let (_, list) = message.split_once(", expected ").unwrap_or_default();
    list.split('`').skip(1).step_by(2).collect()
}

/// How many letters to change, add or take away; "_" is as good as "-".
fn distance(from: &str, to: &str) -> usize {
    let plain = |text: &str| text.to_lowercase().replace('_', "-");
    strsim::levenshtein(&plain(from), &plain(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance("idle-timout", "idle-timeout"), 1);
        assert_eq!(distance("idle_timeout", "idle-timeout"), 0);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
