//! vsftpd: `vsftpd.conf`, per-user configurations, lists of users, and tables of virtual ones.
//!
//! Options and their defaults are those of vsftpd.conf(5) of version 3.0.

mod fates;
mod rights;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use self::{
    fates::FATES,
    rights::{ANONYMOUS_RIGHTS, Granted, commands},
};
use super::{
    Imported, accounts,
    draft::{Anonymous, Draft},
    permissions::Permissions,
    report::{Place, Report},
    rules::{self, Rule},
    source::{self, Directive, Settings},
    users::{Password, User},
};

const PRODUCT: &str = "vsftpd";

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
    let mut settings = parse(file, &source::read(file)?, report);
    let whole = Place::new(file, 0);
    listeners(&mut settings, draft, report);
    tls(&whole, &mut settings, draft, report);
    data(&mut settings, draft, report);
    limits(&mut settings, draft, report);
    logs(&mut settings, draft, report);
    names(&mut settings, draft, report);
    let granted = Granted::take(&whole, &mut settings, draft, report);
    let accounts = accounts::read(users, report)?;
    anonymous(&mut settings, &accounts, &granted, draft, report);
    let local = settings.switch("local_enable", report);
    if local.as_ref().is_some_and(|(on, _)| *on) && accounts.is_empty() {
        let (_, place) = local.unwrap_or((true, whole));
        let why = "PAM decides who its users are; give the table by --users: the file of pam_pwdfile, \
                   htpasswd's, pam_userdb's text, or /etc/passwd and /etc/shadow";
        report.lost(&place, "local_enable", why);
    }
    let chosen = chosen(&mut settings, report)?;
    confined(&mut settings, report);
    let guest_home = granted.guest.as_ref().and_then(|guest| {
        let account = accounts.iter().find(|account| account.name == *guest);
        account.and_then(|account| account.home.clone())
    });
    for account in &accounts {
        let password = account.secret(true);
        if password == Password::None {
            let why = match account.password {
                Some(_) => "nobody can log in with it, as it has no password; left out",
                None => "its password is in another file; give that by --users, too",
            };
            report.needless(&account.place, &account.name, why);
            continue;
        }
        let mut user = User::new(&account.name, &account.place, password);
        user.permissions = granted.rights(granted.as_guests, granted.writes);
        user.home = match (&granted.root, &granted.token) {
            (Some(root), Some(token)) => Some(root.replace(token, &account.name).into()),
            (Some(root), None) => Some(root.into()),
            (None, _) if granted.guest.is_some() => guest_home.as_ref().map(PathBuf::from),
            (None, _) => account.home.as_ref().map(PathBuf::from),
        };
        if let Some(day) = &account.expires {
            user.set("expires", day.as_str());
        }
        if let Some((names, denied, place)) = &chosen
            && names.contains(&user.name) == *denied
        {
            user.disabled = Some(format!("{} keeps it out", place.short()));
        }
        if let Some(directory) = &granted.user_config {
            per_user(&directory.join(&user.name), &granted, &mut user, report)?;
        }
        all.add(user, report);
    }
    settings.rest(PRODUCT, FATES, report);
    Ok(())
}

/// `NAME=VALUE`, one a line.
fn parse(file: &Path, text: &str, report: &mut Report) -> Settings {
    let mut settings = Settings::default();
    for (place, line) in source::lines(file, text) {
        let Some((name, value)) = line.split_once('=') else {
            report.error(format!("{place}: expected OPTION=VALUE"));
            continue;
        };
        settings.push(Directive {
            place,
            name: name.trim().to_owned(),
            values: vec![value.trim().to_owned()],
        });
    }
    settings
}

fn listeners(settings: &mut Settings, draft: &mut Draft, report: &mut Report) {
    let (port, place) = match settings.number("listen_port", report) {
        Some((port, place)) => (port, Some(place)),
        None => (21, None),
    };
    let mut because = place;
    let mut addresses = Vec::new();
    for (name, brackets) in [("listen_address", false), ("listen_address6", true)] {
        let Some((address, place)) = settings.text(name, report) else {
            continue;
        };
        match address.parse::<std::net::IpAddr>() {
            Ok(address) if address.is_ipv6() == brackets => addresses.push(address.to_string()),
            _ => report.wrong(&place, name, "an address", &address),
        }
        because = because.or(Some(place));
    }
    let v4 = settings.switch("listen", report);
    let v6 = settings.switch("listen_ipv6", report);
    if addresses.is_empty() {
        addresses.push("0.0.0.0".to_owned());
        // A socket for all addresses of IPv6 takes those of IPv4 there, too.
        if v6.as_ref().is_some_and(|(on, _)| *on) {
            addresses.push("::".to_owned());
        }
    }
    if let (Some((false, place)), None | Some((false, _))) = (&v4, &v6) {
        let text = "an inetd has listened for it; this server listens itself";
        report.note(place, "listen", text);
    }
    let implicit = settings.switch("implicit_ssl", report);
    let implicit = implicit.is_some_and(|(on, _)| on);
    let comment = because.map_or("listen_port is not set there".to_owned(), |place| {
        place.short()
    });
    draft.listen(&addresses, port, implicit, &comment, report);
}

fn tls(whole: &Place, settings: &mut Settings, draft: &mut Draft, report: &mut Report) {
    let on = settings.switch("ssl_enable", report);
    let place = on.as_ref().map_or(whole, |(_, place)| place).clone();
    let on = on.is_some_and(|(on, _)| on);
    let mut certificates = Vec::new();
    for (certificate, key) in [
        ("rsa_cert_file", "rsa_private_key_file"),
        ("dsa_cert_file", "dsa_private_key_file"),
    ] {
        let certificate = settings.text(certificate, report);
        let key = settings.text(key, report);
        match certificate {
            Some((_, place)) if !on => {
                let why = "ssl_enable is off there; tls.certificate names one, or the server makes its own";
                report.lost(&place, "a certificate", why);
            }
            Some((file, place)) => {
                let key = key.map_or(file.clone(), |(key, _)| key);
                certificates.push((place.resolve(&file), place.resolve(&key), place));
            }
            None => {
                if let Some((_, place)) = key {
                    report.lost(&place, "a key", "there is no certificate for it");
                }
            }
        }
    }
    draft.certificates(&certificates);
    if !on {
        draft.without_tls("ssl_enable", &place, report);
        for option in TLS_OPTIONS {
            for directive in settings.take_all(option) {
                report.needless(&directive.place, option, "ssl_enable is off there");
            }
        }
        return;
    }
    for (option, key) in [
        ("force_local_logins_ssl", "required"),
        ("force_local_data_ssl", "data-required"),
    ] {
        if let Some((on, place)) = settings.switch(option, report) {
            draft.set("tls", key, on, &place);
        }
    }
    match settings.switch("require_ssl_reuse", report) {
        Some((false, place)) => draft.set("tls", "data-binding", "prefer", &place),
        Some((true, place)) => draft.set("tls", "data-binding", "require", &place),
        None => draft.set_because(
            "tls",
            "data-binding",
            "require",
            "require_ssl_reuse is not set there, which is YES",
        ),
    }
    if let Some((true, place)) = settings.switch("strict_ssl_read_eof", report) {
        draft.set("tls", "close-notify", "require", &place);
    }
    let wanted = settings.switch("require_cert", report);
    let validated = settings.switch("validate_cert", report);
    let authorities = settings.text("ca_certs_file", report);
    let required = wanted.as_ref().is_some_and(|(on, _)| *on);
    let validated = validated.is_some_and(|(on, _)| on);
    match (authorities, wanted) {
        (Some((file, place)), _) if required || validated => {
            let kind = if required { "required" } else { "optional" };
            draft.set("tls", "client-certificates", kind, &place);
            let file = place.resolve(&file).display().to_string();
            draft.set("tls", "client-authorities", file, &place);
        }
        (Some((_, place)), _) => {
            let why = "no client certificate has to verify there; see tls.client-certificates";
            report.lost(&place, "ca_certs_file", why);
        }
        (None, Some((true, place))) => {
            let why = "certificates that nobody verifies are none here; set tls.client-authorities";
            report.lost(&place, "require_cert", why);
        }
        (None, _) => {}
    }
}

/// Options that say nothing while TLS is off.
const TLS_OPTIONS: [&str; 8] = [
    "force_local_logins_ssl",
    "force_local_data_ssl",
    "require_ssl_reuse",
    "strict_ssl_read_eof",
    "require_cert",
    "validate_cert",
    "ca_certs_file",
    "ssl_ciphers",
];

fn data(settings: &mut Settings, draft: &mut Draft, report: &mut Report) {
    let first = settings.number("pasv_min_port", report);
    let last = settings.number("pasv_max_port", report);
    match (first, last) {
        (Some((first @ 1.., place)), Some((last @ 1.., _))) => {
            draft.passive_ports(first, last, &place, report);
        }
        (Some((0, _)) | None, Some((0, _)) | None) => {}
        (Some((_, place)), _) | (None, Some((_, place))) => {
            report.lost(
                &place,
                "pasv_min_port",
                "both ends are needed: data.passive-ports",
            );
        }
    }
    // Names are looked up here in any case.
    let _ = settings.switch("pasv_addr_resolve", report);
    if let Some((address, place)) = settings.text("pasv_address", report) {
        draft.advertise(&address, &place, report);
    }
    if let Some((false, place)) = settings.switch("pasv_enable", report) {
        report.lost(&place, "pasv_enable", "passive mode cannot be switched off");
    }
    let from_20 = settings.switch("connect_from_port_20", report);
    let active = settings.switch("port_enable", report);
    match (active, from_20) {
        (Some((on, place)), _) => draft.set("data", "active", on, &place),
        (None, Some((true, place))) => draft.set("data", "active", true, &place),
        (None, _) => {}
    }
}

fn limits(settings: &mut Settings, draft: &mut Draft, report: &mut Report) {
    for (option, key) in [
        ("max_clients", "sessions"),
        ("max_per_ip", "sessions-per-address"),
        ("max_login_fails", "login-attempts"),
    ] {
        if let Some((number, place)) = settings.number(option, report) {
            draft.limit(key, number, option, &place, report);
        }
    }
    for (option, key) in [
        ("connect_timeout", "data-timeout"),
        ("accept_timeout", "data-timeout"),
        ("idle_session_timeout", "idle-timeout"),
        ("data_connection_timeout", "stall-timeout"),
        ("delay_failed_login", "login-delay"),
    ] {
        if let Some((seconds, place)) = settings.number(option, report) {
            draft.time(key, seconds, option, &place, report);
        }
    }
    if let Some((banner, place)) = settings.text("ftpd_banner", report) {
        draft.greeting(&banner, "ftpd_banner", &place, report);
    }
    if let Some((file, place)) = settings.text("banner_file", report) {
        draft.greeting_of_file(&file, "banner_file", &place, report);
    }
}

fn logs(settings: &mut Settings, draft: &mut Draft, report: &mut Report) {
    let on = settings.switch("xferlog_enable", report);
    if let Some((true, place)) = &on {
        draft.set("audit", "xferlog", "xferlog", place);
    }
    for option in ["xferlog_file", "vsftpd_log_file"] {
        if let Some((_, place)) = settings.text(option, report) {
            let why = "transfers are told in log/xferlog of the state directory (audit.xferlog), all else in \
                       the log";
            report.needless(&place, option, why);
        }
    }
}

/// `deny_file` and `hide_file`.
fn names(settings: &mut Settings, draft: &mut Draft, report: &mut Report) {
    for (option, effect) in [("hide_file", "hide"), ("deny_file", "deny")] {
        let Some((pattern, place)) = settings.text(option, report) else {
            continue;
        };
        let inner = pattern
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        let alternatives: Vec<&str> = match inner {
            Some(inner) => inner.split(',').collect(),
            None => vec![&pattern],
        };
        if alternatives
            .iter()
            .any(|text| text.contains(['{', '}', '/', '[', '\\']))
        {
            let why = "the pattern cannot be one of ours; see the plugin \"rules\"";
            report.lost(&place, option, why);
            continue;
        }
        let wild = |text: &&str| text.contains(['*', '?']);
        let names = alternatives.iter().map(|text| match (wild(text), inner) {
            (true, _) | (false, Some(_)) => (*text).to_owned(),
            // Alone, a text is looked for anywhere in the name.
            (false, None) => format!("*{text}*"),
        });
        draft.rules.push(Rule {
            effect,
            paths: rules::anywhere(&names.collect::<Vec<_>>()),
            source: place.short(),
            ..Rule::default()
        });
    }
}

/// Guests without a password.
fn anonymous(
    settings: &mut Settings,
    accounts: &[accounts::Account],
    granted: &Granted,
    draft: &mut Draft,
    report: &mut Report,
) {
    let on = settings.switch("anonymous_enable", report);
    let root = settings.text("anon_root", report);
    let ftp = settings.text("ftp_username", report);
    let clear = settings.switch("force_anon_logins_ssl", report);
    let data = settings.switch("force_anon_data_ssl", report);
    let allowed = settings.switch("allow_anon_ssl", report);
    let Some((true, place)) = on else {
        return;
    };
    let name = ftp.as_ref().map_or("ftp", |(name, _)| name);
    let account = accounts.iter().find(|account| account.name == name);
    let home = match (root, account.and_then(|account| account.home.clone())) {
        (Some((root, place)), _) => place.resolve(&root),
        (None, Some(home)) => home.into(),
        (None, None) => {
            let why = "the home of the user ftp is not known; say settings.anonymous of the plugin \"users\" \
                       by hand";
            report.lost(&place, "anonymous_enable", why);
            return;
        }
    };
    let mut guests = Anonymous::new(&place, home, granted.rights(true, granted.writes));
    if granted.anonymous_rate > 0 {
        for key in ["upload-rate", "download-rate"] {
            guests
                .keys
                .push((key, source::size(granted.anonymous_rate).into()));
        }
    }
    draft.anonymous = Some(guests);
    let forced = clear.is_some_and(|(on, _)| on) && data.is_some_and(|(on, _)| on);
    if !forced {
        let place = allowed.map_or(place, |(_, place)| place);
        let names = toml_edit::Array::from_iter(["anonymous"]);
        draft.set("tls", "clear-users", names, &place);
    }
}

/// The list of `userlist_file`, and whether it says who is kept out.
fn chosen(
    settings: &mut Settings,
    report: &mut Report,
) -> Result<Option<(BTreeSet<String>, bool, Place)>, String> {
    let on = settings.switch("userlist_enable", report);
    let denies = settings.switch("userlist_deny", report);
    let file = settings.text("userlist_file", report);
    let Some((true, place)) = on else {
        return Ok(None);
    };
    let (file, place) = match file {
        Some((file, place)) => (place.resolve(&file), place),
        None => (PathBuf::from("/etc/vsftpd.user_list"), place),
    };
    let Some(text) = source::read_if_there(&file)? else {
        let denies = denies.is_none_or(|(on, _)| on);
        let why = match denies {
            true => format!("{} is not there: nobody is kept out", file.display()),
            false => format!("{} is not there: everybody is kept out", file.display()),
        };
        report.lost(&place, "userlist_file", why);
        let list = Place::new(&file, 0);
        return Ok((!denies).then(|| (BTreeSet::new(), false, list)));
    };
    let names = source::lines(&file, &text).map(|(_, line)| line.to_owned());
    let names = names.collect();
    Ok(Some((
        names,
        denies.is_none_or(|(on, _)| on),
        Place::new(&file, 0),
    )))
}

/// Everybody is confined to the home here.
fn confined(settings: &mut Settings, report: &mut Report) {
    let local = settings.switch("chroot_local_user", report);
    let listed = settings.switch("chroot_list_enable", report);
    if let Some((_, place)) = settings.text("chroot_list_file", report) {
        let why = "every user is confined to the home here";
        report.needless(&place, "chroot_list_file", why);
    }
    let why = "users who saw the whole file system there see their home alone here";
    match (local, listed) {
        (Some((true, _)), None | Some((false, _))) => {}
        (Some((_, place)), _) => report.lost(&place, "chroot_local_user", why),
        (None, Some((_, place))) => report.lost(&place, "chroot_list_enable", why),
        (None, None) => {}
    }
}

/// `user_config_dir/NAME`.
fn per_user(
    file: &Path,
    granted: &Granted,
    user: &mut User,
    report: &mut Report,
) -> Result<(), String> {
    let Some(text) = source::read_if_there(file)? else {
        return Ok(());
    };
    let mut settings = parse(file, &text, report);
    if let Some((root, place)) = settings.text("local_root", report) {
        let root = match &granted.token {
            Some(token) => root.replace(token, &user.name),
            None => root,
        };
        user.home = Some(place.resolve(&root));
    }
    let rate = match granted.as_guests {
        true => "anon_max_rate",
        false => "local_max_rate",
    };
    if let Some((rate, _)) = settings.number(rate, report) {
        user.size("upload-rate", rate);
        user.size("download-rate", rate);
    }
    if let Some((seconds @ 1.., _)) = settings.number("idle_session_timeout", report) {
        user.set("idle-timeout", source::seconds(seconds));
    }
    let writes = settings.switch("write_enable", report);
    let writes = writes.map_or(granted.writes, |(on, _)| on);
    user.permissions = granted.rights(granted.as_guests, writes);
    for (option, rights) in ANONYMOUS_RIGHTS {
        match settings.switch(option, report) {
            Some((true, _)) if writes && granted.as_guests => user.permissions.give(rights),
            Some((false, _)) if granted.as_guests => user.permissions.take(rights),
            _ => {}
        }
    }
    let mut anonymous = Permissions::none();
    commands(&mut settings, &mut user.permissions, &mut anonymous, report);
    settings.rest(PRODUCT, FATES, report);
    Ok(())
}
