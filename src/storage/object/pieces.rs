//! Sending what comes to be in a file, piece by piece.

use std::{os::fd::OwnedFd, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use rustix::{buffer::spare_capacity, io::pread};
use tokio::{sync::watch, task::JoinHandle};

use super::super::{
    Error, Result,
    posix::{pool, retry},
};
use crate::types::BoxFuture;

/// Pieces that are sent at once, each of them in memory.
const AT_ONCE: usize = 3;
/// The most pieces, as S3 and Google take no object of more parts.
const MOST: u64 = 10_000;

/// Sends a piece, given its number; with the tag that the engine gives it.
type SendPiece = Box<dyn Fn(usize, Bytes) -> BoxFuture<'static, Result<String>> + Send + Sync>;

/// Pieces of equal length of a file, sent as soon as they are there. A last one may be shorter. Dropped, no more
/// are sent.
pub(super) struct Pieces {
    staged: watch::Sender<Staged>,
    sending: JoinHandle<Result<Vec<String>>>,
    size: u64,
}

#[derive(Clone, Copy, Default)]
struct Staged {
    length: u64,
    /// Nothing more comes.
    ended: bool,
    /// Whether the rest behind the last whole piece is sent then, too.
    rest: bool,
}

impl Pieces {
    /// Of a file, from the piece `first` on. Nothing of it is taken to be there yet.
    pub(super) fn begin(file: &Arc<OwnedFd>, size: usize, first: usize, send: SendPiece) -> Self {
        let (staged, coming) = watch::channel(Staged::default());
        let sender = Sender {
            file: file.clone(),
            size,
            first,
            send,
        };
        Self {
            staged,
            sending: tokio::spawn(sender.run(coming)),
            size: size as u64,
        }
    }

    /// The file has `length` bytes by now. One piece is held back, since it may be the last.
    ///
    /// # Errors
    /// Where they are too many pieces.
    pub(super) fn staged(&self, length: u64) -> Result<()> {
        if length > self.size.saturating_mul(MOST) {
            return Err(Error::NoSpace);
        }
        let before = |length: u64| length.saturating_sub(1) / self.size;
        // The task is not woken for what is no piece yet.
        self.staged.send_if_modified(|staged| {
            let more = before(length) > before(staged.length);
            staged.length = length;
            more
        });
        Ok(())
    }

    /// Nothing comes behind `length` bytes: waits until all is sent, with `rest` what is no whole piece, too. The
    /// tags of what was sent.
    ///
    /// # Errors
    /// Those of the engine and of the disk.
    pub(super) async fn end(self, length: u64, rest: bool) -> Result<Vec<String>> {
        self.staged.send_replace(Staged {
            length,
            ended: true,
            rest,
        });
        let sent = self.sending.await;
        sent.map_err(|error| Error::Io(std::io::Error::other(error)))?
    }
}

impl Pieces {
    /// Sends no more, and waits for what is under way.
    pub(super) async fn given_up(self) {
        let Self {
            staged, sending, ..
        } = self;
        drop(staged);
        // Its outcome is of no use.
        let _ = sending.await;
    }
}

struct Sender {
    file: Arc<OwnedFd>,
    size: usize,
    first: usize,
    send: SendPiece,
}

type UnderWay = FuturesUnordered<BoxFuture<'static, Result<(usize, String)>>>;

impl Sender {
    async fn run(self, coming: watch::Receiver<Staged>) -> Result<Vec<String>> {
        let mut under_way = FuturesUnordered::new();
        let sent = self.send_all(coming, &mut under_way).await;
        // An engine may keep one that comes to its end behind the request to forget all of them.
        while under_way.next().await.is_some() {}
        sent
    }

    async fn send_all(
        &self,
        mut coming: watch::Receiver<Staged>,
        under_way: &mut UnderWay,
    ) -> Result<Vec<String>> {
        let mut tags: Vec<Option<String>> = Vec::new();
        let mut offset = self.first as u64 * self.size as u64;
        loop {
            let staged = *coming.borrow_and_update();
            let left = staged.length.saturating_sub(offset);
            let whole = self.size as u64;
            let next = match (left > whole, staged.ended) {
                (true, _) => self.size,
                (false, true) if staged.rest || left == whole => {
                    usize::try_from(left).unwrap_or(self.size)
                }
                _ => 0,
            };
            if next > 0 && under_way.len() < AT_ONCE {
                let content = read(&self.file, offset, next).await?;
                offset += content.len() as u64;
                let index = tags.len();
                tags.push(None);
                let sent = (self.send)(self.first + index, content);
                under_way.push(Box::pin(async move { Ok((index, sent.await?)) }));
                continue;
            }
            if staged.ended && next == 0 && under_way.is_empty() {
                return Ok(tags.into_iter().flatten().collect());
            }
            tokio::select! {
                Some(done) = under_way.next() => {
                    let (index, tag) = done?;
                    if let Some(place) = tags.get_mut(index) {
                        *place = Some(tag);
                    }
                }
                changed = coming.changed(), if !staged.ended => {
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
