//! Files in a bucket: Amazon S3 and engines that speak its API, Google Cloud Storage, Azure Blob Storage.
//!
//! An object is a file, and its key the path behind the storage's prefix. A directory is there as long as a key
//! begins with its path and a slash; MKD makes an empty object of just that key, or, where the library cannot
//! name that, one in it whose name nobody sees. An upload waits in the spool, as everywhere. A short one is put
//! at once, a longer one in parts, beside the client's sending (`parts`); nobody sees anything of it before the
//! last request, which follows the verdict, and which the engine takes only if what it replaces is still there.
//!
//! A file keeps the time at which the engine took it: no other one can be set without a copy of the whole, and
//! listings would not tell it.

mod chunks;
mod content;
mod engine;
mod error;
mod home;
mod key;
mod listing;
mod open;
mod parts;
mod pieces;
mod publishing;
mod renaming;
mod s3;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use self::{chunks::ChunkStore, engine::Engine, home::ObjectHome, key::Keys};
use super::{Backend, Capabilities, Error, Home, Keeper, OpenError, Result};
use crate::{
    config::{self, Resume},
    ftp::path::VirtualPath,
    startup::Startup,
    types::BoxFuture,
};

/// A bucket, or what has a prefix in it.
pub struct ObjectStorage {
    engine: Arc<Engine>,
    keys: Keys,
    location: PathBuf,
    part_size: usize,
    resume: Resume,
}

impl ObjectStorage {
    /// Makes a client of the engine, and tries whether the bucket can be listed. An engine that is away now is
    /// a fault of a trial alone: all of a service may start at once.
    ///
    /// # Errors
    /// With the key, and a text for people.
    pub fn open(
        name: &str,
        config: &config::Storage,
        startup: &Startup,
    ) -> std::result::Result<Self, OpenError> {
        let engine = open::engine(name, config)?;
        let storage = Self {
            keys: Keys::new(config.prefix.as_deref().unwrap_or_default()),
            engine: Arc::new(engine),
            location: config.url().unwrap_or_default().into(),
            part_size: part_size(config),
            resume: config.resume,
        };
        storage.probe(name, startup)?;
        Ok(storage)
    }

    /// The place of broken uploads that every server is to find.
    fn chunks(&self) -> Option<ChunkStore> {
        let anywhere = self.resume == Resume::Anywhere;
        anywhere.then(|| ChunkStore::new(self.engine.clone(), self.keys.hidden()))
    }

    fn probe(&self, name: &str, startup: &Startup) -> std::result::Result<(), OpenError> {
        // A runtime of its own: this is called on threads that have none, too.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| OpenError::new(name, "kind", error.to_string()))?;
        let probed = runtime.block_on(self.engine.exists_beneath(&self.keys.of_root()));
        let Err(error) = probed else {
            return Ok(());
        };
        let text = format!("{}: {error}", self.location.display());
        match startup.is_trial() {
            true => Err(OpenError::new(name, "bucket", text)),
            false => {
                tracing::warn!(
                    storage = name,
                    problem = text,
                    "the storage's engine cannot be used now: its files are not to be had until it can"
                );
                Ok(())
            }
        }
    }
}

fn part_size(config: &config::Storage) -> usize {
    usize::try_from(config.part_size).unwrap_or(usize::MAX)
}

impl Backend for ObjectStorage {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            writable: true,
            modes: false,
            times: false,
            free_space: false,
        }
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn location(&self) -> &Path {
        &self.location
    }

    fn configured(&self, config: &config::Storage, _: u32) -> Arc<dyn Backend> {
        Arc::new(Self {
            engine: self.engine.clone(),
            keys: self.keys.clone(),
            location: self.location.clone(),
            part_size: part_size(config),
            resume: config.resume,
        })
    }

    fn home<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Arc<dyn Home>>> {
        Box::pin(async move {
            let keys = self.keys.beneath(path)?;
            if !path.is_root() && !self.engine.exists_beneath(&keys.of_root()).await? {
                return Err(Error::NotFound);
            }
            let (engine, chunks) = (self.engine.clone(), self.chunks());
            let home = ObjectHome::new(engine, keys, self.part_size, chunks);
            Ok(Arc::new(home) as Arc<dyn Home>)
        })
    }

    fn make_home<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let keys = self.keys.beneath(path)?;
            self.engine.make_directory(&keys.of_root()).await
        })
    }

    fn keeper(&self) -> Option<Arc<dyn Keeper>> {
        Some(Arc::new(self.chunks()?))
    }

    fn expire(&self, age: Duration) -> BoxFuture<'_, Result<usize>> {
        Box::pin(async move {
            let aborted = self
                .engine
                .abort_older_than(&self.keys.of_root(), age)
                .await?;
            match self.chunks() {
                Some(chunks) => Ok(aborted + chunks.expire(age).await?),
                None => Ok(aborted),
            }
        })
    }
}
