//! Opening the directory of a storage when the server starts.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{
        Access, AtFlags, CWD, Mode, OFlags, StatVfsMountFlags, StatxFlags, accessat, fstatvfs,
        openat, statx,
    },
    io::Errno,
};

use super::confined_dir::Directory;
use crate::{
    config,
    startup::Startup,
    storage::OpenError,
    types::access::{Wanted, explain},
};

/// The directory of a storage.
pub(super) struct Root {
    pub(super) directory: Arc<Directory>,
    /// Links resolved.
    pub(super) path: PathBuf,
    /// It is on a file system that is mounted read-only.
    pub(super) read_only: bool,
}

impl Root {
    pub(super) fn open(
        name: &str,
        config: &config::Storage,
        state: &Path,
        startup: &Startup,
    ) -> Result<Self, OpenError> {
        let about = |text| OpenError::new(name, "root", text);
        let wrong = |what: &str, error: &io::Error| {
            about(format!("{}: {what}: {error}", config.root.display()))
        };
        let path =
            make(config, state, startup).map_err(|error| wrong("it cannot be made", &error))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let entered = openat(CWD, &path, flags, Mode::empty()).and_then(|handle| {
            // To have a handle is one thing, to use it another.
            accessat(&handle, c".", Access::EXEC_OK, AtFlags::EACCESS).map(|()| handle)
        });
        let no_entry = |error| {
            wrong(
                "it cannot be entered",
                &explain(error, &path, Wanted::Enter),
            )
        };
        let handle = entered.map_err(|error| no_entry(error.into()))?;
        let read_only =
            fstatvfs(&handle).is_ok_and(|facts| facts.f_flag.contains(StatVfsMountFlags::RDONLY));
        let directory = Directory::new(handle).map_err(|error| {
            match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::NOSYS | Errno::PERM | Errno::INVAL) => about(format!(
                    "the system does not let the server confine paths to a directory (openat2, \
                     Linux 5.6 or later, which a sandbox may forbid): {error}"
                )),
                _ => no_entry(error),
            }
        })?;
        Ok(Self {
            directory: Arc::new(directory),
            path,
            read_only,
        })
    }

    /// Whether a directory lies within it, or it within the directory.
    pub(super) fn overlaps(&self, directory: &Path) -> bool {
        directory.starts_with(&self.path) || self.path.starts_with(directory)
    }

    /// Whether a directory is on the same file system.
    pub(super) fn may_take_from(&self, directory: &Path) -> io::Result<bool> {
        Ok(self.read_only || self.same_mount(directory)?)
    }

    /// A directory beside it.
    pub(super) fn place_beside(&self) -> Option<PathBuf> {
        let (parent, root) = self.path.parent().zip(self.path.file_name())?;
        let mut name = std::ffi::OsString::from(".");
        name.push(root);
        name.push(".portcullis-staging");
        Some(parent.join(name))
    }

    fn same_mount(&self, path: &Path) -> io::Result<bool> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let other = openat(CWD, path, flags, Mode::empty())
            .map_err(|error| explain(error.into(), path, Wanted::Enter))?;
        Ok(mount(&other)? == mount(&*self.directory)?)
    }
}

fn mount(handle: impl std::os::fd::AsFd) -> io::Result<(u32, u32, u64)> {
    let facts = statx(handle, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    Ok((facts.stx_dev_major, facts.stx_dev_minor, facts.stx_mnt_id))
}

/// Makes the root, but not a whole path that a slip of the pen has invented.
fn make(config: &config::Storage, state: &Path, startup: &Startup) -> io::Result<PathBuf> {
    let root = &config.root;
    let recursive = root.starts_with(state);
    let made = startup.make_directory(root, config.directory_mode & 0o777, recursive);
    made.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound if !recursive => {
            io::Error::new(error.kind(), "the directory above it is not there")
        }
        _ => error,
    })?;
    root.canonicalize()
        .map_err(|error| explain(error, root, Wanted::Enter))
}
