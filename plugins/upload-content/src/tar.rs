//! tar, as POSIX (ustar, pax), GNU and the seventh edition of Unix have it.

use crate::look::Look;
use crate::name::{leads_outside, normal, shown};
use crate::reader::{NOT_WHOLE, Part, Reader, Stop, refuse};
use std::collections::BTreeMap;

const BLOCK: u64 = 512;
/// What says more about the entry that follows; longer than any name.
const LONGEST: u64 = 64 << 10;

/// Whether it begins as one does: by the checksum, which also the oldest have.
pub fn is_one(head: &[u8]) -> bool {
    let block = head.first_chunk::<512>();
    block.is_some_and(|block| block.iter().any(|byte| *byte != 0) && checksum_fits(block))
}

/// What the headers before an entry say about it.
#[derive(Default)]
struct More {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
}

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
    Link,
}

/// Looks at all of it.
pub fn look(look: &Look, reader: &mut Reader, level: u32) -> Result<(), Stop> {
    let mut names = BTreeMap::new();
    let mut more = More::default();
    let mut links = false;
    loop {
        let Some(block) = reader.array::<512>()? else {
            return refuse(NOT_WHOLE);
        };
        if block.iter().all(|byte| *byte == 0) {
            break;
        }
        if !checksum_fits(&block) {
            return refuse("The archive is damaged");
        }
        // Each of these costs time, whatever it is.
        look.meter.entry()?;
        let header = Header(&block);
        let size = header.number(124, 12)?;
        match header.kind() {
            b'L' => more.name = Some(until_zero(record(reader, size)?)?),
            b'K' => more.target = Some(until_zero(record(reader, size)?)?),
            b'x' => more.pax(&record(reader, size)?)?,
            b'g' => {
                let mut all = More::default();
                all.pax(&record(reader, size)?)?;
                if all.name.is_some() || all.target.is_some() || all.size.is_some() {
                    return refuse("The archive has one name for all entries");
                }
            }
            kind => {
                let more = std::mem::take(&mut more);
                let name = more.name.unwrap_or_else(|| header.name());
                let target = more.target.unwrap_or_else(|| header.field(157, 100));
                let size = more.size.unwrap_or(size);
                let shown = shown(&name);
                let kind = match kind {
                    // The oldest mark a directory by its name.
                    b'0' | 0 | b'7' if !name.ends_with(b"/") => Kind::File,
                    b'0' | 0 | b'5' => Kind::Directory,
                    b'1' | b'2' => Kind::Link,
                    b'3' | b'4' | b'6' => {
                        return refuse(format!("{shown}: Neither file nor directory"));
                    }
                    _ => {
                        return refuse(format!(
                            "{shown}: A way to pack that cannot be looked into"
                        ));
                    }
                };
                look.name(&name, kind == Kind::Directory)?;
                let normal = normal(&name);
                if kind == Kind::Link {
                    links = true;
                    let outside = match header.kind() {
                        b'1' => crate::name::unsafe_because(&target).is_some(),
                        _ => leads_outside(&normal, &target),
                    };
                    if outside {
                        return refuse(format!("{shown}: A link that leads outside"));
                    }
                }
                if links && behind_a_link(&names, &normal) {
                    return refuse(format!("{shown}: It is behind a link of the archive's"));
                }
                look.meter.name(&normal)?;
                // Directories may be named more than once, and often are.
                let before = names.insert(normal, kind);
                if before.is_some_and(|before| (before, kind) != (Kind::Directory, Kind::Directory))
                {
                    return refuse(format!("{shown}: Twice in the archive"));
                }
                if kind != Kind::File && size > 0 {
                    return refuse(format!("{shown}: It has content, and is no file"));
                }
                file(look, reader, &name, size, kind, level).map_err(|stop| stop.within(&shown))?;
            }
        }
    }
    if more.name.is_some() || more.target.is_some() || more.size.is_some() {
        return refuse(NOT_WHOLE);
    }
    loop {
        let rest = reader.fill()?;
        if rest.is_empty() {
            return Ok(());
        }
        if rest.iter().any(|byte| *byte != 0) {
            return refuse("Something follows the archive's end");
        }
        let count = rest.len();
        reader.consume(count);
    }
}

fn file(
    look: &Look,
    reader: &mut Reader,
    name: &[u8],
    size: u64,
    kind: Kind,
    level: u32,
) -> Result<(), Stop> {
    {
        let mut part = Part::new(reader, size);
        let mut inside = Reader::new(&mut part);
        if kind == Kind::File {
            look.content(&mut inside, &String::from_utf8_lossy(name), level)?;
        }
        inside.drain()?;
    }
    pad(reader, size)
}

/// What fills the last block.
fn pad(reader: &mut Reader, size: u64) -> Result<(), Stop> {
    let left = size.wrapping_neg() % BLOCK;
    let padding = reader.bytes(usize::try_from(left).unwrap_or_default())?;
    padding.map_or_else(|| refuse(NOT_WHOLE), |_| Ok(()))
}

/// The content of what says more about the next entry.
fn record(reader: &mut Reader, size: u64) -> Result<Vec<u8>, Stop> {
    let Some(length) = usize::try_from(size).ok().filter(|_| size <= LONGEST) else {
        return refuse("The name of an entry is too long");
    };
    match reader.bytes(length)? {
        Some(record) => {
            pad(reader, size)?;
            Ok(record)
        }
        None => refuse(NOT_WHOLE),
    }
}

/// GNU's long names end with a zero, behind which nothing may hide.
fn until_zero(mut name: Vec<u8>) -> Result<Vec<u8>, Stop> {
    let end = name.iter().position(|byte| *byte == 0);
    let end = end.unwrap_or(name.len());
    if name
        .get(end..)
        .is_some_and(|rest| rest.iter().any(|byte| *byte != 0))
    {
        return refuse("The archive is damaged");
    }
    name.truncate(end);
    Ok(name)
}

/// Whether a directory of this name's is a link.
fn behind_a_link(names: &BTreeMap<Vec<u8>, Kind>, name: &[u8]) -> bool {
    let slashes = name.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes
        .filter_map(|(at, _)| name.get(..at))
        .any(|parent| names.get(parent) == Some(&Kind::Link))
}

impl More {
    /// Records of the form "LENGTH KEY=VALUE\n" (POSIX.1-2001, pax).
    fn pax(&mut self, records: &[u8]) -> Result<(), Stop> {
        let mut rest = records;
        while !rest.is_empty() {
            let parsed = pax_record(rest);
            let Some((key, value, after)) = parsed else {
                return refuse("The archive is damaged");
            };
            match key {
                b"path" => self.name = Some(value.to_vec()),
                b"linkpath" => self.target = Some(value.to_vec()),
                b"size" => match decimal(value) {
                    Some(size) => self.size = Some(size),
                    None => return refuse("The archive is damaged"),
                },
                key if key.starts_with(b"GNU.sparse.") => {
                    return refuse("A way to pack that cannot be looked into");
                }
                _ => {}
            }
            rest = after;
        }
        Ok(())
    }
}

fn pax_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(bytes.get(..space)?)?).ok()?;
    let (record, after) = bytes.split_at_checked(length)?;
    let pair = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    Some((pair.get(..equals)?, pair.get(equals + 1..)?, after))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    let plain = !text.is_empty() && digits.iter().all(u8::is_ascii_digit);
    text.parse().ok().filter(|_| plain)
}

fn checksum_fits(block: &[u8; 512]) -> bool {
    let Ok(said) = Header(block).number(148, 8) else {
        return false;
    };
    let sum = block.iter().enumerate().map(|(at, byte)| match at {
        148..156 => u64::from(b' '),
        _ => u64::from(*byte),
    });
    // Some of the old ones added the bytes up with their sign.
    let negative = block.iter().enumerate();
    let negative = negative.filter(|(at, byte)| **byte >= 0x80 && !(148..156).contains(at));
    let sum: u64 = sum.sum();
    said == sum || said == sum.wrapping_sub(256 * negative.count() as u64)
}

struct Header<'a>(&'a [u8; 512]);

impl Header<'_> {
    fn kind(&self) -> u8 {
        self.0.get(156).copied().unwrap_or_default()
    }

    /// A text that a zero ends, if it is shorter than its field.
    fn field(&self, at: usize, length: usize) -> Vec<u8> {
        let field = self.0.get(at..at + length).unwrap_or_default();
        let text = field.split(|byte| *byte == 0).next();
        text.unwrap_or_default().to_vec()
    }

    fn name(&self) -> Vec<u8> {
        let name = self.field(0, 100);
        // Behind GNU's magic are times.
        let posix = self.0.get(257..263) == Some(b"ustar\0");
        let prefix = self.field(345, 155);
        match posix && !prefix.is_empty() {
            true => [&prefix, b"/".as_slice(), &name].concat(),
            false => name,
        }
    }

    /// Octal digits; or bytes, the highest first, after a bit that says so.
    fn number(&self, at: usize, length: usize) -> Result<u64, Stop> {
        let field = self.0.get(at..at + length).unwrap_or_default();
        let damaged = || refuse("The archive is damaged");
        if let [0x80, rest @ ..] = field {
            return rest.iter().try_fold(0_u64, |number, byte| {
                let high = number.checked_mul(256);
                high.map_or_else(damaged, |high| Ok(high + u64::from(*byte)))
            });
        }
        let end = |byte: &u8| matches!(*byte, 0 | b' ');
        let start = field.iter().take_while(|byte| **byte == b' ').count();
        let digits = field.get(start..).unwrap_or_default();
        let count = digits.iter().take_while(|byte| !end(byte)).count();
        let (digits, rest) = digits.split_at(count);
        if !rest.iter().all(end) {
            return damaged();
        }
        digits.iter().try_fold(0_u64, |number, digit| match digit {
            b'0'..=b'7' => match number.checked_mul(8) {
                Some(high) => Ok(high + u64::from(digit - b'0')),
                None => damaged(),
            },
            _ => damaged(),
        })
    }
}

#[cfg(test)]
#[path = "tar_tests.rs"]
mod tests;
