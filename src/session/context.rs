//! What all sessions share.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use super::{accounts::Accounts, cuts::Cuts};
use crate::{
    config::{Advertise, Config},
    data::rate::Rate,
    fair::Turns,
    gate::{Account, Gates, events::Events},
    spool::Storage,
    tls::Tls,
};

/// How long a looked-up address is told to clients.
const ADVERTISED_FOR: Duration = Duration::from_secs(60);

/// The parts that a session works with.
pub struct Context {
    /// The configuration, its paths absolute.
    pub config: Config,
    /// Certificates.
    pub tls: Tls,
    /// Who decides.
    pub gates: Gates,
    /// Who hears of what happens.
    pub events: Events,
    /// By their names in the configuration.
    pub storages: BTreeMap<String, Arc<Storage>>,
    /// Sessions and bandwidth of each user.
    pub users: Arc<Users>,
    /// Who may log in now.
    pub logins: Arc<Turns>,
    /// All uploads together.
    pub upload_rate: Option<Arc<Rate>>,
    /// All downloads together.
    pub download_rate: Option<Arc<Rate>>,
    /// What PASV says.
    pub advertised: Advertised,
    /// Held by each session that began with it.
    pub sessions: Arc<()>,
}

impl Context {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        config: Config,
        tls: Tls,
        gates: Gates,
        events: Events,
        storages: BTreeMap<String, Arc<Storage>>,
        users: Arc<Users>,
        logins: Arc<Turns>,
    ) -> Self {
        let advertised = Advertised {
            last: Mutex::new(None),
        };
        let upload_rate = Rate::new(config.limits.total_upload_rate).map(Arc::new);
        let download_rate = Rate::new(config.limits.total_download_rate).map(Arc::new);
        Self {
            config,
            tls,
            gates,
            events,
            storages,
            users,
            logins,
            upload_rate,
            download_rate,
            advertised,
            sessions: Arc::new(()),
        }
    }

    /// The storage that serves an account: the one it names, else `default`, else the only one.
    #[must_use]
    pub fn storage(&self, account: &Account) -> Option<&Arc<Storage>> {
        match &account.storage {
            Some(name) => self.storages.get(name),
            None => self
                .storages
                .get("default")
                .or_else(|| self.storages.values().next()),
        }
    }

    /// The directory of the storage that serves an account.
    #[must_use]
    pub fn root(&self, account: &Account) -> Option<&Path> {
        let storages = &self.config.storage;
        let storage = match &account.storage {
            Some(name) => storages.get(name),
            None => storages.get("default").or_else(|| storages.values().next()),
        };
        storage.map(|storage| storage.root.as_path())
    }

    /// The IPv4 address that PASV gives a client that connected to `local`.
    pub async fn advertise(&self, local: IpAddr) -> Option<Ipv4Addr> {
        let own = match local.to_canonical() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        };
        match &self.config.data.advertise {
            None => own,
            Some(Advertise::Address(IpAddr::V4(address))) => Some(*address),
            Some(Advertise::Address(IpAddr::V6(_))) => own,
            Some(Advertise::Name(name)) => self.advertised.resolve(name).await.or(own),
        }
    }
}

/// The last answer for an advertised name.
pub struct Advertised {
    last: Mutex<Option<(Ipv4Addr, Instant)>>,
}

impl Advertised {
    async fn resolve(&self, name: &str) -> Option<Ipv4Addr> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((address, since)) = last
            && since.elapsed() < ADVERTISED_FOR
        {
            return Some(address);
        }
        let found = match tokio::net::lookup_host((name, 0)).await {
            Ok(mut addresses) => addresses.find_map(|address| match address {
                SocketAddr::V4(address) => Some(*address.ip()),
                SocketAddr::V6(_) => None,
            }),
            Err(error) => {
                tracing::warn!(name, %error, "data.advertise cannot be looked up");
                None
            }
        };
        // An old answer is better than none.
        let address = found.or(last.map(|(address, _)| address))?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some((address, Instant::now()));
        Some(address)
    }
}

/// Counts the sessions of each user, and holds the bandwidth that they share.
#[derive(Default)]
pub struct Users {
    /// Overwrites that were cut a moment ago.
    pub cuts: Arc<Cuts>,
    /// The sessions that are logged in.
    pub accounts: Arc<Accounts>,
    shares: Mutex<HashMap<String, Weak<Share>>>,
}

/// What the sessions of one user have in common. It lasts as long as one of them.
pub struct Share {
    sessions: AtomicU32,
    /// Uploads of this user.
    pub upload_rate: Option<Arc<Rate>>,
    /// Downloads of this user.
    pub download_rate: Option<Arc<Rate>>,
}

/// One session's place among those of its user.
pub struct Place(Arc<Share>);

impl std::ops::Deref for Place {
    type Target = Share;

    fn deref(&self) -> &Share {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Users {
    /// Takes a place among at most `limit` sessions of `user` (0 is no limit).
    pub fn enter(
        &self,
        user: &str,
        limit: u32,
        upload_rate: u64,
        download_rate: u64,
    ) -> Option<Place> {
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
            shares.insert(user.to_owned(), Arc::downgrade(&share));
            share
        });
        if limit > 0 && share.sessions.load(Ordering::Acquire) >= limit {
            return None;
        }
        share.sessions.fetch_add(1, Ordering::AcqRel);
        Some(Place(share))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_so_many_places_and_gets_them_back() {
        let users = Users::default();
        let first = users.enter("alice", 2, 0, 0).unwrap();
        let second = users.enter("alice", 2, 0, 0).unwrap();
        assert!(users.enter("alice", 2, 0, 0).is_none());
        assert!(users.enter("bob", 2, 0, 0).is_some());
        drop(first);
        assert!(users.enter("alice", 2, 0, 0).is_some());
        drop(second);
    }
}
