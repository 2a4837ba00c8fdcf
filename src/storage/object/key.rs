//! The keys of objects.

use std::sync::Arc;

use super::super::{Error, Result};
use crate::ftp::path::VirtualPath;

/// The most bytes of a key, with S3 as with the others.
const LONGEST: usize = 1024;
/// An empty object that stands for the directory that it lies in, where a key cannot end in a slash.
pub(super) const MARKER: &str = ".portcullis-directory";
/// The directory, right behind the storage's prefix, that no path leads to.
const HIDDEN: &str = ".portcullis";

/// The keys of what lies beneath a directory.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// The beginning of all of them: empty, or with a slash at its end.
    prefix: String,
    /// Of the whole storage: the directory that no path leads to.
    hidden: Arc<str>,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        let prefix = match prefix.trim_matches('/') {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        Self {
            hidden: format!("{prefix}{HIDDEN}").into(),
            prefix,
        }
    }

    /// Of a directory among them.
    pub(super) fn beneath(&self, path: &VirtualPath) -> Result<Self> {
        Ok(Self {
            prefix: self.directory(path)?,
            hidden: self.hidden.clone(),
        })
    }

    /// The beginning of the keys of the directory itself.
    pub(super) fn of_root(&self) -> String {
        self.prefix.clone()
    }

    /// The directory that no path leads to.
    pub(super) fn hidden(&self) -> &str {
        &self.hidden
    }

    /// Whether a key is that of this directory, or lies in it.
    pub(super) fn is_hidden(&self, key: &str) -> bool {
        let below = key.strip_prefix(&*self.hidden);
        below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    }

    /// A file's key.
    ///
    /// # Errors
    /// For a name that no object has.
    pub(super) fn file(&self, path: &VirtualPath) -> Result<String> {
        let key = format!("{}{}", self.prefix, path.relative());
        if path.file_name() == Some(MARKER) || self.is_hidden(&key) {
            return Err(Error::NotFound);
        }
        match key.len() > LONGEST || path.is_root() {
            true => Err(Error::NameTooLong),
            // A library that knows such keys only in part would take them for others.
            false if key.chars().any(char::is_control) => Err(Error::Denied),
            false => Ok(key),
        }
    }

    /// The beginning of the keys in a directory.
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
            keys.file(&path("/a\u{85}b")).unwrap_err(),
            Error::Denied
        ));
        let long = format!("/{}", vec!["a".repeat(200); 6].join("/"));
        assert!(matches!(
            keys.file(&path(&long)).unwrap_err(),
            Error::NameTooLong
        ));
        for hidden in ["/.portcullis", "/.portcullis/uploads/a"] {
            let hidden = keys.file(&path(hidden)).unwrap_err();
            assert!(matches!(hidden, Error::NotFound));
        }
        keys.file(&path("/.portcullis-a")).unwrap();
        keys.file(&path("/a/.portcullis/b")).unwrap();
        let marker = format!("/a/{MARKER}");
        assert!(matches!(
            keys.file(&path(&marker)).unwrap_err(),
            Error::NotFound
        ));
    }
}
