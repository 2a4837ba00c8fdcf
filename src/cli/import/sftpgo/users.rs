//! Users of a dump.

use std::path::PathBuf;

use jiff::Timestamp;

use super::tree::{Node, Table, Value};
use crate::cli::import::{
    draft::{Anonymous, Draft},
    permissions::Permissions,
    report::{
        Fate::{self, Lost, Needless},
        Place, Report,
    },
    rules::{self, Rule},
    users::{Password, User, Users},
};

/// Reads one entry of `users`.
pub fn user(node: Node, whole: &Place, draft: &mut Draft, users: &mut Users, report: &mut Report) {
    let place = whole.line(node.line);
    let mut table = Table::new(node, whole, "");
    let Some((name, _)) = table.text("username", report) else {
        report.error(format!("{place}: a user without a username"));
        return;
    };
    table.path = format!("users.{name}");
    let password = table.text("password", report);
    let password = match &password {
        None => Password::None,
        Some((text, _)) if text.starts_with('$') || text.starts_with("{MD5}") => {
            Password::Hash(text.clone())
        }
        Some((text, _)) => Password::Clear(text.clone()),
    };
    let mut user = User::new(&name, &place, password);
    user.home = table
        .text("home_dir", report)
        .map(|(home, _)| PathBuf::from(home));
    if table
        .node
        .take("status")
        .is_some_and(|status| status.value == Value::Number(0))
    {
        user.disabled = Some("its status is 0 there".to_owned());
    }
    expires(&mut table, &mut user, report);
    for (key, ours) in [
        ("max_sessions", "max-sessions"),
        ("quota_files", "quota-files"),
    ] {
        let (number, _) = table.number(key, report);
        user.limit(ours, number);
    }
    let (bytes, _) = table.number("quota_size", report);
    user.size("quota", bytes);
    for (key, ours) in [
        ("upload_bandwidth", "upload-rate"),
        ("download_bandwidth", "download-rate"),
    ] {
        let (kilobytes, _) = table.number(key, report);
        user.size(ours, kilobytes.saturating_mul(1024));
    }
    for (key, ours) in [("email", "email"), ("description", "description")] {
        if let Some((text, place)) = table.text(key, report) {
            match text.chars().any(char::is_control) {
                false => user.attributes.push((ours, text)),
                true => report.lost(&place, &table.name(key), "attributes are one line each"),
            }
        }
    }
    for mut group in table.list("groups", report) {
        if let Some(name) = group
            .take("name")
            .and_then(|name| name.text().map(str::to_owned))
        {
            user.groups.push(name);
        }
    }
    permissions(&mut table, &mut user, draft, report);
    let filters = table.table("filters");
    let guest = self::filters(filters, &mut user, report);
    let mut filesystem = table.table("filesystem");
    let (provider, at) = filesystem.number("provider", report);
    if provider != 0 {
        let why = "the files are not in local directories, which are the only storage here";
        report.lost(&at, &table.name("filesystem.provider"), why);
        user.disabled = Some("its files are not in local directories".to_owned());
    }
    for (place, name) in filesystem.rest() {
        report.lost(&place, &name, "there are local directories alone");
    }
    for (place, name) in table.rest() {
        key(&user.name, &place, below(&name, &user.name), report);
    }
    if guest {
        guests(user, draft, report);
        return;
    }
    users.add(user, report);
}

/// The part of a key behind the user's name.
fn below<'a>(name: &'a str, user: &str) -> &'a str {
    let rest = name
        .strip_prefix("users.")
        .and_then(|rest| rest.strip_prefix(user));
    rest.map_or(name, |rest| rest.trim_start_matches('.'))
}

/// Names a key that has no counterpart: for each user if something is lost, else once.
fn key(user: &str, place: &Place, name: &str, report: &mut Report) {
    let key = name.strip_prefix("filters.").unwrap_or(name);
    let key = key.split('.').next().unwrap_or_default();
    let known = FATES.iter().find(|(known, _)| *known == key);
    match known.map(|(_, fate)| *fate) {
        Some(fate @ Needless(_)) => report.each(place, &format!("users.*.{name}"), fate),
        Some(fate) => report.fate(place, &format!("users.{user}.{name}"), fate),
        None => {
            let why = "there is no such key of a user, or it is not known here";
            report.lost(place, &format!("users.{user}.{name}"), why);
        }
    }
}

/// A user whose password nobody looks at.
fn guests(user: User, draft: &mut Draft, report: &mut Report) {
    if !user.name.eq_ignore_ascii_case("anonymous") && !user.name.eq_ignore_ascii_case("ftp") {
        let why = "users without a password are \"anonymous\" and \"ftp\" alone; left out";
        report.lost(&user.place, &user.name, why);
        return;
    }
    let Some(home) = user.home else {
        report.lost(&user.place, &user.name, "guests need a home; left out");
        return;
    };
    let mut guests = Anonymous::new(&user.place, home, Permissions::read());
    guests.keys = user.keys;
    draft.anonymous = Some(guests);
}

fn expires(table: &mut Table<'_>, user: &mut User, report: &mut Report) {
    let (milliseconds, place) = table.number("expiration_date", report);
    if milliseconds == 0 {
        return;
    }
    let moment = i64::try_from(milliseconds)
        .ok()
        .and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok());
    match moment {
        Some(moment) => user.set("expires", moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        None => report.wrong(
            &place,
            &table.name("expiration_date"),
            "milliseconds since 1970",
            &milliseconds.to_string(),
        ),
    }
}

/// Rights by directory: those of "/" and, as rules, those of others.
fn permissions(table: &mut Table<'_>, user: &mut User, draft: &mut Draft, report: &mut Report) {
    let path = table.name("permissions");
    let Some(node) = table.node.take("permissions") else {
        return;
    };
    let at = table.whole.line(node.line);
    let Value::Table(entries) = node.value else {
        report.wrong(&at, &path, "a table of directories", "something else");
        return;
    };
    let mut root = Permissions::none();
    let mut others: Vec<(String, Permissions, Place)> = Vec::new();
    for (directory, node) in entries {
        let place = table.whole.line(node.line);
        let Some(names) = node.texts() else {
            report.wrong(&place, &path, "a list of permissions", &directory);
            continue;
        };
        let granted = granted(&names, &place, &path, report);
        match directory.trim_matches('/') {
            "" => root = granted,
            _ if !directory.starts_with('/') || directory.chars().any(char::is_control) => {
                report.wrong(&place, &path, "a directory from \"/\" on", &directory);
            }
            below => others.push((format!("/{below}"), granted, place)),
        }
    }
    user.permissions = root.clone();
    if others.is_empty() {
        return;
    }
    for (_, granted, _) in &others {
        user.permissions.union(granted);
    }
    // The deepest decides.
    others.sort_by_key(|(directory, _, _)| std::cmp::Reverse(directory.matches('/').count()));
    let root = ("/".to_owned(), root, at);
    for (directory, granted, place) in others.into_iter().chain([root]) {
        for (effect, operations) in [
            ("allow", operations(&granted, true)),
            ("deny", operations(&granted, false)),
        ] {
            let needless = directory == "/" && effect == "allow";
            if !operations.is_empty() && !needless {
                draft.rules.push(Rule {
                    effect,
                    users: vec![user.name.clone()],
                    operations,
                    paths: rules::tree(&directory),
                    source: place.short(),
                    ..Rule::default()
                });
            }
        }
    }
}

/// Ours for those of SFTPGo.
fn granted(names: &[String], place: &Place, path: &str, report: &mut Report) -> Permissions {
    let mut granted = Permissions::none();
    for name in names {
        match name.as_str() {
            "*" => granted = Permissions::all(),
            "list" => granted.give(&["list"]),
            "download" => granted.give(&["download"]),
            "upload" => granted.give(&["upload"]),
            "overwrite" => granted.give(&["overwrite", "append"]),
            "delete" => granted.give(&["delete", "remove-directory"]),
            "delete_files" => granted.give(&["delete"]),
            "delete_dirs" => granted.give(&["remove-directory"]),
            "rename" => granted.give(&["rename"]),
            "rename_files" | "rename_dirs" => {
                let why = "files and directories are renamed by one right, rename";
                report.each(place, &format!("users.*.permissions: {name}"), Lost(why));
            }
            "create_dirs" => granted.give(&["make-directory"]),
            "chmod" | "chtimes" => granted.give(&["change-metadata"]),
            "create_symlinks" | "chown" | "copy" => {
                let why = "FTP has no command for it";
                report.each(
                    place,
                    &format!("users.*.permissions: {name}"),
                    Needless(why),
                );
            }
            _ => {
                let why = format!("there is no permission {name:?} there");
                report.lost(place, path, why);
            }
        }
    }
    granted
}

/// The operations of the plugin `rules` that permissions stand for, or all others.
fn operations(granted: &Permissions, given: bool) -> Vec<&'static str> {
    let all = [
        ("list", "list"),
        ("download", "download"),
        ("upload", "create"),
        ("overwrite", "overwrite"),
        ("append", "append"),
        ("delete", "delete"),
        ("rename", "rename"),
        ("make-directory", "make-directory"),
        ("remove-directory", "remove-directory"),
        ("change-metadata", "change-metadata"),
    ];
    let chosen = all
        .iter()
        .filter(|(permission, _)| granted.has(permission) == given);
    let mut operations: Vec<&str> = chosen.map(|(_, operation)| *operation).collect();
    if operations.len() == all.len() {
        operations = vec!["all"];
    }
    operations
}

/// `filters`; whether the user is a guest.
fn filters(mut table: Table<'_>, user: &mut User, report: &mut Report) -> bool {
    let (allowed, _) = table.texts("allowed_ip", report);
    if !allowed.is_empty() {
        user.addresses(allowed.iter().map(String::as_str), "allowed_ip", report);
    }
    let (denied, place) = table.texts("denied_ip", report);
    if !denied.is_empty() {
        let why = "addresses of a user are those that are allowed; see bans.deny-file";
        report.lost(&place, &table.name("denied_ip"), why);
    }
    let (protocols, _) = table.texts("denied_protocols", report);
    if protocols.iter().any(|protocol| protocol == "FTP") {
        user.disabled = Some("FTP is among its denied_protocols there".to_owned());
    }
    let (methods, _) = table.texts("denied_login_methods", report);
    if methods
        .iter()
        .any(|method| method == "password" || method == "password-over-FTP")
    {
        user.disabled = Some("password is among its denied_login_methods there".to_owned());
    }
    let (bytes, _) = table.number("max_upload_file_size", report);
    user.size("max-upload-size", bytes);
    let (guest, _) = table.switch("is_anonymous", report);
    let mut totp = table.table("totp_config");
    let (second_factor, place) = totp.switch("enabled", report);
    let (protocols, _) = totp.texts("protocols", report);
    if second_factor && protocols.iter().any(|protocol| protocol == "FTP") {
        let why = "the secret is encrypted there; give the user a new one (plugin auth-totp)";
        report.lost(&place, &table.name("totp_config"), why);
        user.disabled = Some("it had a second factor, which cannot be carried over".to_owned());
    }
    for (place, name) in table.rest() {
        key(&user.name, &place, below(&name, &user.name), report);
    }
    guest
}

/// Keys of a user and of `filters` that have no counterpart.
const FATES: &[(&str, Fate)] = &[
    (
        "2fa_protocols",
        Lost("see auth-totp in docs/shipped-plugins.md"),
    ),
    ("additional_info", Lost("see attributes of a user")),
    ("additional_emails", Lost("see attributes of a user")),
    (
        "allow_api_key_auth",
        Needless("the API has tokens of its own"),
    ),
    (
        "bandwidth_limits",
        Lost("rates are those of a user, wherever from"),
    ),
    (
        "check_password_disabled",
        Needless("there are no such hooks"),
    ),
    ("created_at", Needless("it is no setting")),
    (
        "data_transfer_limits",
        Lost("transfers are not counted; see quota"),
    ),
    ("default_shares_expiration", Needless("there are no shares")),
    (
        "disable_fs_checks",
        Needless("homes are looked at when they are opened"),
    ),
    (
        "download_data_transfer",
        Lost("transfers are not counted; see quota"),
    ),
    (
        "external_auth_cache_time",
        Needless("there are no such hooks"),
    ),
    (
        "external_auth_disabled",
        Needless("there are no such hooks"),
    ),
    (
        "file_patterns",
        Lost("see the plugin \"rules\", whose patterns heed the case of letters"),
    ),
    ("first_download", Needless("it is no setting")),
    ("first_upload", Needless("it is no setting")),
    (
        "ftp_security",
        Needless("TLS is required of all but tls.clear-users"),
    ),
    ("gid", Lost("all files belong to the user that serves")),
    ("has_password", Needless("it is no setting")),
    (
        "hooks",
        Lost("see plugins that authenticate in docs/plugins.md"),
    ),
    ("id", Needless("it is no setting")),
    ("last_login", Needless("it is no setting")),
    ("last_password_change", Needless("it is no setting")),
    ("last_quota_update", Needless("it is no setting")),
    ("max_shares_expiration", Needless("there are no shares")),
    (
        "password_expiration",
        Lost("passwords do not expire; see expires of a user"),
    ),
    (
        "password_strength",
        Lost("`portcullis user passwd` takes any password"),
    ),
    ("public_keys", Lost("SFTP is not served")),
    (
        "recovery_codes",
        Lost("see auth-totp in docs/shipped-plugins.md"),
    ),
    (
        "require_password_change",
        Lost("FTP has no command for it; `portcullis user passwd`"),
    ),
    ("role", Needless("it is about administrators")),
    ("start_directory", Lost("users begin in \"/\", their home")),
    ("tls_certs", Lost("see certificates of a user")),
    ("tls_username", Lost("see certificates of a user")),
    (
        "total_data_transfer",
        Lost("transfers are not counted; see quota"),
    ),
    ("totp_config", Needless("it is not for FTP")),
    (
        "two_factor_protocols",
        Lost("see auth-totp in docs/shipped-plugins.md"),
    ),
    ("uid", Lost("all files belong to the user that serves")),
    ("updated_at", Needless("it is no setting")),
    (
        "upload_data_transfer",
        Lost("transfers are not counted; see quota"),
    ),
    ("used_download_data_transfer", Needless("it is no setting")),
    ("used_quota_files", Needless("usage is counted here anew")),
    ("used_quota_size", Needless("usage is counted here anew")),
    ("used_upload_data_transfer", Needless("it is no setting")),
    ("user_type", Needless("it is no setting")),
    (
        "virtual_folders",
        Lost("a user has one home; see storage, or a bind mount in the home"),
    ),
    ("web_client", Needless("there is no web client")),
];
