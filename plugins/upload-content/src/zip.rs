//! ZIP archives (APPNOTE.TXT), read from their first byte to their last.
//!
//! A ZIP archive says twice what is in it: before each entry, and in a directory at its end, and
//! programs differ in what they believe. So both have to say the same, and there must be nothing
//! that neither knows of.

use crate::inflate::Inflate;
use crate::look::Look;
use crate::name::{normal, shown};
use crate::reader::{NOT_WHOLE, Part, Pieces, Reader, Stop, refuse};
use std::collections::BTreeSet;

const LOCAL: u32 = 0x0403_4b50;
const DESCRIPTOR: u32 = 0x0807_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

const ENCRYPTED: u16 = 1;
const DESCRIBED: u16 = 1 << 3;
/// Patches, strong encryption, hidden headers.
const STRANGE: u16 = 1 << 5 | 1 << 6 | 1 << 13;

const DIFFERS: &str = "The archive's directory differs from what is in it";

/// What is remembered of an entry for the directory.
#[derive(PartialEq, Eq)]
struct Entry {
    at: u64,
    name: Vec<u8>,
    encrypted: bool,
    method: u16,
    crc: u32,
    packed: u64,
    length: u64,
}

/// Looks into one.
pub struct Zip<'l, 'r, 'b> {
    look: &'l Look<'l>,
    reader: &'r mut Reader<'b>,
    level: u32,
    start: u64,
    entries: Vec<Entry>,
    names: BTreeSet<Vec<u8>>,
}

/// Looks at all of it. `has` are names, or their beginnings, that have to be among its own.
pub fn look(look: &Look, reader: &mut Reader, level: u32, has: &[&str]) -> Result<(), Stop> {
    let mut zip = Zip {
        look,
        start: reader.position(),
        reader,
        level,
        entries: Vec::new(),
        names: BTreeSet::new(),
    };
    loop {
        match signature(zip.reader)? {
            LOCAL => zip.entry()?,
            CENTRAL | END | END_64 => break,
            DESCRIPTOR => return refuse("Archives in several parts are not accepted"),
            _ => return refuse("The archive is damaged"),
        }
    }
    zip.directory()?;
    for wanted in has {
        let there = |entry: &Entry| entry.name.starts_with(wanted.as_bytes());
        if !zip.entries.iter().any(there) {
            return refuse("The content is a ZIP archive and no document");
        }
    }
    Ok(())
}

fn signature(reader: &mut Reader) -> Result<u32, Stop> {
    match reader.peek(4)?.first_chunk() {
        Some(bytes) => Ok(u32::from_le_bytes(*bytes)),
        None => refuse(NOT_WHOLE),
    }
}

impl Zip<'_, '_, '_> {
    fn entry(&mut self) -> Result<(), Stop> {
        self.look.meter.entry()?;
        let at = self.reader.position() - self.start;
        let mut header = Fields(whole(self.reader.array::<30>()?)?.to_vec(), 6);
        let (flags, method) = (header.u16(), header.u16());
        header.skip(4); // time and date
        let (crc, packed, length) = (header.u32(), header.u32(), header.u32());
        let (name_length, extra_length) = (header.u16(), header.u16());
        let name = self.bytes(name_length)?;
        let extra = Extra::read(&self.bytes(extra_length)?, &name)?;
        let shown = shown(&name);
        self.name(&name)?;
        if flags & STRANGE != 0 {
            return refuse(format!("{shown}: A way to pack that cannot be looked into"));
        }
        let mut wide = extra.wide();
        let (length, packed) = (wide.next(length), wide.next(packed));
        let mut entry = Entry {
            at,
            name,
            encrypted: flags & ENCRYPTED != 0,
            method,
            crc,
            packed,
            length,
        };
        let described = flags & DESCRIBED != 0;
        self.content(&mut entry, described)
            .map_err(|stop| stop.within(&shown))?;
        self.entries.push(entry);
        Ok(())
    }

    fn name(&mut self, name: &[u8]) -> Result<(), Stop> {
        self.look.name(name, name.ends_with(b"/"))?;
        let normal = normal(name);
        self.look.meter.name(name)?;
        self.look.meter.name(&normal)?;
        match self.names.insert(normal) {
            true => Ok(()),
            false => refuse(format!("{}: Twice in the archive", shown(name))),
        }
    }

    /// What follows the header. Where the header lacks something, the entry has it afterwards.
    fn content(&mut self, entry: &mut Entry, described: bool) -> Result<(), Stop> {
        let archives = &self.look.checks.archives;
        let directory = entry.name.ends_with(b"/");
        if entry.encrypted {
            if !archives.encrypted {
                return refuse("Encrypted entries are not accepted");
            }
            return self.pass(entry, described);
        }
        match entry.method {
            DEFLATED => {
                let mut inflate = Inflate::new(self.reader, &self.look.meter);
                let before = inflate.position();
                look_at(self.look, &mut inflate, entry, directory, self.level)?;
                let (length, crc) = inflate.found();
                let packed = inflate.position() - before;
                let said = [entry.packed, entry.length, entry.crc.into()];
                let found = [packed, length, crc.into()];
                // With a descriptor the header may already have said it, but not something else.
                let fits = |(said, found)| said == found || described && said == 0;
                if !said.into_iter().zip(found).all(fits) {
                    return refuse("Another length or checksum than the archive says");
                }
                (entry.packed, entry.length, entry.crc) = (packed, length, crc);
                if described {
                    return self.descriptor(entry);
                }
                Ok(())
            }
            STORED if described && entry.packed == 0 && entry.crc == 0 && entry.length == 0 => {
                // Empty, or of a length that nobody knows. The descriptor tells which.
                match self.descriptor(entry) {
                    Ok(()) => look_at(self.look, &mut Nothing, entry, directory, self.level),
                    Err(Stop::Gone) => Err(Stop::Gone),
                    Err(_) => refuse("Its length is not said before it, and it is not packed"),
                }
            }
            STORED => {
                if entry.packed != entry.length {
                    return refuse("Another length than the archive says");
                }
                let mut part = Part::new(self.reader, entry.packed);
                part.crc = Some(crc32fast::Hasher::new());
                look_at(self.look, &mut part, entry, directory, self.level)?;
                let crc = part.crc.map(crc32fast::Hasher::finalize);
                if crc != Some(entry.crc) {
                    return refuse("Another checksum than the archive says");
                }
                if described {
                    return self.descriptor(entry);
                }
                Ok(())
            }
            _ if !archives.other_formats => {
                refuse("It is packed in a way that cannot be looked into")
            }
            _ => self.pass(entry, described),
        }
    }

    /// What cannot be looked into, and is allowed nevertheless.
    fn pass(&mut self, entry: &Entry, described: bool) -> Result<(), Stop> {
        if described && entry.packed == 0 {
            return refuse("Its length is not said before it");
        }
        Reader::new(&mut Part::new(self.reader, entry.packed)).drain()?;
        if described {
            return self.descriptor(entry);
        }
        Ok(())
    }

    /// Checksum and lengths once more, with or without a signature, in 32 bits or in 64. What they
    /// are is known: so the form is that in which they say so, and in which the archive goes on.
    fn descriptor(&mut self, entry: &Entry) -> Result<(), Stop> {
        let there = self.reader.peek(28)?;
        for (signed, wide) in [(true, false), (true, true), (false, false), (false, true)] {
            let mut form = Vec::with_capacity(24);
            if signed {
                form.extend(DESCRIPTOR.to_le_bytes());
            }
            form.extend(entry.crc.to_le_bytes());
            for length in [entry.packed, entry.length] {
                match (wide, u32::try_from(length)) {
                    (true, _) => form.extend(length.to_le_bytes()),
                    (false, Ok(length)) => form.extend(length.to_le_bytes()),
                    (false, Err(_)) => {}
                }
            }
            if there
                .strip_prefix(form.as_slice())
                .is_some_and(|rest| rest.starts_with(b"PK"))
            {
                self.reader.consume(form.len());
                return Ok(());
            }
        }
        refuse("Another length or checksum than the archive says")
    }

    /// The directory and what ends it, which has to be the end of all.
    fn directory(&mut self) -> Result<(), Stop> {
        let start = self.reader.position() - self.start;
        let mut seen = vec![false; self.entries.len()];
        while signature(self.reader)? == CENTRAL {
            self.listed(&mut seen)?;
        }
        if !seen.iter().all(|seen| *seen) {
            return refuse(DIFFERS);
        }
        let count = seen.len() as u64;
        let end = self.reader.position() - self.start;
        let mut wide = false;
        if signature(self.reader)? == END_64 {
            let mut fields = Fields(whole(self.reader.array::<56>()?)?.to_vec(), 4);
            // Anything more would be for nobody.
            let said = [fields.u64()];
            fields.skip(4); // versions
            let disks = [fields.u32(), fields.u32()];
            let rest = [fields.u64(), fields.u64(), fields.u64(), fields.u64()];
            if said != [44] || disks != [0, 0] || rest != [count, count, end - start, start] {
                return refuse(DIFFERS);
            }
            let mut fields = Fields(whole(self.reader.array::<20>()?)?.to_vec(), 0);
            let (signature, disk, at, disks) =
                (fields.u32(), fields.u32(), fields.u64(), fields.u32());
            if signature != LOCATOR_64 || disk != 0 || at != end || disks > 1 {
                return refuse(DIFFERS);
            }
            wide = true;
        }
        if signature(self.reader)? != END {
            return refuse("The archive is damaged");
        }
        let mut fields = Fields(whole(self.reader.array::<22>()?)?.to_vec(), 4);
        let disks = [fields.u16(), fields.u16()];
        let counts = [fields.u16(), fields.u16()];
        let places = [fields.u32(), fields.u32()];
        let comment = fields.u16();
        // What does not fit is said in the record before.
        let short = |said: u16| u64::from(said) == count || wide && said == u16::MAX;
        let long = |said: u32, found: u64| u64::from(said) == found || wide && said == u32::MAX;
        let [size, offset] = places;
        if !disks
            .iter()
            .all(|disk| *disk == 0 || wide && *disk == u16::MAX)
            || !counts.into_iter().all(short)
            || !long(size, end - start)
            || !long(offset, start)
        {
            return refuse(DIFFERS);
        }
        self.bytes(comment)?;
        match self.reader.fill()? {
            [] => Ok(()),
            _ => refuse("Something follows the archive's end"),
        }
    }

    /// One entry of the directory.
    fn listed(&mut self, seen: &mut [bool]) -> Result<(), Stop> {
        let mut fields = Fields(whole(self.reader.array::<46>()?)?.to_vec(), 8);
        let (flags, method) = (fields.u16(), fields.u16());
        fields.skip(4);
        let (crc, packed, length) = (fields.u32(), fields.u32(), fields.u32());
        let lengths = [fields.u16(), fields.u16(), fields.u16()];
        let disk = fields.u16();
        fields.skip(2);
        let (attributes, offset) = (fields.u32(), fields.u32());
        let [name, extra, comment] = lengths;
        let name = self.bytes(name)?;
        let extra = Extra::read(&self.bytes(extra)?, &name)?;
        self.bytes(comment)?;
        let mut wide = extra.wide();
        let (length, packed, at) = (wide.next(length), wide.next(packed), wide.next(offset));
        let found = self.entries.binary_search_by_key(&at, |entry| entry.at);
        let index = found.unwrap_or(usize::MAX);
        let entry = Entry {
            at,
            name,
            encrypted: flags & ENCRYPTED != 0,
            method,
            crc,
            packed,
            length,
        };
        let (Some(found), Some(seen)) = (self.entries.get(index), seen.get_mut(index)) else {
            return refuse(DIFFERS);
        };
        if *found != entry || *seen || !matches!(disk, 0 | u16::MAX) || flags & STRANGE != 0 {
            return refuse(DIFFERS);
        }
        *seen = true;
        // As Unix has it: a file, a directory, or nothing said.
        match attributes >> 28 {
            0 | 4 | 8 => Ok(()),
            0xa => refuse(format!("{}: A link", shown(&entry.name))),
            _ => refuse(format!(
                "{}: Neither file nor directory",
                shown(&entry.name)
            )),
        }
    }

    fn bytes(&mut self, count: u16) -> Result<Vec<u8>, Stop> {
        whole(self.reader.bytes(count.into())?)
    }
}

/// What an entry holds, to its end.
fn look_at(
    look: &Look,
    pieces: &mut dyn Pieces,
    entry: &Entry,
    directory: bool,
    level: u32,
) -> Result<(), Stop> {
    let mut reader = Reader::new(pieces);
    if directory {
        return match reader.drain()? {
            0 => Ok(()),
            _ => refuse("A directory with content"),
        };
    }
    look.content(&mut reader, &String::from_utf8_lossy(&entry.name), level)?;
    reader.drain()?;
    Ok(())
}

/// An empty entry.
struct Nothing;

impl Pieces for Nothing {
    fn piece(&mut self, _: &mut Vec<u8>) -> Result<bool, Stop> {
        Ok(false)
    }
}

fn whole<T>(bytes: Option<T>) -> Result<T, Stop> {
    bytes.map_or_else(|| refuse(NOT_WHOLE), Ok)
}

/// Numbers, the lowest byte first, from a place on. What is not there is 0.
struct Fields(Vec<u8>, usize);

impl Fields {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let rest = self.0.get(self.1..).unwrap_or_default();
        let bytes = rest.first_chunk().copied().unwrap_or([0; N]);
        self.1 += N;
        bytes
    }
    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }
    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }
    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
    fn skip(&mut self, count: usize) {
        self.1 += count;
    }
}

/// What extra fields say of lengths.
struct Extra {
    zip64: Option<Vec<u8>>,
}

impl Extra {
    fn read(bytes: &[u8], name: &[u8]) -> Result<Self, Stop> {
        let mut zip64 = None;
        let mut rest = bytes;
        while let Some((head, after)) = rest.split_first_chunk::<4>() {
            let [a, b, c, d] = *head;
            let (kind, length) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
            let Some((value, after)) = after.split_at_checked(length.into()) else {
                return refuse("The archive is damaged");
            };
            match kind {
                1 if zip64.is_some() => return refuse("The archive is damaged"),
                1 => zip64 = Some(value.to_vec()),
                // Info-ZIP's second name, behind a version and a checksum.
                0x7075 if value.get(5..) != Some(name) => {
                    return refuse(format!("{}: It has two names", shown(name)));
                }
                _ => {}
            }
            rest = after;
        }
        Ok(Self { zip64 })
    }

    /// The lengths in 64 bits, in the order in which those in 32 are full.
    fn wide(&self) -> Wide {
        Wide(Fields(self.zip64.clone().unwrap_or_default(), 0))
    }
}

struct Wide(Fields);

impl Wide {
    fn next(&mut self, short: u32) -> u64 {
        match short {
            u32::MAX if !self.0.0.is_empty() => self.0.u64(),
            short => short.into(),
        }
    }
}

#[cfg(test)]
#[path = "zip_tests.rs"]
mod tests;
