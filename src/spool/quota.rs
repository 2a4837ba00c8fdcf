//! How much lies in a home, for quotas.
//!
//! A home is counted when somebody asks, and again when the count is [`STALE`]; in between, what is
//! published and removed through the server is added and taken away. Room for what is published is
//! taken before, and room for what an upload under way has written is reserved before each write, as
//! is the file that it will be, before it begins. Directories are not counted.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::time::timeout;

use crate::storage::{Admission, Amount, Error, Home, Result};

/// How often the log tells that a count goes on.
const TELL: Duration = Duration::from_secs(5);
/// Others change files, too.
const STALE: Duration = Duration::from_secs(300);

/// The most that a home may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of all files.
    pub bytes: Option<u64>,
    /// Files, directories not counted.
    pub files: Option<u64>,
}

impl Quota {
    /// Whether there is a limit at all.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.bytes.is_some() || self.files.is_some()
    }

    /// That there is room for `more`, where the home has `all` with it. One that adds no file is not
    /// refused for the number of files.
    fn check(&self, all: Amount, more: Amount) -> Result<()> {
        if self.bytes.is_some_and(|limit| all.bytes > limit) {
            return Err(Error::Quota);
        }
        if more.files > 0 && self.files.is_some_and(|limit| all.files > limit) {
            return Err(Error::QuotaFiles);
        }
        Ok(())
    }
}

/// The usage that was counted, by home.
#[derive(Default)]
pub(super) struct Usage {
    homes: Mutex<HashMap<Box<str>, Counted>>,
    /// Uploads that are under way, by home.
    under_way: Mutex<HashMap<Box<str>, Amount>>,
}

/// The bounds of the uploads of a home together with its files.
pub(super) struct Bounds {
    /// All of it.
    pub(super) quota: Quota,
    /// Uploads that wait to be resumed.
    pub(super) waiting: Amount,
    /// Bytes of the file that the upload replaces.
    pub(super) replaced: u64,
}

/// Room that an upload under way has reserved; given back when it is dropped.
pub(super) struct Reservation {
    usage: Arc<Usage>,
    home: Box<str>,
    reserved: Amount,
}

impl Reservation {
    pub(super) fn new(usage: &Arc<Usage>, home: &str) -> Self {
        Self {
            usage: usage.clone(),
            home: home.into(),
            reserved: Amount::default(),
        }
    }

    /// Reserves `more`, if there is room for it.
    pub(super) fn grow(&mut self, more: Amount, bounds: &Bounds) -> Result<()> {
        let usage = &self.usage;
        let published = usage.homes().get(&self.home).map(|home| home.amount);
        let mut published = published.unwrap_or_default();
        published.bytes = published.bytes.saturating_sub(bounds.replaced);
        let mut under_way = usage.under_way();
        let of_home = under_way.entry(self.home.clone()).or_default();
        let after = published.plus(bounds.waiting).plus(*of_home).plus(more);
        bounds.quota.check(after, more)?;
        *of_home = of_home.plus(more);
        self.reserved = self.reserved.plus(more);
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut under_way = self.usage.under_way();
        if let Some(of_home) = under_way.get_mut(&self.home) {
            *of_home = of_home.minus(self.reserved);
            if *of_home == Amount::default() {
                under_way.remove(&self.home);
            }
        }
    }
}

struct Counted {
    amount: Amount,
    at: Instant,
}

impl Usage {
    /// The files in a home.
    pub(super) async fn count(&self, path: &str, home: &dyn Home) -> Result<Amount> {
        if let Some(counted) = self.homes().get(path)
            && counted.at.elapsed() < STALE
        {
            return Ok(counted.amount);
        }
        let at = Instant::now();
        let mut counting = home.usage();
        let mut slow = false;
        let amount = loop {
            match timeout(TELL, &mut counting).await {
                Ok(amount) => break amount?,
                Err(_) => {
                    slow = true;
                    let seconds = at.elapsed().as_secs();
                    tracing::info!(
                        home = path,
                        seconds,
                        "the files of a home are being counted for its quota, and its uploads wait"
                    );
                }
            }
        };
        if slow {
            let (Amount { bytes, files }, seconds) = (amount, at.elapsed().as_secs());
            tracing::info!(
                home = path,
                files,
                bytes,
                seconds,
                "the files of a home are counted"
            );
        }
        self.homes().insert(path.into(), Counted { amount, at });
        Ok(amount)
    }

    /// Takes away the amount that was removed.
    pub(super) fn removed(&self, home: &str, amount: Amount) {
        if let Some(counted) = self.homes().get_mut(home) {
            counted.amount = counted.amount.minus(amount);
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Box<str>, Amount>> {
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
    /// The most that the home may have, without what waits to be resumed.
    pub(super) limit: Quota,
    /// The file that it replaces, as long as it has taken room and not used it.
    pub(super) taken: Option<Amount>,
}

impl Admission for QuotaAdmission {
    fn admit(&mut self, replaced: Option<u64>) -> Result<()> {
        self.give_back();
        let replaced = replaced.map(Amount::file).unwrap_or_default();
        let new = Amount::file(self.length);
        if let Some(counted) = self.usage.homes().get_mut(&self.home) {
            let after = counted.amount.minus(replaced).plus(new);
            self.limit.check(after, new.minus(replaced))?;
            counted.amount = after;
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
            let others = counted.amount.minus(Amount::file(self.length));
            counted.amount = others.plus(replaced);
        }
    }
}

impl Drop for QuotaAdmission {
    fn drop(&mut self) {
        self.give_back();
    }
}
