//! The pump of an upload: TLS ⇒ staging and inspectors, side by side.

use std::{io::IoSlice, pin::pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{sync::watch, task::JoinHandle};

use super::{
    Channel,
    channel::stalled,
    download::PumpError,
    ending::{End, Ending, NotTheEnd},
    rate::Rate,
};
use crate::{
    ftp::ascii::FromNetwork,
    gate::upload::{Inspection, Refusal},
    storage::Part,
    types::Staged,
};

/// What an inspector is handed at a time (measured: less and more cost up to half more).
const PIECE: usize = 64 << 10;
/// What is written at a time.
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

/// What the inspectors of an upload are shown: every byte of the file from the first one on.
///
/// What was there before the transfer is read again from the disk, and so is what arrives meanwhile,
/// until they have caught up; from then on they are handed what arrives.
pub struct Showing {
    state: State,
}

enum State {
    /// They are handed what arrives.
    Live(Inspection),
    /// They are behind, and read from the disk, in a task of its own: the client goes on.
    Behind {
        task: Task,
        staged: Arc<dyn Staged>,
        /// How much is staged.
        length: watch::Sender<u64>,
        inspectors: Vec<Arc<str>>,
    },
    /// It failed.
    Over,
}

/// Ends with what has been shown; when it is dropped, too.
struct Task(JoinHandle<Result<(Inspection, u64), UploadError>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Showing {
    /// Of a part of which `length` bytes are there before the transfer.
    #[must_use]
    pub fn new(inspection: Inspection, part: &dyn Part) -> Self {
        let length = part.length();
        if length == 0 || !inspection.wants_bytes() {
            return Self {
                state: State::Live(inspection),
            };
        }
        let inspectors = inspection.undecided();
        let (staged, length) = (part.staged(), watch::Sender::new(length));
        let shown = catch_up(inspection, 0, staged.clone(), length.subscribe());
        Self {
            state: State::Behind {
                task: Task(tokio::spawn(shown)),
                staged,
                length,
                inspectors,
            },
        }
    }

    /// Ends when they have caught up, or with a refusal. Safe to cancel.
    async fn go_on(&mut self) -> Result<(), UploadError> {
        let (shown, staged, length) = match &mut self.state {
            State::Live(inspection) => return Err(inspection.refused().await.into()),
            State::Behind {
                task,
                staged,
                length,
                ..
            } => ((&mut task.0).await, staged, length),
            State::Over => return std::future::pending().await,
        };
        match shown {
            // More has come since they were shown the last of it.
            Ok(Ok((inspection, at))) if inspection.wants_bytes() && at < *length.borrow() => {
                let shown = catch_up(inspection, at, staged.clone(), length.subscribe());
                if let State::Behind { task, .. } = &mut self.state {
                    *task = Task(tokio::spawn(shown));
                }
                Ok(())
            }
            Ok(Ok((inspection, _))) => {
                self.state = State::Live(inspection);
                Ok(())
            }
            Ok(Err(error)) => {
                self.state = State::Over;
                Err(error)
            }
            Err(error) => {
                self.state = State::Over;
                Err(failed(std::io::Error::other(error)))
            }
        }
    }

    /// So much is staged.
    async fn staged(&mut self, so_much: u64) -> Result<(), UploadError> {
        if let State::Behind { task, length, .. } = &self.state {
            length.send_replace(so_much);
            // A client that never pauses would else not hear of a refusal.
            if task.0.is_finished() {
                return self.go_on().await;
            }
        }
        Ok(())
    }

    /// The upload is complete: waits for all verdicts. Can be cancelled and called again.
    ///
    /// # Errors
    /// A refusal, or what is staged cannot be read.
    pub async fn verdict(&mut self) -> Result<Option<String>, UploadError> {
        loop {
            if let State::Live(inspection) = &mut self.state {
                return Ok(inspection.finish().await?);
            }
            self.go_on().await?;
        }
    }

    /// The inspectors that have not decided yet.
    #[must_use]
    pub fn undecided(&self) -> Vec<Arc<str>> {
        match &self.state {
            State::Live(inspection) => inspection.undecided(),
            State::Behind { inspectors, .. } => inspectors.clone(),
            State::Over => Vec::new(),
        }
    }

    /// The name that an inspector has chosen by now.
    #[must_use]
    pub fn accept_as(&self) -> Option<String> {
        match &self.state {
            State::Live(inspection) => inspection.accept_as(),
            State::Behind { .. } | State::Over => None,
        }
    }

    /// Tells the inspectors that the upload is larger than allowed.
    pub async fn too_large(self) {
        if let State::Live(inspection) = self.state {
            inspection.too_large().await;
        }
    }
}

fn failed(error: std::io::Error) -> UploadError {
    UploadError::Pump(PumpError::Storage(crate::storage::Error::Io(error)))
}

/// Shows what is staged from `at` on until there is no more; says how much has been shown.
async fn catch_up(
    mut inspection: Inspection,
    mut at: u64,
    staged: Arc<dyn Staged>,
    length: watch::Receiver<u64>,
) -> Result<(Inspection, u64), UploadError> {
    loop {
        let end = *length.borrow();
        if at >= end || !inspection.wants_bytes() {
            return Ok((inspection, at));
        }
        let length = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
        let bytes = staged.read_at(at, length).await.map_err(failed)?;
        if bytes.is_empty() {
            return Err(failed(std::io::ErrorKind::UnexpectedEof.into()));
        }
        at += bytes.len() as u64;
        inspection.push(bytes).await?;
    }
}

/// One upload on its way.
pub struct Receiver<'a> {
    /// Where the bytes go.
    pub part: &'a mut dyn Part,
    /// Who looks at them.
    pub showing: &'a mut Showing,
    /// Bytes that the whole file may have; 0 is no limit.
    pub limit: u64,
    /// TYPE A.
    pub ascii: bool,
    /// What slows it down.
    pub rates: &'a [Arc<Rate>],
    /// How long the client may send nothing.
    pub stall_timeout: Duration,
    /// The end that it must have.
    pub ending: &'a Ending,
    /// By ALLO.
    pub announced: Option<u64>,
    /// What has arrived and is not staged yet.
    pub gathered: Gathered,
    /// Whether all has arrived, and is staged.
    pub whole: bool,
}

impl Receiver<'_> {
    /// Receives until the client ends the connection, and says how it did.
    ///
    /// # Errors
    /// See [`UploadError`]. What arrived before is staged.
    pub async fn receive(&mut self, channel: &mut Channel) -> Result<End, UploadError> {
        let staged_before = self.part.length();
        let mut arrived = 0;
        let mut end = match channel.is_protected() {
            true => End::CloseNotify,
            false => End::Clear,
        };
        let mut convert = self.ascii.then(|| (FromNetwork::new(), Vec::new()));
        let meter = channel.meter();
        let mut stalled = pin!(stalled(meter.clone(), self.stall_timeout));
        loop {
            let filled = tokio::select! {
                biased;
                filled = channel.fill() => filled,
                shown = self.showing.go_on() => {
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
                            let staged = self.part.length() + self.gathered.length as u64;
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
            match &mut convert {
                None => self.gathered.add(chunk),
                Some((convert, out)) => {
                    out.clear();
                    convert.convert(chunk, out);
                    self.gathered.add(out);
                }
            }
            channel.consume(length);
            for rate in self.rates {
                rate.take(length).await;
                meter.touch();
            }
            if ended {
                if let Some((convert, mut out)) = convert {
                    out.clear();
                    convert.finish(&mut out);
                    self.gathered.add(&out);
                }
                self.whole = true;
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

    /// The transfer is given up: stages what has been gathered, for whoever comes back for it.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn give_up(mut self) -> Result<(), UploadError> {
        match self.gathered.length {
            0 => Ok(()),
            _ => self.stage().await,
        }
    }

    fn is_too_large(&self) -> bool {
        self.limit > 0 && self.part.length() + self.gathered.length as u64 > self.limit
    }

    /// Writes what has been gathered.
    async fn stage(&mut self) -> Result<(), UploadError> {
        if self.is_too_large() {
            return Err(UploadError::TooLarge);
        }
        let gathered = &mut self.gathered;
        let mut slices: [IoSlice<'_>; PIECES + 1] = std::array::from_fn(|_| IoSlice::new(&[]));
        let mut used = 0;
        for (slice, piece) in slices.iter_mut().zip(&gathered.pieces) {
            *slice = IoSlice::new(piece);
            used += 1;
        }
        let slices = slices.get_mut(..used).unwrap_or_default();
        let written = self.part.write(slices).await;
        written.map_err(|error| UploadError::Pump(PumpError::Storage(error)))?;
        gathered.length = 0;
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
        match &mut self.showing.state {
            State::Live(inspection) if inspection.wants_bytes() => {
                for piece in std::mem::take(&mut gathered.pieces) {
                    let bytes: Bytes = piece.freeze();
                    inspection.push(bytes).await?;
                }
                return Ok(());
            }
            State::Live(_) | State::Behind { .. } | State::Over => {}
        }
        for piece in &mut gathered.pieces {
            piece.clear();
        }
        self.showing.staged(self.part.length()).await
    }
}

/// What has arrived and is not staged yet, in pieces of at most 64 KiB.
#[derive(Default)]
pub struct Gathered {
    pieces: Vec<BytesMut>,
    length: usize,
    /// Whether the first piece has been full once: until then it is as small as the file may be.
    large: bool,
}

impl Gathered {
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
