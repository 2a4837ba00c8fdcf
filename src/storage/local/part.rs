//! An upload from its first byte to its publication.

use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use rustix::{
    fs::{
        AtFlags, Gid, Mode, OFlags, RenameFlags, Statx, Uid, fchmod, fchown, fdatasync, fsync,
        linkat, openat, renameat_with, statx, unlinkat,
    },
    io::{Errno, pwritev},
    path::Arg,
};

use super::{
    Shared,
    beneath::{Access, Directory, Parent, discard, facts, facts_at, kind, pool},
    key::Key,
    progress::Progress,
    quarantine, record,
    source::{LocalStaged, retry},
    staging::{LARGE, Staging},
};
use crate::{
    ftp::{metadata::Kind, path::VirtualPath},
    gate::upload::Staged,
    storage::{Answer, Durability, Error, Note, Part, Result},
};

/// `IOV_MAX`: what one call takes.
const SLICES: usize = 1024;

/// An upload into a local directory.
pub(super) struct LocalPart {
    pub(super) shared: Arc<Shared>,
    pub(super) home: Arc<Directory>,
    /// The home from the storage's root on; empty if it is the root.
    pub(super) home_path: Box<str>,
    pub(super) progress: Progress,
    /// Whether a file was there when it began.
    pub(super) replaces: bool,
    /// Its digest, to be recorded with it.
    pub(super) sha256: Option<String>,
    /// Bytes that all of the home may have.
    pub(super) quota: Option<u64>,
    /// Writing it to the disk has failed once. The kernel then forgets what it could not write, and
    /// says yes the next time.
    pub(super) lost: bool,
}

impl Part for LocalPart {
    fn length(&self) -> u64 {
        self.progress.length
    }

    fn staged(&self) -> Arc<dyn Staged> {
        Arc::new(LocalStaged(self.progress.file.clone()))
    }

    fn write<'a>(&'a mut self, data: &'a mut [IoSlice<'a>]) -> Answer<'a, Result<()>> {
        // On this thread: it copies into the page cache, which costs less than handing it over.
        Box::pin(async move { self.write_here(data) })
    }

    fn within(&mut self, quota: u64) {
        self.quota = Some(quota);
    }

    fn record(&mut self, sha256: &str) {
        self.sha256 = Some(sha256.to_owned());
    }

    fn completed(&mut self) -> Answer<'_, Result<()>> {
        Box::pin(std::future::ready(self.progress.completed()))
    }

    fn publish<'a>(&'a mut self, path: &'a VirtualPath, replace: bool) -> Answer<'a, Result<()>> {
        Box::pin(async move {
            if path.is_root() {
                return Err(Error::IsDirectory);
            }
            if self.lost {
                return Err(Error::Io(io::Error::other(
                    "the upload could not be written",
                )));
            }
            let durability = self.shared.durability;
            let access = match durability {
                Durability::FileAndDirectory => Access::Sync,
                Durability::None | Durability::File => Access::Names,
            };
            let (parent, name) = self.home.parent(path, access).await?;
            let publication = Publication {
                staging: self.progress.staging().clone(),
                staged: self.progress.name()?.to_owned(),
                file: self.progress.file.clone(),
                parent,
                name: name.to_owned(),
                replace,
                replaces: self.replaces,
                key: self.progress.key(),
                mode: self.progress.mode.take(),
                new_mode: self.shared.file_mode,
                sha256: self.sha256.clone(),
                shared: self.shared.clone(),
                home_path: self.home_path.clone(),
                length: self.progress.length,
                limit: self.quota.map(|quota| {
                    let owner = &self.progress.label().owner;
                    let staging = self.progress.staging();
                    quota.saturating_sub(staging.waiting_size(owner, &self.home_path))
                }),
                durability,
            };
            let outcome = match durability {
                // On this thread: a rename in a local file system is some microseconds' work.
                Durability::None => publication.run(),
                Durability::File | Durability::FileAndDirectory => {
                    pool(move || Ok(publication.run())).await?
                }
            };
            match outcome {
                Outcome::Published => {
                    self.progress.moved();
                    Ok(())
                }
                Outcome::Unsynced(error) => {
                    self.progress.moved();
                    Err(error)
                }
                Outcome::Lost(error) => {
                    self.lost = true;
                    Err(error)
                }
                Outcome::Refused(error) => Err(error),
            }
        })
    }

    fn keep(mut self: Box<Self>) -> Answer<'static, Result<()>> {
        if self.lost {
            return Box::pin(std::future::ready(Ok(())));
        }
        Box::pin(pool(move || {
            let (staging, limit) = (self.progress.staging().clone(), self.shared.partial_size);
            self.progress.shorten()?;
            // What a client is told that it may go on from is there after a power cut, too.
            if self.shared.durability != Durability::None {
                fdatasync(&*self.progress.file)?;
            }
            self.progress.keep()?;
            if limit > 0 {
                let removed = staging.make_room(limit)?;
                if removed > 0 {
                    tracing::info!(
                        removed,
                        limit,
                        "the oldest broken uploads were removed: partial-size"
                    );
                }
            }
            Ok(())
        }))
    }

    fn quarantine(self: Box<Self>, note: Note) -> Answer<'static, Result<String>> {
        Box::pin(pool(move || quarantine::put(*self, note)))
    }
}

impl LocalPart {
    fn write_here(&mut self, mut data: &mut [IoSlice<'_>]) -> Result<()> {
        loop {
            // Empty slices at the front go away too.
            IoSlice::advance_slices(&mut data, 0);
            if data.is_empty() {
                return Ok(());
            }
            let at_once = data.get(..SLICES).unwrap_or(data);
            let written = retry(|| pwritev(&*self.progress.file, at_once, self.progress.length))?;
            if written == 0 {
                return Err(Error::Io(io::ErrorKind::WriteZero.into()));
            }
            self.progress.grown(self.progress.length + written as u64);
            IoSlice::advance_slices(&mut data, written);
        }
    }
}

/// All that the last step needs, on whatever thread it runs.
struct Publication {
    staging: Arc<Staging>,
    staged: String,
    file: Arc<OwnedFd>,
    parent: Parent,
    name: String,
    replace: bool,
    replaces: bool,
    key: Key,
    mode: Option<u32>,
    new_mode: u32,
    sha256: Option<String>,
    shared: Arc<Shared>,
    home_path: Box<str>,
    length: u64,
    /// Bytes that all of the home may have.
    limit: Option<u64>,
    durability: Durability,
}

enum Outcome {
    /// It is there.
    Published,
    /// It is there, but perhaps not after a power failure, or with a part left beside it.
    Unsynced(Error),
    /// It is not there, and what is staged may be incomplete.
    Lost(Error),
    /// It is not there.
    Refused(Error),
}

impl Publication {
    fn run(mut self) -> Outcome {
        let (shared, home_path) = (self.shared.clone(), self.home_path.clone());
        let replaced = loop {
            let (old, replaced) = match self.old() {
                Ok(old) => old,
                Err(error) => return Outcome::Refused(error),
            };
            let less = old.map_or(0, |old| old.stx_size);
            let usage = &shared.usage;
            let Some(room) = usage.take(&home_path, self.length, less, self.limit) else {
                return Outcome::Refused(Error::Quota);
            };
            let changed = match self.dress(old.as_ref()) {
                Ok(changed) => changed,
                Err(error) => return Outcome::Refused(error),
            };
            if self.durability != Durability::None {
                // What has been set a moment ago is on the disk with `fsync` alone.
                let synced = if changed {
                    fsync(&*self.file)
                } else {
                    fdatasync(&*self.file)
                };
                if let Err(error) = synced {
                    return Outcome::Lost(error.into());
                }
            }
            let over = self.replace && self.replaces;
            let flags = if over {
                RenameFlags::empty()
            } else {
                RenameFlags::NOREPLACE
            };
            let (to, name) = (&self.parent, &self.name);
            match rename(&self.staging, &self.staged, to, name, flags, Kind::File) {
                Ok(()) => {
                    room.used();
                    break replaced;
                }
                // There was none when the upload began, but now.
                Err(Error::Exists) if self.replace && !self.replaces => self.replaces = true,
                Err(error) => return Outcome::Refused(error),
            }
        };
        discard(replaced);
        if self.durability == Durability::FileAndDirectory {
            let synced = match fsync(&self.parent) {
                // The server may write the directory, but not read it. With the file's own
                // metadata, file systems with a journal write its name.
                Err(Errno::BADF) => fsync(&*self.file),
                synced => synced,
            };
            if let Err(error) = synced {
                return Outcome::Unsynced(error.into());
            }
        }
        // What is left of an earlier attempt would else be taken for this file.
        match self.staging.forget(|| self.key) {
            Ok(_) => Outcome::Published,
            Err(error) => Outcome::Unsynced(error),
        }
    }

    /// What will be replaced.
    fn old(&self) -> Result<(Option<Statx>, Option<OwnedFd>)> {
        if !(self.replace && self.replaces) {
            return Ok((None, None));
        }
        let old = match facts_at(&self.parent, &self.name) {
            Ok(old) => old,
            Err(Error::NotFound) => return Ok((None, None)),
            Err(error) => return Err(error),
        };
        match kind(&old) {
            Kind::File => {}
            Kind::Link => return Ok((None, None)),
            Kind::Directory => return Err(Error::IsDirectory),
            Kind::Other => return Err(Error::NotRegular),
        }
        Ok((Some(old), hold_large(&self.parent, &self.name, &old)))
    }

    /// Gives it the mode, owner and group of what it replaces, else those of a new file: as if it
    /// had been written in place. Whether anything had to change.
    fn dress(&mut self, old: Option<&Statx>) -> Result<bool> {
        let mut changed = false;
        let own = old.is_some().then(|| facts(&*self.file)).transpose()?;
        match (old, &own) {
            (Some(old), Some(own)) if (old.stx_uid, old.stx_gid) != (own.stx_uid, own.stx_gid) => {
                // As far as the server may.
                let group = Some(Gid::from_raw(old.stx_gid));
                if fchown(&*self.file, Some(Uid::from_raw(old.stx_uid)), group).is_err() {
                    let _ = fchown(&*self.file, None, group);
                }
                changed = true;
            }
            (Some(_), _) => {}
            (None, _) => {
                // A new file in a directory with the set-group-ID bit belongs to its group.
                let mask = rustix::fs::StatxFlags::MODE | rustix::fs::StatxFlags::GID;
                let parent = statx(&self.parent, c"", AtFlags::EMPTY_PATH, mask)?;
                if parent.stx_mode & 0o2000 != 0 {
                    let _ = fchown(&*self.file, None, Some(Gid::from_raw(parent.stx_gid)));
                    changed = true;
                }
            }
        }
        let mode = old.map_or(self.new_mode, |old| u32::from(old.stx_mode) & 0o777);
        if self.mode != Some(mode) {
            fchmod(&*self.file, Mode::from_raw_mode(mode))?;
            self.mode = Some(mode);
            changed = true;
        }
        if let Some(sha256) = &self.sha256 {
            // HASH computes what it does not find.
            changed |= record::write(&*self.file, sha256).is_ok();
        }
        Ok(changed)
    }
}

/// A handle of a big file that is about to lose its name: whoever drops it pays for freeing it.
pub(super) fn hold_large(parent: impl AsFd, name: impl Arg, found: &Statx) -> Option<OwnedFd> {
    if found.stx_size <= LARGE {
        return None;
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty()).ok()
}

/// Renames; without replacing also where the file system has no such call (NFS).
pub(super) fn rename(
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
