//! Reading again what has arrived.

use std::{
    io,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use rustix::{buffer::spare_capacity, io::pread};

use super::copying::Copied;
use crate::{
    storage::{
        Error,
        posix::{pool, retry},
    },
    types::{BoxFuture, Staged},
};

/// The bytes that have been staged of an upload.
pub(super) struct StagedContent {
    pub(super) file: Arc<OwnedFd>,
    /// The bytes of it that are the upload's: what lies behind them is an older file's.
    pub(super) length: Arc<AtomicU64>,
    /// To wait for its beginning, if that is being copied.
    pub(super) copied: Option<Copied>,
}

impl Staged for StagedContent {
    fn read_at(&self, offset: u64, length: usize) -> BoxFuture<'_, io::Result<Bytes>> {
        let (file, copied) = (self.file.clone(), self.copied.clone());
        let left = self.length.load(Relaxed).saturating_sub(offset);
        let length = length.min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = async move {
            if let Some(mut copied) = copied {
                let end = offset.saturating_add(length as u64);
                copied.reaches(end.saturating_sub(1)).await?;
            }
            let read = move || {
                if length == 0 {
                    return Ok(Bytes::new());
                }
                let mut bytes = Vec::with_capacity(length);
                retry(|| pread(&*file, spare_capacity(&mut bytes), offset))?;
                Ok(Bytes::from(bytes))
            };
            pool(read).await
        };
        Box::pin(async {
            read.await.map_err(|error| match error {
                Error::Io(error) => error,
                error => io::Error::other(error),
            })
        })
    }
}
