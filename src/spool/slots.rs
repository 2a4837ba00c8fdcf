//! The uploads that are under way in staging, and those that wait there: known without asking the
//! disk.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{key::Key, label::Label, names::part_name, origin::Origin, room::Held};
use crate::{ftp::metadata::Metadata, types::UserId};

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
pub(super) struct Slots {
    /// The uploads that are going on for a key.
    pub(super) active: HashMap<Key, Active>,
    /// Which parts wait to be resumed.
    pub(super) waiting: HashMap<Key, Partial>,
    /// Where a part is gone since something else lies there, and its owner has not been told yet.
    pub(super) gone: HashSet<Key>,
}

/// The most that are remembered as gone.
const GONE: usize = 100_000;

impl Slots {
    /// The oldest part of the user of whom most bytes wait: nobody makes room for what another hoards.
    pub(super) fn gives_way(&self) -> Option<(Key, &Partial)> {
        let owner = |part: &Partial| part.label.as_ref().map(|label| label.user());
        let mut bytes: HashMap<Option<UserId>, u64> = HashMap::new();
        for part in self.waiting.values() {
            *bytes.entry(owner(part)).or_default() += part.metadata.size;
        }
        let (most, _) = bytes.into_iter().max_by_key(|(_, bytes)| *bytes)?;
        let parts = self.waiting.iter().filter(|(_, part)| owner(part) == most);
        let oldest = parts.min_by_key(|(_, part)| part.metadata.modified);
        oldest.map(|(key, part)| (*key, part))
    }

    /// The parts of a user.
    pub(super) fn of(&self, owner: &UserId) -> impl Iterator<Item = (Key, &Partial)> {
        let parts = self.waiting.iter().map(|(key, part)| (*key, part));
        parts.filter(move |(_, part)| {
            let label = part.label.as_ref();
            label.is_some_and(|label| label.is_of(owner))
        })
    }

    /// The part is gone without its owner's doing.
    pub(super) fn is_gone(&mut self, key: Key) {
        if self.gone.len() < GONE {
            self.gone.insert(key);
        }
    }
}

/// Uploads that are going on for one key.
#[derive(Default)]
pub(super) struct Active {
    pub(super) count: usize,
    /// The number of the one that began last: of the others nothing is kept, as what one attempt has
    /// sent must not be taken for the beginning of another.
    pub(super) latest: u64,
}

/// A part that waits to be resumed.
pub(super) struct Partial {
    pub(super) label: Option<Arc<Label>>,
    pub(super) metadata: Metadata,
    /// The file, or nothing, that it began over; an older version did not note it.
    pub(super) origin: Option<Origin>,
    /// Its bytes.
    pub(super) held: Held,
}

impl Partial {
    /// Its name in staging.
    pub(super) fn name(&self, key: Key) -> String {
        part_name(key, self.origin)
    }
}
