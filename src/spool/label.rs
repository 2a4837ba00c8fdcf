//! The owner of a broken upload and the path where it was to be seen, kept beside it.

use std::{
    io::{Read, Write},
    os::fd::AsFd,
};

use rustix::fs::{Mode, OFlags, openat};
use serde::{Deserialize, Serialize};

use super::key::Key;
use crate::{
    storage::Result,
    types::{HostId, UserId},
};

/// The most bytes of a label: a path, a name, and what stands around them.
const LONGEST: u64 = 64 << 10;

/// The owner of an upload, and the path where it was to be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Label {
    pub(super) owner: String,
    #[serde(default, skip_serializing_if = "HostId::is_unnamed")]
    pub(super) host: HostId,
    /// From the storage's root on.
    pub(super) path: String,
}

impl Label {
    pub(super) fn new(owner: &UserId, home: &str, path: &str) -> Self {
        Self {
            owner: owner.name.to_string(),
            host: owner.host.clone(),
            path: format!("{home}{path}"),
        }
    }

    /// The owner.
    pub(super) fn user(&self) -> UserId {
        UserId {
            host: self.host.clone(),
            name: self.owner.as_str().into(),
        }
    }

    /// Whether it is this user's.
    pub(super) fn is_of(&self, user: &UserId) -> bool {
        self.owner == *user.name && self.host == user.host
    }

    /// The key by which its upload is found again.
    pub(super) fn key(&self, storage: &str) -> Key {
        Key::new(storage, &self.user(), "", &self.path)
    }

    /// Its name, if it lies right in `directory`, which has no slash at its end.
    pub(super) fn name_in(&self, directory: &str) -> Option<&str> {
        let name = self.path.strip_prefix(directory)?.strip_prefix('/')?;
        (!name.contains('/')).then_some(name)
    }

    /// Writes it. One that is torn by a crash is as good as none.
    pub(super) fn write(&self, staging: impl AsFd, name: &str) -> Result<()> {
        let text = serde_json::to_vec(self).map_err(std::io::Error::other)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(0o600);
        let file = openat(staging, name, flags | OFlags::CLOEXEC, mode)?;
        Ok(std::fs::File::from(file).write_all(&text)?)
    }

    /// Reads the label of the upload `key`, if there is one that is its.
    pub(super) fn read(staging: impl AsFd, name: &str, storage: &str, key: Key) -> Option<Self> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(staging, name, flags, Mode::empty()).ok()?;
        let mut text = Vec::new();
        let file = std::fs::File::from(file);
        file.take(LONGEST).read_to_end(&mut text).ok()?;
        let label: Self = serde_json::from_slice(&text).ok()?;
        (label.key(storage) == key).then_some(label)
    }
}
