//! The files beneath one directory of a storage.

use std::{borrow::Cow, sync::Arc, time::SystemTime};

use rustix::{
    fs::{
        AtFlags, OFlags, RenameFlags, Timespec, Timestamps, UTIME_OMIT, fstatvfs, unlinkat,
        utimensat,
    },
    io::Errno,
};

use super::{
    confined_dir::{Access, Directory},
    content::{LocalContent, READ},
    listing::{LocalListing, count_not_shown},
    mode::{set_mode, timespec},
    names,
    publishing::Publishing,
    settings::Settings,
    usage,
};
use crate::{
    ftp::{
        metadata::{Kind, Metadata},
        path::VirtualPath,
    },
    storage::{
        Amount, Content, Error, Found, Home, Listing, Publication, Replaced, Result, Unpublished,
        Wanted,
        posix::{
            describe, discard, facts, facts_at, facts_on_disk, hold_large, kind, pool, rename,
        },
    },
    types::{BoxFuture, Durability},
};

/// A directory, and all that is beneath it.
pub(super) struct LocalHome {
    pub(super) settings: Arc<Settings>,
    pub(super) directory: Arc<Directory>,
}

// Renames and unlinks are done on the runtime's thread, once the directory is open: in a local file
// system each is some microseconds' work in memory, less than a trip to the pool.
impl Home for LocalHome {
    fn stat<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Metadata>> {
        Box::pin(async move { self.directory.look(&self.on_disk(path)?).await })
    }

    fn list<'a>(
        &'a self,
        path: &'a VirtualPath,
        wanted: Wanted,
    ) -> BoxFuture<'a, Result<Box<dyn Listing>>> {
        Box::pin(async move {
            let on_disk = self.on_disk(path)?;
            let (directory, escape) = (self.directory.clone(), self.settings.escape);
            match LocalListing::open(directory, &on_disk, escape, wanted).await {
                Err(error) => Err(self.directory.dangling(&on_disk, error).await),
                Ok(listing) => Ok(Box::new(listing) as Box<dyn Listing>),
            }
        })
    }

    fn open<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Box<dyn Content>>> {
        Box::pin(async move {
            let on_disk = self.on_disk(path)?;
            let file = match self.directory.open_soon(&*on_disk, READ).await {
                Ok(file) => file,
                Err(error) => return Err(self.directory.dangling(&on_disk, error).await),
            };
            let metadata = describe(&facts(&file)?);
            match metadata.kind {
                Kind::File => {}
                Kind::Directory => return Err(Error::IsDirectory),
                Kind::Link | Kind::Other => return Err(Error::NotRegular),
            }
            let content: Box<dyn Content> = Box::new(LocalContent {
                file: Arc::new(file),
                metadata,
            });
            Ok(content)
        })
    }

    fn find<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Found>> {
        Box::pin(async move {
            if path.is_root() {
                return Err(Error::IsDirectory);
            }
            self.not_reserved(path)?;
            self.directory
                .target_soon(path, Access::Names)
                .await?
                .found()
        })
    }

    fn publish<'a>(
        &'a self,
        path: &'a VirtualPath,
        publication: Publication,
    ) -> BoxFuture<'a, std::result::Result<Replaced, Unpublished>> {
        Box::pin(async move {
            if path.is_root() {
                return Err(Error::IsDirectory.into());
            }
            self.not_reserved(path)?;
            let durability = self.settings.durability;
            let access = match durability {
                Durability::FileAndDirectory => Access::Sync,
                Durability::None | Durability::File => Access::Names,
            };
            // Where there is to be nothing, a link is something.
            let target = match publication.replace {
                true => self.directory.target_soon(path, access).await?,
                false => self.directory.name_soon(path, access).await?,
            };
            let publishing = Publishing {
                publication,
                target,
                settings: self.settings.clone(),
            };
            match durability {
                // On this thread: a rename in a local file system is some microseconds' work.
                Durability::None => publishing.run(),
                Durability::File | Durability::FileAndDirectory => {
                    pool(move || Ok(publishing.run())).await?
                }
            }
        })
    }

    fn remove_file<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Amount>> {
        Box::pin(async move {
            if path.is_root() {
                return Err(Error::IsDirectory);
            }
            let on_disk = self.on_disk(path)?;
            let (parent, name) = self.directory.parent_on_disk(&on_disk).await?;
            let found = facts_on_disk(&parent, name)?;
            let held = hold_large(&parent, name, &found);
            let names = self.settings.names_change();
            unlinkat(&parent, name, AtFlags::empty())?;
            drop(names);
            discard(held);
            Ok(match kind(&found) {
                Kind::File => Amount::file(found.stx_size),
                Kind::Directory | Kind::Link | Kind::Other => Amount::default(),
            })
        })
    }

    fn remove_directory<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if path.is_root() {
                return Err(Error::Denied);
            }
            let on_disk = self.on_disk(path)?;
            let (parent, name) = self.directory.parent_on_disk(&on_disk).await?;
            let names = self.settings.names_change();
            let removed = unlinkat(&parent, name, AtFlags::REMOVEDIR);
            drop(names);
            match removed {
                Ok(()) => return Ok(()),
                // POSIX lets a file system say so.
                Err(Errno::EXIST | Errno::NOTEMPTY) => {}
                Err(Errno::NOTDIR) => return self.remove_directory_link(&on_disk).await,
                Err(error) => return Err(error.into()),
            }
            let directory = self
                .directory
                .open_soon(&*on_disk, OFlags::RDONLY | OFlags::DIRECTORY)
                .await;
            let escape = self.settings.escape;
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
            let (parent, name) = self.directory.parent(path, Access::Names).await?;
            self.settings.make_directory(&self.directory, &parent, name)
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
            let (old, old_name) = self.directory.parent_on_disk(&from).await?;
            let found = facts_on_disk(&old, old_name)?;
            let (new, new_name) = self.directory.parent(to, Access::Names).await?;
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
            let names = self.settings.names_change();
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
            let (parent, name) = self.directory.parent(path, Access::Names).await?;
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
            let (directory, relative) = (self.directory.clone(), path.relative().to_owned());
            match pool(move || set_mode(&directory, &relative, mode)).await {
                // It is there: then it is a link.
                Err(Error::NotFound) => match self.is_there(path).await {
                    true => Err(self.link(path).await),
                    false => Err(Error::NotFound),
                },
                set => set,
            }
        })
    }

    fn usage(&self) -> BoxFuture<'_, Result<Amount>> {
        let directory = self.directory.clone();
        Box::pin(pool(move || usage::count(&directory)))
    }

    fn available<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let on_disk = self.on_disk(path)?;
            let handle = self.directory.open_soon(&*on_disk, OFlags::PATH).await?;
            let facts = fstatvfs(handle)?;
            Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
        })
    }
}

impl LocalHome {
    /// The path in the names on the disk.
    fn on_disk<'p>(&self, path: &'p VirtualPath) -> Result<Cow<'p, [u8]>> {
        names::on_disk(path, self.settings.escape)
    }

    /// Names that cannot be shown can be done away with, and not given anew.
    fn not_reserved(&self, path: &VirtualPath) -> Result<()> {
        match self.settings.escape && names::is_escaped(path) {
            true => Err(Error::Reserved),
            false => Ok(()),
        }
    }

    async fn is_there(&self, path: &VirtualPath) -> bool {
        self.directory
            .look(path.relative().as_bytes())
            .await
            .is_ok()
    }

    /// Why a link has no times and modes to set.
    async fn link(&self, path: &VirtualPath) -> Error {
        match self.directory.look(path.relative().as_bytes()).await {
            Ok(found) if found.kind == Kind::Link => Error::DanglingLink,
            Ok(_) => Error::Unsupported,
            Err(error) => error,
        }
    }

    /// Removes a link that a client may have been shown as a directory. One that leads nowhere may have
    /// led to a directory before that was removed.
    async fn remove_directory_link(&self, on_disk: &[u8]) -> Result<()> {
        let (parent, name) = self.directory.parent_on_disk(on_disk).await?;
        let link = kind(&facts_on_disk(&parent, name)?) == Kind::Link;
        match self.directory.look(on_disk).await?.kind {
            Kind::Directory | Kind::Link if link => Ok(unlinkat(&parent, name, AtFlags::empty())?),
            _ => Err(Error::NotDirectory),
        }
    }
}
