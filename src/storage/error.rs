//! Why something is not done with a file.

use std::fmt;

use crate::open_files;

/// A result of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation on a storage failed. The reply to the client is decided in `session`.
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
    /// No more may be kept on the server's own disk, as this key of the storage says.
    Bound(&'static str),
    /// The account's quota of files is exceeded.
    QuotaFiles,
    /// The account's quota of bytes is exceeded.
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
        /// The bytes that are there.
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

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
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
            Self::NoSpace | Self::Bound(_) => "No space left",
            Self::Quota => "The quota is exceeded",
            Self::QuotaFiles => "The quota of files is exceeded",
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

/// Why a storage cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenError {
    /// The storage's name.
    pub storage: String,
    /// The key in its section.
    pub key: &'static str,
    /// For people: what is wrong, with the path.
    pub text: String,
}

impl OpenError {
    pub(crate) fn new(storage: &str, key: &'static str, text: String) -> Self {
        let storage = storage.to_owned();
        Self { storage, key, text }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { storage, key, text } = self;
        write!(formatter, "storage.{storage}.{key}: {text}")
    }
}

impl std::error::Error for OpenError {}
