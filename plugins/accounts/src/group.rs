//! The words of the operator about all users of a group, where they do not say otherwise themselves:
//!
//! ```toml
//! [plugin.settings.groups.staff]
//! home = "/staff/{user}"           # "{user}" is the user's name
//! quota = "10GiB"
//! permissions = ["read", "upload"]
//! attributes = { department = "sales" }
//! ```
//!
//! The user's own value comes first, then that of the first group in the user's list that has one. A
//! group that is defined nowhere is a label for other plugins, as before.

use crate::entry::Admission;
use sdk::{Error, Map, Table, Value};

/// The keys that a group may say of its users; proofs and groups are each user's own.
const KEYS: [&str; 14] = [
    "addresses",
    "attributes",
    "download-rate",
    "expires",
    "greeting",
    "home",
    "idle-timeout",
    "max-sessions",
    "max-upload-size",
    "permissions",
    "quota",
    "quota-files",
    "storage",
    "upload-rate",
];

/// The place in a home where the user's name goes.
const USER: &str = "{user}";

/// The values of one group, checked.
#[derive(Debug)]
pub struct Group(Map<String, Value>);

impl Group {
    /// Reads what the table of groups says of `group`.
    pub fn parse(group: &str, json: &str) -> Result<Self, Error> {
        let place = format!("group {group:?}");
        let table = Table::parse(&place, json)?;
        for key in table.names() {
            if !KEYS.contains(&key.as_str()) {
                let keys = KEYS.join(", ");
                return Err(table.wrong(&key, &format!("no key of a group; there are {keys}")));
            }
        }
        let keys = table.into_keys();
        // Some name, as every user's is as good.
        let mut table = Table::new(&place, Value::Object(with_user(&keys, "user")))?;
        Admission::take(&mut table, Some("user"), &[])?;
        if let Some(Value::String(home)) = keys.get("home")
            && home.replace(USER, "").contains(['{', '}'])
        {
            let what = format!("{home:?} has braces that are not {USER:?}");
            return Err(table.wrong("home", &what));
        }
        Ok(Self(keys))
    }
}

/// Adds to what is said of a user what the user's groups say besides; `find` has their definitions.
pub fn complete(
    user: &str,
    keys: &mut Map<String, Value>,
    find: impl Fn(&str) -> Option<String>,
) -> Result<(), Error> {
    let Some(Value::Array(names)) = keys.get("groups") else {
        return Ok(());
    };
    let names: Vec<String> = names
        .iter()
        .filter_map(Value::as_str)
        .map(Into::into)
        .collect();
    for name in names {
        let Some(json) = find(&name) else {
            continue;
        };
        let Group(group) = Group::parse(&name, &json)?;
        if group.contains_key("home") && !keys.contains_key("home") && !sdk::is_file_name(user) {
            return Err(format!(
                "user {user:?}: home: needed: the name is no directory's, which the group {name:?} makes of it"
            ));
        }
        for (key, value) in with_user(&group, user) {
            match (keys.get_mut(&key), value) {
                (None, value) => {
                    keys.insert(key, value);
                }
                // Each attribute by itself.
                (Some(Value::Object(own)), Value::Object(more)) => {
                    for (name, value) in more {
                        own.entry(name).or_insert(value);
                    }
                }
                (Some(_), _) => {}
            }
        }
    }
    Ok(())
}

fn with_user(keys: &Map<String, Value>, user: &str) -> Map<String, Value> {
    let mut keys = keys.clone();
    if let Some(Value::String(home)) = keys.get_mut("home") {
        *home = home.replace(USER, user);
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Entry;

    fn find(group: &str) -> Option<String> {
        let json = match group {
            "staff" => {
                r#"{"home": "/staff/{user}", "quota": "10GiB", "permissions": ["read"],
                    "attributes": {"floor": "1", "badge": "blue"}}"#
            }
            "night" => {
                r#"{"quota": "1GiB", "quota-files": 9, "max-sessions": 2, "upload-rate": "1MiB",
                    "addresses": ["192.0.2.0/24"], "expires": "2026-12-31"}"#
            }
            "broken" => r#"{"qouta": "1GiB"}"#,
            _ => return None,
        };
        Some(json.to_owned())
    }

    fn parse(user: &str, json: &str) -> Result<Entry, Error> {
        Entry::parse(user, json, find)
    }

    #[test]
    fn the_first_group_that_says_a_key_wins() {
        let entry = parse(
            "bob",
            r#"{"password": "$x$", "groups": ["label", "staff", "night"]}"#,
        );
        let admission = entry.unwrap().admission;
        let grant = &admission.grant;
        assert_eq!(grant.home, "/staff/bob");
        assert_eq!(grant.quota, Some(10 << 30));
        assert_eq!((grant.quota_files, grant.max_sessions), (Some(9), Some(2)));
        assert_eq!(grant.upload_rate, Some(1 << 20));
        assert_eq!(grant.permissions.len(), 2);
        assert_eq!(grant.groups, ["label", "staff", "night"]);
        assert!(grant.expires.is_some());
        assert!(admission.admits("192.0.2.1") && !admission.admits("192.0.3.1"));
        let entry = parse(
            "bob",
            r#"{"password": "$x$", "groups": ["night", "staff"]}"#,
        );
        assert_eq!(entry.unwrap().admission.grant.quota, Some(1 << 30));
    }

    #[test]
    fn what_is_said_of_the_user_comes_first() {
        let entry = parse(
            "bob",
            r#"{"password": "$x$", "groups": ["staff"], "home": "/b", "quota": 5,
                "permissions": [], "attributes": {"floor": "2"}}"#,
        );
        let grant = entry.unwrap().admission.grant;
        assert_eq!((grant.home.as_str(), grant.quota), ("/b", Some(5)));
        assert!(grant.permissions.is_empty());
        let mut attributes = grant.attributes;
        attributes.sort();
        let expected = [("badge", "blue"), ("floor", "2")];
        assert_eq!(
            attributes,
            expected.map(|(name, value)| (name.into(), value.into()))
        );
        // Without a group all is as it was.
        let entry = parse("staff", r#"{"password": "$x$"}"#).unwrap();
        assert_eq!(entry.admission.grant.home, "/staff");
    }

    #[test]
    fn a_name_leads_out_of_no_home() {
        for name in ["..", "a/b", "", "a\0"] {
            let json = r#"{"password": "$x$", "groups": ["staff"]}"#;
            let error = parse(name, json).unwrap_err();
            assert!(error.contains("home: needed"), "{error}");
        }
        // Its own home is literal.
        let entry = parse("bob", r#"{"password": "$x$", "home": "/{user}"}"#);
        assert_eq!(entry.unwrap().admission.grant.home, "/{user}");
    }

    #[test]
    fn errors_name_the_group_and_the_key() {
        let error = parse("bob", r#"{"password": "$x$", "groups": ["broken"]}"#).unwrap_err();
        assert!(
            error.starts_with("group \"broken\": qouta: no key of a group; there are addresses"),
            "{error}"
        );
        for (json, error) in [
            (r#"{"password": "$x$"}"#, "password: no key of a group"),
            (r#"{"groups": ["a"]}"#, "groups: no key of a group"),
            (r#"{"quota": "much"}"#, "quota: expected a number of bytes"),
            (r#"{"home": "x"}"#, "home: expected a path"),
            (r#"{"home": "/../{user}"}"#, "home: \"/../user\" is not"),
            (r#"{"home": "/{name}"}"#, "home: \"/{name}\" has braces"),
            (r#"{"permissions": ["raed"]}"#, "permissions: there is no"),
            (
                r#"{"attributes": {"a": 1}}"#,
                "attributes: a: expected a text",
            ),
            (r#"{"expires": "soon"}"#, "expires: expected a date"),
            ("[]", "expected a table"),
        ] {
            let found = Group::parse("staff", json).unwrap_err();
            assert!(
                found.starts_with(&format!("group \"staff\": {error}")),
                "{found}"
            );
        }
    }
}
