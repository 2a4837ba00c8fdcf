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

use crate::storage::{Admission, Error, Home, Result};

/// Others change files, too.
const STALE: Duration = Duration::from_secs(300);

/// The usage that was counted, by home.
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
    usage: Arc<Usage>,
    home: Box<str>,
    bytes: u64,
}

impl Reservation {
    pub(super) fn new(usage: &Arc<Usage>, home: &str) -> Self {
        Self {
            usage: usage.clone(),
            home: home.into(),
            bytes: 0,
        }
    }

    /// Reserves `more` bytes, if there is room for them.
    pub(super) fn grow(&mut self, more: u64, bounds: &Bounds) -> Result<()> {
        let usage = &self.usage;
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
        let mut under_way = self.usage.under_way();
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
    pub(super) async fn count(&self, path: &str, home: &dyn Home) -> Result<u64> {
        if let Some(counted) = self.homes().get(path)
            && counted.at.elapsed() < STALE
        {
            return Ok(counted.bytes);
        }
        let at = Instant::now();
        let bytes = home.usage().await?;
        self.homes().insert(path.into(), Counted { bytes, at });
        Ok(bytes)
    }

    /// Files of so many bytes in all were removed.
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

/// An upload that is about to be published, as the count sees it.
pub(super) struct QuotaAdmission {
    pub(super) usage: Arc<Usage>,
    pub(super) home: Box<str>,
    pub(super) length: u64,
    /// Bytes that all of the home may have.
    pub(super) limit: Option<u64>,
    /// Bytes of the file that it replaces, as long as it has taken room and not used it.
    pub(super) taken: Option<u64>,
}

impl Admission for QuotaAdmission {
    fn admit(&mut self, replaced: u64) -> Result<()> {
        self.give_back();
        if let Some(counted) = self.usage.homes().get_mut(&self.home) {
            let others = counted.bytes.saturating_sub(replaced);
            let bytes = others.saturating_add(self.length);
            if self.limit.is_some_and(|limit| bytes > limit) {
                return Err(Error::Quota);
            }
            counted.bytes = bytes;
        }
        self.taken = Some(replaced);
        Ok(())
    }

    fn published(&mut self) {
        self.taken = None;
    }
}

impl QuotaAdmission {
    fn give_back(&mut self) {
        if let Some(replaced) = self.taken.take()
            && let Some(counted) = self.usage.homes().get_mut(&self.home)
        {
            let bytes = counted.bytes.saturating_sub(self.length);
            counted.bytes = bytes.saturating_add(replaced);
        }
    }
}

impl Drop for QuotaAdmission {
    fn drop(&mut self) {
        self.give_back();
    }
}
