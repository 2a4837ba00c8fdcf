//! Reading an object.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures_util::{StreamExt, stream::BoxStream};
use object_store::GetResult;
use tokio::{
    sync::{Mutex, mpsc},
    task::AbortHandle,
};

use super::{
    super::{Content, Error, Result},
    engine::{self, Engine, Object},
    home::metadata_of,
};
use crate::{ftp::metadata::Metadata, types::BoxFuture};

/// Pieces that are read ahead, each of what the connection gave at once: some MiB in all.
const AHEAD: usize = 16;

/// An object that is being read, always the version that was opened.
pub(super) struct ObjectContent {
    engine: Arc<Engine>,
    object: Object,
    metadata: Metadata,
    sha256: Option<String>,
    reading: Mutex<Reading>,
}

/// The bytes from `at` on, as they come.
struct Reading {
    at: u64,
    piece: Bytes,
    next: mpsc::Receiver<object_store::Result<Bytes>>,
    task: AbortHandle,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reading {
    fn new(at: u64, mut stream: BoxStream<'static, object_store::Result<Bytes>>) -> Self {
        let (sender, next) = mpsc::channel(AHEAD);
        let task = tokio::spawn(async move {
            while let Some(piece) = stream.next().await {
                let failed = piece.is_err();
                if sender.send(piece).await.is_err() || failed {
                    break;
                }
            }
        });
        Self {
            at,
            piece: Bytes::new(),
            next,
            task: task.abort_handle(),
        }
    }

    /// Fills a buffer with what has come.
    fn take(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            if self.piece.is_empty() {
                match self.next.try_recv() {
                    Ok(piece) => self.piece = piece?,
                    Err(_) => break,
                }
                continue;
            }
            let length = rest.len().min(self.piece.len());
            if let Some(rest) = rest.get_mut(..length) {
                self.piece.copy_to_slice(rest);
            }
            filled += length;
        }
        self.at += filled as u64;
        Ok(filled)
    }
}

impl ObjectContent {
    /// Of an answer that has begun.
    pub(super) fn new(engine: Arc<Engine>, found: GetResult) -> Self {
        let object = Object::from(found.meta.clone());
        Self {
            engine,
            metadata: metadata_of(&object),
            sha256: engine::sha256(&found.attributes),
            object,
            reading: Mutex::new(Reading::new(0, found.into_stream())),
        }
    }

    async fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        if offset >= self.object.size || buffer.is_empty() {
            return Ok(0);
        }
        let mut reading = self.reading.lock().await;
        if reading.at != offset {
            let (key, tag) = (&self.object.key, self.object.tag.as_deref());
            let found = self.engine.get(key, offset, tag).await?;
            *reading = Reading::new(offset, found.into_stream());
        }
        while reading.piece.is_empty() {
            match reading.next.recv().await {
                Some(piece) => reading.piece = piece?,
                // Never the end, which has been looked at.
                None => return Err(Error::Changed),
            }
        }
        reading.take(buffer)
    }
}

impl Content for ObjectContent {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn sha256(&self) -> Option<String> {
        self.sha256.clone()
    }

    fn try_read_at(&self, buffer: &mut [u8], offset: u64) -> Result<Option<usize>> {
        if offset >= self.object.size {
            return Ok(Some(0));
        }
        let Ok(mut reading) = self.reading.try_lock() else {
            return Ok(None);
        };
        if reading.at != offset {
            return Ok(None);
        }
        let length = reading.take(buffer)?;
        Ok((length > 0).then_some(length))
    }

    fn read_at(&self, mut buffer: Vec<u8>, offset: u64) -> BoxFuture<'_, Result<(Vec<u8>, usize)>> {
        Box::pin(async move {
            let length = self.read(&mut buffer, offset).await?;
            Ok((buffer, length))
        })
    }
}
