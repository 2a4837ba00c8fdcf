//! Plugins and their grants.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    super::{Config, Grants, Host, Plugin, grants::Place},
    Findings,
};
use crate::types::OnFailure;

/// Looks at what all plugins share.
pub(super) fn plugin_host(config: &Config, findings: &mut Findings) {
    if let Some(memory) = config.plugin_host.memory
        && memory > 0
        && let Some(most) = config
            .all_hosts()
            .flat_map(|host| host.plugin)
            .map(|plugin| plugin.limits.memory)
            .max()
        && memory < most.saturating_mul(4)
    {
        findings.warn(
            "plugin-host.memory",
            format!(
                "is less than four times the largest limits.memory, {most} bytes: each \
                purpose has a part of it, and a plugin may find too little"
            ),
        );
    }
}

/// Looks at the chains of a host.
pub(super) fn plugins(host: &Host, findings: &mut Findings) {
    if host.plugin.is_empty() {
        findings.warn(
            host.key("plugin"),
            "is empty: without an authenticator nobody can log in",
        );
    }
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, plugin) in host.plugin.iter().enumerate() {
        let key = |key: &str| host.key(&format!("plugin[{index}].{key}"));
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if plugin.name.is_empty() || !plugin.name.chars().all(plain) {
            findings.error(
                key("name"),
                format!(
                    "expected letters, digits, \"-\" and \"_\", found {:?}",
                    plugin.name
                ),
            );
        }
        if let Some(first) = names.insert(&plugin.name, index) {
            findings.error(
                key("name"),
                format!(
                    "{:?} is the name of {} already",
                    plugin.name,
                    host.key(&format!("plugin[{first}]"))
                ),
            );
        }
        one_plugin(plugin, &key, findings);
    }
}

fn one_plugin(plugin: &Plugin, key: &dyn Fn(&str) -> String, findings: &mut Findings) {
    if plugin.component.is_empty() || plugin.component == "builtin:" {
        findings.error(key("component"), "expected a file or \"builtin:NAME\"");
    }
    if let Some(digest) = &plugin.sha256
        && (digest.len() != 64 || !digest.bytes().all(|b| b.is_ascii_hexdigit()))
    {
        findings.error(key("sha256"), "expected 64 hexadecimal digits");
    }
    if plugin.on_failure == OnFailure::Allow {
        findings.warn(
            key("on-failure"),
            "is \"allow\": when the plugin fails, what it should have decided is let pass",
        );
    }
    grants(
        &plugin.grants,
        &|name| key(&format!("grants.{name}")),
        findings,
    );
}

fn grants(grants: &Grants, key: &dyn Fn(&str) -> String, findings: &mut Findings) {
    let mut guests = BTreeSet::new();
    for (index, directory) in grants.directories.iter().enumerate() {
        let key = |name: &str| key(&format!("directories[{index}].{name}"));
        let guest = &directory.guest;
        let mut names = guest.split('/').skip(1);
        let plain = guest == "/" || names.all(|name| !matches!(name, "" | "." | ".."));
        if !guest.starts_with('/') || !plain || guest.contains(char::is_control) {
            findings.error(
                key("guest"),
                format!("expected an absolute path such as \"/lists\", found {guest:?}"),
            );
        }
        if !guests.insert(guest) {
            findings.error(key("guest"), format!("{guest:?} is granted already"));
        }
    }
    for (index, endpoint) in grants.tcp.iter().enumerate() {
        match &endpoint.place {
            Place::Name(name) if !grants.dns => findings.warn(
                key(&format!("tcp[{index}]")),
                format!("grants.dns is not set: the plugin cannot look up {name}"),
            ),
            Place::Network(network) if network.prefix_len() == 0 => findings.warn(
                key(&format!("tcp[{index}]")),
                "is every address: the plugin reaches this machine and all networks around it",
            ),
            Place::Name(_) | Place::Network(_) => {}
        }
    }
    for (index, name) in grants.environment.iter().enumerate() {
        if name.is_empty() || name.contains(['=', '\0']) {
            findings.error(
                key(&format!("environment[{index}]")),
                format!("expected the name of a variable, found {name:?}"),
            );
        }
    }
    if grants.authorities.is_some() && grants.tcp.is_empty() && grants.http.is_empty() {
        findings.warn(
            key("authorities"),
            "is of no use without grants.http or grants.tcp",
        );
    }
}
