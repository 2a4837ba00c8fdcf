//! Opening a storage when the server starts: root, staging, and whether the one can be renamed into
//! the other.

use std::{
    fs::DirBuilder,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::DirBuilderExt,
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{
        AtFlags, CWD, Mode, OFlags, StatVfsMountFlags, StatxFlags, fstatvfs, openat, renameat,
        statx, unlinkat,
    },
    io::Errno,
};

use super::{Shared, beneath::Directory, quarantine, staging::Staging, usage::Usage};
use crate::config;

pub(super) fn open(name: &str, config: &config::Storage, state: &Path) -> io::Result<Shared> {
    if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
        return Err(io::Error::other(format!(
            "storage.{name:?}: the name cannot be a directory's"
        )));
    }
    let root_path = make_root(config, state)
        .map_err(|error| about(name, "root", &config.root, "it cannot be made", &error))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let handle = openat(CWD, &root_path, flags, Mode::empty()).map_err(|error| {
        about(
            name,
            "root",
            &config.root,
            "it cannot be opened",
            &error.into(),
        )
    })?;
    let read_only =
        fstatvfs(&handle).is_ok_and(|facts| facts.f_flag.contains(StatVfsMountFlags::RDONLY));
    let root = Directory::new(handle).map_err(|error| {
        io::Error::other(format!(
            "storage.{name}: the system does not let the server confine paths to a directory \
             (openat2, Linux 5.6 or later, which a sandbox may forbid): {error}"
        ))
    })?;
    let choice = Choice {
        name,
        root: &root,
        root_path: &root_path,
        config,
        read_only,
    };
    let (staging, staging_path) = choice.choose(state)?;
    let quarantine = quarantine::prepare(config, &staging_path).map_err(|error| {
        let path = config.quarantine.as_deref().unwrap_or(&staging_path);
        about(
            name,
            "quarantine",
            path,
            "nothing can be kept there",
            &error,
        )
    })?;
    let surviving = staging
        .surviving_mode()
        .map_err(|error| choice.refusal(&staging_path, &io::Error::other(error)))?;
    let place = Place {
        root: Arc::new(root),
        root_path,
        staging,
        staging_path,
        quarantine,
        read_only,
        surviving,
    };
    Ok(place.with(name, config))
}

/// The same place with other settings.
pub(super) fn again(shared: &Shared, config: &config::Storage) -> io::Result<Shared> {
    let staging = shared.staging.clone();
    let surviving = staging.surviving_mode().map_err(io::Error::other)?;
    let place = Place {
        root: shared.root.clone(),
        root_path: shared.root_path.clone(),
        staging,
        staging_path: shared.staging_path.clone(),
        quarantine: quarantine::prepare(config, &shared.staging_path)?,
        read_only: shared.read_only,
        surviving,
    };
    Ok(place.with(&shared.name, config))
}

/// Root and staging, opened.
struct Place {
    root: Arc<Directory>,
    root_path: PathBuf,
    staging: Arc<Staging>,
    staging_path: PathBuf,
    quarantine: PathBuf,
    read_only: bool,
    /// The bits of a mode that the umask leaves.
    surviving: u32,
}

impl Place {
    fn with(self, name: &str, config: &config::Storage) -> Shared {
        let surviving = self.surviving;
        Shared {
            name: name.to_owned(),
            root: self.root,
            root_path: self.root_path,
            staging: self.staging,
            staging_path: self.staging_path,
            read_only: self.read_only,
            create_homes: config.create_homes,
            durability: config.durability,
            file_mode: config.file_mode & 0o777,
            directory_mode: config.directory_mode & 0o777,
            chmod_directories: config.directory_mode & 0o777 & !surviving != 0,
            // The server itself must be able to open what waits to be resumed.
            created_mode: (config.file_mode & 0o777 | 0o600) & surviving,
            partial_age: config.partial_age,
            partial_size: config.partial_size,
            partial_count: config.partial_count,
            partial_listing: config.partial_listing,
            escape: config.odd_names == config::OddNames::Escape,
            quarantine: self.quarantine,
            usage: Usage::default(),
        }
    }
}

fn about(name: &str, key: &str, path: &Path, what: &str, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("storage.{name}.{key}: {}: {what}: {error}", path.display()),
    )
}

/// Makes the root, but not a whole path that a slip of the pen has invented.
fn make_root(config: &config::Storage, state: &Path) -> io::Result<PathBuf> {
    let root = &config.root;
    if !root.exists() {
        let recursive = root.starts_with(state);
        DirBuilder::new()
            .mode(config.directory_mode & 0o777)
            .recursive(recursive)
            .create(root)?;
    }
    root.canonicalize()
}

struct Choice<'a> {
    name: &'a str,
    root: &'a Directory,
    root_path: &'a Path,
    config: &'a config::Storage,
    read_only: bool,
}

impl Choice<'_> {
    fn choose(&self, state: &Path) -> io::Result<(Arc<Staging>, PathBuf)> {
        if let Some(path) = &self.config.staging {
            return match self.consider(path) {
                Ok(Some(chosen)) => Ok(chosen),
                Ok(None) => Err(self.refusal(
                    path,
                    &io::Error::other(
                        "it must be on the file system of the root, and outside of it",
                    ),
                )),
                Err(error) => Err(self.refusal(path, &error)),
            };
        }
        let in_state = state.join("staging").join(self.name);
        if let Some(chosen) = self
            .consider(&in_state)
            .map_err(|error| self.refusal(&in_state, &error))?
        {
            return Ok(chosen);
        }
        let beside =
            self.root_path
                .parent()
                .zip(self.root_path.file_name())
                .map(|(parent, root)| {
                    let mut name = std::ffi::OsString::from(".");
                    name.push(root);
                    name.push(".portcullis-staging");
                    parent.join(name)
                });
        let why = match beside.as_deref().map(|path| self.consider(path)) {
            Some(Ok(Some(chosen))) => return Ok(chosen),
            Some(Err(error)) => format!(", and a directory beside it cannot be used ({error})"),
            Some(Ok(None)) | None => String::new(),
        };
        Err(io::Error::other(format!(
            "storage.{}.staging: uploads must wait on the file system of {}, outside of it, where \
             the state directory is not{why}: set this key to a directory there",
            self.name,
            self.root_path.display(),
        )))
    }

    fn refusal(&self, path: &Path, error: &io::Error) -> io::Error {
        about(
            self.name,
            "staging",
            path,
            "uploads cannot wait there",
            error,
        )
    }

    /// Makes and opens it; `None` if it is on another file system or within the root.
    fn consider(&self, path: &Path) -> io::Result<Option<(Arc<Staging>, PathBuf)>> {
        let made = !path.exists();
        if made {
            DirBuilder::new().mode(0o700).recursive(true).create(path)?;
        }
        let path = path.canonicalize()?;
        let fits = !path.starts_with(self.root_path)
            && !self.root_path.starts_with(&path)
            && (self.read_only || self.same_mount(&path)?);
        if fits {
            let staging = Staging::open(&path, self.name, self.config.partial_age)?;
            if self.read_only || self.reaches_root(&staging)? {
                return Ok(Some((staging, path)));
            }
            if made {
                staging.abandon();
            }
        }
        if made {
            // It is of no use.
            let _ = std::fs::remove_dir(&path);
        }
        Ok(None)
    }

    fn same_mount(&self, path: &Path) -> io::Result<bool> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let staging: OwnedFd = openat(CWD, path, flags, Mode::empty())?;
        let place = |handle: std::os::fd::BorrowedFd<'_>| {
            let facts = statx(handle, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
            io::Result::Ok((facts.stx_dev_major, facts.stx_dev_minor, facts.stx_mnt_id))
        };
        Ok(place(staging.as_fd())? == place(self.root.as_fd())?)
    }

    /// Renames a file from staging into the root, which alone shows that it can be done. A root that
    /// the server may not write itself, with homes that it may, is taken at its device's word.
    fn reaches_root(&self, staging: &Staging) -> io::Result<bool> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap_or(Duration::ZERO).as_nanos();
        let probe = format!(".portcullis-{}-{now:x}", std::process::id());
        drop(staging.create(&probe, 0o600).map_err(io::Error::other)?);
        match renameat(staging, &probe, self.root, &probe) {
            Ok(()) => {
                unlinkat(self.root, &probe, AtFlags::empty())?;
                Ok(true)
            }
            Err(error) => {
                unlinkat(staging, &probe, AtFlags::empty())?;
                match error {
                    Errno::XDEV => Ok(false),
                    Errno::ACCESS | Errno::PERM | Errno::ROFS => Ok(true),
                    error => Err(error.into()),
                }
            }
        }
    }
}
