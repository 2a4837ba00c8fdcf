//! Users and groups of the files that ProFTPD reads, and limits that single users have.

use std::{collections::BTreeMap, path::PathBuf};

use crate::cli::import::{
    accounts,
    draft::Draft,
    permissions::Permissions,
    report::{Place, Report},
    source::{self, Directive, Settings},
    users::{Password, User, Users},
};

/// `AuthUserFile`, `AuthGroupFile` and the files of `--users`.
///
/// # Errors
/// When a file cannot be read.
pub fn read_users(
    whole: &Place,
    settings: &mut Settings,
    files: &[PathBuf],
    permissions: &Permissions,
    users: &mut Users,
    report: &mut Report,
) -> Result<(), String> {
    let mut files = files.to_vec();
    let given = !files.is_empty();
    for directive in settings.take_all("AuthUserFile") {
        let Some(path) = directive.values.first() else {
            report.wrong(&directive.place, "AuthUserFile", "a path", "");
            continue;
        };
        let path = directive.place.resolve(path);
        if path.is_file() {
            files.push(path);
        } else if given {
            report.needless(
                &directive.place,
                "AuthUserFile",
                "--users names another file",
            );
        } else {
            let why = format!("{} is not there; name it by --users", path.display());
            report.lost(&directive.place, "AuthUserFile", why);
        }
        if directive.values.len() > 1 {
            let why = "all users of the file are carried over, whatever their numbers and names";
            report.lost(&directive.place, "AuthUserFile", why);
        }
    }
    let groups = groups(settings, report)?;
    let shells = settings.switch("RequireValidShell", report);
    let shells = shells.is_none_or(|(on, _)| on);
    let root = default_root(settings, report);
    if let Some((false, place)) = settings.switch("RootLogin", report) {
        report.needless(&place, "RootLogin", "users here are none of the system's");
    }
    for account in accounts::read(&files, report)? {
        let password = account.secret(false);
        if password == Password::None {
            let why = "nobody can log in with it, as it has no password; left out";
            report.needless(&account.place, &account.name, why);
            continue;
        }
        let mut user = User::new(&account.name, &account.place, password);
        user.permissions = permissions.clone();
        let in_group = |(_, (gid, members)): &(&String, &(String, Vec<String>))| {
            Some(gid) == account.gid.as_ref() || members.contains(&account.name)
        };
        let names = groups.iter().filter(in_group).map(|(name, _)| name.clone());
        user.groups = names.collect();
        user.home = root.clone().or(account.home.map(PathBuf::from));
        if let Some(day) = account.expires {
            user.set("expires", day);
        }
        let shell = account.shell.unwrap_or_default();
        if shells && (shell.ends_with("/nologin") || shell.ends_with("/false")) {
            let why = format!("its shell is {shell}, and RequireValidShell is not off there");
            user.disabled = Some(why);
        }
        users.add(user, report);
    }
    if users.is_empty() {
        let why = "there are none: PAM, SQL or LDAP may decide there; give a table by --users, or see \
                   auth-ldap, auth-sql and auth-http in docs/shipped-plugins.md";
        report.lost(whole, "users", why);
    }
    Ok(())
}

/// Groups by their names: numbers and members.
fn groups(
    settings: &mut Settings,
    report: &mut Report,
) -> Result<BTreeMap<String, (String, Vec<String>)>, String> {
    let mut groups = BTreeMap::new();
    for directive in settings.take_all("AuthGroupFile") {
        let path = directive.values.first().map_or("", String::as_str);
        let path = directive.place.resolve(path);
        if !path.is_file() {
            let why = format!("{} is not there", path.display());
            report.lost(&directive.place, "AuthGroupFile", why);
            continue;
        }
        let text = source::read(&path)?;
        for (place, line) in source::lines(&path, &text) {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, gid, members] = fields.as_slice() else {
                report.error(format!("{place}: expected NAME:PASSWORD:NUMBER:MEMBERS"));
                continue;
            };
            let plain = !name.is_empty() && !name.chars().any(char::is_control);
            if !plain {
                report.error(format!("{place}: the name {name:?} is none"));
                continue;
            }
            let members = members.split(',').map(|name| name.trim().to_owned());
            groups.insert((*name).to_owned(), ((*gid).to_owned(), members.collect()));
        }
    }
    Ok(groups)
}

/// The directory that all users see as "/", if it is one for all.
fn default_root(settings: &mut Settings, report: &mut Report) -> Option<PathBuf> {
    let mut root = None;
    for directive in settings.take_all("DefaultRoot") {
        let Directive { place, values, .. } = &directive;
        match values.as_slice() {
            [home] if home == "~" => {}
            [path] if path.starts_with('/') && !path.contains('%') => {
                root = Some(place.resolve(path))
            }
            [home, _] if home == "~" => {
                let why = "users who saw the whole file system there see their home alone here";
                report.lost(place, "DefaultRoot", why);
            }
            _ => {
                let why = "it is not one directory for all; see home of each user";
                report.lost(place, "DefaultRoot", why);
            }
        }
    }
    root
}

/// `TransferRate` and `MaxStoreFileSize`, of all users or of one.
pub fn rates(settings: &mut Settings, draft: &mut Draft, users: &mut Users, report: &mut Report) {
    for directive in settings.take_all("TransferRate") {
        let Directive { place, values, .. } = &directive;
        let [commands, rate, who @ ..] = values.as_slice() else {
            report.wrong(
                place,
                "TransferRate",
                "commands and a rate",
                &directive.text(),
            );
            continue;
        };
        let (rate, free) = match rate.split_once(':') {
            Some((rate, free)) => (rate, free != "0"),
            None => (rate.as_str(), false),
        };
        let bytes = rate.parse::<f64>().ok().map(|rate| rate * 1024.0);
        let Some(bytes) = bytes.filter(|bytes| (0.0..1e15).contains(bytes)) else {
            report.wrong(place, "TransferRate", "a number of KB a second", rate);
            continue;
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let bytes = bytes as u64;
        if free {
            let why = "the rate holds from the first byte on";
            report.lost(place, "TransferRate", why);
        }
        for command in commands.split(',') {
            let key = match command.trim().to_ascii_uppercase().as_str() {
                "RETR" => "download-rate",
                "STOR" | "STOU" | "APPE" => "upload-rate",
                _ => {
                    report.wrong(place, "TransferRate", "RETR, STOR, STOU or APPE", command);
                    continue;
                }
            };
            for_whom(&directive, who, key, bytes, draft, users, report);
        }
    }
    for directive in settings.take_all("MaxStoreFileSize") {
        let Directive { place, values, .. } = &directive;
        let (bytes, who) = match values.as_slice() {
            [all, who @ ..] if all == "*" => (0, who),
            [number, unit, who @ ..] => {
                let unit = match unit.to_ascii_lowercase().as_str() {
                    "gb" => 1 << 30,
                    "mb" => 1 << 20,
                    "kb" => 1 << 10,
                    _ => 1,
                };
                let Some(number) = directive.number_in(number, report) else {
                    continue;
                };
                (number.saturating_mul(unit), who)
            }
            _ => {
                report.wrong(
                    place,
                    "MaxStoreFileSize",
                    "a number and a unit",
                    &directive.text(),
                );
                continue;
            }
        };
        for_whom(&directive, who, "upload-size", bytes, draft, users, report);
    }
}

/// Sets a limit for all, or for the users that the rest of the line names.
fn for_whom(
    directive: &Directive,
    who: &[String],
    key: &'static str,
    bytes: u64,
    draft: &mut Draft,
    users: &mut Users,
    report: &mut Report,
) {
    let Directive { place, name, .. } = directive;
    let own = if key == "upload-size" {
        "max-upload-size"
    } else {
        key
    };
    match who {
        [] => draft.set("limits", key, source::size(bytes), place),
        [kind, list] if kind.eq_ignore_ascii_case("user") && !list.contains(['!', '*']) => {
            for user in list.split(',') {
                match users.find(user.trim()) {
                    Some(user) => user.size(own, bytes),
                    None => report.lost(place, name, format!("there is no user {user:?}")),
                }
            }
        }
        _ => {
            let why = format!("not all or some users are meant; see {own} of a user or a group");
            report.lost(place, name, why);
        }
    }
}
