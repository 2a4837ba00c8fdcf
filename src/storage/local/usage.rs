//! How much lies in a home, for quotas.
//!
//! A home is counted when somebody asks, and again when the count is [`STALE`]; in between, what is
//! published and removed through the server is added and taken away. Room for what is published is
//! taken before, and room for what an upload under way has written is reserved before each write.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::fs::{AtFlags, Dir, OFlags, statx};

use super::{
    Shared,
    confined_dir::{Directory, FACTS, kind, pool},
};
use crate::{
    ftp::metadata::Kind,
    storage::{Error, Result},
};

/// Others change files, too.
const STALE: Duration = Duration::from_secs(300);

/// What was counted, by home.
#[derive(Default)]
pub(super) struct Usage {
    homes: Mutex<HashMap<Box<str>, Counted>>,
    /// Bytes of uploads that are under way, by home.
    under_way: Mutex<HashMap<Box<str>, u64>>,
}

/// The bounds of the uploads of a home together with its files.
pub(super) struct Bounds {
    /// Bytes of all of it.
    pub(super) quota: u64,
    /// Bytes that wait to be resumed.
    pub(super) waiting: u64,
    /// Bytes of the file that the upload replaces.
    pub(super) replaced: u64,
}

/// Room that an upload under way has reserved; given back when it is dropped.
pub(super) struct Reservation {
    shared: Arc<Shared>,
    home: Box<str>,
    bytes: u64,
}

impl Reservation {
    pub(super) fn new(shared: &Arc<Shared>, home: &str) -> Self {
        Self {
            shared: shared.clone(),
            home: home.into(),
            bytes: 0,
        }
    }

    /// Reserves `more` bytes, if there is room for them.
    pub(super) fn grow(&mut self, more: u64, bounds: &Bounds) -> Result<()> {
        let usage = &self.shared.usage;
        let published = usage.homes().get(&self.home).map_or(0, |home| home.bytes);
        let mut under_way = usage.under_way();
        let of_home = under_way.entry(self.home.clone()).or_default();
        let after = published
            .saturating_sub(bounds.replaced)
            .saturating_add(bounds.waiting)
            .saturating_add(*of_home)
            .saturating_add(more);
        if after > bounds.quota {
            return Err(Error::Quota);
        }
        *of_home += more;
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut under_way = self.shared.usage.under_way();
        if let Some(of_home) = under_way.get_mut(&self.home) {
            *of_home = of_home.saturating_sub(self.bytes);
            if *of_home == 0 {
                under_way.remove(&self.home);
            }
        }
    }
}

struct Counted {
    bytes: u64,
    at: Instant,
}

impl Usage {
    /// Bytes of the files in a home.
    pub(super) async fn count(&self, path: &str, home: &Arc<Directory>) -> Result<u64> {
        if let Some(counted) = self.homes().get(path)
            && counted.at.elapsed() < STALE
        {
            return Ok(counted.bytes);
        }
        let (home, at) = (home.clone(), Instant::now());
        let bytes = pool(move || count(&home)).await?;
        self.homes().insert(path.into(), Counted { bytes, at });
        Ok(bytes)
    }

    /// Takes room for `more` bytes that come in place of `less`, if all of the home has no more than
    /// `limit` then. Whoever asks at the same time finds it taken.
    pub(super) fn take<'a>(
        &'a self,
        home: &'a str,
        more: u64,
        less: u64,
        limit: Option<u64>,
    ) -> Option<Room<'a>> {
        let mut homes = self.homes();
        if let Some(counted) = homes.get_mut(home) {
            let bytes = counted.bytes.saturating_sub(less).saturating_add(more);
            if limit.is_some_and(|limit| bytes > limit) {
                return None;
            }
            counted.bytes = bytes;
        }
        Some(Room {
            usage: self,
            home,
            more,
            less,
            used: false,
        })
    }

    /// So many bytes went.
    pub(super) fn removed(&self, home: &str, bytes: u64) {
        if let Some(counted) = self.homes().get_mut(home) {
            counted.bytes = counted.bytes.saturating_sub(bytes);
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Box<str>, u64>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn homes(&self) -> MutexGuard<'_, HashMap<Box<str>, Counted>> {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room that was taken; given back unless it is used.
pub(super) struct Room<'a> {
    usage: &'a Usage,
    home: &'a str,
    more: u64,
    less: u64,
    used: bool,
}

impl Room<'_> {
    /// The bytes are there.
    pub(super) fn used(mut self) {
        self.used = true;
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if !self.used
            && let Some(counted) = self.usage.homes().get_mut(self.home)
        {
            let bytes = counted.bytes.saturating_sub(self.more);
            counted.bytes = bytes.saturating_add(self.less);
        }
    }
}

/// Links are not followed, and names that no client can have are not entered.
fn count(home: &Directory) -> Result<u64> {
    let mut bytes: u64 = 0;
    let mut directories = vec![".".to_owned()];
    while let Some(directory) = directories.pop() {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let handle = match home.open(&directory, flags) {
            Ok(handle) => handle,
            Err(error) if directory == "." => return Err(error),
            // Removed meanwhile, or not the server's to read.
            Err(_) => continue,
        };
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC;
        for entry in Dir::read_from(&handle)? {
            let entry = entry.map_err(Error::from)?;
            let Ok(found) = statx(&handle, entry.file_name(), flags, FACTS) else {
                continue;
            };
            match (kind(&found), entry.file_name().to_str()) {
                (Kind::File, _) => bytes = bytes.saturating_add(found.stx_size),
                (Kind::Directory, Ok(name)) if !matches!(name, "." | "..") => {
                    directories.push(format!("{directory}/{name}"));
                }
                _ => {}
            }
        }
    }
    Ok(bytes)
}
