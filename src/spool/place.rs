//! Where the uploads to a storage wait, chosen when the server starts.

use std::{
    io,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustix::io::Errno;

use super::{ahead::Ahead, quota::Usage, staging::Staging};
use crate::{
    config,
    startup::Startup,
    storage::{Backend, Error, OpenError, Result as Outcome},
    types::access::{Wanted, explain},
    types::{Durability, UserId},
};

/// The directory where the uploads to a storage wait, and for how long.
pub(super) struct Spool {
    /// The storage's name.
    pub(super) name: String,
    pub(super) staging: Arc<Staging>,
    pub(super) path: PathBuf,
    /// Where uploads are kept for a person to look at; perhaps not made yet.
    pub(super) quarantine: PathBuf,
    /// The bits of a mode that the umask leaves.
    pub(super) surviving: u32,
    /// The mode of a new file.
    pub(super) created_mode: u32,
    /// Whether what is kept is on the disk then.
    pub(super) durable: bool,
    pub(super) create_homes: bool,
    pub(super) partial_age: Duration,
    /// Unset, no user has more than half of the file system.
    partial_size: Option<u64>,
    partial_count: usize,
    pub(super) partial_listing: config::PartialListing,
    /// Bytes of all uploads in quarantine; 0 is no limit.
    pub(super) quarantine_size: u64,
    pub(super) usage: Arc<Usage>,
}

impl Spool {
    /// Chooses a directory from which the backend takes files. The uploads that an earlier run has
    /// left there become resumable.
    pub(super) fn open(
        name: &str,
        config: &config::Storage,
        state: &Path,
        startup: &Startup,
        backend: &dyn Backend,
    ) -> Result<Self, OpenError> {
        let choice = Choice {
            name,
            config,
            backend,
            startup,
        };
        let (staging, path) = choice.choose(state)?;
        Self::new(choice, (staging, path), Arc::default())
    }

    /// The same place with other settings.
    pub(super) fn with(
        &self,
        config: &config::Storage,
        backend: &dyn Backend,
    ) -> Result<Self, OpenError> {
        let choice = Choice {
            name: &self.name,
            config,
            backend,
            startup: &Startup::real(),
        };
        let place = (self.staging.clone(), self.path.clone());
        Self::new(choice, place, self.usage.clone())
    }

    fn new(
        choice: Choice<'_>,
        (staging, path): (Arc<Staging>, PathBuf),
        usage: Arc<Usage>,
    ) -> Result<Self, OpenError> {
        let quarantine = choice.quarantine(&path)?;
        let (name, config) = (choice.name, choice.config);
        let surviving = staging
            .surviving_mode()
            .map_err(|error| no_staging(name, &path, &failed(error, &path)))?;
        if !choice.startup.is_trial() {
            staging.room.limit(config.staging_size);
        }
        Ok(Self {
            name: name.to_owned(),
            staging,
            path,
            quarantine,
            surviving,
            // The server itself must be able to open what waits to be resumed.
            created_mode: (config.file_mode & 0o777 | 0o600) & surviving,
            durable: config.durability != Durability::None,
            create_homes: config.create_homes,
            partial_age: config.partial_age,
            partial_size: config.partial_size,
            partial_count: config.partial_count,
            partial_listing: config.partial_listing,
            quarantine_size: config.quarantine_size,
            usage,
        })
    }

    /// For an upload that has `length` bytes, in a file of `allocated` bytes.
    pub(super) fn ahead(&self, length: u64, allocated: u64) -> Ahead {
        Ahead::new(self.staging.allocates, self.durable, length, allocated)
    }

    /// Something more of `owner` waits: removes what is too much.
    pub(super) fn bound(&self, owner: &UserId) -> Outcome<()> {
        self.staging.bound_count(owner, self.partial_count)?;
        let removed = match self.partial_size {
            Some(0) => 0,
            Some(limit) => self.staging.make_room(limit)?,
            None => self.staging.bound_size(owner)?,
        };
        if removed > 0 {
            tracing::info!(
                removed,
                user = %owner,
                storage = self.name.as_str(),
                "broken uploads were removed: partial-size"
            );
        }
        Ok(())
    }

    /// Removes what has waited for too long, and what is too much; says how many.
    pub(super) fn expire(&self) -> Outcome<usize> {
        let expired = self.staging.expire(self.partial_age)?;
        match self.partial_size {
            None | Some(0) => Ok(expired),
            Some(size) => Ok(expired + self.staging.make_room(size)?),
        }
    }
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

/// Makes and tries a directory that the configuration names, so that a mistake shows at the start.
fn prepare_quarantine(
    path: &Path,
    backend: &dyn Backend,
    startup: &Startup,
) -> io::Result<PathBuf> {
    startup.make_directory(path, 0o700, true)?;
    let path = path
        .canonicalize()
        .map_err(|error| explain(error, path, Wanted::Enter))?;
    if backend.overlaps(&path) {
        return Err(io::Error::other("it must be outside of the storage's root"));
    }
    let mode = path.metadata()?.mode() & 0o777;
    if mode & 0o077 != 0 {
        let text = format!("others may enter it (mode {mode:o}, not 700)");
        return Err(io::Error::other(text));
    }
    startup.try_to_write(&path)?;
    Ok(path)
}

struct Choice<'a> {
    name: &'a str,
    config: &'a config::Storage,
    backend: &'a dyn Backend,
    startup: &'a Startup,
}

impl Choice<'_> {
    fn quarantine(&self, staging: &Path) -> Result<PathBuf, OpenError> {
        let configured = self.config.quarantine.as_deref();
        let prepared = match configured {
            Some(path) => prepare_quarantine(path, self.backend, self.startup),
            None => Ok(staging.join("quarantine")),
        };
        prepared.map_err(|error| {
            let path = configured.unwrap_or(staging);
            let text = format!("{}: nothing can be kept there: {error}", path.display());
            OpenError::new(self.name, "quarantine", text)
        })
    }

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
        let beside = self.backend.place_beside();
        let why = match beside.as_deref().map(|path| self.consider(path)) {
            Some(Ok(Some(chosen))) => return Ok(chosen),
            Some(Err(error)) => format!(", and a directory beside it cannot be used ({error})"),
            Some(Ok(None)) | None => String::new(),
        };
        let text = format!(
            "uploads must wait on the file system of {}, outside of it, where the state directory is \
             not{why}: set this key to a directory there",
            self.backend.location().display(),
        );
        Err(OpenError::new(self.name, "staging", text))
    }

    /// Makes and opens it; `None` if uploads cannot be published from there.
    fn consider(&self, path: &Path) -> io::Result<Option<(Arc<Staging>, PathBuf)>> {
        let made = !path.exists();
        self.startup.make_directory(path, 0o700, true)?;
        let path = path
            .canonicalize()
            .map_err(|error| explain(error, path, Wanted::Enter))?;
        if !self.backend.overlaps(&path) && self.backend.may_take_from(&path)? {
            let age = self.config.partial_age;
            let staging = Staging::open(&path, self.name, age, self.startup)?;
            let writable = self.backend.capabilities().writable;
            if !writable || staging.in_use || self.is_reached(&staging, &path)? {
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

    /// Whether the backend takes a file from there, which it alone can tell.
    fn is_reached(&self, staging: &Staging, path: &Path) -> io::Result<bool> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap_or(Duration::ZERO).as_nanos();
        let probe = format!(".portcullis-{}-{now:x}", std::process::id());
        let made = staging.create(&probe, 0o600);
        drop(made.map_err(|error| failed(error, path))?);
        self.backend.try_to_take(staging.as_fd(), &probe)
    }
}
