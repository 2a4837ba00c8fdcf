//! Uploads that go on from something that is there.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, Weak},
};

use rustix::{
    buffer::spare_capacity,
    fs::{OFlags, copy_file_range, ftruncate, ioctl_ficlone},
    io::{Errno, pread, pwrite},
};

use super::{
    beneath::{Directory, facts, kind},
    progress::{Claim, Progress},
    source::retry,
};
use crate::{
    ftp::metadata::Kind,
    storage::{Error, From, Result},
};

/// What is copied before looking whether anybody still wants it.
const STEP: u64 = 64 << 20;
/// For file systems that cannot copy by themselves.
const BUFFER: usize = 256 << 10;

/// Begins at the waiting part, else at a copy of the file at `path`.
///
/// `wanted` is gone when the client is.
pub(super) fn resume(
    claim: Claim,
    home: &Directory,
    path: &str,
    from: From,
    mode: u32,
    wanted: &Weak<()>,
) -> Result<Progress> {
    let length = |available: u64| match from {
        From::Start => Ok(0),
        From::Offset(offset) if offset > available => Err(Error::Offset { available }),
        From::Offset(offset) => Ok(offset),
        From::End => Ok(available),
    };
    let claim = match claim.take(length)? {
        Ok(progress) => return Ok(progress),
        Err(claim) => claim,
    };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let (file, length) = match home.open(path, flags) {
        Ok(file) => {
            let found = facts(&file)?;
            match kind(&found) {
                Kind::File => {}
                Kind::Directory => return Err(Error::IsDirectory),
                Kind::Link | Kind::Other => return Err(Error::NotRegular),
            }
            (file, length(found.stx_size)?)
        }
        Err(Error::NotFound) => {
            length(0)?;
            return claim.create(mode);
        }
        Err(error) => return Err(error),
    };
    let mut progress = claim.create_copy(mode)?;
    copy(&file, &progress.file, length, wanted)?;
    progress.copied(length)?;
    Ok(progress)
}

fn copy(from: &OwnedFd, to: &Arc<OwnedFd>, length: u64, wanted: &Weak<()>) -> Result<()> {
    // Shares the blocks where the file system can (btrfs, XFS).
    if ioctl_ficlone(&**to, from).is_ok() {
        let available = facts(&**to)?.stx_size;
        if available > length {
            ftruncate(&**to, length)?;
        }
        return if available < length {
            Err(Error::Offset { available })
        } else {
            Ok(())
        };
    }
    let mut at = 0;
    let mut by_kernel = true;
    let mut buffer = Vec::new();
    while at < length {
        if wanted.strong_count() == 0 {
            return Err(Error::Io(std::io::ErrorKind::Interrupted.into()));
        }
        let step = usize::try_from((length - at).min(STEP)).unwrap_or(BUFFER);
        let copied = if by_kernel {
            let (mut read, mut written) = (at, at);
            match copy_file_range(from, Some(&mut read), &**to, Some(&mut written), step) {
                Ok(copied) => copied,
                Err(Errno::INTR) => continue,
                Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    by_kernel = false;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
        } else {
            buffer.clear();
            buffer.reserve_exact(step.min(BUFFER));
            retry(|| pread(from, spare_capacity(&mut buffer), at))?;
            buffer.truncate(step);
            write_all(to, &buffer, at)?;
            buffer.len()
        };
        if copied == 0 {
            // It has become shorter meanwhile.
            return Err(Error::Offset { available: at });
        }
        at += copied as u64;
    }
    Ok(())
}

fn write_all(to: &OwnedFd, mut data: &[u8], mut at: u64) -> Result<()> {
    while !data.is_empty() {
        let written = retry(|| pwrite(to, data, at))?;
        if written == 0 {
            return Err(Error::Io(std::io::ErrorKind::WriteZero.into()));
        }
        at += written as u64;
        data = data.get(written..).unwrap_or_default();
    }
    Ok(())
}
