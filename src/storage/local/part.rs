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
    Shared, attributes,
    confined_dir::{Access, Directory, discard, facts, facts_at, pool},
    key::Key,
    names,
    origin::Identity,
    progress::Progress,
    quarantine, record,
    source::{LocalStaged, retry},
    staging::{LARGE, Staging},
    target::Target,
    usage::{Bounds, Reservation},
};
use crate::{
    ftp::{metadata::Kind, path::VirtualPath},
    storage::{Error, Part, QuarantineInfo, Result},
    types::{BoxFuture, Durability, Staged},
};

/// `IOV_MAX`: what one call takes.
const SLICES: usize = 1024;

/// An upload into a local directory.
pub(super) struct LocalPart {
    pub(super) shared: Arc<Shared>,
    pub(super) home: Arc<Directory>,
    /// The home from the storage's root on; empty if it is the root.
    pub(super) home_path: Box<str>,
    /// Where it was begun.
    pub(super) path: VirtualPath,
    pub(super) progress: Progress,
    /// Whether a file was there when it began.
    pub(super) replaces: bool,
    /// Whether it goes on from what was there, and so is no upload to anything else.
    pub(super) adds: bool,
    /// Its digest, to be recorded with it.
    pub(super) sha256: Option<String>,
    /// Bytes that all of the home may have, of which it has reserved what it has written.
    pub(super) quota: Option<(u64, Reservation)>,
    /// Bytes of the file that it replaces.
    pub(super) replaced: u64,
    /// Writing it to the disk has failed once. The kernel then forgets what it could not write, and
    /// says yes the next time.
    pub(super) lost: bool,
}

impl Part for LocalPart {
    fn length(&self) -> u64 {
        self.progress.length
    }

    fn staged(&self) -> Arc<dyn Staged> {
        Arc::new(LocalStaged {
            file: self.progress.file.clone(),
            copied: self.progress.copied(),
        })
    }

    fn write<'a>(&'a mut self, data: &'a mut [IoSlice<'a>]) -> BoxFuture<'a, Result<()>> {
        // On this thread: it copies into the page cache, which costs less than handing it over.
        Box::pin(async move {
            self.progress.check_copy()?;
            let more = data.iter().map(|slice| slice.len() as u64).sum();
            self.reserve(more)?;
            self.write_here(data).await
        })
    }

    fn within(&mut self, quota: u64) -> Result<()> {
        let reservation = Reservation::new(&self.shared, &self.home_path);
        self.quota = Some((quota, reservation));
        self.reserve(self.progress.length)
    }

    fn record(&mut self, sha256: &str) {
        self.sha256 = Some(sha256.to_owned());
    }

    fn completed(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.copied().await?;
            self.progress.completed()
        })
    }

    fn publish<'a>(
        &'a mut self,
        path: &'a VirtualPath,
        replace: bool,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if path.is_root() {
                return Err(Error::IsDirectory);
            }
            if self.shared.escape && names::is_escaped(path) {
                return Err(Error::Reserved);
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
            self.copied().await?;
            // Where there is to be nothing, a link is something.
            let target = match replace {
                true => self.home.target_soon(path, access).await?,
                false => self.home.name_soon(path, access).await?,
            };
            let adds = self.adds && *path == self.path;
            let publication = Publication {
                staging: self.progress.staging().clone(),
                staged: self.progress.name()?.to_owned(),
                file: self.progress.file.clone(),
                target,
                replace,
                replaces: self.replaces,
                over: adds.then_some(self.progress.origin().identity),
                key: self.progress.key(),
                mode: self.progress.mode.take(),
                new_mode: self.shared.file_mode,
                sha256: self.sha256.clone(),
                shared: self.shared.clone(),
                home_path: self.home_path.clone(),
                length: self.progress.length,
                limit: self
                    .quota
                    .as_ref()
                    .map(|(quota, _)| quota.saturating_sub(self.waiting())),
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

    fn keep(mut self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        if self.lost {
            return Box::pin(std::future::ready(Ok(())));
        }
        Box::pin(pool(move || {
            // Behind the part of a copy there is a gap.
            if !self.progress.check_copy()? {
                return Ok(());
            }
            let (staging, limit) = (self.progress.staging().clone(), self.shared.partial_size);
            let owner = self.progress.label().user();
            let target = match self.home.target(self.path.relative(), Access::Names) {
                Ok(target) => Some(target),
                // Its directory may come back.
                Err(Error::NotFound) => None,
                Err(Error::NotDirectory | Error::DanglingLink) => return Ok(()),
                Err(error) => return Err(error),
            };
            self.progress.shorten()?;
            // What a client is told that it may go on from is there after a power cut, too.
            if self.shared.durability != Durability::None {
                fdatasync(&*self.progress.file)?;
            }
            self.progress.keep(target.as_ref())?;
            staging.bound_count(&owner, self.shared.partial_count)?;
            let removed = match limit {
                Some(0) => 0,
                Some(limit) => staging.make_room(limit)?,
                None => staging.bound_size(&owner)?,
            };
            if removed > 0 {
                tracing::info!(
                    removed,
                    user = %owner,
                    storage = self.shared.name.as_str(),
                    "broken uploads were removed: partial-size"
                );
            }
            Ok(())
        }))
    }

    fn quarantine(mut self: Box<Self>, note: QuarantineInfo) -> BoxFuture<'static, Result<String>> {
        Box::pin(async move {
            self.copied().await?;
            pool(move || quarantine::put(*self, note)).await
        })
    }
}

impl LocalPart {
    /// Waits for the copy of what it goes on from.
    async fn copied(&mut self) -> Result<()> {
        if let Some(mut copied) = self.progress.copied() {
            copied.ends().await?;
            self.progress.check_copy()?;
        }
        Ok(())
    }

    /// Bytes that wait to be resumed, of the same user in the same home.
    fn waiting(&self) -> u64 {
        let owner = &self.progress.label().user();
        let staging = self.progress.staging();
        staging.waiting_size(owner, &self.home_path)
    }

    /// Reserves room in the account's quota for what is about to be written.
    fn reserve(&mut self, more: u64) -> Result<()> {
        let waiting = match self.quota {
            Some(_) => self.waiting(),
            None => return Ok(()),
        };
        let Some((quota, reservation)) = &mut self.quota else {
            return Ok(());
        };
        let bounds = Bounds {
            quota: *quota,
            waiting,
            replaced: self.replaced,
        };
        reservation.grow(more, &bounds)
    }

    async fn write_here(&mut self, mut data: &mut [IoSlice<'_>]) -> Result<()> {
        loop {
            // Empty slices at the front go away too.
            IoSlice::advance_slices(&mut data, 0);
            if data.is_empty() {
                return Ok(());
            }
            let at_once = data.get(..SLICES).unwrap_or(data);
            let written =
                match retry(|| pwritev(&*self.progress.file, at_once, self.progress.length)) {
                    Ok(0) => return Err(Error::Io(io::ErrorKind::WriteZero.into())),
                    Ok(written) => written,
                    Err(error) => {
                        self.make_space(error.into()).await?;
                        continue;
                    }
                };
            self.progress.grown(self.progress.length + written as u64);
            IoSlice::advance_slices(&mut data, written);
        }
    }

    /// Where the disk is full, what waits to be resumed gives way.
    async fn make_space(&self, error: Error) -> Result<()> {
        if !matches!(error, Error::NoSpace) {
            return Err(error);
        }
        let staging = self.progress.staging().clone();
        match pool(move || staging.forget_one()).await? {
            Some(size) => {
                tracing::warn!(
                    size,
                    storage = self.shared.name.as_str(),
                    "the disk is full: a broken upload was removed, the oldest of the user who has most"
                );
                Ok(())
            }
            None => Err(error),
        }
    }
}

/// All that the last step needs, on whatever thread it runs.
struct Publication {
    staging: Arc<Staging>,
    staged: String,
    file: Arc<OwnedFd>,
    target: Target,
    replace: bool,
    replaces: bool,
    /// The identity of what must still lie there.
    over: Option<Identity>,
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
            let old = match self.old() {
                Ok(old) => old,
                Err(error) => return Outcome::Refused(error),
            };
            let less = old.as_ref().map_or(0, |(old, _)| old.stx_size);
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
            match self.rename() {
                Ok(()) => {
                    room.used();
                    break old;
                }
                // There was none when the upload began, but now.
                Err(Error::Exists) if self.replace && !self.replaces => {
                    self.replaces = true;
                    if let Err(error) = self.target.look() {
                        return Outcome::Refused(error);
                    }
                }
                Err(error) => return Outcome::Refused(error),
            }
        };
        // The last handle of a big file that is dropped pays for freeing it.
        discard(replaced.filter(|(old, _)| old.stx_size > LARGE));
        if self.durability == Durability::FileAndDirectory {
            let synced = match fsync(&self.target.parent) {
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
        match self.staging.supersede(self.key) {
            Ok(()) => Outcome::Published,
            Err(error) => Outcome::Unsynced(error),
        }
    }

    fn rename(&mut self) -> Result<()> {
        let flags = if self.replace && self.replaces {
            RenameFlags::empty()
        } else {
            RenameFlags::NOREPLACE
        };
        let staging = self.staging.clone();
        let Some(over) = self.over else {
            let _names = staging.names_change();
            return self.rename_with(flags);
        };
        // Between the look and the rename nobody else is to publish.
        let _names = staging.names_stay();
        self.target.look()?;
        match self.target.identity()? == over {
            true => self.rename_with(flags),
            false => Err(Error::Changed),
        }
    }

    fn rename_with(&self, flags: RenameFlags) -> Result<()> {
        let (to, name) = (&self.target.parent, &self.target.name);
        rename(&self.staging, &self.staged, to, name, flags, Kind::File)
    }

    /// The file that will be replaced, and a handle of it.
    fn old(&self) -> Result<Option<(Statx, OwnedFd)>> {
        if !(self.replace && self.replaces) {
            return Ok(None);
        }
        if self.target.file()?.is_none() {
            return Ok(None);
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(
            &self.target.parent,
            &*self.target.name,
            flags,
            Mode::empty(),
        ) {
            Ok(handle) => Ok(Some((facts(&handle)?, handle))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives it the owner, group, mode and attributes of the file that it replaces, as if that had
    /// been written in place. Whether anything had to change.
    fn dress_as(&mut self, old: &Statx, handle: &OwnedFd) -> Result<bool> {
        let mut changed = false;
        let own = facts(&*self.file)?;
        if (old.stx_uid, old.stx_gid) != (own.stx_uid, own.stx_gid) {
            // As far as the server may.
            let group = Some(Gid::from_raw(old.stx_gid));
            if fchown(&*self.file, Some(Uid::from_raw(old.stx_uid)), group).is_err() {
                let _ = fchown(&*self.file, None, group);
            }
            changed = true;
        }
        if self.mode.is_none() {
            // It may have been made ready for another place.
            attributes::clear(&self.file)?;
        }
        if attributes::keep(handle, &self.file)? {
            self.mode = None;
            changed = true;
        }
        Ok(self.set_mode(u32::from(old.stx_mode) & 0o777)? || changed)
    }

    /// Gives it what a new file of its directory has. Whether anything had to change.
    fn dress_as_new(&mut self) -> Result<bool> {
        let mut changed = false;
        // A new file in a directory with the set-group-ID bit belongs to its group.
        let mask = rustix::fs::StatxFlags::MODE | rustix::fs::StatxFlags::GID;
        let parent = statx(&self.target.parent, c"", AtFlags::EMPTY_PATH, mask)?;
        if parent.stx_mode & 0o2000 != 0 {
            let _ = fchown(&*self.file, None, Some(Gid::from_raw(parent.stx_gid)));
            changed = true;
        }
        if self.mode.is_none() {
            attributes::clear(&self.file)?;
        }
        let labels = self.shared.staging.labels;
        let (parent, mode) = (&self.target.parent, self.new_mode);
        let inherited = attributes::inherit(parent, &self.file, mode, labels)?;
        if inherited.mode {
            self.mode = None;
            return Ok(true);
        }
        Ok(self.set_mode(mode)? || changed || inherited.changed)
    }

    fn set_mode(&mut self, mode: u32) -> Result<bool> {
        if self.mode == Some(mode) {
            return Ok(false);
        }
        fchmod(&*self.file, Mode::from_raw_mode(mode))?;
        self.mode = Some(mode);
        Ok(true)
    }

    fn dress(&mut self, old: Option<&(Statx, OwnedFd)>) -> Result<bool> {
        let mut changed = match old {
            Some((old, handle)) => self.dress_as(old, handle)?,
            None => self.dress_as_new()?,
        };
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
