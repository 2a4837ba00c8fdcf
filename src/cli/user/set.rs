//! `portcullis user set`: changes of one user.

use jiff::Zoned;
use serde_json::Value;

use super::{UsersOf, keys::Change, known};
use crate::cli::{Failure, files, output, users_file};

/// Makes all changes to a user's entry, or none.
///
/// # Errors
/// A key or value is wrong, or nobody could log in by the entry that comes of them.
pub(super) fn change(users: &UsersOf, name: &str, pairs: &[String]) -> Result<(), Failure> {
    let now = Zoned::now();
    let mut changes: Vec<Change> = Vec::new();
    for pair in pairs {
        let change = Change::parse(users, pair, &now)?;
        if changes.iter().any(|other| other.key == change.key) {
            return Err(format!("{} is given twice", change.key).into());
        }
        changes.push(change);
    }
    let path = users.file()?;
    known(&path, name)?;
    // A day of the week is a date by now, which the person should see.
    let told: Vec<String> = changes.iter().map(told).collect();
    users_file::edit(&path, |document| {
        for Change { key, value } in changes {
            match key.strip_prefix("attributes.") {
                Some(attribute) => document.set_attribute(name, attribute, value)?,
                None => document.set(name, &key, value)?,
            }
        }
        check_proof(name, document.users()?.get(name))
    })?;
    let (path, told) = (files::short(&path), told.join(", "));
    output::print(&format!("changed {name} in {path}: {told}\n"));
    Ok(())
}

/// A change as it is in the file.
fn told(Change { key, value }: &Change) -> String {
    match value {
        None => format!("{key} is unset"),
        Some(value) => format!("{key} = {}", value.to_string().trim()),
    }
}

/// That there is something to prove the name by.
fn check_proof(name: &str, user: Option<&Value>) -> Result<(), String> {
    let get = |key: &str| user.and_then(|user| user.get(key));
    let switch = |key: &str| get(key).and_then(Value::as_bool).unwrap_or(false);
    let certificates = get("certificates").and_then(Value::as_array);
    let certificates = certificates.is_some_and(|list| !list.is_empty());
    if switch("require-certificate") && !certificates {
        return Err(format!(
            "{name:?} would have require-certificate, and no certificates"
        ));
    }
    if get("password").is_none() && !certificates && !switch("disabled") {
        return Err(format!(
            "{name:?} would have neither a password nor certificates; `portcullis user disable` \
             keeps a user out"
        ));
    }
    Ok(())
}
