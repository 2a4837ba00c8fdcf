//! A local directory as a backend.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, OFlags, renameat, unlinkat},
    io::Errno,
};

use super::{home::LocalHome, root::Root, settings::Settings};
use crate::{
    config,
    ftp::path::VirtualPath,
    startup::Startup,
    storage::{Backend, Capabilities, Error, Home, OpenError, Result, posix::pool},
    types::BoxFuture,
};

/// The files in a local directory.
pub struct Local {
    root: Arc<Root>,
    settings: Arc<Settings>,
}

impl Local {
    /// Opens the directory of `[storage.NAME]`. The paths in `config` are absolute. It is made, if the
    /// directory above it is there or it lies in `state`. Waits for the disk.
    ///
    /// # Errors
    /// With the key, and a text for people.
    pub fn open(
        name: &str,
        config: &config::Storage,
        state: &Path,
        startup: &Startup,
    ) -> std::result::Result<Self, OpenError> {
        Ok(Self {
            root: Arc::new(Root::open(name, config, state, startup)?),
            // Nothing is known of the umask yet.
            settings: Arc::new(Settings::new(config, 0)),
        })
    }

    /// One of which the kernel remembers nothing.
    #[cfg(test)]
    pub(crate) fn cold(self) -> Self {
        let root = Root {
            directory: self.root.directory.cold(),
            path: self.root.path.clone(),
            read_only: self.root.read_only,
        };
        Self {
            root: Arc::new(root),
            settings: self.settings,
        }
    }

    async fn open_home(&self, path: &VirtualPath) -> Result<OwnedFd> {
        let directory = &self.root.directory;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        match directory.open_soon(path.relative(), flags).await {
            // Enough to work with what is in it. A handle to read gives its entry durability.
            Err(Error::Denied) => {
                let flags = OFlags::PATH | OFlags::DIRECTORY;
                directory.open_soon(path.relative(), flags).await
            }
            handle => handle,
        }
    }
}

impl Backend for Local {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            writable: !self.root.read_only,
            modes: true,
            times: true,
            free_space: true,
        }
    }

    fn location(&self) -> &Path {
        &self.root.path
    }

    fn configured(&self, config: &config::Storage, surviving: u32) -> Arc<dyn Backend> {
        Arc::new(Self {
            root: self.root.clone(),
            settings: Arc::new(self.settings.changed(config, surviving)),
        })
    }

    fn home<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Arc<dyn Home>>> {
        Box::pin(async move {
            let handle = self.open_home(path).await?;
            let home: Arc<dyn Home> = Arc::new(LocalHome {
                settings: self.settings.clone(),
                directory: Arc::new(self.root.directory.within(handle)),
            });
            Ok(home)
        })
    }

    fn make_home<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<()>> {
        let (root, settings) = (self.root.clone(), self.settings.clone());
        let path = path.relative().to_owned();
        Box::pin(pool(move || make_home(&root, &settings, &path)))
    }

    fn overlaps(&self, directory: &Path) -> bool {
        self.root.overlaps(directory)
    }

    fn may_take_from(&self, directory: &Path) -> io::Result<bool> {
        self.root.may_take_from(directory)
    }

    /// A rename alone shows that it can be done. A root that the server may not write itself, with homes
    /// that it may, is taken at its device's word.
    fn try_to_take(&self, directory: BorrowedFd<'_>, name: &str) -> io::Result<bool> {
        let root = &*self.root.directory;
        match renameat(directory, name, root, name) {
            Ok(()) => {
                unlinkat(root, name, AtFlags::empty())?;
                Ok(true)
            }
            Err(error) => {
                unlinkat(directory, name, AtFlags::empty())?;
                match error {
                    Errno::XDEV => Ok(false),
                    Errno::ACCESS | Errno::PERM | Errno::ROFS => Ok(true),
                    error => Err(error.into()),
                }
            }
        }
    }

    fn place_beside(&self) -> Option<PathBuf> {
        self.root.place_beside()
    }
}

fn make_home(root: &Root, settings: &Settings, relative: &str) -> Result<()> {
    let directory = &root.directory;
    let slashes = relative.match_indices('/').map(|(end, _)| end);
    let mut above = ".";
    for end in slashes.chain([relative.len()]) {
        let Some(this) = relative.get(..end) else {
            continue;
        };
        let name = this.rsplit('/').next().unwrap_or(this);
        let parent = directory.open(above, OFlags::PATH | OFlags::DIRECTORY)?;
        match settings.make_directory(directory, &parent, name) {
            Ok(()) | Err(Error::Exists) => {}
            Err(error) => return Err(error),
        }
        above = this;
    }
    Ok(())
}
