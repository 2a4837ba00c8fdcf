//! The uploads that wait in staging to be resumed: who sees them, how many bytes of them there may
//! be, and when they go.

use std::{
    os::fd::OwnedFd,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{AtFlags, OFlags, fstatvfs, unlinkat},
    io::Errno,
};

use super::{
    key::Key,
    label::Label,
    origin::Origin,
    room::Held,
    slots::{Partial, locked},
    staging::{Staging, is_over},
};
use crate::{
    ftp::metadata::Metadata,
    storage::{
        Amount, Error, Found, Result,
        posix::{describe, discard, facts, facts_at},
    },
    types::UserId,
};

/// A broken upload that waits to be resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The owner, and the path where it was to be seen, from the storage's root on. A small one
    /// that was broken off by the server's own end has lost this, and is resumed by its owner all
    /// the same.
    pub label: Option<(UserId, String)>,
    /// Bytes that have arrived.
    pub size: u64,
    /// When the last of them did.
    pub modified: SystemTime,
}

impl Staging {
    /// The uploads that wait, the newest first.
    pub(super) fn waiting(&self) -> Vec<Waiting> {
        let slots = locked(&self.slots);
        let waiting = slots.waiting.values().map(|part| Waiting {
            label: part
                .label
                .as_ref()
                .map(|label| (label.user(), label.path.clone())),
            size: part.metadata.size,
            modified: part.metadata.modified,
        });
        let mut waiting: Vec<_> = waiting.collect();
        drop(slots);
        waiting.sort_by_key(|part| std::cmp::Reverse(part.modified));
        waiting
    }

    /// Names of what waits for `owner` right in `directory`.
    pub(super) fn waiting_in(&self, owner: &UserId, directory: &str) -> Vec<String> {
        let slots = locked(&self.slots);
        let parts = slots.waiting.values().filter_map(|part| {
            let label = part.label.as_ref().filter(|label| label.is_of(owner))?;
            label.name_in(directory).map(str::to_owned)
        });
        parts.collect()
    }

    /// Keys and paths, from the storage's root on, of what waits.
    pub(super) fn places(&self) -> Vec<(Key, Arc<Label>)> {
        let slots = locked(&self.slots);
        let parts = slots.waiting.iter();
        let places = parts.filter_map(|(key, part)| Some((*key, part.label.clone()?)));
        places.collect()
    }

    /// The uploads that wait for `owner` somewhere below `home`.
    pub(super) fn waiting_amount(&self, owner: &UserId, home: &str) -> Amount {
        let slots = locked(&self.slots);
        let parts = slots.waiting.values().filter(|part| {
            part.label.as_ref().is_some_and(|label| {
                let below = label.path.strip_prefix(home);
                label.is_of(owner) && below.is_some_and(|path| path.starts_with('/'))
            })
        });
        parts
            .map(|part| Amount::file(part.metadata.size))
            .fold(Amount::default(), Amount::plus)
    }

    /// Removes parts in the order in which they give way until no more than `size` bytes wait; says how
    /// many.
    pub(super) fn make_room(&self, size: u64) -> Result<usize> {
        let mut removed = 0;
        loop {
            let slots = locked(&self.slots);
            let sizes = slots.waiting.values().map(|part| part.metadata.size);
            let total: u64 = sizes.sum();
            let first = slots.gives_way().filter(|_| total > size);
            let Some((key, _)) = first else {
                return Ok(removed);
            };
            drop(slots);
            if self.forget(|| key)? {
                removed += 1;
            }
        }
    }

    /// Removes the oldest parts of `owner` until no more than `count` wait; 0 is no limit.
    pub(super) fn bound_count(&self, owner: &UserId, count: usize) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        loop {
            let slots = locked(&self.slots);
            let own: Vec<(Key, SystemTime)> = slots
                .of(owner)
                .map(|(key, part)| (key, part.metadata.modified))
                .collect();
            drop(slots);
            let oldest = own.iter().min_by_key(|(_, modified)| *modified);
            let Some((key, _)) = oldest.filter(|_| own.len() > count) else {
                return Ok(());
            };
            self.forget_if(*key, |_| true)?;
        }
    }

    /// Removes the oldest parts of `owner` until they are no more than half of the file system, or one
    /// is left; says how many.
    pub(super) fn bound_size(&self, owner: &UserId) -> Result<usize> {
        let facts = fstatvfs(&*self.directory)?;
        let half = (facts.f_blocks / 2).saturating_mul(facts.f_frsize);
        let mut removed = 0;
        loop {
            let slots = locked(&self.slots);
            let own = || slots.of(owner);
            let size: u64 = own().map(|(_, part)| part.metadata.size).sum();
            let oldest = own().min_by_key(|(_, part)| part.metadata.modified);
            let oldest = oldest.filter(|_| size > half && own().count() > 1);
            let Some((key, _)) = oldest else {
                return Ok(removed);
            };
            drop(slots);
            removed += usize::from(self.forget_if(key, |_| true)?);
        }
    }

    /// Room for so many bytes, for which parts give way.
    pub(super) fn hold(&self, bytes: u64) -> Result<Held> {
        let mut held = Held::existing(&self.room, 0);
        loop {
            match held.grow(bytes) {
                Ok(()) => return Ok(held),
                Err(error) => self.forget_one()?.ok_or(error)?,
            };
        }
    }

    /// Removes the part that gives way first, and says how long it was; none where none waits. Its space
    /// is free when this returns.
    pub(super) fn forget_one(&self) -> Result<Option<u64>> {
        let slots = locked(&self.slots);
        let first = slots.gives_way().map(|(key, part)| (key, part.name(key)));
        drop(slots);
        let Some((key, name)) = first else {
            return Ok(None);
        };
        let held = self.open_name(&name, OFlags::PATH).ok();
        let size = held
            .as_ref()
            .and_then(|held| facts(held).ok())
            .map_or(0, |found| found.stx_size);
        self.remove_if(key, |_| true)?;
        drop(held);
        Ok(Some(size))
    }

    /// Removes the parts that nobody has come back for; says how many.
    pub(super) fn expire(&self, age: Duration) -> Result<usize> {
        let now = SystemTime::now();
        let waiting: Vec<Key> = locked(&self.slots).waiting.keys().copied().collect();
        let mut expired = 0;
        for key in waiting {
            let over = |part: &Partial| {
                let found = facts_at(&*self.directory, &part.name(key));
                found.is_ok_and(|found| is_over(now, describe(&found).modified, age))
            };
            expired += usize::from(self.forget_if(key, over)?);
        }
        Ok(expired)
    }

    /// The key, if a part waits for it.
    pub(super) fn waits(&self, key: impl FnOnce() -> Key) -> Option<Key> {
        let slots = locked(&self.slots);
        if slots.waiting.is_empty() {
            return None;
        }
        let key = key();
        slots.waiting.contains_key(&key).then_some(key)
    }

    /// The owner is told what lies there now, or begins anew.
    pub(super) fn told(&self, key: impl FnOnce() -> Key) {
        let mut slots = locked(&self.slots);
        if !slots.gone.is_empty() {
            let key = key();
            slots.gone.remove(&key);
        }
    }

    /// Removes the part that waits, as something else has taken its place.
    pub(super) fn supersede(&self, key: Key) -> Result<()> {
        if self.forget(|| key)? {
            locked(&self.slots).is_gone(key);
        }
        Ok(())
    }

    /// Facts of the part that waits, and how much of it is a copy of what is published, if it
    /// belongs to what lies there now; one that does not is removed.
    pub(super) fn fresh(&self, key: Key, found: &Found) -> Result<Option<(Metadata, u64)>> {
        let slots = locked(&self.slots);
        let Some(part) = slots.waiting.get(&key) else {
            return Ok(None);
        };
        let origin = part.origin;
        if Origin::fits(origin, found) {
            let base = origin.map_or(0, |origin| origin.base);
            return match facts_at(&*self.directory, &part.name(key)) {
                Ok(facts) => Ok(Some((describe(&facts), base))),
                Err(Error::NotFound) => Ok(None),
                Err(error) => Err(error),
            };
        }
        drop(slots);
        self.forget_if(key, |part| part.origin == origin)?;
        Ok(None)
    }

    /// Removes the part that waits, if one does.
    pub(super) fn forget(&self, key: impl FnOnce() -> Key) -> Result<bool> {
        match self.waits(key) {
            Some(key) => self.forget_if(key, |_| true),
            None => Ok(false),
        }
    }

    fn forget_if(&self, key: Key, wanted: impl FnOnce(&Partial) -> bool) -> Result<bool> {
        let (removed, held) = self.remove_if(key, wanted)?;
        discard(held);
        Ok(removed)
    }

    /// Whether it was there, and a handle that keeps the content until the lock is free again:
    /// freeing may take long.
    fn remove_if(
        &self,
        key: Key,
        wanted: impl FnOnce(&Partial) -> bool,
    ) -> Result<(bool, Option<OwnedFd>)> {
        let mut slots = locked(&self.slots);
        let Some(name) = slots
            .waiting
            .get(&key)
            .filter(|part| wanted(part))
            .map(|part| part.name(key))
        else {
            return Ok((false, None));
        };
        slots.waiting.remove(&key);
        let held = self.open_name(&name, OFlags::PATH).ok();
        let removed = unlinkat(&*self.directory, name, AtFlags::empty());
        self.unlabel(key);
        drop(slots);
        match removed {
            Ok(()) => Ok((true, held)),
            Err(Errno::NOENT) => Ok((false, held)),
            Err(error) => Err(error.into()),
        }
    }
}
