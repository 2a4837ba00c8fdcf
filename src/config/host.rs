//! Virtual hosts: `[[host]]`, and what each of them has of the top level.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    AccountChange, Config, HostLimits, HostTls, HostUploads, Limits, Plugin, Storage, Tls, Uploads,
    value,
};
use crate::types::HostId;

/// `[[host]]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HostTable {
    /// Its name, by which clients choose it (SNI, HOST), and the key of all that is kept for its users:
    /// another name is another host. In any case of letters.
    #[schemars(with = "value::DnsName")]
    pub name: String,
    /// More names by which clients choose it, besides those of its certificates.
    #[serde(default)]
    #[schemars(with = "Vec<value::DnsName>")]
    pub aliases: Vec<String>,
    /// As `server.greeting`: told to clients that name the host before they are greeted, and in reply to
    /// HOST.
    #[serde(default)]
    pub greeting: Option<String>,
    /// As `server.account-change`.
    #[serde(default)]
    pub account_change: Option<AccountChange>,
    /// Whether users of its own plugins have the top level's storages: two users of one name then have one
    /// home.
    #[serde(default)]
    pub share_storage: bool,
    /// Certificates, and what connections have to meet: key by key over `[tls]`.
    #[serde(default)]
    pub tls: HostTls,
    /// Limits: key by key over `[limits]`.
    #[serde(default)]
    pub limits: HostLimits,
    /// Uploads: key by key over `[uploads]`.
    #[serde(default)]
    pub uploads: HostUploads,
    /// Its storages. None: those of the top level.
    #[serde(default)]
    pub storage: BTreeMap<String, Storage>,
    /// Its plugins, in the order in which they are asked. None: those of the top level, each with a `state`
    /// of its own for this host.
    #[serde(default)]
    pub plugin: Vec<Plugin>,
}

impl HostTable {
    /// The key of what is kept for its users.
    #[must_use]
    pub fn id(&self) -> HostId {
        HostId::named(&self.name.to_ascii_lowercase())
    }
}

/// A virtual host in force: what it says, and else what the top level does.
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
    /// The limits of all its sessions together.
    pub together: Together,
    /// From the last byte to the verdict.
    pub uploads: Uploads,
    /// By their names.
    pub storage: BTreeMap<String, Storage>,
    /// The chains, in this order.
    pub plugin: Vec<Plugin>,
    /// Where its keys are said.
    pub keys: HostKeys,
}

/// Where the keys of a host are said: in its table, or at the top level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostKeys {
    /// Its place among the tables, and the keys that it says; none of the default host.
    own: Option<(usize, Vec<String>)>,
}

/// Limits of all sessions of a host. 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Together {
    /// Sessions that are logged in.
    pub sessions: u32,
    /// Bytes a second of all uploads.
    pub upload_rate: u64,
    /// Bytes a second of all downloads.
    pub download_rate: u64,
}

impl HostKeys {
    /// The key that has said something, from the key of the top level: `tls.certificate` may be
    /// `host[1].tls.certificate`.
    #[must_use]
    pub fn key(&self, key: &str) -> String {
        match &self.own {
            Some((index, said)) if said.iter().any(|said| is_within(key, said)) => {
                format!("host[{index}].{key}")
            }
            _ => key.to_owned(),
        }
    }

    /// The table of the host in the configuration: `host[1]`; none of the default host.
    #[must_use]
    pub fn table(&self) -> Option<String> {
        let (index, _) = self.own.as_ref()?;
        Some(format!("host[{index}]"))
    }

    /// Whether it has these of its own: "plugin", "storage".
    #[must_use]
    pub fn has_own(&self, key: &str) -> bool {
        let said = self.own.iter().flat_map(|(_, said)| said);
        said.into_iter().any(|said| said == key)
    }
}

impl Host {
    /// As [`HostKeys::key`].
    #[must_use]
    pub fn key(&self, key: &str) -> String {
        self.keys.key(key)
    }

    /// The name by which a storage of this host is known among all: "default@ftp.example.org".
    #[must_use]
    pub fn storage_id(&self, name: &str) -> String {
        match self.keys.has_own("storage") {
            true => self.id.qualify(name),
            false => name.to_owned(),
        }
    }
}

/// Whether a key is another one, or in it.
fn is_within(key: &str, outer: &str) -> bool {
    let rest = key.strip_prefix(outer);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// A storage of the configuration, whichever host has it.
#[derive(Clone, Debug)]
pub struct NamedStorage {
    /// Its name among all: that of the table, and behind it the host's.
    pub id: String,
    /// The host that alone has it; none where it is one of the top level.
    pub host: Option<HostId>,
    /// Its table: `storage.default`, `host[0].storage.default`.
    pub table: String,
    /// Its keys.
    pub storage: Storage,
}

impl NamedStorage {
    /// One of its keys: `host[0].storage.default.root`.
    #[must_use]
    pub fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.table)
    }
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
            together: Together::default(),
            uploads: self.uploads,
            storage: self.storage.clone(),
            plugin: self.plugin.clone(),
            keys: HostKeys::default(),
        };
        let others = self.host.iter().enumerate();
        let others = others.map(|(index, table)| default.with(index, table));
        let others = others.collect();
        (default, others)
    }

    /// The same one by one, the default host first.
    pub fn all_hosts(&self) -> impl Iterator<Item = Host> + use<> {
        let (default, others) = self.hosts();
        std::iter::once(default).chain(others)
    }

    /// The storages of the top level, and those that hosts have of their own.
    #[must_use]
    pub fn storages(&self) -> Vec<NamedStorage> {
        let mut all = Vec::new();
        for host in self.all_hosts() {
            if host.keys.table().is_some() && !host.keys.has_own("storage") {
                continue;
            }
            all.extend(host.storage.iter().map(|(name, storage)| NamedStorage {
                id: host.storage_id(name),
                host: host.keys.table().map(|_| host.id.clone()),
                table: host.key(&storage_table(name)),
                storage: storage.clone(),
            }));
        }
        all
    }
}

/// The table of a storage of the top level.
fn storage_table(name: &str) -> String {
    let path = super::path::KeyPath::default().key("storage").key(name);
    path.to_string()
}

impl Host {
    /// The host of a table, over this one.
    fn with(&self, index: usize, table: &HostTable) -> Self {
        let mut said = Vec::new();
        let mut names = vec![table.name.to_ascii_lowercase()];
        names.extend(table.aliases.iter().map(|name| name.to_ascii_lowercase()));
        said.extend(table.greeting.iter().map(|_| "greeting".to_owned()));
        let keys = [
            ("tls", table.tls.said()),
            ("limits", table.limits.said()),
            ("uploads", table.uploads.said()),
        ];
        for (name, keys) in keys {
            said.extend(keys.iter().map(|key| format!("{name}.{key}")));
        }
        if table.tls.certificate.is_some() {
            said.extend(["tls.key".to_owned(), "tls.ocsp-response".to_owned()]);
        }
        let storage = match table.storage.is_empty() {
            true => &self.storage,
            false => {
                said.push("storage".to_owned());
                &table.storage
            }
        };
        let plugin = match table.plugin.is_empty() {
            true => &self.plugin,
            false => {
                said.push("plugin".to_owned());
                &table.plugin
            }
        };
        Self {
            id: table.id(),
            names,
            greeting: table.greeting.as_ref().unwrap_or(&self.greeting).clone(),
            account_change: table.account_change.unwrap_or(self.account_change),
            tls: table.tls.over(&self.tls),
            limits: table.limits.over(&self.limits),
            together: Together {
                sessions: table.limits.sessions,
                upload_rate: table.limits.total_upload_rate,
                download_rate: table.limits.total_download_rate,
            },
            uploads: table.uploads.over(&self.uploads),
            storage: storage.clone(),
            plugin: plugin.clone(),
            keys: HostKeys {
                own: Some((index, said)),
            },
        }
    }
}
