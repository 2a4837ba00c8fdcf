//! The names of all keys, as the types have them.

use serde::Deserialize;
use toml::{Table, Value};

use super::Config;

/// A key that no table has.
const NOBODY: &str = "?";

/// Every key: `limits.idle-timeout`, `storage.NAME.root`, `plugin[].limits.memory`.
///
/// The types are asked by what they answer to a key that they do not have; so this list cannot
/// miss one.
pub fn known() -> Vec<String> {
    let mut found = Vec::new();
    ask(&|table| table, "", &mut found);
    found
}

/// The names in serde's "unknown field `x`, expected one of `a`, `b`".
pub fn alternatives(message: &str) -> Vec<&str> {
    let (_, list) = message.split_once(", expected ").unwrap_or_default();
    list.split('`').skip(1).step_by(2).collect()
}

/// Puts a value where it belongs in the whole configuration.
type Wrap<'a> = &'a dyn Fn(Value) -> Value;

fn ask(wrap: Wrap<'_>, prefix: &str, found: &mut Vec<String>) {
    let fields = fields(wrap).unwrap_or_default();
    for field in fields {
        let inside = |value: Value| wrap(table(&field, value));
        let array = |value: Value| inside(Value::Array(vec![value]));
        let named = |value: Value| inside(table("NAME", value));
        let shapes: [(Wrap<'_>, &str); 3] = [(&inside, "."), (&array, "[]."), (&named, ".NAME.")];
        match shapes
            .into_iter()
            .find(|(wrap, _)| self::fields(*wrap).is_some())
        {
            Some((wrap, separator)) => ask(wrap, &format!("{prefix}{field}{separator}"), found),
            None => found.push(format!("{prefix}{field}")),
        }
    }
}

/// The keys of the table at this place, if there is one.
fn fields(wrap: Wrap<'_>) -> Option<Vec<String>> {
    let error = Config::deserialize(wrap(table(NOBODY, Value::Boolean(true)))).err()?;
    let message = error.message();
    let unknown = format!("unknown field `{NOBODY}`");
    message.starts_with(&unknown).then(|| {
        alternatives(message)
            .into_iter()
            .map(str::to_owned)
            .collect()
    })
}

fn table(key: &str, value: Value) -> Value {
    Value::Table(Table::from_iter([(key.to_owned(), value)]))
}
