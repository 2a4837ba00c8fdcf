//! What is wrong with settings that name users.

use crate::entry::{Admission, Entry};
use crate::group::Group;
use sdk::Error;

/// Users and groups whose entries are looked at, and errors that are told. More would take longer than a plugin
/// may compute, and then they are told when somebody logs in.
const USERS: usize = 1000;
const GROUPS: usize = 1000;
const ERRORS: usize = 20;

/// The settings, as the server has them.
pub trait Settings {
    /// The keys of a table, or of all of them where the name is empty.
    fn keys(&self, table: &str) -> Option<Vec<String>>;
    /// One user.
    fn user(&self, name: &str) -> Option<String>;
    /// One group.
    fn group(&self, name: &str) -> Option<String>;
    /// The setting `anonymous`.
    fn anonymous(&self) -> Option<String>;
}

/// What is wrong; `others` are keys besides those about users, and `each` looks at an entry once more.
pub fn check(
    settings: &impl Settings,
    others: &[&str],
    each: impl Fn(&str, Entry) -> Result<(), Error>,
) -> Vec<Error> {
    let keys = settings.keys("").unwrap_or_default();
    let known = |key: &&String| {
        matches!(key.as_str(), "users" | "groups" | "anonymous") || others.contains(&key.as_str())
    };
    let unknown = keys.iter().filter(|key| !known(key));
    let mut errors: Vec<Error> = unknown
        .map(|key| format!("{key}: there is no such key"))
        .collect();
    let anonymous = settings.anonymous();
    errors.extend(anonymous.and_then(|text| Admission::anonymous(&text).err()));
    if keys.iter().any(|key| key == "groups") {
        match settings.keys("groups") {
            None => errors.push(
                "groups: expected a table of groups, or { file = \"groups.toml\" } for one in a file"
                    .to_owned(),
            ),
            Some(names) => errors.extend(names.iter().take(GROUPS).filter_map(|name| {
                Group::parse(name, &settings.group(name)?).err()
            })),
        }
    }
    if keys.iter().any(|key| key == "users") {
        match settings.keys("users") {
            None => errors.push(
                "users: expected a table of users, or { file = \"users.toml\" } for one in a file"
                    .to_owned(),
            ),
            Some(names) => errors.extend(names.iter().take(USERS).filter_map(|name| {
                // A fault of a group is told of the group.
                let group = |group: &str| {
                    let json = settings.group(group)?;
                    Group::parse(group, &json).is_ok().then_some(json)
                };
                let entry = Entry::parse(name, &settings.user(name)?, group);
                entry.and_then(|entry| each(name, entry)).err()
            })),
        }
    }
    errors.truncate(ERRORS);
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake {
        keys: &'static [&'static str],
        users: Option<&'static [&'static str]>,
        entry: &'static str,
        groups: Option<&'static str>,
        anonymous: Option<&'static str>,
    }

    impl Settings for Fake {
        fn keys(&self, table: &str) -> Option<Vec<String>> {
            let names = match table {
                "" => self.keys,
                "groups" => self.groups.map(|_| &["staff"][..])?,
                _ => self.users?,
            };
            Some(names.iter().map(|name| (*name).to_owned()).collect())
        }
        fn user(&self, _: &str) -> Option<String> {
            Some(self.entry.to_owned())
        }
        fn group(&self, _: &str) -> Option<String> {
            self.groups.map(Into::into)
        }
        fn anonymous(&self) -> Option<String> {
            self.anonymous.map(Into::into)
        }
    }

    fn errors(fake: &Fake) -> Vec<Error> {
        check(fake, &["ask"], |_, _| Ok(()))
    }

    #[test]
    fn what_is_wrong_is_told_with_its_key() {
        let mut fake = Fake {
            keys: &["users", "ask"],
            users: Some(&["bob"]),
            entry: r#"{"password": "x", "totp": "JBSWY3DPEHPK3PXP"}"#,
            groups: None,
            anonymous: None,
        };
        assert!(errors(&fake).is_empty());
        fake.entry = r#"{"pasword": "x"}"#;
        assert_eq!(
            errors(&fake),
            ["user \"bob\": pasword: there is no such key"]
        );
        fake.keys = &["users", "groups"];
        fake.entry = r#"{"password": "x", "groups": ["staff"]}"#;
        assert_eq!(
            errors(&fake),
            ["groups: expected a table of groups, or { file = \"groups.toml\" } for one in a file"]
        );
        fake.groups = Some(r#"{"quota": "1GiB"}"#);
        assert!(errors(&fake).is_empty());
        // Once, not for each user.
        fake.groups = Some(r#"{"quota": "much"}"#);
        let told = errors(&fake);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with("group \"staff\": quota: expected"),
            "{told:?}"
        );
        (fake.keys, fake.groups) = (&["users"], None);
        fake.users = None;
        assert!(errors(&fake)[0].starts_with("users: expected a table"));
        fake.keys = &["user"];
        fake.anonymous = Some("1");
        let errors = errors(&fake);
        assert_eq!(errors[0], "user: there is no such key");
        assert!(errors[1].starts_with("anonymous"), "{errors:?}");
    }
}
