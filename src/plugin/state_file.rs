//! What `state` holds, on disk: `[state] file`.
//!
//! Memory stays the truth. Changes are noted as they are made and written by a thread of its own, a
//! transaction for all that has gathered, so that no plugin waits for the disk; a server that is
//! killed loses what it noted in the last moments ([`GATHER`] and one write), one that ends nothing.

use std::{
    collections::HashMap,
    fs::OpenOptions,
    mem,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use redb::{Database, ReadableDatabase, TableDefinition, backends::FileBackend};

/// By plugin and key: when it expires, in milliseconds of Unix time, 0 for never; and the value.
const TABLE: TableDefinition<(&str, &str), (u64, &[u8])> = TableDefinition::new("state");
/// How long changes gather before they are written.
const GATHER: Duration = Duration::from_millis(50);
/// How long until a write that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Memory for pages of the file.
const CACHE: usize = 1 << 20;

/// A value, and when it expires.
pub(super) type Stored = (Vec<u8>, Option<SystemTime>);

/// The file, open and locked for this process. Dropped, it has written everything.
pub(super) struct StateFile {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    database: Database,
    pending: Mutex<Pending>,
    changed: Condvar,
    written: Condvar,
}

#[derive(Default)]
struct Pending {
    /// The newest of each key; none where it is gone.
    changes: HashMap<(Arc<str>, String), Option<Stored>>,
    writing: bool,
    ending: bool,
}

impl StateFile {
    /// Opens the file, or makes it, for its owner alone.
    ///
    /// # Errors
    /// For people: that it cannot be opened, is damaged, or is another server's.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let failed = |error: String| format!("{}: {error}", path.display());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|error| failed(error.to_string()))?;
        let database = Database::builder()
            .set_cache_size(CACHE)
            .create_with_backend(FileBackend::new(file).map_err(|error| failed(error.to_string()))?)
            .map_err(|error| failed(error.to_string()))?;
        let shared = Arc::new(Shared {
            database,
            pending: Mutex::default(),
            changed: Condvar::new(),
            written: Condvar::new(),
        });
        // The table is there from now on.
        shared
            .write(&HashMap::new())
            .map_err(|error| failed(error.to_string()))?;
        let writing = shared.clone();
        let writer = thread::Builder::new()
            .name("plugin-state".into())
            .spawn(move || writing.run())
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self {
            shared,
            writer: Some(writer),
        })
    }

    /// All values of a plugin that have not expired.
    ///
    /// # Errors
    /// For people.
    pub(super) fn read(&self, plugin: &str) -> Result<Vec<(String, Stored)>, String> {
        // What was noted last belongs to it, too.
        self.flush();
        self.shared
            .read(plugin)
            .map_err(|error| format!("the state of {plugin} cannot be read: {error}"))
    }

    /// Notes that a value is set, or gone.
    pub(super) fn note(&self, plugin: &Arc<str>, key: &str, value: Option<Stored>) {
        let mut pending = self.shared.pending();
        let key = (plugin.clone(), key.to_owned());
        pending.changes.insert(key, value);
        drop(pending);
        self.shared.changed.notify_one();
    }

    /// Waits until all that was noted is on the disk, or cannot be written.
    pub(super) fn flush(&self) {
        let mut pending = self.shared.pending();
        if pending.changes.is_empty() && !pending.writing {
            return;
        }
        // One write may be under way, with older changes, and one comes after it.
        for _ in 0..2 {
            let waited = self
                .shared
                .written
                .wait_timeout_while(pending, RETRY, |pending| {
                    !pending.changes.is_empty() || pending.writing
                });
            pending = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for StateFile {
    fn drop(&mut self) {
        self.shared.pending().ending = true;
        self.shared.changed.notify_one();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut failing = false;
        loop {
            let wait = if failing { RETRY } else { GATHER };
            let mut pending = self.pending();
            while pending.changes.is_empty() && !pending.ending {
                let waited = self.changed.wait(pending);
                pending = waited.unwrap_or_else(PoisonError::into_inner);
            }
            let gathered = self
                .changed
                .wait_timeout_while(pending, wait, |pending| !pending.ending);
            pending = gathered.unwrap_or_else(PoisonError::into_inner).0;
            let ending = pending.ending;
            let changes = mem::take(&mut pending.changes);
            pending.writing = true;
            drop(pending);

            let written = if changes.is_empty() {
                Ok(())
            } else {
                self.write(&changes)
            };
            let mut pending = self.pending();
            pending.writing = false;
            match written {
                Ok(()) => {
                    if failing {
                        tracing::info!("the state of plugins is written again");
                    }
                    failing = false;
                }
                Err(error) => {
                    if !failing || ending {
                        tracing::error!(%error, "the state of plugins cannot be written: it is \
                            kept in memory, and a restart would lose it");
                    }
                    failing = true;
                    for (key, value) in changes {
                        pending.changes.entry(key).or_insert(value);
                    }
                }
            }
            self.written.notify_all();
            if ending {
                return;
            }
        }
    }

    fn write(
        &self,
        changes: &HashMap<(Arc<str>, String), Option<Stored>>,
    ) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for ((plugin, key), value) in changes {
                let key = (&**plugin, key.as_str());
                match value {
                    Some((value, until)) => {
                        table.insert(key, (until.map_or(0, millis), value.as_slice()))?;
                    }
                    None => {
                        table.remove(key)?;
                    }
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn read(&self, plugin: &str) -> Result<Vec<(String, Stored)>, redb::Error> {
        let now = SystemTime::now();
        let transaction = self.database.begin_read()?;
        let table = transaction.open_table(TABLE)?;
        let mut values = Vec::new();
        for entry in table.range((plugin, "")..)? {
            let (key, value) = entry?;
            let (of, key) = key.value();
            if of != plugin {
                break;
            }
            let (until, value) = value.value();
            let until = (until > 0).then(|| UNIX_EPOCH + Duration::from_millis(until));
            if until.is_none_or(|until| until > now) {
                values.push((key.to_owned(), (value.to_vec(), until)));
            } else {
                let gone = (Arc::from(plugin), key.to_owned());
                self.pending().changes.entry(gone).or_insert(None);
            }
        }
        self.changed.notify_one();
        Ok(values)
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn values_are_there_again_and_expired_ones_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.redb");
        let plugin: Arc<str> = "lockout".into();
        {
            let file = StateFile::open(&path).unwrap();
            let later = SystemTime::now() + Duration::from_secs(60);
            file.note(&plugin, "a", Some((b"1".to_vec(), None)));
            file.note(&plugin, "b", Some((b"2".to_vec(), Some(later))));
            file.note(&plugin, "c", Some((b"3".to_vec(), Some(UNIX_EPOCH))));
            file.note(&plugin, "d", Some((b"4".to_vec(), None)));
            file.note(&"lockouts".into(), "a", Some((b"other".to_vec(), None)));
            file.flush();
            file.note(&plugin, "d", None);
            assert!(StateFile::open(&path).is_err(), "one server at a time");
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let file = StateFile::open(&path).unwrap();
        let values = file.read("lockout").unwrap();
        let keys: Vec<_> = values
            .iter()
            .map(|(key, (value, _))| (key.as_str(), value))
            .collect();
        assert_eq!(keys, [("a", &b"1".to_vec()), ("b", &b"2".to_vec())]);
        assert_eq!(file.read("nobody").unwrap(), []);
    }

    #[test]
    fn what_is_no_database_is_said_to_be_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.redb");
        fs::write(&path, "no database").unwrap();
        let error = StateFile::open(&path).err().unwrap();
        assert!(error.contains("state.redb"), "{error}");
        assert_eq!(
            fs::read(&path).unwrap(),
            b"no database",
            "it is left as it was"
        );
    }
}
