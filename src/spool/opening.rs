//! Opening staging when the server starts, and what an earlier run has left there.

use std::{
    collections::HashMap,
    io,
    path::Path,
    sync::{Arc, Mutex, Weak},
    time::{Duration, SystemTime},
};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, renameat, unlinkat};

use super::{
    key::Key,
    label::Label,
    lock::{is_locked, lock},
    names::{Name, label_of},
    origin::Origin,
    room::Held,
    slots::{Partial, locked},
    staging::{Staging, is_over},
};
use crate::{
    ftp::metadata::Metadata,
    startup::Startup,
    storage::{
        Result,
        posix::{attributes, describe, facts, facts_at, unique},
    },
    types::access::{Wanted, explain},
};

/// The staging directories of this process, by device and inode. A configuration that is read anew
/// shares them with the sessions of the old one.
static OPEN: Mutex<Vec<(Identity, Weak<Staging>)>> = Mutex::new(Vec::new());

type Identity = (u64, u64);

impl Staging {
    /// Opens a directory that is there. The uploads that an earlier run of the storage has left
    /// become resumable, unless they are older than `age`; a trial leaves all as it is.
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
        let staging = Self::new(directory, in_use, lock);
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
        for entry in Dir::read_from(&*self.directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            let (key, origin, waits) = match Name::parse(name) {
                None => continue,
                Some(Name::Label(key)) => {
                    labels.push(key);
                    continue;
                }
                Some(Name::Release | Name::Copy | Name::Spare) => {
                    unlinkat(&*self.directory, name, AtFlags::empty())?;
                    continue;
                }
                Some(Name::Upload { key, origin, waits }) => (key, origin, waits),
            };
            let metadata = describe(&facts_at(&*self.directory, name)?);
            if metadata.size < if waits { 1 } else { 2 } || is_over(now, metadata.modified, age) {
                unlinkat(&*self.directory, name, AtFlags::empty())?;
                continue;
            }
            let this = Left {
                name: name.to_owned(),
                metadata,
                origin,
                waits,
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
                unlinkat(&*self.directory, older.name, AtFlags::empty())?;
            }
        }
        let mut slots = locked(&self.slots);
        for (key, left) in newest {
            let mut metadata = left.metadata;
            // Of one that was under way all bytes may have come. A client that is told so would send
            // nothing more, and what it sent would never be published.
            if !left.waits {
                let file = self.open_name(&left.name, OFlags::WRONLY)?;
                metadata.size -= 1;
                rustix::fs::ftruncate(file, metadata.size)?;
            }
            let held = Held::existing(&self.room, metadata.size);
            let part = Partial {
                held,
                label: Label::read(self, &label_of(key), storage, key).map(Arc::new),
                metadata,
                origin: left.origin,
            };
            renameat(
                &*self.directory,
                left.name,
                &*self.directory,
                part.name(key),
            )?;
            slots.waiting.insert(key, part);
        }
        for key in labels {
            if !slots.waiting.contains_key(&key) {
                unlinkat(&*self.directory, label_of(key), AtFlags::empty())?;
            }
        }
        Ok(())
    }
}

/// The rest of an upload that an earlier run has left.
struct Left {
    name: String,
    metadata: Metadata,
    origin: Option<Origin>,
    waits: bool,
}
