//! Overwrites that were cut a moment ago, for clients that come back by themselves.
//!
//! Such a client asks for the size, or lists, to learn where to go on; told of the published file, it
//! goes on at the wrong place, or takes the upload for done. With `uploads.resume-overwrites` the
//! same user at the same address is told of the broken upload for a while. No size that is told so
//! may be contradicted by a download: for twice as long, that is 450 there.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    types::UserId,
    {ftp::path::VirtualPath, gate::SessionInfo},
};

/// The most that are remembered; the oldest go.
const MOST: usize = 10_000;

/// The cuts of all sessions.
#[derive(Default)]
pub struct Cuts {
    recent: Mutex<HashMap<UserPath, Cut>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct UserPath {
    user: UserId,
    storage: Option<String>,
    home: String,
    path: String,
}

struct Cut {
    client: IpAddr,
    at: Instant,
}

/// The cuts as they concern one session.
#[derive(Clone)]
pub struct RecentCuts {
    cuts: Arc<Cuts>,
    facts: Arc<SessionInfo>,
    /// For how long the broken upload is told of; zero is never.
    window: Duration,
}

impl RecentCuts {
    /// Those of the session's user at its address.
    #[must_use]
    pub fn new(cuts: Arc<Cuts>, facts: Arc<SessionInfo>, window: Duration) -> Self {
        Self {
            cuts,
            facts,
            window,
        }
    }

    /// An overwrite of `path` was cut.
    pub fn note(&self, path: &VirtualPath) {
        let Some(place) = self.place(path) else {
            return;
        };
        let mut recent = self.cuts.recent();
        recent.retain(|_, cut| cut.at.elapsed() < self.window * 2);
        if recent.len() >= MOST
            && let Some(oldest) = recent.iter().min_by_key(|(_, cut)| cut.at)
        {
            let oldest = oldest.0.clone();
            recent.remove(&oldest);
        }
        let cut = Cut {
            client: self.client(),
            at: Instant::now(),
        };
        recent.insert(place, cut);
    }

    /// Whether the client is told of the broken upload rather than of the file.
    #[must_use]
    pub fn is_told(&self, path: &VirtualPath) -> bool {
        self.since(path).is_some_and(|since| since < self.window)
    }

    /// Whether the client may have been told so, and gets no download of the file.
    #[must_use]
    pub fn holds_back(&self, path: &VirtualPath) -> bool {
        self.since(path)
            .is_some_and(|since| since < self.window * 2)
    }

    fn since(&self, path: &VirtualPath) -> Option<Duration> {
        let place = self.place(path)?;
        let recent = self.cuts.recent();
        let cut = recent.get(&place)?;
        (cut.client == self.client()).then(|| cut.at.elapsed())
    }

    fn place(&self, path: &VirtualPath) -> Option<UserPath> {
        if self.window.is_zero() {
            return None;
        }
        let account = self.facts.account.as_ref()?;
        Some(UserPath {
            user: self.facts.user_id()?,
            storage: account.storage.clone(),
            home: account.home.as_str().to_owned(),
            path: path.as_str().to_owned(),
        })
    }

    fn client(&self) -> IpAddr {
        self.facts.client.ip().to_canonical()
    }
}

impl Cuts {
    fn recent(&self) -> MutexGuard<'_, HashMap<UserPath, Cut>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
