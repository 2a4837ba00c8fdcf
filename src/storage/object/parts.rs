//! An upload in parts, sent while it comes.

use std::{os::fd::OwnedFd, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use object_store::multipart::PartId;
use rustix::{buffer::spare_capacity, io::pread};
use tokio::{runtime::Handle, sync::watch, task::JoinHandle};

use super::{
    super::{
        Error, Result, Sending,
        posix::{pool, retry},
    },
    engine::{Engine, Multipart},
};
use crate::types::BoxFuture;

/// Parts that are sent at once, each of them in memory.
const AT_ONCE: usize = 3;
/// The most parts of an object, with S3 as with Google.
const MOST: usize = 10_000;

/// Sends what comes to be in a file, beginning as soon as it is longer than one part.
pub(super) struct Parts {
    staged: watch::Sender<Staged>,
    sending: JoinHandle<Result<Sent>>,
    part_size: usize,
    pub(super) key: String,
}

#[derive(Clone, Copy, Default)]
struct Staged {
    length: u64,
    /// Nothing more comes.
    whole: bool,
}

/// All parts of an upload, waiting to become an object. Dropped before, they are forgotten.
pub(super) struct Sent {
    engine: Arc<Engine>,
    pub(super) upload: Multipart,
    pub(super) parts: Vec<PartId>,
    completed: bool,
}

impl Sent {
    /// They are an object.
    pub(super) fn completed(mut self) {
        self.completed = true;
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        if self.completed {
            return;
        }
        let (engine, upload) = (self.engine.clone(), self.upload.clone());
        // What cannot be removed now is, when it is old.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { engine.abort(&upload).await });
        }
    }
}

impl Parts {
    /// Of a file of which nothing is there yet.
    pub(super) fn begin(
        engine: &Arc<Engine>,
        key: String,
        file: &Arc<OwnedFd>,
        part_size: usize,
    ) -> Self {
        let (staged, coming) = watch::channel(Staged::default());
        let sender = Sender {
            engine: engine.clone(),
            key: key.clone(),
            file: file.clone(),
            part_size,
        };
        Self {
            staged,
            sending: tokio::spawn(sender.run(coming)),
            part_size,
            key,
        }
    }

    /// Nothing comes behind `length` bytes: waits until all parts are sent.
    ///
    /// # Errors
    /// Those of the engine and of the disk.
    pub(super) async fn whole(self, length: u64) -> Result<Sent> {
        self.staged.send_replace(Staged {
            length,
            whole: true,
        });
        let sent = self.sending.await;
        sent.map_err(|error| Error::Io(std::io::Error::other(error)))?
    }
}

impl Sending for Parts {
    fn staged(&mut self, length: u64) -> Result<()> {
        if length > self.part_size as u64 * MOST as u64 {
            return Err(Error::NoSpace);
        }
        // The task is not woken for what is no part yet.
        self.staged.send_if_modified(|staged| {
            let parts = |length: u64| length.saturating_sub(1) / self.part_size as u64;
            let more = parts(length) > parts(staged.length);
            staged.length = length;
            more
        });
        Ok(())
    }
}

struct Sender {
    engine: Arc<Engine>,
    key: String,
    file: Arc<OwnedFd>,
    part_size: usize,
}

impl Sender {
    async fn run(self, coming: watch::Receiver<Staged>) -> Result<Sent> {
        let (mut sent, mut under_way) = (None, FuturesUnordered::new());
        let parts = self.send(coming, &mut sent, &mut under_way).await;
        // An engine may keep a part that comes to its end behind the request to forget all of them.
        while under_way.next().await.is_some() {}
        let parts = parts?;
        let mut sent = sent.ok_or(Error::NotFound)?;
        sent.parts = parts;
        Ok(sent)
    }

    /// Sends until all is sent.
    async fn send(
        &self,
        mut coming: watch::Receiver<Staged>,
        sent: &mut Option<Sent>,
        under_way: &mut FuturesUnordered<BoxFuture<'static, Result<(usize, PartId)>>>,
    ) -> Result<Vec<PartId>> {
        let mut numbered = Vec::new();
        let mut offset = 0;
        loop {
            let Staged { length, whole } = *coming.borrow_and_update();
            let left = length.saturating_sub(offset);
            // One that may be the last waits for that to be known.
            let next = match left > self.part_size as u64 {
                true => self.part_size,
                false if whole => usize::try_from(left).unwrap_or(self.part_size),
                false => 0,
            };
            if next > 0 && under_way.len() < AT_ONCE {
                let upload = match sent {
                    Some(sent) => sent.upload.clone(),
                    None => {
                        let upload = self.engine.begin(&self.key).await?;
                        *sent = Some(Sent {
                            engine: self.engine.clone(),
                            upload: upload.clone(),
                            parts: Vec::new(),
                            completed: false,
                        });
                        upload
                    }
                };
                let content = read(&self.file, offset, next).await?;
                offset += content.len() as u64;
                let (engine, number) = (self.engine.clone(), numbered.len());
                numbered.push(None);
                under_way.push(Box::pin(async move {
                    let part = engine.part(&upload, number, content).await;
                    part.map(|part| (number, part))
                }));
                continue;
            }
            if whole && left == 0 && under_way.is_empty() {
                return Ok(numbered.into_iter().flatten().collect());
            }
            tokio::select! {
                Some(done) = under_way.next() => {
                    let (number, part) = done?;
                    if let Some(place) = numbered.get_mut(number) {
                        *place = Some(part);
                    }
                }
                changed = coming.changed(), if !whole => {
                    // The upload was given up.
                    changed.map_err(|_| Error::Busy)?;
                }
            }
        }
    }
}

/// Bytes of a file in the spool.
pub(super) async fn read(file: &Arc<OwnedFd>, offset: u64, length: usize) -> Result<Bytes> {
    let file = file.clone();
    pool(move || {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let at = offset + bytes.len() as u64;
            // The vector may have more room than was asked for.
            match retry(|| pread(&*file, spare_capacity(&mut bytes), at))? {
                0 => return Err(Error::Changed),
                _ => continue,
            }
        }
        bytes.truncate(length);
        Ok(bytes.into())
    })
    .await
}
