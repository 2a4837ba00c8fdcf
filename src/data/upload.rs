//! The pump of an upload: TLS ⇒ staging and inspectors, side by side.

use std::{io::IoSlice, mem, pin::pin, sync::Arc, time::Duration};

use super::{
    Channel,
    channel::stalled,
    download::PumpError,
    ending::{End, Ending, NotTheEnd},
    inspection_feed::{FeedError, InspectionFeed, PIECE},
    rate::Rate,
    socket::LARGE,
};
use crate::{ftp::ascii::FromNetwork, gate::upload::Refusal, spool::Incoming};
use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

/// The pieces that are written at a time.
const PIECES: usize = 4;

/// Why an upload ended early.
#[derive(Debug)]
pub enum UploadError {
    /// The connection or the storage.
    Pump(PumpError),
    /// More than allowed: 552.
    TooLarge,
    /// Nothing came for too long: 426.
    Stalled,
    /// The connection has ended, and not as the end of a file does: 426.
    Ended(NotTheEnd),
    /// An inspector.
    Refused(Refusal),
}

impl From<Refusal> for UploadError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<FeedError> for UploadError {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Refused(refusal) => Self::Refused(refusal),
            FeedError::Unreadable(error) => Self::Pump(PumpError::Storage(error.into())),
        }
    }
}

/// One upload on its way.
pub struct Receiver<'a> {
    /// Where the bytes go.
    pub upload: &'a mut Incoming,
    /// The inspectors' feed.
    pub feed: &'a mut InspectionFeed,
    /// Bytes that the whole file may have; 0 is no limit.
    pub limit: u64,
    /// Whether it is TYPE A.
    pub ascii: bool,
    /// The limits on its rate.
    pub rates: &'a [Arc<Rate>],
    /// How long the client may send nothing.
    pub stall_timeout: Duration,
    /// The end that it must have.
    pub ending: &'a Ending,
    /// By ALLO.
    pub announced: Option<u64>,
    /// The bytes that have arrived and are not staged yet.
    pub gathered: Gathered,
    /// Whether all has arrived, and is staged.
    pub complete: bool,
    /// Of TYPE A, on the way.
    pub convert: FromNetwork,
}

impl Receiver<'_> {
    /// Receives until the client ends the connection, and says how it did.
    ///
    /// # Errors
    /// See [`UploadError`]. The bytes that arrived before are staged.
    pub async fn receive(&mut self, channel: &mut Channel) -> Result<End, UploadError> {
        let staged_before = self.upload.length();
        let mut arrived = 0;
        let mut end = match channel.is_protected() {
            true => End::CloseNotify,
            false => End::Clear,
        };
        let meter = channel.meter();
        let mut stalled = pin!(stalled(meter.clone(), self.stall_timeout));
        loop {
            let filled = tokio::select! {
                biased;
                filled = channel.fill() => filled,
                shown = self.feed.catch_up() => {
                    shown?;
                    continue;
                }
                () = &mut stalled => {
                    self.flush().await?;
                    return Err(UploadError::Stalled);
                }
            };
            let chunk = match filled {
                Ok(chunk) => chunk,
                Err(error) => {
                    let error = match channel.ended_by_fin(&error) {
                        Some(fin) => {
                            let staged = self.upload.length() + self.gathered.length as u64;
                            let new = staged.saturating_sub(staged_before);
                            let sizes = [arrived, new, staged];
                            fin.and_then(|()| self.ending.takes_fin(self.announced, sizes))
                                .map_err(UploadError::Ended)
                        }
                        None => Err(UploadError::Pump(PumpError::Connection(error))),
                    };
                    if let Err(error) = error {
                        // The part that came until here may be resumed.
                        self.flush().await?;
                        return Err(error);
                    }
                    end = End::Fin;
                    &[]
                }
            };
            let (length, ended) = (chunk.len(), chunk.is_empty());
            arrived += length as u64;
            self.gather(chunk);
            channel.consume(length);
            for rate in self.rates {
                rate.take(length).await;
                meter.touch();
            }
            if ended {
                if self.ascii {
                    let mut out = Vec::new();
                    mem::take(&mut self.convert).finish(&mut out);
                    self.gathered.add(&out);
                }
                self.complete = true;
                if end == End::CloseNotify {
                    self.ending.closes();
                }
                self.flush().await?;
                return Ok(end);
            }
            if self.gathered.length >= PIECE * PIECES {
                self.flush().await?;
                // The disk or an inspector may have been slow: not the client.
                meter.touch();
            } else if self.is_too_large() {
                return Err(UploadError::TooLarge);
            }
        }
    }

    /// The transfer is given up: stages what has been gathered, and what has been read of the
    /// connection and waited for an inspector, for whoever comes back for it. Whether that is all that
    /// the client had to send: the end of it is waited for until `patience` is over.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn give_up(
        mut self,
        channel: &mut Channel,
        patience: Duration,
    ) -> Result<bool, UploadError> {
        let deadline = Instant::now() + patience;
        let mut left = LARGE;
        loop {
            let length = match channel.fill_now().await {
                Some(chunk) if left > 0 => {
                    self.gather(chunk);
                    chunk.len()
                }
                _ => 0,
            };
            channel.consume(length);
            left = left.saturating_sub(length);
            if self.gathered.length >= PIECE * PIECES || length == 0 {
                self.stage().await?;
                self.gathered.empty();
            }
            if length == 0 {
                if self.complete {
                    return Ok(true);
                }
                // Bytes on their way belong to it, too, unless they are too many.
                match channel.ends(deadline).await {
                    Some(false) if left > 0 => {}
                    ended => return Ok(ended == Some(true)),
                }
            }
        }
    }

    fn gather(&mut self, chunk: &[u8]) {
        match self.ascii {
            false => self.gathered.add(chunk),
            true => {
                let mut out = Vec::with_capacity(chunk.len());
                self.convert.convert(chunk, &mut out);
                self.gathered.add(&out);
            }
        }
    }

    fn is_too_large(&self) -> bool {
        let before = self.gathered.from.unwrap_or(self.upload.length());
        self.limit > 0 && before + self.gathered.length as u64 > self.limit
    }

    /// Writes what has been gathered. Can be cancelled and called again.
    async fn stage(&mut self) -> Result<(), UploadError> {
        if self.is_too_large() {
            return Err(UploadError::TooLarge);
        }
        let gathered = &mut self.gathered;
        let from = *gathered.from.get_or_insert(self.upload.length());
        let mut slices: [IoSlice<'_>; PIECES + 1] = std::array::from_fn(|_| IoSlice::new(&[]));
        let mut used = 0;
        for (slice, piece) in slices.iter_mut().zip(&gathered.pieces) {
            *slice = IoSlice::new(piece);
            used += 1;
        }
        let mut slices = slices.get_mut(..used).unwrap_or_default();
        // A disk that was full for a while took a part of them, before this was cancelled.
        let taken = self.upload.length().saturating_sub(from);
        IoSlice::advance_slices(&mut slices, usize::try_from(taken).unwrap_or(usize::MAX));
        let written = self.upload.write(slices).await;
        written.map_err(|error| UploadError::Pump(PumpError::Storage(error)))?;
        gathered.length = 0;
        gathered.from = None;
        Ok(())
    }

    /// Stages what has been gathered, then shows it: an inspector that asks for a digest finds on
    /// the disk what it has read.
    async fn flush(&mut self) -> Result<(), UploadError> {
        if self.gathered.length == 0 {
            return Ok(());
        }
        self.stage().await?;
        let gathered = &mut self.gathered;
        if let Some(inspection) = self.feed.live() {
            for piece in mem::take(&mut gathered.pieces) {
                let bytes: Bytes = piece.freeze();
                inspection.push(bytes).await?;
            }
            return Ok(());
        }
        gathered.empty();
        Ok(self.feed.staged(self.upload.length()).await?)
    }
}

/// The bytes that have arrived and are not staged yet, in pieces of at most 64 KiB.
#[derive(Default)]
pub struct Gathered {
    pieces: Vec<BytesMut>,
    length: usize,
    /// The length of the upload when they began to be staged.
    from: Option<u64>,
    /// Whether the first piece has been full once: until then it is as small as the file may be.
    large: bool,
}

impl Gathered {
    /// All that was in it is staged.
    fn empty(&mut self) {
        for piece in &mut self.pieces {
            piece.clear();
        }
    }

    fn add(&mut self, mut data: &[u8]) {
        self.length += data.len();
        // Pieces that were emptied are filled again, in order.
        let mut at = self
            .pieces
            .iter()
            .position(|piece| piece.len() < PIECE)
            .unwrap_or(self.pieces.len());
        while !data.is_empty() {
            let Some(piece) = self.pieces.get_mut(at) else {
                let room = if self.large {
                    PIECE
                } else {
                    data.len().clamp(4096, PIECE)
                };
                self.pieces.push(BytesMut::with_capacity(room));
                continue;
            };
            let (now, later) = data.split_at(data.len().min(PIECE - piece.len()));
            piece.extend_from_slice(now);
            data = later;
            if piece.len() == PIECE {
                self.large = true;
                at += 1;
            }
        }
    }
}
