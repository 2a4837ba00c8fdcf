//! The keys that a file of users has for a user, and their values as people write them.

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Zoned;
use toml_edit::{Array, Value};

use super::{PERMISSIONS, UsersOf, check_home, check_storage, moment::moment};
use crate::config::{duration, size};

/// How the value of a key is written.
#[derive(Clone, Copy)]
enum Form {
    /// One line.
    Text,
    /// True or false.
    Switch,
    /// From 1 on.
    Number,
    /// Whole seconds, from 1 on.
    Time,
    /// Bytes, from 1 on.
    Size,
    /// Bytes a second, from 1 on.
    Rate,
    /// A day or a moment.
    Moment,
    /// Names between commas.
    List,
    /// See [`PERMISSIONS`].
    Permissions,
    /// Addresses, too.
    Networks,
    /// Subjects, which have commas, or digests.
    Certificates,
    /// A plain path.
    Home,
    /// A storage of the configuration.
    Storage,
    /// Not for a command line, where other users of the machine see it; how it is set instead.
    Secret(&'static str),
}

/// The name that stands for all attributes.
pub(super) const ATTRIBUTES: &str = "attributes.NAME";

/// All keys of a user, in the order in which they are shown.
const KEYS: [(&str, Form); 20] = [
    (
        "password",
        Form::Secret("`portcullis user passwd` changes it"),
    ),
    (
        "totp",
        Form::Secret("a secret is written into the file alone"),
    ),
    ("certificates", Form::Certificates),
    ("require-certificate", Form::Switch),
    ("addresses", Form::Networks),
    ("disabled", Form::Switch),
    ("expires", Form::Moment),
    ("home", Form::Home),
    ("storage", Form::Storage),
    ("groups", Form::List),
    ("permissions", Form::Permissions),
    ("max-sessions", Form::Number),
    ("idle-timeout", Form::Time),
    ("upload-rate", Form::Rate),
    ("download-rate", Form::Rate),
    ("max-upload-size", Form::Size),
    ("quota", Form::Size),
    ("quota-files", Form::Number),
    ("greeting", Form::Text),
    (ATTRIBUTES, Form::Text),
];

/// The names of all keys, in the order in which they are shown; one of them is [`ATTRIBUTES`].
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|(name, _)| *name)
}

/// A change of one key of a user.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// The key, or "attributes." and a name.
    pub(super) key: String,
    /// The value as the file has it; none removes the key.
    pub(super) value: Option<Value>,
}

impl Change {
    /// Reads "KEY=VALUE", or "KEY=", which removes the key.
    ///
    /// # Errors
    /// The key, the form that is expected and, but for secrets, the value.
    pub(super) fn parse(users: &UsersOf, text: &str, now: &Zoned) -> Result<Self, String> {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| format!("{text:?}: expected KEY=VALUE, or KEY= to remove the key"))?;
        let attribute = key
            .strip_prefix("attributes.")
            .is_some_and(|name| !name.is_empty());
        let known = |name: &str| match name {
            ATTRIBUTES => attribute,
            name => name == key,
        };
        let Some((_, form)) = KEYS.iter().find(|(name, _)| known(name)) else {
            return Err(unknown(key));
        };
        let key = key.to_owned();
        if value.is_empty() {
            return Ok(Self { key, value: None });
        }
        if let Form::Secret(instead) = form {
            return Err(format!("{key}: {instead}"));
        }
        let read = form
            .read(users, value, now)
            .map_err(|expected| format!("{key}: expected {expected}, found {value:?}"))?;
        Ok(Self {
            key,
            value: Some(read),
        })
    }
}

fn unknown(key: &str) -> String {
    let names: Vec<&str> = names().collect();
    let near = names
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known, key), *known))
        .min()
        .filter(|(distance, _)| *distance <= 2);
    match near {
        Some((_, near)) => format!("{key}: there is no such key; did you mean {near}?"),
        None => format!(
            "{key}: there is no such key; there are {}",
            names.join(", ")
        ),
    }
}

impl Form {
    /// The value as the file has it, or what is expected.
    fn read(self, users: &UsersOf, text: &str, now: &Zoned) -> Result<Value, String> {
        let bytes = |text: &str| size(text).is_some_and(|bytes| bytes > 0);
        match self {
            Self::Text => match text.chars().any(char::is_control) {
                true => Err("a text without control characters".to_owned()),
                false => Ok(text.into()),
            },
            Self::Switch => match text {
                "true" => Ok(true.into()),
                "false" => Ok(false.into()),
                _ => Err("true or false".to_owned()),
            },
            Self::Number => match text.parse::<u32>() {
                Ok(number @ 1..) => Ok(i64::from(number).into()),
                _ => Err("a number, 1 at least".to_owned()),
            },
            Self::Time => seconds(text)
                .map(Into::into)
                .ok_or_else(|| "a duration such as \"10m\", a second at least".to_owned()),
            Self::Size if bytes(text) => Ok(text.trim().into()),
            Self::Size => Err("a size such as \"10GB\" or \"2GiB\", more than 0".to_owned()),
            Self::Rate => match text.strip_suffix("/s").unwrap_or(text).trim() {
                rate if bytes(rate) => Ok(rate.into()),
                _ => Err("a rate such as \"2MiB/s\", more than 0".to_owned()),
            },
            Self::Moment => moment(text, now).map(Into::into).ok_or_else(|| {
                "a date such as 2026-12-31, a time such as 2026-12-31T18:00:00Z, a day of the \
                 week, or a time from now such as +7d"
                    .to_owned()
            }),
            Self::List => list(text, ',', |name| {
                !name.is_empty() && !name.chars().any(char::is_control)
            })
            .ok_or_else(|| "names between commas".to_owned()),
            Self::Permissions => list(text, ',', |name| PERMISSIONS.contains(&name))
                .ok_or_else(|| format!("some of {}", PERMISSIONS.join(", "))),
            Self::Networks => list(text, ',', |network| {
                network.parse::<IpNet>().is_ok() || network.parse::<IpAddr>().is_ok()
            })
            .ok_or_else(|| "networks such as \"192.0.2.0/24\", between commas".to_owned()),
            Self::Certificates => list(text, ';', is_certificate).ok_or_else(|| {
                "subjects such as \"CN=alice,O=Example\", or \"sha256:\" and 64 hexadecimal \
                 digits, between semicolons"
                    .to_owned()
            }),
            Self::Home => match check_home(text) {
                Ok(()) => Ok(text.into()),
                Err(_) => Err("a plain path from \"/\" on".to_owned()),
            },
            Self::Storage => match check_storage(users, text) {
                Ok(()) => Ok(text.into()),
                Err(_) => {
                    let names: Vec<_> = users.host.storage.keys().map(String::as_str).collect();
                    Err(format!("one of the storages {}", names.join(", ")))
                }
            },
            Self::Secret(instead) => Err(instead.to_owned()),
        }
    }
}

/// Texts with `between` between them, if all are good.
fn list(text: &str, between: char, good: impl Fn(&str) -> bool) -> Option<Value> {
    let parts: Vec<&str> = text.split(between).map(str::trim).collect();
    let all = parts.iter().all(|part| good(part));
    all.then(|| parts.into_iter().collect::<Array>().into())
}

fn is_certificate(text: &str) -> bool {
    match text.strip_prefix("sha256:") {
        Some(digits) => {
            let digits = digits.replace([':', ' '], "");
            digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
        }
        None => text.contains('='),
    }
}

/// A duration, in the largest unit that plugins know and that takes it whole.
fn seconds(text: &str) -> Option<String> {
    let seconds = match text.parse() {
        Ok(seconds) => seconds,
        Err(_) => duration(text).ok()?.as_secs(),
    };
    let seconds = u32::try_from(seconds).ok().filter(|seconds| *seconds > 0)?;
    let units = [("d", 86_400), ("h", 3600), ("m", 60)];
    let whole = units.iter().find(|(_, unit)| seconds.is_multiple_of(*unit));
    let (name, unit) = whole.unwrap_or(&("s", 1));
    Some(format!("{}{name}", seconds / unit))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(text: &str) -> Result<Change, String> {
        let users = UsersOf::new(&Config::default().into(), None).unwrap();
        Change::parse(&users, text, &Zoned::now())
    }

    #[test]
    fn values_are_written_as_the_file_has_them() {
        for (text, value) in [
            ("quota=10GB", "\"10GB\""),
            ("quota-files=1000", "1000"),
            ("upload-rate=2MiB/s", "\"2MiB\""),
            ("max-upload-size=512", "\"512\""),
            ("idle-timeout=90 minutes", "\"90m\""),
            ("idle-timeout=1h30m5s", "\"5405s\""),
            ("idle-timeout=7200", "\"2h\""),
            ("max-sessions=3", "3"),
            ("disabled=true", "true"),
            ("expires=2026-12-31", "\"2026-12-31\""),
            ("home=/a/b", "\"/a/b\""),
            ("storage=default", "\"default\""),
            ("groups=staff, night", "[\"staff\", \"night\"]"),
            ("permissions=read,upload", "[\"read\", \"upload\"]"),
            ("addresses=192.0.2.0/24,::1", "[\"192.0.2.0/24\", \"::1\"]"),
            ("certificates=CN=a,O=b", "[\"CN=a,O=b\"]"),
            ("certificates=CN=a; CN=b", "[\"CN=a\", \"CN=b\"]"),
            ("greeting=Hi = there", "\"Hi = there\""),
            ("attributes.department=sales", "\"sales\""),
        ] {
            let change = parse(text).unwrap();
            assert_eq!(change.value.unwrap().to_string(), value, "{text}");
        }
        for text in ["quota=", "password=", "totp=", "attributes.x="] {
            assert!(parse(text).unwrap().value.is_none(), "{text}");
        }
    }

    #[test]
    fn errors_name_the_key_the_value_and_the_form() {
        for (text, words) in [
            ("quota", &["\"quota\"", "KEY=VALUE"][..]),
            ("qouta=1GB", &["qouta", "did you mean quota"]),
            ("attributes.=x", &["attributes.:", "attributes.NAME"]),
            ("quota=many", &["quota", "\"many\"", "10GB"]),
            ("quota=0", &["quota", "\"0\"", "more than 0"]),
            ("quota-files=0", &["quota-files", "\"0\"", "1 at least"]),
            ("upload-rate=2M", &["upload-rate", "\"2M\"", "2MiB/s"]),
            ("idle-timeout=0s", &["idle-timeout", "\"0s\"", "10m"]),
            ("max-sessions=0", &["max-sessions", "\"0\"", "1 at least"]),
            (
                "disabled=maybe",
                &["disabled", "\"maybe\"", "true or false"],
            ),
            ("home=/a/../b", &["home", "\"/a/../b\"", "plain path"]),
            ("storage=nowhere", &["storage", "\"nowhere\"", "default"]),
            ("permissions=raed", &["permissions", "\"raed\"", "read"]),
            ("groups=a,,b", &["groups", "\"a,,b\"", "commas"]),
            ("addresses=here", &["addresses", "\"here\"", "192.0.2.0/24"]),
            ("certificates=alice", &["certificates", "\"alice\"", "CN="]),
            ("greeting=a\nb", &["greeting", "control characters"]),
        ] {
            let error = parse(text).unwrap_err();
            for word in words {
                assert!(error.contains(word), "{text}: {error}");
            }
        }
        for text in ["password=secret", "totp=secret"] {
            let error = parse(text).unwrap_err();
            assert!(
                !error.contains("=") && !error.contains("\"secret"),
                "{error}"
            );
        }
    }
}
