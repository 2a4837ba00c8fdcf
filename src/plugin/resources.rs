//! The types behind the handles in a guest's hands.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use super::{bindings::imports::portcullis::plugin::types, limiter::Excess, output::one_line};
use crate::{
    ftp::path::VirtualPath,
    gate::{self, Permissions, SessionInfo},
};

/// The most groups, and the most attributes, of an account.
const ITEMS: usize = 256;
/// Bytes of a group's or an attribute's name.
const NAME: usize = 256;
/// Bytes of any other text.
const TEXT: usize = 4 << 10;

/// A session, lent: letting go of it has no consequences.
pub struct Session(pub(super) Arc<SessionInfo>);

/// An account.
pub enum Account {
    /// A session's, lent and not to be changed.
    Lent(Arc<gate::Account>),
    /// The guest's own.
    Own(Box<Draft>),
}

/// An account as a plugin writes it, checked when it is accepted.
#[derive(Debug, Default)]
pub struct Draft {
    home: String,
    pub(super) storage: Option<String>,
    pub(super) permissions: Option<types::Permissions>,
    pub(super) groups: Vec<String>,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) max_sessions: Option<u32>,
    pub(super) idle_timeout: Option<u32>,
    pub(super) upload_rate: Option<u64>,
    pub(super) download_rate: Option<u64>,
    pub(super) max_upload_size: Option<u64>,
    pub(super) quota: Option<u64>,
    pub(super) quota_files: Option<u64>,
    pub(super) expires: Option<u64>,
    pub(super) greeting: Option<String>,
}

impl Draft {
    pub(super) fn new(home: String) -> Result<Self, Excess> {
        short("bytes of account.home", &home, TEXT)?;
        Ok(Self {
            home,
            ..Self::default()
        })
    }

    pub(super) fn set_storage(&mut self, name: String) -> Result<(), Excess> {
        short("bytes of account.storage", &name, NAME)?;
        self.storage = Some(name);
        Ok(())
    }

    pub(super) fn set_greeting(&mut self, text: String) -> Result<(), Excess> {
        short("bytes of account.greeting", &text, TEXT)?;
        self.greeting = Some(text);
        Ok(())
    }

    pub(super) fn set_groups(&mut self, groups: Vec<String>) -> Result<(), Excess> {
        if groups.len() > ITEMS {
            return Err(Excess::Kept("groups of an account", ITEMS));
        }
        groups
            .iter()
            .try_for_each(|group| short("bytes of a group's name", group, NAME))?;
        self.groups = groups;
        Ok(())
    }

    pub(super) fn set_attribute(&mut self, name: String, value: String) -> Result<(), Excess> {
        short("bytes of an attribute's name", &name, NAME)?;
        short("bytes of an attribute's value", &value, TEXT)?;
        if self.attributes.len() >= ITEMS && !self.attributes.contains_key(&name) {
            return Err(Excess::Kept("attributes of an account", ITEMS));
        }
        self.attributes.insert(name, value);
        Ok(())
    }

    pub(super) fn home(&self) -> &str {
        &self.home
    }

    /// The account, when it makes sense.
    ///
    /// # Errors
    /// For the log: what does not.
    pub(super) fn finish(self) -> Result<gate::Account, String> {
        if self.home.split('/').any(|name| name == "..") {
            return Err(format!(
                "the account's home {:?} leads out of the storage",
                self.home
            ));
        }
        let home = VirtualPath::parse(&self.home, &VirtualPath::root())
            .map_err(|error| format!("the account's home {:?}: {error}", self.home))?;
        if let Some(name) = &self.storage
            && (name.is_empty() || name.contains(char::is_control))
        {
            return Err(format!("the account's storage {name:?} is no name"));
        }
        Ok(gate::Account {
            storage: self.storage,
            permissions: self.permissions.map_or(Permissions::ALL, from_contract),
            groups: self.groups,
            attributes: self.attributes,
            max_sessions: self.max_sessions,
            idle_timeout: self
                .idle_timeout
                .map(|seconds| Duration::from_secs(seconds.into())),
            upload_rate: self.upload_rate,
            download_rate: self.download_rate,
            max_upload_size: self.max_upload_size,
            quota: self.quota,
            quota_files: self.quota_files,
            expires: self
                .expires
                .and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds))),
            greeting: self.greeting.map(one_line),
            ..gate::Account::new(home)
        })
    }
}

fn short(what: &'static str, text: &str, limit: usize) -> Result<(), Excess> {
    if text.len() > limit {
        Err(Excess::Kept(what, limit))
    } else {
        Ok(())
    }
}

const PERMISSIONS: [(types::Permissions, Permissions); 10] = [
    (types::Permissions::LIST, Permissions::LIST),
    (types::Permissions::DOWNLOAD, Permissions::DOWNLOAD),
    (types::Permissions::UPLOAD, Permissions::UPLOAD),
    (types::Permissions::OVERWRITE, Permissions::OVERWRITE),
    (types::Permissions::APPEND, Permissions::APPEND),
    (types::Permissions::DELETE, Permissions::DELETE),
    (types::Permissions::RENAME, Permissions::RENAME),
    (
        types::Permissions::MAKE_DIRECTORY,
        Permissions::MAKE_DIRECTORY,
    ),
    (
        types::Permissions::REMOVE_DIRECTORY,
        Permissions::REMOVE_DIRECTORY,
    ),
    (
        types::Permissions::CHANGE_METADATA,
        Permissions::CHANGE_METADATA,
    ),
];

fn from_contract(permissions: types::Permissions) -> Permissions {
    PERMISSIONS
        .into_iter()
        .filter(|(theirs, _)| permissions.contains(*theirs))
        .fold(Permissions::NONE, |set, (_, ours)| set | ours)
}

/// A set of permissions in the contract's terms.
pub(super) fn to_contract(permissions: Permissions) -> types::Permissions {
    PERMISSIONS
        .into_iter()
        .filter(|(_, ours)| permissions.contains(*ours))
        .fold(types::Permissions::empty(), |set, (theirs, _)| set | theirs)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn homes_stay_within() {
        for (home, expected) in [
            ("alice", Some("/alice")),
            ("/alice/", Some("/alice")),
            ("/", Some("/")),
            ("/a..b", Some("/a..b")),
            ("", None),
            ("..", None),
            ("/alice/../bob", None),
            ("/a\n", None),
            ("/a\0b", None),
        ] {
            let account = Draft::new(home.into()).unwrap().finish();
            let home = account.ok().map(|account| account.home.to_string());
            assert_eq!(home.as_deref(), expected);
        }
    }

    #[test]
    fn permissions_translate_both_ways() {
        for (theirs, ours) in PERMISSIONS {
            assert_eq!(from_contract(theirs), ours);
            assert_eq!(to_contract(ours), theirs);
        }
        assert_eq!(from_contract(types::Permissions::all()), Permissions::ALL);
    }

    #[test]
    fn accounts_are_bounded() {
        let mut draft = Draft::new("a".into()).unwrap();
        assert!(draft.set_groups(vec![String::new(); 257]).is_err());
        assert!(draft.set_groups(vec!["g".repeat(257)]).is_err());
        for number in 0..256 {
            draft
                .set_attribute(number.to_string(), String::new())
                .unwrap();
        }
        draft.set_attribute("0".into(), "again".into()).unwrap();
        assert!(draft.set_attribute("more".into(), String::new()).is_err());
        draft.set_greeting("hi\r\n".into()).unwrap();
        assert_eq!(draft.finish().unwrap().greeting.as_deref(), Some("hi  "));
    }
}
