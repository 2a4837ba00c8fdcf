//! What kind of file it is, by its first bytes.

use crate::name;
use crate::tar;

/// How many of a file's first bytes tell.
pub const HEAD: usize = 8 << 10;

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its MIME types, the one that says most at first; and the extensions of such files.
    names: Vec<&'static str>,
    /// Whether somebody could run it.
    program: bool,
    /// What could be in it.
    pub container: Container,
}

/// What could be in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Container {
    /// Nothing that is looked for.
    None,
    /// A ZIP archive, in which there have to be these, as it claims to be something that has them.
    Zip(&'static [&'static str]),
    /// A tar archive.
    Tar,
    /// gzip.
    Gzip,
    /// An archive of this extension, that cannot be looked into.
    Other(&'static str),
}

/// A kind of files, as operators name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// What can be run.
    Program,
    /// "image/*", without the star.
    Family(String),
    /// A MIME type or an extension.
    Name(String),
}

const PROGRAM: &str = "program";
const UNKNOWN: [&str; 2] = ["application/octet-stream", "bin"];

/// Text has no magic number: it is what its name says, if it is text.
const TEXTS: &[(&str, &str)] = &[
    ("csv", "text/csv"),
    ("tsv", "text/tab-separated-values"),
    ("json", "application/json"),
    ("jsonl", "application/jsonl"),
    ("ndjson", "application/x-ndjson"),
    ("xml", "text/xml"),
    ("xsd", "application/xml-schema"),
    ("xsl", "application/xslt+xml"),
    ("svg", "image/svg+xml"),
    ("html", "text/html"),
    ("css", "text/css"),
    ("js", "text/javascript"),
    ("md", "text/markdown"),
    ("log", "text/x-log"),
    ("ini", "text/x-ini"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("toml", "application/toml"),
    ("sql", "application/sql"),
    ("edi", "application/edifact"),
    ("x12", "application/edi-x12"),
    ("eml", "message/rfc822"),
    ("ics", "text/calendar"),
    ("vcf", "text/vcard"),
    ("pem", "application/x-pem-file"),
    ("asc", "application/pgp-keys"),
];

/// Documents that are ZIP archives, and what has to be in them.
const ZIPS: &[(&str, &str, &[&str])] = &[
    (
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        &["[Content_Types].xml", "word/"],
    ),
    (
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        &["[Content_Types].xml", "xl/"],
    ),
    (
        "pptx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        &["[Content_Types].xml", "ppt/"],
    ),
    (
        "odt",
        "application/vnd.oasis.opendocument.text",
        &["mimetype", "META-INF/manifest.xml"],
    ),
    (
        "ods",
        "application/vnd.oasis.opendocument.spreadsheet",
        &["mimetype", "META-INF/manifest.xml"],
    ),
    (
        "odp",
        "application/vnd.oasis.opendocument.presentation",
        &["mimetype", "META-INF/manifest.xml"],
    ),
    ("epub", "application/epub+zip", &["META-INF/container.xml"]),
    ("jar", "application/java-archive", &["META-INF/MANIFEST.MF"]),
    (
        "apk",
        "application/vnd.android.package-archive",
        &["AndroidManifest.xml"],
    ),
];

/// Microsoft's older documents, which share a magic number.
const OLES: &[(&str, &str)] = &[
    ("doc", "application/msword"),
    ("xls", "application/vnd.ms-excel"),
    ("ppt", "application/vnd.ms-powerpoint"),
    ("msg", "application/vnd.ms-outlook"),
    ("msi", "application/x-msi"),
];
const OLE: &str = "application/x-ole-storage";

const PROGRAMS: &[&str] = &[
    "wasm", "elf", "exe", "dll", "class", "mach", "dex", "dey", "sh",
];

/// Archives that cannot be looked into: by what they are, and by what they are called, as some
/// have no magic number where it would be seen.
const OTHERS: &[&str] = &[
    "7z", "rar", "bz2", "bz3", "xz", "Z", "lz", "zst", "lz4", "cab", "deb", "ar", "rpm", "cpio",
    "crx", "iso", "lzh", "lha", "arj", "ace", "xar", "dmg", "tbz2", "txz", "tzst", "lzma", "zipx",
];

/// With so short a magic number that a text may begin so.
const SHORT: &[&str] = &[
    "exe", "dll", "bmp", "bc", "obj", "swf", "bz2", "flv", "mp3", "sh", "html", "xml",
];

/// What people write for these.
const ALIASES: &[(&str, &str)] = &[
    ("jpeg", "jpg"),
    ("jpe", "jpg"),
    ("tiff", "tif"),
    ("htm", "html"),
    ("mpeg", "mpg"),
    ("gzip", "gz"),
    ("application/x-gzip", "application/gzip"),
    ("application/x-zip-compressed", "application/zip"),
    ("application/xml", "text/xml"),
    ("application/csv", "text/csv"),
    ("text/json", "application/json"),
    ("application/x-rar-compressed", "application/vnd.rar"),
];

impl Kind {
    /// By a file's first bytes, at least [`HEAD`] of them if there are so many, and by its name
    /// where these do not tell.
    pub fn of(head: &[u8], path: &str) -> Self {
        let last = name::last(path);
        let extension = alias(name::extension(&last));
        if tar::is_one(head) {
            return Self::container(&["application/x-tar", "tar"], Container::Tar);
        }
        if head.starts_with(b"\x1f\x8b") {
            return Self::container(&["application/gzip", "gz", "tgz"], Container::Gzip);
        }
        if [b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08", b"PK00"]
            .iter()
            .any(|magic| head.starts_with(*magic))
        {
            return Self::zip(extension);
        }
        let found = infer::get(head);
        let text = is_text(head);
        match found {
            Some(found) if found.extension() == "doc" => Self::ole(extension),
            Some(found) if !(text && SHORT.contains(&found.extension())) => {
                let program = PROGRAMS.contains(&found.extension());
                let other = OTHERS.iter().find(|other| **other == found.extension());
                Self {
                    names: vec![found.mime_type(), found.extension()],
                    program,
                    container: other.map_or(Container::None, |other| Container::Other(other)),
                }
            }
            _ if text => Self::text(head, extension, found),
            _ => Self::container(&UNKNOWN, Container::None),
        }
    }

    fn container(names: &[&'static str], container: Container) -> Self {
        Self {
            names: names.to_vec(),
            program: false,
            container,
        }
    }

    fn zip(extension: &str) -> Self {
        match ZIPS.iter().find(|(known, ..)| *known == extension) {
            Some((extension, mime, has)) => {
                Self::container(&[mime, extension], Container::Zip(has))
            }
            None => Self::container(&["application/zip", "zip"], Container::Zip(&[])),
        }
    }

    fn ole(extension: &str) -> Self {
        let mut kind = Self::container(&[OLE], Container::None);
        if let Some((extension, mime)) = OLES.iter().find(|(known, _)| *known == extension) {
            kind.names.splice(0..0, [*mime, *extension]);
            kind.program = *extension == "msi";
        }
        kind
    }

    fn text(head: &[u8], extension: &str, found: Option<infer::Type>) -> Self {
        let mut names = vec!["text/plain", "txt"];
        let script = head
            .strip_prefix(b"#!")
            .map(<[u8]>::trim_ascii_start)
            .is_some_and(|interpreter| interpreter.starts_with(b"/"));
        let by_content = match found.map(|found| found.extension()) {
            // Markup that begins so is nothing else.
            Some("html") => Some("html"),
            Some("xml") if !matches!(extension, "svg" | "xsd" | "xsl" | "html") => Some("xml"),
            _ => None,
        };
        let known = by_content.unwrap_or(extension);
        if let Some((extension, mime)) = TEXTS.iter().find(|(known_as, _)| *known_as == known) {
            names.splice(0..0, [*mime, *extension]);
        }
        if script {
            names.splice(0..0, ["text/x-shellscript", "sh"]);
        }
        Self {
            names,
            program: script,
            container: Container::None,
        }
    }

    /// What it is called where it is refused.
    pub fn shown(&self) -> &str {
        self.names.first().copied().unwrap_or_default()
    }

    /// Whether it is of that kind.
    pub fn is(&self, pattern: &Pattern) -> bool {
        match pattern {
            Pattern::Program => self.program,
            Pattern::Family(family) => self.names.iter().any(|name| name.starts_with(family)),
            Pattern::Name(wanted) => self.names.iter().any(|name| name == wanted),
        }
    }

    /// Whether it is text, or nothing that is known.
    pub fn may_be_text(&self) -> bool {
        self.container == Container::None
            && (self.names.contains(&"text/plain") || self.names == UNKNOWN)
    }
}

/// Why a file of this name cannot be what it is: what is called an archive, and is none, is
/// looked into by programs that find it further behind.
pub fn claims(path: &str, kind: &Kind) -> Option<&'static str> {
    let last = name::last(path);
    let extension = alias(name::extension(&last));
    let fits = |container: Container| kind.container == container;
    match extension {
        "zip" | "war" | "ear" | "kmz" | "docm" | "xlsm" | "pptm" | "odg"
            if !matches!(kind.container, Container::Zip(_)) =>
        {
            Some("The content is not a ZIP archive")
        }
        _ if ZIPS.iter().any(|(known, ..)| *known == extension)
            && !matches!(kind.container, Container::Zip(_)) =>
        {
            Some("The content is not a ZIP archive")
        }
        "tar" if !fits(Container::Tar) => Some("The content is not a tar archive"),
        "gz" | "tgz" if !fits(Container::Gzip) => Some("The content is not gzip data"),
        _ => None,
    }
}

/// Whether a name says that the file is an archive that cannot be looked into.
pub fn claims_other(path: &str) -> bool {
    let last = name::last(path);
    let extension = name::extension(&last);
    OTHERS
        .iter()
        .any(|other| other.eq_ignore_ascii_case(extension))
}

impl Pattern {
    /// Reads one. None if no file could ever be of that kind.
    pub fn parse(text: &str) -> Option<Self> {
        let lower = text.strip_prefix('.').unwrap_or(text).to_ascii_lowercase();
        if lower == PROGRAM {
            return Some(Self::Program);
        }
        if let Some(family) = lower.strip_suffix('*') {
            let families = [
                "application/",
                "audio/",
                "font/",
                "image/",
                "message/",
                "text/",
                "video/",
            ];
            return families
                .contains(&family)
                .then(|| Self::Family(family.to_owned()));
        }
        let name = alias(&lower);
        let name = if name == "z" { "Z" } else { name };
        let ours = UNKNOWN.contains(&name)
            || ["text/plain", "txt", "tgz", OLE].contains(&name)
            || TEXTS.iter().any(|(a, b)| [a, b].contains(&&name))
            || ZIPS.iter().any(|(a, b, _)| [a, b].contains(&&name))
            || OLES.iter().any(|(a, b)| [a, b].contains(&&name));
        let known = ours || infer::is_supported(name) || infer::is_mime_supported(name);
        known.then(|| Self::Name(name.to_owned()))
    }
}

fn alias(name: &str) -> &str {
    let found = ALIASES.iter().find(|(alias, _)| *alias == name);
    found.map_or(name, |(_, name)| name)
}

/// Whether there is nothing in it that text does not have, in whatever encoding of single bytes,
/// or UTF-8.
fn is_text(head: &[u8]) -> bool {
    let control = |byte: &u8| matches!(byte, 0..=8 | 11 | 14..=26 | 28..=31 | 127);
    !head.is_empty() && !head.iter().any(control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(head: &[u8], path: &str, pattern: &str) -> bool {
        Kind::of(head, path).is(&Pattern::parse(pattern).unwrap())
    }

    #[test]
    fn by_content() {
        let ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0";
        for (head, path, patterns) in [
            (
                b"\x89PNG\r\n\x1a\n\0\0\0".as_slice(),
                "/x",
                &["png", "image/png", "image/*"][..],
            ),
            (b"\xff\xd8\xff\xe0\0", "/x.txt", &["jpg", "jpeg", ".JPG"]),
            (b"%PDF-1.7\n", "/x.txt", &["pdf", "application/pdf"]),
            (
                b"a,b\n1,2\n",
                "/x.csv",
                &["csv", "text/csv", "txt", "text/*"],
            ),
            (b"a,b\n1,2\n", "/x", &["txt", "text/plain"]),
            (
                b"{}",
                "/x.JSON",
                &["json", "application/json", "text/plain"],
            ),
            (
                b"<?xml version='1.0'?>",
                "/x.txt",
                &["xml", "application/xml", "txt"],
            ),
            (b"PK\x03\x04\x14\0", "/x", &["zip", "application/zip"]),
            (b"PK\x03\x04\x14\0", "/x.docx", &["docx"]),
            (b"\x1f\x8b\x08", "/x", &["gz", "gzip", "tgz"]),
            (b"7z\xbc\xaf\x27\x1c\0", "/x", &["7z"]),
            (ole, "/x.xls", &["xls", OLE]),
            (ole, "/x.msi", &["msi", "program"]),
            (
                b"\0\x01\x02",
                "/x.csv",
                &["bin", "application/octet-stream"],
            ),
            (b"MZ\x90\0\x03", "/x.txt", &["program", "exe"]),
            (b"#!/bin/sh\n", "/x.txt", &["program", "sh", "txt"]),
        ] {
            for pattern in patterns {
                assert!(
                    is(head, path, pattern),
                    "{path} {pattern} {:?}",
                    Kind::of(head, path)
                );
            }
        }
        for (head, path, pattern) in [
            (b"MZ is a country".as_slice(), "/x", "program"),
            (b"#![allow(x)]", "/x", "program"),
            (b"BM of text", "/x", "image/*"),
            (b"\0\x01", "/x.csv", "csv"),
            (b"\0\x01", "/x.txt", "txt"),
            (b"PK\x03\x04\x14\0", "/x.docx", "zip"),
            (b"%PDF-1.7", "/x.zip", "zip"),
        ] {
            assert!(!is(head, path, pattern), "{path} {pattern}");
        }
    }

    #[test]
    fn nothing_that_comes_can_crash_it() {
        let heads: &[&[u8]] = &[
            b"PK\x03\x04",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            b"\x7fELF",
            b"RIFF",
            b"\0\0\0\x18ftyp",
            b"dey\n",
            b"dex\n",
            b"\xca\xfe\xba\xbe",
            b"\x1a\x45\xdf\xa3",
            b"OggS",
            b"#!",
            b"<",
            b"",
        ];
        for head in heads {
            for length in 0..600 {
                let mut bytes = head.to_vec();
                bytes.resize(head.len() + length, (length * 7) as u8);
                Kind::of(&bytes, "/x");
                bytes.truncate(length);
                Kind::of(&bytes, "/x.doc");
            }
        }
    }

    #[test]
    fn what_its_name_claims() {
        for (head, path, claims_it) in [
            (b"%PDF-1.7".as_slice(), "/x.zip", true),
            (b"%PDF-1.7", "/x.DOCX", true),
            (b"%PDF-1.7", "/x.tar", true),
            (b"%PDF-1.7", "/x.gz.", true),
            (b"%PDF-1.7", "/x.pdf", false),
            (b"PK\x03\x04\x14", "/x.zip", false),
            (b"PK\x03\x04\x14", "/x.pdf", false),
        ] {
            assert_eq!(
                claims(path, &Kind::of(head, path)).is_some(),
                claims_it,
                "{path}"
            );
        }
        assert!(claims_other("/x.iso") && claims_other("/x.tar.Z") && !claims_other("/iso"));
    }

    #[test]
    fn kinds_that_there_are_not() {
        for text in [
            "",
            "exee",
            "image/",
            "images/*",
            "*",
            "image/pgn",
            "application",
            "*/*",
        ] {
            assert_eq!(Pattern::parse(text), None, "{text}");
        }
    }
}
