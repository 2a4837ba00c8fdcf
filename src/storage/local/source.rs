//! Reading open files.

use std::{io::IoSliceMut, os::fd::OwnedFd, sync::Arc};

use bytes::Bytes;
use rustix::{
    buffer::spare_capacity,
    io::{Errno, ReadWriteFlags, pread, preadv2},
};

use super::{confined_dir::pool, copying::Copied};
use crate::{
    ftp::metadata::Metadata,
    storage::{Error, Result, Source},
    types::{BoxFuture, Staged},
};

/// A file that is downloaded.
pub(super) struct LocalSource {
    pub(super) file: Arc<OwnedFd>,
    pub(super) metadata: Metadata,
}

impl Source for LocalSource {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn sha256(&self) -> Option<String> {
        super::record::read(&*self.file)
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
}

/// What has been staged of an upload.
pub(super) struct LocalStaged {
    pub(super) file: Arc<OwnedFd>,
    /// To wait for its beginning, if that is being copied.
    pub(super) copied: Option<Copied>,
}

impl Staged for LocalStaged {
    fn read_at(&self, offset: u64, length: usize) -> BoxFuture<'_, std::io::Result<Bytes>> {
        let (file, copied) = (self.file.clone(), self.copied.clone());
        let read = async move {
            if let Some(mut copied) = copied {
                let end = offset.saturating_add(length as u64);
                copied.reaches(end.saturating_sub(1)).await?;
            }
            let read = move || {
                let mut bytes = Vec::with_capacity(length);
                retry(|| pread(&*file, spare_capacity(&mut bytes), offset))?;
                Ok(Bytes::from(bytes))
            };
            pool(read).await
        };
        Box::pin(async {
            read.await.map_err(|error| match error {
                Error::Io(error) => error,
                error => std::io::Error::other(error),
            })
        })
    }
}

/// Calls again what a signal interrupted.
pub(super) fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}
