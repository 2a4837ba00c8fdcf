//! The sessions of each user, and the bandwidth that they share.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use super::{
    accounts::Accounts,
    cuts::Cuts,
    leases::{Lease, Leases},
    session_table::SessionTable,
};
use crate::{
    data::rate::Rate,
    types::{HostId, UserId},
};

/// The users of all hosts; they outlive a reload.
#[derive(Default)]
pub struct Users {
    /// Overwrites that were cut a moment ago.
    pub cuts: Arc<Cuts>,
    /// All sessions.
    pub sessions: Arc<SessionTable>,
    /// Those that are logged in.
    pub accounts: Arc<Accounts>,
    shares: Mutex<HashMap<UserId, Weak<Share>>>,
    hosts: Mutex<HashMap<HostId, Weak<AtomicU32>>>,
    /// Where other servers have sessions of the same users.
    leases: Option<Arc<Leases>>,
}

/// One session among those of its host.
pub struct Guest(Arc<AtomicU32>);

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The state that the sessions of one user have in common. It lasts as long as one of them.
pub struct Share {
    sessions: AtomicU32,
    /// Uploads of this user.
    pub upload_rate: Option<Arc<Rate>>,
    /// Downloads of this user.
    pub download_rate: Option<Arc<Rate>>,
}

/// One session among those of its user.
pub struct Membership {
    share: Arc<Share>,
    _lease: Option<Lease>,
}

impl std::ops::Deref for Membership {
    type Target = Share;

    fn deref(&self) -> &Share {
        &self.share
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.share.sessions.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Users {
    /// Users that have sessions at other servers as well.
    #[must_use]
    pub fn with(leases: Option<Arc<Leases>>) -> Self {
        Self {
            leases,
            ..Self::default()
        }
    }

    /// The leases of sessions, if they are shared.
    #[must_use]
    pub fn leases(&self) -> Option<&Arc<Leases>> {
        self.leases.as_ref()
    }

    /// One more among at most `limit` sessions of `user` (0 is no limit), here and, where they are shared, at
    /// all servers.
    pub async fn enter(
        &self,
        user: &UserId,
        limit: u32,
        upload_rate: u64,
        download_rate: u64,
    ) -> Option<Membership> {
        let mut membership = self.enter_here(user, limit, upload_rate, download_rate)?;
        if let Some(leases) = self.leases.as_ref().filter(|_| limit > 0) {
            membership._lease = Some(leases.lend(user, limit).await?);
        }
        Some(membership)
    }

    fn enter_here(
        &self,
        user: &UserId,
        limit: u32,
        upload_rate: u64,
        download_rate: u64,
    ) -> Option<Membership> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if shares.len() > 1024 && shares.len().is_power_of_two() {
            shares.retain(|_, share| share.strong_count() > 0);
        }
        let share = shares.get(user).and_then(Weak::upgrade).unwrap_or_else(|| {
            let share = Arc::new(Share {
                sessions: AtomicU32::new(0),
                upload_rate: Rate::new(upload_rate).map(Arc::new),
                download_rate: Rate::new(download_rate).map(Arc::new),
            });
            shares.insert(user.clone(), Arc::downgrade(&share));
            share
        });
        if limit > 0 && share.sessions.load(Ordering::Acquire) >= limit {
            return None;
        }
        share.sessions.fetch_add(1, Ordering::AcqRel);
        Some(Membership {
            share,
            _lease: None,
        })
    }
}

impl Users {
    /// One more among at most `limit` sessions that are logged in at a host (0 is no limit).
    pub fn enter_host(&self, host: &HostId, limit: u32) -> Option<Guest> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let sessions = hosts.get(host).and_then(Weak::upgrade).unwrap_or_else(|| {
            // Of hosts that a reload has taken away, too, there are few.
            let sessions = Arc::default();
            hosts.insert(host.clone(), Arc::downgrade(&sessions));
            sessions
        });
        if limit > 0 && sessions.load(Ordering::Acquire) >= limit {
            return None;
        }
        sessions.fetch_add(1, Ordering::AcqRel);
        Some(Guest(sessions))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_user_has_so_many_places_and_gets_them_back() {
        let users = Users::default();
        let first = users.enter(&"alice".into(), 2, 0, 0).await.unwrap();
        let second = users.enter(&"alice".into(), 2, 0, 0).await.unwrap();
        assert!(users.enter(&"alice".into(), 2, 0, 0).await.is_none());
        assert!(users.enter(&"bob".into(), 2, 0, 0).await.is_some());
        drop(first);
        assert!(users.enter(&"alice".into(), 2, 0, 0).await.is_some());
        drop(second);
    }
}
