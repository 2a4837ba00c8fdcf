//! Accounts as case files write them.

use std::{
    collections::BTreeMap,
    time::{Duration, UNIX_EPOCH},
};

use serde::Deserialize;

use crate::{
    ftp::path::VirtualPath,
    gate::{Account, Permissions},
};

/// The contract's names.
const PERMISSIONS: [(&str, Permissions); 10] = [
    ("list", Permissions::LIST),
    ("download", Permissions::DOWNLOAD),
    ("upload", Permissions::UPLOAD),
    ("overwrite", Permissions::OVERWRITE),
    ("append", Permissions::APPEND),
    ("delete", Permissions::DELETE),
    ("rename", Permissions::RENAME),
    ("make-directory", Permissions::MAKE_DIRECTORY),
    ("remove-directory", Permissions::REMOVE_DIRECTORY),
    ("change-metadata", Permissions::CHANGE_METADATA),
];

/// The expected facts of an account; a fact that is left out is its default, or is not compared.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AccountFacts {
    home: Option<String>,
    storage: Option<String>,
    permissions: Option<Vec<String>>,
    groups: Option<Vec<String>>,
    attributes: BTreeMap<String, String>,
    max_sessions: Option<u32>,
    idle_timeout: Option<u64>,
    upload_rate: Option<u64>,
    download_rate: Option<u64>,
    max_upload_size: Option<u64>,
    quota: Option<u64>,
    quota_files: Option<u64>,
    /// Seconds since 1970.
    expires: Option<u64>,
    greeting: Option<String>,
}

impl AccountFacts {
    /// The account itself.
    ///
    /// # Errors
    /// The key that is wrong, and why.
    pub(super) fn account(&self) -> Result<Account, (&'static str, String)> {
        let home = self.home.as_deref().unwrap_or("/");
        let home = VirtualPath::parse(home, &VirtualPath::root())
            .map_err(|error| ("home", error.to_string()))?;
        Ok(Account {
            storage: self.storage.clone(),
            permissions: match &self.permissions {
                Some(names) => permissions(names).map_err(|text| ("permissions", text))?,
                None => Permissions::ALL,
            },
            groups: self.groups.clone().unwrap_or_default(),
            attributes: self.attributes.clone(),
            max_sessions: self.max_sessions,
            idle_timeout: self.idle_timeout.map(Duration::from_secs),
            upload_rate: self.upload_rate,
            download_rate: self.download_rate,
            max_upload_size: self.max_upload_size,
            quota: self.quota,
            quota_files: self.quota_files,
            expires: self
                .expires
                .and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds))),
            greeting: self.greeting.clone(),
            ..Account::new(home)
        })
    }

    /// The differences between the account and these facts, a line each.
    pub(super) fn compare(&self, found: &Account) -> Vec<String> {
        let mut differences = Vec::new();
        let mut compare = |key: &str, expected: Option<String>, found: Option<String>| {
            if expected.is_some() && expected != found {
                let [expected, found] =
                    [expected, found].map(|text| text.unwrap_or_else(|| "none".into()));
                differences.push(format!("account.{key}: expected {expected}, found {found}"));
            }
        };
        let text = |text: &String| format!("{text:?}");
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        compare(
            "home",
            self.home.as_ref().map(text),
            Some(format!("{:?}", found.home.as_str())),
        );
        compare(
            "storage",
            self.storage.as_ref().map(text),
            found.storage.as_ref().map(text),
        );
        let names = |names: Vec<&str>| {
            let mut names = names;
            names.sort_unstable();
            Some(names.join(", "))
        };
        let expected = self.permissions.as_ref();
        compare(
            "permissions",
            expected.and_then(|list| names(list.iter().map(String::as_str).collect())),
            names(granted(found.permissions)),
        );
        compare(
            "groups",
            self.groups.as_ref().map(|groups| format!("{groups:?}")),
            Some(format!("{:?}", found.groups)),
        );
        for (name, value) in &self.attributes {
            let key = format!("attributes.{name}");
            compare(
                &key,
                Some(text(value)),
                found.attributes.get(name).map(text),
            );
        }
        for (key, expected, found) in [
            (
                "max-sessions",
                self.max_sessions.map(u64::from),
                found.max_sessions.map(u64::from),
            ),
            (
                "idle-timeout",
                self.idle_timeout,
                found.idle_timeout.map(|timeout| timeout.as_secs()),
            ),
            ("upload-rate", self.upload_rate, found.upload_rate),
            ("download-rate", self.download_rate, found.download_rate),
            (
                "max-upload-size",
                self.max_upload_size,
                found.max_upload_size,
            ),
            ("quota", self.quota, found.quota),
            ("quota-files", self.quota_files, found.quota_files),
            ("expires", self.expires, found.expires_at()),
        ] {
            compare(key, number(expected), number(found));
        }
        compare(
            "greeting",
            self.greeting.as_ref().map(text),
            found.greeting.as_ref().map(text),
        );
        differences
    }
}

fn permissions(names: &[String]) -> Result<Permissions, String> {
    names.iter().try_fold(Permissions::NONE, |all, name| {
        let known = PERMISSIONS.iter().find(|(known, _)| known == name);
        let (_, permission) = known.ok_or_else(|| {
            let known = PERMISSIONS.map(|(known, _)| known).join(", ");
            format!("there is no permission {name:?}; there are {known}")
        })?;
        Ok(all | *permission)
    })
}

/// The names of what is in the set.
#[must_use]
pub fn granted(permissions: Permissions) -> Vec<&'static str> {
    let granted = PERMISSIONS
        .iter()
        .filter(|(_, permission)| permissions.contains(*permission));
    granted.map(|(name, _)| *name).collect()
}
