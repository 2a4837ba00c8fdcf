//! The keys that a virtual host can have of its own.

use std::collections::BTreeMap;

use super::{AccountChange, Config, Limits, Plugin, Storage, Tls, Uploads};
use crate::types::HostId;

/// A virtual host, as configured. The configuration names one, which has all of these keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    /// The key of what is kept for its users.
    pub id: HostId,
    /// Names that it answers to besides those of its certificates.
    pub names: Vec<String>,
    /// The text of 220.
    pub greeting: String,
    /// The end of sessions whose account has changed.
    pub account_change: AccountChange,
    /// Certificates, and what connections have to meet.
    pub tls: Tls,
    /// The limits of its sessions; those of the server as a whole are read elsewhere.
    pub limits: Limits,
    /// From the last byte to the verdict.
    pub uploads: Uploads,
    /// By their names.
    pub storage: BTreeMap<String, Storage>,
    /// The chains, in this order.
    pub plugin: Vec<Plugin>,
}

impl Config {
    /// The virtual host of clients that name none, and the others.
    #[must_use]
    pub fn hosts(&self) -> (Host, Vec<Host>) {
        let default = Host {
            id: HostId::default(),
            names: self.server.hosts.clone(),
            greeting: self.server.greeting.clone(),
            account_change: self.server.account_change,
            tls: self.tls.clone(),
            limits: self.limits.clone(),
            uploads: self.uploads,
            storage: self.storage.clone(),
            plugin: self.plugin.clone(),
        };
        (default, Vec::new())
    }
}
