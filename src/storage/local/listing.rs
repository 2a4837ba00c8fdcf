//! Reading directories.

use std::{ffi::CStr, os::fd::OwnedFd, sync::Arc};

use rustix::{
    fs::{AtFlags, FileType, OFlags, RawDir, RawDirEntry, statx},
    io::Errno,
};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{
    confined_dir::{Directory, describe_link},
    names::shown,
};
use crate::{
    ftp::metadata::{Entry, Kind, Metadata},
    storage::{
        Error, Listing, Result, Wanted,
        posix::{FACTS, describe, facts_at, kind, kind_of, pool},
    },
    types::BoxFuture,
};

/// The bytes that the kernel fills at once: about 1000 names.
const BUFFER: usize = 32 << 10;
/// A batch ends with the buffer in which this many are reached, so that a small directory is one
/// trip to the pool, its end included.
const ENOUGH: usize = 512;

/// A thread that looks at entries lets others have the processor after this many: sessions that wait for it
/// are not kept waiting by many listings.
const TURN: usize = 32;

type Batch = Result<(Vec<Entry>, Option<Reader>)>;

/// A directory that is listed: one batch is read ahead, and no thread waits for the client.
pub(super) struct LocalListing {
    first: Option<Vec<Entry>>,
    reading: Option<JoinHandle<Batch>>,
}

impl LocalListing {
    /// Opens the directory and reads the first batch.
    ///
    /// `path` is in the names on the disk; with `escape`, names that no path can have are shown, too.
    pub(super) async fn open(
        home: Arc<Directory>,
        path: &[u8],
        escape: bool,
        wanted: Wanted,
    ) -> Result<Self> {
        let path = path.to_vec();
        let first = pool(move || Reader::open(home, path, escape, wanted)?.batch());
        let (first, reader) = first.await?;
        Ok(Self {
            first: Some(first),
            reading: reader.map(Reader::ahead),
        })
    }
}

impl Listing for LocalListing {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<Entry>>>> {
        Box::pin(async {
            if let Some(first) = self.first.take_if(|first| !first.is_empty()) {
                return Ok(Some(first));
            }
            while let Some(reading) = &mut self.reading {
                let read = reading.await;
                self.reading = None;
                let (entries, reader) =
                    read.unwrap_or_else(|error| Err(Error::Io(std::io::Error::other(error))))?;
                self.reading = reader.map(Reader::ahead);
                if !entries.is_empty() {
                    return Ok(Some(entries));
                }
            }
            Ok(None)
        })
    }
}

/// The position in a directory.
struct Reader {
    place: Position,
    buffer: Vec<u8>,
}

struct Position {
    home: Arc<Directory>,
    directory: OwnedFd,
    /// The directory from the home on, with a slash at its end.
    prefix: Vec<u8>,
    escape: bool,
    /// Whether the kinds that the directory itself has of its entries are enough.
    kinds: bool,
}

impl Reader {
    fn open(home: Arc<Directory>, path: Vec<u8>, escape: bool, wanted: Wanted) -> Result<Self> {
        let directory = home.open(&path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        // Where the directory may be read and not searched, no entry has any facts, and none is shown.
        let kinds = wanted == Wanted::Kinds && facts_at(&directory, ".").is_ok();
        let mut prefix = path;
        prefix.push(b'/');
        let place = Position {
            home,
            directory,
            prefix,
            escape,
            kinds,
        };
        Ok(Self {
            place,
            buffer: Vec::with_capacity(BUFFER),
        })
    }

    fn ahead(self) -> JoinHandle<Batch> {
        spawn_blocking(move || self.batch())
    }

    fn batch(mut self) -> Batch {
        let mut entries = Vec::new();
        let mut looked: usize = 0;
        let mut names = RawDir::new(&self.place.directory, self.buffer.spare_capacity_mut());
        while entries.len() < ENOUGH || !names.is_buffer_empty() {
            match names.next() {
                // A directory that was removed has no entries.
                None | Some(Err(Errno::NOENT)) => return Ok((entries, None)),
                Some(Err(Errno::INTR)) => {}
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(found)) => {
                    looked += 1;
                    if looked.is_multiple_of(TURN) {
                        std::thread::yield_now();
                    }
                    let name = found.file_name();
                    let Some(text) = shown(name.to_bytes(), self.place.escape) else {
                        continue;
                    };
                    if let Some(metadata) = self.place.metadata(&found) {
                        entries.push(Entry {
                            name: text.into_owned(),
                            metadata,
                        });
                    }
                }
            }
        }
        Ok((entries, Some(self)))
    }
}

impl Position {
    fn metadata(&self, entry: &RawDirEntry<'_>) -> Option<Metadata> {
        match entry.file_type() {
            // Of a link the kind is that of what it leads to, and not all file systems tell kinds.
            FileType::Symlink | FileType::Unknown => self.look(entry.file_name()),
            known if self.kinds => Some(Metadata::of_kind(kind_of(known))),
            _ => self.look(entry.file_name()),
        }
    }

    fn look(&self, name: &CStr) -> Option<Metadata> {
        // The attributes that a network file system knows already are good enough for a listing.
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC;
        let found = statx(&self.directory, name, flags, FACTS).ok()?;
        if kind(&found) != Kind::Link {
            return Some(describe(&found));
        }
        // Bounded by the home, not by this directory: `../x` is a fine link.
        let leads_to = [&*self.prefix, name.to_bytes()].concat();
        // One that leads nowhere is still an entry, which stands in the way of RMD.
        let leads_to = self.home.metadata(&leads_to);
        Some(leads_to.unwrap_or_else(|_| describe_link(&found)))
    }
}

/// How many entries of a directory are not shown.
pub(super) fn count_not_shown(directory: &OwnedFd, escape: bool) -> u64 {
    let mut buffer = Vec::with_capacity(BUFFER);
    let mut names = RawDir::new(directory, buffer.spare_capacity_mut());
    let mut count = 0;
    while let Some(Ok(entry)) = names.next() {
        let name = entry.file_name().to_bytes();
        let around = matches!(name, b"." | b"..");
        count += u64::from(!around && shown(name, escape).is_none());
    }
    count
}
