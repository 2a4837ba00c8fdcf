//! A storage of the configuration.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::{
    place::Spool,
    quarantine::{self, Counted, QuarantinedUpload},
    release::release,
    tree::Tree,
    waiting::Waiting,
};
use crate::{
    config::{self, StorageKind},
    ftp::path::VirtualPath,
    shared::Shared,
    startup::Startup,
    storage::{
        Backend, Error, OpenError, Result, local::Local, object::ObjectStorage, posix::pool,
    },
    types::UserId,
};

/// A named place for files, and for what is on its way there.
pub struct Storage {
    spool: Arc<Spool>,
    backend: Arc<dyn Backend>,
    quarantined: Arc<Mutex<Option<Counted>>>,
    releases: Arc<Releases>,
}

/// The uploads that are being released, with the bytes that have been copied.
#[derive(Default)]
struct Releases(Mutex<HashMap<String, Arc<AtomicU64>>>);

/// A release, as long as it goes on.
struct Release {
    id: String,
    all: Arc<Releases>,
}

impl Drop for Release {
    fn drop(&mut self) {
        self.all.under_way().remove(&self.id);
    }
}

impl Releases {
    /// One begins. Of two of the same upload, which cannot both succeed, the first is told.
    fn begin(self: &Arc<Self>, id: &str) -> (Option<Release>, Arc<AtomicU64>) {
        let copied = Arc::new(AtomicU64::new(0));
        let mut under_way = self.under_way();
        if under_way.contains_key(id) {
            return (None, copied);
        }
        under_way.insert(id.to_owned(), copied.clone());
        let (id, all) = (id.to_owned(), self.clone());
        (Some(Release { id, all }), copied)
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<String, Arc<AtomicU64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage {
    /// Opens the storage `[storage.NAME]`. The paths in `config` are absolute.
    ///
    /// It makes the root, if the directory above it is there or it lies in `state`, and chooses and
    /// tries out where uploads wait; what an earlier run has left there becomes resumable. Waits for
    /// the disk.
    ///
    /// # Errors
    /// With the key, and a text for people.
    pub fn open(
        name: &str,
        config: &config::Storage,
        state: &Path,
        startup: &Startup,
    ) -> std::result::Result<Self, OpenError> {
        if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
            let text = "the storage's name cannot be a directory's".to_owned();
            return Err(OpenError::new(name, "root", text));
        }
        match config.kind {
            StorageKind::Local => {
                let local = Local::open(name, config, state, startup)?;
                Self::over(&local, name, config, state, startup)
            }
            StorageKind::S3 | StorageKind::Gcs | StorageKind::Azure => {
                let objects = ObjectStorage::open(name, config, startup)?;
                Self::over(&objects, name, config, state, startup)
            }
        }
    }

    /// A storage of which a backend keeps the files.
    ///
    /// # Errors
    /// With the key, and a text for people.
    pub fn over(
        backend: &dyn Backend,
        name: &str,
        config: &config::Storage,
        state: &Path,
        startup: &Startup,
    ) -> std::result::Result<Self, OpenError> {
        let spool = Spool::open(name, config, state, startup, backend)?;
        Ok(Self {
            backend: backend.configured(config, spool.surviving),
            spool: Arc::new(spool),
            quarantined: Arc::default(),
            releases: Arc::default(),
        })
    }

    /// The same place with other settings, for uploads and directories to come.
    ///
    /// # Errors
    /// When staging or quarantine cannot be used.
    pub fn with(&self, config: &config::Storage) -> std::result::Result<Self, OpenError> {
        let spool = self.spool.with(config, &*self.backend)?;
        Ok(Self {
            backend: self.backend.configured(config, spool.surviving),
            spool: Arc::new(spool),
            quarantined: self.quarantined.clone(),
            releases: self.releases.clone(),
        })
    }

    /// Other servers may have its files, if it is no directory of this machine: quotas hold for all of them together.
    pub fn share(&self, shared: &Arc<Shared>) {
        if self.backend.is_shared() {
            let place = self.backend.location().display().to_string();
            self.spool.usage.share(shared, &place);
        }
    }

    /// The files of an account: `home` is its "/". Made if it is not there and the configuration says
    /// so. `owner` keys broken uploads, so that only the one who sent them can resume.
    ///
    /// # Errors
    /// When the home cannot be opened.
    pub async fn home(&self, home: &VirtualPath, owner: &UserId) -> Result<Arc<Tree>> {
        let files = match self.backend.home(home).await {
            Err(Error::NotFound) if self.spool.create_homes => {
                self.backend.make_home(home).await?;
                self.backend.home(home).await?
            }
            files => files?,
        };
        let capabilities = self.backend.capabilities();
        let keeper = self.backend.keeper();
        let tree = Tree::new(&self.spool, files, capabilities, keeper, home, owner);
        Ok(Arc::new(tree))
    }

    /// Broken uploads that wait to be resumed, the newest first.
    #[must_use]
    pub fn waiting(&self) -> Vec<Waiting> {
        self.spool.staging.waiting()
    }

    /// Removes the files that were replaced and kept for the next upload to the same path, which has not come.
    /// Call it every minute.
    pub fn expire_spares(&self) {
        self.spool.staging.expire_spares();
    }

    /// Removes broken uploads that nobody has come back for in time, that are too many, or
    /// that belong to what does not lie at their name any more; says how many. Call it from time to time.
    ///
    /// # Errors
    /// When staging cannot be read or changed.
    pub async fn expire(&self) -> Result<usize> {
        let mut stale = 0;
        let root = self.backend.home(&VirtualPath::root()).await?;
        for (key, label) in self.spool.staging.places() {
            // Where nothing can be found out, its age decides.
            if let Ok(path) = VirtualPath::parse(&label.path, &VirtualPath::root())
                && let Ok(found) = root.find(&path).await
                && self.spool.staging.fresh(key, &found)?.is_none()
            {
                stale += 1;
            }
        }
        let spool = self.spool.clone();
        stale += pool(move || spool.expire()).await?;
        Ok(stale + self.backend.expire(self.spool.partial_age).await?)
    }

    /// Uploads that were put into quarantine, the oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn quarantined(&self) -> Result<Vec<QuarantinedUpload>> {
        let spool = self.spool.clone();
        let mut all = pool(move || quarantine::list(&spool)).await?;
        let releases = self.releases.under_way();
        for held in &mut all {
            let copied = releases.get(&held.id);
            held.copied = copied.map(|copied| copied.load(Relaxed));
        }
        drop(releases);
        Ok(all)
    }

    /// The number of uploads in quarantine. Their notes are read when something has changed since the
    /// last time.
    ///
    /// # Errors
    /// Those of the file system.
    pub async fn count_quarantined(&self) -> Result<usize> {
        let (spool, last) = (self.spool.clone(), self.quarantined.clone());
        pool(move || {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            let counted = quarantine::count(&spool, *last)?;
            *last = Some(counted);
            Ok(counted.uploads)
        })
        .await
    }

    /// Publishes an upload from quarantine, as if it had been accepted now.
    ///
    /// # Errors
    /// A file that has come to be under its name since is [`Error::Exists`], unless `replace`; an upload
    /// that is not whole is [`Error::Unsupported`].
    pub async fn release(&self, id: &str, replace: bool) -> Result<QuarantinedUpload> {
        let (_under_way, copied) = self.releases.begin(id);
        release(&self.spool, &*self.backend, id, replace, copied).await
    }

    /// Removes an upload from quarantine for good.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn discard(&self, id: &str) -> Result<QuarantinedUpload> {
        let (spool, id) = (self.spool.clone(), id.to_owned());
        pool(move || quarantine::discard(&spool, &id)).await
    }

    /// Whether a running server uses it, of which a trial leaves it alone.
    #[must_use]
    pub fn in_use(&self) -> bool {
        self.spool.staging.in_use
    }

    /// For people: where the files are; of a directory, links resolved.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.backend.location()
    }

    /// Where uploads wait, links resolved. It must lie in no storage's root.
    #[must_use]
    pub fn staging(&self) -> &Path {
        &self.spool.path
    }

    /// Where uploads are kept for a person to look at.
    #[must_use]
    pub fn quarantine_path(&self) -> &Path {
        &self.spool.quarantine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_told_as_long_as_it_goes_on() {
        let releases = Arc::new(Releases::default());
        let told = || releases.under_way().get("id").map(|one| one.load(Relaxed));
        let (first, copied) = releases.begin("id");
        copied.fetch_add(5, Relaxed);
        let (second, _) = releases.begin("id");
        drop(second);
        assert_eq!(told(), Some(5));
        drop(first);
        assert_eq!(told(), None);
    }
}
