//! Where files live.
//!
//! A [`Storage`] is named in the configuration; a [`Tree`] is what one account sees of it, rooted
//! in its home. Nothing but a [`VirtualPath`] names a file. Uploads go to a [`Part`] that no client
//! can see, and become visible by [`Part::publish`] alone.

pub mod local;

use std::{io::IoSlice, sync::Arc, time::SystemTime};

use bytes::Bytes;

use crate::{
    ftp::{
        metadata::{Entry, Metadata},
        path::VirtualPath,
    },
    open_files,
    types::{BoxFuture, HostId, Staged, UploadMode, UserId},
};

/// A result of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation on a storage failed. What the client hears is decided in `session`.
#[derive(Debug)]
pub enum Error {
    /// There is no such file or directory, or it lies outside of the tree.
    NotFound,
    /// The server may not.
    Denied,
    /// Something of that name is there already.
    Exists,
    /// The directory has entries.
    NotEmpty,
    /// A directory where a file was expected.
    IsDirectory,
    /// A file where a directory was expected.
    NotDirectory,
    /// Neither file nor directory: a device, a socket, a pipe.
    NotRegular,
    /// A symbolic link whose target is not there, lies outside of the tree, or is the link itself.
    DanglingLink,
    /// The directory has no entries but such whose names cannot be shown, or these as well.
    NotShown {
        /// How many.
        count: u64,
    },
    /// The name stands for one that cannot be shown, and can be given to nothing new.
    Reserved,
    /// The disk, or the file system's own quota, is full.
    NoSpace,
    /// The account's quota is exceeded.
    Quota,
    /// The storage is mounted read-only.
    ReadOnly,
    /// A rename across file systems.
    CrossDevice,
    /// The name is longer than the storage takes.
    NameTooLong,
    /// Another transfer works on it.
    Busy,
    /// The file that an upload goes on from is not there any more as it was.
    Changed,
    /// There is not as much to resume from as the client says.
    Offset {
        /// What is there.
        available: u64,
    },
    /// To be added to what is published, while a broken upload waits in its place.
    PartialWaits {
        /// Bytes of the broken upload.
        length: u64,
    },
    /// This storage cannot do that.
    Unsupported,
    /// The process, or the system, has as many files open as it may.
    OpenFiles,
    /// Anything else.
    Io(std::io::Error),
}

impl std::convert::From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        match open_files::is_exhausted(&error) {
            true => Self::OpenFiles,
            false => Self::Io(error),
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::NotFound => "No such file or directory",
            Self::Denied => "Permission denied",
            Self::Exists => "The file exists already",
            Self::NotEmpty => "The directory is not empty",
            Self::IsDirectory => "It is a directory",
            Self::NotDirectory => "It is not a directory",
            Self::NotRegular => "It is not a regular file",
            Self::DanglingLink => "It is a link that leads nowhere",
            Self::NotShown { count: 1 } => {
                "The directory is not empty: it holds an entry whose name cannot be shown"
            }
            Self::NotShown { count } => {
                return write!(
                    formatter,
                    "The directory is not empty: it holds {count} entries whose names cannot be shown"
                );
            }
            Self::Reserved => "Names that begin so stand for names that cannot be shown",
            Self::NoSpace => "No space left",
            Self::Quota => "The quota is exceeded",
            Self::ReadOnly => "The file system is read-only",
            Self::CrossDevice => "A rename cannot cross file systems",
            Self::NameTooLong => "The name is too long",
            Self::Busy => "Another transfer is writing to it",
            Self::Changed => "The file has changed since the upload began, and stays as it is",
            Self::Offset { available } => {
                return write!(formatter, "There are {available} bytes to restart from");
            }
            Self::PartialWaits { length } => {
                return write!(
                    formatter,
                    "A broken upload of {length} bytes waits here: go on with it by REST {length} \
                     and STOR, or begin anew by STOR"
                );
            }
            Self::Unsupported => "This storage cannot do that",
            Self::OpenFiles => open_files::TEXT,
            Self::Io(error) => return error.fmt(formatter),
        })
    }
}

impl std::error::Error for Error {}

/// A named place for files.
pub trait Storage: Send + Sync {
    /// What an account sees of it: `home` is its "/". Made if it is not there and the configuration
    /// says so. `owner` keys broken uploads, so that only the one who sent them can resume.
    fn open<'a>(
        &'a self,
        home: &'a VirtualPath,
        owner: &'a UserId,
    ) -> BoxFuture<'a, Result<Arc<dyn Tree>>>;
    /// Broken uploads that wait to be resumed, the newest first.
    fn waiting(&self) -> Vec<Waiting>;
    /// Uploads that were put into quarantine, the oldest first.
    fn quarantined(&self) -> BoxFuture<'_, Result<Vec<QuarantinedUpload>>>;
    /// Publishes an upload from quarantine, as if it had been accepted now. A file that has come to
    /// be under its name since is [`Error::Exists`], unless `replace`; an upload that is not whole is
    /// [`Error::Unsupported`].
    fn release<'a>(
        &'a self,
        id: &'a str,
        replace: bool,
    ) -> BoxFuture<'a, Result<QuarantinedUpload>>;
    /// Removes an upload from quarantine for good.
    fn discard<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<QuarantinedUpload>>;
}

/// A broken upload that waits to be resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Whose it is, and where it was to be seen, from the storage's root on. A small one that was
    /// broken off by the server's own end has lost this, and is resumed by its owner all the same.
    pub label: Option<(UserId, String)>,
    /// Bytes that have arrived.
    pub size: u64,
    /// When the last of them did.
    pub modified: SystemTime,
}

/// What a person should know who looks at an upload in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct QuarantineInfo {
    /// Who sent it.
    pub user: String,
    /// The host that the user had logged in to.
    #[serde(default, skip_serializing_if = "HostId::is_unnamed")]
    pub host: HostId,
    /// Where it was to be seen, in the user's tree.
    pub path: String,
    /// Whether it was to create, overwrite or append to a file.
    pub mode: UploadMode,
    /// The client's address and port.
    pub client: String,
    /// The session, as logs name it.
    pub session: String,
    /// Which plugin put it there.
    pub plugin: String,
    /// Why.
    pub reason: String,
    /// Whether all of it is there: a verdict before the last byte ends an upload at once.
    pub whole: bool,
    /// Its SHA-256 digest, lower-case hexadecimal.
    pub sha256: Option<String>,
}

/// An upload in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct QuarantinedUpload {
    /// Its name in quarantine.
    pub id: String,
    /// When it was put there, RFC 3339 in UTC.
    pub time: String,
    /// The storage that it was sent to.
    pub storage: String,
    /// The user's home in that storage.
    pub home: String,
    /// Bytes.
    pub size: u64,
    /// What the session knew of it.
    #[serde(flatten)]
    pub note: QuarantineInfo,
}

/// One account's files.
pub trait Tree: Send + Sync {
    /// Facts of what is there, links followed as long as they stay within the tree. A link that leads
    /// nowhere is told as itself, without its target.
    fn metadata<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Metadata>>;
    /// A directory's entries, in no order, without "." and "..".
    fn list<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Box<dyn Listing>>>;
    /// Opens a regular file.
    fn read<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Box<dyn Source>>>;
    /// Facts of the broken upload to `path` that waits to be resumed by this owner. It belongs to
    /// what lay there when it began: where anything else lies, or nothing any more, there is none.
    fn partial<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Option<Metadata>>>;
    /// Begins an upload to `path`. The directory must be there; a directory at `path` is an error.
    /// At the end of a link it begins where that leads, within the tree.
    fn stage<'a>(
        &'a self,
        path: &'a VirtualPath,
        from: StartAt,
    ) -> BoxFuture<'a, Result<Box<dyn Part>>>;
    /// Removes a file, and what waits to be resumed under its name. Of a link, whatever it leads to,
    /// the link is removed.
    fn remove_file<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<()>>;
    /// Removes an empty directory, or a link that does not lead to a file.
    fn remove_directory<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<()>>;
    /// Makes a directory.
    fn make_directory<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<()>>;
    /// Gives a file, directory or link another name. A file there is replaced, if `replace`.
    fn rename<'a>(
        &'a self,
        from: &'a VirtualPath,
        to: &'a VirtualPath,
        replace: bool,
    ) -> BoxFuture<'a, Result<()>>;
    /// Sets the time of the last change, and of the last access if given.
    fn set_times<'a>(
        &'a self,
        path: &'a VirtualPath,
        modified: SystemTime,
        accessed: Option<SystemTime>,
    ) -> BoxFuture<'a, Result<()>>;
    /// Sets the mode bits, 0o777 at most.
    fn set_mode<'a>(&'a self, path: &'a VirtualPath, mode: u32) -> BoxFuture<'a, Result<()>>;
    /// Bytes of all files in it, and of what waits to be resumed by this owner. Counted now and
    /// then, and from one time to the next by what is published and removed through this server.
    fn usage(&self) -> BoxFuture<'_, Result<u64>>;
    /// Bytes that can still be stored.
    fn available<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<u64>>;
}

/// Where an upload begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// At nothing; what waited to be resumed is forgotten.
    Start,
    /// REST and STOR: at this offset of the broken upload if there is one, else of the file.
    Offset(u64),
    /// APPE: at the end of the file; where there is none, of the broken upload, else at nothing.
    /// [`Error::PartialWaits`] where there are both, unless the one began as an addition to the other.
    End,
}

/// A directory that is being read.
pub trait Listing: Send {
    /// The next entries, at most some thousand; `None` at the end. Entries whose names no path can have,
    /// or that vanish while they are looked at, are left out.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<Entry>>>>;
}

/// A file that is being read. It goes on with the old content when the name is given to a new one.
pub trait Source: Send + Sync {
    /// Facts of the open file.
    fn metadata(&self) -> &Metadata;
    /// Its SHA-256 digest, lower-case hexadecimal, if one was recorded when it was uploaded and
    /// size and time are still those.
    fn sha256(&self) -> Option<String>;
    /// Reads without waiting: `None` when that is not possible, 0 at the end.
    ///
    /// # Errors
    /// Those of the storage.
    fn try_read_at(&self, buffer: &mut [u8], offset: u64) -> Result<Option<usize>>;
    /// Reads, waiting if need be; the buffer travels there and back. 0 at the end.
    fn read_at(&self, buffer: Vec<u8>, offset: u64) -> BoxFuture<'_, Result<(Vec<u8>, usize)>>;
}

/// An upload that nobody sees.
///
/// Dropped without [`keep`](Part::keep) or [`publish`](Part::publish), it is removed.
pub trait Part: Send {
    /// Bytes so far, those from an earlier attempt included.
    fn length(&self) -> u64;
    /// To read again what has been staged.
    fn staged(&self) -> Arc<dyn Staged>;
    /// Appends.
    fn write<'a>(&'a mut self, data: &'a mut [IoSlice<'a>]) -> BoxFuture<'a, Result<()>>;
    /// From here on all files of the home, what waits to be resumed and all uploads under way must
    /// not exceed so many bytes: else writing and publishing are [`Error::Quota`]. Room is reserved
    /// before each write. The home's [`usage`](Tree::usage) has been asked for before.
    ///
    /// # Errors
    /// When what is there of the upload exceeds it already.
    fn within(&mut self, quota: u64) -> Result<()>;
    /// Records its SHA-256 digest, for when it is published.
    fn record(&mut self, sha256: &str);
    /// Makes it visible at `path`, whole, durable as configured; a file there is replaced in the
    /// same instant, if `replace`, else that is [`Error::Exists`] and the part can be published
    /// again.
    fn publish<'a>(&'a mut self, path: &'a VirtualPath, replace: bool)
    -> BoxFuture<'a, Result<()>>;
    /// All bytes have come. Should it be kept after all, the last one is dropped: a client that is
    /// told that all is there would send nothing, and what it sent would never be published.
    fn completed(&mut self) -> BoxFuture<'_, Result<()>>;
    /// Leaves it to be resumed by its owner.
    fn keep(self: Box<Self>) -> BoxFuture<'static, Result<()>>;
    /// Moves it where no client sees it, with a note for a person; returns its name there.
    fn quarantine(self: Box<Self>, note: QuarantineInfo) -> BoxFuture<'static, Result<String>>;
}

/// Bytes handed over by reference count.
pub type Piece = Bytes;
