//! What a file is by its extension, and whether its first bytes fit.

use memchr::memmem;

/// How many of a file's first bytes [`refuse`] looks at.
pub const HEAD: usize = 1024;

/// Whether [`refuse`] may refuse anything with this extension.
pub fn is_known(extension: &str) -> bool {
    magic(extension).is_some() || is_document(extension)
}

/// Why a file with this extension (in lower case) must not begin with these bytes, if so. An
/// extension that is not known here may hold anything, and an empty file is as good as any.
pub fn refuse(extension: &str, head: &[u8]) -> Option<String> {
    if head.is_empty() {
        return None;
    }
    if let Some((name, fits)) = magic(extension) {
        return (!fits(head)).then(|| format!("The content is not {name}"));
    }
    if is_document(extension) {
        return program(head).map(|program| format!("The content is {program}, not .{extension}"));
    }
    None
}

type Fits = fn(&[u8]) -> bool;

/// What files of that extension are called, and how they begin.
fn magic(extension: &str) -> Option<(&'static str, Fits)> {
    Some(match extension {
        "png" | "apng" => ("a PNG image", |head| head.starts_with(b"\x89PNG\r\n\x1a\n")),
        "jpg" | "jpeg" | "jpe" => ("a JPEG image", |head| head.starts_with(b"\xff\xd8\xff")),
        "gif" => ("a GIF image", |head| {
            head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a")
        }),
        "webp" => ("a WebP image", |head| riff(head, b"WEBP")),
        "bmp" => ("a BMP image", |head| head.starts_with(b"BM")),
        "tif" | "tiff" => ("a TIFF image", |head| {
            let orders = [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"];
            orders.iter().any(|order| head.starts_with(*order))
        }),
        "ico" => ("an icon", |head| head.starts_with(b"\0\0\x01\0")),
        "psd" => ("a Photoshop image", |head| head.starts_with(b"8BPS")),
        "heic" | "heif" | "avif" => ("an HEIF or AVIF image", |head| box_of(head, &[b"ftyp"])),
        // Readers take it when it begins within the first KiB.
        "pdf" => ("a PDF document", |head| {
            memmem::find(head, b"%PDF-").is_some()
        }),
        "docx" | "docm" | "xlsx" | "xlsm" | "pptx" | "pptm" => ("an Office document", zip),
        "odt" | "ods" | "odp" | "odg" => ("an OpenDocument file", zip),
        "epub" => ("an EPUB book", zip),
        "zip" => ("a ZIP archive", zip),
        "jar" | "war" | "ear" | "apk" => ("a Java archive", zip),
        "7z" => ("a 7-Zip archive", |head| {
            head.starts_with(b"7z\xbc\xaf\x27\x1c")
        }),
        "rar" => ("a RAR archive", |head| head.starts_with(b"Rar!\x1a\x07")),
        "gz" | "tgz" => ("gzip data", |head| head.starts_with(b"\x1f\x8b")),
        "bz2" | "tbz2" => ("bzip2 data", |head| head.starts_with(b"BZh")),
        "xz" | "txz" => ("xz data", |head| head.starts_with(b"\xfd7zXZ\0")),
        "zst" => ("Zstandard data", |head| {
            head.starts_with(b"\x28\xb5\x2f\xfd")
        }),
        "deb" => ("a Debian package", |head| head.starts_with(b"!<arch>\n")),
        "rpm" => ("an RPM package", |head| {
            head.starts_with(b"\xed\xab\xee\xdb")
        }),
        "exe" | "dll" | "sys" | "scr" => ("a Windows program", |head| head.starts_with(b"MZ")),
        "elf" | "so" | "ko" => ("an ELF program", |head| head.starts_with(b"\x7fELF")),
        "dylib" => ("a Mach-O program", mach_o),
        "wasm" => ("a WebAssembly module", |head| head.starts_with(b"\0asm")),
        "class" => ("a Java class", |head| head.starts_with(b"\xca\xfe\xba\xbe")),
        "mp3" => ("an MP3 file", |head| head.starts_with(b"ID3") || mpeg(head)),
        "wav" => ("a WAV file", |head| riff(head, b"WAVE")),
        "flac" => ("a FLAC file", |head| {
            head.starts_with(b"fLaC") || head.starts_with(b"ID3")
        }),
        "ogg" | "oga" | "ogv" | "opus" => ("an Ogg file", |head| head.starts_with(b"OggS")),
        "avi" => ("an AVI video", |head| riff(head, b"AVI ")),
        "mkv" | "webm" => ("a Matroska video", |head| {
            head.starts_with(b"\x1a\x45\xdf\xa3")
        }),
        "mp4" | "m4a" | "m4v" | "3gp" => ("an MP4 file", |head| box_of(head, &[b"ftyp"])),
        "mov" => ("a QuickTime video", |head| {
            box_of(
                head,
                &[b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"],
            )
        }),
        "sqlite" | "sqlite3" => ("an SQLite database", |head| {
            head.starts_with(b"SQLite format 3\0")
        }),
        "woff" => ("a WOFF font", |head| head.starts_with(b"wOFF")),
        "woff2" => ("a WOFF2 font", |head| head.starts_with(b"wOF2")),
        _ => return None,
    })
}

/// Text, of which anything can be said but that it is a program.
const TEXTS: &[&str] = &[
    "txt",
    "text",
    "csv",
    "tsv",
    "json",
    "jsonl",
    "ndjson",
    "xml",
    "xsd",
    "xsl",
    "html",
    "htm",
    "xhtml",
    "css",
    "md",
    "rst",
    "adoc",
    "tex",
    "bib",
    "log",
    "ini",
    "cfg",
    "conf",
    "toml",
    "yaml",
    "yml",
    "properties",
    "sql",
    "srt",
    "vtt",
    "eml",
    "ics",
    "vcf",
    "svg",
    "geojson",
    "gpx",
    "kml",
    "edi",
    "diff",
    "patch",
    "pem",
    "crt",
    "asc",
    "sha256",
    "md5",
];

/// Documents and media whose beginnings differ: by habit some of these hold HTML or text.
const DOCUMENTS: &[&str] = &[
    "doc", "xls", "ppt", "rtf", "msg", "pub", "vsd", "mpp", "ps", "eps", "tar", "mpg", "mpeg",
    "wmv", "wma", "aac", "mid", "midi", "ttf", "otf", "dwg", "dxf", "raw", "cr2", "nef", "dng",
];

fn is_document(extension: &str) -> bool {
    TEXTS.contains(&extension) || DOCUMENTS.contains(&extension)
}

/// What kind of program it is, if it is one.
fn program(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(b"\x7fELF") {
        Some("an ELF program")
    } else if head.starts_with(b"MZ") && head.iter().take(64).any(|byte| *byte == 0) {
        // Text may begin with these two letters, but has no zero bytes.
        Some("a Windows program")
    } else if mach_o(head) {
        Some("a Mach-O program or Java class")
    } else if script(head) {
        Some("a script")
    } else {
        None
    }
}

fn mach_o(head: &[u8]) -> bool {
    let magics = [
        b"\xfe\xed\xfa\xce",
        b"\xfe\xed\xfa\xcf",
        b"\xce\xfa\xed\xfe",
        b"\xcf\xfa\xed\xfe",
        b"\xca\xfe\xba\xbe",
        b"\xca\xfe\xba\xbf",
    ];
    magics.iter().any(|magic| head.starts_with(*magic))
}

/// "#!/bin/sh", and not Rust's "#![forbid(unsafe_code)]".
fn script(head: &[u8]) -> bool {
    let interpreter = head.strip_prefix(b"#!").map(<[u8]>::trim_ascii_start);
    interpreter.is_some_and(|interpreter| interpreter.starts_with(b"/"))
}

/// A file within it, or none at all.
fn zip(head: &[u8]) -> bool {
    [b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"]
        .iter()
        .any(|magic| head.starts_with(*magic))
}

fn riff(head: &[u8], form: &[u8; 4]) -> bool {
    head.starts_with(b"RIFF") && head.get(8..12) == Some(form)
}

fn box_of(head: &[u8], kinds: &[&[u8; 4]]) -> bool {
    let kind = head.get(4..8);
    kinds.iter().any(|one| kind == Some(one.as_slice()))
}

/// Eleven bits that are set, and a layer that is not the reserved one.
fn mpeg(head: &[u8]) -> bool {
    matches!(head, [0xff, second, ..] if second & 0xe0 == 0xe0 && second & 0x06 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PE: &[u8] = b"MZ\x90\0\x03\0\0\0\x04";

    #[test]
    fn takes_what_fits() {
        for (extension, head) in [
            ("png", b"\x89PNG\r\n\x1a\n\0\0".as_slice()),
            ("jpg", b"\xff\xd8\xff\xe0"),
            ("webp", b"RIFF\x10\0\0\0WEBPVP8 "),
            ("pdf", b"%PDF-1.7"),
            ("pdf", b"\xef\xbb\xbf\r\n%PDF-1.4"),
            ("docx", b"PK\x03\x04\x14"),
            ("zip", b"PK\x05\x06\0\0"),
            ("mp3", b"\xff\xfb\x90"),
            ("mp3", b"ID3\x04"),
            ("mp4", b"\0\0\0\x18ftypmp42"),
            ("wav", b"RIFF\x24\0\0\0WAVEfmt "),
            ("exe", PE),
            ("so", b"\x7fELF\x02"),
            ("txt", b"MZ is a country code"),
            ("txt", b"#!"),
            ("md", b"#![allow(x)]"),
            ("sh", b"#!/bin/sh"),
            ("py", b"#!/usr/bin/python3"),
            ("bin", PE),
            ("", PE),
            ("png", b""),
        ] {
            assert_eq!(refuse(extension, head), None, "{extension}");
        }
    }

    #[test]
    fn refuses_what_does_not() {
        for (extension, head, reason) in [
            (
                "png",
                b"\xff\xd8\xff\xe0".as_slice(),
                "The content is not a PNG image",
            ),
            ("png", b"\x89PN", "The content is not a PNG image"),
            ("pdf", PE, "The content is not a PDF document"),
            (
                "webp",
                b"RIFF\x10\0\0\0WAVE",
                "The content is not a WebP image",
            ),
            ("mp4", b"ftyp", "The content is not an MP4 file"),
            ("exe", b"#!/bin/sh", "The content is not a Windows program"),
            ("txt", PE, "The content is a Windows program, not .txt"),
            (
                "csv",
                b"\x7fELF\x02",
                "The content is an ELF program, not .csv",
            ),
            ("doc", PE, "The content is a Windows program, not .doc"),
            (
                "json",
                b"#! /bin/sh\n",
                "The content is a script, not .json",
            ),
            (
                "log",
                b"\xcf\xfa\xed\xfe",
                "The content is a Mach-O program or Java class, not .log",
            ),
        ] {
            assert_eq!(refuse(extension, head).as_deref(), Some(reason));
        }
    }

    /// No beginning, however short, is a panic.
    #[test]
    fn takes_any_bytes() {
        for length in 0..300 {
            for fill in [0, b'M', b'P', 0xff] {
                let head = vec![fill; length];
                for extension in [
                    "png", "webp", "mp3", "mp4", "mov", "pdf", "txt", "docx", "wav", "",
                ] {
                    let _ = refuse(extension, &head);
                }
            }
        }
    }
}
