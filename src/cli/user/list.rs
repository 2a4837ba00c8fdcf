//! `portcullis user list`.

use serde_json::{Map, Value};

use super::{UsersOf, defaults::Defaults};
use crate::{
    cli::{Failure, output, page::PageOptions, users_file},
    passwords,
};

/// All users, or a part of them, as text or as JSON.
pub(super) fn list(of: &UsersOf, page: &PageOptions, json: bool) -> Result<String, Failure> {
    let mut users = users_file::read(&of.file()?)?;
    without_hashes(&mut users);
    let total = users.len();
    let all: Vec<_> = users.into_iter().collect();
    let (part, matching) = page.of(all);
    if json {
        let users: Map<String, Value> = part.into_iter().collect();
        return Ok(output::json(&users)?);
    }
    let head = ["USER", "HOME", "GROUPS", "PERMISSIONS", "PROOF"].map(str::to_owned);
    let defined = of.groups()?;
    let row = |(name, user): &(String, Value)| {
        let defaults = Defaults::of_entry(of, &defined, name, user);
        row(name, &with_defaults(user, &defaults))
    };
    let rows: Vec<_> = part.iter().map(row).collect();
    let shown = rows.len();
    let table = output::table(&[vec![head], rows].concat());
    Ok(table + &page.told(shown, matching, total))
}

/// With the kind of each hash, and the second factor, in place of themselves.
fn without_hashes(users: &mut Map<String, Value>) {
    for user in users.values_mut().filter_map(Value::as_object_mut) {
        for (key, value) in user.iter_mut() {
            *value = without_secret(key, value);
        }
    }
}

/// A hash by its kind, and a second factor by its being there.
pub(super) fn without_secret(key: &str, value: &Value) -> Value {
    match key {
        "password" => value
            .as_str()
            .and_then(passwords::kind)
            .unwrap_or("unknown")
            .into(),
        "totp" => "set".into(),
        _ => value.clone(),
    }
}

/// With what the user's groups say of the keys that are listed.
fn with_defaults(user: &Value, defaults: &Defaults<'_>) -> Value {
    let mut user = user.clone();
    for key in ["home", "permissions", "expires"] {
        if let (Some(keys), Some((value, _))) = (user.as_object_mut(), defaults.by_group(key)) {
            keys.entry(key).or_insert(value);
        }
    }
    user
}

pub(super) fn row(name: &str, user: &Value) -> [String; 5] {
    let text = |key: &str| user.get(key).and_then(Value::as_str);
    let list = |key: &str| {
        let list = user.get(key).and_then(Value::as_array)?;
        Some(
            list.iter()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join(","),
        )
    };
    let switch = |key: &str| user.get(key).and_then(Value::as_bool).unwrap_or(false);
    // Its kind stands in its place.
    let password = text("password");
    let certificate = list("certificates")
        .filter(|list| !list.is_empty())
        .map(|_| "certificate");
    let join = if switch("require-certificate") {
        " and "
    } else {
        " or "
    };
    let mut proof = [password, certificate]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(join);
    if switch("disabled") {
        proof.push_str(" (disabled)");
    }
    if let Some(expires) = text("expires") {
        proof.push_str(&format!(" (until {})", printable(expires)));
    }
    [
        printable(name),
        text("home").map_or_else(|| printable(&format!("/{name}")), printable),
        list("groups").map_or_else(|| "-".to_owned(), |groups| printable(&groups)),
        list("permissions").map_or_else(|| "all".to_owned(), |names| printable(&names)),
        proof,
    ]
}

/// Escapes control characters, lest they reach a terminal: anybody may have written the file.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect::<Vec<_>>()
            } else {
                vec![c]
            }
        })
        .collect()
}
