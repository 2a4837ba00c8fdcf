//! `[storage.NAME]`, `[uploads]` and `[state]`.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use super::value;
use crate::types::Durability;

/// `[storage.NAME]`
#[derive(Clone, Debug, PartialEq, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Storage {
    /// The directory with the homes of users, relative to the state directory.
    #[serde(with = "value::FilePath")]
    #[default = "files"]
    pub root: PathBuf,
    /// Where uploads wait for their verdict: on the same file system, outside of `root`. Unset, a
    /// place in the state directory, or, on another file system, beside `root`.
    #[serde(with = "value::OptionalPath")]
    pub staging: Option<PathBuf>,
    /// Where uploads are kept that a person has to look at, outside of `root`. Unset, in staging.
    #[serde(with = "value::OptionalPath")]
    pub quarantine: Option<PathBuf>,
    /// Whether a home that is not there is made at the first login.
    #[default(true)]
    pub create_homes: bool,
    /// The data that must be on the disk before 226.
    pub durability: Durability,
    /// Mode of new files, before SITE CHMOD.
    #[serde(with = "value::Mode")]
    #[default(0o644)]
    pub file_mode: u32,
    /// Mode of new directories.
    #[serde(with = "value::Mode")]
    #[default(0o755)]
    pub directory_mode: u32,
    /// How long a broken upload waits to be resumed.
    #[serde(with = "value::Time")]
    #[default(Duration::from_secs(24 * 3600))]
    pub partial_age: Duration,
    /// Bytes of all broken uploads that wait: beyond it the oldest are removed, of the user who has
    /// most. Unset: no user has more than half of the file system, but for the last one. 0: no limit.
    #[serde(with = "value::OptionalSize")]
    pub partial_size: Option<u64>,
    /// How many broken uploads of one user may wait: beyond it the oldest are removed. 0: no limit.
    #[default(1000)]
    pub partial_count: usize,
    /// Whether listings show a user's own broken uploads.
    #[default(PartialListing::Show)]
    pub partial_listing: PartialListing,
    /// Whether entries are shown whose names no path can have.
    #[default(OddNames::Hide)]
    pub odd_names: OddNames,
}

/// The treatment of entries whose names are not UTF-8, or hold control characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OddNames {
    /// They are not there for clients.
    Hide,
    /// Listings show them escaped, and they can be read, renamed and removed by that name.
    Escape,
}

/// Whether listings show broken uploads to the user who sent them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PartialListing {
    /// As files, as long as what has arrived.
    Show,
    /// Not at all; SIZE and MLST tell of them even so.
    Hide,
}

/// `[uploads]`
#[derive(Clone, Copy, Debug, PartialEq, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Uploads {
    /// The digest that is made of every upload.
    #[default(UploadDigest::None)]
    pub digest: UploadDigest,
    /// How long inspectors may take after the last byte, until `verdict-late` says what happens. 0: no
    /// limit but their own `limits.wall-time`.
    #[serde(with = "value::Time")]
    #[default(Duration::from_secs(30))]
    pub verdict_after: Duration,
    /// The fate of an upload whose verdict is late.
    #[default(LateVerdict::Wait)]
    pub verdict_late: LateVerdict,
    /// How often the client is told, by another 150, that it is still waited for. 0: never.
    #[serde(with = "value::Time")]
    pub keep_alive: Duration,
    /// For how long, after an overwrite was cut, the same user at the same address is told of the
    /// broken upload in the place of the file. 0: never.
    #[serde(with = "value::Time")]
    pub resume_overwrites: Duration,
}

/// Which digest is made of every upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UploadDigest {
    /// None, unless a plugin asks for one.
    None,
    /// SHA-256.
    Sha256,
}

/// The fate of an upload whose inspectors take longer than `verdict-after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LateVerdict {
    /// The client waits on; the log says so.
    Wait,
    /// The upload is refused and kept for a person to look at.
    Quarantine,
    /// It is published; a refusal that comes later is told as an event.
    Accept,
}

/// `[state]`
#[derive(Clone, Debug, PartialEq, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct State {
    /// A database in which the state outlives the server, relative to the state directory. Unset, it
    /// is kept in memory.
    #[schemars(extend("x-restart" = true))]
    #[serde(with = "value::OptionalPath")]
    pub file: Option<PathBuf>,
}
