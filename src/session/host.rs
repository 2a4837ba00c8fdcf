//! Virtual hosts: which one serves a session, and what it serves it with.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use crate::{
    config,
    gate::{Account, Gates, event::Observers},
    spool::Storage,
    tls::Tls,
    types::HostId,
};

/// One virtual host. A session is served by one at a time: the first one, until the client names
/// another by SNI (RFC 6066 §3) or HOST (RFC 7151).
pub struct VirtualHost {
    /// Its configuration.
    pub config: config::Host,
    /// Its certificates.
    pub tls: Tls,
    /// The gates.
    pub gates: Gates,
    /// The observers of events.
    pub observers: Observers,
    /// By their names in the configuration.
    pub storages: BTreeMap<String, Arc<Storage>>,
}

impl VirtualHost {
    /// The id that its users are known by.
    #[must_use]
    pub fn id(&self) -> &HostId {
        &self.config.id
    }

    /// Whether clients mean it by this name: one of its certificates is for it, or the configuration
    /// says so.
    #[must_use]
    pub fn answers_to(&self, name: &str) -> bool {
        let names = &self.config.names;
        self.tls.knows(name) || names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    /// The storage that serves an account: the one it names, else `default`, else the only one.
    #[must_use]
    pub fn storage(&self, account: &Account) -> Option<&Arc<Storage>> {
        named(&self.storages, account)
    }

    /// The directory of the storage that serves an account.
    #[must_use]
    pub fn root(&self, account: &Account) -> Option<&Path> {
        named(&self.config.storage, account).map(|storage| storage.root.as_path())
    }
}

fn named<'a, T>(storages: &'a BTreeMap<String, T>, account: &Account) -> Option<&'a T> {
    match &account.storage {
        Some(name) => storages.get(name),
        None => storages.get("default").or_else(|| storages.values().next()),
    }
}

/// The virtual hosts of a configuration, of which there is at least one.
pub struct Hosts {
    default: Arc<VirtualHost>,
    others: Vec<Arc<VirtualHost>>,
}

impl Hosts {
    /// `default` serves clients that name no host, or one that nobody has.
    #[must_use]
    pub fn new(default: Arc<VirtualHost>, others: Vec<Arc<VirtualHost>>) -> Self {
        Self { default, others }
    }

    /// The host of clients that name none.
    #[must_use]
    pub fn default(&self) -> &Arc<VirtualHost> {
        &self.default
    }

    /// All of them, the default first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<VirtualHost>> {
        std::iter::once(&self.default).chain(&self.others)
    }

    /// The host that clients mean by this name, in SNI or HOST.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Arc<VirtualHost>> {
        self.iter().find(|host| host.answers_to(name))
    }

    /// The host of these users.
    #[must_use]
    pub fn by_id(&self, id: &HostId) -> Option<&Arc<VirtualHost>> {
        self.iter().find(|host| host.id() == id)
    }
}
