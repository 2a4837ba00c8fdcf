//! Opening a storage when the server starts: root, staging, and whether the one can be renamed into
//! the other.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{
        Access, AtFlags, CWD, Mode, OFlags, StatVfsMountFlags, StatxFlags, accessat, fstatvfs,
        openat, renameat, statx, unlinkat,
    },
    io::Errno,
};

use super::{
    OpenError, Shared, confined_dir::Directory, quarantine, staging::Staging, usage::Usage,
};
use crate::{
    access::{Wanted, explain},
    config,
    startup::Startup,
    storage::Error,
};

pub(super) fn open(
    name: &str,
    config: &config::Storage,
    state: &Path,
    startup: &Startup,
) -> Result<Shared, OpenError> {
    let about = |key, text| OpenError::new(name, key, text);
    if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
        let text = "the storage's name cannot be a directory's";
        return Err(about("root", text.to_owned()));
    }
    let place = |what: &str, error: &io::Error| {
        about(
            "root",
            format!("{}: {what}: {error}", config.root.display()),
        )
    };
    let root_path =
        make_root(config, state, startup).map_err(|error| place("it cannot be made", &error))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let entered = openat(CWD, &root_path, flags, Mode::empty()).and_then(|handle| {
        // To have a handle is one thing, to use it another.
        accessat(&handle, c".", Access::EXEC_OK, AtFlags::EACCESS).map(|()| handle)
    });
    let handle = entered.map_err(|error| {
        let error = explain(error.into(), &root_path, Wanted::Enter);
        place("it cannot be entered", &error)
    })?;
    let read_only =
        fstatvfs(&handle).is_ok_and(|facts| facts.f_flag.contains(StatVfsMountFlags::RDONLY));
    let root = Directory::new(handle).map_err(|error| match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOSYS | Errno::PERM | Errno::INVAL) => about(
            "root",
            format!(
                "the system does not let the server confine paths to a directory (openat2, Linux \
                 5.6 or later, which a sandbox may forbid): {error}"
            ),
        ),
        _ => place(
            "it cannot be entered",
            &explain(error, &root_path, Wanted::Enter),
        ),
    })?;
    let choice = Choice {
        name,
        root: &root,
        root_path: &root_path,
        config,
        read_only,
        startup,
    };
    let (staging, staging_path) = choice.choose(state)?;
    let quarantine = quarantine(name, config, &staging_path, startup)?;
    let surviving = staging
        .surviving_mode()
        .map_err(|error| no_staging(name, &staging_path, &failed(error, &staging_path)))?;
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
pub(super) fn again(shared: &Shared, config: &config::Storage) -> Result<Shared, OpenError> {
    let staging = shared.staging.clone();
    let surviving = staging.surviving_mode().map_err(|error| {
        no_staging(
            &shared.name,
            &shared.staging_path,
            &failed(error, &shared.staging_path),
        )
    })?;
    let place = Place {
        root: shared.root.clone(),
        root_path: shared.root_path.clone(),
        staging,
        staging_path: shared.staging_path.clone(),
        quarantine: quarantine(&shared.name, config, &shared.staging_path, &Startup::real())?,
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

fn quarantine(
    name: &str,
    config: &config::Storage,
    staging: &Path,
    startup: &Startup,
) -> Result<PathBuf, OpenError> {
    quarantine::prepare(config, staging, startup).map_err(|error| {
        let path = config.quarantine.as_deref().unwrap_or(staging);
        let text = format!("{}: nothing can be kept there: {error}", path.display());
        OpenError::new(name, "quarantine", text)
    })
}

fn no_staging(name: &str, path: &Path, error: &io::Error) -> OpenError {
    let text = format!("{}: uploads cannot wait there: {error}", path.display());
    OpenError::new(name, "staging", text)
}

/// The error of an operation in a directory, with the user where permission is denied.
fn failed(error: Error, directory: &Path) -> io::Error {
    match error {
        Error::Denied => explain(Errno::ACCESS.into(), directory, Wanted::Fill),
        Error::ReadOnly => Errno::ROFS.into(),
        Error::Io(error) => error,
        error => io::Error::other(error),
    }
}

/// Makes the root, but not a whole path that a slip of the pen has invented.
fn make_root(config: &config::Storage, state: &Path, startup: &Startup) -> io::Result<PathBuf> {
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

struct Choice<'a> {
    name: &'a str,
    root: &'a Directory,
    root_path: &'a Path,
    config: &'a config::Storage,
    read_only: bool,
    startup: &'a Startup,
}

impl Choice<'_> {
    fn choose(&self, state: &Path) -> Result<(Arc<Staging>, PathBuf), OpenError> {
        if let Some(path) = &self.config.staging {
            return match self.consider(path) {
                Ok(Some(chosen)) => Ok(chosen),
                Ok(None) => Err(no_staging(
                    self.name,
                    path,
                    &io::Error::other(
                        "it must be on the file system of the root, and outside of it",
                    ),
                )),
                Err(error) => Err(no_staging(self.name, path, &error)),
            };
        }
        let in_state = state.join("staging").join(self.name);
        if let Some(chosen) = self
            .consider(&in_state)
            .map_err(|error| no_staging(self.name, &in_state, &error))?
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
        let text = format!(
            "uploads must wait on the file system of {}, outside of it, where the state directory is \
             not{why}: set this key to a directory there",
            self.root_path.display(),
        );
        Err(OpenError::new(self.name, "staging", text))
    }

    /// Makes and opens it; `None` if it is on another file system or within the root.
    fn consider(&self, path: &Path) -> io::Result<Option<(Arc<Staging>, PathBuf)>> {
        let made = !path.exists();
        self.startup.make_directory(path, 0o700, true)?;
        let path = path
            .canonicalize()
            .map_err(|error| explain(error, path, Wanted::Enter))?;
        let fits = !path.starts_with(self.root_path)
            && !self.root_path.starts_with(&path)
            && (self.read_only || self.same_mount(&path)?);
        if fits {
            let age = self.config.partial_age;
            let staging = Staging::open(&path, self.name, age, self.startup)?;
            if self.read_only || staging.in_use || self.reaches_root(&staging, &path)? {
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
        let staging: OwnedFd = openat(CWD, path, flags, Mode::empty())
            .map_err(|error| explain(error.into(), path, Wanted::Enter))?;
        let place = |handle: std::os::fd::BorrowedFd<'_>| {
            let facts = statx(handle, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
            io::Result::Ok((facts.stx_dev_major, facts.stx_dev_minor, facts.stx_mnt_id))
        };
        Ok(place(staging.as_fd())? == place(self.root.as_fd())?)
    }

    /// Renames a file from staging into the root, which alone shows that it can be done. A root that
    /// the server may not write itself, with homes that it may, is taken at its device's word.
    fn reaches_root(&self, staging: &Staging, path: &Path) -> io::Result<bool> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap_or(Duration::ZERO).as_nanos();
        let probe = format!(".portcullis-{}-{now:x}", std::process::id());
        let made = staging.create(&probe, 0o600);
        drop(made.map_err(|error| failed(error, path))?);
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
