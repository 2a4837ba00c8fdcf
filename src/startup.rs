//! Opening all that a configuration names, in earnest or as a trial.
//!
//! The start and `portcullis check` take the same steps, so that they find the same faults. A trial
//! removes again what it makes, and leaves alone what a running server has.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use tempfile::TempDir;

use crate::types::access::{Wanted, explain};

/// A start, or a trial of one.
#[derive(Debug, Default)]
pub struct Startup {
    trial: Option<Trial>,
}

#[derive(Debug)]
struct Trial {
    /// Directories that were not there before, in the order in which they were made.
    made: Mutex<Vec<PathBuf>>,
    /// For files that are thrown away.
    aside: TempDir,
    running: OnceLock<RunningServer>,
    /// Whether what it compiles stays.
    keeps_compiled: bool,
}

/// A server of this very configuration that runs.
#[derive(Clone, Debug, Default)]
pub struct RunningServer {
    /// Its process.
    pub process: u32,
    /// Its user.
    pub user: Option<u32>,
    /// Addresses that it listens on.
    pub listening: Vec<SocketAddr>,
    /// Staging directories that it has locked, links resolved.
    pub staging: Vec<PathBuf>,
    /// Whether it has the state file open.
    pub state_file: Option<PathBuf>,
}

impl Startup {
    /// A start that is to serve.
    #[must_use]
    pub fn real() -> Self {
        Self::default()
    }

    /// A trial. Nothing of it stays behind, but for compiled plugins if that is wanted.
    ///
    /// # Errors
    /// When there is no room for temporary files.
    pub fn trial(keeps_compiled: bool) -> io::Result<Self> {
        let aside = tempfile::Builder::new()
            .prefix("portcullis-check-")
            .tempdir()?;
        Ok(Self {
            trial: Some(Trial {
                made: Mutex::default(),
                aside,
                running: OnceLock::new(),
                keeps_compiled,
            }),
        })
    }

    /// Whether nothing may stay behind.
    #[must_use]
    pub fn is_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// Whether compiled plugins are kept for another start.
    #[must_use]
    pub fn keeps_compiled(&self) -> bool {
        self.trial.as_ref().is_none_or(|trial| trial.keeps_compiled)
    }

    /// Where a trial puts what is thrown away; none in earnest.
    #[must_use]
    pub fn aside(&self) -> Option<&Path> {
        self.trial.as_ref().map(|trial| trial.aside.path())
    }

    /// Notes that a server runs, of which a trial leaves alone what it has.
    pub fn found(&self, running: RunningServer) {
        if let Some(trial) = &self.trial {
            let _ = trial.running.set(running);
        }
    }

    /// The running server, if a trial has found one.
    #[must_use]
    pub fn running(&self) -> Option<&RunningServer> {
        self.trial.as_ref()?.running.get()
    }

    /// Whether the running server has an address, or will have when it reloads.
    #[must_use]
    pub fn has(&self, address: SocketAddr) -> bool {
        let listening = self.running().map(|running| running.listening.iter());
        let mut listening = listening.into_iter().flatten();
        listening.any(|other| overlap(address, *other))
    }

    /// Makes a directory that is not there, with those above it if `recursive`.
    ///
    /// # Errors
    /// Of the system, with the user and the place where permission is denied.
    pub fn make_directory(&self, path: &Path, mode: u32, recursive: bool) -> io::Result<()> {
        // Not `exists`, for which what may not be looked at is not there.
        match fs::metadata(path) {
            Ok(facts) if facts.is_dir() => return Ok(()),
            Ok(_) => return Err(io::Error::other("it is not a directory")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(explain(error, path, Wanted::Enter)),
        }
        let mut missing: Vec<&Path> = path
            .ancestors()
            .take_while(|path| fs::symlink_metadata(path).is_err())
            .collect();
        if !recursive {
            missing.truncate(1);
        }
        for path in missing.into_iter().rev() {
            match DirBuilder::new().mode(mode).create(path) {
                Ok(()) => self.made().into_iter().for_each(|mut made| {
                    made.push(path.to_owned());
                }),
                // Another one was quicker.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(explain(error, path, Wanted::Make)),
            }
        }
        // Also where a link that leads nowhere stands in its place.
        match fs::metadata(path) {
            Ok(_) => Ok(()),
            Err(error) => Err(explain(error, path, Wanted::Enter)),
        }
    }

    /// Makes a file in a directory, and removes it.
    ///
    /// # Errors
    /// Of the system, with the user and the place where permission is denied.
    pub fn try_to_write(&self, directory: &Path) -> io::Result<()> {
        probe(directory).map_err(|error| explain(error, directory, Wanted::Fill))
    }

    /// The same in the directory that `path` is to be made in.
    ///
    /// # Errors
    /// As to make it would give.
    pub fn try_to_make(&self, path: &Path) -> io::Result<()> {
        let directory = path.parent().unwrap_or(Path::new("/"));
        probe(directory).map_err(|error| explain(error, path, Wanted::Make))
    }

    fn made(&self) -> Option<MutexGuard<'_, Vec<PathBuf>>> {
        let trial = self.trial.as_ref()?;
        Some(trial.made.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether one of two listeners takes the other's address: the same port of the same address, or of
/// all addresses of its family.
#[must_use]
pub fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip(), other.ip());
    one.port() == other.port()
        && one.port() != 0
        && a.is_ipv4() == b.is_ipv4()
        && (a == b || a.is_unspecified() || b.is_unspecified())
}

fn probe(directory: &Path) -> io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_nanos();
    let path = directory.join(format!(".portcullis-{}-{now:x}", std::process::id()));
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    fs::remove_file(&path)
}

impl Drop for Trial {
    fn drop(&mut self) {
        let made = self.made.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Only what is empty goes: somebody else may have begun to use it.
        for path in made.iter().rev() {
            let _ = fs::remove_dir(path);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_leaves_nothing_behind() {
        let place = tempfile::tempdir().unwrap();
        let deep = place.path().join("a/b/c");
        let trial = Startup::trial(false).unwrap();
        trial.make_directory(&deep, 0o700, true).unwrap();
        trial.make_directory(&deep, 0o700, true).unwrap();
        trial.try_to_write(&deep).unwrap();
        assert_eq!(fs::read_dir(&deep).unwrap().count(), 0);
        let aside = trial.aside().unwrap().to_owned();
        assert!(aside.is_dir());
        drop(trial);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
        assert!(!aside.exists());
        Startup::real().make_directory(&deep, 0o700, true).unwrap();
        assert!(deep.is_dir());
    }

    #[test]
    fn a_trial_keeps_what_others_use() {
        let place = tempfile::tempdir().unwrap();
        let (new, inner) = (place.path().join("new"), place.path().join("new/inner"));
        let trial = Startup::trial(false).unwrap();
        trial.make_directory(&inner, 0o700, true).unwrap();
        fs::write(new.join("file"), "").unwrap();
        drop(trial);
        assert!(new.join("file").exists() && !inner.exists());
    }

    #[test]
    fn one_directory_is_made_and_not_a_whole_path() {
        let place = tempfile::tempdir().unwrap();
        let real = Startup::real();
        let error = real.make_directory(&place.path().join("a/b"), 0o755, false);
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(place.path().join("file"), "").unwrap();
        let error = real.make_directory(&place.path().join("file"), 0o755, false);
        assert_eq!(error.unwrap_err().to_string(), "it is not a directory");
    }
}
