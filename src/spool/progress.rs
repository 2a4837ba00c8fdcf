//! One upload that is being written in staging.

use std::{
    fmt::Write,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use rustix::fs::{AtFlags, OFlags, fstat, renameat, unlinkat};

use super::{
    copying::{Copied, Copying},
    key::Key,
    label::Label,
    names::{COPY, NEW, SPARE, label_of},
    origin::Origin,
    room::Held,
    slots::{Partial, locked},
    spares::{LONGEST, Spare},
    staging::Staging,
};
use crate::storage::{
    Content, Error, Found, Result,
    posix::{LARGE, describe, discard, facts},
};

/// From this size on, an upload that is under way is labelled: should the server be killed, a person
/// still sees whose it was.
const LABELLED: u64 = 1 << 20;
/// The mode that [`alone`](crate::storage::posix::alone::alone) gives.
const SPARE_MODE: u32 = 0o600;

/// An upload counts as going on while this is held.
pub(super) struct Claim {
    staging: Arc<Staging>,
    key: Key,
    /// Among those of its key.
    attempt: u64,
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
    /// Begins an upload. With `alone`, only if there is no other one for the key.
    pub(super) fn new(
        staging: &Arc<Staging>,
        key: Key,
        label: Arc<Label>,
        alone: bool,
    ) -> Result<Self> {
        let mut slots = locked(&staging.slots);
        let active = slots.active.entry(key).or_default();
        if alone && active.count > 0 {
            return Err(Error::Busy);
        }
        active.count += 1;
        active.latest = staging.number();
        let attempt = active.latest;
        drop(slots);
        Ok(Self {
            staging: staging.clone(),
            key,
            attempt,
            label,
            labelled: false,
            released: false,
        })
    }

    fn release(&mut self) {
        if std::mem::replace(&mut self.released, true) {
            return;
        }
        let mut slots = locked(&self.staging.slots);
        if let Some(active) = slots.active.get_mut(&self.key) {
            active.count -= 1;
            if active.count == 0 {
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
            let _ = self.label.write(&*self.staging, &label_of(self.key));
            self.labelled = true;
        }
    }

    /// A new file, of an upload that begins over `origin`.
    pub(super) fn create(self, mode: u32, origin: Origin) -> Result<Progress> {
        let name = self.new_name(NEW, &origin);
        self.create_as(name, mode, origin)
    }

    /// A new file that begins with a copy of the first bytes of a published one, `origin.base` of
    /// them. They are copied beside what is written behind them.
    pub(super) fn create_copy(
        self,
        mode: u32,
        origin: Origin,
        of: Box<dyn Content>,
    ) -> Result<Progress> {
        let name = self.new_name(COPY, &origin);
        let mut progress = self.create_as(name, mode, origin)?;
        progress.held = progress.claim.staging.hold(origin.base)?;
        progress.length = origin.base;
        progress.staged.store(origin.base, Relaxed);
        progress.copying = Copying::start(of, progress.file.clone(), origin.base)?;
        if progress.copying.is_none() {
            progress.rename(NEW)?;
        }
        Ok(progress)
    }

    /// A file that was replaced at the same path, to be written over; else a new one. Says how long it is.
    pub(super) fn create_over(self, mode: u32, origin: Origin) -> Result<(Progress, u64)> {
        match self.staging.take_spare(self.key) {
            Some((file, spare)) => {
                let mode = Some(SPARE_MODE);
                let progress = self.begin(file.into(), 0, mode, spare.name, origin);
                Ok((progress, spare.length))
            }
            None => Ok((self.create(mode, origin)?, 0)),
        }
    }

    fn create_as(self, name: String, mode: u32, origin: Origin) -> Result<Progress> {
        // On this thread: a new name in a local directory that is in use all the time is some
        // microseconds' work, a trip to the pool costs more.
        let file = self.staging.create(&name, mode)?;
        let mode = Some(mode);
        Ok(self.begin(file.into(), 0, mode, name, origin))
    }

    /// A whole file that lies in staging already.
    pub(super) fn adopt(
        self,
        name: String,
        file: Arc<OwnedFd>,
        length: u64,
        origin: Origin,
    ) -> Progress {
        self.begin(file, length, None, name, origin)
    }

    fn begin(
        self,
        file: Arc<OwnedFd>,
        length: u64,
        mode: Option<u32>,
        name: String,
        origin: Origin,
    ) -> Progress {
        Progress {
            file,
            length,
            staged: Arc::new(AtomicU64::new(length)),
            mode,
            copying: None,
            origin,
            whole: false,
            held: Held::existing(&self.staging.room, length),
            name: Some(name),
            claim: self,
        }
    }

    /// Whether a part waits that belongs to what was found.
    ///
    /// # Errors
    /// [`Error::Changed`] where one was, and the client does not know yet that it is gone: with
    /// `resumes`, as what it sends next would go on from something else.
    pub(super) fn fresh(&self, found: &Found, resumes: bool) -> Result<bool> {
        let waited = self.staging.waits(|| self.key).is_some();
        if self.staging.fresh(self.key, found)?.is_some() {
            return Ok(true);
        }
        let mut slots = locked(&self.staging.slots);
        if waited {
            slots.is_gone(self.key);
        }
        match resumes && slots.gone.contains(&self.key) {
            true => Err(Error::Changed),
            false => Ok(false),
        }
    }

    /// The part that waits, for this upload alone. It belongs to what was found. `length` says how much of
    /// what is there the upload shall have, told how much is there and how much of that is a copy.
    pub(super) fn take(
        mut self,
        found: &Found,
        length: impl FnOnce(u64, u64) -> Result<u64>,
    ) -> Result<Progress> {
        let mut origin = Origin::new(found);
        let mut slots = locked(&self.staging.slots);
        // It was there a moment ago.
        let part = slots.waiting.get(&self.key).ok_or(Error::Busy)?;
        let (part, base) = (
            part.name(self.key),
            part.origin.map_or(0, |origin| origin.base),
        );
        let file = match self.staging.open_name(&part, OFlags::RDWR) {
            Ok(file) => file,
            Err(error) => {
                if matches!(error, Error::NotFound) {
                    slots.waiting.remove(&self.key);
                }
                return Err(error);
            }
        };
        let available = fstat(&file)?.st_size.unsigned_abs();
        let length = length(available, base)?;
        origin.base = base.min(length);
        let name = self.new_name(NEW, &origin);
        renameat(
            &self.staging.directory,
            part,
            &self.staging.directory,
            &name,
        )?;
        let held = slots.waiting.remove(&self.key).map(|part| part.held);
        drop(slots);
        self.labelled = true;
        let mut progress = self.begin(file.into(), length, None, name, origin);
        if let Some(held) = held {
            progress.held = held;
        }
        if length < available {
            rustix::fs::ftruncate(&*progress.file, length)?;
        }
        Ok(progress)
    }

    fn new_name(&self, suffix: &str, origin: &Origin) -> String {
        let mut name = self.key.digits();
        // Writing to a string cannot fail.
        let _ = write!(name, ".{:x}.", self.staging.number());
        origin.push_to(&mut name);
        name.push_str(suffix);
        name
    }
}

/// A file that is being written. Dropped while it has its name, it is removed.
pub(super) struct Progress {
    pub(super) file: Arc<OwnedFd>,
    pub(super) length: u64,
    /// The same, for those who read it again.
    pub(super) staged: Arc<AtomicU64>,
    /// Its mode, where that is known.
    pub(super) mode: Option<u32>,
    /// The file, or nothing, that it began over.
    origin: Origin,
    /// Its beginning, as long as that is being copied.
    copying: Option<Copying>,
    /// All bytes have come.
    whole: bool,
    /// Its bytes.
    held: Held,
    name: Option<String>,
    claim: Claim,
}

impl Progress {
    /// All bytes have come, and its beginning is copied.
    pub(super) fn completed(&mut self) {
        self.whole = true;
    }

    /// To wait for the copy of its beginning, if it is not whole yet.
    pub(super) fn copied(&self) -> Option<Copied> {
        self.copying.as_ref().map(Copying::copied)
    }

    /// Once the copy is whole, all of it is worth keeping. Whether it is.
    ///
    /// # Errors
    /// When it never will be.
    pub(super) fn check_copy(&mut self) -> Result<bool> {
        let Some(copying) = &self.copying else {
            return Ok(true);
        };
        if !copying.is_done()? {
            return Ok(false);
        }
        self.copying = None;
        self.rename(NEW)?;
        Ok(true)
    }

    fn rename(&mut self, suffix: &str) -> Result<()> {
        let staging = &self.claim.staging;
        let name = self.claim.new_name(suffix, &self.origin);
        renameat(
            &*staging.directory,
            self.name()?,
            &*staging.directory,
            &name,
        )?;
        self.name = Some(name);
        Ok(())
    }

    /// The file, or nothing, that it began over.
    pub(super) fn origin(&self) -> Origin {
        self.origin
    }

    pub(super) fn name(&self) -> Result<&str> {
        self.name.as_deref().ok_or(Error::NotFound)
    }

    /// It has got another name, elsewhere, and is no upload any more.
    pub(super) fn moved(&mut self) {
        self.name = None;
        drop(self.held.take());
        self.claim.release();
    }

    pub(super) fn key(&self) -> Key {
        self.claim.key
    }

    /// The owner, and the path where it is to be seen.
    pub(super) fn label(&self) -> &Label {
        &self.claim.label
    }

    /// Whether it is written over a file that was replaced, and is now too long for that.
    pub(super) fn outgrows(&self, length: u64) -> bool {
        length > LONGEST && self.name.as_ref().is_some_and(|name| name.ends_with(SPARE))
    }

    /// Nothing of an older file is in it any more: it is as good as a new one.
    pub(super) fn is_new(&mut self) -> Result<()> {
        self.rename(NEW)
    }

    /// A start removes it from here on, and what comes to have its name.
    pub(super) fn becomes_spare(&mut self) -> Result<()> {
        match self.name.as_ref().is_some_and(|name| name.ends_with(SPARE)) {
            true => Ok(()),
            false => self.rename(SPARE),
        }
    }

    /// It has got another name, and the file of so many bytes that it replaced has this one.
    pub(super) fn left(&mut self, length: u64) {
        if length <= LONGEST
            && let Some(name) = self.name.take()
        {
            let spare = Spare { name, length };
            self.claim.staging.keep_spare(self.claim.key, spare);
        }
        drop(self.held.take());
        // One that is too long keeps its name, and goes with this.
        self.claim.release();
    }

    /// The file is to have `length` bytes.
    ///
    /// # Errors
    /// Where staging may not hold so many.
    pub(super) fn hold(&mut self, length: u64) -> Result<()> {
        self.held.grow(length)
    }

    /// The file has `length` bytes by now.
    pub(super) fn grown(&mut self, length: u64) {
        self.length = length;
        self.staged.store(length, Relaxed);
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

    /// Whether it has anything of its own, belongs to what was found, and is the latest attempt.
    pub(super) fn is_worth_keeping(&self, found: Option<&Found>) -> bool {
        let active = locked(&self.claim.staging.slots);
        let active = active.active.get(&self.claim.key);
        self.length > self.origin.base
            && found.is_none_or(|found| Origin::fits(Some(self.origin), found))
            && active.is_some_and(|active| active.latest == self.claim.attempt)
    }

    /// Makes it the part that waits, if it belongs to what was found there. One that has nothing of
    /// its own is worth nothing, and neither is one beside which another attempt has begun.
    pub(super) fn keep(mut self, found: Option<&Found>) -> Result<()> {
        let fits = found.is_none_or(|found| Origin::fits(Some(self.origin), found));
        if self.length <= self.origin.base {
            return Ok(());
        }
        if !fits {
            locked(&self.claim.staging.slots).is_gone(self.claim.key);
            return Ok(());
        }
        let (staging, key) = (self.claim.staging.clone(), self.claim.key);
        // Another upload to the same place may have taken it away.
        self.claim.labelled = false;
        self.claim.label();
        let waiting = Partial {
            label: Some(self.claim.label.clone()),
            metadata: describe(&facts(&*self.file)?),
            origin: Some(self.origin),
            held: self.held.take(),
        };
        let mut slots = locked(&staging.slots);
        let active = slots.active.get(&key);
        if active.is_none_or(|active| active.latest != self.claim.attempt) {
            slots.is_gone(key);
            return Ok(());
        }
        let name = waiting.name(key);
        let older = slots.waiting.get(&key).map(|part| part.name(key));
        // The handle keeps the content until the lock is free again: freeing may take long.
        let held = older
            .as_ref()
            .and_then(|older| staging.open_name(older, OFlags::PATH).ok());
        renameat(
            &*staging.directory,
            self.name()?,
            &*staging.directory,
            &name,
        )?;
        if let Some(older) = older.filter(|older| *older != name) {
            let _ = unlinkat(&*staging.directory, older, AtFlags::empty());
        }
        slots.waiting.insert(key, waiting);
        drop(slots);
        drop(held);
        self.moved();
        Ok(())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // The next start removes what cannot be removed now.
            let _ = unlinkat(&*self.claim.staging.directory, name, AtFlags::empty());
            if self.length > LARGE {
                discard(Some(self.file.clone()));
            }
        }
    }
}
