//! DEFLATE (RFC 1951).

use crate::reader::{Meter, NOT_WHOLE, Pieces, Reader, Stop, refuse};
use miniz_oxide::inflate::stream::{FullReset, InflateState, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};

/// How much is unpacked at a time.
const PIECE: usize = 64 << 10;

/// Unpacks, up to the end that DEFLATE itself marks.
pub struct Inflater {
    state: Box<InflateState>,
    ended: bool,
    /// The bytes so far.
    pub length: u64,
    /// Their checksum.
    pub crc: crc32fast::Hasher,
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

impl Inflater {
    /// A new one.
    pub fn new() -> Self {
        Self {
            state: InflateState::new_boxed(DataFormat::Raw),
            ended: false,
            length: 0,
            crc: crc32fast::Hasher::new(),
        }
    }

    /// As if it were new.
    pub fn restart(&mut self) {
        self.state.reset_as(FullReset(DataFormat::Raw));
        self.ended = false;
        self.length = 0;
        self.crc.reset();
    }

    /// Appends at least one byte of what `source` has packed. False at the end.
    pub fn piece(
        &mut self,
        source: &mut Reader,
        meter: &Meter,
        into: &mut Vec<u8>,
    ) -> Result<bool, Stop> {
        let start = into.len();
        while !self.ended {
            let input = source.fill()?;
            let last = input.is_empty();
            into.resize(start + PIECE, 0);
            let output = into.get_mut(start..).unwrap_or_default();
            let result = inflate(&mut self.state, input, output, MZFlush::None);
            source.consume(result.bytes_consumed);
            into.truncate(start + result.bytes_written);
            let moved = result.bytes_consumed + result.bytes_written > 0;
            match result.status {
                Ok(MZStatus::StreamEnd) => self.ended = true,
                Ok(_) | Err(MZError::Buf) if moved => {}
                Ok(_) | Err(MZError::Buf) if last => return refuse(NOT_WHOLE),
                _ => return refuse("The archive is damaged"),
            }
            let new = into.get(start..).unwrap_or_default();
            if !new.is_empty() {
                self.length += new.len() as u64;
                self.crc.update(new);
                meter.unpacked(new.len())?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What is unpacked of a reader.
pub struct Inflate<'a, 'b> {
    source: &'a mut Reader<'b>,
    meter: &'a Meter,
    inflater: Inflater,
}

impl<'a, 'b> Inflate<'a, 'b> {
    /// From here on.
    pub fn new(source: &'a mut Reader<'b>, meter: &'a Meter) -> Self {
        Self {
            source,
            meter,
            inflater: Inflater::new(),
        }
    }

    /// How far the packed bytes were read.
    pub fn position(&self) -> u64 {
        self.source.position()
    }

    /// How many bytes were unpacked, and their checksum.
    pub fn found(&self) -> (u64, u32) {
        let inflater = &self.inflater;
        (inflater.length, inflater.crc.clone().finalize())
    }
}

impl Pieces for Inflate<'_, '_> {
    fn piece(&mut self, into: &mut Vec<u8>) -> Result<bool, Stop> {
        self.inflater.piece(self.source, self.meter, into)
    }
}
