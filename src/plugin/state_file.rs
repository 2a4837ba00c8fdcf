//! The entries of `state`, on disk: `[state] file`.
//!
//! Memory stays the truth. Changes are noted as they are made and written by a thread of its own, a
//! transaction for all that has gathered, so that no plugin waits for the disk; a server that is
//! killed loses what it noted in the last moments ([`GATHER`] and one write), one that ends nothing.
//!
//! A database that has failed once fails for ever after. So it is closed, and opened again every few
//! seconds until that works; then all that memory holds is written, since nobody knows what of it the
//! file has.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    mem,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    thread::{self, JoinHandle},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{
    startup::Startup,
    types::access::{Wanted, explain},
};
use redb::{Database, ReadableDatabase, StorageBackend, TableDefinition, backends::FileBackend};

/// By plugin and key: when it expires, in milliseconds of Unix time, 0 for never, with the bit
/// [`YIELDS`]; and the value.
const TABLE: TableDefinition<(&str, &str), (u64, &[u8])> = TableDefinition::new("state");
/// How long changes gather before they are written.
const GATHER: Duration = Duration::from_millis(50);
/// How long until a write that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Memory for pages of the file.
const CACHE: usize = 1 << 20;

/// Of a counter that gives way to others: this bit of the time at which it expires.
const YIELDS: u64 = 1 << 63;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) value: Vec<u8>,
    /// When it expires.
    pub(super) until: Option<SystemTime>,
    /// Whether it gives way where there is no room.
    pub(super) yields: bool,
}

impl Stored {
    /// As the table has it.
    fn row(&self) -> (u64, &[u8]) {
        let until = self.until.map_or(0, millis);
        let yields = if self.yields { YIELDS } else { 0 };
        (until | yields, &self.value)
    }

    fn from_row((until, value): (u64, &[u8])) -> Self {
        let millis = until & !YIELDS;
        Self {
            value: value.to_vec(),
            until: (millis > 0).then(|| UNIX_EPOCH + Duration::from_millis(millis)),
            yields: until & YIELDS != 0,
        }
    }
}

/// The state of one plugin in memory.
pub(super) trait Source: Send + Sync {
    /// All of it that has not expired.
    fn all(&self) -> Vec<(String, Stored)>;
}

/// Opens the database, and makes it where it is not there.
type Opener = Box<dyn Fn() -> Result<Database, redb::Error> + Send + Sync>;

/// The file, open and locked for this process. Dropped, it has written everything.
pub(super) struct StateFile {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    open: Opener,
    retry: Duration,
    /// None since it has failed.
    database: Mutex<Option<Database>>,
    pending: Mutex<Pending>,
    changed: Condvar,
    written: Condvar,
}

#[derive(Default)]
struct Pending {
    /// The newest of each key; none where it is gone.
    changes: HashMap<(Arc<str>, String), Option<Stored>>,
    /// Where all of it is to be had.
    sources: HashMap<Arc<str>, Weak<dyn Source>>,
    writing: bool,
    ending: bool,
    /// Why nothing is written, and since when.
    failed: Option<(SystemTime, String)>,
}

impl StateFile {
    /// Opens the file, or makes it, for its owner alone.
    ///
    /// # Errors
    /// For people: that it cannot be opened, is damaged, or is another server's.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let name = path.display().to_string();
        let path = path.to_owned();
        let open = move || database(FileBackend::new(file(&path)?)?);
        Self::with(Box::new(open), RETRY).map_err(|error| format!("{name}: {error}"))
    }

    /// Makes the file if it is not there: afterwards its directory may be out of reach.
    ///
    /// # Errors
    /// That it cannot be opened, for people.
    pub(super) fn make(path: &Path) -> Result<(), String> {
        let made = file(path).map(drop);
        made.map_err(|error| format!("{}: {}", path.display(), redb::Error::from(error)))
    }

    /// Finds out whether [`open`](Self::open) would succeed, and makes nothing.
    ///
    /// # Errors
    /// Those of `open`.
    pub(super) fn try_open(path: &Path, startup: &Startup) -> Result<(), String> {
        let running = startup.running();
        if running.is_some_and(|running| running.state_file.as_deref() == Some(path)) {
            // Locked, by the server that is to have it.
            return Ok(());
        }
        match path.exists() {
            true => Self::open(path).map(drop),
            false => startup
                .try_to_make(path)
                .map_err(|error| format!("{}: {}", path.display(), redb::Error::from(error))),
        }
    }

    fn with(open: Opener, retry: Duration) -> Result<Self, String> {
        let database = open().map_err(|error| error.to_string())?;
        // The table is there from now on.
        write(&database, &HashMap::new(), &[]).map_err(|error| error.to_string())?;
        let shared = Arc::new(Shared {
            open,
            retry,
            database: Mutex::new(Some(database)),
            pending: Mutex::default(),
            changed: Condvar::new(),
            written: Condvar::new(),
        });
        let writing = shared.clone();
        let writer = thread::Builder::new()
            .name("plugin-state".into())
            .spawn(move || writing.run())
            .map_err(|error| error.to_string())?;
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
        // The last changes belong to it, too.
        self.flush();
        self.shared
            .read(plugin)
            .map_err(|error| format!("the state of {plugin} cannot be read: {error}"))
    }

    /// Where the plugin's state is in memory, as long as it is.
    pub(super) fn keep(&self, plugin: Arc<str>, source: &Arc<dyn Source>) {
        let source = Arc::downgrade(source);
        self.shared.pending().sources.insert(plugin, source);
    }

    /// Notes that a value is set, or gone.
    pub(super) fn note(&self, plugin: &Arc<str>, key: &str, value: Option<Stored>) {
        let mut pending = self.shared.pending();
        let key = (plugin.clone(), key.to_owned());
        pending.changes.insert(key, value);
        drop(pending);
        self.shared.changed.notify_one();
    }

    /// Why nothing is written, and since when.
    pub(super) fn failed(&self) -> Option<(SystemTime, String)> {
        self.shared.pending().failed.clone()
    }

    /// Waits until all that was noted is on the disk, or cannot be written.
    pub(super) fn flush(&self) {
        let mut pending = self.shared.pending();
        if pending.changes.is_empty() && !pending.writing {
            return;
        }
        // One write may be under way, with older changes, and one comes after it.
        for _ in 0..2 {
            let waited =
                self.shared
                    .written
                    .wait_timeout_while(pending, self.shared.retry, |pending| {
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
        // The last to let go of it may be the writer, which looked at what memory holds.
        if let Some(writer) = self.writer.take()
            && writer.thread().id() != thread::current().id()
        {
            let _ = writer.join();
        }
    }
}

/// Changes that are written at once.
type Changes = HashMap<(Arc<str>, String), Option<Stored>>;
/// All that memory holds of a plugin.
type AllOf = (Arc<str>, Vec<(String, Stored)>);

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn database(&self) -> MutexGuard<'_, Option<Database>> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        loop {
            let mut pending = self.pending();
            // A failed change is tried again, whether anything has changed or not.
            while pending.changes.is_empty() && pending.failed.is_none() && !pending.ending {
                let waited = self.changed.wait(pending);
                pending = waited.unwrap_or_else(PoisonError::into_inner);
            }
            let wait = match pending.failed {
                Some(_) => self.retry,
                None => GATHER,
            };
            let gathered = self
                .changed
                .wait_timeout_while(pending, wait, |pending| !pending.ending);
            pending = gathered.unwrap_or_else(PoisonError::into_inner).0;
            let ending = pending.ending;
            let failing = pending.failed.is_some();
            let changes = mem::take(&mut pending.changes);
            pending.writing = true;
            drop(pending);

            let written = match (failing, changes.is_empty()) {
                (true, _) => self.write_everything(&changes),
                (false, false) => self.write_changes(&changes),
                (false, true) => Ok(()),
            };
            let mut pending = self.pending();
            pending.writing = false;
            match written {
                Ok(()) => {
                    if pending.failed.take().is_some() {
                        tracing::info!("the state of plugins is written again, all of it");
                    }
                }
                Err(error) => {
                    if !failing || ending {
                        tracing::error!(%error, "the state of plugins cannot be written: it is \
                            kept in memory, and a restart would lose it");
                    }
                    let since = pending.failed.take();
                    let since = since.map_or_else(SystemTime::now, |(since, _)| since);
                    pending.failed = Some((since, error.to_string()));
                    for (key, value) in changes {
                        pending.changes.entry(key).or_insert(value);
                    }
                }
            }
            drop(pending);
            self.written.notify_all();
            if ending {
                return;
            }
        }
    }

    fn write_changes(&self, changes: &Changes) -> Result<(), redb::Error> {
        let mut database = self.database();
        let Some(open) = &*database else {
            return Err(closed());
        };
        let written = write(open, changes, &[]);
        if written.is_err() {
            *database = None;
        }
        written
    }

    /// Opens the database anew, and has it hold what memory holds.
    fn write_everything(&self, changes: &Changes) -> Result<(), redb::Error> {
        let sources: Vec<(Arc<str>, Weak<dyn Source>)> = {
            let pending = self.pending();
            let sources = pending.sources.iter();
            sources
                .map(|(plugin, source)| (plugin.clone(), source.clone()))
                .collect()
        };
        let alive = sources.into_iter();
        let alive = alive.filter_map(|(plugin, source)| Some((plugin, source.upgrade()?.all())));
        let everything: Vec<AllOf> = alive.collect();
        let mut database = self.database();
        // The lock of the file goes with what had it open.
        *database = None;
        let opened = (self.open)()?;
        write(&opened, changes, &everything)?;
        *database = Some(opened);
        Ok(())
    }

    fn read(&self, plugin: &str) -> Result<Vec<(String, Stored)>, redb::Error> {
        let mut database = self.database();
        let values = match &*database {
            Some(open) => self.read_from(open, plugin),
            None => Err(closed()),
        };
        if let Err(error) = &values
            && database.take().is_some()
        {
            let failed = (SystemTime::now(), error.to_string());
            self.pending().failed.get_or_insert(failed);
        }
        self.changed.notify_one();
        values
    }

    fn read_from(
        &self,
        database: &Database,
        plugin: &str,
    ) -> Result<Vec<(String, Stored)>, redb::Error> {
        let now = SystemTime::now();
        let transaction = database.begin_read()?;
        let table = transaction.open_table(TABLE)?;
        let mut values = Vec::new();
        for entry in table.range((plugin, "")..)? {
            let (key, value) = entry?;
            let (of, key) = key.value();
            if of != plugin {
                break;
            }
            let stored = Stored::from_row(value.value());
            if stored.until.is_none_or(|until| until > now) {
                values.push((key.to_owned(), stored));
            } else {
                let gone = (Arc::from(plugin), key.to_owned());
                self.pending().changes.entry(gone).or_insert(None);
            }
        }
        Ok(values)
    }
}

fn file(path: &Path) -> std::io::Result<File> {
    let wanted = match path.exists() {
        true => Wanted::Write,
        false => Wanted::Make,
    };
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    opened.map_err(|error| explain(error, path, wanted))
}

fn database(backend: impl StorageBackend) -> Result<Database, redb::Error> {
    let database = Database::builder()
        .set_cache_size(CACHE)
        .create_with_backend(backend)?;
    Ok(database)
}

fn closed() -> redb::Error {
    std::io::Error::other("it has failed before, and is opened again in a moment").into()
}

/// Writes in one transaction: first the changes, then all that there is of some plugins.
fn write(database: &Database, changes: &Changes, everything: &[AllOf]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(TABLE)?;
        for ((plugin, key), value) in changes {
            let key = (&**plugin, key.as_str());
            match value {
                Some(stored) => {
                    table.insert(key, stored.row())?;
                }
                None => {
                    table.remove(key)?;
                }
            }
        }
        for (plugin, values) in everything {
            // The next name in order begins with this one and the least character.
            let next = format!("{plugin}\0");
            table.retain_in((&**plugin, "")..(next.as_str(), ""), |_, _| false)?;
            for (key, stored) in values {
                table.insert((&**plugin, key.as_str()), stored.row())?;
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    millis.clamp(1, YIELDS - 1)
}
