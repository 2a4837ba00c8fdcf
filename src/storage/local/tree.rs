//! What one account sees.

use std::{
    borrow::Cow,
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
    confined_dir::{
        Access, Directory, describe, discard, facts, facts_at, facts_on_disk, kind, pool,
    },
    key::Key,
    label::Label,
    listing::{LocalListing, WithParts, count_not_shown},
    names,
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
    storage::{Error, Listing, Part, Result, Source, StartAt, Tree},
    types::{BoxFuture, UserId},
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
    pub(super) owner: UserId,
}

// Renames and unlinks are done on the runtime's thread, once the directory is open: in a local file
// system each is some microseconds' work in memory, less than a trip to the pool.
impl Tree for LocalTree {
    fn metadata<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Metadata>> {
        Box::pin(async move { self.home.look(&self.on_disk(path)?).await })
    }

    fn list<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Box<dyn Listing>>> {
        Box::pin(async move {
            let listing = self.open_listing(path).await?;
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

    fn read<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Box<dyn Source>>> {
        Box::pin(async move {
            let on_disk = self.on_disk(path)?;
            let file = match self.home.open_soon(&*on_disk, READ).await {
                Ok(file) => file,
                Err(error) => return Err(self.home.dangling(&on_disk, error).await),
            };
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

    fn partial<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Option<Metadata>>> {
        Box::pin(self.waiting(path))
    }

    fn stage<'a>(
        &'a self,
        path: &'a VirtualPath,
        from: StartAt,
    ) -> BoxFuture<'a, Result<Box<dyn Part>>> {
        Box::pin(async move {
            if path.is_root() {
                return Err(Error::IsDirectory);
            }
            if self.shared.read_only {
                return Err(Error::ReadOnly);
            }
            self.not_reserved(path)?;
            let target = self.home.target_soon(path, Access::Names).await?;
            let replaces = target.file()?.is_some();
            let replaced = target.file()?.map_or(0, |file| file.stx_size);
            let (staging, mode) = (&self.shared.staging, self.shared.created_mode);
            let key = self.key(path);
            let label = Label::new(&self.owner, &self.home_path, path.as_str());
            let label = Arc::new(label);
            let progress = if matches!(from, StartAt::Start | StartAt::Offset(0)) {
                let claim = staging.claim(key, label, false)?;
                staging.forget(|| key)?;
                staging.told(|| key);
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
                adds: matches!(from, StartAt::End) || progress.origin().base > 0,
                progress,
                replaces,
                replaced,
                sha256: None,
                quota: None,
                lost: false,
            });
            Ok(part)
        })
    }

    fn remove_file<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if path.is_root() {
                return Err(Error::IsDirectory);
            }
            // A part that belongs to another file than the one there is gone by this.
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

    fn remove_directory<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if path.is_root() {
                return Err(Error::Denied);
            }
            let on_disk = self.on_disk(path)?;
            let (parent, name) = self.home.parent_on_disk(&on_disk).await?;
            let names = self.shared.staging.names_change();
            let removed = unlinkat(&parent, name, AtFlags::REMOVEDIR);
            drop(names);
            match removed {
                Ok(()) => return self.forget_in(path),
                // POSIX lets a file system say so.
                Err(Errno::EXIST | Errno::NOTEMPTY) => {}
                Err(Errno::NOTDIR) => return self.remove_directory_link(&on_disk).await,
                Err(error) => return Err(error.into()),
            }
            let directory = self
                .home
                .open_soon(&*on_disk, OFlags::RDONLY | OFlags::DIRECTORY)
                .await;
            let escape = self.shared.escape;
            match directory {
                Ok(directory) => {
                    pool(move || match count_not_shown(&directory, escape) {
                        0 => Err(Error::NotEmpty),
                        count => Err(Error::NotShown { count }),
                    })
                    .await
                }
                Err(_) => Err(Error::NotEmpty),
            }
        })
    }

    fn make_directory<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if path.is_root() {
                return Err(Error::Exists);
            }
            self.not_reserved(path)?;
            let (parent, name) = self.home.parent(path, Access::Names).await?;
            self.shared.make_directory(&parent, name)
        })
    }

    fn rename<'a>(
        &'a self,
        from: &'a VirtualPath,
        to: &'a VirtualPath,
        replace: bool,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            // Nor can a directory become its own descendant.
            if from.is_root() || to.is_root() || (to != from && to.starts_with(from)) {
                return Err(Error::Denied);
            }
            self.not_reserved(to)?;
            let from = self.on_disk(from)?;
            let (old, old_name) = self.home.parent_on_disk(&from).await?;
            let found = facts_on_disk(&old, old_name)?;
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
    ) -> BoxFuture<'a, Result<()>> {
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
            self.not_reserved(path)?;
            let (parent, name) = self.home.parent(path, Access::Names).await?;
            match kind(&facts_at(&parent, name)?) {
                Kind::File | Kind::Directory => {}
                Kind::Link => return Err(self.link(path).await),
                Kind::Other => return Err(Error::NotRegular),
            }
            // Were it a link by now, the link's own times would change.
            Ok(utimensat(&parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
        })
    }

    fn set_mode<'a>(&'a self, path: &'a VirtualPath, mode: u32) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.not_reserved(path)?;
            let (home, relative) = (self.home.clone(), path.relative().to_owned());
            match pool(move || set_mode(&home, &relative, mode)).await {
                // It is there: then it is a link.
                Err(Error::NotFound) => match self.tree_has(path).await {
                    true => Err(self.link(path).await),
                    false => Err(Error::NotFound),
                },
                set => set,
            }
        })
    }

    fn usage(&self) -> BoxFuture<'_, Result<u64>> {
        Box::pin(async move {
            let waiting = self
                .shared
                .staging
                .waiting_size(&self.owner, &self.home_path);
            let counted = self.shared.usage.count(&self.home_path, &self.home).await?;
            Ok(counted.saturating_add(waiting))
        })
    }

    fn available<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let on_disk = self.on_disk(path)?;
            let handle = self.home.open_soon(&*on_disk, OFlags::PATH).await?;
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
        owner: &UserId,
    ) -> Self {
        Self {
            shared: shared.clone(),
            home: Arc::new(shared.root.within(handle)),
            home_path: match home.is_root() {
                true => "".into(),
                false => home.as_str().into(),
            },
            owner: owner.clone(),
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

    /// Forgets what waits to be published in a directory that is gone.
    fn forget_in(&self, directory: &VirtualPath) -> Result<()> {
        let within = format!("{}{directory}", self.home_path);
        for name in self.shared.staging.waiting_in(&self.owner, &within) {
            if let Ok(path) = directory.join(&name) {
                self.shared.staging.forget(|| self.key(&path))?;
            }
        }
        Ok(())
    }

    /// Facts of the part that waits, if it belongs to what lies there.
    async fn waiting(&self, path: &VirtualPath) -> Result<Option<Metadata>> {
        let staging = &self.shared.staging;
        staging.told(|| self.key(path));
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

    async fn open_listing(&self, path: &VirtualPath) -> Result<LocalListing> {
        let on_disk = self.on_disk(path)?;
        match LocalListing::open(self.home.clone(), &on_disk, self.shared.escape).await {
            Err(error) => Err(self.home.dangling(&on_disk, error).await),
            listing => listing,
        }
    }

    /// The path in the names on the disk.
    fn on_disk<'p>(&self, path: &'p VirtualPath) -> Result<Cow<'p, [u8]>> {
        names::on_disk(path, self.shared.escape)
    }

    /// Names that cannot be shown can be done away with, and not given anew.
    fn not_reserved(&self, path: &VirtualPath) -> Result<()> {
        match self.shared.escape && names::is_escaped(path) {
            true => Err(Error::Reserved),
            false => Ok(()),
        }
    }

    async fn tree_has(&self, path: &VirtualPath) -> bool {
        self.home.look(path.relative().as_bytes()).await.is_ok()
    }

    /// Why a link has no times and modes to set.
    async fn link(&self, path: &VirtualPath) -> Error {
        match self.home.look(path.relative().as_bytes()).await {
            Ok(found) if found.kind == Kind::Link => Error::DanglingLink,
            Ok(_) => Error::Unsupported,
            Err(error) => error,
        }
    }

    /// Removes a link that a client may have been shown as a directory. One that leads nowhere may have
    /// led to a directory before that was removed.
    async fn remove_directory_link(&self, on_disk: &[u8]) -> Result<()> {
        let (parent, name) = self.home.parent_on_disk(on_disk).await?;
        let link = kind(&facts_on_disk(&parent, name)?) == Kind::Link;
        match self.home.look(on_disk).await?.kind {
            Kind::Directory | Kind::Link if link => Ok(unlinkat(&parent, name, AtFlags::empty())?),
            _ => Err(Error::NotDirectory),
        }
    }

    async fn unlink(&self, path: &VirtualPath) -> Result<()> {
        let on_disk = self.on_disk(path)?;
        let (parent, name) = self.home.parent_on_disk(&on_disk).await?;
        let found = facts_on_disk(&parent, name)?;
        let held = hold_large(&parent, name, &found);
        let names = self.shared.staging.names_change();
        unlinkat(&parent, name, AtFlags::empty())?;
        drop(names);
        if kind(&found) == Kind::File {
            self.shared.usage.removed(&self.home_path, found.stx_size);
        }
        discard(held);
        Ok(())
    }
}

/// An upload that goes on: with the part that waits and belongs to what lies there, else with a copy
/// of that.
fn resume(claim: Claim, target: &Target, from: StartAt, mode: u32) -> Result<Progress> {
    let published = target.file()?;
    if claim.fresh(target, matches!(from, StartAt::Offset(_)))? {
        return claim.take(target, |available, base| match (from, published) {
            (StartAt::Start, _) => Ok(0),
            (StartAt::Offset(offset), _) if offset <= available => Ok(offset),
            (StartAt::Offset(_), _) => Err(Error::Offset { available }),
            (StartAt::End, None) => Ok(available),
            // To add to the file is what was begun: that begins anew.
            (StartAt::End, Some(file)) if file.stx_size == base => Ok(base),
            (StartAt::End, Some(_)) => Err(Error::PartialWaits { length: available }),
        });
    }
    let available = published.map_or(0, |file| file.stx_size);
    let base = match from {
        StartAt::Start => 0,
        StartAt::End => available,
        StartAt::Offset(offset) if offset <= available => offset,
        StartAt::Offset(_) => return Err(Error::Offset { available }),
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
