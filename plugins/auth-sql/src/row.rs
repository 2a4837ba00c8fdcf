//! A row as an entry of the table of users, which the crate `accounts` reads.

use sdk::{Error, Value};

/// The kind of value that a column's text becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The name itself.
    Name,
    Text,
    /// Names between commas or on lines of their own.
    List,
    /// One on each line, with commas in it.
    Lines,
    Switch,
    /// A number, or one with a unit.
    Quantity,
    Moment,
    Attribute,
}

/// Columns with this before their names are attributes.
const ATTRIBUTE: &str = "attribute";

/// Columns, as they were understood.
#[derive(Debug)]
pub struct Columns {
    columns: Vec<(Kind, String)>,
}

/// The keys, and what their texts become.
const KEYS: &[(&str, Kind)] = &[
    ("name", Kind::Name),
    ("user", Kind::Name),
    ("password", Kind::Text),
    ("home", Kind::Text),
    ("storage", Kind::Text),
    ("greeting", Kind::Text),
    ("groups", Kind::List),
    ("permissions", Kind::List),
    ("addresses", Kind::List),
    ("certificates", Kind::Lines),
    ("disabled", Kind::Switch),
    ("require-certificate", Kind::Switch),
    ("max-sessions", Kind::Quantity),
    ("idle-timeout", Kind::Quantity),
    ("upload-rate", Kind::Quantity),
    ("download-rate", Kind::Quantity),
    ("max-upload-size", Kind::Quantity),
    ("quota", Kind::Quantity),
    ("quota-files", Kind::Quantity),
    ("expires", Kind::Moment),
];

impl Columns {
    /// Understands what columns are called: keys, with underscores or hyphens, in any case.
    pub fn new(names: &[String]) -> Result<Self, Error> {
        let mut columns: Vec<(Kind, String)> = Vec::new();
        for name in names {
            let key = name.to_ascii_lowercase().replace('_', "-");
            let known = KEYS.iter().find(|(known, _)| *known == key);
            let column = match (known, attribute(name)) {
                // One of the two is enough.
                (Some((_, Kind::Name)), _) => (Kind::Name, "name".to_owned()),
                (Some((_, kind)), _) => (*kind, key),
                (None, Some(name)) => (Kind::Attribute, name.to_owned()),
                (None, None) => return Err(unknown(name)),
            };
            if columns.contains(&column) {
                return Err(format!("query: the column {name:?} is there twice"));
            }
            columns.push(column);
        }
        let columns = Self { columns };
        if !columns.has("password") && !columns.has("certificates") {
            let what = "query: a column password is needed, with the hash of the password: \
                        \"select passwd as password, …\"";
            return Err(what.to_owned());
        }
        Ok(columns)
    }

    fn has(&self, key: &str) -> bool {
        let is = |(kind, name): &(Kind, String)| *kind != Kind::Attribute && name == key;
        self.columns.iter().any(is)
    }

    /// Whether the name is among them.
    pub fn has_name(&self) -> bool {
        self.columns.iter().any(|(kind, _)| *kind == Kind::Name)
    }

    /// Whether the row is of this user, letter by letter: to many a database "Bob" is "bob".
    pub fn is_of(&self, user: &str, row: &[Option<String>]) -> bool {
        let mut columns = self.columns.iter().zip(row);
        columns.all(|((kind, _), value)| *kind != Kind::Name || value.as_deref() == Some(user))
    }

    /// The entry, on top of what all users have. NULL is what holds without the key.
    pub fn entry(
        &self,
        user: &str,
        row: Vec<Option<String>>,
        account: &Value,
    ) -> Result<String, Error> {
        let mut entry = account.as_object().cloned().unwrap_or_default();
        let mut attributes = entry.remove("attributes").unwrap_or_default();
        if attributes.is_null() {
            attributes = Value::Object(Default::default());
        }
        for ((kind, key), text) in self.columns.iter().zip(row) {
            let Some(text) = text else {
                continue;
            };
            let value = match kind {
                Kind::Name => continue,
                Kind::Attribute => {
                    if let Some(attributes) = attributes.as_object_mut() {
                        attributes.insert(key.clone(), Value::String(text));
                    }
                    continue;
                }
                Kind::Text => Value::String(text),
                Kind::List => list(&text, &[',', '\n']),
                Kind::Lines => list(&text, &['\n']),
                Kind::Switch => switch(text),
                Kind::Quantity => match text.trim().parse::<u64>() {
                    Ok(number) => Value::from(number),
                    Err(_) => Value::String(text),
                },
                Kind::Moment => match moment(text.trim()) {
                    Some(text) => Value::String(text),
                    None => continue,
                },
            };
            if *kind == Kind::Quantity && value == 0 {
                let what = "expected more than 0, or NULL for no limit: nullif(…, 0)";
                return Err(format!("user {user:?}: {key}: {what}"));
            }
            entry.insert(key.clone(), value);
        }
        entry.insert("attributes".to_owned(), attributes);
        // Nothing to prove who they are by: they stay out, and that is no mistake in the table.
        if !entry.contains_key("password") && !entry.contains_key("certificates") {
            entry.insert("disabled".to_owned(), Value::Bool(true));
        }
        Ok(Value::Object(entry).to_string())
    }
}

fn attribute(name: &str) -> Option<&str> {
    let (prefix, name) = name.split_once(['_', '-'])?;
    (prefix.eq_ignore_ascii_case(ATTRIBUTE) && !name.is_empty()).then_some(name)
}

fn unknown(name: &str) -> Error {
    let name: String = name.chars().take(64).collect();
    format!(
        "query: the column {name:?} is no key of a user: leave it out, or name it like one (\"select \
         quota_bytes as quota\"), or \"attribute_…\" for other plugins"
    )
}

/// An array as PostgreSQL or JSON writes it, or texts between separators.
fn list(text: &str, separators: &[char]) -> Value {
    let text = text.trim();
    if text.starts_with('[')
        && let Ok(list @ Value::Array(_)) = text.parse()
    {
        return list;
    }
    let texts = match text
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'))
    {
        Some(inside) => array(inside),
        None => text.split(separators).map(str::to_owned).collect(),
    };
    let texts = texts.iter().map(|text| text.trim());
    texts
        .filter(|text| !text.is_empty())
        .map(|text| Value::String(text.to_owned()))
        .collect()
}

/// The elements of PostgreSQL's `{a,"b c"}`.
fn array(inside: &str) -> Vec<String> {
    let mut elements = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for c in inside.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => {
                escaped = true;
                continue;
            }
            '"' => {
                quoted = !quoted;
                continue;
            }
            ',' if !quoted => {
                elements.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(element) = elements.last_mut() {
            element.push(c);
        }
    }
    elements
}

/// As databases write it; anything else is left, and told to be wrong.
fn switch(text: String) -> Value {
    match text.trim().to_ascii_lowercase().as_str() {
        "t" | "true" | "1" | "y" | "yes" | "on" => Value::Bool(true),
        "f" | "false" | "0" | "n" | "no" | "off" => Value::Bool(false),
        _ => Value::String(text),
    }
}

/// A day or a moment as RFC 3339 has it: without a zone it is in UTC, and a zone may be hours alone.
/// None where it stands for "never".
fn moment(text: &str) -> Option<String> {
    if text == "infinity" || text.starts_with("0000-00-00") {
        return None;
    }
    let (date, time) = text.split_at_checked(10).unwrap_or((text, ""));
    let zone = time.rfind(['+', '-']).and_then(|place| time.get(place..));
    Some(match zone {
        _ if time.is_empty() || time.ends_with(['Z', 'z']) => text.to_owned(),
        None => format!("{date}{time}Z"),
        Some(zone) if zone.len() == 3 => format!("{date}{time}:00"),
        Some(_) => text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use accounts::entry::Entry;

    fn columns(names: &[&str]) -> Result<Columns, Error> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        Columns::new(&names)
    }

    fn entry(columns_and_values: &[(&str, Option<&str>)], account: &str) -> Result<Entry, Error> {
        let names: Vec<_> = columns_and_values.iter().map(|(name, _)| *name).collect();
        let values = columns_and_values.iter();
        let values = values.map(|(_, value)| value.map(str::to_owned)).collect();
        let account = account.parse().unwrap();
        Entry::parse(
            "bob",
            &columns(&names)?.entry("bob", values, &account)?,
            |_| None,
        )
    }

    #[test]
    fn each_key_is_a_key_of_an_entry() {
        for (key, kind) in KEYS {
            let value = match (kind, *key) {
                (Kind::Switch, _) => "t",
                (Kind::Quantity, _) => "7",
                (Kind::Moment, _) => "2026-12-31 18:00:00+01",
                (_, "home") => "/x",
                (_, "addresses") => "192.0.2.0/24, ::1",
                (_, "permissions") => "read",
                (_, "certificates") => "CN=bob,O=Example\nCN=other",
                _ => "x",
            };
            let mut columns = vec![("password", Some("$x$"))];
            if *key == "require-certificate" {
                columns.push(("certificates", Some("CN=bob")));
            }
            columns.retain(|(name, _)| name != key);
            columns.push((*key, Some(value)));
            entry(&columns, "{}").unwrap();
        }
    }

    #[test]
    fn values_as_databases_write_them() {
        let entry = entry(
            &[
                ("NAME", Some("bob")),
                ("password", Some("$x$")),
                ("home", Some("/homes/bob")),
                ("groups", Some("{staff,\"a, b\"}")),
                ("permissions", Some("read, upload")),
                ("addresses", Some("[\"192.0.2.0/24\"]")),
                ("certificates", Some("CN=bob,O=Example\n")),
                ("Require_Certificate", Some("1")),
                ("disabled", Some("f")),
                ("max_sessions", Some("3")),
                ("idle_timeout", Some("10m")),
                ("quota", Some("1073741824")),
                ("max-upload-size", Some("1000.00")),
                ("expires", Some("2026-12-31 00:00:00")),
                ("attribute_Cost_Center", Some("7")),
                ("greeting", None),
                ("upload_rate", None),
            ],
            r#"{"greeting": "Hi", "attributes": {"a": "b"}, "home": "/shared"}"#,
        )
        .unwrap();
        let grant = &entry.admission.grant;
        assert_eq!(grant.home, "/homes/bob");
        assert_eq!(grant.groups, ["staff", "a, b"]);
        assert_eq!(grant.permissions.len(), 3);
        assert!(entry.admission.admits("192.0.2.9") && !entry.admission.admits("::1"));
        assert_eq!(entry.certificates.len(), 1);
        assert!(entry.require_certificate && !entry.admission.disabled);
        assert_eq!(
            (grant.max_sessions, grant.idle_timeout),
            (Some(3), Some(600))
        );
        assert_eq!(
            (grant.quota, grant.max_upload_size),
            (Some(1 << 30), Some(1000))
        );
        assert_eq!(grant.upload_rate, None);
        assert_eq!(grant.greeting.as_deref(), Some("Hi"));
        let attributes = [("Cost_Center", "7"), ("a", "b")];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(grant.attributes, attributes);
        assert_eq!(entry.admission.grant.expires, Some(1_798_675_200));
    }

    #[test]
    fn moments() {
        for (text, expected) in [
            ("2026-12-31", Some("2026-12-31")),
            ("2026-12-31 18:00:00", Some("2026-12-31 18:00:00Z")),
            ("2026-12-31 18:00:00+01", Some("2026-12-31 18:00:00+01:00")),
            (
                "2026-12-31 18:00:00-03:30",
                Some("2026-12-31 18:00:00-03:30"),
            ),
            ("2026-12-31T18:00:00.5Z", Some("2026-12-31T18:00:00.5Z")),
            ("soon", Some("soon")),
            ("infinity", None),
            ("0000-00-00 00:00:00", None),
        ] {
            assert_eq!(moment(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn nothing_is_widened_by_what_is_empty_or_wrong() {
        let with = |column, value| entry(&[("password", Some("$x$")), (column, Some(value))], "{}");
        let none = with("permissions", "").unwrap();
        assert!(none.admission.grant.permissions.is_empty());
        assert!(!with("addresses", "").unwrap().admission.admits("192.0.2.1"));
        for (column, value, error) in [
            ("disabled", "perhaps", "disabled: expected true or false"),
            ("quota", "-1", "quota: expected a number of bytes"),
            ("quota", "0", "quota: expected more than 0, or NULL"),
            (
                "upload_rate",
                "0",
                "upload-rate: expected more than 0, or NULL",
            ),
            ("max_sessions", "many", "max-sessions: expected a number"),
            ("permissions", "raed", "permissions: there is no \"raed\""),
            (
                "permissions",
                "[1]",
                "permissions: expected a list of texts",
            ),
            ("home", "bob", "home: expected a path"),
            ("expires", "soon", "expires: expected a date"),
        ] {
            let found = with(column, value).unwrap_err();
            assert!(
                found.starts_with(&format!("user \"bob\": {error}")),
                "{found}"
            );
        }
        // Without anything to prove it by nobody gets in, and nothing is wrong.
        let locked = entry(&[("password", None)], "{}").unwrap();
        assert!(locked.admission.disabled);
    }

    #[test]
    fn columns_are_named_that_are_wrong() {
        let error = |names: &[&str]| columns(names).unwrap_err();
        let unknown = error(&["password", "quota_bytes"]);
        assert!(unknown.starts_with("query: the column \"quota_bytes\" is no key"));
        assert!(error(&["password", "totp"]).contains("\"totp\""));
        assert!(error(&["password", "attribute_"]).contains("\"attribute_\""));
        assert!(error(&["password", "Password"]).contains("twice"));
        assert!(error(&["user", "name", "password"]).contains("twice"));
        assert!(error(&["home"]).contains("a column password is needed"));
        assert!(error(&["attribute_password"]).contains("is needed"));
        assert!(error(&[&"x".repeat(10_000), "password"]).len() < 300);
    }

    #[test]
    fn a_name_counts_letter_by_letter() {
        let columns = columns(&["password", "user"]).unwrap();
        let row = |name: Option<&str>| [None, name.map(str::to_owned)];
        assert!(columns.has_name() && columns.is_of("bob", &row(Some("bob"))));
        for name in [Some("Bob"), Some("bob "), None] {
            assert!(!columns.is_of("bob", &row(name)), "{name:?}");
        }
    }
}
