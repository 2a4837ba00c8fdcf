//! Work that is done for an upload while its bytes still come, so that its end need not wait for it.
//!
//! Blocks are allocated before they are written: ext4 else allocates them at the last moment, and a
//! rename over another file makes it that moment (`auto_da_alloc`). Of an upload that is to be on the
//! disk before it is confirmed, bytes begin their way there as soon as there are enough of them.

use std::{
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::fs::{FallocateFlags, fallocate, fstatfs, ftruncate};

use crate::storage::Result;

/// Below this length, allocating ahead costs more than it saves.
const LARGE: u64 = 256 << 10;
/// Bytes that are allocated at a time. Larger steps save nothing, and hold more that others may need.
const STEP: u64 = 4 << 20;
/// Bytes that begin their way to the disk together.
const RANGE: u64 = 8 << 20;
/// `EXT4_SUPER_MAGIC`, which ext2 and ext3 have, too. Elsewhere allocating ahead is needless (XFS does so
/// itself) or harms (btrfs then neither compresses nor shares).
const EXT4: i64 = 0xef53;

/// When blocks for uploads to a directory are allocated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Allocates {
    Ahead,
    /// When the file system thinks best.
    Late,
}

impl Allocates {
    /// How it is done in the file system of this directory.
    pub(super) fn on(directory: impl AsFd) -> Self {
        // The type of the field differs from machine to machine.
        #[allow(clippy::unnecessary_cast, clippy::cast_lossless)]
        match fstatfs(directory) {
            Ok(system) if system.f_type as i64 == EXT4 => Self::Ahead,
            _ => Self::Late,
        }
    }
}

/// The work that has been done ahead for one upload.
#[derive(Debug)]
pub(super) struct Ahead {
    allocates: Allocates,
    /// Where the allocated blocks end; 0 before the first.
    allocated: u64,
    /// Whether it is to be on the disk at its end.
    durable: bool,
    /// The bytes that have begun their way there.
    begun: u64,
    /// Whether some are just beginning it, which may wait for the disk.
    beginning: Arc<AtomicBool>,
}

impl Ahead {
    /// Of an upload that has `length` bytes already, in a file that has blocks up to `allocated`.
    pub(super) fn new(allocates: Allocates, durable: bool, length: u64, allocated: u64) -> Self {
        Self {
            allocates,
            allocated,
            durable,
            begun: length,
            beginning: Arc::default(),
        }
    }

    /// Bytes are about to be written, up to `end`.
    pub(super) fn writes(&mut self, file: &OwnedFd, length: u64, end: u64) {
        if self.allocates == Allocates::Late || end < LARGE {
            return;
        }
        let from = self.allocated.max(length);
        if end <= from && self.allocated > 0 {
            return;
        }
        let step = STEP.max(end.saturating_sub(from));
        match fallocate(file, FallocateFlags::KEEP_SIZE, from, step) {
            Ok(()) => self.allocated = from.saturating_add(step),
            // A full disk is for the write to report, which may find room that this did not.
            Err(_) => self.allocates = Allocates::Late,
        }
    }

    /// The file has `length` bytes by now.
    pub(super) fn written(&mut self, file: &Arc<OwnedFd>, length: u64) {
        let (from, range) = (self.begun, length.saturating_sub(self.begun));
        if !self.durable || range < RANGE || self.beginning.swap(true, Ordering::Relaxed) {
            return;
        }
        self.begun = length;
        let (file, beginning) = (file.clone(), self.beginning.clone());
        tokio::task::spawn_blocking(move || {
            begin_writing(&file, from, range);
            beginning.store(false, Ordering::Relaxed);
        });
    }

    /// Gives back the blocks behind the end, which is at `length`, and what an older file has left there.
    pub(super) fn trim(&mut self, file: &OwnedFd, length: u64) -> Result<()> {
        if std::mem::take(&mut self.allocated) > length {
            ftruncate(file, length)?;
        }
        Ok(())
    }
}

/// The disk begins to write these bytes; nobody waits for its end. An error shows when the file is
/// synced.
#[allow(unsafe_code, reason = "no library has this call")]
fn begin_writing(file: &OwnedFd, from: u64, length: u64) {
    let (from, length) = (from.cast_signed(), length.cast_signed());
    // SAFETY: the call takes numbers alone, of which the first is a descriptor that is open.
    unsafe {
        libc::sync_file_range(file.as_raw_fd(), from, length, libc::SYNC_FILE_RANGE_WRITE);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rustix::fs::fstat;
    use std::io::Write;

    fn blocks(file: &OwnedFd) -> u64 {
        fstat(file).unwrap().st_blocks.unsigned_abs() * 512
    }

    #[test]
    fn blocks_behind_the_end_are_given_back() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1; 5000]).unwrap();
        let file = OwnedFd::from(file);
        let mut ahead = Ahead::new(Allocates::Ahead, false, 5000, 0);
        ahead.writes(&file, 5000, 6000);
        assert_eq!(ahead.allocated, 0, "too small");
        ahead.writes(&file, 5000, LARGE);
        if ahead.allocates == Allocates::Late {
            // The file system of temporary files cannot.
            return;
        }
        assert!(blocks(&file) >= STEP, "{}", blocks(&file));
        assert_eq!(fstat(&file).unwrap().st_size, 5000);
        ahead.trim(&file, 5000).unwrap();
        assert!(blocks(&file) < LARGE, "{}", blocks(&file));
        assert_eq!(fstat(&file).unwrap().st_size, 5000);
    }

    #[test]
    fn a_file_that_cannot_be_allocated_is_written_all_the_same() {
        let (writer, _) = std::os::unix::net::UnixStream::pair().unwrap();
        let writer = OwnedFd::from(writer);
        let mut ahead = Ahead::new(Allocates::Ahead, false, 0, 0);
        ahead.writes(&writer, 0, LARGE);
        assert_eq!((ahead.allocates, ahead.allocated), (Allocates::Late, 0));
    }
}
