//! The user that logged in, and the most that they may do.

use std::{
    collections::BTreeMap,
    ops::BitOr,
    time::{Duration, SystemTime},
};

use crate::ftp::path::VirtualPath;

/// A logged-in user, as the accepting authentication plugin described it.
///
/// The server's configuration decides where a field is `None`.
#[derive(Clone, Debug)]
pub struct Account {
    /// The directory within the storage that the user sees as "/".
    pub home: VirtualPath,
    /// A storage by its name in the configuration; `None` takes the first.
    pub storage: Option<String>,
    /// The most the user may do anywhere.
    pub permissions: Permissions,
    /// Names of groups, for the plugins.
    pub groups: Vec<String>,
    /// Facts for the plugins, opaque to the server.
    pub attributes: BTreeMap<String, String>,
    /// Sessions of this user at a time.
    pub max_sessions: Option<u32>,
    /// How long a session may be silent.
    pub idle_timeout: Option<Duration>,
    /// Bytes a second, all sessions of the user together.
    pub upload_rate: Option<u64>,
    /// Bytes a second, all sessions of the user together.
    pub download_rate: Option<u64>,
    /// Bytes of one upload.
    pub max_upload_size: Option<u64>,
    /// Bytes of all files beneath the home.
    pub quota: Option<u64>,
    /// Files beneath the home, directories not counted.
    pub quota_files: Option<u64>,
    /// When it ends, and with it its sessions.
    pub expires: Option<SystemTime>,
    /// A line for the client with reply 230.
    pub greeting: Option<String>,
}

impl Account {
    /// An account that may do everything beneath `home`.
    #[must_use]
    pub fn new(home: VirtualPath) -> Self {
        Self {
            home,
            storage: None,
            permissions: Permissions::ALL,
            groups: Vec::new(),
            attributes: BTreeMap::new(),
            max_sessions: None,
            idle_timeout: None,
            upload_rate: None,
            download_rate: None,
            max_upload_size: None,
            quota: None,
            quota_files: None,
            expires: None,
            greeting: None,
        }
    }

    /// Whether it has come to its end.
    #[must_use]
    pub fn has_expired(&self) -> bool {
        self.expires.is_some_and(|end| end <= SystemTime::now())
    }

    /// The seconds since 1970 at which it ends.
    #[must_use]
    pub fn expires_at(&self) -> Option<u64> {
        let since = self.expires?.duration_since(SystemTime::UNIX_EPOCH);
        Some(since.unwrap_or_default().as_secs())
    }
}

/// A set of the operations that an account may do; the contract's `permissions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions(u16);

impl Permissions {
    /// Nothing at all.
    pub const NONE: Self = Self(0);
    /// LIST, NLST, MLSD, CWD and what tells facts.
    pub const LIST: Self = Self(1 << 0);
    /// RETR, HASH.
    pub const DOWNLOAD: Self = Self(1 << 1);
    /// STOR and STOU of new files.
    pub const UPLOAD: Self = Self(1 << 2);
    /// STOR over an existing file, REST + STOR.
    pub const OVERWRITE: Self = Self(1 << 3);
    /// APPE to an existing file.
    pub const APPEND: Self = Self(1 << 4);
    /// DELE.
    pub const DELETE: Self = Self(1 << 5);
    /// RNFR, RNTO.
    pub const RENAME: Self = Self(1 << 6);
    /// MKD.
    pub const MAKE_DIRECTORY: Self = Self(1 << 7);
    /// RMD.
    pub const REMOVE_DIRECTORY: Self = Self(1 << 8);
    /// MFMT, SITE CHMOD, SITE UTIME.
    pub const CHANGE_METADATA: Self = Self(1 << 9);
    /// All of them.
    pub const ALL: Self = Self((1 << 10) - 1);

    /// Whether all of `other` is in this set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl Permissions {
    /// Whether any of `other` is in this set.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Permissions {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
