//! Reading again what has arrived.

use std::{io, os::fd::OwnedFd, sync::Arc};

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
    /// To wait for its beginning, if that is being copied.
    pub(super) copied: Option<Copied>,
}

impl Staged for StagedContent {
    fn read_at(&self, offset: u64, length: usize) -> BoxFuture<'_, io::Result<Bytes>> {
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
                error => io::Error::other(error),
            })
        })
    }
}
