//! Uploads that a person has to look at.
//!
//! Each is a file beside a note in JSON of the same name, in a directory that no client sees. It may
//! be on another file system than the storage.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::DirBuilderExt,
    },
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use rustix::{
    fs::{
        AtFlags, CWD, Dir, Mode, OFlags, RenameFlags, fchmod, fsync, linkat, openat, renameat,
        unlinkat,
    },
    io::Errno,
};

use super::{place::Spool, progress::Progress, room::Held, staging::Staging};
use crate::{
    ftp::metadata::Kind,
    storage::{
        Error, Result,
        posix::{facts, rename, retry},
    },
    types::{HostId, UploadMode},
};

/// The most bytes of one read.
const BUFFER: usize = 256 << 10;
/// The longest note.
const NOTE: u64 = 256 << 10;
const JSON: &str = ".json";
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// The facts of an upload in quarantine for the person who looks at it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct QuarantineInfo {
    /// The user that sent it.
    pub user: String,
    /// The host that the user had logged in to.
    #[serde(default, skip_serializing_if = "HostId::is_unnamed")]
    pub host: HostId,
    /// Where it was to be seen, in the user's tree.
    pub path: String,
    /// Whether it was to create, overwrite or append to a file.
    pub mode: UploadMode,
    /// The client's address and port.
    pub client: String,
    /// The session, as logs name it.
    pub session: String,
    /// Which plugin put it there.
    pub plugin: String,
    /// Why.
    pub reason: String,
    /// Whether all of it is there: a verdict before the last byte ends an upload at once.
    pub whole: bool,
    /// Its SHA-256 digest, lower-case hexadecimal.
    pub sha256: Option<String>,
}

/// An upload in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct QuarantinedUpload {
    /// Its name in quarantine.
    pub id: String,
    /// When it was put there, RFC 3339 in UTC.
    pub time: String,
    /// The storage that it was sent to.
    pub storage: String,
    /// The user's home in that storage.
    pub home: String,
    /// Bytes.
    pub size: u64,
    /// While it is being released, the bytes of it that have been copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied: Option<u64>,
    /// The facts that the session knew of it.
    #[serde(flatten)]
    pub note: QuarantineInfo,
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).recursive(true).create(path)
}

fn open(path: &Path) -> Result<OwnedFd> {
    make(path)?;
    Ok(openat(CWD, path, DIRECTORY, Mode::empty())?)
}

/// Moves an upload there; returns its name.
pub(super) fn put(
    spool: &Spool,
    mut upload: Progress,
    home_path: &str,
    mut note: QuarantineInfo,
) -> Result<String> {
    let staging = &spool.staging;
    let _coming = Held::existing(&staging.quarantining, upload.length);
    check(spool)?;
    let quarantine = open(&spool.quarantine)?;
    let now = jiff::Timestamp::now();
    let id = format!(
        "{}-{:x}",
        now.strftime("%Y%m%dT%H%M%S.%fZ"),
        staging.number()
    );
    if note.sha256.is_none() {
        note.sha256 = Some(sha256(&upload.file, upload.length)?);
    }
    fchmod(&*upload.file, Mode::from_raw_mode(0o600))?;
    let moved = (&**staging, upload.name()?);
    transfer(moved, &upload.file, (&quarantine, &id))?;
    let held = QuarantinedUpload {
        copied: None,
        id: id.clone(),
        time: now.to_string(),
        storage: spool.name.clone(),
        home: match home_path {
            "" => "/".to_owned(),
            home => home.to_owned(),
        },
        size: upload.length,
        note,
    };
    upload.moved();
    let text = serde_json::to_string_pretty(&held).map_err(io::Error::other)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let beside = openat(
        &quarantine,
        format!("{id}{JSON}"),
        flags,
        Mode::from_raw_mode(0o600),
    )?;
    let mut beside = File::from(beside);
    beside.write_all(format!("{text}\n").as_bytes())?;
    Ok(id)
}

/// There is room for what is on its way into quarantine.
fn check(spool: &Spool) -> Result<()> {
    if spool.quarantine_size == 0 {
        return Ok(());
    }
    let there: u64 = list(spool)?.iter().map(|held| held.size).sum();
    let all = there.saturating_add(spool.staging.quarantining.held());
    match all > spool.quarantine_size {
        true => Err(Error::Bound("quarantine-size")),
        false => Ok(()),
    }
}

/// Gives a file another place, on another file system by a copy that appears whole.
fn transfer(from: (&Staging, &str), file: &OwnedFd, to: (&OwnedFd, &str)) -> Result<()> {
    let (directory, name) = to;
    match rename(
        from.0,
        from.1,
        directory,
        name,
        RenameFlags::NOREPLACE,
        Kind::File,
    ) {
        Err(Error::CrossDevice) => {}
        renamed => return renamed,
    }
    let copying = format!("{name}.copying");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let copy = openat(directory, &copying, flags, Mode::from_raw_mode(0o600))?;
    let copied = self::copy(file, &copy, &AtomicU64::new(0)).and_then(|()| {
        fsync(&copy)?;
        Ok(renameat(directory, &copying, directory, name)?)
    });
    if copied.is_err() {
        let _ = unlinkat(directory, &copying, AtFlags::empty());
        return copied;
    }
    Ok(unlinkat(from.0, from.1, AtFlags::empty())?)
}

fn copy(from: &OwnedFd, to: &OwnedFd, copied: &AtomicU64) -> Result<()> {
    each(from, u64::MAX, |chunk| {
        let mut rest = chunk;
        while !rest.is_empty() {
            let written = retry(|| rustix::io::write(to, rest))?;
            rest = rest.get(written..).unwrap_or_default();
            copied.fetch_add(written as u64, Relaxed);
        }
        Ok(())
    })
}

fn sha256(file: &OwnedFd, length: u64) -> Result<String> {
    let mut context = digest::Context::new(&digest::SHA256);
    each(file, length, |chunk| {
        context.update(chunk);
        Ok(())
    })?;
    Ok(HEXLOWER.encode(context.finish().as_ref()))
}

/// Reads up to `length` bytes from the beginning on.
fn each(file: impl AsFd, length: u64, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let (mut buffer, mut at) = (vec![0; BUFFER], 0);
    while at < length {
        let read = retry(|| rustix::io::pread(&file, &mut buffer[..], at))?;
        let left = usize::try_from(length - at).unwrap_or(usize::MAX);
        let Some(chunk) = buffer
            .get(..read.min(left))
            .filter(|chunk| !chunk.is_empty())
        else {
            break;
        };
        take(chunk)?;
        at += chunk.len() as u64;
    }
    Ok(())
}

/// The uploads in quarantine, the oldest first.
pub(super) fn list(spool: &Spool) -> Result<Vec<QuarantinedUpload>> {
    let directory = match openat(CWD, &spool.quarantine, DIRECTORY, Mode::empty()) {
        Ok(directory) => directory,
        Err(Errno::NOENT) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut all = Vec::new();
    for entry in Dir::read_from(&directory)? {
        let entry = entry.map_err(Error::from)?;
        let Some(id) = entry
            .file_name()
            .to_str()
            .ok()
            .and_then(|name| name.strip_suffix(JSON))
        else {
            continue;
        };
        // One that was removed meanwhile is not there; one of another storage is not ours.
        if let Ok((held, _)) = look(&directory, id)
            && held.storage == spool.name
        {
            all.push(held);
        }
    }
    all.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(all)
}

/// The uploads in quarantine at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) uploads: usize,
    /// When the directory had last changed; none where it had just done so, and may again within the same
    /// tick of the file system's clock.
    changed: Option<SystemTime>,
}

/// Counts them anew, unless nothing has changed since the last time.
pub(super) fn count(spool: &Spool, last: Option<Counted>) -> Result<Counted> {
    /// Longer than any tick.
    const SETTLED: Duration = Duration::from_secs(3);
    let changed = fs::metadata(&spool.quarantine).and_then(|facts| facts.modified());
    let changed = changed
        .ok()
        .filter(|changed| changed.elapsed().is_ok_and(|since| since > SETTLED));
    if let Some(last) = last
        && last.changed.is_some()
        && last.changed == changed
    {
        return Ok(last);
    }
    let uploads = list(spool)?.len();
    Ok(Counted { uploads, changed })
}

/// The note of an upload, and the upload.
fn look(directory: &OwnedFd, id: &str) -> Result<(QuarantinedUpload, OwnedFd)> {
    // A name that a person typed.
    if id.starts_with('.') || id.contains('/') {
        return Err(Error::NotFound);
    }
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(directory, id, flags, Mode::empty())?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let note = openat(directory, format!("{id}{JSON}"), flags, Mode::empty())?;
    let mut text = Vec::new();
    File::from(note).take(NOTE).read_to_end(&mut text)?;
    let held: QuarantinedUpload = serde_json::from_slice(&text).map_err(|error| {
        let text = format!("the note of {id} in quarantine is damaged: {error}");
        Error::Io(io::Error::other(text))
    })?;
    match held.id == id {
        true => Ok((held, file)),
        false => Err(Error::NotFound),
    }
}

/// An upload of this storage, and where it lies.
pub(super) fn find(spool: &Spool, id: &str) -> Result<(QuarantinedUpload, OwnedFd, OwnedFd)> {
    let directory = open(&spool.quarantine)?;
    let (held, file) = look(&directory, id)?;
    match held.storage == spool.name {
        true => Ok((held, file, directory)),
        false => Err(Error::NotFound),
    }
}

/// A second name in staging for an upload in quarantine, or a copy, from where it is published.
///
/// `copied` counts the bytes where it has to be copied.
pub(super) fn stage(
    spool: &Spool,
    id: &str,
    bytes: &AtomicU64,
) -> Result<(QuarantinedUpload, String, Arc<OwnedFd>)> {
    let (held, file, directory) = find(spool, id)?;
    if facts(&file)?.stx_size != held.size {
        let text = "it has another size than when it was put into quarantine";
        return Err(Error::Io(io::Error::other(text)));
    }
    let staging = &*spool.staging;
    let staged = staging.release_name(id);
    let _ = unlinkat(staging, &staged, AtFlags::empty());
    match linkat(&directory, id, staging, &staged, AtFlags::empty()) {
        Ok(()) => return Ok((held, staged, Arc::new(file))),
        Err(Errno::XDEV | Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK) => {}
        Err(error) => return Err(error.into()),
    }
    let copied = staging.create(&staged, 0o600)?;
    if let Err(error) = copy(&file, &copied, bytes) {
        let _ = unlinkat(staging, &staged, AtFlags::empty());
        return Err(error);
    }
    Ok((held, staged, Arc::new(copied)))
}

/// Removes an upload for good.
pub(super) fn discard(spool: &Spool, id: &str) -> Result<QuarantinedUpload> {
    let (held, ..) = find(spool, id)?;
    remove(spool, id)?;
    Ok(held)
}

/// Removes an upload and its note.
pub(super) fn remove(spool: &Spool, id: &str) -> Result<()> {
    let directory = open(&spool.quarantine)?;
    unlinkat(&directory, id, AtFlags::empty())?;
    Ok(unlinkat(
        &directory,
        format!("{id}{JSON}"),
        AtFlags::empty(),
    )?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_tells_how_far_it_has_come() {
        let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let content = vec![7; 3 * BUFFER + 5];
        (&from).write_all(&content).unwrap();
        let copied = AtomicU64::new(0);
        copy(&from.into(), &to.try_clone().unwrap().into(), &copied).unwrap();
        assert_eq!(copied.load(Relaxed), content.len() as u64);
        assert_eq!(to.metadata().unwrap().len(), content.len() as u64);
    }
}
