//! The rights of users.

use std::collections::BTreeSet;

use toml_edit::{Array, Value};

use crate::cli::user::single_permissions;

/// A set of permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions(BTreeSet<&'static str>);

impl Permissions {
    /// All of them.
    pub fn all() -> Self {
        Self(single_permissions().iter().copied().collect())
    }

    /// Listing and downloading.
    pub fn read() -> Self {
        Self(["list", "download"].into())
    }

    /// None of them.
    pub fn none() -> Self {
        Self(BTreeSet::new())
    }

    /// Gives these.
    pub fn give(&mut self, names: &[&'static str]) {
        self.0.extend(names);
    }

    /// Takes these away.
    pub fn take(&mut self, names: &[&str]) {
        self.0.retain(|name| !names.contains(name));
    }

    /// Those that are not among them.
    pub fn missing(&self) -> Vec<&'static str> {
        let all = single_permissions().iter().copied();
        all.filter(|name| !self.has(name)).collect()
    }

    /// Both together.
    pub fn union(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    /// Whether this one is among them.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// As the users file has it; all of them is the default.
    pub fn value(&self) -> Option<Value> {
        if self.0.len() == single_permissions().len() {
            return None;
        }
        if *self == Self::read() {
            return Some(Array::from_iter(["read"]).into());
        }
        let names = single_permissions()
            .iter()
            .filter(|name| self.0.contains(*name));
        Some(names.copied().collect::<Array>().into())
    }
}

/// The permissions that a command of FTP takes, in capitals; none for those that read no file and
/// change none.
pub fn of_command(command: &str) -> &'static [&'static str] {
    match command {
        "RETR" => &["download"],
        "LIST" | "NLST" | "MLSD" => &["list"],
        "STOR" => &["upload", "overwrite"],
        "STOU" => &["upload"],
        "APPE" => &["append"],
        "DELE" => &["delete"],
        "RNFR" | "RNTO" => &["rename"],
        "MKD" | "XMKD" => &["make-directory"],
        "RMD" | "XRMD" => &["remove-directory"],
        "MFMT" | "MFF" | "SITE" => &["change-metadata"],
        _ => &[],
    }
}
