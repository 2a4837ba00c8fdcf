//! Patterns in the paths of LIST, NLST and STAT: `*/[a-c]*.txt`.

use std::sync::Arc;

use super::listing::Stopped;
use crate::{
    data::download::PumpError,
    ftp::{
        glob::{Glob, is_pattern},
        metadata::{Entry, Kind},
        path::VirtualPath,
    },
    gate::{
        path_policy::{Operation, Policy, Refusal},
        requests,
    },
    spool::Tree,
    storage::{Error, Listing, Wanted},
};

/// Directories that one pattern leads through. Each is read, and asked about, so a client must not have
/// the whole tree walked by a few bytes.
const DIRECTORIES: usize = 1000;
/// Names looked at on the way to the last component.
const NAMES: usize = 100_000;

/// A path with a pattern in it, as the client wrote it.
pub(super) struct Pattern<'a> {
    /// All up to the slash in front of the first component that is a pattern.
    pub(super) front: &'a str,
    /// The rest.
    pub(super) components: Vec<Component>,
}

/// Why an argument is no pattern that can be followed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// No component has a character with a meaning in patterns.
    Plain,
    /// A component is longer than any name.
    TooLong,
    /// `..` behind a pattern leads out of where it began.
    Above,
}

/// One name of a path, or a pattern of names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Component {
    name: String,
    glob: Option<Glob>,
}

impl<'a> Pattern<'a> {
    pub(super) fn parse(argument: &'a str) -> Result<Self, Unfit> {
        let mut start = 0;
        let first = argument.split_inclusive('/').find(|component| {
            let found = is_pattern(component);
            start += if found { 0 } else { component.len() };
            found
        });
        first.ok_or(Unfit::Plain)?;
        let (front, behind) = argument.split_at_checked(start).ok_or(Unfit::Plain)?;
        let mut components = Vec::new();
        for name in behind.split('/') {
            match name {
                "" | "." => {}
                // As a path is normalised, whatever is there.
                ".." => drop(components.pop().ok_or(Unfit::Above)?),
                name => components.push(Component {
                    name: name.to_owned(),
                    glob: match is_pattern(name) {
                        true => Some(Glob::new(name).ok_or(Unfit::TooLong)?),
                        false => None,
                    },
                }),
            }
        }
        Ok(Self { front, components })
    }
}

/// The entries that a pattern leads to, directory by directory.
pub(super) struct Walk {
    tree: Arc<Tree>,
    policy: Arc<Policy>,
    components: Vec<Component>,
    /// Of the entries that fit the last component.
    wanted: Wanted,
    /// Directories that are still to be looked at, the next one last.
    waiting: Vec<Place>,
    /// The one that is being read.
    reading: Option<(Place, Box<dyn Listing>)>,
    directories: usize,
    names: usize,
}

/// A directory on the way.
struct Place {
    path: VirtualPath,
    /// As the client would write it, with a slash behind.
    prefix: String,
    /// The component that its entries are compared with.
    depth: usize,
}

impl Place {
    fn found(&self, entries: Vec<Entry>) -> Found {
        Found {
            directory: self.path.clone(),
            prefix: self.prefix.clone(),
            entries,
        }
    }
}

/// Entries of one directory that fit the last component. Whether they may be seen is yet to be asked.
pub(super) struct Found {
    pub(super) directory: VirtualPath,
    pub(super) prefix: String,
    pub(super) entries: Vec<Entry>,
}

impl Walk {
    /// Begins in a directory that is there and may be listed.
    pub(super) fn new(
        tree: Arc<Tree>,
        policy: Arc<Policy>,
        path: VirtualPath,
        pattern: Pattern<'_>,
        wanted: Wanted,
    ) -> Self {
        Self {
            tree,
            policy,
            waiting: vec![Place {
                path,
                prefix: pattern.front.to_owned(),
                depth: 0,
            }],
            components: pattern.components,
            wanted,
            reading: None,
            directories: 0,
            names: 0,
        }
    }

    /// One step, which may find nothing; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Found>, Stopped> {
        let Some((place, mut listing)) = self.reading.take() else {
            let Some(place) = self.waiting.pop() else {
                return Ok(None);
            };
            return self.enter(place).await.map(Some);
        };
        let Some(mut entries) = listing.next().await.map_err(PumpError::Storage)? else {
            return Ok(Some(place.found(Vec::new())));
        };
        let glob = self.glob(&place);
        let seen = entries.len();
        entries.retain(|entry| glob.is_some_and(|glob| glob.matches(&entry.name)));
        if !self.is_last(&place) {
            self.names += seen;
            if self.names > NAMES {
                return Err(Stopped::TooMany);
            }
            entries.retain(|entry| entry.metadata.kind == Kind::Directory);
            let directories = std::mem::take(&mut entries);
            let directories = self.visible(&place, directories).await?;
            self.descend(&place, directories)?;
        }
        let found = place.found(entries);
        self.reading = Some((place, listing));
        Ok(Some(found))
    }

    /// Begins with a directory: by the one name that is wanted of it, or by reading it.
    async fn enter(&mut self, place: Place) -> Result<Found, Stopped> {
        let named = self.named(&place).await?;
        if named.is_some() && self.is_last(&place) {
            return Ok(place.found(named.into_iter().collect()));
        }
        let found = place.found(Vec::new());
        if named.is_some() {
            self.descend(&place, named.into_iter().collect())?;
        } else if self.glob(&place).is_some()
            && let Some(listing) = self.open(&place).await?
        {
            self.reading = Some((place, listing));
        }
        Ok(found)
    }

    fn is_last(&self, place: &Place) -> bool {
        place.depth + 1 >= self.components.len()
    }

    fn glob(&self, place: &Place) -> Option<&Glob> {
        self.components.get(place.depth)?.glob.as_ref()
    }

    /// The entry that is called just as the component. A name that looks like a pattern comes before
    /// the pattern, but in the last place, where the whole path would have been found before.
    async fn named(&mut self, place: &Place) -> Result<Option<Entry>, Stopped> {
        let Some(component) = self.components.get(place.depth) else {
            return Ok(None);
        };
        if component.glob.is_some() && self.is_last(place) {
            return Ok(None);
        }
        let name = component.name.clone();
        let Ok(path) = place.path.join(&name) else {
            return Ok(None);
        };
        match self.tree.metadata(&path).await {
            Ok(metadata) => {
                let entry = Entry { name, metadata };
                Ok(self.visible(place, vec![entry]).await?.pop())
            }
            Err(error) => absent(error).map(|()| None),
        }
    }

    /// The directory's entries, unless it may not be listed, or is gone.
    async fn open(&mut self, place: &Place) -> Result<Option<Box<dyn Listing>>, Stopped> {
        let listed = self.policy.check_aside(Operation::List, &place.path);
        match listed.await {
            Ok(()) => {}
            Err(refusal @ Refusal::Failed(_)) => return Err(refusal.into()),
            Err(_) => return Ok(None),
        }
        let wanted = match self.is_last(place) {
            true => self.wanted,
            // On the way, directories alone count.
            false => Wanted::Kinds,
        };
        match self.tree.list(&place.path, wanted).await {
            Ok(listing) => Ok(Some(listing)),
            Err(error) => absent(error).map(|()| None),
        }
    }

    /// Those of the entries that may be seen.
    async fn visible(
        &mut self,
        place: &Place,
        mut entries: Vec<Entry>,
    ) -> Result<Vec<Entry>, Refusal> {
        let answers = self.policy.check_all(requests(&place.path, &mut entries));
        let mut answers = answers.await?.into_iter();
        entries.retain(|_| answers.next().is_some_and(|answer| answer.is_none()));
        Ok(entries)
    }

    fn descend(&mut self, place: &Place, mut entries: Vec<Entry>) -> Result<(), Stopped> {
        entries.retain(|entry| entry.metadata.kind == Kind::Directory);
        self.directories += entries.len();
        if self.directories > DIRECTORIES {
            return Err(Stopped::TooMany);
        }
        // The last one is the next.
        entries.sort_by(|one, other| other.name.cmp(&one.name));
        for entry in entries {
            if let Ok(path) = place.path.join(&entry.name) {
                self.waiting.push(Place {
                    path,
                    prefix: format!("{}{}/", place.prefix, entry.name),
                    depth: place.depth + 1,
                });
            }
        }
        Ok(())
    }
}

/// A directory that is not there, or cannot be looked at, has no entries.
fn absent(error: Error) -> Result<(), Stopped> {
    match error {
        Error::NotFound | Error::NotDirectory | Error::Denied | Error::NameTooLong => Ok(()),
        error => Err(PumpError::Storage(error).into()),
    }
}

/// The questions whether entries may be seen; a name that no path can have goes.
pub(super) fn requests(directory: &VirtualPath, entries: &mut Vec<Entry>) -> requests::Entries {
    let mut requests = requests::Entries::of(directory, entries.len());
    entries.retain(|entry| requests.push(&entry.name).is_ok());
    requests
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        for (argument, front, components) in [
            ("*", "", &["*"][..]),
            ("*.txt", "", &["*.txt"]),
            ("a/*", "a/", &["*"]),
            ("/a//b/?", "/a//b/", &["?"]),
            ("/*/x", "/", &["*", "x"]),
            ("../[a]/b/*", "../", &["[a]", "b", "*"]),
            ("*/./x//y/", "", &["*", "x", "y"]),
            ("a/*/../b", "a/", &["b"]),
            ("a/*/..", "a/", &[]),
        ] {
            let pattern = Pattern::parse(argument).unwrap();
            assert_eq!(pattern.front, front, "{argument}");
            let names: Vec<&str> = pattern.components.iter().map(|one| &*one.name).collect();
            assert_eq!(names, components, "{argument}");
            let globs = pattern.components.iter();
            assert!(
                globs
                    .into_iter()
                    .all(|one| one.glob.is_some() == is_pattern(&one.name))
            );
        }
        for (argument, unfit) in [
            ("", Unfit::Plain),
            ("a/b", Unfit::Plain),
            ("*/../..", Unfit::Above),
            ("a/*/../../*", Unfit::Above),
            (&format!("a/{}/b", "*".repeat(256)), Unfit::TooLong),
        ] {
            assert_eq!(Pattern::parse(argument).err(), Some(unfit), "{argument}");
        }
    }
}
