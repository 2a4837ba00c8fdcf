//! Where published files live.
//!
//! A [`Backend`] keeps the files of one storage; a [`Home`] is what it keeps beneath one directory, and
//! nothing leads out of that. Nothing but a [`VirtualPath`] names a file. An upload arrives elsewhere,
//! in the `spool`, and becomes visible by [`Home::publish`] alone.

mod error;
pub mod local;
#[doc(hidden)]
pub mod memory;
pub mod object;
pub(crate) mod posix;
mod publication;
#[cfg(test)]
mod tests;

use std::{
    any::Any,
    io,
    os::fd::{BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

pub use self::{
    error::{Error, OpenError, Result},
    publication::{Admission, Identity, Publication, Replaced, Sending, SpoolFile, Unpublished},
};
use crate::{
    config,
    ftp::{
        metadata::{Entry, Kind, Metadata},
        path::VirtualPath,
    },
    types::BoxFuture,
};

/// The capabilities of a backend beyond keeping files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether anything can be changed.
    pub writable: bool,
    /// Whether files have modes that can be set.
    pub modes: bool,
    /// Whether times can be set.
    pub times: bool,
    /// Whether it is known how much can still be stored.
    pub free_space: bool,
}

/// An engine that keeps the published files of one storage.
pub trait Backend: Send + Sync {
    /// Its capabilities.
    fn capabilities(&self) -> Capabilities;
    /// Whether servers on other machines may have the same files at the same place.
    fn is_shared(&self) -> bool {
        false
    }

    /// For people: where the files are.
    fn location(&self) -> &Path;
    /// The same files with other settings. `surviving` are the bits of a mode that new files of this
    /// process keep.
    fn configured(&self, config: &config::Storage, surviving: u32) -> Arc<dyn Backend>;
    /// The files beneath a directory that is there.
    fn home<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Arc<dyn Home>>>;
    /// Makes a directory, and those above it that are not there.
    fn make_home<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<()>>;

    /// Whether a directory of this machine, links resolved, and the files lie within one another.
    fn overlaps(&self, _directory: &Path) -> bool {
        false
    }

    /// Whether uploads can be published from a directory, as far as its path shows.
    ///
    /// # Errors
    /// When it cannot be looked at.
    fn may_take_from(&self, _directory: &Path) -> io::Result<bool> {
        Ok(true)
    }

    /// Takes over a file, to try whether that can be done, and removes it.
    ///
    /// # Errors
    /// When it fails for a reason that no other directory would mend.
    fn try_to_take(&self, directory: BorrowedFd<'_>, name: &str) -> io::Result<bool> {
        rustix::fs::unlinkat(directory, name, rustix::fs::AtFlags::empty())?;
        Ok(true)
    }

    /// Keeps broken uploads where every server of the storage finds them, if it is to.
    fn keeper(&self) -> Option<Arc<dyn Keeper>> {
        None
    }

    /// Forgets what uploads that nobody goes on with have left in the engine, of so long ago or longer; says how
    /// many. Any server of those that share the storage may do so.
    fn expire(&self, _age: Duration) -> BoxFuture<'_, Result<usize>> {
        Box::pin(async { Ok(0) })
    }

    /// A directory for uploads to wait in where the state directory does not do.
    fn place_beside(&self) -> Option<PathBuf> {
        None
    }
}

/// Keeps broken uploads where every server of a storage finds them. They are named by the spool.
pub trait Keeper: Send + Sync {
    /// The one of a name.
    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Left>>>;
    /// Writes what is there of one into a file. There may be more than its length.
    fn fetch<'a>(&'a self, left: &'a Left, into: Arc<OwnedFd>) -> BoxFuture<'a, Result<()>>;
    /// Removes the one of a name.
    fn forget<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<()>>;
}

/// A broken upload that a [`Keeper`] has.
#[derive(Clone)]
pub struct Left {
    /// The note of the spool that began it.
    pub note: String,
    /// Bytes of it that can be gone on from.
    pub length: u64,
    /// When the last of them came.
    pub modified: SystemTime,
    /// Facts that the keeper knows of it.
    pub state: Arc<dyn Any + Send + Sync>,
}

/// An upload that begins, or goes on, as a [`Keeper`] is to know it.
pub struct Noted {
    /// Its name, which is that of no other one of the storage.
    pub name: String,
    /// Facts that the spool wants to know again.
    pub note: String,
    /// The broken one that it goes on from.
    pub left: Option<Left>,
    /// Bytes that it goes on from.
    pub length: u64,
}

/// The files beneath one directory of a backend.
pub trait Home: Send + Sync {
    /// Facts of what is there, links followed as long as they stay within the home. A link that leads
    /// nowhere is told as itself, without its target.
    fn stat<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Metadata>>;
    /// A directory's entries, in no order, without "." and "..".
    fn list<'a>(
        &'a self,
        path: &'a VirtualPath,
        wanted: Wanted,
    ) -> BoxFuture<'a, Result<Box<dyn Listing>>>;
    /// Opens a regular file.
    fn open<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Box<dyn Content>>>;
    /// The file over which an upload to `path` would begin. At the end of a link it is what that leads
    /// to, within the home.
    fn find<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Found>>;
    /// Takes over an upload to `path` while it comes to be in a file of the spool, where the backend gains by
    /// that. It reads what it is told to be there.
    fn begin(
        &self,
        _path: &VirtualPath,
        _file: &Arc<OwnedFd>,
        _noted: &Noted,
    ) -> Option<Box<dyn Sending>> {
        None
    }
    /// Takes a file over from the spool: it becomes visible at `path`, whole, durable as configured. A
    /// file there is replaced in the same instant, if the publication says so, else that is
    /// [`Error::Exists`].
    fn publish<'a>(
        &'a self,
        path: &'a VirtualPath,
        publication: Publication,
    ) -> BoxFuture<'a, std::result::Result<Replaced, Unpublished>>;
    /// Removes a file, and says how much that was, which is nothing for a link. Of a link, whatever it leads to, the link is removed.
    fn remove_file<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Amount>>;
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
    /// All files in it, counted now.
    fn usage(&self) -> BoxFuture<'_, Result<Amount>>;
    /// Bytes that can still be stored.
    fn available<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<u64>>;
}

/// How much lies somewhere; directories and links are nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Bytes of files.
    pub bytes: u64,
    /// Files.
    pub files: u64,
}

impl Amount {
    /// One file of so many bytes.
    #[must_use]
    pub fn file(bytes: u64) -> Self {
        Self { bytes, files: 1 }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            files: self.files.saturating_add(other.files),
        }
    }

    /// This without that; never less than nothing.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            files: self.files.saturating_sub(other.files),
        }
    }
}

/// The entry at a path, or that there is none.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Tells it from anything else that lies there at another time.
    pub identity: Identity,
    /// The kind and the length of the entry; None where there is none.
    pub entry: Option<(Kind, u64)>,
}

impl Found {
    /// The length of the regular file there, if one is.
    ///
    /// # Errors
    /// When something else is.
    pub fn file(&self) -> Result<Option<u64>> {
        regular_file(self.entry)
    }
}

/// The length of the regular file that an entry is.
fn regular_file(entry: Option<(Kind, u64)>) -> Result<Option<u64>> {
    match entry {
        None => Ok(None),
        Some((Kind::File, size)) => Ok(Some(size)),
        Some((Kind::Directory, _)) => Err(Error::IsDirectory),
        Some((Kind::Other, _)) => Err(Error::NotRegular),
        // It has taken the place of what was there a moment ago.
        Some((Kind::Link, _)) => Err(Error::Busy),
    }
}

/// The facts of a listing's entries that are of use to whoever lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The kinds: a backend that knows these sooner than the rest may leave the rest out, as
    /// [`Metadata::of_kind`] does.
    Kinds,
    /// All of them.
    Facts,
}

/// A directory that is being read.
pub trait Listing: Send {
    /// The next entries, at most some thousand; `None` at the end. Entries whose names no path can have,
    /// or that vanish while they are looked at, are left out.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<Entry>>>>;
}

/// The content of a file that is being read. It stays the old one when the name is given to a new file.
pub trait Content: Send + Sync {
    /// Facts of the open file.
    fn metadata(&self) -> &Metadata;
    /// Its SHA-256 digest, lower-case hexadecimal, if one was recorded when it was uploaded and
    /// size and time are still those.
    fn sha256(&self) -> Option<String>;
    /// Reads without waiting: `None` when that is not possible, 0 at the end.
    ///
    /// # Errors
    /// Those of the backend.
    fn try_read_at(&self, buffer: &mut [u8], offset: u64) -> Result<Option<usize>>;
    /// Reads, waiting if need be; the buffer travels there and back. 0 at the end.
    fn read_at(&self, buffer: Vec<u8>, offset: u64) -> BoxFuture<'_, Result<(Vec<u8>, usize)>>;
    /// The file itself, where it is one of this machine: the kernel copies it then.
    fn as_file(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
