//! Archives for tests, right ones and wrong ones.

use crate::inspect::{Gone, Upload, Verdict, inspect};
use crate::settings::Settings;
use miniz_oxide::deflate::compress_to_vec;
use std::cell::Cell;

pub struct Fake<'a> {
    pub path: &'a str,
    pub content: &'a [u8],
    pub piece: usize,
    pub read: Cell<usize>,
    pub drained: Cell<bool>,
    pub breaks: bool,
}

impl Upload for Fake<'_> {
    fn path(&self) -> String {
        self.path.into()
    }
    fn read(&self, at_most: u32) -> Result<Option<Vec<u8>>, Gone> {
        let rest = &self.content[self.read.get()..];
        let length = rest.len().min(self.piece).min(at_most as usize);
        self.read.set(self.read.get() + length);
        match length {
            0 if self.breaks => Err(Gone),
            0 => Ok(None),
            length => Ok(Some(rest[..length].to_vec())),
        }
    }
    fn drain(&self) -> Result<(), Gone> {
        self.drained.set(true);
        Ok(())
    }
}

pub fn fake<'a>(path: &'a str, content: &'a [u8], piece: usize) -> Fake<'a> {
    Fake {
        path,
        content,
        piece,
        read: Cell::new(0),
        drained: Cell::new(false),
        breaks: false,
    }
}

pub fn judge(settings: &str, path: &str, content: &[u8]) -> Verdict {
    let settings = Settings::parse(settings).unwrap();
    let mut verdicts = Vec::new();
    // Small files in pieces of any size: where they are cut has no influence.
    let sizes: &[usize] = match content.len() {
        0..20_000 => &[1, 2, 5, 13, 100, 511, 100_000],
        _ => &[100_000],
    };
    for size in sizes {
        verdicts.push(inspect(&settings, "bob", &fake(path, content, *size)).unwrap());
    }
    assert!(
        verdicts.windows(2).all(|two| two[0] == two[1]),
        "{verdicts:?}"
    );
    verdicts.pop().unwrap()
}

#[track_caller]
pub fn accepts(settings: &str, path: &str, content: &[u8]) {
    assert_eq!(judge(settings, path, content), Verdict::Accept, "{path}");
}

#[track_caller]
pub fn rejects(settings: &str, path: &str, content: &[u8], why: &str) {
    match judge(settings, path, content) {
        Verdict::Reject(found) => assert!(found.contains(why), "{path}: {found:?}, not {why:?}"),
        other => panic!("{path}: {other:?}, not {why:?}"),
    }
}

pub fn crc(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

pub fn deflate(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, 6)
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    gzip_with(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], bytes)
}

pub fn gzip_with(header: &[u8], bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u32).to_le_bytes();
    [header, &deflate(bytes), &crc(bytes).to_le_bytes(), &length].concat()
}

/// A file in a ZIP archive, of which everything can be said wrongly.
#[derive(Clone)]
pub struct Zipped {
    pub name: Vec<u8>,
    pub flags: u16,
    pub method: u16,
    pub crc: u32,
    pub packed: u64,
    pub length: u64,
    pub data: Vec<u8>,
    pub extra: Vec<u8>,
    /// Follows the data.
    pub descriptor: Vec<u8>,
    pub attributes: u32,
    /// Lengths in 64 bits.
    pub wide: bool,
    /// What the header before the data says; none is the same as the directory.
    pub local: Option<(u32, u64, u64)>,
}

pub fn stored(name: &str, content: &[u8]) -> Zipped {
    Zipped {
        name: name.into(),
        flags: 0,
        method: 0,
        crc: crc(content),
        packed: content.len() as u64,
        length: content.len() as u64,
        data: content.to_vec(),
        extra: Vec::new(),
        descriptor: Vec::new(),
        attributes: 0,
        wide: false,
        local: None,
    }
}

pub fn deflated(name: &str, content: &[u8]) -> Zipped {
    let data = deflate(content);
    Zipped {
        method: 8,
        packed: data.len() as u64,
        data,
        ..stored(name, content)
    }
}

/// With lengths behind the data.
pub fn described(name: &str, content: &[u8], signed: bool, wide: bool) -> Zipped {
    let mut zipped = deflated(name, content);
    zipped.flags |= 8;
    zipped.local = Some((0, 0, 0));
    zipped.descriptor = descriptor(&zipped, signed, wide);
    zipped
}

pub fn descriptor(zipped: &Zipped, signed: bool, wide: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    if signed {
        bytes.extend(b"PK\x07\x08");
    }
    bytes.extend(zipped.crc.to_le_bytes());
    for length in [zipped.packed, zipped.length] {
        match wide {
            true => bytes.extend(length.to_le_bytes()),
            false => bytes.extend((length as u32).to_le_bytes()),
        }
    }
    bytes
}

/// The parts of an archive, before they are put together.
pub struct Parts {
    pub entries: Vec<u8>,
    pub directory: Vec<u8>,
    pub count: u64,
}

pub fn parts(all: &[Zipped]) -> Parts {
    let mut parts = Parts {
        entries: Vec::new(),
        directory: Vec::new(),
        count: all.len() as u64,
    };
    for one in all {
        let at = parts.entries.len() as u32;
        let (crc, packed, length) = one.local.unwrap_or((one.crc, one.packed, one.length));
        let short = |length: u64| if one.wide { u32::MAX } else { length as u32 };
        let wide = |length: u64, packed: u64| {
            let mut extra = one.extra.clone();
            if one.wide {
                extra.extend([1, 0, 16, 0]);
                extra.extend(length.to_le_bytes());
                extra.extend(packed.to_le_bytes());
            }
            extra
        };
        let local_extra = wide(length, packed);
        let entries = &mut parts.entries;
        entries.extend(b"PK\x03\x04\x14\0");
        entries.extend(one.flags.to_le_bytes());
        entries.extend(one.method.to_le_bytes());
        entries.extend([0; 4]);
        entries.extend(crc.to_le_bytes());
        entries.extend(short(packed).to_le_bytes());
        entries.extend(short(length).to_le_bytes());
        entries.extend((one.name.len() as u16).to_le_bytes());
        entries.extend((local_extra.len() as u16).to_le_bytes());
        entries.extend(&one.name);
        entries.extend(local_extra);
        entries.extend(&one.data);
        entries.extend(&one.descriptor);

        let extra = wide(one.length, one.packed);
        let directory = &mut parts.directory;
        directory.extend(b"PK\x01\x02\x14\x03\x14\0");
        directory.extend(one.flags.to_le_bytes());
        directory.extend(one.method.to_le_bytes());
        directory.extend([0; 4]);
        directory.extend(one.crc.to_le_bytes());
        directory.extend(short(one.packed).to_le_bytes());
        directory.extend(short(one.length).to_le_bytes());
        directory.extend((one.name.len() as u16).to_le_bytes());
        directory.extend((extra.len() as u16).to_le_bytes());
        directory.extend([0; 6]);
        directory.extend(one.attributes.to_le_bytes());
        directory.extend(at.to_le_bytes());
        directory.extend(&one.name);
        directory.extend(extra);
    }
    parts
}

impl Parts {
    pub fn end(&self, comment: &[u8]) -> Vec<u8> {
        let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
        let count = (self.count as u16).to_le_bytes();
        end.extend(count);
        end.extend(count);
        end.extend((self.directory.len() as u32).to_le_bytes());
        end.extend((self.entries.len() as u32).to_le_bytes());
        end.extend((comment.len() as u16).to_le_bytes());
        end.extend(comment);
        end
    }

    pub fn end_64(&self) -> Vec<u8> {
        let mut end = b"PK\x06\x06".to_vec();
        end.extend(44_u64.to_le_bytes());
        end.extend([45, 0, 45, 0]);
        end.extend([0; 8]);
        end.extend(self.count.to_le_bytes());
        end.extend(self.count.to_le_bytes());
        end.extend((self.directory.len() as u64).to_le_bytes());
        end.extend((self.entries.len() as u64).to_le_bytes());
        end.extend(b"PK\x06\x07\0\0\0\0");
        end.extend(((self.entries.len() + self.directory.len()) as u64).to_le_bytes());
        end.extend(1_u32.to_le_bytes());
        end.extend(b"PK\x05\x06\0\0\0\0");
        end.extend([0xff; 12]);
        end.extend([0; 2]);
        end
    }
}

pub fn zip(all: &[Zipped]) -> Vec<u8> {
    let parts = parts(all);
    let end = parts.end(b"");
    [parts.entries, parts.directory, end].concat()
}

/// A header of a tar archive, as POSIX has it.
pub fn tar_header(name: &[u8], kind: u8, size: u64, target: &[u8]) -> [u8; 512] {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name);
    block[100..108].copy_from_slice(b"0000644\0");
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[156] = kind;
    block[157..157 + target.len()].copy_from_slice(target);
    block[257..265].copy_from_slice(b"ustar\x0000");
    seal(&mut block);
    block
}

pub fn seal(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

pub fn tar_entry(name: &[u8], kind: u8, content: &[u8]) -> Vec<u8> {
    let mut entry = tar_header(name, kind, content.len() as u64, b"").to_vec();
    entry.extend(content);
    entry.resize(entry.len().next_multiple_of(512), 0);
    entry
}

pub fn tar(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    // The first byte makes it nothing that is known.
    bytes.push(0);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
