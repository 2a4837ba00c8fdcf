//! `portcullis user set` and `user show`: the keys of one user.

use jiff::{ToSpan, Zoned, civil::Weekday};
use toml_edit::{Array, Value};

use super::{Failure, files, output, users_file};
use crate::config::{Loaded, duration, size};

/// How a key's value is written.
#[derive(Clone, Copy)]
enum Form {
    Text,
    List,
    Size,
    Rate,
    Time,
    Number,
    Switch,
    Moment,
}

/// The keys of a user that are set here; the password has a command of its own.
const KEYS: [(&str, Form); 16] = [
    ("addresses", Form::List),
    ("certificates", Form::List),
    ("disabled", Form::Switch),
    ("download-rate", Form::Rate),
    ("expires", Form::Moment),
    ("greeting", Form::Text),
    ("groups", Form::List),
    ("home", Form::Text),
    ("idle-timeout", Form::Time),
    ("max-sessions", Form::Number),
    ("max-upload-size", Form::Size),
    ("permissions", Form::List),
    ("quota", Form::Size),
    ("require-certificate", Form::Switch),
    ("storage", Form::Text),
    ("upload-rate", Form::Rate),
];

/// Gives a user's keys other values. A key without a value is removed.
pub fn set(loaded: &Loaded, name: &str, pairs: &[String]) -> Result<(), Failure> {
    let now = Zoned::now();
    let mut changes = Vec::new();
    for pair in pairs {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| format!("{pair:?}: expected KEY=VALUE, or KEY= to remove the key"))?;
        let form = KEYS.iter().find(|(known, _)| *known == key);
        let Some((key, form)) = form else {
            return Err(unknown(key).into());
        };
        let value = match value {
            "" => None,
            value => Some(form.read(loaded, key, value, &now)?),
        };
        changes.push((*key, value));
    }
    let path = super::user::file(loaded)?;
    super::user::known(&path, name)?;
    users_file::edit(&path, |document| {
        changes
            .into_iter()
            .try_for_each(|(key, value)| document.set(name, key, value))
    })?;
    output::print(&format!("changed {name} in {}\n", files::short(&path)));
    Ok(())
}

fn unknown(key: &str) -> String {
    match key {
        "password" => return "password: `portcullis user passwd` changes it".to_owned(),
        // Others see what is on a command line.
        "totp" => return "totp: a secret is written into the file alone".to_owned(),
        _ => {}
    }
    let names: Vec<&str> = KEYS.iter().map(|(known, _)| *known).collect();
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
    fn read(self, loaded: &Loaded, key: &str, text: &str, now: &Zoned) -> Result<Value, String> {
        let wrong = |expected: &str| format!("{key}: expected {expected}, found {text:?}");
        match self {
            Self::Text if text.chars().any(char::is_control) => {
                Err(wrong("a text without control characters"))
            }
            Self::Text => {
                if key == "storage" && !loaded.config.storage.contains_key(text) {
                    let names: Vec<_> = loaded.config.storage.keys().map(String::as_str).collect();
                    return Err(wrong(&format!("one of the storages {}", names.join(", "))));
                }
                if key == "home" {
                    super::user::check_home(text)?;
                }
                Ok(text.into())
            }
            Self::List => {
                let parts: Vec<&str> = match key {
                    // Subjects of certificates have commas.
                    "certificates" => text.split(';').map(str::trim).collect(),
                    _ => text.split(',').map(str::trim).collect(),
                };
                let known = |part: &&str| super::user::PERMISSIONS.contains(part);
                if key == "permissions" && !parts.iter().all(known) {
                    return Err(wrong(&format!(
                        "some of {}",
                        super::user::PERMISSIONS.join(", ")
                    )));
                }
                Ok(Value::Array(parts.into_iter().collect::<Array>()))
            }
            Self::Size => match size(text) {
                Some(1..) => Ok(text.into()),
                _ => Err(wrong("a size such as \"10GB\" or \"2GiB\", more than 0")),
            },
            Self::Rate => {
                let rate = text.strip_suffix("/s").unwrap_or(text).trim();
                match size(rate) {
                    Some(1..) => Ok(rate.into()),
                    _ => Err(wrong("a rate such as \"2MiB/s\", more than 0")),
                }
            }
            Self::Time => match duration(text) {
                Ok(time) if time.as_secs() > 0 => Ok(text.into()),
                _ => Err(wrong("a duration such as \"10m\", a second at least")),
            },
            Self::Number => match text.parse::<u32>() {
                Ok(number @ 1..) => Ok(i64::from(number).into()),
                _ => Err(wrong("a number, 1 at least")),
            },
            Self::Switch => match text {
                "true" => Ok(true.into()),
                "false" => Ok(false.into()),
                _ => Err(wrong("true or false")),
            },
            Self::Moment => match moment(text, now) {
                Some(moment) => Ok(moment.into()),
                None => Err(wrong(
                    "a date such as 2026-12-31, a time such as 2026-12-31T18:00:00Z, a day of the week, \
                     or a time from now such as +7d",
                )),
            },
        }
    }
}

/// As the users file has it: a date, which counts to its end in UTC, or a time.
fn moment(text: &str, now: &Zoned) -> Option<String> {
    if let Some(from_now) = text.strip_prefix('+') {
        let from_now = duration(from_now).ok()?;
        let moment = now.timestamp().checked_add(from_now).ok()?;
        return Some(moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    }
    let days = [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    let day = days.iter().find(|(day, _)| day.eq_ignore_ascii_case(text));
    if let Some((_, day)) = day {
        // Today, on that day.
        let yesterday = now.date().checked_sub(1.day()).ok()?;
        return Some(yesterday.nth_weekday(1, *day).ok()?.to_string());
    }
    if let Ok(date) = text.parse::<jiff::civil::Date>()
        && text.len() == 10
    {
        return Some(date.to_string());
    }
    let moment: jiff::Timestamp = text.parse().ok()?;
    Some(moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Shows the keys of a user as the file has them, without the hash.
pub fn show(loaded: &Loaded, name: &str, json: bool) -> Result<(), Failure> {
    let path = super::user::file(loaded)?;
    super::user::known(&path, name)?;
    let mut users = users_file::read(&path)?;
    super::user::without_hashes(&mut users);
    let user = users.remove(name).unwrap_or_default();
    if json {
        output::print(&output::json(&user)?);
        return Ok(());
    }
    let mut rows = vec![["user".to_owned(), name.to_owned()]];
    for (key, value) in user.as_object().into_iter().flatten() {
        let text = match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Array(list) => {
                let texts = list.iter().map(|one| match one.as_str() {
                    Some(text) => text.to_owned(),
                    None => one.to_string(),
                });
                texts.collect::<Vec<_>>().join(", ")
            }
            other => other.to_string(),
        };
        rows.push([key.clone(), text]);
    }
    output::print(&output::table(&rows));
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn moments_are_said_in_several_ways() {
        // A Friday.
        let now: Timestamp = "2026-11-27T11:00:00Z".parse().unwrap();
        let now = now.to_zoned(jiff::tz::TimeZone::UTC);
        for (text, expected) in [
            ("2026-12-31", Some("2026-12-31")),
            ("2026-12-31T18:00:00+01:00", Some("2026-12-31T17:00:00Z")),
            ("+7d", Some("2026-12-04T11:00:00Z")),
            ("+1h 30m", Some("2026-11-27T12:30:00Z")),
            ("friday", Some("2026-11-27")),
            ("Monday", Some("2026-11-30")),
            ("Thursday", Some("2026-12-03")),
            ("soon", None),
            ("2026-02-30", None),
            ("+", None),
            ("", None),
        ] {
            assert_eq!(moment(text, &now).as_deref(), expected, "{text}");
        }
    }
}
