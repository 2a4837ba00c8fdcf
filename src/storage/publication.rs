//! The file that a backend is given to publish, and the conditions of that.

use std::{any::Any, os::fd::OwnedFd, sync::Arc};

use aws_lc_rs::digest;
use rustix::fs::AtFlags;

use super::error::{Error, Result};
use crate::{gate::upload::Approval, types::BoxFuture};

/// A digest of what tells a version of what lies at a path from any other: of a local file its device,
/// inode, size and times, of an object its tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity(u128);

impl Identity {
    /// Of all that tells it apart.
    #[must_use]
    pub fn of(facts: &[u8]) -> Self {
        let digest = digest::digest(&digest::SHA256, facts);
        let half = digest.as_ref().first_chunk().copied();
        Self(u128::from_be_bytes(half.unwrap_or_default()))
    }

    /// As it is kept.
    #[must_use]
    pub fn number(self) -> u128 {
        self.0
    }
}

impl From<u128> for Identity {
    fn from(number: u128) -> Self {
        Self(number)
    }
}

/// A whole file in the spool. A backend of the same file system renames it, any other
/// one reads it and then removes it.
pub struct SpoolFile {
    /// The directory that it lies in.
    pub directory: Arc<OwnedFd>,
    /// Its name there.
    pub name: String,
    /// The file, open for reading and writing.
    pub handle: Arc<OwnedFd>,
    /// Its length.
    pub length: u64,
    /// Its mode, where that is known.
    pub mode: Option<u32>,
    /// Whether files of the directory have security labels.
    pub labelled: bool,
}

impl SpoolFile {
    /// Removes it, once a backend has read it.
    pub fn remove(&self) {
        // The next start of the server removes what cannot be removed now.
        let _ = rustix::fs::unlinkat(&*self.directory, &*self.name, AtFlags::empty());
    }
}

/// A file that the gate has approved of, on its way from the spool to its place.
pub struct Publication {
    /// The file.
    pub file: SpoolFile,
    /// Whether it may take the place of another file.
    pub replace: bool,
    /// Whether another file is expected there.
    pub replaces: bool,
    /// The identity of what must still lie there.
    pub over: Option<Identity>,
    /// Asked for room before the name changes.
    pub admission: Box<dyn Admission>,
    /// The part that the backend has sent of it already, where it does so.
    pub sending: Option<Box<dyn Sending>>,
    /// Whether the file that it replaces may be left in the spool in its place, see [`Replaced`].
    pub leaves: bool,
    // Not for everybody to fill in: it is the gate's.
    sha256: Option<String>,
}

impl Publication {
    /// To a place where nothing has to lie.
    #[must_use]
    pub fn new(approval: &Approval, file: SpoolFile, admission: Box<dyn Admission>) -> Self {
        Self {
            file,
            replace: false,
            replaces: false,
            over: None,
            admission,
            sending: None,
            leaves: false,
            sha256: approval.sha256().map(str::to_owned),
        }
    }

    /// Its SHA-256 digest, lower-case hexadecimal, to be recorded with it.
    #[must_use]
    pub fn sha256(&self) -> Option<&str> {
        self.sha256.as_deref()
    }
}

/// An upload that a backend takes over while it comes, of which nobody sees anything before it is published.
/// Dropped, it is forgotten there.
pub trait Sending: Any + Send + Sync {
    /// Its first bytes, so many, are in the spool and will not change. Does not wait.
    ///
    /// # Errors
    /// [`Error::NoSpace`] where the backend takes none of that length.
    fn staged(&mut self, length: u64) -> Result<()>;

    /// Keeps so many bytes where any server of the storage finds them, by a [`Keeper`](super::Keeper). None where
    /// the backend has no such place.
    fn keep(self: Box<Self>, _length: u64) -> Option<BoxFuture<'static, Result<()>>> {
        None
    }
}

/// Where the file is whose place another one has taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Replaced {
    /// It is gone, or there was none.
    Gone,
    /// It lies in the spool, under the name that the other one had there, and is the server's alone: nobody
    /// else has it open, or may open it.
    Left {
        /// Its length.
        length: u64,
    },
}

/// Counts what is published towards what the account may have.
pub trait Admission: Send {
    /// Takes room for the file in the place of one of `replaced` bytes, if one is there. Others that publish
    /// at the same time find it taken. Asked again where another file has come to lie there meanwhile.
    ///
    /// # Errors
    /// [`Error::Quota`], [`Error::QuotaFiles`].
    fn admit(&mut self, replaced: Option<u64>) -> Result<()>;
    /// The file is there. Dropped before, it gives the room back.
    fn published(&mut self);
}

/// Why a publication did not succeed.
#[derive(Debug)]
pub enum Unpublished {
    /// It is not there. It can be published again, or kept.
    Refused(Error),
    /// It is not there, and what is in the spool may be incomplete.
    Lost(Error),
    /// It is there, but perhaps not after a power failure, or with a part left beside it.
    Unconfirmed(Error),
}

impl From<Error> for Unpublished {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}
