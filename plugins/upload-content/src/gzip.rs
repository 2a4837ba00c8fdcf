//! gzip (RFC 1952): one file, in members that are put one behind the other.

use crate::inflate::Inflater;
use crate::look::Look;
use crate::name::shown;
use crate::reader::{Meter, NOT_WHOLE, Pieces, Reader, Stop, refuse};

const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0xe0;
/// Longer names and comments are none.
const LONGEST: usize = 64 << 10;

/// Looks at all of it. `outer` is the name of what is packed.
pub fn look(look: &Look, reader: &mut Reader, outer: &str, level: u32) -> Result<(), Stop> {
    let own = header(look, reader)?;
    let name = own.unwrap_or_else(|| without_extension(outer));
    let mut members = Members {
        look,
        reader,
        inflater: Inflater::new(),
        ended: false,
    };
    let mut inside = Reader::new(&mut members);
    let looked = look.content(&mut inside, &name, level);
    looked
        .and_then(|()| inside.drain())
        .map_err(|stop| stop.within(&shown(name.as_bytes())))?;
    Ok(())
}

/// The members as the one file that they are.
struct Members<'l, 'r, 'b> {
    look: &'l Look<'l>,
    reader: &'r mut Reader<'b>,
    inflater: Inflater,
    ended: bool,
}

impl Pieces for Members<'_, '_, '_> {
    fn piece(&mut self, into: &mut Vec<u8>) -> Result<bool, Stop> {
        let meter: &Meter = &self.look.meter;
        while !self.ended && !self.inflater.piece(self.reader, meter, into)? {
            let Some([a, b, c, d, rest @ ..]) = self.reader.array::<8>()? else {
                return refuse(NOT_WHOLE);
            };
            let crc = self.inflater.crc.clone().finalize();
            // Modulo 2^32, says RFC 1952 §2.3.1.
            let length = self.inflater.length & u64::from(u32::MAX);
            if u32::from_le_bytes([a, b, c, d]) != crc
                || u64::from(u32::from_le_bytes(rest)) != length
            {
                return refuse("Another length or checksum than the archive says");
            }
            if self.reader.fill()?.is_empty() {
                self.ended = true;
            } else {
                header(self.look, self.reader)?;
                self.inflater.restart();
            }
        }
        Ok(!self.ended)
    }
}

/// What comes before a member, and the name that it may have.
fn header(look: &Look, reader: &mut Reader) -> Result<Option<String>, Stop> {
    look.meter.entry()?;
    let Some([magic, magic_too, method, flags, ..]) = reader.array::<10>()? else {
        return refuse(NOT_WHOLE);
    };
    if [magic, magic_too] != [0x1f, 0x8b] {
        return refuse("Something follows the archive's end");
    }
    if method != 8 || flags & RESERVED != 0 {
        return refuse("The archive is damaged");
    }
    if flags & EXTRA != 0 {
        let length = reader.array()?.map_or(0, u16::from_le_bytes);
        if reader.bytes(length.into())?.is_none() {
            return refuse(NOT_WHOLE);
        }
    }
    let mut name = None;
    if flags & NAME != 0 {
        let own = text(reader)?;
        look.name(&own, false)?;
        name = Some(String::from_utf8_lossy(&own).into_owned());
    }
    if flags & COMMENT != 0 {
        text(reader)?;
    }
    if flags & HEADER_CRC != 0 && reader.array::<2>()?.is_none() {
        return refuse(NOT_WHOLE);
    }
    Ok(name)
}

/// Up to a zero.
fn text(reader: &mut Reader) -> Result<Vec<u8>, Stop> {
    let mut text = Vec::new();
    loop {
        match reader.array()? {
            None => return refuse(NOT_WHOLE),
            Some([0]) => return Ok(text),
            Some(_) if text.len() >= LONGEST => return refuse("The archive is damaged"),
            Some([byte]) => text.push(byte),
        }
    }
}

/// What gunzip calls it.
fn without_extension(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    for (packed, unpacked) in [(".tgz", ".tar"), (".gz", ""), (".gzip", "")] {
        if lower.ends_with(packed)
            && let Some(stem) = name.get(..name.len().saturating_sub(packed.len()))
        {
            return format!("{stem}{unpacked}");
        }
    }
    name.to_owned()
}

#[cfg(test)]
#[path = "gzip_tests.rs"]
mod tests;
