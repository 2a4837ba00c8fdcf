//! One upload that is being written in staging.

use std::{fmt::Write, os::fd::OwnedFd, sync::Arc};

use rustix::fs::{AtFlags, OFlags, fstat, renameat, unlinkat};

use super::{
    beneath::{describe, discard, facts},
    key::Key,
    label::Label,
    staging::{COPY, LARGE, NEW, Part, Staging, WHOLE, label_of, locked, part_of},
};
use crate::storage::{Error, Result};

/// From this size on, an upload that is under way is labelled: should the server be killed, a person
/// still sees whose it was.
const LABELLED: u64 = 1 << 20;

/// An upload counts as going on while this is held.
pub(super) struct Claim {
    staging: Arc<Staging>,
    key: Key,
    label: Arc<Label>,
    /// Whether the label is on the disk.
    labelled: bool,
    released: bool,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.release();
    }
}

impl Claim {
    /// The caller has counted it.
    pub(super) fn new(staging: Arc<Staging>, key: Key, label: Arc<Label>) -> Self {
        Self {
            staging,
            key,
            label,
            labelled: false,
            released: false,
        }
    }

    fn release(&mut self) {
        if std::mem::replace(&mut self.released, true) {
            return;
        }
        let mut slots = locked(&self.staging.slots);
        if let Some(active) = slots.active.get_mut(&self.key) {
            *active -= 1;
            if *active == 0 {
                slots.active.remove(&self.key);
            }
        }
        if self.labelled && !slots.waiting.contains_key(&self.key) {
            self.staging.unlabel(self.key);
        }
    }

    fn label(&mut self) {
        if !self.labelled {
            // Without it the upload can be resumed all the same.
            let _ = self.label.write(&self.staging, &label_of(self.key));
            self.labelled = true;
        }
    }

    /// A new file.
    pub(super) fn create(self, mode: u32) -> Result<Progress> {
        self.create_as(NEW, mode)
    }

    /// A new file that becomes an upload when it is a whole copy: see [`Progress::copied`].
    pub(super) fn create_copy(self, mode: u32) -> Result<Progress> {
        self.create_as(COPY, mode)
    }

    fn create_as(self, suffix: &str, mode: u32) -> Result<Progress> {
        let name = self.new_name(suffix);
        // On this thread: a new name in a local directory that is in use all the time is some
        // microseconds' work, a trip to the pool costs more.
        let file = self.staging.create(&name, mode)?;
        Ok(Progress {
            file: Arc::new(file),
            length: 0,
            mode: Some(mode),
            whole: false,
            name: Some(name),
            claim: self,
        })
    }

    /// A whole file that lies in staging already.
    pub(super) fn adopt(self, name: String, file: Arc<OwnedFd>, length: u64) -> Progress {
        Progress {
            file,
            length,
            mode: None,
            whole: false,
            name: Some(name),
            claim: self,
        }
    }

    /// The part that waits, for this upload alone, if `length` says how much of what is there it
    /// shall have.
    pub(super) fn take(
        mut self,
        length: impl FnOnce(u64) -> Result<u64>,
    ) -> Result<std::result::Result<Progress, Self>> {
        let mut slots = locked(&self.staging.slots);
        if !slots.waiting.contains_key(&self.key) {
            drop(slots);
            return Ok(Err(self));
        }
        let part = part_of(self.key);
        let file = match self.staging.open_name(&part, OFlags::RDWR) {
            Ok(file) => file,
            Err(Error::NotFound) => {
                slots.waiting.remove(&self.key);
                drop(slots);
                return Ok(Err(self));
            }
            Err(error) => return Err(error),
        };
        let available = fstat(&file)?.st_size.unsigned_abs();
        let length = length(available)?;
        let name = self.new_name(NEW);
        renameat(
            &self.staging.directory,
            part,
            &self.staging.directory,
            &name,
        )?;
        slots.waiting.remove(&self.key);
        drop(slots);
        self.labelled = true;
        let progress = Progress {
            file: Arc::new(file),
            length,
            mode: None,
            whole: false,
            name: Some(name),
            claim: self,
        };
        if length < available {
            rustix::fs::ftruncate(&*progress.file, length)?;
        }
        Ok(Ok(progress))
    }

    fn new_name(&self, suffix: &str) -> String {
        let mut name = self.key.digits();
        // Writing to a string cannot fail.
        let _ = write!(name, ".{:x}{suffix}", self.staging.number());
        name
    }
}

/// A file that is being written. Dropped while it has its name, it is removed.
pub(super) struct Progress {
    pub(super) file: Arc<OwnedFd>,
    pub(super) length: u64,
    /// Its mode, where that is known.
    pub(super) mode: Option<u32>,
    /// All bytes have come.
    whole: bool,
    name: Option<String>,
    claim: Claim,
}

impl Progress {
    pub(super) fn staging(&self) -> &Arc<Staging> {
        &self.claim.staging
    }

    /// All bytes have come.
    pub(super) fn completed(&mut self) -> Result<()> {
        let (staging, name) = (&self.claim.staging, self.claim.new_name(WHOLE));
        renameat(&staging.directory, self.name()?, &staging.directory, &name)?;
        self.name = Some(name);
        self.whole = true;
        Ok(())
    }

    /// The copy is whole: from here on it is worth keeping.
    pub(super) fn copied(&mut self, length: u64) -> Result<()> {
        let (staging, name) = (&self.claim.staging, self.claim.new_name(NEW));
        renameat(&staging.directory, self.name()?, &staging.directory, &name)?;
        self.name = Some(name);
        self.length = length;
        Ok(())
    }

    pub(super) fn name(&self) -> Result<&str> {
        self.name.as_deref().ok_or(Error::NotFound)
    }

    /// It has got another name, elsewhere, and is no upload any more.
    pub(super) fn moved(&mut self) {
        self.name = None;
        self.claim.release();
    }

    pub(super) fn key(&self) -> Key {
        self.claim.key
    }

    /// Whose it is, and where it is to be seen.
    pub(super) fn label(&self) -> &Label {
        &self.claim.label
    }

    /// So many bytes are there by now.
    pub(super) fn grown(&mut self, length: u64) {
        self.length = length;
        if length >= LABELLED {
            self.claim.label();
        }
    }

    /// A whole one that is kept loses its last byte.
    pub(super) fn shorten(&mut self) -> Result<()> {
        if std::mem::take(&mut self.whole) && self.length > 0 {
            rustix::fs::ftruncate(&*self.file, self.length - 1)?;
            self.length -= 1;
        }
        Ok(())
    }

    /// Makes it the part that waits; an empty one would be worth nothing.
    pub(super) fn keep(mut self) -> Result<()> {
        if self.length == 0 {
            return Ok(());
        }
        let staging = self.claim.staging.clone();
        let part = part_of(self.claim.key);
        // Another upload to the same place may have taken it away.
        self.claim.labelled = false;
        self.claim.label();
        let waiting = Part {
            label: Some(self.claim.label.clone()),
            metadata: describe(&facts(&*self.file)?),
        };
        let mut slots = locked(&staging.slots);
        let older = staging.open_name(&part, OFlags::PATH);
        renameat(&staging.directory, self.name()?, &staging.directory, &part)?;
        slots.waiting.insert(self.claim.key, waiting);
        drop(slots);
        drop(older);
        self.moved();
        Ok(())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // The next start removes what cannot be removed now.
            let _ = unlinkat(&self.claim.staging.directory, name, AtFlags::empty());
            if self.length > LARGE {
                discard(Some(self.file.clone()));
            }
        }
    }
}
