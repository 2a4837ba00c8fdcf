//! Files that are there whole or not at all.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Gid, Uid},
    io::Errno,
};

use crate::types::access::{Wanted, explain};

/// Makes a directory, and those above it, for its owner alone. One that is there is left as it is.
pub fn make_private_directory(directory: &Path) -> Result<(), String> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| failed(directory, "made", &error))
}

/// Keeps others from writing in a directory until the file is dropped.
pub fn lock(directory: &Path) -> Result<File, String> {
    let file = File::open(directory).map_err(|error| failed(directory, "opened", &error))?;
    file.lock()
        .map_err(|error| failed(directory, "locked", &error))?;
    Ok(file)
}

/// Puts `content` in place of the file; a new one is for its owner alone. Mode and owner of what is
/// there are kept, and so are symbolic links to it.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), String> {
    write(path, content).map_err(|error| failed(path, "written", &error))
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
    let directory = target.parent().unwrap_or(Path::new("."));
    let model = fs::metadata(&target);
    let mode = model.as_ref().map_or(0o600, |model| model.mode() & 0o777);
    // A new file belongs to whom the directory does: root adds a user, the daemon has to read it.
    let owner = model.or_else(|_| fs::metadata(directory))?;

    let mut file = tempfile::Builder::new()
        .prefix(".portcullis-")
        .tempfile_in(directory)?;
    file.write_all(content)?;
    let made = file.as_file().metadata()?;
    if (made.uid(), made.gid()) != (owner.uid(), owner.gid()) {
        let (uid, gid) = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
        // Without the right to give files away, the old owner cannot be kept.
        let _ = rustix::fs::fchown(file.as_file(), Some(uid), Some(gid));
    }
    file.as_file()
        .set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(&target).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

/// "PATH cannot be VERB: ERROR", with the user and the place where permission is denied.
pub fn failed(path: &Path, verb: &str, error: &io::Error) -> String {
    let shown = path.display();
    let text = error.to_string();
    if error.kind() != io::ErrorKind::PermissionDenied || text.starts_with("permission denied: ") {
        return format!("{shown} cannot be {verb}: {text}");
    }
    let denied = || io::Error::from(Errno::ACCESS);
    let explained = match (verb, path.parent()) {
        // By a new file in its place.
        ("written", Some(directory)) => explain(denied(), directory, Wanted::Fill),
        ("made", _) => explain(denied(), path, Wanted::Make),
        _ => explain(denied(), path, Wanted::Read),
    };
    format!("{shown} cannot be {verb}: {explained}")
}

/// A path as it is shortest to type: relative to the working directory if it lies in it.
pub fn short(path: &Path) -> String {
    let working = std::env::current_dir().unwrap_or_default();
    shortened(path, &working).display().to_string()
}

/// In the directory of all directories a path stays whole: without its first sign it would be taken for
/// one of another place.
fn shortened<'a>(path: &'a Path, working: &Path) -> &'a Path {
    if working.parent().is_none() {
        return path;
    }
    let relative = path.strip_prefix(working).ok();
    let relative = relative.filter(|path| !path.as_os_str().is_empty());
    relative.unwrap_or(path)
}

/// The same for a command line: in quotes where the shell would read it in another way.
pub fn for_shell(path: &Path) -> String {
    let text = short(path);
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    if text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_short_and_mean_what_they_are() {
        for (path, working, expected) in [
            ("/srv/state/files", "/srv", "state/files"),
            ("/srv", "/srv", "/srv"),
            ("/etc/config.toml", "/srv", "/etc/config.toml"),
            ("/etc/config.toml", "/", "/etc/config.toml"),
        ] {
            let shown = shortened(Path::new(path), Path::new(working));
            assert_eq!(shown, Path::new(expected), "{path} in {working}");
        }
    }
}
