//! One server for one staging directory.

use std::{io, os::fd::OwnedFd, path::Path, time::Duration};

use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock, openat},
    io::Errno,
};

use crate::{
    startup::Startup,
    types::access::{Wanted, explain},
};

/// The file that is locked.
pub(super) const LOCK: &str = "lock";

/// How often, and how long apart, the lock is tried: for a moment a trial may have it.
const LOCK_TRIES: (u32, Duration) = (10, Duration::from_millis(20));

/// Takes the directory for this server alone.
pub(super) fn lock(directory: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = openat(directory, LOCK, flags, Mode::from_raw_mode(0o600));
    let lock = lock.map_err(|error| no_lock(error, path))?;
    let (mut tries, pause) = LOCK_TRIES;
    loop {
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if tries > 1 => tries -= 1,
            Err(Errno::WOULDBLOCK) => return Err(io::Error::other("another server is using it")),
            Err(error) => return Err(error.into()),
            Ok(()) => return Ok(lock),
        }
        std::thread::sleep(pause);
    }
}

/// Whether the running server has locked it; makes sure that it could be locked otherwise.
pub(super) fn is_locked(directory: &OwnedFd, path: &Path, startup: &Startup) -> io::Result<bool> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = match openat(directory, LOCK, flags, Mode::empty()) {
        Ok(lock) => lock,
        Err(Errno::NOENT) => return startup.try_to_write(path).map(|()| false),
        Err(error) => return Err(no_lock(error, path)),
    };
    // Shared, so that two trials do not hinder each other.
    match flock(&lock, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => {
            let running = startup.running();
            match running.is_some_and(|running| running.staging.iter().any(|one| one == path)) {
                true => Ok(true),
                false => Err(io::Error::other("another server is using it")),
            }
        }
        Err(error) => Err(error.into()),
        Ok(()) => Ok(false),
    }
}

fn no_lock(error: Errno, directory: &Path) -> io::Error {
    let lock = directory.join(LOCK);
    match lock.exists() {
        true => {
            let error = explain(error.into(), &lock, Wanted::Write);
            io::Error::new(error.kind(), format!("{LOCK}: {error}"))
        }
        false => explain(error.into(), directory, Wanted::Fill),
    }
}
