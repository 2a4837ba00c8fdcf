//! How much lies in a home, for quotas.
//!
//! A home is counted when somebody asks, and again when the count is [`STALE`]; in between, what is
//! published and removed through the server is added and taken away. Room for what is published is
//! taken before, and room for what an upload under way has written is reserved before each write, as
//! is the file that it will be, before it begins. Directories are not counted. Servers that have a storage together
//! tell each other of their changes once a second, and at the beginning of each upload.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{
            AtomicBool,
            Ordering::{AcqRel, Acquire, Release},
        },
    },
    time::{Duration, Instant},
};

use tokio::time::{sleep, timeout};

use super::ledger::{Change, Ledger, Sum};
use crate::{
    shared::Shared,
    storage::{Admission, Amount, Error, Home, Result},
};

/// How often the log tells that a count goes on.
const TELL: Duration = Duration::from_secs(5);
/// Others change files, too.
const STALE: Duration = Duration::from_secs(300);

/// How often servers tell each other of their changes.
const EXCHANGE: Duration = Duration::from_secs(1);

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
    /// Where other servers have the same files.
    ledger: OnceLock<Ledger>,
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
    /// The files of the home have it already.
    counted: Arc<AtomicBool>,
}

impl Reservation {
    pub(super) fn new(usage: &Arc<Usage>, home: &str) -> Self {
        Self {
            usage: usage.clone(),
            home: home.into(),
            reserved: Amount::default(),
            counted: Arc::default(),
        }
    }

    /// It, for whoever counts it among the files of the home.
    pub(super) fn admission(&self) -> (Amount, Arc<AtomicBool>) {
        (self.reserved, self.counted.clone())
    }

    /// Reserves `more`, if there is room for it.
    pub(super) fn grow(&mut self, more: Amount, bounds: &Bounds) -> Result<()> {
        let usage = &self.usage;
        let counted = usage.homes().get(&self.home).map(Counted::all);
        let mut published = counted.unwrap_or_default();
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
        if !self.counted.load(Acquire) {
            self.usage.is_not_under_way(&self.home, self.reserved);
        }
    }
}

/// The files of a home.
#[derive(Default)]
struct Counted {
    amount: Amount,
    /// When they were counted, if they were.
    at: Option<Instant>,
    news: News,
}

/// The exchange of servers about a home.
#[derive(Default)]
struct News {
    /// When this server has told its own the last time.
    at: Option<Instant>,
    /// It tells them now: two answers could come in the wrong order.
    telling: bool,
    /// Changes that the others have not been told of.
    change: Change,
    /// All that they have been told of.
    sent: Change,
    /// The uploads under way that they have been told of.
    told: Amount,
    /// The sum of all changes, as it was then.
    sum: Option<Sum>,
    /// Uploads that others have under way.
    others: Amount,
}

impl News {
    /// The sum of all changes, and those of them that are this server's.
    fn heard(&self) -> Option<(Sum, Change)> {
        self.sum.clone().map(|sum| (sum, self.sent))
    }
}

impl Counted {
    /// With what others have under way.
    fn all(&self) -> Amount {
        self.amount.plus(self.news.others)
    }

    fn becomes(&mut self, amount: Amount) {
        let change = Change::from_to(self.amount, amount);
        self.news.change = self.news.change.plus(change);
        self.amount = amount;
    }
}

impl Usage {
    /// Other servers have the files of this place, too. From here on they are told of changes.
    pub(super) fn share(self: &Arc<Self>, shared: &Arc<Shared>, place: &str) {
        if self.ledger.set(Ledger::new(shared, place)).is_ok() {
            tokio::spawn(keep(Arc::downgrade(self)));
        }
    }

    /// Tells the other servers of a home, and hears of it, unless that is going on already. Its caller may
    /// give up.
    async fn exchange(self: &Arc<Self>, home: &str) {
        let (usage, home) = (self.clone(), home.to_owned());
        // Its error is that of a panic, after which there is nothing to hear of.
        let _ = tokio::spawn(async move { usage.tell(&home).await }).await;
    }

    async fn tell(&self, home: &str) {
        let Some(ledger) = self.ledger.get() else {
            return;
        };
        let (change, under_way) = match self.homes().get_mut(home) {
            // Both at one moment: an upload that is published goes over from the one to the other.
            Some(counted) if !counted.news.telling => {
                counted.news.telling = true;
                let under_way = self.under_way().get(home).copied().unwrap_or_default();
                (mem::take(&mut counted.news.change), under_way)
            }
            _ => return,
        };
        let answer = ledger.exchange(home, change, under_way).await;
        let mut homes = self.homes();
        let Some(counted) = homes.get_mut(home) else {
            return;
        };
        let news = &mut counted.news;
        news.telling = false;
        match answer {
            Ok((sum, others)) => {
                let same = news.sum.as_ref().filter(|before| before.name == sum.name);
                if let Some(before) = same {
                    let by_others = sum.changes.minus(before.changes).minus(change);
                    counted.amount = by_others.of(counted.amount);
                }
                news.at = Some(Instant::now());
                news.sent = news.sent.plus(change);
                news.told = under_way;
                news.others = others;
                news.sum = Some(sum);
            }
            // It is told later. Until then each server holds the quota for its own.
            Err(_) => news.change = news.change.plus(change),
        }
    }

    /// The homes of which there is something to tell.
    fn changed(&self) -> Vec<Box<str>> {
        let under_way = self.under_way();
        let active: HashSet<Box<str>> = under_way.keys().cloned().collect();
        drop(under_way);
        let homes = self.homes();
        let of_interest = homes.iter().filter(|(home, counted)| {
            let news = &counted.news;
            active.contains(*home)
                || news.told != Amount::default()
                || news.change != Change::default()
        });
        of_interest.map(|(home, _)| home.clone()).collect()
    }

    /// The files in a home.
    pub(super) async fn count(self: &Arc<Self>, path: &str, home: &dyn Home) -> Result<Amount> {
        let fresh = self.homes().get(path).and_then(|counted| {
            let fresh = counted.at.is_some_and(|at| at.elapsed() < STALE);
            fresh.then_some((counted.all(), counted.news.at))
        });
        if let Some((amount, heard)) = fresh {
            if self.ledger.get().is_none() {
                return Ok(amount);
            }
            if heard.is_none_or(|heard| heard.elapsed() >= EXCHANGE) {
                self.exchange(path).await;
            }
            let counted = self.homes().get(path).map(Counted::all);
            return Ok(counted.unwrap_or(amount));
        }
        let heard = self.heard(path).await;
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
        let mut homes = self.homes();
        let counted = homes.entry(path.into()).or_default();
        // Whether changes that others made meanwhile were counted is not known: they count once too often rather
        // than not at all.
        let meanwhile = heard.zip(counted.news.heard());
        let meanwhile = meanwhile.filter(|((before, _), (now, _))| before.name == now.name);
        counted.amount = meanwhile.map_or(amount, |((before, sent), (now, all_sent))| {
            let by_all = now.changes.minus(before.changes);
            by_all.minus(all_sent.minus(sent)).of(amount)
        });
        counted.at = Some(at);
        Ok(counted.all())
    }

    /// Hears of a home that is about to be counted: the sum of changes so far, and how many of them are its own.
    async fn heard(self: &Arc<Self>, path: &str) -> Option<(Sum, Change)> {
        self.ledger.get()?;
        self.homes().entry(path.into()).or_default();
        self.exchange(path).await;
        self.homes().get(path)?.news.heard()
    }

    /// Takes away the amount that was removed.
    pub(super) fn removed(&self, home: &str, amount: Amount) {
        if let Some(counted) = self.homes().get_mut(home) {
            counted.becomes(counted.amount.minus(amount));
        }
    }

    fn is_not_under_way(&self, home: &str, amount: Amount) {
        let mut under_way = self.under_way();
        if let Some(of_home) = under_way.get_mut(home) {
            *of_home = of_home.minus(amount);
            if *of_home == Amount::default() {
                under_way.remove(home);
            }
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

/// Tells the other servers as long as the storage is there.
async fn keep(usage: Weak<Usage>) {
    loop {
        sleep(EXCHANGE).await;
        let Some(usage) = usage.upgrade() else {
            return;
        };
        for home in usage.changed() {
            usage.exchange(&home).await;
        }
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
    /// Its reservation, which stands for the file until that has room. Were both told to other servers, they would
    /// count it twice for a while.
    pub(super) reserved: Option<(Amount, Arc<AtomicBool>)>,
}

impl Admission for QuotaAdmission {
    fn admit(&mut self, replaced: Option<u64>) -> Result<()> {
        self.give_back();
        let replaced = replaced.map(Amount::file).unwrap_or_default();
        let new = Amount::file(self.length);
        if let Some(counted) = self.usage.homes().get_mut(&self.home) {
            let after = counted.amount.minus(replaced).plus(new);
            self.limit.check(after, new.minus(replaced))?;
            counted.becomes(after);
            if let Some((amount, is_counted)) = &self.reserved {
                is_counted.store(true, Release);
                self.usage.is_not_under_way(&self.home, *amount);
            }
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
            counted.becomes(others.plus(replaced));
            if let Some((amount, is_counted)) = &self.reserved
                && is_counted.swap(false, AcqRel)
            {
                let mut under_way = self.usage.under_way();
                let of_home = under_way.entry(self.home.clone()).or_default();
                *of_home = of_home.plus(*amount);
            }
        }
    }
}

impl Drop for QuotaAdmission {
    fn drop(&mut self) {
        self.give_back();
    }
}
