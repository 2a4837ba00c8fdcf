//! The settings that all homes of a storage have in common.

use std::{
    os::fd::AsFd,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use rustix::fs::{Mode, mkdirat};

use super::{confined_dir::Directory, mode::set_mode};
use crate::{
    config,
    storage::{Error, Result},
    types::Durability,
};

/// How the files of a storage are made.
pub(super) struct Settings {
    pub(super) durability: Durability,
    pub(super) file_mode: u32,
    directory_mode: u32,
    /// Whether a new directory has another mode than it was made with, by the umask.
    chmod_directories: bool,
    /// Names that no path can have are shown escaped.
    pub(super) escape: bool,
    names: Arc<RwLock<()>>,
}

impl Settings {
    /// `surviving` are the bits of a mode that the umask leaves.
    pub(super) fn new(config: &config::Storage, surviving: u32) -> Self {
        Self {
            durability: config.durability,
            file_mode: config.file_mode & 0o777,
            directory_mode: config.directory_mode & 0o777,
            chmod_directories: config.directory_mode & 0o777 & !surviving != 0,
            escape: config.odd_names == config::OddNames::Escape,
            names: Arc::default(),
        }
    }

    /// Others for the same files.
    pub(super) fn changed(&self, config: &config::Storage, surviving: u32) -> Self {
        Self {
            names: self.names.clone(),
            ..Self::new(config, surviving)
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

    /// Makes a directory beneath `within`.
    pub(super) fn make_directory(
        &self,
        within: &Directory,
        parent: impl AsFd,
        name: &str,
    ) -> Result<()> {
        let parent = parent.as_fd();
        mkdirat(parent, name, Mode::from_raw_mode(self.directory_mode))?;
        if self.chmod_directories {
            let parent = within.within(parent.try_clone_to_owned().map_err(Error::Io)?);
            set_mode(&parent, name, self.directory_mode)?;
        }
        Ok(())
    }
}
