//! `[storage.NAME]` and `[uploads]`.

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
    /// The engine that keeps the files.
    #[default(StorageKind::Local)]
    pub kind: StorageKind,
    /// The directory with the homes of users, relative to the state directory; of `local` alone.
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
    /// Bytes of all uploads under way and of all broken ones that wait: the latter give way, the one that does
    /// not fit even so is 452. 0: no limit but the disk's.
    #[serde(with = "value::Size")]
    pub staging_size: u64,
    /// Bytes of all uploads in quarantine: one that does not fit is refused and not kept. 0: no limit.
    #[serde(with = "value::Size")]
    pub quarantine_size: u64,
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
    /// The bucket, of `azure` the container, that keeps the files.
    pub bucket: Option<String>,
    /// The beginning of the keys of all files: "ftp/". Unset, they are the paths themselves.
    pub prefix: Option<String>,
    /// The engine's URL, if it is not that of its inventor: `https://s3.example.org:9000`. http is for a network
    /// that nobody else listens to.
    pub endpoint: Option<String>,
    /// The region of an S3 bucket. Unset, that of `AWS_REGION`, else us-east-1.
    pub region: Option<String>,
    /// Whether an S3 bucket is named in the path of URLs rather than in the host.
    #[default(true)]
    pub path_style: bool,
    /// The account of `azure`. Unset, that of `AZURE_STORAGE_ACCOUNT_NAME`.
    pub account: Option<String>,
    /// A file with the credentials: of `s3` one such as `~/.aws/credentials`, whose profile "default" counts; of
    /// `gcs` a service account's JSON; of `azure` the account's key. Unset: those of the environment, else of
    /// the machine.
    #[serde(with = "value::OptionalPath")]
    pub credentials: Option<PathBuf>,
    /// PEM file of authorities that are trusted besides the system's, where the endpoint is one of https.
    #[serde(with = "value::OptionalPath")]
    pub authorities: Option<PathBuf>,
    /// Bytes of a part: longer uploads are sent to the engine in parts, while they come, three at a time. An
    /// upload has at most 10,000 of them.
    #[serde(with = "value::Size")]
    #[default(8 << 20)]
    pub part_size: u64,
    /// Where a broken upload to a bucket can be resumed.
    #[default(Resume::Node)]
    pub resume: Resume,
}

/// Where a broken upload to a bucket can be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Resume {
    /// At the server that it broke at.
    Node,
    /// At any server that shares the bucket, also when the first is no more: what comes is put into the bucket
    /// twice, once to be read again, and copied within the engine.
    Anywhere,
}

/// The engine that keeps a storage's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StorageKind {
    /// A directory of this machine.
    Local,
    /// A bucket behind Amazon's S3 API, whoever makes the engine.
    S3,
    /// A bucket of Google Cloud Storage.
    Gcs,
    /// A container of Azure Blob Storage.
    Azure,
}

impl Storage {
    /// Where the files of an object storage are, as a URL: "s3://bucket/prefix". None for a local one.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        let scheme = match self.kind {
            StorageKind::Local => return None,
            StorageKind::S3 => "s3",
            StorageKind::Gcs => "gs",
            StorageKind::Azure => "az",
        };
        let bucket = self.bucket.as_deref().unwrap_or_default();
        let prefix = self.prefix.as_deref().unwrap_or_default();
        let url = format!("{scheme}://{bucket}/{}", prefix.trim_matches('/'));
        Some(url.trim_end_matches('/').to_owned())
    }

    /// Whether another one has its files and its uploads under way at the same place, reached in the same way.
    #[must_use]
    pub fn is_at(&self, other: &Self) -> bool {
        let place = |storage: &Self| {
            let Self {
                kind,
                root,
                staging,
                endpoint,
                region,
                path_style,
                account,
                credentials,
                authorities,
                ..
            } = storage.clone();
            let reached = (
                endpoint,
                region,
                path_style,
                account,
                credentials,
                authorities,
            );
            (kind, root, staging, reached)
        };
        place(self) == place(other)
    }
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
