//! The bytes that a staging directory may hold.

use std::sync::{
    Arc,
    atomic::{
        AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
};

use crate::storage::{Error, Result};

/// The key of the limit.
const KEY: &str = "staging-size";

/// The bytes of all uploads that are in a staging directory, under way or waiting.
#[derive(Default)]
pub(super) struct Room {
    held: AtomicU64,
    /// 0: no limit.
    limit: AtomicU64,
}

impl Room {
    /// Bytes that are there stay, even if they are more.
    pub(super) fn limit(&self, bytes: u64) {
        self.limit.store(bytes, Relaxed);
    }

    /// All of them.
    pub(super) fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    fn take(&self, more: u64) -> Result<()> {
        let limit = self.limit.load(Relaxed);
        let grown = |held: u64| {
            let all = held.saturating_add(more);
            (limit == 0 || all <= limit).then_some(all)
        };
        let taken = self.held.fetch_update(AcqRel, Acquire, grown);
        taken.map(drop).map_err(|_| Error::Bound(KEY))
    }
}

/// The bytes of one upload. Dropped, they are free.
pub(super) struct Held {
    room: Arc<Room>,
    bytes: u64,
}

impl Held {
    /// Of what is there already, whatever the limit is.
    pub(super) fn existing(room: &Arc<Room>, bytes: u64) -> Self {
        room.held.fetch_add(bytes, AcqRel);
        Self {
            room: room.clone(),
            bytes,
        }
    }

    /// There are to be `length` bytes.
    ///
    /// # Errors
    /// [`Error::Bound`] where that is too much; nothing is changed then.
    pub(super) fn grow(&mut self, length: u64) -> Result<()> {
        let more = length.saturating_sub(self.bytes);
        if more > 0 {
            self.room.take(more)?;
            self.bytes += more;
        }
        Ok(())
    }

    /// Hands them on.
    pub(super) fn take(&mut self) -> Self {
        Self {
            room: self.room.clone(),
            bytes: std::mem::take(&mut self.bytes),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.held.fetch_sub(self.bytes, AcqRel);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn all_together_have_no_more_than_the_limit() {
        let room = Arc::new(Room::default());
        let mut first = Held::existing(&room, 60);
        room.limit(100);
        let mut second = Held::existing(&room, 0);
        second.grow(40).unwrap();
        assert!(matches!(second.grow(41), Err(Error::Bound(_))));
        second.grow(40).unwrap();
        let handed_on = first.take();
        drop(first);
        assert!(matches!(second.grow(41), Err(Error::Bound(_))));
        drop(handed_on);
        second.grow(100).unwrap();
        drop(second);
        assert_eq!(room.held(), 0);
    }

    #[test]
    fn a_limit_that_is_exceeded_removes_nothing() {
        let room = Arc::new(Room::default());
        let mut held = Held::existing(&room, 200);
        room.limit(100);
        assert!(held.grow(201).is_err());
        held.grow(200).unwrap();
        room.limit(0);
        held.grow(u64::MAX).unwrap();
    }
}
