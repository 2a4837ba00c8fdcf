//! Modes and times of files that are there.

use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, chmodat, fchmod};

use super::{confined_dir::Directory, content::READ};
use crate::{
    ftp::metadata::Kind,
    storage::{
        Error, Result,
        posix::{facts, kind},
    },
};

/// Sets the mode bits of a file or directory, not following a link at the end of `path`.
pub(super) fn set_mode(directory: &Directory, path: &str, mode: u32) -> Result<()> {
    let (handle, readable) = match directory.open(path, READ | OFlags::NOFOLLOW) {
        // The owner may change the mode of what he may not read.
        Err(Error::Denied) => (
            directory.open(path, OFlags::PATH | OFlags::NOFOLLOW)?,
            false,
        ),
        handle => (handle?, true),
    };
    let found = facts(&handle)?;
    let mode = match kind(&found) {
        Kind::File => mode & 0o777,
        // Which group new files belong to is the administrator's decision.
        Kind::Directory => mode & 0o777 | u32::from(found.stx_mode) & 0o7000,
        Kind::Link => return Err(Error::Unsupported),
        Kind::Other => return Err(Error::NotRegular),
    };
    let mode = Mode::from_raw_mode(mode);
    if readable {
        return Ok(fchmod(&handle, mode)?);
    }
    // `fchmod` takes no such handle; its entry in /proc leads to the very same file.
    use std::os::fd::AsRawFd;
    let entry = format!("/proc/self/fd/{}", handle.as_raw_fd());
    Ok(chmodat(CWD, entry, mode, AtFlags::empty())?)
}

/// A time as the kernel takes it.
pub(super) fn timespec(time: SystemTime) -> Timespec {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => Timespec {
            tv_sec: after.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: after.subsec_nanos().into(),
        },
        Err(error) => {
            // Rounded up to the second, with the rest forward again.
            let before = error.duration();
            let seconds = before + Duration::from_nanos(999_999_999);
            let seconds = Duration::from_secs(seconds.as_secs());
            let forward = seconds - before;
            Timespec {
                tv_sec: -i64::try_from(seconds.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: forward.subsec_nanos().into(),
            }
        }
    }
}
