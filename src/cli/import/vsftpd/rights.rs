//! The rights of users and guests, and their rates.

use std::{collections::BTreeSet, path::PathBuf};

use crate::cli::import::{
    draft::Draft,
    permissions::{self, Permissions},
    report::{Place, Report},
    source::{self, Settings},
};

/// The rights of all users, before the file of one says otherwise.
pub struct Granted {
    /// The rights of users, and of guests, where `write_enable` is on.
    pub local: Permissions,
    pub guests: Permissions,
    /// `write_enable`, without which no right to write counts.
    pub writes: bool,
    /// Whether users have the rights of guests.
    pub as_guests: bool,
    pub root: Option<String>,
    pub token: Option<String>,
    pub guest: Option<String>,
    pub user_config: Option<PathBuf>,
    pub anonymous_rate: u64,
}

impl Granted {
    /// Takes all options about rights, and what goes with them.
    pub fn take(
        whole: &Place,
        settings: &mut Settings,
        draft: &mut Draft,
        report: &mut Report,
    ) -> Self {
        let writes = settings.switch("write_enable", report);
        let writes = writes.is_some_and(|(on, _)| on);
        let mut anonymous = Permissions::read();
        for (option, rights) in ANONYMOUS_RIGHTS {
            if let Some((true, _)) = settings.switch(option, report) {
                anonymous.give(rights);
            }
        }
        let guests = settings.switch("guest_enable", report);
        let local_rights = settings.switch("virtual_use_local_privs", report);
        let guests = guests.is_some_and(|(on, _)| on);
        let as_guests = guests && !local_rights.is_some_and(|(on, _)| on);
        let guest = settings.text("guest_username", report);
        if let Some((_, place)) = &guest {
            let text = "its files belong to the user that serves here; see server.user, and change their owner";
            report.note(place, "guest_username", text);
        }
        let mut local = Permissions::all();
        commands(settings, &mut local, &mut anonymous, report);
        let chmod = settings.switch("chmod_enable", report);
        let mdtm = settings.switch("mdtm_write", report);
        match (chmod, mdtm) {
            (Some((false, _)), Some((false, _))) => local.take(&["change-metadata"]),
            (Some((false, place)), _) => {
                let why = "times and modes are one right, change-metadata, which users keep";
                report.lost(&place, "chmod_enable", why);
            }
            (_, Some((false, place))) => {
                let why = "times and modes are one right, change-metadata, which users keep";
                report.lost(&place, "mdtm_write", why);
            }
            _ => {}
        }
        let anonymous_rate = settings.number("anon_max_rate", report);
        let anonymous_rate = anonymous_rate.map_or(0, |(rate, _)| rate);
        let rate = settings.number("local_max_rate", report);
        let rate = match as_guests {
            true => (anonymous_rate, whole.clone()),
            false => rate.unwrap_or((0, whole.clone())),
        };
        if rate.0 > 0 {
            for key in ["upload-rate", "download-rate"] {
                draft.set("limits", key, source::size(rate.0), &rate.1);
            }
        }
        modes(as_guests, writes, settings, draft, report);
        let root = settings.text("local_root", report);
        let token = settings
            .text("user_sub_token", report)
            .map(|(token, _)| token);
        let user_config = settings.text("user_config_dir", report);
        Self {
            local,
            guests: anonymous,
            writes,
            as_guests,
            root: root.map(|(root, place)| place.resolve(&root).display().to_string()),
            token,
            guest: guests.then(|| guest.map_or("ftp".to_owned(), |(guest, _)| guest)),
            user_config: user_config.map(|(directory, place)| place.resolve(&directory)),
            anonymous_rate,
        }
    }

    /// The rights of users, or of guests, where writing is on or off.
    pub fn rights(&self, guests: bool, writes: bool) -> Permissions {
        let mut rights = match guests {
            true => self.guests.clone(),
            false => self.local.clone(),
        };
        if !writes {
            rights.take(&Permissions::read().missing());
        }
        rights
    }
}

/// The rights that anonymous users get one by one.
pub const ANONYMOUS_RIGHTS: [(&str, &[&str]); 3] = [
    ("anon_upload_enable", &["upload"]),
    ("anon_mkdir_write_enable", &["make-directory"]),
    (
        "anon_other_write_enable",
        &[
            "overwrite",
            "append",
            "delete",
            "rename",
            "remove-directory",
        ],
    ),
];

/// Options that take rights from everybody.
pub fn commands(
    settings: &mut Settings,
    local: &mut Permissions,
    anonymous: &mut Permissions,
    report: &mut Report,
) {
    let mut take = |names: &[&str]| {
        local.take(names);
        anonymous.take(names);
    };
    for (option, right) in [("dirlist_enable", "list"), ("download_enable", "download")] {
        if let Some((false, _)) = settings.switch(option, report) {
            take(&[right]);
        }
    }
    if let Some((list, place)) = settings.text("cmds_denied", report) {
        for command in list.split(',').map(str::trim) {
            match permissions::of_command(&command.to_ascii_uppercase()) {
                [] => report.lost(
                    &place,
                    "cmds_denied",
                    format!("{command} stands for no right, and cannot be switched off"),
                ),
                rights => take(rights),
            }
        }
    }
    if let Some((list, place)) = settings.text("cmds_allowed", report) {
        let allowed: BTreeSet<String> = list
            .split(',')
            .map(|command| command.trim().to_ascii_uppercase())
            .collect();
        let mut kept = Permissions::none();
        for command in &allowed {
            kept.give(permissions::of_command(command));
        }
        take(&kept.missing());
        let text = "the rights that its commands stand for are kept, and other commands work on";
        report.note(&place, "cmds_allowed", text);
    }
}

/// Modes of new files and directories.
fn modes(
    as_guests: bool,
    writes: bool,
    settings: &mut Settings,
    draft: &mut Draft,
    report: &mut Report,
) {
    let anonymous = settings.number_or_octal("anon_umask", report);
    let local = settings.number_or_octal("local_umask", report);
    let open = settings.number_or_octal("file_open_mode", report);
    let open = open.map_or(0o666, |(mode, _)| mode);
    let (used, unused) = match as_guests {
        true => (anonymous, local),
        false => (local, anonymous),
    };
    if let Some((_, place)) = unused {
        let why = "all users have one umask here: storage.NAME.file-mode and directory-mode";
        report.lost(&place, "the other umask", why);
    }
    if !writes && used.is_none() {
        return;
    }
    let (mask, comment) = match used {
        Some((mask, place)) => (mask, place.short()),
        None => (0o077, "no umask is set there, which is 077".to_owned()),
    };
    for (key, all) in [("file-mode", open), ("directory-mode", 0o777)] {
        draft.set_because("storage", key, source::mode(all & !mask), &comment);
    }
}
