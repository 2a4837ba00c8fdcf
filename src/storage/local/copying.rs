//! A copy of the beginning of what is published, made beside the transfer that goes on from there.

use std::{
    io,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::{
    buffer::spare_capacity,
    fs::{SeekFrom, copy_file_range, ftruncate, ioctl_ficlone, seek},
    io::{Errno, pread, pwrite},
};
use tokio::{sync::watch, task::spawn_blocking};

use super::{confined_dir::facts, source::retry};
use crate::storage::{Error, Result};

/// The bytes that are copied before looking whether anybody still wants it.
const STEP: u64 = 8 << 20;
/// Up to this length, the copy is made before the transfer begins.
const SMALL: u64 = 1 << 20;
/// For file systems that cannot copy by themselves.
const BUFFER: usize = 256 << 10;

/// How far it is.
#[derive(Clone, Debug)]
enum State {
    /// The bytes that have been copied.
    At(u64),
    Done,
    /// The text of the error.
    Failed(Failure),
}

#[derive(Clone, Copy, Debug)]
enum Failure {
    /// The file has become shorter.
    Changed,
    NoSpace,
    Io(Errno),
}

impl Failure {
    fn error(self) -> Error {
        match self {
            Self::Changed => Error::Changed,
            Self::NoSpace => Error::NoSpace,
            Self::Io(errno) => Error::Io(errno.into()),
        }
    }
}

/// A copy on its way. Dropped, it stops.
pub(super) struct Copying {
    state: watch::Receiver<State>,
    stop: Arc<AtomicBool>,
}

impl Drop for Copying {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// To wait for a copy.
#[derive(Clone)]
pub(super) struct Copied(watch::Receiver<State>);

impl Copying {
    /// Copies the first `length` bytes of one file to another, which gets that length at once.
    /// None where the file system shares the blocks (btrfs, XFS): then it is done.
    pub(super) fn start(from: OwnedFd, to: Arc<OwnedFd>, length: u64) -> Result<Option<Self>> {
        if ioctl_ficlone(&*to, &from).is_ok() {
            let available = facts(&*to)?.stx_size;
            if available < length {
                return Err(Error::Changed);
            }
            if available > length {
                ftruncate(&*to, length)?;
            }
            return Ok(None);
        }
        ftruncate(&*to, length)?;
        if length <= SMALL {
            let copied = copy(&from, &to, length, &AtomicBool::new(false), |_| {});
            return copied.map(|()| None).map_err(Failure::error);
        }
        let (at, state) = watch::channel(State::At(0));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        spawn_blocking(move || {
            let copied = copy(&from, &to, length, &stopped, |done| {
                at.send_replace(State::At(done));
            });
            at.send_replace(match copied {
                Ok(()) => State::Done,
                Err(failure) => State::Failed(failure),
            });
        });
        Ok(Some(Self { state, stop }))
    }

    /// Whether it is done.
    ///
    /// # Errors
    /// When it has failed.
    pub(super) fn is_done(&self) -> Result<bool> {
        match &*self.state.borrow() {
            State::At(_) => Ok(false),
            State::Done => Ok(true),
            State::Failed(failure) => Err(failure.error()),
        }
    }

    /// To wait for it.
    pub(super) fn copied(&self) -> Copied {
        Copied(self.state.clone())
    }
}

impl Copied {
    /// Waits until byte `at` is there.
    ///
    /// # Errors
    /// When it never will be.
    pub(super) async fn reaches(&mut self, at: u64) -> Result<()> {
        let reached = |state: &State| !matches!(state, State::At(done) if *done <= at);
        match self.0.wait_for(reached).await.as_deref() {
            Ok(State::Failed(failure)) => Err(failure.error()),
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Io(io::ErrorKind::Interrupted.into())),
        }
    }

    /// Waits until all of it is there.
    ///
    /// # Errors
    /// When it never will be.
    pub(super) async fn ends(&mut self) -> Result<()> {
        self.reaches(u64::MAX).await
    }
}

/// Copies between the holes, which stay holes.
fn copy(
    from: &OwnedFd,
    to: &OwnedFd,
    length: u64,
    stop: &AtomicBool,
    mut done: impl FnMut(u64),
) -> std::result::Result<(), Failure> {
    let mut at = 0;
    let mut by_kernel = true;
    let mut buffer = Vec::new();
    while at < length {
        let (data, end) = match next_data(from, at) {
            Ok(Some((data, end))) => (data.min(length), end.min(length)),
            Ok(None) => {
                let available = facts(from).map_or(0, |found| found.stx_size);
                match available < length {
                    true => return Err(Failure::Changed),
                    false => (length, length),
                }
            }
            Err(errno) => return Err(Failure::Io(errno)),
        };
        at = data;
        while at < end {
            if stop.load(Ordering::Relaxed) {
                return Err(Failure::Io(Errno::INTR));
            }
            let step = usize::try_from((end - at).min(STEP)).unwrap_or(BUFFER);
            let copied = match copy_step(from, to, at, step, &mut by_kernel, &mut buffer) {
                Ok(copied) => copied,
                Err(Errno::INTR) => continue,
                Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => return Err(Failure::NoSpace),
                Err(errno) => return Err(Failure::Io(errno)),
            };
            if copied == 0 {
                return Err(Failure::Changed);
            }
            at += copied as u64;
            done(at);
        }
        done(at);
    }
    Ok(())
}

/// Where the next bytes that are not a hole begin and end; None where only a hole is left.
fn next_data(file: &OwnedFd, at: u64) -> std::result::Result<Option<(u64, u64)>, Errno> {
    match seek(file, SeekFrom::Data(at)) {
        Ok(data) => Ok(Some((data, seek(file, SeekFrom::Hole(data))?))),
        Err(Errno::NXIO) => Ok(None),
        // It does not tell holes.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some((at, u64::MAX))),
        Err(errno) => Err(errno),
    }
}

fn copy_step(
    from: &OwnedFd,
    to: &OwnedFd,
    at: u64,
    step: usize,
    by_kernel: &mut bool,
    buffer: &mut Vec<u8>,
) -> std::result::Result<usize, Errno> {
    if *by_kernel {
        let (mut read, mut written) = (at, at);
        match copy_file_range(from, Some(&mut read), to, Some(&mut written), step) {
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => *by_kernel = false,
            copied => return copied,
        }
    }
    buffer.clear();
    buffer.reserve_exact(step.min(BUFFER));
    retry(|| pread(from, spare_capacity(buffer), at))?;
    buffer.truncate(step);
    let (mut rest, mut to_offset) = (&buffer[..], at);
    while !rest.is_empty() {
        let written = retry(|| pwrite(to, rest, to_offset))?;
        if written == 0 {
            return Err(Errno::IO);
        }
        to_offset += written as u64;
        rest = rest.get(written..).unwrap_or_default();
    }
    Ok(buffer.len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::*;

    fn file() -> std::fs::File {
        tempfile::tempfile().unwrap()
    }

    fn start(from: &std::fs::File, to: &std::fs::File, length: u64) -> Result<Option<Copying>> {
        let [from, to] = [from, to].map(|file| file.try_clone().unwrap().into());
        Copying::start(from, Arc::new(to), length)
    }

    async fn end(copying: Option<Copying>) -> Result<()> {
        match copying {
            Some(copying) => copying.copied().ends().await,
            None => Ok(()),
        }
    }

    #[tokio::test]
    async fn holes_stay_holes() {
        let (from, to) = (file(), file());
        let length = 64 << 20;
        from.set_len(length).unwrap();
        for at in [0, 5_000_000, length - 4] {
            from.write_all_at(b"data", at).unwrap();
        }
        // Of the last data, one byte.
        let length = length - 3;
        end(start(&from, &to, length).unwrap()).await.unwrap();
        let found = to.metadata().unwrap();
        assert_eq!(found.len(), length);
        assert!(found.blocks() * 512 < 1 << 20, "{}", found.blocks());
        let mut data = [0; 4];
        for at in [0, 5_000_000] {
            to.read_exact_at(&mut data, at).unwrap();
            assert_eq!(&data, b"data");
        }
        to.read_exact_at(&mut data[..2], length - 2).unwrap();
        assert_eq!(&data[..2], b"\0d");
    }

    #[tokio::test]
    async fn what_is_written_behind_it_stays() {
        let (from, to) = (file(), file());
        let bytes = vec![b'x'; 20_000_000];
        from.write_all_at(&bytes, 0).unwrap();
        let copying = start(&from, &to, 19_999_999).unwrap();
        to.write_all_at(b"behind", 19_999_999).unwrap();
        if let Some(copying) = &copying {
            copying.copied().reaches(10_000_000).await.unwrap();
            let mut byte = [0];
            to.read_exact_at(&mut byte, 10_000_000).unwrap();
            assert_eq!(&byte, b"x");
        }
        end(copying).await.unwrap();
        let mut there = vec![0; 20_000_005];
        to.read_exact_at(&mut there, 0).unwrap();
        assert!(there[..19_999_999] == bytes[1..] && &there[19_999_999..] == b"behind");
    }

    #[tokio::test]
    async fn a_file_that_has_become_shorter_is_another() {
        let (from, to) = (file(), file());
        from.write_all_at(b"short", 0).unwrap();
        let copied = match start(&from, &to, 6) {
            Ok(copying) => end(copying).await,
            Err(error) => Err(error),
        };
        assert!(matches!(copied, Err(Error::Changed)), "{copied:?}");
    }
}
