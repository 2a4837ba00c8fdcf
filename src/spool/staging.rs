//! The directory where uploads wait, unseen.
//!
//! Everything is flat in one directory that one server has for itself.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use rustix::fs::{AtFlags, Mode, OFlags, fstat, openat, unlinkat};

use super::{
    ahead::Allocates,
    key::Key,
    lock::LOCK,
    names::{RELEASE, label_of},
    room::Room,
    slots::{Slots, locked},
    spares::{Spare, Spares},
};
use crate::storage::{
    Result,
    posix::{attributes, writing::Calls},
};

/// One staging directory, this server's alone.
pub(super) struct Staging {
    pub(super) directory: Arc<OwnedFd>,
    pub(super) slots: Mutex<Slots>,
    spares: Mutex<Spares>,
    counter: AtomicU64,
    /// Whether files in it have security labels.
    pub(super) labels: bool,
    pub(super) allocates: Allocates,
    pub(super) calls: Calls,
    /// The bytes of its uploads.
    pub(super) room: Arc<Room>,
    /// Those that are on their way into quarantine.
    pub(super) quarantining: Arc<Room>,
    /// Whether it is a running server's, which a trial leaves alone.
    pub(super) in_use: bool,
    /// Let go when it is closed; a trial has none.
    _lock: Option<OwnedFd>,
}

impl Staging {
    pub(super) fn new(directory: OwnedFd, in_use: bool, lock: Option<OwnedFd>) -> Self {
        Self {
            labels: attributes::labelled(&directory),
            allocates: Allocates::on(&directory),
            calls: Calls::on(&directory),
            directory: Arc::new(directory),
            slots: Mutex::default(),
            spares: Mutex::default(),
            counter: AtomicU64::new(0),
            room: Arc::default(),
            quarantining: Arc::default(),
            in_use,
            _lock: lock,
        }
    }

    /// The file that an upload to this path may be written over, if there is one: a handle of it, its
    /// name and its length.
    pub(super) fn take_spare(&self, key: Key) -> Option<(OwnedFd, Spare)> {
        let spare = locked(&self.spares).take(key)?;
        // A handle that somebody kept may have given it another name since.
        let has_one_name = |file: &OwnedFd| fstat(file).is_ok_and(|found| found.st_nlink == 1);
        let file = self.open_name(&spare.name, OFlags::RDWR).ok();
        match file.filter(has_one_name) {
            Some(file) => Some((file, spare)),
            None => {
                self.remove_spares([spare]);
                None
            }
        }
    }

    /// Keeps a file that was replaced, and that is the server's alone.
    pub(super) fn keep_spare(&self, key: Key, spare: Spare) {
        let removed = locked(&self.spares).put(Instant::now(), key, spare);
        self.remove_spares(removed);
    }

    /// Removes the files that were replaced and not taken again in time.
    pub(super) fn expire_spares(&self) {
        let removed = locked(&self.spares).expire(Instant::now());
        self.remove_spares(removed);
    }

    /// Removes that of a path, or all; whether there were any.
    pub(super) fn drop_spares(&self, key: Option<Key>) -> bool {
        let removed = match key {
            Some(key) => locked(&self.spares).take(key).into_iter().collect(),
            None => locked(&self.spares).clear(),
        };
        let any = !removed.is_empty();
        self.remove_spares(removed);
        any
    }

    fn remove_spares(&self, spares: impl IntoIterator<Item = Spare>) {
        for spare in spares {
            // The next start removes what cannot be removed now.
            let _ = unlinkat(&*self.directory, spare.name, AtFlags::empty());
        }
    }

    pub(super) fn unlabel(&self, key: Key) {
        // The next start removes a label that is left.
        let _ = unlinkat(&*self.directory, label_of(key), AtFlags::empty());
    }

    pub(super) fn open_name(&self, name: &str, flags: OFlags) -> Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&*self.directory, name, flags, Mode::empty())?)
    }

    /// Removes the lock: nothing has been staged, and nothing will be.
    pub(super) fn abandon(&self) {
        let _ = unlinkat(&*self.directory, LOCK, AtFlags::empty());
    }

    /// Which bits of a mode a new file keeps.
    pub(super) fn surviving_mode(&self) -> Result<u32> {
        if self.in_use {
            return Ok(0o777);
        }
        let name = format!("probe.{:x}", self.number());
        let file = self.create(&name, 0o777)?;
        let mode = fstat(&file)?.st_mode & 0o777;
        unlinkat(&*self.directory, &name, AtFlags::empty())?;
        Ok(mode)
    }

    pub(super) fn create(&self, name: &str, mode: u32) -> Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        Ok(openat(
            &*self.directory,
            name,
            flags,
            Mode::from_raw_mode(mode),
        )?)
    }

    /// The name of an upload on its way out of quarantine.
    pub(super) fn release_name(&self, id: &str) -> String {
        format!("{id}.{:x}{RELEASE}", self.number())
    }

    pub(super) fn number(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        self.drop_spares(None);
    }
}

impl AsFd for Staging {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// Whether something has waited for longer than `age`.
pub(super) fn is_over(now: SystemTime, modified: SystemTime, age: Duration) -> bool {
    now.duration_since(modified)
        .is_ok_and(|waited| waited > age)
}
