//! Where uploads wait, unseen.
//!
//! A file that is being written is `KEY.NUMBER.new`, one of which all bytes have come
//! `KEY.NUMBER.whole`, one that waits to be resumed `KEY.part`, and a copy of what is published, to
//! which an upload will be added, `KEY.NUMBER.copy`; the key is a digest of who sends what where,
//! which `KEY.label` says in full. Everything is flat in one directory that one server has for
//! itself, so what waits and what is written is known without asking the disk.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FlockOperation, Mode, OFlags, flock, fstat, openat, renameat, unlinkat,
    },
    io::Errno,
};

use super::{
    beneath::{describe, discard, facts, facts_at, unique},
    key::Key,
    label::Label,
    progress::Claim,
};
use crate::{
    ftp::metadata::Metadata,
    storage::{Error, Result, Waiting},
};

/// From this size on, freeing a file is left to the pool.
pub(super) const LARGE: u64 = 64 << 20;

pub(super) const NEW: &str = ".new";
pub(super) const COPY: &str = ".copy";
pub(super) const WHOLE: &str = ".whole";
const PART: &str = ".part";
const LABEL: &str = ".label";
const RELEASE: &str = ".release";
const LOCK: &str = "lock";

pub(super) fn part_of(key: Key) -> String {
    key.digits() + PART
}

pub(super) fn label_of(key: Key) -> String {
    key.digits() + LABEL
}

/// One staging directory, this server's alone.
pub(super) struct Staging {
    pub(super) directory: OwnedFd,
    pub(super) slots: Mutex<Slots>,
    counter: AtomicU64,
    /// Let go when it is closed.
    _lock: OwnedFd,
}

#[derive(Default)]
pub(super) struct Slots {
    /// How many uploads are going on for a key.
    pub(super) active: HashMap<Key, usize>,
    /// Which parts wait to be resumed.
    pub(super) waiting: HashMap<Key, Part>,
}

/// A part that waits to be resumed.
pub(super) struct Part {
    pub(super) label: Option<Arc<Label>>,
    pub(super) metadata: Metadata,
}

/// The staging directories of this process, by device and inode. A configuration that is read anew
/// shares them with the sessions of the old one.
static OPEN: Mutex<Vec<(Identity, Weak<Staging>)>> = Mutex::new(Vec::new());

type Identity = (u64, u64);

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Staging {
    /// Opens a directory that is there. What an earlier run of the storage has left becomes
    /// resumable, unless it is older than `age`.
    pub(super) fn open(path: &Path, storage: &str, age: Duration) -> io::Result<Arc<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, path, flags, Mode::empty())?;
        let found = facts(&directory).map_err(io::Error::other)?;
        if found.stx_mode & 0o077 != 0 {
            let mode = found.stx_mode & 0o777;
            return Err(io::Error::other(format!(
                "others may enter it (mode {mode:o}, not 700)"
            )));
        }
        let id = unique(&found);
        let mut open = locked(&OPEN);
        open.retain(|(_, staging)| staging.strong_count() > 0);
        let shared = open.iter().find(|(other, _)| *other == id);
        if let Some(staging) = shared.and_then(|(_, staging)| staging.upgrade()) {
            return Ok(staging);
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = openat(&directory, LOCK, flags, Mode::from_raw_mode(0o600))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            Errno::WOULDBLOCK => io::Error::other("another server is using it"),
            error => error.into(),
        })?;
        let staging = Self {
            directory,
            slots: Mutex::default(),
            counter: AtomicU64::new(0),
            _lock: lock,
        };
        staging.adopt(storage, age).map_err(io::Error::other)?;
        let staging = Arc::new(staging);
        open.push((id, Arc::downgrade(&staging)));
        Ok(staging)
    }

    /// Takes over what an earlier run has left: of each key the newest, as a part.
    fn adopt(&self, storage: &str, age: Duration) -> Result<()> {
        let now = SystemTime::now();
        let mut newest: HashMap<Key, (Metadata, String)> = HashMap::new();
        let mut labels = Vec::new();
        for entry in Dir::read_from(&self.directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if name.ends_with(RELEASE) {
                // It is in quarantine, too.
                unlinkat(&self.directory, name, AtFlags::empty())?;
                continue;
            }
            if let Some(key) = name.strip_suffix(LABEL).and_then(Key::from_digits) {
                labels.push(key);
            }
            let numbered = |suffix| {
                let (key, number) = name.strip_suffix(suffix)?.split_once('.')?;
                u64::from_str_radix(number, 16).ok().map(|_| key)
            };
            // How much of it there is says nothing: it is no beginning of anything.
            if numbered(COPY).and_then(Key::from_digits).is_some() {
                unlinkat(&self.directory, name, AtFlags::empty())?;
                continue;
            }
            let text = name
                .strip_suffix(PART)
                .or_else(|| numbered(NEW).or_else(|| numbered(WHOLE)));
            let Some(key) = text.and_then(Key::from_digits) else {
                continue;
            };
            let found = describe(&facts_at(&self.directory, name)?);
            let least = if name.ends_with(WHOLE) { 2 } else { 1 };
            if found.size < least || is_over(now, found.modified, age) {
                unlinkat(&self.directory, name, AtFlags::empty())?;
                continue;
            }
            let this = (found, name.to_owned());
            let older = match newest.remove(&key) {
                Some(other) if other.0.modified >= this.0.modified => {
                    newest.insert(key, other);
                    Some(this)
                }
                other => {
                    newest.insert(key, this);
                    other
                }
            };
            if let Some((_, older)) = older {
                unlinkat(&self.directory, older, AtFlags::empty())?;
            }
        }
        let mut slots = locked(&self.slots);
        for (key, (mut metadata, name)) in newest {
            if name.ends_with(WHOLE) {
                let file = self.open_name(&name, OFlags::WRONLY)?;
                metadata.size -= 1;
                rustix::fs::ftruncate(file, metadata.size)?;
            }
            renameat(&self.directory, name, &self.directory, part_of(key))?;
            let label = Label::read(self, &label_of(key), storage, key).map(Arc::new);
            let part = Part { label, metadata };
            slots.waiting.insert(key, part);
        }
        for key in labels {
            if !slots.waiting.contains_key(&key) {
                unlinkat(&self.directory, label_of(key), AtFlags::empty())?;
            }
        }
        Ok(())
    }

    /// What waits, the newest first.
    pub(super) fn waiting(&self) -> Vec<Waiting> {
        let slots = locked(&self.slots);
        let waiting = slots.waiting.values().map(|part| Waiting {
            label: part
                .label
                .as_ref()
                .map(|label| (label.owner.clone(), label.path.clone())),
            size: part.metadata.size,
            modified: part.metadata.modified,
        });
        let mut waiting: Vec<_> = waiting.collect();
        drop(slots);
        waiting.sort_by_key(|part| std::cmp::Reverse(part.modified));
        waiting
    }

    /// Names and facts of what waits for `owner` right in `directory`.
    pub(super) fn waiting_in(&self, owner: &str, directory: &str) -> HashMap<String, Metadata> {
        let slots = locked(&self.slots);
        let parts = slots.waiting.values().filter_map(|part| {
            let label = part.label.as_ref().filter(|label| label.owner == owner)?;
            let name = label.name_in(directory)?;
            Some((name.to_owned(), part.metadata))
        });
        parts.collect()
    }

    /// Bytes of what waits for `owner` somewhere below `home`.
    pub(super) fn waiting_size(&self, owner: &str, home: &str) -> u64 {
        let slots = locked(&self.slots);
        let parts = slots.waiting.values().filter(|part| {
            part.label.as_ref().is_some_and(|label| {
                let below = label.path.strip_prefix(home);
                label.owner == owner && below.is_some_and(|path| path.starts_with('/'))
            })
        });
        parts.map(|part| part.metadata.size).sum()
    }

    /// Removes the oldest parts until no more than `size` bytes wait; says how many.
    pub(super) fn make_room(&self, size: u64) -> Result<usize> {
        let mut removed = 0;
        loop {
            let slots = locked(&self.slots);
            let sizes = slots.waiting.values().map(|part| part.metadata.size);
            let total: u64 = sizes.sum();
            let parts = slots.waiting.iter();
            let oldest = parts.min_by_key(|(_, part)| part.metadata.modified);
            let Some(key) = oldest.map(|(key, _)| *key).filter(|_| total > size) else {
                return Ok(removed);
            };
            drop(slots);
            // Whoever came to resume it meanwhile has it.
            if self.forget(|| key)? {
                removed += 1;
            }
        }
    }

    /// Removes the parts that nobody has come back for; says how many.
    pub(super) fn expire(&self, age: Duration) -> Result<usize> {
        let now = SystemTime::now();
        let waiting: Vec<Key> = locked(&self.slots).waiting.keys().copied().collect();
        let mut expired = 0;
        for key in waiting {
            let name = part_of(key);
            // The handle keeps the content until the lock is free again: freeing may take long.
            let Ok(part) = self.open_name(&name, OFlags::PATH) else {
                continue;
            };
            let mut slots = locked(&self.slots);
            let modified = facts_at(&self.directory, &name).map(|found| describe(&found).modified);
            if modified.is_ok_and(|modified| is_over(now, modified, age))
                && slots.waiting.remove(&key).is_some()
            {
                unlinkat(&self.directory, &name, AtFlags::empty())?;
                self.unlabel(key);
                expired += 1;
            }
            drop(slots);
            drop(part);
        }
        Ok(expired)
    }

    /// Facts of the part that waits.
    pub(super) fn partial(&self, key: impl FnOnce() -> Key) -> Result<Option<Metadata>> {
        let slots = locked(&self.slots);
        if slots.waiting.is_empty() {
            return Ok(None);
        }
        let key = key();
        if !slots.waiting.contains_key(&key) {
            return Ok(None);
        }
        match facts_at(&self.directory, &part_of(key)) {
            Ok(found) => Ok(Some(describe(&found))),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the part that waits, if one does.
    pub(super) fn forget(&self, key: impl FnOnce() -> Key) -> Result<bool> {
        let mut slots = locked(&self.slots);
        if slots.waiting.is_empty() {
            return Ok(false);
        }
        let key = key();
        if slots.waiting.remove(&key).is_none() {
            return Ok(false);
        }
        let name = part_of(key);
        let held = self.open_name(&name, OFlags::PATH).ok();
        let removed = unlinkat(&self.directory, name, AtFlags::empty());
        self.unlabel(key);
        drop(slots);
        discard(held);
        match removed {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn unlabel(&self, key: Key) {
        // What is left of it, the next start removes.
        let _ = unlinkat(&self.directory, label_of(key), AtFlags::empty());
    }

    /// Begins an upload. With `alone`, only if there is no other one for the key.
    pub(super) fn claim(
        self: &Arc<Self>,
        key: Key,
        label: Arc<Label>,
        alone: bool,
    ) -> Result<Claim> {
        let mut slots = locked(&self.slots);
        let active = slots.active.entry(key).or_default();
        if alone && *active > 0 {
            return Err(Error::Busy);
        }
        *active += 1;
        Ok(Claim::new(self.clone(), key, label))
    }

    pub(super) fn open_name(&self, name: &str, flags: OFlags) -> Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.directory, name, flags, Mode::empty())?)
    }

    /// Removes the lock: nothing has been staged, and nothing will be.
    pub(super) fn abandon(&self) {
        let _ = unlinkat(&self.directory, LOCK, AtFlags::empty());
    }

    /// Which bits of a mode a new file keeps.
    pub(super) fn surviving_mode(&self) -> Result<u32> {
        let name = format!("probe.{:x}", self.number());
        let file = self.create(&name, 0o777)?;
        let mode = fstat(&file)?.st_mode & 0o777;
        unlinkat(&self.directory, &name, AtFlags::empty())?;
        Ok(mode)
    }

    pub(super) fn create(&self, name: &str, mode: u32) -> Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        Ok(openat(
            &self.directory,
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

impl AsFd for Staging {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

fn is_over(now: SystemTime, modified: SystemTime, age: Duration) -> bool {
    now.duration_since(modified)
        .is_ok_and(|waited| waited > age)
}
