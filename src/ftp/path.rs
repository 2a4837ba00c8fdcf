//! Paths as a client names them, normalised once.

use std::fmt;

use super::reply::Reply;
use super::text::is_control;

/// The longest path in bytes: the `PATH_MAX` of Linux.
const LONGEST_PATH: usize = 4096;
/// The longest name in bytes: the `NAME_MAX` of nearly every file system.
const LONGEST_NAME: usize = 255;

/// The beginning of names that stand for names which no path can have, where a storage shows those.
pub const ESCAPED: &str = "odd-name%";

/// An absolute path in the tree that a client sees: `/` or `/a/b`.
///
/// It holds no empty, `.` or `..` component and no control character. Storage accepts nothing
/// else, so that policy and storage can never read the same text in two ways.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct VirtualPath(String);

impl VirtualPath {
    /// The top of the tree.
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// Reads the argument of a command, relative to the working directory if it has no slash in
    /// front. `..` above the root stays at the root.
    pub fn parse(argument: &str, cwd: &VirtualPath) -> Result<Self, PathError> {
        if argument.is_empty() {
            return Err(PathError::Empty);
        }
        if argument.bytes().any(is_control) {
            return Err(PathError::ControlCharacter);
        }
        let mut path = if argument.starts_with('/') {
            String::new()
        } else {
            cwd.open_ended()
        };
        for component in argument.split('/') {
            match component {
                "" | "." => {}
                ".." => path.truncate(path.rfind('/').unwrap_or(0)),
                name if name.len() > longest(name) => return Err(PathError::NameTooLong),
                name => {
                    path.push('/');
                    path.push_str(name);
                }
            }
        }
        Self::closed(path)
    }

    /// The entry of that name in this directory.
    pub fn join(&self, name: &str) -> Result<Self, PathError> {
        let mut path = String::with_capacity(self.0.len() + 1 + name.len());
        self.push_entry(&mut path, name)?;
        Ok(Self(path))
    }

    /// Appends the path of the entry of that name to a text, or nothing where there can be none.
    ///
    /// # Errors
    /// Those of [`join`](Self::join).
    pub fn push_entry(&self, out: &mut String, name: &str) -> Result<(), PathError> {
        let directory = match self.is_root() {
            true => "",
            false => &self.0,
        };
        if name.bytes().any(is_control) {
            return Err(PathError::ControlCharacter);
        }
        match name {
            "" => Err(PathError::Empty),
            "." | ".." => Err(PathError::NotOneName),
            _ if name.contains('/') => Err(PathError::NotOneName),
            _ if name.len() > longest(name) => Err(PathError::NameTooLong),
            _ if directory.len() + 1 + name.len() > LONGEST_PATH => Err(PathError::PathTooLong),
            _ => {
                out.push_str(directory);
                out.push('/');
                out.push_str(name);
                Ok(())
            }
        }
    }

    /// The directory that holds it; the root is in none.
    pub fn parent(&self) -> Option<Self> {
        let (parent, _) = self.split()?;
        Some(if parent.is_empty() {
            Self::root()
        } else {
            Self(parent.to_owned())
        })
    }

    /// The last component; the root has none.
    pub fn file_name(&self) -> Option<&str> {
        self.split().map(|(_, name)| name)
    }

    /// The names from the root down.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|component| !component.is_empty())
    }

    /// Whether it is `other` or lies below it: `/home/ab` does not start with `/home/a`.
    pub fn starts_with(&self, other: &Self) -> bool {
        let below = self.0.strip_prefix(other.0.as_str());
        other.is_root() || below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The whole path, with its leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `/`.
    pub fn is_root(&self) -> bool {
        self.0 == "/"
    }

    /// The path without its leading slash, and `.` for the root: what `openat` takes.
    pub fn relative(&self) -> &str {
        match self.0.strip_prefix('/') {
            None | Some("") => ".",
            Some(relative) => relative,
        }
    }

    /// The text that a slash and a name can be appended to.
    fn open_ended(&self) -> String {
        if self.is_root() {
            String::new()
        } else {
            self.0.clone()
        }
    }

    fn closed(mut path: String) -> Result<Self, PathError> {
        if path.is_empty() {
            path.push('/');
        }
        if path.len() > LONGEST_PATH {
            Err(PathError::PathTooLong)
        } else {
            Ok(Self(path))
        }
    }

    fn split(&self) -> Option<(&str, &str)> {
        self.0.rsplit_once('/').filter(|(_, name)| !name.is_empty())
    }
}

/// An escape may be longer than the name that it stands for; on the disk, the limit holds again.
fn longest(name: &str) -> usize {
    match name.starts_with(ESCAPED) {
        true => ESCAPED.len() + 3 * LONGEST_NAME,
        false => LONGEST_NAME,
    }
}

impl Default for VirtualPath {
    fn default() -> Self {
        Self::root()
    }
}

impl fmt::Display for VirtualPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Why a text is no path. Nothing of the text is repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathError {
    /// There is no text.
    Empty,
    /// It holds NUL, CR, LF or another control character.
    ControlCharacter,
    /// One name has more than 255 bytes.
    NameTooLong,
    /// The whole has more than 4096 bytes.
    PathTooLong,
    /// One name was wanted, not `.`, `..` or several.
    NotOneName,
}

impl PathError {
    /// 501, which RFC 959 §5.4 lists for every command that takes a path.
    pub fn reply(&self) -> Reply {
        Reply::new(501, self.to_string())
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Empty => "The path is empty",
            Self::ControlCharacter => "The path holds a control character",
            Self::NameTooLong => "A name in the path is longer than 255 bytes",
            Self::PathTooLong => "The path is longer than 4096 bytes",
            Self::NotOneName => "Not the name of one file or directory",
        })
    }
}

impl std::error::Error for PathError {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn absolute(text: &str) -> VirtualPath {
        VirtualPath::parse(text, &VirtualPath::root()).unwrap()
    }

    #[test]
    fn arguments_are_normalised() {
        for (cwd, argument, expected) in [
            ("/", "a", "/a"),
            ("/", ".", "/"),
            ("/", "..", "/"),
            ("/", "/", "/"),
            ("/", "//a///b//", "/a/b"),
            ("/x/y", ".", "/x/y"),
            ("/x/y", "..", "/x"),
            ("/x/y", "../..", "/"),
            ("/x/y", "../../../../z", "/z"),
            ("/x/y", "/z", "/z"),
            ("/x/y", "./a/./b/../c", "/x/y/a/c"),
            ("/x/y", "..//./", "/x"),
            ("/x", "a/../../..//../etc/passwd", "/etc/passwd"),
            ("/x", "...", "/x/..."),
            ("/x", "..a", "/x/..a"),
            ("/x", "a..", "/x/a.."),
            ("/x", " ", "/x/ "),
            ("/x", " a ", "/x/ a "),
            ("/x", "~", "/x/~"),
            ("/x", r"..\..", r"/x/..\.."),
            ("/x", "%2e%2e", "/x/%2e%2e"),
            ("/x", "ünï/文", "/x/ünï/文"),
            ("/x", "*/../*/..", "/x"),
        ] {
            let path = VirtualPath::parse(argument, &absolute(cwd)).unwrap();
            assert_eq!(path.as_str(), expected, "{argument:?} in {cwd}");
            // The result is in normal form, and goes in unchanged.
            assert_eq!(
                VirtualPath::parse(path.as_str(), &absolute("/other")).unwrap(),
                path
            );
            assert!(
                path.components()
                    .all(|name| !matches!(name, "" | "." | ".."))
            );
        }
    }

    #[test]
    fn control_characters_are_refused() {
        for byte in (0..0x20).chain([0x7f]) {
            let text = format!("a{}b", char::from(byte));
            let root = VirtualPath::root();
            assert_eq!(
                VirtualPath::parse(&text, &root),
                Err(PathError::ControlCharacter)
            );
            assert_eq!(root.join(&text), Err(PathError::ControlCharacter));
            assert!(
                !PathError::ControlCharacter
                    .to_string()
                    .contains(char::from(byte))
            );
        }
    }

    #[test]
    fn lengths_are_limited() {
        let root = VirtualPath::root();
        let parse = |text: &str| VirtualPath::parse(text, &root);
        let name = "n".repeat(255);
        assert!(parse(&name).is_ok());
        assert_eq!(parse(&format!("{name}n")), Err(PathError::NameTooLong));
        assert_eq!(root.join(&format!("{name}n")), Err(PathError::NameTooLong));
        let longest = format!("/{name}").repeat(16);
        assert_eq!(parse(&longest).unwrap().as_str().len(), 4096);
        assert_eq!(parse(&format!("{longest}/n")), Err(PathError::PathTooLong));
        assert_eq!(absolute(&longest).join("n"), Err(PathError::PathTooLong));
        assert_eq!(parse(&"a/../".repeat(5000)), Ok(VirtualPath::root()));
        assert_eq!(parse(""), Err(PathError::Empty));
    }

    #[test]
    fn one_name_joins() {
        assert_eq!(VirtualPath::root().join("a").unwrap().as_str(), "/a");
        assert_eq!(absolute("/a").join("b c ").unwrap().as_str(), "/a/b c ");
        for (name, error) in [
            ("", PathError::Empty),
            (".", PathError::NotOneName),
            ("..", PathError::NotOneName),
            ("/", PathError::NotOneName),
            ("a/b", PathError::NotOneName),
            ("../x", PathError::NotOneName),
        ] {
            assert_eq!(absolute("/a").join(name), Err(error), "{name:?}");
        }
    }

    #[test]
    fn parts() {
        for (path, parent, name, relative, count) in [
            ("/", None, None, ".", 0),
            ("/a", Some("/"), Some("a"), "a", 1),
            ("/a/b.c", Some("/a"), Some("b.c"), "a/b.c", 2),
        ] {
            let path = absolute(path);
            assert_eq!(path.parent().as_ref().map(VirtualPath::as_str), parent);
            assert_eq!(path.file_name(), name);
            assert_eq!(path.relative(), relative);
            assert_eq!(path.components().count(), count);
            assert_eq!(path.is_root(), count == 0);
            assert_eq!(path.to_string(), path.as_str());
        }
    }

    #[test]
    fn regression_prefixes_are_compared_by_component() {
        for (path, prefix, expected) in [
            ("/home/a", "/home/a", true),
            ("/home/a/b", "/home/a", true),
            ("/home/ab", "/home/a", false),
            ("/home", "/home/a", false),
            ("/home/a", "/", true),
            ("/", "/", true),
            ("/", "/a", false),
        ] {
            assert_eq!(
                absolute(path).starts_with(&absolute(prefix)),
                expected,
                "{path} {prefix}"
            );
        }
    }

    #[test]
    fn regression_a_user_name_in_a_home_cannot_climb() {
        let home = VirtualPath::parse("../x", &absolute("/home")).unwrap();
        assert_eq!(home.as_str(), "/x");
        assert!(absolute("/home").join("../x").is_err());
    }
}
