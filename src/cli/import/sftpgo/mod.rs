//! SFTPGo: `sftpgo.json` or `sftpgo.yaml`, and a dump of its data.
//!
//! Keys are those of version 2.6; of the configuration those of `common` and `ftpd` are about FTP.

mod tree;
mod users;

use std::path::{Path, PathBuf};

use toml_edit::Array;

use self::tree::{Node, Table, Value};
use super::{
    Imported,
    draft::Draft,
    report::{
        Fate::{self, Lost, Needless},
        Place, Report,
    },
    source,
};

/// Reads it all into `imported`.
///
/// # Errors
/// When a file cannot be read.
pub fn import(file: &Path, users: &[PathBuf], imported: &mut Imported) -> Result<(), String> {
    let files = std::iter::once(file).chain(users.iter().map(PathBuf::as_path));
    for file in files {
        let node = tree::parse(file, &source::read(file)?)?;
        let whole = Place::new(file, 0);
        let Value::Table(entries) = &node.value else {
            let error = format!("{}: expected a table", whole.line(node.line));
            imported.report.error(error);
            continue;
        };
        let is_dump = entries.iter().any(|(key, _)| key == "users");
        let table = Table::new(node, &whole, "");
        match is_dump {
            true => dump(table, imported),
            false => configuration(table, imported),
        }
    }
    if imported.users.is_empty() && imported.draft.anonymous.is_none() {
        let why = "there are none; give a dump by --users: GET /api/v2/dumpdata?output-data=1";
        imported.report.lost(&Place::new(file, 0), "users", why);
    }
    Ok(())
}

/// A dump, as `dumpdata` writes it and `loaddata` reads it.
fn dump(mut table: Table<'_>, imported: &mut Imported) {
    let Imported {
        draft,
        users,
        report,
    } = imported;
    for node in table.list("users", report) {
        users::user(node, table.whole, draft, users, report);
    }
    table.node.take("version");
    for (key, why) in [
        (
            "groups",
            "see [plugin.settings.groups] of the plugin \"users\"; its users are in the group",
        ),
        ("folders", "see [storage.NAME]; a user has one home"),
        ("admins", "see `portcullis token add`"),
        ("api_keys", "see `portcullis token add`"),
        ("shares", "there are no shares"),
        ("event_actions", "see the plugin \"webhook\""),
        ("event_rules", "see the plugin \"webhook\""),
        ("roles", "see the roles of `portcullis token add`"),
        (
            "ip_lists",
            "see bans.deny-file, bans.allow and `portcullis ban`",
        ),
    ] {
        for mut entry in table.list(key, report) {
            let place = table.whole.line(entry.line);
            let names = ["name", "username", "id", "ipornet"];
            let name = names.iter().find_map(|name| entry.take(name));
            let name = name.as_ref().and_then(Node::text).unwrap_or("?");
            report.lost(&place, &format!("{key}.{name}"), why);
        }
    }
    for (place, name) in table.rest() {
        report.lost(&place, &name, "it is not about users");
    }
}

/// The configuration file.
fn configuration(mut table: Table<'_>, imported: &mut Imported) {
    let Imported { draft, report, .. } = imported;
    let mut common = table.table("common");
    self::common(&mut common, draft, report);
    let mut ftpd = table.table("ftpd");
    self::ftpd(&mut ftpd, draft, report);
    for section in [common, ftpd] {
        for (place, name) in section.rest() {
            let known = FATES.iter().find(|(known, _)| name.contains(known));
            let fate = known.map_or(
                Lost("there is no such key, or it is not known here"),
                |(_, fate)| *fate,
            );
            report.fate(&place, &name, fate);
        }
    }
    let Value::Table(entries) = table.node.value else {
        return;
    };
    for (section, node) in entries {
        if node.is_empty() {
            continue;
        }
        let known = SECTIONS.iter().find(|(known, _)| *known == section);
        let fate = known.map_or(
            Lost("there is no such section, or it is not known here"),
            |(_, fate)| *fate,
        );
        report.fate(&table.whole.line(node.line), &section, fate);
    }
}

fn common(table: &mut Table<'_>, draft: &mut Draft, report: &mut Report) {
    let idle = table
        .node
        .take("idle_timeout")
        .map(|node| (node.line, node.value));
    match idle {
        Some((line, Value::Number(minutes @ 0..))) => {
            let seconds = u64::try_from(minutes).unwrap_or(0).saturating_mul(60);
            let place = table.whole.line(line);
            draft.time(
                "idle-timeout",
                seconds,
                "common.idle_timeout",
                &place,
                report,
            );
        }
        Some((line, _)) => {
            let place = table.whole.line(line);
            report.wrong(&place, "common.idle_timeout", "minutes", "something else");
        }
        None => {}
    }
    for (key, ours) in [
        ("max_total_connections", "sessions"),
        ("max_per_host_connections", "sessions-per-address"),
    ] {
        if table.node.take(key).is_some_and(|node| {
            let place = table.whole.line(node.line);
            match node.value {
                Value::Number(number @ 0..) => {
                    let number = u64::try_from(number).unwrap_or(0);
                    draft.limit(ours, number, key, &place, report);
                    false
                }
                _ => true,
            }
        }) {
            report.wrong(
                table.whole,
                &table.name(key),
                "a number, not below 0",
                "something else",
            );
        }
    }
    let (proxies, _) = table.number("proxy_protocol", report);
    let (networks, place) = table.texts("proxy_allowed", report);
    if proxies > 0 {
        let mut list = Array::new();
        for network in &networks {
            match source::network(network) {
                Some(network) => list.push(match network.contains('/') {
                    true => network,
                    false if network.contains(':') => format!("{network}/128"),
                    false => format!("{network}/32"),
                }),
                None => report.wrong(&place, &table.name("proxy_allowed"), "networks", network),
            }
        }
        draft.set("server", "proxy-networks", list, &place);
    }
    if let Some((umask, place)) = table.text("umask", report) {
        match u32::from_str_radix(&umask, 8) {
            Ok(mask) if mask <= 0o777 => {
                draft.set("storage", "file-mode", source::mode(0o666 & !mask), &place);
                draft.set(
                    "storage",
                    "directory-mode",
                    source::mode(0o777 & !mask),
                    &place,
                );
            }
            _ => report.wrong(&place, "common.umask", "a umask in octal digits", &umask),
        }
    }
    let mut defender = table.table("defender");
    let (on, place) = defender.switch("enabled", report);
    if on {
        let why = "see [bans], which counts failed logins";
        report.lost(&place, "common.defender", why);
    }
    let limiters = table.list("rate_limiters", report);
    for node in limiters {
        let mut limiter = Table::new(node, table.whole, "common.rate_limiters");
        let (average, place) = limiter.number("average", report);
        if average > 0 {
            let why = "see bans.connections-per-minute";
            report.lost(&place, "common.rate_limiters", why);
        }
    }
}

fn ftpd(table: &mut Table<'_>, draft: &mut Draft, report: &mut Report) {
    let mut pairs = Vec::new();
    pair(table, &mut pairs, report);
    let authorities = table.texts("ca_certificates", report);
    let lists = table.texts("ca_revocation_lists", report);
    let mut required: Option<bool> = None;
    let mut client_auth = 0;
    let mut first = true;
    for node in table.list("bindings", report) {
        let line = node.line;
        let mut binding = Table::new(node, table.whole, "ftpd.bindings");
        let (port, at) = binding.number("port", report);
        if port == 0 {
            report.needless(
                &table.whole.line(line),
                "ftpd.bindings",
                "its port is 0, which is off",
            );
            continue;
        }
        let address = binding.text("address", report);
        let addresses = match address {
            Some((address, place)) => match address.parse::<std::net::IpAddr>() {
                Ok(address) => vec![address.to_string()],
                Err(_) => {
                    report.wrong(&place, "ftpd.bindings.address", "an address", &address);
                    continue;
                }
            },
            None => vec!["0.0.0.0".to_owned(), "::".to_owned()],
        };
        let (mode, mode_at) = binding.number("tls_mode", report);
        draft.listen(&addresses, port, mode == 2, &at.short(), report);
        let needs = mode > 0;
        match required {
            Some(other) if other != needs => {
                let why = "TLS is required on all addresses, or on none: tls.required";
                report.lost(&mode_at, "ftpd.bindings.tls_mode", why);
                required = Some(other && needs);
            }
            _ => required = Some(needs),
        }
        settings(&mut binding, first, draft, report);
        pair(&mut binding, &mut pairs, report);
        let (kind, _) = binding.number("client_auth_type", report);
        client_auth = client_auth.max(kind);
        first = false;
        for (place, name) in binding.rest() {
            let known = FATES.iter().find(|(known, _)| name.contains(known));
            let fate = known.map_or(
                Lost("there is no such key, or it is not known here"),
                |(_, fate)| *fate,
            );
            report.fate(&place, &name, fate);
        }
    }
    if required == Some(false) {
        let comment = "tls_mode is 0 there: remove this as soon as all clients speak TLS";
        draft.set_because("tls", "required", false, comment);
        draft.set_because("tls", "data-required", false, comment);
    }
    draft.certificates(&pairs);
    let (authorities, place) = authorities;
    match (client_auth, authorities.as_slice()) {
        (0, []) => {}
        (1 | 2, [file]) => {
            let kind = if client_auth == 1 {
                "required"
            } else {
                "optional"
            };
            draft.set("tls", "client-certificates", kind, &place);
            let file = place.resolve(file).display().to_string();
            draft.set("tls", "client-authorities", file, &place);
            let (lists, place) = lists;
            if !lists.is_empty() {
                let lists = lists
                    .iter()
                    .map(|list| place.resolve(list).display().to_string());
                draft.set("tls", "client-revocation", lists.collect::<Array>(), &place);
            }
        }
        _ => {
            let why = "tls.client-authorities is one file, for tls.client-certificates";
            report.lost(&place, "ftpd.ca_certificates", why);
        }
    }
    let mut ports = table.table("passive_port_range");
    let (start, at) = ports.number("start", report);
    let (end, _) = ports.number("end", report);
    if (start, end) != (0, 0) {
        draft.passive_ports(start, end, &at, report);
    }
    if let Some(node) = table.node.take("disable_active_mode")
        && node.value == Value::Switch(false)
    {
        draft.set("data", "active", true, &table.whole.line(node.line));
    }
    if let Some((banner, place)) = table.text("banner", report) {
        draft.greeting(&banner, "ftpd.banner", &place, report);
    }
    if let Some((file, place)) = table.text("banner_file", report) {
        draft.greeting_of_file(&file, "ftpd.banner_file", &place, report);
    }
}

/// A certificate and its key.
fn pair(table: &mut Table<'_>, pairs: &mut Vec<(PathBuf, PathBuf, Place)>, report: &mut Report) {
    let certificate = table.text("certificate_file", report);
    let key = table.text("certificate_key_file", report);
    match (certificate, key) {
        (Some((certificate, place)), Some((key, _))) if pairs.is_empty() => {
            pairs.push((place.resolve(&certificate), place.resolve(&key), place));
        }
        (Some((_, place)), Some(_)) => {
            let why = "there is one certificate already; see tls.certificate and [[tls.host]]";
            report.lost(&place, "certificate_file", why);
        }
        (Some((_, place)), None) | (None, Some((_, place))) => {
            report.lost(
                &place,
                "certificate_file",
                "a certificate needs its key, and a key its certificate",
            );
        }
        (None, None) => {}
    }
}

/// The settings of a binding that are one for all addresses here.
fn settings(binding: &mut Table<'_>, first: bool, draft: &mut Draft, report: &mut Report) {
    for key in ["force_passive_ip", "passive_host"] {
        if let Some((address, place)) = binding.text(key, report) {
            match first {
                true => draft.advertise(&address, &place, report),
                false => report.lost(&place, key, "data.advertise is one for all addresses"),
            }
        }
    }
    let (version, place) = binding.number("min_tls_version", report);
    if version == 13 && first {
        draft.set("tls", "minimum-version", "1.3", &place);
    } else if version == 13 {
        report.lost(
            &place,
            "min_tls_version",
            "tls.minimum-version is one for all addresses",
        );
    }
    let (reuse, place) = binding.number("tls_session_reuse", report);
    if reuse == 1 {
        draft.set("tls", "data-binding", "require", &place);
    }
}

/// Other sections of the configuration.
const SECTIONS: &[(&str, Fate)] = &[
    (
        "acme",
        Lost("certificates come from files: tls.certificate"),
    ),
    ("command", Needless("no programs are started")),
    (
        "data_provider",
        Needless("users come from the dump; see auth-sql for a database"),
    ),
    ("http", Needless("see grants.http of a plugin")),
    ("httpd", Lost("HTTP is not served but for [admin]")),
    ("kms", Needless("no secrets are kept that take a key")),
    ("mfa", Lost("see auth-totp in docs/shipped-plugins.md")),
    ("plugins", Lost("see docs/plugins.md")),
    ("sftpd", Lost("SFTP is not served")),
    ("smtp", Lost("no mail is sent; see the plugin \"webhook\"")),
    ("telemetry", Lost("see [metrics]")),
    ("webdavd", Lost("WebDAV is not served")),
];

/// Keys of `common` and `ftpd` by a part of their names.
const FATES: &[(&str, Fate)] = &[
    ("actions", Lost("see the plugin \"webhook\"")),
    (
        "active_connections_security",
        Needless("active connections go to the client's address alone"),
    ),
    (
        "active_transfers_port_non_20",
        Needless("active connections come from any port"),
    ),
    (
        "allow_self_connections",
        Needless("storages are local directories"),
    ),
    (
        "allowlist_status",
        Lost("see addresses of a user, and bans.deny-file"),
    ),
    (
        "apply_proxy_config",
        Needless("server.proxy-networks holds for all addresses"),
    ),
    ("combine_support", Lost("there is no COMB")),
    ("defender", Needless("it is off, or named above")),
    (
        "disable_active_mode",
        Needless("active mode is off: data.active"),
    ),
    (
        "enable_site",
        Needless("SITE CHMOD needs the right change-metadata"),
    ),
    ("event_manager", Lost("see the plugin \"webhook\"")),
    ("hash_support", Needless("HASH is there")),
    ("hook", Lost("see docs/plugins.md")),
    ("ignore_ascii_transfer_type", Lost("TYPE A always converts")),
    ("metadata", Needless("storages are local directories")),
    (
        "min_tls_version",
        Needless("TLS 1.2 is the oldest: tls.minimum-version"),
    ),
    (
        "passive_connections_security",
        Needless("a data connection always comes from the client's address"),
    ),
    (
        "passive_ip_overrides",
        Lost("data.advertise is one for all clients"),
    ),
    (
        "proxy_skipped",
        Needless("other networks than server.proxy-networks send no header"),
    ),
    ("rename_mode", Needless("storages are local directories")),
    (
        "resume_max_size",
        Needless("storages are local directories"),
    ),
    ("server_version", Needless("the greeting tells no version")),
    ("setstat_mode", Lost("see change-metadata in permissions")),
    ("temp_path", Needless("see storage.NAME.staging")),
    (
        "tls_cipher_suites",
        Lost("the suites are those of docs/tls.md"),
    ),
    ("tz", Needless("listings have UTC")),
    (
        "upload_mode",
        Needless("uploads are seen when they are whole, and can be resumed"),
    ),
];
