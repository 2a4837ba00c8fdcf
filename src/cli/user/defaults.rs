//! The values of a user that the file of users leaves out, and the place that they come from.

use serde_json::{Map, Value, json};

use super::UsersOf;

/// The values of one user besides their own.
pub(super) struct Defaults<'a> {
    users: &'a UsersOf,
    name: &'a str,
    /// The definitions of the user's groups, in the order in which they count.
    groups: Vec<(&'a str, &'a Map<String, Value>)>,
}

impl<'a> Defaults<'a> {
    /// Those of a user who is in such groups; `defined` are the definitions of all.
    pub(super) fn of(
        users: &'a UsersOf,
        defined: &'a Map<String, Value>,
        name: &'a str,
        groups: impl Iterator<Item = &'a str>,
    ) -> Self {
        let groups = groups.filter_map(|group| {
            let (group, keys) = defined.get_key_value(group)?;
            Some((group.as_str(), keys.as_object()?))
        });
        Self {
            users,
            name,
            groups: groups.collect(),
        }
    }

    /// The same of a user's entry.
    pub(super) fn of_entry(
        users: &'a UsersOf,
        defined: &'a Map<String, Value>,
        name: &'a str,
        entry: &'a Value,
    ) -> Self {
        let groups = entry.get("groups").and_then(Value::as_array);
        let groups = groups.into_iter().flatten().filter_map(Value::as_str);
        Self::of(users, defined, name, groups)
    }

    /// The value that a group gives, and its place.
    pub(super) fn by_group(&self, key: &str) -> Option<(Value, String)> {
        let (group, value) = self.groups.iter().find_map(|(group, keys)| {
            let value = keys.get(key)?.clone();
            Some((group, value))
        })?;
        let value = match (key, value) {
            ("home", Value::String(home)) => home.replace("{user}", self.name).into(),
            (_, value) => value,
        };
        Some((value, place(group)))
    }

    /// The attributes that groups give, with their places; the first of a name counts.
    pub(super) fn attributes(&self) -> impl Iterator<Item = (&String, &Value, String)> {
        self.groups.iter().flat_map(|(group, keys)| {
            let attributes = keys.get("attributes").and_then(Value::as_object);
            let attributes = attributes.into_iter().flatten();
            attributes.map(move |(name, value)| (name, value, place(group)))
        })
    }

    /// The value in force: a group's, else the configuration's, else the program's.
    pub(super) fn value(&self, key: &str) -> (Value, String) {
        if let Some(found) = self.by_group(key) {
            return found;
        }
        let limit = match key {
            "max-sessions" => "sessions-per-user",
            "idle-timeout" => "idle-timeout",
            "upload-rate" => "upload-rate",
            "download-rate" => "download-rate",
            "max-upload-size" => "upload-size",
            _ => return (self.own(key), "default".to_owned()),
        };
        let limits = serde_json::to_value(&self.users.host.limits).unwrap_or_default();
        let value = limits.get(limit).cloned().unwrap_or_default();
        let value = match value.as_u64() {
            Some(0) => "no limit".into(),
            _ => value,
        };
        (value, self.users.host.key(&format!("limits.{limit}")))
    }

    fn own(&self, key: &str) -> Value {
        match key {
            "require-certificate" | "disabled" => false.into(),
            "addresses" => "anywhere".into(),
            "expires" => "never".into(),
            "home" => format!("/{}", self.name).into(),
            "permissions" => json!(["all"]),
            "quota" | "quota-files" => "no limit".into(),
            "storage" => self
                .users
                .host
                .storage
                .keys()
                .next()
                .map_or(Value::Null, |name| name.as_str().into()),
            "certificates" | "groups" => json!([]),
            _ => Value::Null,
        }
    }
}

fn place(group: &str) -> String {
    format!("group {group}")
}
