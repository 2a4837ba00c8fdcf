//! How much lies in a home.

use rustix::fs::{AtFlags, Dir, OFlags, statx};

use super::confined_dir::Directory;
use crate::{
    ftp::metadata::Kind,
    storage::{
        Amount, Error, Result,
        posix::{FACTS, kind},
    },
};

/// All files beneath it. Links are not followed, and names that no client can have are not entered.
pub(super) fn count(home: &Directory) -> Result<Amount> {
    let mut all = Amount::default();
    let mut directories = vec![".".to_owned()];
    while let Some(directory) = directories.pop() {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let handle = match home.open(&directory, flags) {
            Ok(handle) => handle,
            Err(error) if directory == "." => return Err(error),
            // Removed meanwhile, or not the server's to read.
            Err(_) => continue,
        };
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC;
        for entry in Dir::read_from(&handle)? {
            let entry = entry.map_err(Error::from)?;
            let Ok(found) = statx(&handle, entry.file_name(), flags, FACTS) else {
                continue;
            };
            match (kind(&found), entry.file_name().to_str()) {
                (Kind::File, _) => all = all.plus(Amount::file(found.stx_size)),
                (Kind::Directory, Ok(name)) if !matches!(name, "." | "..") => {
                    directories.push(format!("{directory}/{name}"));
                }
                _ => {}
            }
        }
    }
    Ok(all)
}
