//! Names that no path of a client's can have: not UTF-8, or with a control character in them.
//!
//! With `odd-names = "escape"` such a name is shown as [`ESCAPED`] and the name itself, in which each
//! byte that cannot be shown, and `%`, has become `%` and two hexadecimal digits. Names that begin
//! with [`ESCAPED`] are escaped as well, and nothing but an escape begins so: each entry of a directory
//! is shown by one name, which leads to that entry alone.

use std::borrow::Cow;

use crate::{
    ftp::path::{ESCAPED, VirtualPath},
    storage::{Error, Result},
};

/// How a name on the disk is shown, if it is.
pub(super) fn shown(name: &[u8], escape: bool) -> Option<Cow<'_, str>> {
    if matches!(name, b"." | b"..") {
        return None;
    }
    match std::str::from_utf8(name) {
        Ok(text) if !(odd(text) || escape && text.starts_with(ESCAPED)) => {
            Some(Cow::Borrowed(text))
        }
        _ if escape => Some(Cow::Owned(escaped(name))),
        _ => None,
    }
}

/// Whether a path leads through a name that is shown escaped.
pub(super) fn is_escaped(path: &VirtualPath) -> bool {
    path.components().any(|name| name.starts_with(ESCAPED))
}

/// The path beneath the home, in the names on the disk.
pub(super) fn on_disk(path: &VirtualPath, escape: bool) -> Result<Cow<'_, [u8]>> {
    if !escape || !is_escaped(path) {
        return Ok(Cow::Borrowed(path.relative().as_bytes()));
    }
    let mut bytes = Vec::with_capacity(path.relative().len());
    for name in path.components() {
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        match name.starts_with(ESCAPED) {
            true => bytes.extend(unescaped(name).ok_or(Error::NotFound)?),
            false => bytes.extend_from_slice(name.as_bytes()),
        }
    }
    Ok(Cow::Owned(bytes))
}

fn odd(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_control())
}

fn escaped(name: &[u8]) -> String {
    let mut text = ESCAPED.to_owned();
    let escape = |text: &mut String, byte: u8| *text += &format!("%{byte:02X}");
    for chunk in name.utf8_chunks() {
        for character in chunk.valid().chars() {
            match u8::try_from(character) {
                Ok(byte) if byte.is_ascii_control() || byte == b'%' => escape(&mut text, byte),
                _ => text.push(character),
            }
        }
        for byte in chunk.invalid() {
            escape(&mut text, *byte);
        }
    }
    text
}

/// The name that is shown so; none if nothing is.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut rest = text.strip_prefix(ESCAPED)?.bytes();
    let mut name = Vec::with_capacity(rest.len());
    while let Some(byte) = rest.next() {
        name.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    // Neither is part of a name, so no escape may bring it in.
    if name.contains(&0) || name.contains(&b'/') {
        return None;
    }
    // Only the one text that is shown leads there.
    (shown(&name, true)? == text).then_some(name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_and_found_again() {
        for (name, text) in [
            (&b"plain"[..], "plain"),
            (b"100%", "100%"),
            ("gr\u{f6}\u{df}e".as_bytes(), "gr\u{f6}\u{df}e"),
            (b"caf\xe9.txt", "odd-name%caf%E9.txt"),
            (b"\xff\xfe", "odd-name%%FF%FE"),
            (b"a\nb%", "odd-name%a%0Ab%25"),
            (b"\x7f", "odd-name%%7F"),
            ("\u{f6}\u{1}".as_bytes(), "odd-name%\u{f6}%01"),
            (b"odd-name%", "odd-name%odd-name%25"),
            (b"odd-name%caf%E9.txt", "odd-name%odd-name%25caf%25E9.txt"),
            (b"odd-name", "odd-name"),
        ] {
            assert_eq!(shown(name, true).unwrap(), text);
            let path = VirtualPath::root().join(text).unwrap();
            assert_eq!(&*on_disk(&path, true).unwrap(), name, "{text}");
            let below = path.join("b").unwrap();
            assert_eq!(&*on_disk(&below, true).unwrap(), [name, b"/b"].concat());
            let plain = std::str::from_utf8(name).is_ok_and(|text| !odd(text));
            assert_eq!(shown(name, false).is_some(), plain);
        }
        assert_eq!(shown(b".", true), None);
        assert_eq!(shown(b"..", true), None);
        let long = shown(&[0xff; 255], true).unwrap().into_owned();
        assert!(VirtualPath::root().join(&long).is_ok());
    }

    #[test]
    fn nothing_but_what_is_shown_leads_anywhere() {
        for text in [
            "odd-name%",
            "odd-name%plain",
            "odd-name%100%25",
            "odd-name%%e9",
            "odd-name%%41%E9",
            "odd-name%%E9%",
            "odd-name%%E",
            "odd-name%%E\u{e9}",
            "odd-name%%+9",
            "odd-name%%00",
            "odd-name%%2E",
            "odd-name%..",
            "odd-name%%2E%2E",
            "odd-name%..%2Fetc%FF",
            "odd-name%%C3%A9",
            "odd-name%odd-name%",
        ] {
            let path = VirtualPath::root().join(text).unwrap();
            assert!(
                matches!(on_disk(&path, true), Err(Error::NotFound)),
                "{text}"
            );
            // Where nothing is escaped, it is a name like any other.
            assert_eq!(&*on_disk(&path, false).unwrap(), text.as_bytes());
        }
    }

    #[test]
    fn no_two_names_look_the_same() {
        let alphabet = [b'%', b'E', b'9', 0xe9, b'\n', 0xc3, 0xa9, b'a'];
        let mut seen = std::collections::HashMap::new();
        for code in 0..alphabet.len().pow(4) {
            let letters = (0..4).map(|at| alphabet.get(code >> (3 * at) & 7).copied().unwrap());
            let plain: Vec<u8> = letters.collect();
            for name in [plain.clone(), [ESCAPED.as_bytes(), &plain].concat()] {
                let text = shown(&name, true).unwrap().into_owned();
                let path = VirtualPath::root().join(&text).unwrap();
                assert_eq!(&*on_disk(&path, true).unwrap(), name);
                assert_eq!(seen.insert(text, name.clone()), None, "{name:?}");
            }
        }
    }
}
