//! A storage of the configuration.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    place::Spool,
    quarantine::{self, Counted, QuarantinedUpload},
    release::release,
    tree::Tree,
    waiting::Waiting,
};
use crate::{
    config,
    ftp::path::VirtualPath,
    startup::Startup,
    storage::{Backend, Error, OpenError, Result, local::Local, posix::pool},
    types::UserId,
};

/// A named place for files, and for what is on its way there.
pub struct Storage {
    spool: Arc<Spool>,
    backend: Arc<dyn Backend>,
    quarantined: Arc<Mutex<Option<Counted>>>,
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
        let local = Local::open(name, config, state, startup)?;
        Self::over(&local, name, config, state, startup)
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
        })
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
        let tree = Tree::new(&self.spool, files, capabilities, home, owner);
        Ok(Arc::new(tree))
    }

    /// Broken uploads that wait to be resumed, the newest first.
    #[must_use]
    pub fn waiting(&self) -> Vec<Waiting> {
        self.spool.staging.waiting()
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
        pool(move || Ok(stale + spool.expire()?)).await
    }

    /// Uploads that were put into quarantine, the oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn quarantined(&self) -> Result<Vec<QuarantinedUpload>> {
        let spool = self.spool.clone();
        pool(move || quarantine::list(&spool)).await
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
        release(&self.spool, &*self.backend, id, replace).await
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
