//! Pure-FTPd: `pure-ftpd.conf`, or Debian's directory of files of one value each, and `pureftpd.passwd`.
//!
//! Directives are those of version 1.0.52 and of Debian's `pure-ftpd-wrapper`; the fields of a user are
//! those of its README.Virtual-Users.

mod fates;
mod users;

use std::{
    fs,
    path::{Path, PathBuf},
};

use self::{
    fates::FATES,
    users::{Defaults, read_users, tables},
};
use super::{
    Imported,
    draft::{Anonymous, Draft},
    permissions::Permissions,
    report::{Place, Report},
    rules::Rule,
    source::{self, Directive, Settings},
};

const PRODUCT: &str = "Pure-FTPd";
/// Files that include one another to this depth include themselves.
const DEEPEST: usize = 16;

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
    let mut settings = Settings::default();
    if file.is_dir() {
        read_directory(file, &mut settings, report)?;
    } else {
        let text = source::read(file)?;
        read_file(file, &text, 0, &mut settings, report);
    }
    let whole = Place::new(file, 0);
    listeners(&mut settings, draft, report);
    tls(&whole, &mut settings, draft, report);
    limits(&mut settings, draft, report);
    dot_files(&mut settings, draft, report);
    let permissions = permissions(&mut settings, report);
    anonymous(&mut settings, draft, report);
    let defaults = Defaults::take(&mut settings, report);
    let files = tables(&mut settings, users, report);
    for table in &files {
        read_users(table, &permissions, &defaults, all, report)?;
    }
    if all.is_empty() {
        let why = "there are none: PAM, SQL or LDAP may decide there; give pureftpd.passwd by --users, or see \
                   auth-ldap and auth-sql in docs/shipped-plugins.md";
        report.lost(&whole, "users", why);
    }
    settings.rest(PRODUCT, FATES, report);
    Ok(())
}

/// `Name value`, one a line.
fn read_file(file: &Path, text: &str, depth: usize, settings: &mut Settings, report: &mut Report) {
    for (place, line) in source::lines(file, text) {
        let (name, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let directive = Directive {
            place,
            name: name.to_owned(),
            values: values(value),
        };
        if !directive.name.eq_ignore_ascii_case("Include") {
            settings.push(directive);
            continue;
        }
        let path = directive.place.resolve(&directive.text());
        match source::read_if_there(&path) {
            // One that includes itself twice would be read without end.
            _ if report.has_errors() => return,
            _ if depth >= DEEPEST => {
                let text = format!("{}: Include: a file includes itself", directive.place);
                report.error(text);
                return;
            }
            Ok(Some(text)) => read_file(&path, &text, depth + 1, settings, report),
            Ok(None) => report.needless(&directive.place, "Include", "there is no such file"),
            Err(error) => report.lost(&directive.place, "Include", error),
        }
    }
}

/// Words, or texts in quotation marks.
fn values(text: &str) -> Vec<String> {
    let mut values = Vec::new();
    for (index, part) in text.split('"').enumerate() {
        match index % 2 {
            0 => values.extend(part.split_whitespace().map(str::to_owned)),
            _ => values.push(part.to_owned()),
        }
    }
    values
}

/// A file for each directive, which has its name.
fn read_directory(
    directory: &Path,
    settings: &mut Settings,
    report: &mut Report,
) -> Result<(), String> {
    let inner = directory.join("conf");
    let directory = if inner.is_dir() { &inner } else { directory };
    let failed = |error| format!("{} cannot be read: {error}", directory.display());
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .map_err(failed)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let whole = Place::new(&file, 0);
        // The wrapper passes over other names, too.
        if !name.chars().all(|c| c.is_ascii_alphanumeric()) {
            report.needless(&whole, &name, "it is no name of a directive");
            continue;
        }
        let text = source::read(&file)?;
        for (place, line) in source::lines(&file, &text) {
            settings.push(Directive {
                place,
                name: name.clone().into_owned(),
                values: values(line),
            });
        }
    }
    Ok(())
}

fn listeners(settings: &mut Settings, draft: &mut Draft, report: &mut Report) {
    let v4 = settings
        .switch("IPV4Only", report)
        .is_some_and(|(on, _)| on);
    let v6 = settings
        .switch("IPV6Only", report)
        .is_some_and(|(on, _)| on);
    let mut all = Vec::new();
    if !v6 {
        all.push("0.0.0.0".to_owned());
    }
    if !v4 {
        all.push("::".to_owned());
    }
    match settings.text("Bind", report) {
        Some((text, place)) => {
            let (address, port) = match text.split_once(',') {
                Some((address, port)) => (address.trim(), port.trim()),
                None => (text.as_str(), "21"),
            };
            let port = port
                .parse()
                .unwrap_or(if port == "ftp" { 21 } else { u64::MAX });
            let addresses = match address.parse::<std::net::IpAddr>() {
                _ if address.is_empty() || address == "*" => all,
                Ok(address) => vec![address.to_string()],
                Err(_) => {
                    let why = "expected an address; names are not looked up: server.listen";
                    report.lost(&place, "Bind", why);
                    all
                }
            };
            draft.listen(&addresses, port, false, &place.short(), report);
        }
        None => draft.listen(&all, 21, false, "Bind is not set there", report),
    }
    if let Some(directive) = settings.take("PassivePortRange", report) {
        let text = directive.text().replace(':', " ");
        let ports: Vec<&str> = text.split_whitespace().collect();
        match ports.as_slice() {
            [first, last] => {
                let first = directive.number_in(first, report);
                let last = directive.number_in(last, report);
                if let (Some(first), Some(last)) = (first, last) {
                    draft.passive_ports(first, last, &directive.place, report);
                }
            }
            _ => report.wrong(&directive.place, "PassivePortRange", "two ports", &text),
        }
    }
    if let Some((address, place)) = settings.text("ForcePassiveIP", report) {
        draft.advertise(&address, &place, report);
    }
}

fn tls(whole: &Place, settings: &mut Settings, draft: &mut Draft, report: &mut Report) {
    let mode = settings.number("TLS", report);
    let bundle = settings.text("CertFile", report);
    let both = settings.take("CertFileAndKey", report);
    let suites = settings.text("TLSCipherSuite", report);
    let place = mode.as_ref().map_or(whole, |(_, place)| place).clone();
    match mode.map_or(0, |(mode, _)| mode) {
        0 => {
            draft.without_tls("TLS", &place, report);
            let bundle = bundle.into_iter().map(|(_, place)| place);
            for place in bundle.chain(both.into_iter().map(|directive| directive.place)) {
                report.lost(&place, "a certificate", "TLS is off there: tls.certificate");
            }
            if let Some((_, place)) = suites {
                report.needless(&place, "TLSCipherSuite", "TLS is off there");
            }
            return;
        }
        1 => {
            draft.set("tls", "required", false, &place);
            draft.set("tls", "data-required", false, &place);
        }
        2 => {
            // The control connection alone.
            draft.set("tls", "required", true, &place);
            draft.set("tls", "data-required", false, &place);
        }
        3 => {}
        found => report.wrong(&place, "TLS", "0, 1, 2 or 3", &found.to_string()),
    }
    if let Some((suites, place)) = suites {
        let why = match suites.starts_with("-C:") {
            true => {
                "client certificates that are required: tls.client-certificates and client-authorities"
            }
            false => "the suites are those of docs/tls.md",
        };
        report.lost(&place, "TLSCipherSuite", why);
    }
    let pair = match (bundle, both) {
        (_, Some(Directive { place, values, .. })) => match values.as_slice() {
            [certificate, key] => Some((place.resolve(certificate), place.resolve(key), place)),
            _ => {
                let found = values.join(" ");
                report.wrong(&place, "CertFileAndKey", "two paths", &found);
                None
            }
        },
        (Some((file, place)), None) => Some((place.resolve(&file), place.resolve(&file), place)),
        (None, None) => {
            let text = "no certificate is named, so that it is /etc/ssl/private/pure-ftpd.pem: tls.certificate";
            report.lost(&place, "TLS", text);
            None
        }
    };
    draft.certificates(&pair.into_iter().collect::<Vec<_>>());
}

fn limits(settings: &mut Settings, draft: &mut Draft, report: &mut Report) {
    for (name, key) in [
        ("MaxClientsNumber", "sessions"),
        ("MaxClientsPerIP", "sessions-per-address"),
    ] {
        if let Some((number, place)) = settings.number(name, report) {
            draft.limit(key, number, name, &place, report);
        }
    }
    if let Some((minutes, place)) = settings.number("MaxIdleTime", report) {
        let seconds = minutes.saturating_mul(60);
        draft.time("idle-timeout", seconds, "MaxIdleTime", &place, report);
    }
    if let Some(directive) = settings.take("Umask", report) {
        let text = directive.text().replace(':', " ");
        let mut masks = text.split_whitespace();
        let file = masks.next().unwrap_or_default();
        let directories = masks.next().unwrap_or(file);
        for (key, digits, all) in [
            ("file-mode", file, 0o666),
            ("directory-mode", directories, 0o777),
        ] {
            if let Some(mode) = directive.mask(digits, all, report) {
                draft.set("storage", key, mode, &directive.place);
            }
        }
    }
    if let Some((on, place)) = settings.switch("CreateHomeDir", report) {
        draft.set("storage", "create-homes", on, &place);
    }
    if let Some(directive) = settings.take("UserBandwidth", report) {
        for (key, bytes) in rates(&directive, report) {
            draft.set("limits", key, source::size(bytes), &directive.place);
        }
    }
    for directive in settings.take_all("AltLog") {
        let Directive { place, .. } = &directive;
        match directive.text().split_once(':') {
            Some(("xferlog", _)) => {
                draft.set("audit", "xferlog", "xferlog", place);
                let text =
                    "transfers are told in log/xferlog of the state directory (audit.xferlog)";
                report.note(place, "AltLog", text);
            }
            _ => report.lost(
                place,
                "AltLog",
                "transfers are told in audit.file and audit.xferlog",
            ),
        }
    }
}

/// Rates in KB a second: one for both directions, or `UPLOAD:DOWNLOAD`.
fn rates(directive: &Directive, report: &mut Report) -> Vec<(&'static str, u64)> {
    let text = directive.text().replace(char::is_whitespace, ":");
    let (up, down) = text.split_once(':').unwrap_or((&text, &text));
    let mut rates = Vec::new();
    for (key, text) in [("upload-rate", up), ("download-rate", down)] {
        if text.is_empty() {
            continue;
        }
        if let Some(kilobytes) = directive.number_in(text, report) {
            rates.push((key, kilobytes.saturating_mul(1024)));
        }
    }
    rates
}

/// Names that begin with a dot.
fn dot_files(settings: &mut Settings, draft: &mut Draft, report: &mut Report) {
    for (name, operations) in [
        ("ProhibitDotFilesRead", vec!["download", "list"]),
        ("ProhibitDotFilesWrite", vec!["write"]),
    ] {
        if let Some((true, place)) = settings.switch(name, report) {
            draft.rules.push(Rule {
                effect: "deny",
                operations,
                paths: vec!["**/.*".to_owned(), "**/.*/**".to_owned()],
                source: place.short(),
                ..Rule::default()
            });
        }
    }
}

/// The rights of all users.
fn permissions(settings: &mut Settings, report: &mut Report) -> Permissions {
    let mut permissions = Permissions::all();
    for (name, rights) in [
        (
            "KeepAllFiles",
            &["delete", "remove-directory", "overwrite"][..],
        ),
        ("NoRename", &["rename"]),
    ] {
        if let Some((true, _)) = settings.switch(name, report) {
            permissions.take(rights);
        }
    }
    if let Some((true, place)) = settings.switch("NoChmod", report) {
        permissions.take(&["change-metadata"]);
        let text = "times cannot be changed either, as both are the right change-metadata";
        report.note(&place, "NoChmod", text);
    }
    if let Some((true, place)) = settings.switch("AutoRename", report) {
        permissions.take(&["overwrite"]);
        let why = "an upload whose name is taken is refused, and not renamed";
        report.lost(&place, "AutoRename", why);
    }
    permissions
}

/// Guests: their home is that of a user of the system, which no file says.
fn anonymous(settings: &mut Settings, draft: &mut Draft, report: &mut Report) {
    let off = settings.switch("NoAnonymous", report);
    if off.as_ref().is_some_and(|(off, _)| *off) {
        for name in [
            "AnonymousCantUpload",
            "AnonymousCanCreateDirs",
            "AnonymousBandwidth",
            "AnonymousRatio",
        ] {
            for directive in settings.take_all(name) {
                report.needless(&directive.place, name, "there are no guests there");
            }
        }
        return;
    }
    let bandwidth = settings.take("AnonymousBandwidth", report);
    let upload = settings.switch("AnonymousCantUpload", report);
    let directories = settings.switch("AnonymousCanCreateDirs", report);
    let Some(home) = settings.text("AnonymousHome", report) else {
        let why = "guests are let in there, to the home of the user ftp, which no file says; say \
                   settings.anonymous of the plugin \"users\" by hand";
        let names = [upload, directories, off].into_iter().flatten();
        for (_, place) in names.chain(bandwidth.map(|directive| (true, directive.place))) {
            report.lost(&place, "anonymous", why);
        }
        return;
    };
    let (home, place) = home;
    draft.anonymous = Some(Anonymous::new(
        &place,
        place.resolve(&home),
        Permissions::read(),
    ));
}
