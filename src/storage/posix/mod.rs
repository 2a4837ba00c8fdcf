//! Calls on files of this machine that the local backend and the spool have in common.

pub(crate) mod alone;
pub(crate) mod attributes;
pub(crate) mod record;
pub(crate) mod writing;

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{
        AtFlags, FileType, Mode, OFlags, RenameFlags, Statx, StatxFlags, linkat, openat,
        renameat_with, statx, unlinkat,
    },
    io::Errno,
    path::Arg,
};

use super::error::{Error, Result};
use crate::ftp::metadata::{Kind, Metadata};

/// From this size on, freeing a file is left to the pool.
pub(crate) const LARGE: u64 = 64 << 20;

/// The fields that [`Metadata`] is made of.
pub(crate) const FACTS: StatxFlags = StatxFlags::TYPE
    .union(StatxFlags::MODE)
    .union(StatxFlags::NLINK)
    .union(StatxFlags::UID)
    .union(StatxFlags::GID)
    .union(StatxFlags::MTIME)
    .union(StatxFlags::INO)
    .union(StatxFlags::SIZE);

/// Runs on a thread that may wait.
pub(crate) async fn pool<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let worked = tokio::task::spawn_blocking(work).await;
    worked.unwrap_or_else(|error| Err(Error::Io(io::Error::other(error))))
}

/// Closes, where that may take long: a big file without a name is freed by it.
pub(crate) fn discard<T: Send + 'static>(file: Option<T>) {
    if let Some(file) = file
        && let Ok(runtime) = tokio::runtime::Handle::try_current()
    {
        drop(runtime.spawn_blocking(move || drop(file)));
    }
}

/// Facts of an open file.
pub(crate) fn facts(file: impl AsFd) -> Result<Statx> {
    Ok(statx(file, c"", AtFlags::EMPTY_PATH, FACTS)?)
}

/// Facts of a name itself, a link not followed.
pub(crate) fn facts_at(directory: impl AsFd, name: &str) -> Result<Statx> {
    facts_on_disk(directory, name.as_bytes())
}

/// As [`facts_at`], of a name that need not be UTF-8.
pub(crate) fn facts_on_disk(directory: impl AsFd, name: &[u8]) -> Result<Statx> {
    Ok(statx(directory, name, AtFlags::SYMLINK_NOFOLLOW, FACTS)?)
}

pub(crate) fn kind(facts: &Statx) -> Kind {
    kind_of(FileType::from_raw_mode(facts.stx_mode.into()))
}

pub(crate) fn kind_of(file_type: FileType) -> Kind {
    match file_type {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Link,
        _ => Kind::Other,
    }
}

pub(crate) fn unique(facts: &Statx) -> (u64, u64) {
    (
        rustix::fs::makedev(facts.stx_dev_major, facts.stx_dev_minor),
        facts.stx_ino,
    )
}

pub(crate) fn describe(facts: &Statx) -> Metadata {
    let seconds = Duration::from_secs(facts.stx_mtime.tv_sec.unsigned_abs());
    let modified = if facts.stx_mtime.tv_sec < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(seconds)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(seconds)
    };
    let nanoseconds = Duration::from_nanos(facts.stx_mtime.tv_nsec.into());
    Metadata {
        kind: kind(facts),
        size: facts.stx_size,
        modified: modified
            .and_then(|time| time.checked_add(nanoseconds))
            .unwrap_or(SystemTime::UNIX_EPOCH),
        mode: u32::from(facts.stx_mode) & 0o7777,
        links: facts.stx_nlink.into(),
        owner: facts.stx_uid,
        group: facts.stx_gid,
        unique: unique(facts),
        partial: None,
    }
}

/// Calls again what a signal interrupted.
pub(crate) fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// A handle of a big file that is about to lose its name: whoever drops it pays for freeing it.
pub(crate) fn hold_large(parent: impl AsFd, name: impl Arg, found: &Statx) -> Option<OwnedFd> {
    if found.stx_size <= LARGE {
        return None;
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty()).ok()
}

/// Renames; without replacing also where the file system has no such call (NFS).
pub(crate) fn rename(
    from: impl AsFd,
    old: impl Arg + Copy,
    to: impl AsFd,
    new: &str,
    flags: RenameFlags,
    kind: Kind,
) -> Result<()> {
    let (from, to) = (from.as_fd(), to.as_fd());
    match renameat_with(from, old, to, new, flags) {
        Err(Errno::INVAL) if flags == RenameFlags::NOREPLACE && kind == Kind::Directory => {
            match facts_at(to, new) {
                // An empty directory that comes into being right now is no loss.
                Err(Error::NotFound) => {
                    Ok(renameat_with(from, old, to, new, RenameFlags::empty())?)
                }
                Ok(_) => Err(Error::Exists),
                Err(error) => Err(error),
            }
        }
        Err(Errno::INVAL) if flags == RenameFlags::NOREPLACE => {
            linkat(from, old, to, new, AtFlags::empty())?;
            Ok(unlinkat(from, old, AtFlags::empty())?)
        }
        renamed => Ok(renamed?),
    }
}

impl From<Errno> for Error {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOENT | Errno::LOOP => Self::NotFound,
            Errno::ACCESS | Errno::PERM => Self::Denied,
            Errno::EXIST => Self::Exists,
            Errno::NOTEMPTY => Self::NotEmpty,
            Errno::ISDIR => Self::IsDirectory,
            Errno::NOTDIR => Self::NotDirectory,
            Errno::NOSPC | Errno::DQUOT | Errno::FBIG => Self::NoSpace,
            Errno::ROFS => Self::ReadOnly,
            Errno::XDEV => Self::CrossDevice,
            Errno::NAMETOOLONG => Self::NameTooLong,
            Errno::BUSY | Errno::TXTBSY => Self::Busy,
            Errno::OPNOTSUPP => Self::Unsupported,
            Errno::MFILE | Errno::NFILE => Self::OpenFiles,
            error => Self::Io(error.into()),
        }
    }
}
