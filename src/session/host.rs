//! Virtual hosts: which one serves a session, and what it serves it with.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use crate::{
    config,
    data::rate::Rate,
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
    /// All uploads at this host.
    pub upload_rate: Option<Arc<Rate>>,
    /// All downloads at this host.
    pub download_rate: Option<Arc<Rate>>,
}

impl VirtualHost {
    /// The id that its users are known by.
    #[must_use]
    pub fn id(&self) -> &HostId {
        &self.config.id
    }

    /// Whether the configuration says that it has this name.
    fn is_called(&self, name: &str) -> bool {
        let mut names = self.config.names.iter();
        names.any(|own| own.eq_ignore_ascii_case(name))
    }

    /// Whether it shows certificates of its own, whose names are its names, too.
    fn has_own_certificates(&self) -> bool {
        let keys = &self.config.keys;
        keys.table().is_none() || keys.has_own("tls.certificate")
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

    /// The host of clients of a listener that name none: the listener's own, if it has one.
    #[must_use]
    pub fn first(&self, of_listener: &HostId) -> &Arc<VirtualHost> {
        self.by_id(of_listener).unwrap_or(&self.default)
    }

    /// All of them, the default first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<VirtualHost>> {
        std::iter::once(&self.default).chain(&self.others)
    }

    /// The host that clients mean by this name, in SNI or HOST: the one that the configuration calls so,
    /// else the first that has a certificate of its own for it.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Arc<VirtualHost>> {
        let called = self.iter().find(|host| host.is_called(name));
        let shows = |host: &&Arc<VirtualHost>| host.has_own_certificates() && host.tls.knows(name);
        called.or_else(|| self.iter().find(shows))
    }

    /// The host of these users.
    #[must_use]
    pub fn by_id(&self, id: &HostId) -> Option<&Arc<VirtualHost>> {
        self.iter().find(|host| host.id() == id)
    }
}
