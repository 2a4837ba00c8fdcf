//! The pump of an upload: TLS ⇒ staging and inspectors, side by side.

use std::{io::IoSlice, pin::pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};

use super::{Channel, channel::stalled, download::PumpError, rate::Rate};
use crate::{
    ftp::ascii::FromNetwork,
    gate::upload::{Inspection, Refusal, Staged},
    storage::Part,
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
    /// An inspector.
    Refused(Refusal),
}

impl From<Refusal> for UploadError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// One upload on its way.
pub struct Receiver<'a> {
    /// Where the bytes go.
    pub part: &'a mut dyn Part,
    /// Who looks at them.
    pub inspection: &'a mut Inspection,
    /// Bytes that the whole file may have; 0 is no limit.
    pub limit: u64,
    /// TYPE A.
    pub ascii: bool,
    /// What slows it down.
    pub rates: &'a [Arc<Rate>],
    /// How long the client may send nothing.
    pub stall_timeout: Duration,
}

impl Receiver<'_> {
    /// Shows the inspectors what was staged before this transfer.
    ///
    /// # Errors
    /// The storage's, or a refusal.
    pub async fn replay(&mut self) -> Result<(), UploadError> {
        let staged: Arc<dyn Staged> = self.part.staged();
        let (mut at, end) = (0, self.part.length());
        while at < end && self.inspection.wants_bytes() {
            let length = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
            let bytes = staged.read_at(at, length).await.map_err(|error| {
                UploadError::Pump(PumpError::Storage(crate::storage::Error::Io(error)))
            })?;
            if bytes.is_empty() {
                let error = std::io::ErrorKind::UnexpectedEof.into();
                return Err(UploadError::Pump(PumpError::Storage(
                    crate::storage::Error::Io(error),
                )));
            }
            at += bytes.len() as u64;
            self.inspection.push(bytes).await?;
        }
        Ok(())
    }

    /// Receives until the client ends the connection.
    ///
    /// # Errors
    /// See [`UploadError`]. What arrived before is staged.
    pub async fn receive(&mut self, channel: &mut Channel) -> Result<(), UploadError> {
        let mut gathered = Gathered::default();
        let mut convert = self.ascii.then(|| (FromNetwork::new(), Vec::new()));
        let meter = channel.meter();
        let mut stalled = pin!(stalled(meter.clone(), self.stall_timeout));
        loop {
            let filled = tokio::select! {
                biased;
                filled = channel.fill() => filled,
                refusal = self.inspection.refused() => return Err(refusal.into()),
                () = &mut stalled => {
                    self.flush(&mut gathered).await?;
                    return Err(UploadError::Stalled);
                }
            };
            let chunk = match filled {
                Ok(chunk) => chunk,
                Err(error) => {
                    // What came until here may be resumed.
                    self.flush(&mut gathered).await?;
                    return Err(UploadError::Pump(PumpError::Connection(error)));
                }
            };
            let (length, end) = (chunk.len(), chunk.is_empty());
            match &mut convert {
                None => gathered.add(chunk),
                Some((convert, out)) => {
                    out.clear();
                    convert.convert(chunk, out);
                    gathered.add(out);
                }
            }
            channel.consume(length);
            for rate in self.rates {
                rate.take(length).await;
                meter.touch();
            }
            if end {
                if let Some((convert, mut out)) = convert {
                    out.clear();
                    convert.finish(&mut out);
                    gathered.add(&out);
                }
                return self.flush(&mut gathered).await;
            }
            if gathered.length >= PIECE * PIECES {
                self.flush(&mut gathered).await?;
                // The disk or an inspector may have been slow: not the client.
                meter.touch();
            } else if self.limit > 0 && self.part.length() + gathered.length as u64 > self.limit {
                return Err(UploadError::TooLarge);
            }
        }
    }

    /// Stages what has been gathered, then shows it: an inspector that asks for a digest finds on
    /// the disk what it has read.
    async fn flush(&mut self, gathered: &mut Gathered) -> Result<(), UploadError> {
        let length = gathered.length as u64;
        if length == 0 {
            return Ok(());
        }
        if self.limit > 0 && self.part.length() + length > self.limit {
            return Err(UploadError::TooLarge);
        }
        {
            let mut slices: [IoSlice<'_>; PIECES + 1] = std::array::from_fn(|_| IoSlice::new(&[]));
            let mut used = 0;
            for (slice, piece) in slices.iter_mut().zip(&gathered.pieces) {
                *slice = IoSlice::new(piece);
                used += 1;
            }
            let slices = slices.get_mut(..used).unwrap_or_default();
            self.part
                .write(slices)
                .await
                .map_err(|error| UploadError::Pump(PumpError::Storage(error)))?;
        }
        gathered.length = 0;
        if !self.inspection.wants_bytes() {
            for piece in &mut gathered.pieces {
                piece.clear();
            }
            return Ok(());
        }
        for piece in std::mem::take(&mut gathered.pieces) {
            let bytes: Bytes = piece.freeze();
            self.inspection.push(bytes).await?;
        }
        Ok(())
    }
}

/// What has arrived and is not staged yet, in pieces of at most [`PIECE`] bytes.
#[derive(Default)]
struct Gathered {
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
