//! ProFTPD: `proftpd.conf` with all that it includes, and the files of users and groups that it names.
//!
//! Directives and their defaults are those of version 1.3.8.

mod fates;
mod limit;
mod parse;
mod tls;
mod users;

use std::path::{Path, PathBuf};

use self::{
    fates::FATES,
    limit::Limited,
    parse::{Node, Section},
    users::{rates, read_users},
};
use super::{
    Imported,
    draft::{Anonymous, Draft},
    permissions::Permissions,
    report::{Place, Report},
    rules::Rule,
    source::{Directive, Settings},
};

const PRODUCT: &str = "ProFTPD";

/// Reads it all into `imported`.
///
/// # Errors
/// When a file cannot be read.
pub fn import(file: &Path, users: &[PathBuf], imported: &mut Imported) -> Result<(), String> {
    let Imported {
        draft,
        users: all,
        report,
    } = imported;
    let nodes = parse::read(file, report)?;
    let mut settings = Settings::default();
    let mut sections = Vec::new();
    split(nodes, &mut settings, &mut sections, report);
    let whole = Place::new(file, 0);
    listeners(&mut settings, draft, report);
    tls::tls(&whole, &mut settings, draft, report);
    limits(&mut settings, draft, report);
    let permissions = permissions(&mut settings, report);
    read_users(&whole, &mut settings, users, &permissions, all, report)?;
    rates(&mut settings, draft, all, report);
    names(&mut settings, draft, report);
    let mut limited = Limited::new(report);
    for section in &sections {
        read_section(section, draft, &mut limited);
    }
    limited.apply(draft, all);
    settings.rest(PRODUCT, FATES, report);
    Ok(())
}

/// Directives of the server itself, and sections that are about something in it.
fn split(
    nodes: Vec<Node>,
    settings: &mut Settings,
    sections: &mut Vec<Section>,
    report: &mut Report,
) {
    for node in nodes {
        let section = match node {
            Node::Directive(directive) => {
                settings.push(directive);
                continue;
            }
            Node::Section(section) => section,
        };
        let condition = section.head.values.first().map_or("", String::as_str);
        match section.head.name.to_ascii_lowercase().as_str() {
            "global" => split(section.nodes, settings, sections, report),
            "ifmodule" if !condition.starts_with('!') => {
                split(section.nodes, settings, sections, report);
            }
            "ifmodule" => section.lose("taken for false: the module is taken to be there", report),
            "virtualhost" => {
                section.lose("virtual hosts are not carried over for now", report);
            }
            "anonymous" | "directory" | "limit" => sections.push(section),
            "ifdefine" | "ifversion" => {
                section.lose(
                    "conditions are not known here; remove its two lines if it is true",
                    report,
                );
            }
            "class" | "ifclass" | "ifuser" | "ifgroup" | "ifauthenticated" => {
                section.lose(
                    "there is nothing like it; see groups of the plugin \"users\"",
                    report,
                );
            }
            _ => section.lose("there is nothing like it", report),
        }
    }
}

fn listeners(settings: &mut Settings, draft: &mut Draft, report: &mut Report) {
    let (port, comment) = match settings.number("Port", report) {
        Some((0, place)) => {
            let text = "the main server listens nowhere there, and here on port 21";
            report.note(&place, "Port", text);
            (21, place.short())
        }
        Some((port, place)) => (port, place.short()),
        None => (21, "Port is not set there".to_owned()),
    };
    let six = settings.switch("UseIPv6", report).is_none_or(|(on, _)| on);
    let mut addresses = Vec::new();
    for directive in settings.take_all("DefaultAddress") {
        for address in &directive.values {
            match address.parse::<std::net::IpAddr>() {
                Ok(address) => addresses.push(address.to_string()),
                Err(_) => {
                    let why = "expected an address; names are not looked up: server.listen";
                    report.lost(&directive.place, "DefaultAddress", why);
                }
            }
        }
    }
    if addresses.is_empty() {
        addresses.push("0.0.0.0".to_owned());
        if six {
            addresses.push("::".to_owned());
        }
    }
    let options = settings
        .0
        .iter()
        .filter(|directive| directive.name.eq_ignore_ascii_case("TLSOptions"));
    let implicit = options
        .flat_map(|directive| &directive.values)
        .any(|option| option.eq_ignore_ascii_case("UseImplicitSSL"));
    draft.listen(&addresses, port, implicit, &comment, report);
    if let Some(directive) = settings.take("PassivePorts", report) {
        match directive.values.as_slice() {
            [first, last] => {
                let first = directive.number_in(first, report);
                let last = directive.number_in(last, report);
                if let (Some(first), Some(last)) = (first, last) {
                    draft.passive_ports(first, last, &directive.place, report);
                }
            }
            _ => report.wrong(
                &directive.place,
                "PassivePorts",
                "two ports",
                &directive.text(),
            ),
        }
    }
    if let Some((address, place)) = settings.text("MasqueradeAddress", report) {
        draft.advertise(&address, &place, report);
    }
}

fn limits(settings: &mut Settings, draft: &mut Draft, report: &mut Report) {
    for (name, key) in [
        ("MaxInstances", "sessions"),
        ("MaxClients", "sessions"),
        ("MaxConnectionsPerHost", "sessions-per-address"),
        ("MaxClientsPerHost", "sessions-per-address"),
        ("MaxClientsPerUser", "sessions-per-user"),
        ("MaxLoginAttempts", "login-attempts"),
    ] {
        for directive in settings.take_all(name) {
            let first = directive.values.first().map_or("", String::as_str);
            // A message for the client may follow.
            if first.eq_ignore_ascii_case("none") {
                report.needless(&directive.place, name, "no limit");
            } else if let Some(number) = directive.number_in(first, report) {
                draft.limit(key, number, name, &directive.place, report);
            }
        }
    }
    for (name, key) in [
        ("TimeoutLogin", "login-timeout"),
        ("TimeoutIdle", "idle-timeout"),
        ("TimeoutStalled", "stall-timeout"),
    ] {
        if let Some((seconds, place)) = settings.number(name, report) {
            draft.time(key, seconds, name, &place, report);
        }
    }
    if let Some(directive) = settings.take("Umask", report) {
        let file = directive.values.first().map_or("", String::as_str);
        let directories = directive.values.get(1).map_or(file, String::as_str);
        for (key, digits, all) in [
            ("file-mode", file, 0o666),
            ("directory-mode", directories, 0o777),
        ] {
            if let Some(mode) = directive.mask(digits, all, report) {
                draft.set("storage", key, mode, &directive.place);
            }
        }
    }
    if let Some(directive) = settings.take("CreateHome", report) {
        let first = directive.values.first().map_or("", String::as_str);
        let on = !first.eq_ignore_ascii_case("off");
        draft.set("storage", "create-homes", on, &directive.place);
        if on && directive.values.len() > 1 {
            let why = "modes, owners and skeletons of homes: storage.NAME.directory-mode";
            report.lost(&directive.place, "CreateHome", why);
        }
    }
    if let Some(directive) = settings.take("ServerIdent", report) {
        match directive.values.as_slice() {
            [on, text] if on.eq_ignore_ascii_case("on") => {
                draft.greeting(text, "ServerIdent", &directive.place, report);
            }
            _ => report.needless(
                &directive.place,
                "ServerIdent",
                "server.greeting tells no version",
            ),
        }
    }
    if let Some((file, place)) = settings.text("TransferLog", report) {
        if !file.eq_ignore_ascii_case("none") {
            draft.set("audit", "xferlog", "xferlog", &place);
            let text = "transfers are told in log/xferlog of the state directory (audit.xferlog)";
            report.note(&place, "TransferLog", text);
        } else {
            report.needless(&place, "TransferLog", "there is none here either");
        }
    }
    if let Some((true, place)) = settings.switch("AllowForeignAddress", report) {
        let why = "transfers between two servers are not possible";
        report.lost(&place, "AllowForeignAddress", why);
    }
}

/// The rights of all users.
fn permissions(settings: &mut Settings, report: &mut Report) -> Permissions {
    let mut permissions = Permissions::all();
    let overwrite = settings.switch("AllowOverwrite", report);
    if !overwrite.is_some_and(|(on, _)| on) {
        permissions.take(&["overwrite", "append"]);
    }
    permissions
}

/// `PathDenyFilter`, where it is about endings of names.
fn names(settings: &mut Settings, draft: &mut Draft, report: &mut Report) {
    for directive in settings.take_all("PathDenyFilter") {
        let pattern = directive.text();
        let Some(names) = endings(&pattern) else {
            let why = "the expression cannot be patterns of ours; see the plugin \"rules\"";
            report.lost(&directive.place, "PathDenyFilter", why);
            continue;
        };
        draft.rules.push(Rule {
            effect: "deny",
            operations: vec!["upload", "rename-to", "make-directory"],
            paths: names.iter().map(|name| format!("**/{name}")).collect(),
            source: directive.place.short(),
            ..Rule::default()
        });
    }
}

/// The patterns of names that a regular expression fits, of the form `\.a$`, `(\.a|\.b)$` or `\.(a|b)$`.
fn endings(pattern: &str) -> Option<Vec<String>> {
    let pattern = pattern.strip_suffix('$')?;
    let (before, alternatives) = match pattern.split_once('(') {
        Some((before, rest)) => (before, rest.strip_suffix(')')?),
        None => ("", pattern),
    };
    let plain = |text: &str| {
        let text = text.replace("\\.", "").replace(['-', '_'], "");
        text.chars().all(|c| c.is_ascii_alphanumeric())
    };
    let endings = alternatives
        .split('|')
        .map(|ending| format!("{before}{ending}"));
    endings
        .map(|ending| {
            let good = plain(&ending) && !ending.is_empty();
            good.then(|| format!("*{}", ending.replace("\\.", ".")))
        })
        .collect()
}

/// `<Anonymous>`, `<Directory>` and `<Limit>`.
fn read_section(section: &Section, draft: &mut Draft, limited: &mut Limited<'_>) {
    match section.head.name.to_ascii_lowercase().as_str() {
        "limit" => limit::limit(section, &[], 0, limited),
        "anonymous" => anonymous(section, draft, limited.report),
        _ => {
            let path = section.head.text();
            let Some((paths, depth)) = limit::directory(&path) else {
                let why = "rules are about paths that users see, as \"~/incoming\"; see the plugin \"rules\"";
                section.lose(why, limited.report);
                return;
            };
            for node in &section.nodes {
                match node {
                    Node::Section(inner) if inner.head.name.eq_ignore_ascii_case("Limit") => {
                        limit::limit(inner, &paths, depth, limited);
                    }
                    Node::Section(inner) => inner.lose("there is nothing like it", limited.report),
                    Node::Directive(directive) => {
                        let why = "it is for all directories here, or for none";
                        limited.report.lost(&directive.place, &directive.name, why);
                    }
                }
            }
        }
    }
}

/// Guests, who may only read.
fn anonymous(section: &Section, draft: &mut Draft, report: &mut Report) {
    let place = &section.head.place;
    let root = section.head.text();
    if !root.starts_with('/') {
        let why = "the home of that user is not known; say settings.anonymous of the plugin \"users\" by hand";
        section.lose(why, report);
        return;
    }
    let mut guests = Anonymous::new(place, place.resolve(&root), Permissions::read());
    for node in &section.nodes {
        let directive = match node {
            Node::Directive(directive) => directive,
            Node::Section(inner) => {
                guest_section(inner, report);
                continue;
            }
        };
        let Directive { place, name, .. } = directive;
        let first = directive.values.first().map_or("", String::as_str);
        match name.to_ascii_lowercase().as_str() {
            "maxclients" if first.eq_ignore_ascii_case("none") => {}
            "maxclients" => {
                let number = directive.number_in(first, report);
                if let Some(number @ 1..) = number.and_then(|number| i64::try_from(number).ok()) {
                    guests.keys.push(("max-sessions", number.into()));
                }
            }
            "anonrequirepassword" if first.eq_ignore_ascii_case("on") => {
                let why = "guests with a password are users; `portcullis user add`";
                section.lose(why, report);
                return;
            }
            "anonrequirepassword" | "requirevalidshell" => {
                report.needless(place, name, "guests give any password, and have no shell");
            }
            "user" | "group" | "dirfakeuser" | "dirfakegroup" => {
                report.needless(place, name, "guests have no user of the system");
            }
            "useralias" if matches!(first.to_ascii_lowercase().as_str(), "anonymous" | "ftp") => {
                report.needless(place, name, "\"anonymous\" and \"ftp\" are both guests");
            }
            _ => report.lost(place, name, "guests have no such key"),
        }
    }
    if draft.anonymous.replace(guests).is_some() {
        let why = "there are guests already; the last ones count";
        report.lost(place, &section.shown(), why);
    }
    draft.set(
        "tls",
        "clear-users",
        toml_edit::Array::from_iter(["anonymous"]),
        place,
    );
}

/// A section about guests: they may only read, which most of these say.
fn guest_section(section: &Section, report: &mut Report) {
    let only_reading = |section: &Section| {
        let writes = section.head.values.iter().all(|command| {
            let command = command.to_ascii_uppercase();
            [
                "WRITE", "STOR", "STOU", "APPE", "DELE", "MKD", "RMD", "RNFR", "RNTO",
            ]
            .contains(&command.as_str())
        });
        let denies = |node: &Node| match node {
            Node::Directive(directive) => directive.name.eq_ignore_ascii_case("DenyAll"),
            Node::Section(_) => false,
        };
        section.head.name.eq_ignore_ascii_case("Limit")
            && writes
            && section.nodes.iter().all(denies)
    };
    if only_reading(section) {
        report.needless(
            &section.head.place,
            &section.shown(),
            "guests may only read",
        );
        return;
    }
    if section.head.name.eq_ignore_ascii_case("Directory") {
        for node in &section.nodes {
            match node {
                Node::Section(inner) => guest_section(inner, report),
                Node::Directive(directive) => {
                    report.lost(&directive.place, &directive.name, "guests have no such key");
                }
            }
        }
        return;
    }
    section.lose(
        "guests may only read; see permissions of settings.anonymous",
        report,
    );
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn endings_of_names_become_patterns() {
        for (pattern, expected) in [
            (r"\.ftpaccess$", Some(&["*.ftpaccess"][..])),
            (r"(\.exe|\.com)$", Some(&["*.exe", "*.com"])),
            (r"\.(exe|com)$", Some(&["*.exe", "*.com"])),
            (r"^\.ht", None),
            (r"\.(exe|c.m)$", None),
            ("$", None),
        ] {
            let found = endings(pattern);
            let found: Option<Vec<&str>> = found
                .as_ref()
                .map(|names| names.iter().map(String::as_str).collect());
            assert_eq!(found.as_deref(), expected, "{pattern}");
        }
    }
}
