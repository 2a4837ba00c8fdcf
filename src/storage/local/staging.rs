//! Where uploads wait, unseen.
//!
//! A file that is being written is `KEY.NUMBER.ORIGIN.new`, one of which all bytes have come
//! `KEY.NUMBER.ORIGIN.whole`, one that waits to be resumed `KEY.ORIGIN.part`, and one that begins with
//! a copy of what is published, as long as that is not whole, `KEY.NUMBER.ORIGIN.copy`. The key is a
//! digest of who sends what where, which `KEY.label` says in full; the origin tells what it began
//! over. Everything is flat in one directory that one server has for itself, so what waits and what
//! is written is known without asking the disk.

use std::{
    collections::{HashMap, HashSet},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FlockOperation, Mode, OFlags, flock, fstat, fstatvfs, openat, renameat,
        unlinkat,
    },
    io::Errno,
};

use super::{
    attributes,
    confined_dir::{describe, discard, facts, facts_at, unique},
    key::Key,
    label::Label,
    origin::Origin,
    progress::Claim,
    target::Target,
};
use crate::{
    access::{Wanted, explain},
    ftp::metadata::Metadata,
    startup::Startup,
    storage::{Error, Result, Waiting},
    types::UserId,
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

pub(super) fn label_of(key: Key) -> String {
    key.digits() + LABEL
}

/// One staging directory, this server's alone.
pub(super) struct Staging {
    pub(super) directory: OwnedFd,
    pub(super) slots: Mutex<Slots>,
    counter: AtomicU64,
    names: RwLock<()>,
    /// Whether files in it have security labels.
    pub(super) labels: bool,
    /// Whether it is a running server's, which a trial leaves alone.
    pub(super) in_use: bool,
    /// Let go when it is closed; a trial has none.
    _lock: Option<OwnedFd>,
}

/// How often, and how long apart, the lock is tried: for a moment a trial may have it.
const LOCK_TRIES: (u32, Duration) = (10, Duration::from_millis(20));

/// Takes the directory for this server alone.
fn lock(directory: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = openat(directory, LOCK, flags, Mode::from_raw_mode(0o600));
    let lock = lock.map_err(|error| no_lock(error, path))?;
    let (mut tries, pause) = LOCK_TRIES;
    loop {
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if tries > 1 => tries -= 1,
            Err(Errno::WOULDBLOCK) => return Err(io::Error::other("another server is using it")),
            Err(error) => return Err(error.into()),
            Ok(()) => return Ok(lock),
        }
        std::thread::sleep(pause);
    }
}

/// Whether the running server has locked it; makes sure that it could be locked otherwise.
fn is_locked(directory: &OwnedFd, path: &Path, startup: &Startup) -> io::Result<bool> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = match openat(directory, LOCK, flags, Mode::empty()) {
        Ok(lock) => lock,
        Err(Errno::NOENT) => return startup.try_to_write(path).map(|()| false),
        Err(error) => return Err(no_lock(error, path)),
    };
    // Shared, so that two trials do not hinder each other.
    match flock(&lock, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => {
            let running = startup.running();
            match running.is_some_and(|running| running.staging.iter().any(|one| one == path)) {
                true => Ok(true),
                false => Err(io::Error::other("another server is using it")),
            }
        }
        Err(error) => Err(error.into()),
        Ok(()) => Ok(false),
    }
}

fn no_lock(error: Errno, directory: &Path) -> io::Error {
    let lock = directory.join(LOCK);
    match lock.exists() {
        true => {
            let error = explain(error.into(), &lock, Wanted::Write);
            io::Error::new(error.kind(), format!("{LOCK}: {error}"))
        }
        false => explain(error.into(), directory, Wanted::Fill),
    }
}

#[derive(Default)]
pub(super) struct Slots {
    /// The uploads that are going on for a key.
    pub(super) active: HashMap<Key, Active>,
    /// Which parts wait to be resumed.
    pub(super) waiting: HashMap<Key, Part>,
    /// Where a part is gone since something else lies there, and its owner has not been told yet.
    pub(super) gone: HashSet<Key>,
}

/// The most that are remembered as gone.
const GONE: usize = 100_000;

impl Slots {
    /// The oldest part of the user of whom most bytes wait: nobody makes room for what another hoards.
    fn gives_way(&self) -> Option<(Key, &Part)> {
        let owner = |part: &Part| part.label.as_ref().map(|label| label.user());
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
    fn of(&self, owner: &UserId) -> impl Iterator<Item = (Key, &Part)> {
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
pub(super) struct Part {
    pub(super) label: Option<Arc<Label>>,
    pub(super) metadata: Metadata,
    /// The file, or nothing, that it began over; an older version did not note it.
    pub(super) origin: Option<Origin>,
}

impl Part {
    /// Its name in staging.
    pub(super) fn name(&self, key: Key) -> String {
        part_name(key, self.origin)
    }
}

fn part_name(key: Key, origin: Option<Origin>) -> String {
    let mut name = key.digits();
    if let Some(origin) = origin {
        name.push('.');
        origin.push_to(&mut name);
    }
    name + PART
}

/// The meaning of a file's name in staging.
enum Found {
    Label(Key),
    /// On its way out of quarantine, where it still is.
    Release,
    /// An upload that is not whole, or waits for its verdict.
    Upload {
        key: Key,
        origin: Option<Origin>,
        whole: bool,
    },
    /// How much of it there is says nothing: it is no beginning of anything.
    Copy,
}

impl Found {
    fn parse(name: &str) -> Option<Self> {
        if name.ends_with(RELEASE) {
            return Some(Self::Release);
        }
        let (name, suffix) = name.split_at(name.rfind('.')?);
        let (key, rest) = match name.split_once('.') {
            Some((key, rest)) => (Key::from_digits(key)?, Some(rest)),
            None => (Key::from_digits(name)?, None),
        };
        let origin = match (suffix, rest) {
            (LABEL, None) => return Some(Self::Label(key)),
            (COPY, Some(_)) => return Some(Self::Copy),
            (PART, rest) => rest,
            (NEW | WHOLE, Some(rest)) => {
                let (number, origin) = match rest.split_once('.') {
                    Some((number, origin)) => (number, Some(origin)),
                    None => (rest, None),
                };
                u64::from_str_radix(number, 16).ok()?;
                origin
            }
            _ => return None,
        };
        let origin = match origin {
            Some(text) => Some(Origin::parse(text)?),
            None => None,
        };
        let whole = suffix == WHOLE;
        Some(Self::Upload { key, origin, whole })
    }
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
    /// resumable, unless it is older than `age`; a trial leaves all as it is.
    pub(super) fn open(
        path: &Path,
        storage: &str,
        age: Duration,
        startup: &Startup,
    ) -> io::Result<Arc<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, path, flags, Mode::empty())
            .map_err(|error| explain(error.into(), path, Wanted::Fill))?;
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
        let (lock, in_use) = match startup.is_trial() {
            true => (None, is_locked(&directory, path, startup)?),
            false => (Some(lock(&directory, path)?), false),
        };
        if !startup.is_trial() {
            // The place of an upload gives it its attributes.
            attributes::clear_default(&directory).map_err(io::Error::other)?;
        }
        let staging = Self {
            labels: attributes::labelled(&directory),
            directory,
            slots: Mutex::default(),
            counter: AtomicU64::new(0),
            names: RwLock::new(()),
            in_use,
            _lock: lock,
        };
        if !startup.is_trial() {
            staging.adopt(storage, age).map_err(io::Error::other)?;
        }
        let staging = Arc::new(staging);
        open.push((id, Arc::downgrade(&staging)));
        Ok(staging)
    }

    /// Takes over what an earlier run has left: of each key the newest, as a part.
    fn adopt(&self, storage: &str, age: Duration) -> Result<()> {
        let now = SystemTime::now();
        let mut newest: HashMap<Key, Left> = HashMap::new();
        let mut labels = Vec::new();
        for entry in Dir::read_from(&self.directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            let (key, origin, whole) = match Found::parse(name) {
                None => continue,
                Some(Found::Label(key)) => {
                    labels.push(key);
                    continue;
                }
                Some(Found::Release | Found::Copy) => {
                    unlinkat(&self.directory, name, AtFlags::empty())?;
                    continue;
                }
                Some(Found::Upload { key, origin, whole }) => (key, origin, whole),
            };
            let metadata = describe(&facts_at(&self.directory, name)?);
            let least = if whole { 2 } else { 1 };
            if metadata.size < least || is_over(now, metadata.modified, age) {
                unlinkat(&self.directory, name, AtFlags::empty())?;
                continue;
            }
            let this = Left {
                name: name.to_owned(),
                metadata,
                origin,
                whole,
            };
            let older = match newest.remove(&key) {
                Some(other) if other.metadata.modified >= metadata.modified => {
                    newest.insert(key, other);
                    Some(this)
                }
                other => {
                    newest.insert(key, this);
                    other
                }
            };
            if let Some(older) = older {
                unlinkat(&self.directory, older.name, AtFlags::empty())?;
            }
        }
        let mut slots = locked(&self.slots);
        for (key, left) in newest {
            let mut metadata = left.metadata;
            if left.whole {
                let file = self.open_name(&left.name, OFlags::WRONLY)?;
                metadata.size -= 1;
                rustix::fs::ftruncate(file, metadata.size)?;
            }
            let part = Part {
                label: Label::read(self, &label_of(key), storage, key).map(Arc::new),
                metadata,
                origin: left.origin,
            };
            renameat(&self.directory, left.name, &self.directory, part.name(key))?;
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

    /// Bytes of what waits for `owner` somewhere below `home`.
    pub(super) fn waiting_size(&self, owner: &UserId, home: &str) -> u64 {
        let slots = locked(&self.slots);
        let parts = slots.waiting.values().filter(|part| {
            part.label.as_ref().is_some_and(|label| {
                let below = label.path.strip_prefix(home);
                label.is_of(owner) && below.is_some_and(|path| path.starts_with('/'))
            })
        });
        parts.map(|part| part.metadata.size).sum()
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
        let facts = fstatvfs(&self.directory)?;
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
            let over = |part: &Part| {
                let found = facts_at(&self.directory, &part.name(key));
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
    pub(super) fn fresh(&self, key: Key, target: &Target) -> Result<Option<(Metadata, u64)>> {
        let slots = locked(&self.slots);
        let Some(part) = slots.waiting.get(&key) else {
            return Ok(None);
        };
        let origin = part.origin;
        if Origin::fits(origin, target)? {
            let base = origin.map_or(0, |origin| origin.base);
            return match facts_at(&self.directory, &part.name(key)) {
                Ok(found) => Ok(Some((describe(&found), base))),
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

    fn forget_if(&self, key: Key, wanted: impl FnOnce(&Part) -> bool) -> Result<bool> {
        let (removed, held) = self.remove_if(key, wanted)?;
        discard(held);
        Ok(removed)
    }

    /// Whether it was there, and a handle that keeps the content until the lock is free again:
    /// freeing may take long.
    fn remove_if(
        &self,
        key: Key,
        wanted: impl FnOnce(&Part) -> bool,
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
        let removed = unlinkat(&self.directory, name, AtFlags::empty());
        self.unlabel(key);
        drop(slots);
        match removed {
            Ok(()) => Ok((true, held)),
            Err(Errno::NOENT) => Ok((false, held)),
            Err(error) => Err(error.into()),
        }
    }

    /// Held while the name of anything published changes.
    pub(super) fn names_change(&self) -> RwLockReadGuard<'_, ()> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held while no name of anything published may change through the server.
    pub(super) fn names_stay(&self) -> RwLockWriteGuard<'_, ()> {
        self.names.write().unwrap_or_else(PoisonError::into_inner)
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
        if alone && active.count > 0 {
            return Err(Error::Busy);
        }
        active.count += 1;
        active.latest = self.number();
        Ok(Claim::new(self.clone(), key, active.latest, label))
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
        if self.in_use {
            return Ok(0o777);
        }
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

/// The rest of an upload that an earlier run has left.
struct Left {
    name: String,
    metadata: Metadata,
    origin: Option<Origin>,
    whole: bool,
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
