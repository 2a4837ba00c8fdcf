//! Whether a file has changed since it was read.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, SystemTime},
};

/// A file that was written to less than this before it was read may be written to again without its
/// times telling: the clock of file systems is that coarse.
const SETTLED: Duration = Duration::from_millis(50);

/// By what a change is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// There is no such file.
    Missing,
    /// It was written to just now: it counts as changed.
    Unsettled,
    /// Device, inode, size, and the times of its content and its inode.
    Seen(u64, u64, u64, (i64, i64), (i64, i64)),
}

impl Stamp {
    /// The stamp of the file as it is.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        fs::metadata(path).map_or(Self::Missing, |metadata| Self::new(&metadata))
    }

    /// Whether the file is still the same.
    #[must_use]
    pub fn still_holds(self, path: &Path) -> bool {
        self == fs::metadata(path).map_or(Self::Missing, |metadata| Self::seen(&metadata))
    }

    /// The stamp of a file with this metadata.
    #[must_use]
    pub fn new(metadata: &fs::Metadata) -> Self {
        let age = metadata
            .modified()
            .ok()
            .map(|at| SystemTime::now().duration_since(at));
        match age {
            Some(Ok(age)) if age < SETTLED => Self::Unsettled,
            _ => Self::seen(metadata),
        }
    }

    fn seen(metadata: &fs::Metadata) -> Self {
        let content = (metadata.mtime(), metadata.mtime_nsec());
        let inode = (metadata.ctime(), metadata.ctime_nsec());
        Self::Seen(
            metadata.dev(),
            metadata.ino(),
            metadata.len(),
            content,
            inode,
        )
    }
}
