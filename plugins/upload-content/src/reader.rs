//! Bytes that come in pieces, and how many of them there may be.

use std::cell::Cell;

/// Why nothing more is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The client has vanished, or sends more than it may.
    Gone,
    /// The file is not taken, for this reason.
    Refused(String),
}

impl Stop {
    /// The same, said of something within an archive.
    pub fn within(self, name: &str) -> Self {
        match self {
            Self::Gone => Self::Gone,
            Self::Refused(why) => Self::Refused(format!("{name}: {why}")),
        }
    }
}

/// A refusal.
pub fn refuse<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Refused(why.into()))
}

/// What gives a [`Reader`] its bytes.
pub trait Pieces {
    /// Appends at least one byte. False at the end.
    fn piece(&mut self, into: &mut Vec<u8>) -> Result<bool, Stop>;
}

/// Reads them, without ever holding more than a piece and what is looked at ahead.
pub struct Reader<'a> {
    pieces: &'a mut dyn Pieces,
    buffer: Vec<u8>,
    at: usize,
    /// Bytes that were consumed.
    position: u64,
}

impl<'a> Reader<'a> {
    /// From the first byte on.
    pub fn new(pieces: &'a mut dyn Pieces) -> Self {
        Self {
            pieces,
            buffer: Vec::new(),
            at: 0,
            position: 0,
        }
    }

    /// How many bytes were consumed.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What is there, at least one byte; nothing at the end.
    pub fn fill(&mut self) -> Result<&[u8], Stop> {
        if self.at >= self.buffer.len() {
            self.buffer.clear();
            self.at = 0;
            self.pieces.piece(&mut self.buffer)?;
        }
        Ok(self.there())
    }

    /// So many bytes without consuming them; fewer at the end.
    pub fn peek(&mut self, count: usize) -> Result<&[u8], Stop> {
        while self.there().len() < count {
            self.buffer.drain(..self.at);
            self.at = 0;
            if !self.pieces.piece(&mut self.buffer)? {
                break;
            }
        }
        let there = self.there();
        Ok(there.get(..count).unwrap_or(there))
    }

    /// Goes on behind so many bytes of those that are there.
    pub fn consume(&mut self, count: usize) {
        let count = count.min(self.there().len());
        self.at += count;
        self.position += count as u64;
    }

    /// The next bytes; none if there are not so many.
    pub fn array<const N: usize>(&mut self) -> Result<Option<[u8; N]>, Stop> {
        let array = self.peek(N)?.first_chunk().copied();
        if array.is_some() {
            self.consume(N);
        }
        Ok(array)
    }

    /// The next bytes; none if there are not so many.
    pub fn bytes(&mut self, count: usize) -> Result<Option<Vec<u8>>, Stop> {
        let bytes = self.peek(count)?.to_vec();
        if bytes.len() < count {
            return Ok(None);
        }
        self.consume(count);
        Ok(Some(bytes))
    }

    /// To the end; how many bytes these were.
    pub fn drain(&mut self) -> Result<u64, Stop> {
        let start = self.position;
        loop {
            let count = self.fill()?.len();
            if count == 0 {
                return Ok(self.position - start);
            }
            self.consume(count);
        }
    }

    fn there(&self) -> &[u8] {
        self.buffer.get(self.at..).unwrap_or_default()
    }
}

/// A part of what another reader reads: so many bytes.
pub struct Part<'a, 'b> {
    source: &'a mut Reader<'b>,
    left: u64,
    /// The checksum of what was read, where there is one.
    pub crc: Option<crc32fast::Hasher>,
}

impl<'a, 'b> Part<'a, 'b> {
    /// The next so many bytes of `source`.
    pub fn new(source: &'a mut Reader<'b>, length: u64) -> Self {
        Self {
            source,
            left: length,
            crc: None,
        }
    }
}

impl Pieces for Part<'_, '_> {
    fn piece(&mut self, into: &mut Vec<u8>) -> Result<bool, Stop> {
        if self.left == 0 {
            return Ok(false);
        }
        let there = self.source.fill()?;
        let count = usize::try_from(self.left).unwrap_or(usize::MAX);
        let piece = there.get(..count).unwrap_or(there);
        if piece.is_empty() {
            return refuse(NOT_WHOLE);
        }
        if let Some(crc) = &mut self.crc {
            crc.update(piece);
        }
        into.extend_from_slice(piece);
        let count = piece.len();
        self.left -= count as u64;
        self.source.consume(count);
        Ok(true)
    }
}

/// What ends before it should.
pub const NOT_WHOLE: &str = "The archive is not whole";

/// Below this much nothing is called a bomb for how well it was packed.
pub const HARMLESS: u64 = 10 << 20;
/// The most that is unpacked of one piece of the upload: what takes longer would be late. No
/// piece gives more by itself, as DEFLATE packs at most 1032 bytes into one.
const AT_ONCE: u64 = 12 << 20;
/// All names of entries that are remembered.
const NAMES: usize = 8 << 20;

/// Counts, for an upload as a whole, what archives make of it.
#[derive(Debug, Default)]
pub struct Meter {
    /// Of the upload.
    read: Cell<u64>,
    /// Of all that was packed, at any depth.
    unpacked: Cell<u64>,
    since_read: Cell<u64>,
    entries: Cell<u32>,
    names: Cell<usize>,
    /// Nothing will be unpacked, so that large pieces do no harm.
    pub plain: Cell<bool>,
    max_unpacked: u64,
    max_ratio: u64,
    max_entries: u32,
}

impl Meter {
    /// With nothing counted yet.
    pub fn new(max_unpacked: u64, max_ratio: u32, max_entries: u32) -> Self {
        Self {
            max_unpacked,
            max_ratio: max_ratio.into(),
            max_entries,
            ..Self::default()
        }
    }

    /// So many bytes of the upload have come.
    pub fn arrived(&self, count: usize) {
        self.read.set(self.read.get() + count as u64);
        self.since_read.set(0);
    }

    /// So many bytes have been unpacked.
    pub fn unpacked(&self, count: usize) -> Result<(), Stop> {
        let unpacked = self.unpacked.get() + count as u64;
        let since_read = self.since_read.get() + count as u64;
        self.unpacked.set(unpacked);
        self.since_read.set(since_read);
        if unpacked > self.max_unpacked {
            let max = self.max_unpacked;
            return refuse(format!("More than {max} bytes when unpacked"));
        }
        let allowed = self.read.get().saturating_mul(self.max_ratio);
        if since_read > AT_ONCE {
            return refuse("Too much when unpacked for how little there is");
        }
        if unpacked > allowed.max(HARMLESS) {
            let max = self.max_ratio;
            return refuse(format!("More than {max} times as much when unpacked"));
        }
        Ok(())
    }

    /// One more entry of an archive.
    pub fn entry(&self) -> Result<(), Stop> {
        self.entries.set(self.entries.get().saturating_add(1));
        if self.entries.get() > self.max_entries {
            let max = self.max_entries;
            return refuse(format!("More than {max} entries in archives"));
        }
        Ok(())
    }

    /// A name that is to be remembered.
    pub fn name(&self, name: &[u8]) -> Result<(), Stop> {
        self.names.set(self.names.get().saturating_add(name.len()));
        if self.names.get() > NAMES {
            return refuse("The names in the archive are too long to be compared");
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(missing_docs)]
pub mod tests {
    use super::*;

    /// A file in pieces of a size.
    pub struct Chunks<'a>(pub &'a [u8], pub usize);

    impl Pieces for Chunks<'_> {
        fn piece(&mut self, into: &mut Vec<u8>) -> Result<bool, Stop> {
            let (piece, rest) = self.0.split_at(self.0.len().min(self.1));
            self.0 = rest;
            into.extend(piece);
            Ok(!piece.is_empty())
        }
    }

    #[test]
    fn reads_across_pieces() {
        let text: Vec<u8> = (0..=255).collect();
        for size in [1, 2, 3, 7, 100, 255, 256, 1000] {
            let mut chunks = Chunks(&text, size);
            let mut reader = Reader::new(&mut chunks);
            assert_eq!(reader.peek(10).unwrap(), &text[..10]);
            assert_eq!(reader.array::<4>().unwrap().unwrap(), [0, 1, 2, 3]);
            assert_eq!(reader.bytes(96).unwrap().unwrap(), &text[4..100]);
            assert_eq!(reader.peek(1000).unwrap(), &text[100..]);
            let mut part = Part::new(&mut reader, 50);
            assert_eq!(Reader::new(&mut part).drain(), Ok(50));
            assert_eq!(reader.position(), 150);
            assert_eq!(reader.bytes(107), Ok(None));
            let mut part = Part::new(&mut reader, 107);
            assert_eq!(Reader::new(&mut part).drain(), refuse(NOT_WHOLE));
            assert!(reader.fill().unwrap().is_empty());
        }
    }

    #[test]
    fn counts() {
        let meter = Meter::new(100 << 20, 10, 2);
        meter.arrived(1000);
        for _ in 0..2 {
            meter.unpacked(5 << 20).unwrap();
            meter.arrived(0);
        }
        meter.unpacked(1).unwrap_err();
        let meter = Meter::new(100 << 20, 10, 2);
        for _ in 0..20 {
            meter.arrived(1 << 19);
            meter.unpacked(5 << 20).unwrap();
        }
        let Err(Stop::Refused(why)) = meter.unpacked(1) else {
            panic!("no limit")
        };
        assert_eq!(why, "More than 104857600 bytes when unpacked");
        // However little the rest was packed.
        let meter = Meter::new(1 << 40, 1 << 30, 2);
        meter.arrived(1 << 30);
        meter.unpacked(12 << 20).unwrap();
        meter.unpacked(1).unwrap_err();
        meter.entry().unwrap();
        meter.entry().unwrap();
        meter.entry().unwrap_err();
    }
}
