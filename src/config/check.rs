//! Checks beyond the types: values that make no sense, alone or together.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use super::{
    Advertise, Binding, Challenge, ClientCertificates, CloseNotify, Config, Grants, LateVerdict,
    Plugin, Uploads, grants::Place, path::KeyPath, schema, tls::guest,
};
use crate::{
    startup::overlap,
    types::{
        OnFailure,
        dns::{is_dns_name, is_host_name},
    },
};

/// The errors and warnings, each with its key.
#[derive(Default)]
pub struct Findings {
    pub errors: Vec<(String, String)>,
    pub warnings: Vec<(String, String)>,
}

/// Looks at everything; the paths are absolute already.
pub fn check(config: &Config) -> Findings {
    let mut findings = Findings {
        errors: schema::out_of_bounds(config),
        warnings: Vec::new(),
    };
    server(config, &mut findings);
    tls(config, &mut findings);
    acme(config, &mut findings);
    data(config, &mut findings);
    limits(config, &mut findings);
    storages(config, &mut findings);
    uploads(&config.uploads, &mut findings);
    plugins(config, &mut findings);
    findings
}

impl Findings {
    fn error(&mut self, key: impl Into<String>, text: impl Into<String>) {
        self.errors.push((key.into(), text.into()));
    }

    fn warn(&mut self, key: impl Into<String>, text: impl Into<String>) {
        self.warnings.push((key.into(), text.into()));
    }
}

fn server(config: &Config, findings: &mut Findings) {
    let server = &config.server;
    if server.listen.is_empty() && server.listen_implicit.is_empty() {
        findings.error(
            "server.listen",
            "listen and listen-implicit are both empty: no client could come in",
        );
    }
    let mut seen: BTreeMap<SocketAddr, String> = BTreeMap::new();
    for (key, list) in [
        ("listen", &server.listen),
        ("listen-implicit", &server.listen_implicit),
    ] {
        for (index, address) in list.iter().enumerate() {
            let key = format!("server.{key}[{index}]");
            if address.port() != 0
                && let Some(first) = seen.insert(*address, key.clone())
            {
                findings.error(key, format!("{address} is in {first} already"));
            }
        }
    }
    let mut logs = BTreeMap::new();
    for (key, file) in config.logs() {
        // Serving may write to that directory, and must not to these.
        if file
            .parent()
            .is_some_and(|directory| server.state.starts_with(directory))
        {
            findings.error(
                key,
                "expected a file in a directory of its own, such as /var/log/portcullis",
            );
        }
        if let Some(other) = logs.insert(file, key) {
            findings.error(key, format!("this is {other} already"));
        }
    }
    for (key, address) in [
        ("admin.listen", config.admin.listen),
        ("metrics.listen", config.metrics.listen),
        ("acme.http-listen", config.acme.listens()),
    ] {
        let Some(address) = address else { continue };
        match seen.iter().find(|(other, _)| overlap(address, **other)) {
            Some((_, other)) => findings.error(key, format!("{address}: {other} takes it")),
            None => drop(seen.insert(address, key.to_owned())),
        }
    }
    if let Some(endpoint) = &config.traces.endpoint
        && config.traces.collector().is_none()
    {
        findings.error(
            "traces.endpoint",
            format!("expected a URL of http or https, such as \"http://127.0.0.1:4318\", found {endpoint:?}"),
        );
    }
    if server.greeting.chars().any(char::is_control) || server.greeting.len() > 500 {
        findings.error("server.greeting", "expected one line of 500 bytes at most");
    }
    for (index, host) in server.hosts.iter().enumerate() {
        if !is_dns_name(host) {
            findings.error(
                format!("server.hosts[{index}]"),
                format!("expected a DNS name, found {host:?}"),
            );
        }
    }
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&config.log.level) {
        findings.error(
            "log.level",
            format!("expected error, warn, info, debug, trace or directives such as \"info,portcullis::session=debug\": {error}"),
        );
    }
}

fn tls(config: &Config, findings: &mut Findings) {
    let tls = &config.tls;
    pairs("tls", &tls.certificate, &tls.key, findings);
    for (index, host) in tls.host.iter().enumerate() {
        let table = format!("tls.host[{index}]");
        pairs(&table, &host.certificate, &host.key, findings);
        if host.certificate.is_empty() {
            findings.error(
                format!("{table}.certificate"),
                "expected a path, found none",
            );
        }
    }
    if tls.certificate.is_empty() && !config.acme.is_used() {
        if !tls.ocsp_response.is_empty() {
            findings.error(
                "tls.ocsp-response",
                "tls.certificate is missing: nothing to staple the response to",
            );
        }
        let server = &config.server;
        let mut all = server.listen.iter().chain(&server.listen_implicit);
        if all.any(|address| !address.ip().is_loopback()) {
            findings.warn(
                "tls.certificate",
                "not set, so clients from elsewhere see a self-signed certificate that they cannot verify",
            );
        }
    }
    match (tls.client_certificates, &tls.client_authorities) {
        (ClientCertificates::Optional | ClientCertificates::Required, None) => findings.error(
            "tls.client-certificates",
            "tls.client-authorities is missing: nothing to verify client certificates against",
        ),
        (ClientCertificates::Off, Some(_)) => findings.warn(
            "tls.client-authorities",
            "has no effect while tls.client-certificates is \"off\"",
        ),
        _ => {}
    }
    if !tls.client_revocation.is_empty() && tls.client_certificates == ClientCertificates::Off {
        findings.warn(
            "tls.client-revocation",
            "has no effect while tls.client-certificates is \"off\"",
        );
    }
    if !tls.required {
        findings.warn(
            "tls.required",
            "is off: passwords may cross the network in the clear",
        );
    }
    if !tls.data_required {
        findings.warn(
            "tls.data-required",
            "is off: files and listings may cross the network in the clear",
        );
    }
    if !tls.required && !tls.data_required && !tls.clear_users.is_empty() {
        findings.warn("tls.clear-users", "has no effect, as nobody needs TLS");
    } else if let Some(user) = tls.clear_users.iter().find(|user| !guest(user)) {
        findings.warn(
            "tls.clear-users",
            format!("{user:?} may send a password, files and listings in the clear"),
        );
    }
    if tls.data_binding == Binding::Off {
        findings.warn(
            "tls.data-binding",
            "is \"off\": whoever shares a client's address can take over its data connections",
        );
    }
    if tls.close_notify == CloseNotify::Ignore {
        findings.warn(
            "tls.close-notify",
            "is \"ignore\": an upload that somebody on the way cuts between two records passes for a whole one",
        );
    }
    if tls.allow_ccc {
        findings.warn(
            "tls.allow-ccc",
            "is on: after CCC, commands and replies cross the network in the clear, and can be changed on the way",
        );
    }
}

/// Each certificate needs its key.
fn pairs(table: &str, certificates: &[PathBuf], keys: &[PathBuf], findings: &mut Findings) {
    let (certificate, key) = (format!("{table}.certificate"), format!("{table}.key"));
    match (certificates.len(), keys.len()) {
        (one, other) if one == other => {}
        (_, 0) => {
            let text = format!("{key} is missing: a certificate needs its key");
            findings.error(certificate, text);
        }
        (0, _) => {
            let text = format!("{certificate} is missing: a key needs its certificate");
            findings.error(key, text);
        }
        (certificates, keys) => findings.error(
            &key,
            format!(
                "expected one key for each certificate, in the same order: found {keys} for \
                 {certificates}"
            ),
        ),
    }
}

fn acme(config: &Config, findings: &mut Findings) {
    let acme = &config.acme;
    if !acme.is_used() {
        return;
    }
    for (index, name) in acme.names.iter().enumerate() {
        let key = format!("acme.names[{index}]");
        let wildcard = name.strip_prefix("*.");
        if !is_host_name(wildcard.unwrap_or(name)) {
            findings.error(key, format!("expected a DNS name, found {name:?}"));
        } else if wildcard.is_some() && acme.challenge != Challenge::Dns01 {
            findings.error(key, "a wildcard takes acme.challenge = \"dns-01\"");
        }
    }
    if acme.service().is_none() {
        let found = &acme.directory;
        let text = format!("expected a URL of https, found {found:?}");
        findings.error("acme.directory", text);
    }
    if !acme.agree_to_terms {
        findings.error(
            "acme.agree-to-terms",
            "expected true: the authority gives no certificate to those who do not agree",
        );
    }
    for (index, contact) in acme.contact.iter().enumerate() {
        if !contact.starts_with("mailto:") {
            findings.error(
                format!("acme.contact[{index}]"),
                format!("expected a URL such as \"mailto:ops@example.org\", found {contact:?}"),
            );
        }
    }
    if acme.external_account.is_some() != acme.external_account_key.is_some() {
        findings.error(
            "acme.external-account",
            "expected external-account and external-account-key together",
        );
    }
    if acme.challenge == Challenge::TlsAlpn01 && config.server.listen_implicit.is_empty() {
        findings.error(
            "acme.challenge",
            "\"tls-alpn-01\" takes an address of server.listen-implicit, to which port 443 leads",
        );
    }
}

fn data(config: &Config, findings: &mut Findings) {
    let (first, last) = config.data.passive_ports;
    if (first, last) != (0, 0) && first < 1024 {
        findings.error(
            "data.passive-ports",
            format!("expected ports from 1024, or 0-0, found {first}-{last}"),
        );
    }
    let wrong = match &config.data.advertise {
        Some(Advertise::Address(IpAddr::V6(address))) => Some(address.to_string()),
        Some(Advertise::Name(name)) if !is_dns_name(name) => Some(name.clone()),
        _ => None,
    };
    if let Some(found) = wrong {
        findings.error(
            "data.advertise",
            format!("expected an IPv4 address or a DNS name, found {found:?} (EPSV, for IPv6, names no address)"),
        );
    }
}

fn limits(config: &Config, findings: &mut Findings) {
    if config.limits.sessions == 0 {
        findings.warn(
            "limits.sessions",
            "is 0, no limit: clients can use up the server's memory",
        );
    }
}

fn storages(config: &Config, findings: &mut Findings) {
    if config.storage.is_empty() {
        findings.error("storage", "expected at least one [storage.NAME]");
    }
    let mut roots: BTreeMap<&Path, &str> = BTreeMap::new();
    for (name, storage) in &config.storage {
        let section = KeyPath::default().key("storage").key(name);
        let key = |key: &str| section.key(key).to_string();
        if let Some(first) = roots.insert(&storage.root, name) {
            findings.error(
                key("root"),
                format!("is the directory of storage {first:?} already"),
            );
        }
        if let Some(staging) = &storage.staging
            && staging.starts_with(&storage.root)
        {
            findings.error(
                key("staging"),
                "lies within the storage's root, where clients would see it",
            );
        }
        if let Some(quarantine) = &storage.quarantine {
            let roots = config
                .storage
                .iter()
                .map(|(name, other)| (name, &other.root));
            for (name, root) in roots {
                if quarantine.starts_with(root) || root.starts_with(quarantine) {
                    findings.error(
                        key("quarantine"),
                        format!("it and the root of storage {name:?} lie within one another"),
                    );
                }
            }
        }
        if storage.file_mode & 0o600 != 0o600 {
            findings.error(
                key("file-mode"),
                "expected 0600 in it: else the server could not read its own files",
            );
        }
        if storage.directory_mode & 0o700 != 0o700 {
            findings.error(
                key("directory-mode"),
                "expected 0700 in it: else the server could not enter its own directories",
            );
        }
    }
}

fn uploads(uploads: &Uploads, findings: &mut Findings) {
    if uploads.verdict_late != LateVerdict::Accept {
        return;
    }
    if uploads.verdict_after.is_zero() {
        findings.warn(
            "uploads.verdict-late",
            "has no effect while uploads.verdict-after is 0, no limit",
        );
    } else {
        findings.warn(
            "uploads.verdict-late",
            "is \"accept\": what inspectors are slow with is published before they have decided",
        );
    }
}

fn plugins(config: &Config, findings: &mut Findings) {
    if config.plugin.is_empty() {
        findings.warn(
            "plugin",
            "is empty: without an authenticator nobody can log in",
        );
    }
    if let Some(memory) = config.plugin_host.memory
        && memory > 0
        && let Some(most) = config
            .plugin
            .iter()
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
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, plugin) in config.plugin.iter().enumerate() {
        let key = |key: &str| format!("plugin[{index}].{key}");
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
                format!("{:?} is the name of plugin[{first}] already", plugin.name),
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
