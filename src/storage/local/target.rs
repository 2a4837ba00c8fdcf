//! The place that a path names: its directory, its last name, and what lies there.

use std::sync::Arc;

use rustix::{
    fs::{AtFlags, OFlags, Statx, StatxFlags, readlinkat, statx},
    io::Errno,
};

use super::confined_dir::{Access, Directory, Parent};
use crate::{
    ftp::{metadata::Kind, path::VirtualPath},
    storage::{
        Error, Found, Identity, Result,
        posix::{FACTS, kind, pool},
        regular_file,
    },
};

/// As many links as Linux follows in one path.
const LINKS: usize = 40;
/// The facts that tell a file from any other, and whether it has changed.
const IDENTITY: StatxFlags = FACTS.union(StatxFlags::CTIME);
/// A directory's changes do not matter; when it was made tells it from one with its old number.
const DIRECTORY: StatxFlags = StatxFlags::TYPE
    .union(StatxFlags::INO)
    .union(StatxFlags::BTIME);

/// The place that a path names. A link at its end has been followed, as far as the tree goes.
pub(super) struct Target {
    pub(super) parent: Parent,
    pub(super) name: String,
    /// The entry that lies there, if one does.
    pub(super) found: Option<Statx>,
}

impl Target {
    /// The identity of what lies there, and of its directory.
    pub(super) fn identity(&self) -> Result<Identity> {
        let parent = statx(&self.parent, c"", AtFlags::EMPTY_PATH, DIRECTORY)?;
        Ok(identity(&parent, self.found.as_ref()))
    }

    /// Looks again.
    pub(super) fn look(&mut self) -> Result<()> {
        self.found = look(&self.parent, &self.name)?;
        Ok(())
    }

    /// It, without its handle.
    pub(super) fn found(&self) -> Result<Found> {
        Ok(Found {
            identity: self.identity()?,
            entry: self.entry(),
        })
    }

    /// The length of the regular file there, if one is.
    pub(super) fn file(&self) -> Result<Option<u64>> {
        regular_file(self.entry())
    }

    fn entry(&self) -> Option<(Kind, u64)> {
        let found = self.found.as_ref();
        found.map(|found| (kind(found), found.stx_size))
    }
}

/// Of what lies at a name, or nothing, and of its directory: the device, inode, size and times of the
/// one, the device, inode and time of birth of the other.
fn identity(directory: &Statx, found: Option<&Statx>) -> Identity {
    let mut all = Vec::with_capacity(128);
    let mut add = |number: u64| all.extend(number.to_ne_bytes());
    for facts in [Some(directory), found].into_iter().flatten() {
        add(facts.stx_dev_major.into());
        add(facts.stx_dev_minor.into());
        add(facts.stx_ino);
    }
    let times = [&directory.stx_btime].into_iter();
    let found_times = found.map(|found| [&found.stx_mtime, &found.stx_ctime]);
    for time in times.chain(found_times.into_iter().flatten()) {
        add(time.tv_sec.cast_unsigned());
        add(time.tv_nsec.into());
    }
    if let Some(found) = found {
        add(found.stx_size);
    }
    Identity::of(&all)
}

impl Directory {
    /// The place that `path`, which is not the root, names; on this thread if no link is in the way
    /// and all is in the kernel's cache.
    pub(super) async fn target_soon(
        self: &Arc<Self>,
        path: &VirtualPath,
        access: Access,
    ) -> Result<Target> {
        let target = self.name_soon(path, access).await?;
        match &target.found {
            Some(found) if kind(found) == Kind::Link => {
                let (directory, path) = (self.clone(), path.relative().to_owned());
                pool(move || directory.target(&path, access)).await
            }
            _ => Ok(target),
        }
    }

    /// The place that `path`, which is not the root, names, a link at its end not followed.
    pub(super) async fn name_soon(
        self: &Arc<Self>,
        path: &VirtualPath,
        access: Access,
    ) -> Result<Target> {
        let (parent, name) = self.parent(path, access).await?;
        Ok(Target {
            found: look(&parent, name)?,
            parent,
            name: name.to_owned(),
        })
    }

    /// The place that `path`, which is not the root, names. Waits for the disk if need be.
    ///
    /// # Errors
    /// [`Error::DanglingLink`] for a link that leads to nothing, outside of the tree or in a circle.
    pub(super) fn target(self: &Arc<Self>, path: &str, access: Access) -> Result<Target> {
        let mut path = path.to_owned();
        for followed in 0..=LINKS {
            let (above, name) = path.rsplit_once('/').unwrap_or(("", &path));
            if matches!(name, "" | "." | "..") {
                return Err(Error::IsDirectory);
            }
            let target = self.place(above, name, access);
            let target = match target {
                Err(Error::NotFound) if followed > 0 => return Err(Error::DanglingLink),
                target => target?,
            };
            match &target.found {
                Some(found) if kind(found) == Kind::Link => {}
                None if followed > 0 => return Err(Error::DanglingLink),
                _ => return Ok(target),
            }
            let link = readlinkat(&target.parent, name, Vec::new()).map_err(Error::from)?;
            // The kernel resolves what stands before the last name from the link's own directory
            // on: `above` leads there.
            match link.to_str() {
                Ok(link) if link.starts_with('/') => return Err(Error::DanglingLink),
                Ok(link) if above.is_empty() => path = link.to_owned(),
                Ok(link) => path = format!("{above}/{link}"),
                Err(_) => return Err(Error::DanglingLink),
            }
        }
        Err(Error::DanglingLink)
    }

    fn place(self: &Arc<Self>, above: &str, name: &str, access: Access) -> Result<Target> {
        let parent = if above.is_empty() {
            Parent::Top(self.clone())
        } else {
            let open = |flags| self.open(above, flags | OFlags::DIRECTORY);
            match access {
                Access::Names => Parent::Below(open(OFlags::PATH)?),
                Access::Sync => match open(OFlags::RDONLY) {
                    Err(Error::Denied) => Parent::Below(open(OFlags::PATH)?),
                    parent => Parent::Below(parent?),
                },
            }
        };
        let found = look(&parent, name)?;
        Ok(Target {
            parent,
            name: name.to_owned(),
            found,
        })
    }
}

fn look(parent: &Parent, name: &str) -> Result<Option<Statx>> {
    match statx(parent, name, AtFlags::SYMLINK_NOFOLLOW, IDENTITY) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
