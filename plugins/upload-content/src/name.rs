//! Names of entries in archives: which of them would be dangerous to unpack.

/// Longer names are none.
pub const LONGEST: usize = 4096;

/// Why an entry must not have this name, if so.
pub fn unsafe_because(name: &[u8]) -> Option<&'static str> {
    let inside = |part: &[u8]| part != b"..";
    if name.is_empty() {
        Some("An entry has no name")
    } else if name.len() > LONGEST {
        Some("The name of an entry is too long")
    } else if name.iter().any(|byte| *byte < 0x20 || *byte == 0x7f) {
        Some("The name of an entry has control characters")
    } else if name.contains(&b'\\') {
        Some("The name of an entry has a backslash")
    } else if name.starts_with(b"/") {
        Some("The name of an entry begins with /")
    } else if matches!(name, [letter, b':', ..] if letter.is_ascii_alphabetic()) {
        Some("The name of an entry begins with a drive")
    } else if !name.split(|byte| *byte == b'/').all(inside) {
        Some("The name of an entry has ..")
    } else {
        None
    }
}

/// What it is when unpacked: "./a//b/" is "a/b".
pub fn normal(name: &[u8]) -> Vec<u8> {
    let parts = name.split(|byte| *byte == b'/');
    let parts = parts.filter(|part| !part.is_empty() && *part != b".");
    parts.collect::<Vec<_>>().join(&b'/')
}

/// Whether a symbolic link with this name (as [`normal`] makes it) leads out of the archive. Only
/// ".." at the beginning says for certain where it leads: behind a link it means something else.
pub fn leads_outside(name: &[u8], target: &[u8]) -> bool {
    if target.is_empty()
        || target.len() > LONGEST
        || target.starts_with(b"/")
        || target
            .iter()
            .any(|byte| matches!(byte, 0..0x20 | 0x7f | b'\\'))
        || matches!(target, [letter, b':', ..] if letter.is_ascii_alphabetic())
    {
        return true;
    }
    let depth = name.split(|byte| *byte == b'/').count().saturating_sub(1);
    let parts = target.split(|byte| *byte == b'/');
    let mut parts = parts.filter(|part| !part.is_empty() && *part != b".");
    let up = parts.by_ref().take_while(|part| *part == b"..").count();
    up > depth || parts.any(|part| part == b"..")
}

/// For people: without what a terminal would take for something else, and not too long.
pub fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let mut shown: String = text
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .take(100)
        .collect();
    if text.chars().nth(100).is_some() {
        shown.push('…');
    }
    shown
}

/// The last component, in lower case, and without the dots and spaces at its end, that Windows
/// does not see.
pub fn last(path: &str) -> String {
    let path = path.trim_end_matches('/');
    let name = path.rsplit('/').next().unwrap_or(path);
    name.trim_end_matches(['.', ' ']).to_lowercase()
}

/// The last component.
pub fn last_as_it_is(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What follows the last dot of what [`last`] gives.
pub fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dangerous_names() {
        for name in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../x",
            "a/../../x",
            "a/..",
            "C:x",
            "c:/x",
            "C:\\x",
            "a\\b",
            "\\\\server\\share",
            "a\0b",
            "a\nb",
            "..\\x",
            "\x7f",
        ] {
            assert!(unsafe_because(name.as_bytes()).is_some(), "{name:?}");
        }
        assert!(unsafe_because(&[b'a'; 4097]).is_some());
        for name in [
            "a", "a/b", "...", "a..b", "./a", "a//b", "ä", "ab:c", "dir/", " ",
        ] {
            assert!(unsafe_because(name.as_bytes()).is_none(), "{name:?}");
        }
        assert!(unsafe_because(b"\xff\x80.txt").is_none());
    }

    #[test]
    fn names_that_are_one() {
        for name in ["a/b", "./a/b", "a//b", "a/./b/", ".//a/b"] {
            assert_eq!(normal(name.as_bytes()), b"a/b");
        }
        assert_eq!(normal(b"./"), b"");
    }

    #[test]
    fn links_that_lead_outside() {
        for (name, target) in [
            ("a", ""),
            ("a", "/"),
            ("a", "/etc"),
            ("a", ".."),
            ("a", "../x"),
            ("d/a", "../.."),
            ("d/a", ".././../x"),
            ("a", "b/.."),
            ("d/a", "../b/.."),
            ("a", "C:x"),
            ("a", "b\\c"),
            ("a", "b\0"),
        ] {
            assert!(
                leads_outside(name.as_bytes(), target.as_bytes()),
                "{name} {target}"
            );
        }
        for (name, target) in [
            ("a", "b"),
            ("a", "./b/c"),
            ("d/a", "../b"),
            ("d/e/a", "../../b"),
            ("d/a", ".."),
        ] {
            assert!(
                !leads_outside(name.as_bytes(), target.as_bytes()),
                "{name} {target}"
            );
        }
    }

    #[test]
    fn for_people() {
        assert_eq!(shown(b"a\x1b[2J\xff"), "a\u{fffd}[2J\u{fffd}");
        assert_eq!(shown(&[b'a'; 200]).chars().count(), 101);
        assert_eq!(last("/a/B.TXT. ."), "b.txt");
        assert_eq!(last("a/dir/"), "dir");
        assert_eq!(extension("x.tar.gz"), "gz");
        assert_eq!(extension("x"), "");
    }
}
