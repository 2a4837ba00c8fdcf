//! Opening beneath a directory handle, which is the only way to a client's file.
//!
//! The kernel resolves the whole path (`openat2(2)` with `RESOLVE_BENEATH`), so there is no moment
//! between a check and its use in which a link could be swapped in.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags, Statx, openat2},
    io::Errno,
};

use crate::{
    ftp::{
        metadata::{Kind, Metadata},
        path::VirtualPath,
    },
    storage::{
        Error, Result,
        posix::{describe, facts, facts_on_disk, kind, pool},
    },
};

/// The kernel gives up with EAGAIN when something is renamed or mounted while it resolves a `..` of
/// a link. A client that can rename without pause must not hold a thread for ever.
const TRIES: usize = 100;

const RESOLVE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

/// A directory, and all that can be reached from it.
pub(super) struct Directory {
    handle: OwnedFd,
    /// Whether the kernel knows `RESOLVE_CACHED` (Linux 5.12).
    cached: bool,
}

impl Directory {
    /// `handle` may be an `O_PATH` one.
    ///
    /// # Errors
    /// When the system has no `openat2`.
    pub(super) fn new(handle: OwnedFd) -> io::Result<Self> {
        openat2(
            &handle,
            c".",
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
            RESOLVE,
        )?;
        let resolve = RESOLVE | ResolveFlags::CACHED;
        let cached = openat2(
            &handle,
            c".",
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
            resolve,
        );
        Ok(Self {
            handle,
            cached: !matches!(cached, Err(Errno::INVAL)),
        })
    }

    /// Another directory of the same system.
    pub(super) fn within(&self, handle: OwnedFd) -> Self {
        Self {
            handle,
            cached: self.cached,
        }
    }

    /// The same, of which the kernel remembers nothing.
    #[cfg(test)]
    #[allow(clippy::unwrap_used)]
    pub(super) fn cold(&self) -> Arc<Self> {
        Arc::new(Self {
            handle: self.handle.try_clone().unwrap(),
            cached: false,
        })
    }

    /// Opens, waiting for the disk if need be.
    pub(super) fn open<P>(&self, path: &P, flags: OFlags) -> Result<OwnedFd>
    where
        P: AsRef<[u8]> + ?Sized,
    {
        let path = path.as_ref();
        for _ in 0..TRIES {
            let opened = openat2(
                &self.handle,
                path,
                flags | OFlags::CLOEXEC,
                Mode::empty(),
                RESOLVE,
            );
            match opened {
                Err(Errno::AGAIN | Errno::INTR) => std::thread::yield_now(),
                opened => return opened.map_err(unresolved),
            }
        }
        Err(Error::Busy)
    }

    /// Opens on this thread if everything on the way is in the kernel's cache, and the pool does it
    /// otherwise.
    pub(super) async fn open_soon<P>(self: &Arc<Self>, path: &P, flags: OFlags) -> Result<OwnedFd>
    where
        P: AsRef<[u8]> + ?Sized,
    {
        let path = path.as_ref();
        if self.cached {
            let resolve = RESOLVE | ResolveFlags::CACHED;
            let flags = flags | OFlags::CLOEXEC;
            match openat2(&self.handle, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                opened => return opened.map_err(unresolved),
            }
        }
        let (directory, path) = (self.clone(), path.to_owned());
        pool(move || directory.open(&path, flags)).await
    }

    /// The directory that holds `path`, which is not the root, and the last name.
    ///
    /// The handle is asked for anew each time: kept ones stay valid when a directory is renamed, but
    /// then the path means another one.
    pub(super) async fn parent<'p>(
        self: &Arc<Self>,
        path: &'p VirtualPath,
        access: Access,
    ) -> Result<(Parent, &'p str)> {
        let Some((parent, name)) = path.relative().rsplit_once('/') else {
            return Ok((Parent::Top(self.clone()), path.relative()));
        };
        if access == Access::Sync {
            match self
                .open_soon(parent, OFlags::RDONLY | OFlags::DIRECTORY)
                .await
            {
                Err(Error::Denied) => {}
                handle => return Ok((Parent::Below(handle?), name)),
            }
        }
        let handle = self
            .open_soon(parent, OFlags::PATH | OFlags::DIRECTORY)
            .await?;
        Ok((Parent::Below(handle), name))
    }

    /// As [`parent`](Self::parent), to change names, of a path in the names on the disk.
    pub(super) async fn parent_on_disk<'p>(
        self: &Arc<Self>,
        path: &'p [u8],
    ) -> Result<(Parent, &'p [u8])> {
        let Some(slash) = path.iter().rposition(|byte| *byte == b'/') else {
            return Ok((Parent::Top(self.clone()), path));
        };
        let (parent, name) = path.split_at(slash);
        let name = name.strip_prefix(b"/").unwrap_or(name);
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        Ok((Parent::Below(self.open_soon(parent, flags).await?), name))
    }

    /// Facts of what `path` leads to; of a link that leads nowhere, its own.
    pub(super) async fn look(self: &Arc<Self>, path: &[u8]) -> Result<Metadata> {
        let error = match self.open_soon(path, OFlags::PATH).await {
            Ok(handle) => return Ok(describe(&facts(&handle)?)),
            Err(error) => error,
        };
        match self.is_link(path).await {
            Some(link) if leads_nowhere(&error) => Ok(describe_link(&link)),
            _ => Err(error),
        }
    }

    /// Facts of a link itself, if `path` is one.
    async fn is_link(self: &Arc<Self>, path: &[u8]) -> Option<Statx> {
        let (parent, name) = self.parent_on_disk(path).await.ok()?;
        let found = facts_on_disk(&parent, name).ok()?;
        (kind(&found) == Kind::Link).then_some(found)
    }

    /// The error, or that the path is a link that leads nowhere, if that is the reason.
    pub(super) async fn dangling(self: &Arc<Self>, path: &[u8], error: Error) -> Error {
        match leads_nowhere(&error) && self.is_link(path).await.is_some() {
            true => Error::DanglingLink,
            false => error,
        }
    }

    /// Facts of what `path` leads to.
    pub(super) fn metadata<P>(&self, path: &P) -> Result<Metadata>
    where
        P: AsRef<[u8]> + ?Sized,
    {
        Ok(describe(&facts(&self.open(path, OFlags::PATH)?)?))
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// The purpose of a directory's handle.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// To change names in it.
    Names,
    /// To write it to the disk as well, if the server may read it.
    Sync,
}

/// The directory of what is changed.
pub(super) enum Parent {
    /// The tree's own.
    Top(Arc<Directory>),
    /// One below.
    Below(OwnedFd),
}

impl AsFd for Parent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Top(directory) => directory.as_fd(),
            Self::Below(handle) => handle.as_fd(),
        }
    }
}

/// Whether a link may be the reason that there is nothing to open.
pub(super) fn leads_nowhere(error: &Error) -> bool {
    matches!(
        error,
        Error::NotFound | Error::NotDirectory | Error::Denied | Error::NameTooLong
    )
}

/// Facts of a link that leads nowhere. Its size is the length of its target, which is not the client's
/// to know.
pub(super) fn describe_link(facts: &Statx) -> Metadata {
    Metadata {
        size: 0,
        ..describe(facts)
    }
}

/// The meaning of a failed resolution: EXDEV is a way out of the tree, ELOOP a magic link or a
/// circle, and neither exists for the client.
fn unresolved(error: Errno) -> Error {
    match error {
        Errno::XDEV | Errno::LOOP => Error::NotFound,
        // A socket, or a device that is not there.
        Errno::NXIO | Errno::NODEV => Error::NotRegular,
        error => error.into(),
    }
}
