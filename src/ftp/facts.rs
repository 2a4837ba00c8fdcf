//! Machine-readable listings (RFC 3659 §7): MLST, MLSD and their facts.

#[cfg(test)]
mod tests;

use super::metadata::{Kind, Metadata};
use super::text::{digit, push_decimal, push_hexadecimal, push_line};
use super::time::{push_time_val, unix_seconds};

const TYPE: u16 = 1;
const SIZE: u16 = 1 << 1;
const MODIFY: u16 = 1 << 2;
const PERM: u16 = 1 << 3;
const UNIQUE: u16 = 1 << 4;
const MODE: u16 = 1 << 5;
const OWNER: u16 = 1 << 6;
const GROUP: u16 = 1 << 7;
/// Bytes of a broken upload that waits to be resumed. A fact of our own (RFC 3659 §7.5: "X.").
const PARTIAL: u16 = 1 << 8;

const NAMES: [(u16, &str); 9] = [
    (TYPE, "type"),
    (SIZE, "size"),
    (MODIFY, "modify"),
    (PERM, "perm"),
    (UNIQUE, "unique"),
    (MODE, "UNIX.mode"),
    (OWNER, "UNIX.owner"),
    (GROUP, "UNIX.group"),
    (PARTIAL, "X.partial"),
];

/// The facts that a client wants to see, all of them at first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts(u16);

impl Facts {
    /// Every fact there is.
    pub const fn all() -> Self {
        Self(u16::MAX)
    }

    /// The facts named in the argument of `OPTS MLST` (RFC 3659 §7.9), such as `type;size;`.
    /// Unknown names are passed over, and no name at all switches every fact off.
    pub fn select(names: &str) -> Self {
        let wanted = |name: &str| {
            names
                .split(';')
                .any(|other| other.eq_ignore_ascii_case(name))
        };
        Self(
            NAMES
                .iter()
                .filter(|(_, name)| wanted(name))
                .fold(0, |set, (bit, _)| set | bit),
        )
    }

    /// The line of FEAT (RFC 3659 §7.8), a star behind each fact that is on. MLSD has no line.
    pub fn feature_line(&self) -> String {
        let star = |bit: u16| if self.has(bit) { "*" } else { "" };
        NAMES.iter().fold("MLST ".to_owned(), |line, (bit, name)| {
            line + name + star(*bit) + ";"
        })
    }

    /// The facts that are on, each with its semicolon, for `200 MLST OPTS type;size;`.
    pub fn list(&self) -> String {
        let on = NAMES.iter().filter(|(bit, _)| self.has(*bit));
        on.fold(String::new(), |line, (_, name)| line + name + ";")
    }

    /// Whether the kind of an entry, and what waits to be resumed, tell all of them.
    #[must_use]
    pub fn follow_from_kind(&self) -> bool {
        let others = SIZE | MODIFY | UNIQUE | MODE | OWNER | GROUP;
        self.0 & others == 0
    }

    fn has(&self, bit: u16) -> bool {
        self.0 & bit != 0
    }
}

impl Default for Facts {
    fn default() -> Self {
        Self::all()
    }
}

/// Whether a directory is listed as itself or as what lies around.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryKind {
    /// An entry of the directory, or the object of MLST.
    Plain,
    /// The directory that is listed: `type=cdir`.
    Current,
    /// The one above it: `type=pdir`.
    Parent,
}

/// The operations that an entry permits the client, for the `perm` fact. Nothing by default.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Allowed {
    /// List a directory (LIST, NLST, MLSD).
    pub list: bool,
    /// Make a directory the working one (CWD).
    pub enter: bool,
    /// Read a file (RETR).
    pub download: bool,
    /// Write over a file (STOR).
    pub upload: bool,
    /// Add to a file (APPE).
    pub append: bool,
    /// Delete a file (DELE), or the files in a directory.
    pub delete: bool,
    /// Rename it (RNFR).
    pub rename: bool,
    /// Make directories in a directory (MKD).
    pub make_directory: bool,
    /// Remove a directory (RMD).
    pub remove_directory: bool,
    /// Make files in a directory (STOR, STOU, APPE, RNTO).
    pub create: bool,
}

impl Allowed {
    /// The letters of RFC 3659 §7.5.5 that have a meaning for such an entry.
    fn letters(&self, kind: Kind) -> [(bool, u8); 7] {
        const NONE: (bool, u8) = (false, 0);
        match kind {
            Kind::Directory => [
                (self.create, b'c'),
                (self.remove_directory, b'd'),
                (self.enter, b'e'),
                (self.rename, b'f'),
                (self.list, b'l'),
                (self.make_directory, b'm'),
                (self.delete, b'p'),
            ],
            Kind::File => [
                (self.append, b'a'),
                (self.delete, b'd'),
                (self.rename, b'f'),
                (self.download, b'r'),
                (self.upload, b'w'),
                NONE,
                NONE,
            ],
            Kind::Link | Kind::Other => [
                (self.delete, b'd'),
                (self.rename, b'f'),
                NONE,
                NONE,
                NONE,
                NONE,
                NONE,
            ],
        }
    }
}

/// Appends one entry, `type=file;size=3; name`, without a line end: a line of MLST.
///
/// The name is what the client calls it: a path for MLST, a name for MLSD.
pub fn write_mlsx(
    out: &mut Vec<u8>,
    name: &str,
    metadata: &Metadata,
    facts: &Facts,
    kind: EntryKind,
    allowed: Allowed,
) {
    // All facts together are shorter than this.
    out.reserve(256 + name.len());
    if facts.has(TYPE) {
        out.extend_from_slice(match (metadata.kind, kind) {
            (Kind::Directory, EntryKind::Plain) => b"type=dir;",
            (Kind::Directory, EntryKind::Current) => b"type=cdir;",
            (Kind::Directory, EntryKind::Parent) => b"type=pdir;",
            (Kind::File, _) => b"type=file;",
            (Kind::Link, _) => b"type=OS.unix=slink;",
            (Kind::Other, _) => b"type=OS.unix=special;",
        });
    }
    // RFC 3659 §7.5.7: what a transfer would carry, so only files have one.
    if facts.has(SIZE) && metadata.kind == Kind::File {
        out.extend_from_slice(b"size=");
        push_decimal(out, metadata.size);
        out.push(b';');
    }
    if facts.has(MODIFY) {
        out.extend_from_slice(b"modify=");
        push_time_val(out, unix_seconds(metadata.modified));
        out.push(b';');
    }
    if facts.has(PERM) {
        out.extend_from_slice(b"perm=");
        let letters = allowed.letters(metadata.kind).into_iter();
        out.extend(letters.filter(|(may, _)| *may).map(|(_, letter)| letter));
        out.push(b';');
    }
    if facts.has(UNIQUE) {
        let (device, inode) = metadata.unique;
        out.extend_from_slice(b"unique=");
        push_hexadecimal(out, device);
        out.push(b'g');
        push_hexadecimal(out, inode);
        out.push(b';');
    }
    if facts.has(MODE) {
        let octal = |shift: u32| digit(u64::from(metadata.mode >> shift & 7));
        out.extend_from_slice(b"UNIX.mode=");
        out.extend_from_slice(&[octal(9), octal(6), octal(3), octal(0), b';']);
    }
    if facts.has(OWNER) {
        out.extend_from_slice(b"UNIX.owner=");
        push_decimal(out, metadata.owner.into());
        out.push(b';');
    }
    if facts.has(GROUP) {
        out.extend_from_slice(b"UNIX.group=");
        push_decimal(out, metadata.group.into());
        out.push(b';');
    }
    if facts.has(PARTIAL)
        && let Some(partial) = &metadata.partial
    {
        out.extend_from_slice(b"X.partial=");
        push_decimal(out, partial.size);
        out.push(b';');
    }
    // RFC 3659 §7.2: one blank, also where no fact is before it.
    out.push(b' ');
    push_line(out, name);
}

/// Appends one line of MLSD, with its CRLF.
pub fn write_mlsd_line(
    out: &mut Vec<u8>,
    name: &str,
    metadata: &Metadata,
    facts: &Facts,
    kind: EntryKind,
    allowed: Allowed,
) {
    write_mlsx(out, name, metadata, facts, kind, allowed);
    out.extend_from_slice(b"\r\n");
}
