//! The keys of objects.

use super::super::{Error, Result};
use crate::ftp::path::VirtualPath;

/// The most bytes of a key, with S3 as with the others.
const LONGEST: usize = 1024;
/// An empty object that stands for the directory that it lies in, where a key cannot end in a slash.
pub(super) const MARKER: &str = ".portcullis-directory";

/// The keys of what lies beneath a directory.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// What all of them begin with: empty, or with a slash at its end.
    prefix: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        let prefix = prefix.trim_matches('/');
        Self {
            prefix: match prefix.is_empty() {
                true => String::new(),
                false => format!("{prefix}/"),
            },
        }
    }

    /// Of a directory among them.
    pub(super) fn beneath(&self, path: &VirtualPath) -> Result<Self> {
        Ok(Self {
            prefix: self.directory(path)?,
        })
    }

    /// What the keys of the directory itself begin with.
    pub(super) fn of_root(&self) -> String {
        self.prefix.clone()
    }

    /// A file's key.
    ///
    /// # Errors
    /// For a name that no object has.
    pub(super) fn file(&self, path: &VirtualPath) -> Result<String> {
        let key = format!("{}{}", self.prefix, path.relative());
        if path.file_name() == Some(MARKER) {
            return Err(Error::Reserved);
        }
        match key.len() > LONGEST || path.is_root() {
            true => Err(Error::NameTooLong),
            // A library that knows such keys only in part would take them for others.
            false if key.chars().any(char::is_control) => Err(Error::Denied),
            false => Ok(key),
        }
    }

    /// What the keys in a directory begin with.
    ///
    /// # Errors
    /// As with files.
    pub(super) fn directory(&self, path: &VirtualPath) -> Result<String> {
        match path.is_root() {
            true => Ok(self.prefix.clone()),
            false => Ok(format!("{}/", self.file(path)?)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn path(path: &str) -> VirtualPath {
        VirtualPath::parse(path, &VirtualPath::root()).unwrap()
    }

    #[test]
    fn keys_are_paths_behind_the_prefix() {
        for (prefix, file, directory) in [
            ("", "a/b c", "a/b c/"),
            ("ftp", "ftp/a/b c", "ftp/a/b c/"),
            ("/x/y/", "x/y/a/b c", "x/y/a/b c/"),
        ] {
            let keys = Keys::new(prefix);
            assert_eq!(keys.file(&path("/a/b c")).unwrap(), file);
            assert_eq!(keys.directory(&path("/a/b c")).unwrap(), directory);
            let home = keys.beneath(&path("/a")).unwrap();
            assert_eq!(home.file(&path("/b c")).unwrap(), file);
            assert_eq!(
                home.directory(&VirtualPath::root()).unwrap(),
                home.of_root()
            );
        }
    }

    #[test]
    fn what_no_object_can_be_called() {
        let keys = Keys::new("ftp");
        assert!(matches!(
            keys.file(&path("/a\tb")).unwrap_err(),
            Error::Denied
        ));
        let long = format!("/{}", "a".repeat(LONGEST));
        assert!(matches!(
            keys.file(&path(&long)).unwrap_err(),
            Error::NameTooLong
        ));
        let marker = format!("/a/{MARKER}");
        assert!(matches!(
            keys.file(&path(&marker)).unwrap_err(),
            Error::Reserved
        ));
    }
}
