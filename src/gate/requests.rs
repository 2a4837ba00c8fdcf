//! Questions about paths that are asked at once.

use super::path_policy::{Operation, Request};
use crate::ftp::path::{PathError, VirtualPath};

static SEE: Operation = Operation::See;

/// Questions that a guard is asked at once.
#[derive(Debug)]
pub struct Requests(Batch);

#[derive(Debug)]
enum Batch {
    Each(Vec<Request>),
    Entries(Entries),
}

/// Whether entries of one directory may be seen. Their paths lie in one text, as a listing has thousands
/// of them.
#[derive(Debug)]
pub struct Entries {
    directory: VirtualPath,
    first: Option<VirtualPath>,
    text: String,
    /// Where each path ends, and the next one begins.
    ends: Vec<usize>,
}

impl Entries {
    /// None yet; there is room for so many names.
    #[must_use]
    pub fn of(directory: &VirtualPath, names: usize) -> Self {
        // Longer names make it grow.
        let length = directory.as_str().len() + 32;
        Self {
            directory: directory.clone(),
            first: None,
            text: String::with_capacity(names * length),
            ends: Vec::with_capacity(names),
        }
    }

    /// Asks about one more.
    ///
    /// # Errors
    /// When no path has that name; nothing is asked then.
    pub fn push(&mut self, name: &str) -> Result<(), PathError> {
        self.directory.push_entry(&mut self.text, name)?;
        if self.first.is_none() {
            self.first = Some(self.directory.join(name)?);
        }
        self.ends.push(self.text.len());
        Ok(())
    }

    fn path(&self, index: usize) -> Option<&str> {
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.text.get(start..*self.ends.get(index)?)
    }
}

impl Requests {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Batch::Each(requests) => requests.len(),
            Batch::Entries(entries) => entries.ends.len(),
        }
    }

    /// Whether nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The operations, and the paths within the user's own tree.
    pub fn iter(&self) -> impl Iterator<Item = (&Operation, &str)> {
        (0..self.len()).filter_map(|index| match &self.0 {
            Batch::Each(requests) => {
                let Request { operation, path } = requests.get(index)?;
                Some((operation, path.as_str()))
            }
            Batch::Entries(entries) => Some((&SEE, entries.path(index)?)),
        })
    }

    /// The first one.
    #[must_use]
    pub fn first(&self) -> Option<(&Operation, &VirtualPath)> {
        match &self.0 {
            Batch::Each(requests) => {
                let Request { operation, path } = requests.first()?;
                Some((operation, path))
            }
            Batch::Entries(entries) => Some((&SEE, entries.first.as_ref()?)),
        }
    }

    /// Those that are not about entries of a listing.
    #[must_use]
    pub fn each(&self) -> &[Request] {
        match &self.0 {
            Batch::Each(requests) => requests,
            Batch::Entries(_) => &[],
        }
    }
}

impl From<Vec<Request>> for Requests {
    fn from(requests: Vec<Request>) -> Self {
        Self(Batch::Each(requests))
    }
}

impl From<Entries> for Requests {
    fn from(entries: Entries) -> Self {
        Self(Batch::Entries(entries))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_asked_about_by_their_whole_paths() {
        for (directory, below) in [("/", ""), ("/a/b", "/a/b")] {
            let directory = VirtualPath::parse(directory, &VirtualPath::root()).unwrap();
            let mut entries = Entries::of(&directory, 1);
            assert!(Requests::from(Entries::of(&directory, 0)).is_empty());
            for name in ["one", "ünï", "a b"] {
                entries.push(name).unwrap();
                for wrong in ["", ".", "..", "x/y", "a\nb", &"x".repeat(256)] {
                    assert!(entries.push(wrong).is_err());
                }
            }
            let requests = Requests::from(entries);
            let found: Vec<_> = requests.iter().collect();
            let paths = ["one", "ünï", "a b"].map(|name| format!("{below}/{name}"));
            let expected: Vec<_> = paths.iter().map(|path| (&SEE, path.as_str())).collect();
            assert_eq!(found, expected);
            assert_eq!(requests.len(), 3);
            assert_eq!(requests.first().unwrap().1.as_str(), paths[0]);
        }
    }
}
