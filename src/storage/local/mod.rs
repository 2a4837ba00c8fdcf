//! A storage in a local directory.
//!
//! Everything is opened beneath a handle of the home by the kernel (`beneath`), uploads wait in a
//! directory outside of every tree (`staging`), and one rename makes them visible (`part`).
//!
//! What the page cache answers is done on the runtime's threads, and what may wait on the pool's.

mod attributes;
mod confined_dir;
mod copying;
mod key;
mod label;
mod listing;
mod names;
mod origin;
mod part;
mod progress;
mod quarantine;
mod record;
mod setup;
mod source;
mod staging;
mod target;
#[cfg(test)]
mod tests;
mod tree;
mod usage;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::fs::{Mode, OFlags, mkdirat};

use self::{
    confined_dir::{Access, Directory, pool},
    staging::Staging,
    tree::LocalTree,
    usage::Usage,
};
use super::{Error, QuarantinedUpload, Result, Storage, Tree, Waiting};
use crate::{
    config,
    ftp::path::VirtualPath,
    startup::Startup,
    types::{BoxFuture, Durability, UserId},
};

/// A storage in a local directory.
pub struct Local {
    shared: Arc<Shared>,
}

/// What all trees of a storage have in common.
struct Shared {
    /// The storage's name.
    name: String,
    root: Arc<Directory>,
    root_path: PathBuf,
    staging: Arc<Staging>,
    staging_path: PathBuf,
    /// The root is on a file system that is mounted read-only.
    read_only: bool,
    create_homes: bool,
    durability: Durability,
    file_mode: u32,
    directory_mode: u32,
    /// Whether a new directory has another mode than it was made with, by the umask.
    chmod_directories: bool,
    /// The mode of a new file in staging.
    created_mode: u32,
    partial_age: Duration,
    /// Unset, no user has more than half of the file system.
    partial_size: Option<u64>,
    partial_count: usize,
    partial_listing: config::PartialListing,
    /// Names that no path can have are shown escaped.
    escape: bool,
    /// Where uploads are kept for a person to look at; perhaps not made yet.
    quarantine: PathBuf,
    usage: Usage,
}

/// Why a storage cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenError {
    /// The storage's name.
    pub storage: String,
    /// The key in its section.
    pub key: &'static str,
    /// For people: what is wrong, with the path.
    pub text: String,
}

impl OpenError {
    fn new(storage: &str, key: &'static str, text: String) -> Self {
        let storage = storage.to_owned();
        Self { storage, key, text }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { storage, key, text } = self;
        write!(formatter, "storage.{storage}.{key}: {text}")
    }
}

impl std::error::Error for OpenError {}

impl Local {
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
        setup::open(name, config, state, startup).map(|shared| Self {
            shared: Arc::new(shared),
        })
    }

    /// Whether a running server uses it, of which a trial leaves it alone.
    #[must_use]
    pub fn in_use(&self) -> bool {
        self.shared.staging.in_use
    }

    /// The same place with other settings, for uploads and directories to come.
    ///
    /// # Errors
    /// When staging or quarantine cannot be used.
    pub fn with(&self, config: &config::Storage) -> std::result::Result<Self, OpenError> {
        let shared = setup::again(&self.shared, config)?;
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Removes broken uploads that nobody has come back for in time, that are too many, or
    /// that belong to what does not lie at their name any more; says how many. Call it from time to time.
    ///
    /// # Errors
    /// When staging cannot be read or changed.
    pub async fn expire(&self) -> Result<usize> {
        let shared = self.shared.clone();
        pool(move || {
            let stale = shared.forget_stale()?;
            let expired = stale + shared.staging.expire(shared.partial_age)?;
            match shared.partial_size {
                None | Some(0) => Ok(expired),
                Some(size) => Ok(expired + shared.staging.make_room(size)?),
            }
        })
        .await
    }

    /// The root, links resolved.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.shared.root_path
    }

    /// Where uploads wait, links resolved. It must lie in no storage's root.
    #[must_use]
    pub fn staging(&self) -> &Path {
        &self.shared.staging_path
    }
}

impl Storage for Local {
    fn open<'a>(
        &'a self,
        home: &'a VirtualPath,
        owner: &'a UserId,
    ) -> BoxFuture<'a, Result<Arc<dyn Tree>>> {
        Box::pin(async move {
            let shared = &self.shared;
            let handle = match shared.home(home).await {
                Err(Error::NotFound) if shared.create_homes => {
                    let (maker, path) = (shared.clone(), home.clone());
                    pool(move || maker.make_home(&path)).await?;
                    shared.home(home).await?
                }
                handle => handle?,
            };
            let tree: Arc<dyn Tree> = Arc::new(LocalTree::new(shared, handle, home, owner));
            Ok(tree)
        })
    }

    fn waiting(&self) -> Vec<Waiting> {
        self.shared.staging.waiting()
    }

    fn quarantined(&self) -> BoxFuture<'_, Result<Vec<QuarantinedUpload>>> {
        let shared = self.shared.clone();
        Box::pin(pool(move || quarantine::list(&shared)))
    }

    fn release<'a>(
        &'a self,
        id: &'a str,
        replace: bool,
    ) -> BoxFuture<'a, Result<QuarantinedUpload>> {
        Box::pin(quarantine::release(&self.shared, id, replace))
    }

    fn discard<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<QuarantinedUpload>> {
        let (shared, id) = (self.shared.clone(), id.to_owned());
        Box::pin(pool(move || quarantine::discard(&shared, &id)))
    }
}

impl Shared {
    async fn home(&self, path: &VirtualPath) -> Result<std::os::fd::OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        match self.root.open_soon(path.relative(), flags).await {
            // Enough to work with what is in it. A handle to read gives its entry durability.
            Err(Error::Denied) => {
                self.root
                    .open_soon(path.relative(), OFlags::PATH | OFlags::DIRECTORY)
                    .await
            }
            handle => handle,
        }
    }

    fn forget_stale(&self) -> Result<usize> {
        let mut removed = 0;
        for (key, label) in self.staging.places() {
            let path = label.path.trim_start_matches('/');
            // Where nothing can be found out, its age decides.
            if let Ok(target) = self.root.target(path, Access::Names)
                && self.staging.fresh(key, &target)?.is_none()
            {
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn make_home(&self, path: &VirtualPath) -> Result<()> {
        let relative = path.relative();
        let ends = relative
            .match_indices('/')
            .map(|(end, _)| end)
            .chain([relative.len()]);
        let mut above = ".";
        for end in ends {
            let Some(this) = relative.get(..end) else {
                continue;
            };
            let name = this.rsplit('/').next().unwrap_or(this);
            let parent = self.root.open(above, OFlags::PATH | OFlags::DIRECTORY)?;
            match self.make_directory(&parent, name) {
                Ok(()) | Err(Error::Exists) => {}
                Err(error) => return Err(error),
            }
            above = this;
        }
        Ok(())
    }

    fn make_directory(&self, parent: impl std::os::fd::AsFd, name: &str) -> Result<()> {
        let parent = parent.as_fd();
        mkdirat(parent, name, Mode::from_raw_mode(self.directory_mode))?;
        if self.chmod_directories {
            let parent = self
                .root
                .within(parent.try_clone_to_owned().map_err(Error::Io)?);
            tree::set_mode(&parent, name, self.directory_mode)?;
        }
        Ok(())
    }
}
