//! Files that the configuration names: read whole, and never waited for.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::fs::OFlags;

use crate::types::access::{Wanted, explain};

/// The largest file that is read.
const LARGEST: u64 = 256 << 20;
/// A file system that takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(10);

/// Reads a regular file, or a link to one. Pipes, sockets and devices are refused without a read;
/// a file system that hangs is given up.
///
/// # Errors
/// When it is none, is too large, cannot be read, or cannot be read in time.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_at_most(path, LARGEST)
}

/// The same of a file that is to have `most` bytes at most; of a larger one nothing is read.
///
/// # Errors
/// As [`read`].
pub fn read_at_most(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let path = path.to_owned();
    within(DEADLINE, "read", move || read_at_once(&path, most))
}

/// The same of a file that has to be UTF-8.
///
/// # Errors
/// As [`read`], and where it is something else.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|error| {
        let text = format!(
            "it is not UTF-8, from byte {} on",
            error.utf8_error().valid_up_to()
        );
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

/// Does work on files beside this thread, and gives it up when it takes longer than `limit`.
///
/// # Errors
/// Those of the work; that it could not be done in time.
pub fn within<T: Send + 'static>(
    limit: Duration,
    verb: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (done, result) = mpsc::sync_channel(1);
    // Of its own, since a thread in a call that hangs cannot be ended.
    thread::Builder::new()
        .name("files".into())
        .spawn(move || done.send(work()))?;
    result.recv_timeout(limit).unwrap_or_else(|_| {
        let text = format!(
            "it could not be {verb} within {} s: does its file system hang?",
            limit.as_secs()
        );
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    })
}

/// Opens a regular file, or a link to one, to be read.
///
/// # Errors
/// When it is none, or cannot be opened.
pub fn open(path: &Path) -> io::Result<File> {
    let denied = |error| explain(error, path, Wanted::Read);
    let no_file = || io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
    // To open some devices has effects.
    if !fs::metadata(path).map_err(denied)?.is_file() {
        return Err(no_file());
    }
    // It may be another one by now: to open a pipe must not block either.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(path)
        .map_err(denied)?;
    if !file.metadata()?.is_file() {
        return Err(no_file());
    }
    Ok(file)
}

fn read_at_once(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let too_large = |bytes: u64| {
        let text = format!("it has {bytes} bytes, and {most} is the most");
        Err(io::Error::new(io::ErrorKind::FileTooLarge, text))
    };
    let file = open(path)?;
    let length = file.metadata()?.len();
    if length > most {
        return too_large(length);
    }
    // It may grow while it is read.
    let mut content = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.take(most.saturating_add(1))
        .read_to_end(&mut content)?;
    match content.len() as u64 {
        length if length > most => too_large(length),
        _ => Ok(content),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn only_regular_files_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        fs::write(&file, "content").unwrap();
        symlink("file", &link).unwrap();
        assert_eq!(read(&file).unwrap(), b"content");
        assert_eq!(read(&link).unwrap(), b"content");
        assert_eq!(read_at_most(&file, 7).unwrap(), b"content");
        let error = read_at_most(&file, 6).unwrap_err();
        assert_eq!(error.to_string(), "it has 7 bytes, and 6 is the most");
        let pipe = directory.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for other in [&pipe, directory.path(), Path::new("/dev/zero")] {
            let error = read(other).unwrap_err();
            assert_eq!(error.to_string(), "not a regular file");
        }
        let error = read(&directory.path().join("none")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
