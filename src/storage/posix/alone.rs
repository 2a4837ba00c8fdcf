//! Whether anybody else can see a file that has lost its name, now or later.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::{
    fs::{Mode, fchmod, flistxattr},
    process::{getegid, geteuid},
};

use super::{facts, kind};
use crate::ftp::metadata::Kind;

/// Makes an open file, whose name is in a directory that nobody else may enter, the server's alone: it
/// has no other name, owner, group or attribute, nobody has it open or mapped, and whoever kept a way to
/// it beside its name (a handle without rights, one of NFS) may not open it from now on. Its length;
/// `None` where anything of that is not so, or cannot be told.
pub(crate) fn alone(file: &OwnedFd) -> Option<u64> {
    let found = facts(file).ok()?;
    let alone = kind(&found) == Kind::File
        && found.stx_nlink == 1
        && found.stx_uid == geteuid().as_raw()
        && found.stx_gid == getegid().as_raw()
        && matches!(flistxattr(file, &mut [0_u8; 16][..]), Ok(0))
        // In this order: nobody who was not refused by the one escapes the other.
        && fchmod(file, Mode::RUSR | Mode::WUSR).is_ok()
        && nobody_has_it_open(file.as_fd());
    alone.then_some(found.stx_size)
}

/// A lease to write is given to those alone who have the only open file (`fcntl`(2), `F_SETLEASE`); it
/// is given back at once.
#[allow(unsafe_code, reason = "no library has leases")]
fn nobody_has_it_open(file: BorrowedFd<'_>) -> bool {
    // `asm-generic/fcntl.h`.
    const F_SETSIG: libc::c_int = 10;
    let set = |what, value: libc::c_int| {
        // SAFETY: the calls take numbers alone, of which the first is a descriptor that is open.
        unsafe { libc::fcntl(file.as_raw_fd(), what, value) == 0 }
    };
    // Should it be opened in between, the signal is one that is ignored; the usual one ends the process.
    set(F_SETSIG, libc::SIGURG)
        && set(libc::F_SETLEASE, libc::F_WRLCK)
        && set(libc::F_SETLEASE, libc::F_UNLCK)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::{
        fs::{self, File, Permissions},
        os::unix::fs::PermissionsExt,
        path::Path,
    };

    fn is_alone(file: &OwnedFd) -> bool {
        alone(file).is_some()
    }

    fn open(path: &Path) -> OwnedFd {
        File::options()
            .read(true)
            .write(true)
            .open(path)
            .unwrap()
            .into()
    }

    #[test]
    fn a_file_that_others_have_in_their_hands_is_not_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "content").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        if !is_alone(&open(&path)) {
            // The file system of temporary files has no leases.
            return;
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let reader = File::open(&path).unwrap();
        assert!(!is_alone(&open(&path)), "a reader");
        drop(reader);
        let writer = File::options().append(true).open(&path).unwrap();
        assert!(!is_alone(&open(&path)), "a writer");
        drop(writer);
        assert!(is_alone(&open(&path)));

        let link = directory.path().join("link");
        fs::hard_link(&path, &link).unwrap();
        assert!(!is_alone(&open(&path)), "another name");
        fs::remove_file(link).unwrap();

        let set = rustix::fs::setxattr(
            &path,
            "user.note",
            b"theirs",
            rustix::fs::XattrFlags::empty(),
        );
        if set.is_ok() {
            assert!(!is_alone(&open(&path)), "an attribute");
            rustix::fs::removexattr(&path, "user.note").unwrap();
        }
        assert!(is_alone(&open(&path)));
        assert!(!is_alone(&open_directory(directory.path())), "a directory");
    }

    fn open_directory(path: &Path) -> OwnedFd {
        File::open(path).unwrap().into()
    }

    #[test]
    fn a_lease_that_is_broken_ends_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "content").unwrap();
        std::thread::scope(|scope| {
            let opening = scope.spawn(|| {
                for _ in 0..2000 {
                    drop(File::open(&path).unwrap());
                }
            });
            while !opening.is_finished() {
                let _ = alone(&open(&path));
            }
        });
    }
}
