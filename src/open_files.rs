//! The limit of open files (RLIMIT_NOFILE), and what is said where it is reached.

use std::{
    io,
    os::fd::{AsRawFd, RawFd},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

/// The text for clients.
pub const TEXT: &str = "The server has too many files open, try again later";

/// How often the log says so.
const INTERVAL: Duration = Duration::from_secs(60);
/// Of this many files one is kept back from new sessions, for those that are there.
const SHARE: u64 = 8;
/// The fewest and the most that are kept back.
const KEPT: (u64, u64) = (16, 1024);

/// A session has several descriptors; the usual soft limit of 1024 is for `select`.
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// Whether a new session would take of what is kept back. The system gives the lowest descriptor that
/// is free, so all below this one are in use.
#[must_use]
pub fn is_kept_back(new: &impl AsRawFd) -> bool {
    let limit = getrlimit(Resource::Nofile).current;
    limit.is_some_and(|limit| kept_back(new.as_raw_fd(), limit))
}

fn kept_back(new: RawFd, limit: u64) -> bool {
    let (least, most) = KEPT;
    let kept = (limit / SHARE).clamp(least, most);
    u64::try_from(new).is_ok_and(|new| new >= limit.saturating_sub(kept))
}

/// Whether an error says that there are too many open files, of this process or of the system.
#[must_use]
pub fn is_exhausted(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(code, Some(Errno::MFILE | Errno::NFILE))
}

/// When the log has said so, and how often it has happened since.
static TOLD: Mutex<(Option<Instant>, u64)> = Mutex::new((None, 0));

/// Says in the log what could not be done, once for each interval.
pub fn complain(what: &str) {
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    let (since, count) = &mut *told;
    *count += 1;
    if since.is_some_and(|since| since.elapsed() < INTERVAL) {
        return;
    }
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    tracing::error!(
        what,
        limit,
        count = *count,
        "too many open files: raise RLIMIT_NOFILE (LimitNOFILE= of a systemd unit), or lower \
         limits.sessions"
    );
    *since = Some(Instant::now());
    *count = 0;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_kept_back() {
        for (limit, first) in [(64, 48), (1024, 896), (1 << 20, (1 << 20) - 1024)] {
            assert!(!kept_back(first - 1, limit.try_into().unwrap_or_default()));
            assert!(kept_back(first, limit.try_into().unwrap_or_default()));
        }
    }

    #[test]
    fn both_limits_are_known() {
        for code in [Errno::MFILE, Errno::NFILE] {
            assert!(is_exhausted(&code.into()));
        }
        assert!(!is_exhausted(&Errno::NOMEM.into()));
        assert!(!is_exhausted(&io::Error::other("x")));
    }
}
