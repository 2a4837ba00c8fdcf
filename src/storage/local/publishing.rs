//! The last step of an upload: one rename or exchange, on whatever thread.

use std::{os::fd::OwnedFd, sync::Arc};

use rustix::{
    fs::{
        AtFlags, Gid, Mode, OFlags, RenameFlags, Statx, Uid, fchmod, fchown, fdatasync, fsync,
        openat, renameat_with, statx,
    },
    io::Errno,
};

use super::{settings::Settings, target::Target};
use crate::{
    ftp::metadata::Kind,
    storage::{
        Error, Publication, Replaced, Result, Unpublished,
        posix::{LARGE, alone::alone, attributes, discard, facts, record, rename},
    },
    types::Durability,
};

/// A publication, and its place.
pub(super) struct Publishing {
    pub(super) publication: Publication,
    pub(super) target: Target,
    pub(super) settings: Arc<Settings>,
}

impl Publishing {
    pub(super) fn run(mut self) -> std::result::Result<Replaced, Unpublished> {
        let durability = self.settings.durability;
        let (old, replaced) = loop {
            let old = self.old()?;
            let size = old.as_ref().map(|(old, _)| old.stx_size);
            self.publication.admission.admit(size)?;
            let changed = self.apply_metadata(old.as_ref())?;
            if durability != Durability::None {
                let file = &*self.publication.file.handle;
                // Attributes that were set a moment ago are on the disk with `fsync` alone.
                let synced = if changed {
                    fsync(file)
                } else {
                    fdatasync(file)
                };
                synced.map_err(|error| Unpublished::Lost(error.into()))?;
            }
            match self.take_place(old.is_some()) {
                Ok(replaced) => {
                    self.publication.admission.published();
                    break (old, replaced);
                }
                // There was none when the upload began, but now.
                Err(Error::Exists) if self.publication.replace && !self.publication.replaces => {
                    self.publication.replaces = true;
                    self.target.look()?;
                }
                Err(error) => return Err(error.into()),
            }
        };
        // The last handle of a big file that is dropped pays for freeing it.
        discard(old.filter(|(old, _)| old.stx_size > LARGE));
        if durability == Durability::FileAndDirectory {
            let synced = match fsync(&self.target.parent) {
                // The server may write the directory, but not read it. With the file's own
                // metadata, file systems with a journal write its name.
                Err(Errno::BADF) => fsync(&*self.publication.file.handle),
                synced => synced,
            };
            if let Err(error) = synced {
                if replaced != Replaced::Gone {
                    self.publication.file.remove();
                }
                return Err(Unpublished::Unconfirmed(error.into()));
            }
        }
        Ok(replaced)
    }

    fn may_replace(&self) -> bool {
        self.publication.replace && self.publication.replaces
    }

    fn take_place(&mut self, replaces: bool) -> Result<Replaced> {
        if replaces
            && self.publication.leaves
            && self.publication.over.is_none()
            && let Some(replaced) = self.exchange()?
        {
            return Ok(replaced);
        }
        self.rename()?;
        Ok(Replaced::Gone)
    }

    /// Gives the one file the name of the other: as one instant for everybody as a rename. `None` where
    /// that cannot be done.
    fn exchange(&self) -> Result<Option<Replaced>> {
        let (to, name) = (&self.target.parent, &*self.target.name);
        let (spool, spooled) = (
            &*self.publication.file.directory,
            &*self.publication.file.name,
        );
        let exchange = || renameat_with(spool, spooled, to, name, RenameFlags::EXCHANGE);
        let names = self.settings.names_change();
        if exchange().is_err() {
            return Ok(None);
        }
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let left = openat(spool, spooled, flags, Mode::empty());
        if left.as_ref().is_err_and(|error| *error == Errno::ISDIR) {
            // It has come to lie there a moment ago, and is not to be replaced.
            exchange()?;
            return Err(Error::IsDirectory);
        }
        drop(names);
        if let Some(length) = left.ok().as_ref().and_then(alone) {
            return Ok(Some(Replaced::Left { length }));
        }
        self.publication.file.remove();
        Ok(Some(Replaced::Gone))
    }

    fn rename(&mut self) -> Result<()> {
        let flags = if self.may_replace() {
            RenameFlags::empty()
        } else {
            RenameFlags::NOREPLACE
        };
        let settings = self.settings.clone();
        let Some(over) = self.publication.over else {
            let _names = settings.names_change();
            return self.rename_with(flags);
        };
        // Between the look and the rename nobody else is to publish.
        let _names = settings.names_stay();
        self.target.look()?;
        match self.target.identity()? == over {
            true => self.rename_with(flags),
            false => Err(Error::Changed),
        }
    }

    fn rename_with(&self, flags: RenameFlags) -> Result<()> {
        let (to, name) = (&self.target.parent, &self.target.name);
        let file = &self.publication.file;
        rename(&file.directory, &*file.name, to, name, flags, Kind::File)
    }

    /// The file that will be replaced, and a handle of it.
    fn old(&self) -> Result<Option<(Statx, OwnedFd)>> {
        if !self.may_replace() || self.target.file()?.is_none() {
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
    fn apply_from(&mut self, old: &Statx, handle: &OwnedFd) -> Result<bool> {
        let mut changed = false;
        let own = facts(&*self.publication.file.handle)?;
        if (old.stx_uid, old.stx_gid) != (own.stx_uid, own.stx_gid) {
            // As far as the server may.
            let group = Some(Gid::from_raw(old.stx_gid));
            if fchown(
                &*self.publication.file.handle,
                Some(Uid::from_raw(old.stx_uid)),
                group,
            )
            .is_err()
            {
                let _ = fchown(&*self.publication.file.handle, None, group);
            }
            changed = true;
        }
        if self.publication.file.mode.is_none() {
            // It may have been made ready for another place.
            attributes::clear(&self.publication.file.handle)?;
        }
        if attributes::keep(handle, &self.publication.file.handle)? {
            self.publication.file.mode = None;
            changed = true;
        }
        Ok(self.set_mode(u32::from(old.stx_mode) & 0o777)? || changed)
    }

    /// Gives it what a new file of its directory has. Whether anything had to change.
    fn apply_as_new(&mut self) -> Result<bool> {
        let mut changed = false;
        // A new file in a directory with the set-group-ID bit belongs to its group.
        let mask = rustix::fs::StatxFlags::MODE | rustix::fs::StatxFlags::GID;
        let parent = statx(&self.target.parent, c"", AtFlags::EMPTY_PATH, mask)?;
        if parent.stx_mode & 0o2000 != 0 {
            let _ = fchown(
                &*self.publication.file.handle,
                None,
                Some(Gid::from_raw(parent.stx_gid)),
            );
            changed = true;
        }
        if self.publication.file.mode.is_none() {
            attributes::clear(&self.publication.file.handle)?;
        }
        let file = &self.publication.file;
        let (parent, mode) = (&self.target.parent, self.settings.file_mode);
        let inherited = attributes::inherit(parent, &file.handle, mode, file.labelled)?;
        if inherited.mode {
            self.publication.file.mode = None;
            return Ok(true);
        }
        Ok(self.set_mode(mode)? || changed || inherited.changed)
    }

    fn set_mode(&mut self, mode: u32) -> Result<bool> {
        if self.publication.file.mode == Some(mode) {
            return Ok(false);
        }
        fchmod(&*self.publication.file.handle, Mode::from_raw_mode(mode))?;
        self.publication.file.mode = Some(mode);
        Ok(true)
    }

    fn apply_metadata(&mut self, old: Option<&(Statx, OwnedFd)>) -> Result<bool> {
        let mut changed = match old {
            Some((old, handle)) => self.apply_from(old, handle)?,
            None => self.apply_as_new()?,
        };
        if let Some(sha256) = self.publication.sha256() {
            // HASH computes what it does not find.
            changed |= record::write(&*self.publication.file.handle, sha256).is_ok();
        }
        Ok(changed)
    }
}
