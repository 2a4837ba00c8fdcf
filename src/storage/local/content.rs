//! Reading open files.

use std::{
    io::IoSliceMut,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use rustix::{
    fs::OFlags,
    io::{Errno, ReadWriteFlags, pread, preadv2},
};

use crate::{
    ftp::metadata::Metadata,
    storage::{
        Content, Result,
        posix::{pool, record, retry},
    },
    types::BoxFuture,
};

/// A file is opened without waiting for the other end of a pipe, and no terminal becomes the
/// server's.
pub(super) const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// A file that is downloaded.
pub(super) struct LocalContent {
    pub(super) file: Arc<OwnedFd>,
    pub(super) metadata: Metadata,
}

impl Content for LocalContent {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn sha256(&self) -> Option<String> {
        record::read(&*self.file)
    }

    fn try_read_at(&self, buffer: &mut [u8], offset: u64) -> Result<Option<usize>> {
        let read = preadv2(
            &*self.file,
            &mut [IoSliceMut::new(buffer)],
            offset,
            ReadWriteFlags::NOWAIT,
        );
        match read {
            // Some file systems said 0 where they would have had to wait.
            Ok(0) if offset < self.metadata.size => Ok(None),
            Ok(length) => Ok(Some(length)),
            Err(Errno::AGAIN | Errno::INTR | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn read_at(&self, mut buffer: Vec<u8>, offset: u64) -> BoxFuture<'_, Result<(Vec<u8>, usize)>> {
        let file = self.file.clone();
        Box::pin(pool(move || {
            let length = retry(|| pread(&*file, &mut buffer[..], offset))?;
            Ok((buffer, length))
        }))
    }

    fn as_file(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }
}
