//! A copy of the beginning of what is published, made beside the transfer that goes on from there.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::{
    buffer::spare_capacity,
    fs::{SeekFrom, copy_file_range, ftruncate, ioctl_ficlone, seek},
    io::{Errno, pread},
};
use tokio::{sync::watch, task::spawn_blocking};

use crate::storage::{
    Content, Error, Result,
    posix::{facts, retry, writing::write_all},
};

/// The bytes that are copied before looking whether anybody still wants it.
const STEP: u64 = 8 << 20;
/// Up to this length, the copy is made before the transfer begins.
const SMALL: u64 = 1 << 20;
/// The most bytes of one read where the kernel cannot copy.
const BUFFER: usize = 256 << 10;

/// How far it is.
#[derive(Clone, Debug)]
enum Reached {
    /// The bytes that have been copied.
    At(u64),
    Done,
    Failed(Failure),
}

impl From<std::result::Result<(), Failure>> for Reached {
    fn from(copied: std::result::Result<(), Failure>) -> Self {
        match copied {
            Ok(()) => Self::Done,
            Err(failure) => Self::Failed(failure),
        }
    }
}

#[derive(Clone, Debug)]
enum Failure {
    /// The file has become shorter.
    Changed,
    NoSpace,
    Io(Errno),
    /// Of a file that is not this machine's: the text of the error.
    Remote(Arc<str>),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOSPC | Errno::DQUOT | Errno::FBIG => Self::NoSpace,
            errno => Self::Io(errno),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Changed => Self::Changed,
            Failure::NoSpace => Self::NoSpace,
            Failure::Io(errno) => Self::Io(errno.into()),
            Failure::Remote(text) => Self::Io(io::Error::other(text.to_string())),
        }
    }
}

/// A copy on its way. Dropped, it stops.
pub(super) struct Copying {
    reached: watch::Receiver<Reached>,
    stop: Arc<AtomicBool>,
}

impl Drop for Copying {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// To wait for a copy.
#[derive(Clone)]
pub(super) struct Copied(watch::Receiver<Reached>);

impl Copying {
    /// Copies the first `length` bytes of what is published to a file, which gets that length at once.
    /// None where that is done already: a short one, or a file system that shares the blocks (btrfs,
    /// XFS).
    pub(super) fn start(
        from: Box<dyn Content>,
        to: Arc<OwnedFd>,
        length: u64,
    ) -> Result<Option<Self>> {
        let Some(file) = from.as_file() else {
            ftruncate(&*to, length)?;
            return Ok(Some(Self::read(from, to, length)));
        };
        if ioctl_ficlone(&*to, file).is_ok() {
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
            copy(file, &to, length, &AtomicBool::new(false), |_| {})?;
            return Ok(None);
        }
        let (at, reached) = watch::channel(Reached::At(0));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        spawn_blocking(move || {
            let copied = match from.as_file() {
                Some(file) => copy(file, &to, length, &stopped, |done| {
                    at.send_replace(Reached::At(done));
                }),
                None => Err(Failure::Changed),
            };
            at.send_replace(copied.into());
        });
        Ok(Some(Self { reached, stop }))
    }

    /// Of what is not a file of this machine.
    fn read(from: Box<dyn Content>, to: Arc<OwnedFd>, length: u64) -> Self {
        let (at, reached) = watch::channel(Reached::At(0));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        tokio::spawn(async move {
            let copied = read(&*from, &to, length, &stopped, &at).await;
            at.send_replace(copied.into());
        });
        Self { reached, stop }
    }

    /// Whether it is done.
    ///
    /// # Errors
    /// When it has failed.
    pub(super) fn is_done(&self) -> Result<bool> {
        match &*self.reached.borrow() {
            Reached::At(_) => Ok(false),
            Reached::Done => Ok(true),
            Reached::Failed(failure) => Err(failure.clone().into()),
        }
    }

    /// To wait for it.
    pub(super) fn copied(&self) -> Copied {
        Copied(self.reached.clone())
    }
}

impl Copied {
    /// Waits until byte `at` is there.
    ///
    /// # Errors
    /// When it never will be.
    pub(super) async fn reaches(&mut self, at: u64) -> Result<()> {
        let reached = |now: &Reached| !matches!(now, Reached::At(done) if *done <= at);
        match self.0.wait_for(reached).await.as_deref() {
            Ok(Reached::Failed(failure)) => Err(failure.clone().into()),
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
    from: BorrowedFd<'_>,
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
            Err(errno) => return Err(errno.into()),
        };
        at = data;
        while at < end {
            if stop.load(Ordering::Relaxed) {
                return Err(Errno::INTR.into());
            }
            let step = usize::try_from((end - at).min(STEP)).unwrap_or(BUFFER);
            let copied = match copy_step(from, to, at, step, &mut by_kernel, &mut buffer) {
                Ok(copied) => copied,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
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
fn next_data(file: BorrowedFd<'_>, at: u64) -> std::result::Result<Option<(u64, u64)>, Errno> {
    match seek(file, SeekFrom::Data(at)) {
        Ok(data) => Ok(Some((data, seek(file, SeekFrom::Hole(data))?))),
        Err(Errno::NXIO) => Ok(None),
        // It does not tell holes.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some((at, u64::MAX))),
        Err(errno) => Err(errno),
    }
}

fn copy_step(
    from: BorrowedFd<'_>,
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
    write_all(to, buffer, at)?;
    Ok(buffer.len())
}

/// Copies by reading.
async fn read(
    from: &dyn Content,
    to: &OwnedFd,
    length: u64,
    stop: &AtomicBool,
    reached: &watch::Sender<Reached>,
) -> std::result::Result<(), Failure> {
    let (mut at, mut buffer) = (0, vec![0; BUFFER]);
    while at < length {
        if stop.load(Ordering::Relaxed) {
            return Err(Errno::INTR.into());
        }
        let (back, read) = match from.read_at(buffer, at).await {
            Ok(read) => read,
            Err(Error::Changed) => return Err(Failure::Changed),
            Err(error) => return Err(Failure::Remote(error.to_string().into())),
        };
        let wanted = usize::try_from(length - at).unwrap_or(usize::MAX);
        let bytes = back.get(..read.min(wanted)).unwrap_or_default();
        if bytes.is_empty() {
            return Err(Failure::Changed);
        }
        write_all(to, bytes, at)?;
        at += bytes.len() as u64;
        reached.send_replace(Reached::At(at));
        buffer = back;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::os::{
        fd::AsFd,
        unix::fs::{FileExt, MetadataExt},
    };

    use super::*;
    use crate::{ftp::metadata::Metadata, storage::posix::describe, types::BoxFuture};

    /// A file, of this machine or as if it were not.
    struct Published(std::fs::File, Metadata, bool);

    impl Content for Published {
        fn metadata(&self) -> &Metadata {
            &self.1
        }

        fn sha256(&self) -> Option<String> {
            None
        }

        fn try_read_at(&self, _: &mut [u8], _: u64) -> Result<Option<usize>> {
            Ok(None)
        }

        fn read_at(
            &self,
            mut buffer: Vec<u8>,
            offset: u64,
        ) -> BoxFuture<'_, Result<(Vec<u8>, usize)>> {
            Box::pin(async move {
                let length = self.0.read_at(&mut buffer, offset)?;
                Ok((buffer, length))
            })
        }

        fn as_file(&self) -> Option<BorrowedFd<'_>> {
            self.2.then(|| self.0.as_fd())
        }
    }

    fn file() -> std::fs::File {
        tempfile::tempfile().unwrap()
    }

    fn start_from(
        from: &std::fs::File,
        to: &std::fs::File,
        length: u64,
        is_local: bool,
    ) -> Result<Option<Copying>> {
        let [from, to] = [from, to].map(|file| file.try_clone().unwrap());
        let metadata = describe(&facts(&from).unwrap());
        let from = Box::new(Published(from, metadata, is_local));
        Copying::start(from, Arc::new(to.into()), length)
    }

    fn start(from: &std::fs::File, to: &std::fs::File, length: u64) -> Result<Option<Copying>> {
        start_from(from, to, length, true)
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
        for is_local in [true, false] {
            written_behind(is_local).await;
        }
    }

    async fn written_behind(is_local: bool) {
        let (from, to) = (file(), file());
        let bytes = vec![b'x'; 20_000_000];
        from.write_all_at(&bytes, 0).unwrap();
        let copying = start_from(&from, &to, 19_999_999, is_local).unwrap();
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
        for is_local in [true, false] {
            let copied = match start_from(&from, &to, 6, is_local) {
                Ok(copying) => end(copying).await,
                Err(error) => Err(error),
            };
            assert!(matches!(copied, Err(Error::Changed)), "{copied:?}");
        }
    }
}
