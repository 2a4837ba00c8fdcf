//! Virtual hosts: their names, and what they have of the top level.

use std::collections::BTreeMap;

use super::{super::Config, Findings, greeting};
use crate::types::dns::is_host_name;

/// Looks at the names of all hosts, and at what a host has to say together.
pub(super) fn hosts(config: &Config, findings: &mut Findings) {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let known = config.server.hosts.iter().enumerate();
    let known = known.map(|(index, name)| (format!("server.hosts[{index}]"), name));
    let tables = config.host.iter().enumerate().flat_map(|(index, host)| {
        let aliases = host.aliases.iter().enumerate();
        let aliases =
            aliases.map(move |(alias, name)| (format!("host[{index}].aliases[{alias}]"), name));
        std::iter::once((format!("host[{index}].name"), &host.name)).chain(aliases)
    });
    for (key, name) in known.chain(tables) {
        if !is_host_name(name) || name.ends_with('.') {
            let text = format!("expected a DNS name, found {name:?}");
            findings.error(key, text);
        } else if let Some(first) = names.get(&name.to_ascii_lowercase()) {
            findings.error(key, format!("{name:?} is {first} already"));
        } else {
            names.insert(name.to_ascii_lowercase(), key);
        }
    }
    for (index, host) in config.host.iter().enumerate() {
        let key = |key: &str| format!("host[{index}].{key}");
        if let Some(text) = &host.greeting {
            greeting(key("greeting"), text, findings);
        }
        if host.tls.certificate.is_none() {
            let with = [
                ("tls.key", &host.tls.key),
                ("tls.ocsp-response", &host.tls.ocsp_response),
            ];
            for (name, _) in with.into_iter().filter(|(_, said)| said.is_some()) {
                let text = format!(
                    "{} is missing: certificates, keys and responses go together",
                    key("tls.certificate")
                );
                findings.error(key(name), text);
            }
        }
        match (host.plugin.is_empty(), host.storage.is_empty()) {
            (false, true) if !host.share_storage => {
                let text = format!(
                    "{} is missing: users of its own plugins would have the homes of users of the \
                     same name elsewhere; share-storage = true allows that",
                    key("storage")
                );
                findings.error(key("plugin"), text);
            }
            (false, true) => findings.warn(
                key("share-storage"),
                "is on: two users of one name, here and at the top level, have one home",
            ),
            _ if host.share_storage => findings.warn(
                key("share-storage"),
                "has no effect: it is for a host with plugins of its own, and without storages",
            ),
            _ => {}
        }
    }
    for (index, listener) in config.listener.iter().enumerate() {
        let Some(name) = &listener.host else { continue };
        let mut hosts = config.host.iter();
        if !hosts.any(|host| host.name.eq_ignore_ascii_case(name)) {
            let text = format!("no host has the name {name:?}");
            findings.error(format!("listener[{index}].host"), text);
        }
    }
}
