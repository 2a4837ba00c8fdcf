//! "Permission denied": to whom, what for, and where on the way.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf, absolute},
};

use rustix::{
    fs::{Access, AtFlags, CWD, accessat},
    io::Errno,
    process::geteuid,
};

/// Links that are followed to find the directory that refuses.
const LINKS: usize = 8;

/// An operation on a path that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// To read a file.
    Read,
    /// To read and write a file.
    Write,
    /// To enter a directory.
    Enter,
    /// To list a directory.
    List,
    /// To list, and make things in, a directory.
    Fill,
    /// To make it in the directory above it, or to remove it there.
    Make,
}

impl Wanted {
    fn verb(self) -> &'static str {
        match self {
            Self::Read => "read it",
            Self::Write => "write to it",
            Self::Enter => "enter it",
            Self::List => "list it",
            Self::Fill => "make files in it",
            Self::Make => "make it",
        }
    }

    fn access(self) -> Access {
        match self {
            Self::Read => Access::READ_OK,
            Self::Write => Access::READ_OK | Access::WRITE_OK,
            Self::Enter => Access::EXEC_OK,
            Self::List => Access::READ_OK | Access::EXEC_OK,
            Self::Fill | Self::Make => Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK,
        }
    }
}

/// The error as it is, unless permission is denied: then with the user who lacks it, and the file or
/// directory that refuses.
#[must_use]
pub fn explain(error: io::Error, path: &Path, wanted: Wanted) -> io::Error {
    // An error with a text of its own has been explained.
    let Some(code) = error.raw_os_error() else {
        return error;
    };
    if error.kind() != io::ErrorKind::PermissionDenied {
        return error;
    }
    let mut text = format!(
        "permission denied: {} may not {}",
        user(geteuid().as_raw()),
        wanted.verb()
    );
    match refusing(path, wanted, LINKS) {
        Some(place) => text += &format!(": {}", described(&place, path)),
        // No mode refuses it, so something else does: an attribute, a mount, a security module.
        None if code == Errno::ACCESS.raw_os_error() => {
            text += ", though modes and owners allow it: a security module (SELinux, AppArmor) or \
                     the service's sandbox may not";
        }
        None => text += &format!(": {error}"),
    }
    io::Error::new(error.kind(), text)
}

/// "portcullis (uid 998)"
#[must_use]
pub fn user(uid: u32) -> String {
    match user_name(uid) {
        Some(name) => format!("user {name} (uid {uid})"),
        None => format!("the user with uid {uid}"),
    }
}

fn user_name(uid: u32) -> Option<String> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid.to_string()).then(|| name.to_owned())
    })
}

/// "the directory /etc/private (mode 0700, of root) does not let that user in"
fn described(place: &Path, wanted: &Path) -> String {
    let Ok(facts) = fs::metadata(place) else {
        return format!("{} refuses", place.display());
    };
    let owner = user_name(facts.uid()).unwrap_or_else(|| format!("uid {}", facts.uid()));
    let kind = facts.file_type();
    let what = match kind {
        _ if kind.is_dir() => "the directory ",
        _ if kind.is_socket() => "the socket ",
        _ => "",
    };
    let shown = match place == wanted {
        true => "its".to_owned(),
        false => format!("{what}{} has", place.display()),
    };
    let mode = facts.mode() & 0o7777;
    match place == wanted {
        true => format!("{shown} mode is {mode:04o}, its owner {owner}"),
        false => format!("{shown} mode {mode:04o} and the owner {owner}"),
    }
}

/// The first directory on the way that may not be entered; else the path itself, or the directory
/// that it is to be made in.
fn refusing(path: &Path, wanted: Wanted, links: usize) -> Option<PathBuf> {
    let path = absolute(path).ok()?;
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    let mut nearest = None;
    for directory in above {
        match accessat(CWD, directory, Access::EXEC_OK, AtFlags::EACCESS) {
            Ok(()) => nearest = Some(directory),
            Err(Errno::ACCESS) => return Some(behind(directory, Wanted::Enter, links)),
            Err(_) => break,
        }
    }
    let last = match wanted {
        Wanted::Make => nearest?,
        _ => &path,
    };
    match accessat(CWD, last, wanted.access(), AtFlags::EACCESS) {
        Err(Errno::ACCESS) => Some(behind(last, wanted, links)),
        _ => None,
    }
}

/// The place itself, or what refuses on the way to where it leads.
fn behind(place: &Path, wanted: Wanted, links: usize) -> PathBuf {
    let target = fs::read_link(place).ok().filter(|_| links > 0);
    let target = target.and_then(|target| {
        let target = place.parent()?.join(target);
        refusing(&target, wanted, links - 1)
    });
    target.unwrap_or_else(|| place.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn other_errors_stay_as_they_are() {
        let error = io::Error::from_raw_os_error(Errno::NOENT.raw_os_error());
        let same = explain(error, Path::new("/nowhere"), Wanted::Read);
        assert_eq!(same.raw_os_error(), Some(Errno::NOENT.raw_os_error()));
        let own = io::Error::new(io::ErrorKind::PermissionDenied, "own words");
        let same = explain(own, Path::new("/"), Wanted::Read);
        assert_eq!(same.to_string(), "own words");
    }

    #[test]
    fn users_have_names_and_numbers() {
        assert_eq!(user(0), "user root (uid 0)");
        assert_eq!(user(4_000_000_000), "the user with uid 4000000000");
    }

    /// A refusal that comes from no mode is not blamed on one. (As root here; others are tried with the
    /// server itself.)
    #[test]
    fn a_refusal_that_no_mode_explains_says_so() {
        let place = tempfile::tempdir().unwrap();
        let error = io::Error::from_raw_os_error(Errno::ACCESS.raw_os_error());
        let text = explain(error, place.path(), Wanted::Enter).to_string();
        assert!(text.contains("may not enter it"), "{text}");
        assert!(text.contains("SELinux"), "{text}");
    }
}
