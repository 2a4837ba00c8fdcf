//! What an operator wrote, read with errors that name the key.
//!
//! A [`Table`] is read by taking its keys away one by one; what is then left was misspelt, and
//! [`Table::finish`] says so. A typing error must never silently widen what somebody may do.

use crate::units;
pub use serde_json::{Map, Value};

/// A table of settings, as the server hands it over: JSON.
#[derive(Debug)]
pub struct Table {
    /// Where the table is found: goes before the key in errors.
    place: String,
    keys: Map<String, Value>,
}

/// What is wrong with a setting, for the operator.
pub type Error = String;

impl Table {
    /// Reads `json`; `place` says where it was found, in the operator's terms, and may be empty.
    pub fn parse(place: &str, json: &str) -> Result<Self, Error> {
        let value = serde_json::from_str(json)
            .map_err(|_| at(place, "", "expected a table, found something else"))?;
        Self::new(place, value)
    }

    /// Takes a table that was found inside another one.
    pub fn new(place: &str, value: Value) -> Result<Self, Error> {
        match value {
            Value::Object(keys) => Ok(Self {
                place: place.to_owned(),
                keys,
            }),
            other => Err(at(
                place,
                "",
                &format!("expected a table, found {}", shown(&other)),
            )),
        }
    }

    /// An error about `key` of this table.
    pub fn wrong(&self, key: &str, what: &str) -> Error {
        at(&self.place, key, what)
    }

    /// Fails when there are keys that nobody has asked for.
    pub fn finish(&self) -> Result<(), Error> {
        match self.keys.keys().next() {
            Some(key) => Err(self.wrong(key, "there is no such key")),
            None => Ok(()),
        }
    }

    /// A text.
    pub fn text(&mut self, key: &str) -> Result<Option<String>, Error> {
        self.take(key, "a text", |value| match value {
            Value::String(text) => Ok(text),
            other => Err(other),
        })
    }

    /// A list of texts; none is not the same as an empty one.
    pub fn texts(&mut self, key: &str) -> Result<Option<Vec<String>>, Error> {
        self.take(key, "a list of texts", texts)
    }

    /// `true` or `false`.
    pub fn switch(&mut self, key: &str) -> Result<Option<bool>, Error> {
        self.take(key, "true or false", |value| value.as_bool().ok_or(value))
    }

    /// A number from 1 on.
    pub fn count(&mut self, key: &str) -> Result<Option<u32>, Error> {
        self.take(key, "a number from 1 on", |value| {
            let number = value.as_u64().and_then(|number| number.try_into().ok());
            number.filter(|number| *number > 0).ok_or(value)
        })
    }

    /// A number from 0 on.
    pub fn number(&mut self, key: &str) -> Result<Option<u32>, Error> {
        self.take(key, "a number from 0 on", |value| {
            let number = value.as_u64().and_then(|number| number.try_into().ok());
            number.ok_or(value)
        })
    }

    /// Seconds, as a number or as a text such as "10m".
    pub fn seconds(&mut self, key: &str) -> Result<Option<u32>, Error> {
        let expected = "a number of seconds from 1 on, or a text such as \"10m\"";
        self.take(key, expected, |value| {
            let seconds =
                quantity(&value, units::seconds).and_then(|number| number.try_into().ok());
            seconds.filter(|seconds| *seconds > 0).ok_or(value)
        })
    }

    /// Bytes, as a number or as a text such as "10MiB".
    pub fn bytes(&mut self, key: &str) -> Result<Option<u64>, Error> {
        self.take(
            key,
            "a number of bytes, or a text such as \"10MiB\"",
            |value| quantity(&value, units::bytes).ok_or(value),
        )
    }

    /// A table within this one.
    pub fn table(&mut self, key: &str) -> Result<Option<Table>, Error> {
        let place = self.wrong(key, "");
        let keys = self.take(key, "a table", |value| match value {
            Value::Object(keys) => Ok(keys),
            other => Err(other),
        })?;
        Ok(keys.map(|keys| Self { place, keys }))
    }

    /// A list of anything.
    pub fn list(&mut self, key: &str) -> Result<Option<Vec<Value>>, Error> {
        self.take(key, "a list", |value| match value {
            Value::Array(values) => Ok(values),
            other => Err(other),
        })
    }

    /// Whatever it is.
    pub fn any(&mut self, key: &str) -> Option<Value> {
        self.keys.remove(key)
    }

    /// Gives the keys that are left, as they are.
    pub fn into_keys(self) -> Map<String, Value> {
        self.keys
    }

    /// The names of the keys that are left.
    pub fn names(&self) -> Vec<String> {
        self.keys.keys().cloned().collect()
    }

    fn take<T>(
        &mut self,
        key: &str,
        expected: &str,
        read: impl FnOnce(Value) -> Result<T, Value>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.keys.remove(key) else {
            return Ok(None);
        };
        read(value).map(Some).map_err(|value| {
            self.wrong(
                key,
                &format!("expected {expected}, found {}", shown(&value)),
            )
        })
    }
}

/// A list or a table may hold what does not belong into a log: a hash, say.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a table".into(),
        other => other.to_string(),
    }
}

fn at(place: &str, key: &str, what: &str) -> Error {
    let parts = [place, key, what]
        .into_iter()
        .filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(": ")
}

fn texts(value: Value) -> Result<Vec<String>, Value> {
    match value {
        Value::Array(values) if values.iter().all(Value::is_string) => {
            let text = |value| match value {
                Value::String(text) => Some(text),
                _ => None,
            };
            Ok(values.into_iter().filter_map(text).collect())
        }
        other => Err(other),
    }
}

fn quantity(value: &Value, parse: fn(&str) -> Option<u64>) -> Option<u64> {
    value.as_u64().or_else(|| parse(value.as_str()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(json: &str) -> Table {
        Table::parse("user \"bob\"", json).unwrap()
    }

    #[test]
    fn takes_every_kind() {
        let mut table = table(
            r#"{"a": "x", "b": ["y"], "c": true, "d": 3, "e": "10m", "f": "2KiB", "g": {"h": 1}}"#,
        );
        assert_eq!(table.text("a").unwrap().unwrap(), "x");
        assert_eq!(table.texts("b").unwrap().unwrap(), ["y"]);
        assert_eq!(table.switch("c").unwrap(), Some(true));
        assert_eq!(table.count("d").unwrap(), Some(3));
        assert_eq!(table.seconds("e").unwrap(), Some(600));
        assert_eq!(table.bytes("f").unwrap(), Some(2048));
        let inner = table.table("g").unwrap().unwrap();
        assert_eq!(
            inner.finish().unwrap_err(),
            "user \"bob\": g: h: there is no such key"
        );
        assert_eq!(table.text("absent").unwrap(), None);
        table.finish().unwrap();
    }

    #[test]
    fn names_what_is_wrong() {
        for (json, error) in [
            (r#"{"a": 1}"#, "user \"bob\": a: expected a text, found 1"),
            (
                r#"{"a": null}"#,
                "user \"bob\": a: expected a text, found null",
            ),
        ] {
            assert_eq!(table(json).text("a").unwrap_err(), error);
        }
        let error = table(r#"{"b": ["x", 1]}"#).texts("b").unwrap_err();
        assert_eq!(
            error,
            "user \"bob\": b: expected a list of texts, found a list"
        );
        for count in ["0", "-1", "1.5", "4294967296", "\"1\""] {
            let mut table = table(&format!("{{\"c\": {count}}}"));
            assert!(table.count("c").is_err(), "{count}");
        }
        for json in ["", "plain text", "[1]", "1"] {
            let error = Table::parse("rule 1", json).unwrap_err();
            assert!(error.starts_with("rule 1: expected a table"), "{error}");
        }
        assert_eq!(
            Table::parse("", "1").unwrap_err(),
            "expected a table, found 1"
        );
    }
}
