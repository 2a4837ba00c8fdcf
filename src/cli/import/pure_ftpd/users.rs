//! The lines of `pureftpd.passwd`, and what the configuration says of all users.

use std::path::{Path, PathBuf};

use crate::cli::import::{
    permissions::Permissions,
    report::Report,
    source::{self, Settings},
    users::{Password, User, Users},
};

/// Limits that users have if their line says no other.
#[derive(Default)]
pub struct Defaults {
    files: u64,
    bytes: u64,
    sessions: u64,
}

impl Defaults {
    /// Takes `Quota` and `PerUserLimits`.
    pub fn take(settings: &mut Settings, report: &mut Report) -> Self {
        let mut defaults = Self::default();
        if let Some(directive) = settings.take("Quota", report) {
            let text = directive.text().replace(':', " ");
            let numbers: Vec<&str> = text.split_whitespace().collect();
            match numbers.as_slice() {
                [files, megabytes] => {
                    defaults.files = directive.number_in(files, report).unwrap_or(0);
                    let megabytes = directive.number_in(megabytes, report).unwrap_or(0);
                    defaults.bytes = megabytes.saturating_mul(1 << 20);
                }
                _ => report.wrong(&directive.place, "Quota", "FILES:MEGABYTES", &text),
            }
        }
        if let Some(directive) = settings.take("PerUserLimits", report) {
            let text = directive.text().replace(':', " ");
            let first = text.split_whitespace().next().unwrap_or_default();
            defaults.sessions = directive.number_in(first, report).unwrap_or(0);
        }
        defaults
    }
}

/// The files of users: those of `--users`, or what lies beside the database.
pub fn tables(settings: &mut Settings, users: &[PathBuf], report: &mut Report) -> Vec<PathBuf> {
    let mut files = users.to_vec();
    for directive in settings.take_all("PureDB") {
        let path = directive.place.resolve(&directive.text());
        let text = path.with_extension("passwd");
        if !users.is_empty() {
            report.needless(
                &directive.place,
                "PureDB",
                "--users names the file it is made of",
            );
        } else if text.is_file() {
            let note = format!("users are read from {}", text.display());
            report.note(&directive.place, "PureDB", note);
            files.push(text);
        } else {
            let why = "the database is made of pureftpd.passwd; name that by --users";
            report.lost(&directive.place, "PureDB", why);
        }
    }
    files
}

/// The fields of a line, behind which some may be missing.
const FIELDS: [&str; 18] = [
    "account",
    "password",
    "uid",
    "gid",
    "gecos",
    "home",
    "upload bandwidth",
    "download bandwidth",
    "upload ratio",
    "download ratio",
    "sessions",
    "files",
    "size",
    "authorized local addresses",
    "refused local addresses",
    "authorized client addresses",
    "refused client addresses",
    "time restrictions",
];

/// Reads `pureftpd.passwd`.
///
/// # Errors
/// When it cannot be read.
pub fn read_users(
    file: &Path,
    permissions: &Permissions,
    defaults: &Defaults,
    users: &mut Users,
    report: &mut Report,
) -> Result<(), String> {
    let text = source::read(file)?;
    for (place, line) in source::lines(file, &text) {
        let mut fields: Vec<&str> = line.split(':').collect();
        if fields.len() < 6 || fields.len() > FIELDS.len() {
            let found = fields.len();
            report.error(format!(
                "{place}: expected 6 to 18 fields with \":\" between, found {found}"
            ));
            continue;
        }
        fields.resize(FIELDS.len(), "");
        let [
            name,
            hash,
            _,
            _,
            _,
            home,
            up,
            down,
            up_ratio,
            down_ratio,
            sessions,
            files,
            bytes,
            local,
            not_local,
            from,
            not_from,
            hours,
        ] = fields.as_slice()
        else {
            continue;
        };
        let password = match hash.starts_with(['*', '!']) || hash.is_empty() {
            true => Password::None,
            false => Password::Hash((*hash).to_owned()),
        };
        let mut user = User::new(name, &place, password);
        user.permissions = permissions.clone();
        // "/home/joe/./" confines to what is before the dot; all are confined here.
        match home.split_once("/./") {
            Some((root, below)) => {
                user.home = Some(root.into());
                if !below.is_empty() {
                    let why = format!("users begin in \"/\", and not in \"/{below}\"");
                    report.lost(&place, &format!("the home of {name}"), why);
                }
            }
            None => {
                user.home = Some((*home).into());
                let why = "the whole file system was to be seen there, and the home alone is here";
                report.lost(&place, &format!("the home of {name}"), why);
            }
        }
        let number = |field: &str, text: &str, report: &mut Report| match text {
            "" => None,
            text => {
                let number = text
                    .parse()
                    .ok()
                    .filter(|number| *number <= i64::MAX as u64);
                if number.is_none() {
                    report.wrong(&place, field, "a number", text);
                }
                number
            }
        };
        user.size(
            "upload-rate",
            number("upload bandwidth", up, report).unwrap_or(0),
        );
        user.size(
            "download-rate",
            number("download bandwidth", down, report).unwrap_or(0),
        );
        let sessions = number("sessions", sessions, report).unwrap_or(defaults.sessions);
        user.limit("max-sessions", sessions);
        let files = number("files", files, report).unwrap_or(defaults.files);
        user.limit("quota-files", files);
        let bytes = number("size", bytes, report).unwrap_or(defaults.bytes);
        user.size("quota", bytes);
        if !from.is_empty() {
            user.addresses(from.split(','), "authorized client addresses", report);
        }
        for (field, text, why) in [
            ("upload ratio", up_ratio, "there are no ratios"),
            ("download ratio", down_ratio, "there are no ratios"),
            (
                "authorized local addresses",
                local,
                "a user may log in at any address of the server",
            ),
            (
                "refused local addresses",
                not_local,
                "a user may log in at any address of the server",
            ),
            (
                "refused client addresses",
                not_from,
                "addresses of a user are those that are allowed; see bans.deny-file",
            ),
            (
                "time restrictions",
                hours,
                "there are no hours; the user may log in at any time",
            ),
        ] {
            if !text.is_empty() && *text != "0" {
                report.lost(&place, &format!("{field} of {name}"), why);
            }
        }
        users.add(user, report);
    }
    Ok(())
}
