//! What one account sees.

use std::{
    collections::HashMap,
    os::fd::OwnedFd,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{
        AtFlags, CWD, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_OMIT, chmodat, fchmod,
        fstatvfs, openat, unlinkat, utimensat,
    },
    io::Errno,
};

use super::{
    Shared,
    beneath::{Access, Directory, describe, discard, facts, facts_at, kind, pool},
    key::Key,
    label::Label,
    listing::{LocalListing, WithParts},
    origin::Origin,
    part::{LocalPart, hold_large, rename},
    progress::{Claim, Progress},
    source::LocalSource,
    target::Target,
};
use crate::{
    config::PartialListing,
    ftp::{
        metadata::{Kind, Metadata, Partial},
        path::VirtualPath,
    },
    storage::{Answer, Error, From, Listing, Part, Result, Source, Tree},
};

/// A file is opened without waiting for the other end of a pipe, and no terminal becomes the
/// server's.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// A home, and whose it is.
pub(super) struct LocalTree {
    pub(super) shared: Arc<Shared>,
    pub(super) home: Arc<Directory>,
    /// The home from the storage's root on; empty if it is the root.
    pub(super) home_path: Box<str>,
    pub(super) owner: Arc<str>,
}

// Renames and unlinks are done on the runtime's thread, once the directory is open: in a local file
// system each is some microseconds' work in memory, less than a trip to the pool.
impl Tree for LocalTree {
    fn metadata<'a>(&'a self, path: &'a VirtualPath) -> Answer<'a, Result<Metadata>> {
        Box::pin(self.home.metadata_soon(path))
    }

    fn list<'a>(&'a self, path: &'a VirtualPath) -> Answer<'a, Result<Box<dyn Listing>>> {
        Box::pin(async move {
            let listing = LocalListing::open(self.home.clone(), path).await?;
            if self.shared.partial_listing == PartialListing::Hide {
                return Ok(Box::new(listing) as Box<dyn Listing>);
            }
            let directory = match path.is_root() {
                true => self.home_path.to_string(),
                false => format!("{}{path}", self.home_path),
            };
            let mut parts = HashMap::new();
            for name in self.shared.staging.waiting_in(&self.owner, &directory) {
                if let Ok(path) = path.join(&name)
                    && let Some(part) = self.waiting(&path).await?
                {
                    parts.insert(name, part);
                }
            }
            if parts.is_empty() {
                return Ok(Box::new(listing));
            }
            Ok(Box::new(WithParts::new(listing, parts)))
        })
    }

    fn read<'a>(&'a self, path: &'a VirtualPath) -> Answer<'a, Result<Box<dyn Source>>> {
        Box::pin(async move {
            let file = self.home.open_soon(path.relative(), READ).await?;
            let metadata = describe(&facts(&file)?);
            match metadata.kind {
                Kind::File => {}
                Kind::Directory => return Err(Error::IsDirectory),
                Kind::Link | Kind::Other => return Err(Error::NotRegular),
            }
            let source: Box<dyn Source> = Box::new(LocalSource {
                file: Arc::new(file),
                metadata,
            });
            Ok(source)
        })
    }

    fn partial<'a>(&'a self, path: &'a VirtualPath) -> Answer<'a, Result<Option<Metadata>>> {
        Box::pin(self.waiting(path))
    }

    fn stage<'a>(&'a self, path: &'a VirtualPath, from: From) -> Answer<'a, Result<Box<dyn Part>>> {
        Box::pin(async move {
            if path.is_root() {
                return Err(Error::IsDirectory);
            }
            if self.shared.read_only {
                return Err(Error::ReadOnly);
            }
            let target = self.home.target_soon(path, Access::Names).await?;
            let replaces = target.file()?.is_some();
            let (staging, mode) = (&self.shared.staging, self.shared.created_mode);
            let key = self.key(path);
            let label = Label::new(&self.owner, &self.home_path, path.as_str());
            let label = Arc::new(label);
            let progress = if matches!(from, From::Start | From::Offset(0)) {
                let claim = staging.claim(key, label, false)?;
                staging.forget(|| key)?;
                claim.create(mode, Origin::new(&target)?)?
            } else {
                let claim = staging.claim(key, label, true)?;
                pool(move || resume(claim, &target, from, mode)).await?
            };
            let part: Box<dyn Part> = Box::new(LocalPart {
                shared: self.shared.clone(),
                home: self.home.clone(),
                home_path: self.home_path.clone(),
                path: path.clone(),
                adds: matches!(from, From::End) || progress.origin().base > 0,
                progress,
                replaces,
                sha256: None,
                quota: None,
                lost: false,
            });
            Ok(part)
        })
    }

    fn remove_file<'a>(&'a self, path: &'a VirtualPath) -> Answer<'a, Result<()>> {
        Box::pin(async move {
            if path.is_root() {
                return Err(Error::IsDirectory);
            }
            // What belongs to another file than the one there is gone by this.
            let waits = self.waiting(path).await?.is_some();
            let removed = self.unlink(path).await;
            let forgotten = match removed {
                Ok(()) | Err(Error::NotFound) if waits => {
                    self.shared.staging.forget(|| self.key(path))?
                }
                _ => false,
            };
            // A client that saw nothing but its broken upload has removed that.
            if forgotten { Ok(()) } else { removed }
        })
    }

    fn remove_directory<'a>(&'a self, path: &'a VirtualPath) -> Answer<'a, Result<()>> {
        Box::pin(async move {
            if path.is_root() {
                return Err(Error::Denied);
            }
            let (parent, name) = self.home.parent(path, Access::Names).await?;
            let names = self.shared.staging.names_change();
            match unlinkat(&parent, name, AtFlags::REMOVEDIR) {
                // POSIX lets a file system say so.
                Err(Errno::EXIST) => return Err(Error::NotEmpty),
                removed => removed?,
            }
            drop(names);
            // What waits to be published in it never will be.
            let directory = format!("{}{path}", self.home_path);
            for name in self.shared.staging.waiting_in(&self.owner, &directory) {
                if let Ok(path) = path.join(&name) {
                    self.shared.staging.forget(|| self.key(&path))?;
                }
            }
            Ok(())
        })
    }

    fn make_directory<'a>(&'a self, path: &'a VirtualPath) -> Answer<'a, Result<()>> {
        Box::pin(async move {
            if path.is_root() {
                return Err(Error::Exists);
            }
            let (parent, name) = self.home.parent(path, Access::Names).await?;
            self.shared.make_directory(&parent, name)
        })
    }

    fn rename<'a>(
        &'a self,
        from: &'a VirtualPath,
        to: &'a VirtualPath,
        replace: bool,
    ) -> Answer<'a, Result<()>> {
        Box::pin(async move {
            // Nor can a directory become its own descendant.
            if from.is_root() || to.is_root() || (to != from && to.starts_with(from)) {
                return Err(Error::Denied);
            }
            let (old, old_name) = self.home.parent(from, Access::Names).await?;
            let found = facts_at(&old, old_name)?;
            if kind(&found) == Kind::Link {
                // One that leads outside is not there.
                self.home.metadata_soon(from).await?;
            }
            let (new, new_name) = self.home.parent(to, Access::Names).await?;
            // A directory replaces nothing, not even an empty one.
            let kind = kind(&found);
            let flags = if replace && kind != Kind::Directory {
                RenameFlags::empty()
            } else {
                RenameFlags::NOREPLACE
            };
            let replaced = match flags.is_empty() {
                true => facts_at(&new, new_name).ok(),
                false => None,
            };
            let held = replaced.and_then(|replaced| hold_large(&new, new_name, &replaced));
            let names = self.shared.staging.names_change();
            rename(&old, old_name, &new, new_name, flags, kind)?;
            drop(names);
            discard(held);
            Ok(())
        })
    }

    fn set_times<'a>(
        &'a self,
        path: &'a VirtualPath,
        modified: SystemTime,
        accessed: Option<SystemTime>,
    ) -> Answer<'a, Result<()>> {
        Box::pin(async move {
            let times = Timestamps {
                last_access: accessed.map_or(
                    Timespec {
                        tv_sec: 0,
                        tv_nsec: UTIME_OMIT,
                    },
                    timespec,
                ),
                last_modification: timespec(modified),
            };
            let (parent, name) = self.home.parent(path, Access::Names).await?;
            match kind(&facts_at(&parent, name)?) {
                Kind::File | Kind::Directory => {}
                // One that leads outside is not there.
                Kind::Link => {
                    return self
                        .home
                        .metadata_soon(path)
                        .await
                        .and(Err(Error::Unsupported));
                }
                Kind::Other => return Err(Error::NotRegular),
            }
            // Were it a link by now, the link's own times would change.
            Ok(utimensat(&parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
        })
    }

    fn set_mode<'a>(&'a self, path: &'a VirtualPath, mode: u32) -> Answer<'a, Result<()>> {
        let (home, path) = (self.home.clone(), path.relative().to_owned());
        Box::pin(pool(move || match set_mode(&home, &path, mode) {
            // It is there: then it is a link.
            Err(Error::NotFound) => home.metadata(&path).and(Err(Error::Unsupported)),
            set => set,
        }))
    }

    fn usage(&self) -> Answer<'_, Result<u64>> {
        Box::pin(async move {
            let waiting = self
                .shared
                .staging
                .waiting_size(&self.owner, &self.home_path);
            let counted = self.shared.usage.count(&self.home_path, &self.home).await?;
            Ok(counted.saturating_add(waiting))
        })
    }

    fn available<'a>(&'a self, path: &'a VirtualPath) -> Answer<'a, Result<u64>> {
        Box::pin(async move {
            let handle = self.home.open_soon(path.relative(), OFlags::PATH).await?;
            let facts = fstatvfs(handle)?;
            Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
        })
    }
}

impl LocalTree {
    pub(super) fn new(
        shared: &Arc<Shared>,
        handle: OwnedFd,
        home: &VirtualPath,
        owner: &str,
    ) -> Self {
        Self {
            shared: shared.clone(),
            home: Arc::new(shared.root.within(handle)),
            home_path: match home.is_root() {
                true => "".into(),
                false => home.as_str().into(),
            },
            owner: owner.into(),
        }
    }

    fn key(&self, path: &VirtualPath) -> Key {
        Key::new(
            &self.shared.name,
            &self.owner,
            &self.home_path,
            path.as_str(),
        )
    }

    /// Facts of the part that waits, if it belongs to what lies there.
    async fn waiting(&self, path: &VirtualPath) -> Result<Option<Metadata>> {
        let staging = &self.shared.staging;
        let Some(key) = staging.waits(|| self.key(path)) else {
            return Ok(None);
        };
        let target = match self.home.target_soon(path, Access::Names).await {
            Err(Error::NotFound | Error::NotDirectory | Error::DanglingLink) => return Ok(None),
            target => target?,
        };
        let part = staging.fresh(key, &target)?;
        Ok(part.map(|(metadata, _)| Metadata {
            partial: Some(Partial {
                size: metadata.size,
                modified: metadata.modified,
            }),
            ..metadata
        }))
    }

    async fn unlink(&self, path: &VirtualPath) -> Result<()> {
        let (parent, name) = self.home.parent(path, Access::Names).await?;
        let found = facts_at(&parent, name)?;
        if kind(&found) == Kind::Link {
            // One that leads outside is not there; of others, the link is removed.
            self.home.metadata_soon(path).await?;
        }
        let held = hold_large(&parent, name, &found);
        let names = self.shared.staging.names_change();
        unlinkat(&parent, name, AtFlags::empty())?;
        drop(names);
        self.shared.usage.removed(&self.home_path, found.stx_size);
        discard(held);
        Ok(())
    }
}

/// An upload that goes on: with the part that waits and belongs to what lies there, else with a copy
/// of that.
fn resume(claim: Claim, target: &Target, from: From, mode: u32) -> Result<Progress> {
    let published = target.file()?;
    if claim.fresh(target)? {
        return claim.take(target, |available, base| match (from, published) {
            (From::Start, _) => Ok(0),
            (From::Offset(offset), _) if offset <= available => Ok(offset),
            (From::Offset(_), _) => Err(Error::Offset { available }),
            (From::End, None) => Ok(available),
            // To add to the file is what was begun: that begins anew.
            (From::End, Some(file)) if file.stx_size == base => Ok(base),
            (From::End, Some(_)) => Err(Error::PartialWaits { length: available }),
        });
    }
    let available = published.map_or(0, |file| file.stx_size);
    let base = match from {
        From::Start => 0,
        From::End => available,
        From::Offset(offset) if offset <= available => offset,
        From::Offset(_) => return Err(Error::Offset { available }),
    };
    let origin = Origin {
        base,
        ..Origin::new(target)?
    };
    if published.is_none() {
        return claim.create(mode, origin);
    }
    let flags = READ | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&target.parent, &*target.name, flags, Mode::empty())?;
    claim.create_copy(mode, origin, file)
}

/// Sets the mode bits of a file or directory, not following a link at the end of `path`.
pub(super) fn set_mode(directory: &Directory, path: &str, mode: u32) -> Result<()> {
    let (handle, readable) = match directory.open(path, READ | OFlags::NOFOLLOW) {
        // The owner may change the mode of what he may not read.
        Err(Error::Denied) => (
            directory.open(path, OFlags::PATH | OFlags::NOFOLLOW)?,
            false,
        ),
        handle => (handle?, true),
    };
    let found = facts(&handle)?;
    let mode = match kind(&found) {
        Kind::File => mode & 0o777,
        // Which group new files belong to is the administrator's decision.
        Kind::Directory => mode & 0o777 | u32::from(found.stx_mode) & 0o7000,
        Kind::Link => return Err(Error::Unsupported),
        Kind::Other => return Err(Error::NotRegular),
    };
    let mode = Mode::from_raw_mode(mode);
    if readable {
        return Ok(fchmod(&handle, mode)?);
    }
    // `fchmod` takes no such handle; its entry in /proc leads to the very same file.
    use std::os::fd::AsRawFd;
    let entry = format!("/proc/self/fd/{}", handle.as_raw_fd());
    Ok(chmodat(CWD, entry, mode, AtFlags::empty())?)
}

fn timespec(time: SystemTime) -> Timespec {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => Timespec {
            tv_sec: after.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: after.subsec_nanos().into(),
        },
        Err(error) => {
            // Rounded up to the second, with the rest forward again.
            let before = error.duration();
            let seconds = before + Duration::from_nanos(999_999_999);
            let seconds = Duration::from_secs(seconds.as_secs());
            let forward = seconds - before;
            Timespec {
                tv_sec: -i64::try_from(seconds.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: forward.subsec_nanos().into(),
            }
        }
    }
}
