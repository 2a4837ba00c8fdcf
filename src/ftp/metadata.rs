//! The facts that storage tells about a file, and listings show of it.

use std::time::{SystemTime, UNIX_EPOCH};

/// The kind of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link that is not followed.
    Link,
    /// A device, a pipe, a socket.
    Other,
}

/// The facts of a file or directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Metadata {
    /// Its kind.
    pub kind: Kind,
    /// Its length in bytes.
    pub size: u64,
    /// When its content last changed.
    pub modified: SystemTime,
    /// The permission bits, `0o7777` at most.
    pub mode: u32,
    /// How many names it has.
    pub links: u64,
    /// The number of its owner.
    pub owner: u32,
    /// The number of its group.
    pub group: u32,
    /// The device and the inode, which together name it for good.
    pub unique: (u64, u64),
    /// The broken upload that waits to be resumed under this name, if its owner asks.
    pub partial: Option<Partial>,
}

/// A broken upload that waits to be resumed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Partial {
    /// Bytes that have arrived.
    pub size: u64,
    /// When the last of them did.
    pub modified: SystemTime,
}

impl Metadata {
    /// For listings that show no other fact.
    #[must_use]
    pub fn of_kind(kind: Kind) -> Self {
        Self {
            kind,
            size: 0,
            modified: UNIX_EPOCH,
            mode: 0,
            links: 0,
            owner: 0,
            group: 0,
            unique: (0, 0),
            partial: None,
        }
    }

    /// Whether this is told of a broken upload rather than of what is there.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        let Self { size, modified, .. } = *self;
        self.partial == Some(Partial { size, modified })
    }

    /// As somebody is told who may not download what is there: of the broken upload, if one waits.
    #[must_use]
    pub fn or_partial(self) -> Self {
        match self.partial {
            Some(Partial { size, modified }) => Self {
                size,
                modified,
                ..self
            },
            None => self,
        }
    }
}

/// A name in a directory, and what it stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The name, without a path.
    pub name: String,
    /// The facts of the entry.
    pub metadata: Metadata,
}
