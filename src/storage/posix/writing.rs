//! Writing to files of this machine.
//!
//! A file system with large folios (ext4, XFS) takes memory of one piece for what one call writes, as
//! far as it fits. The kernel has up to 32 KiB of one piece at hand for each processor, used a moment
//! ago; more comes from whole blocks of memory, which a virtual machine may have given back to its
//! host, and gets again page by page, each for a fault. Measured on such a machine, a GiB to new
//! files: 0.3 processor seconds in calls of 32 KiB, 2.1 in calls of 256 KiB; 0.25 in both where that
//! memory is there. Elsewhere a call may be a message to another process or machine (FUSE, NFS), and
//! eight of them cost more than one.

use std::{io::IoSlice, os::fd::AsFd};

use rustix::{
    fs::fstatfs,
    io::{Errno, Result, pwritev},
};

use super::retry;

/// Bytes of a small call.
const SMALL: usize = 32 << 10;
/// Slices of one call.
const SLICES: usize = 8;
/// ext2 to ext4, XFS, btrfs, tmpfs, and overlayfs, which is as the one below it.
const IN_MEMORY: [i64; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630];

/// How much one call writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Calls {
    /// Up to the next border of 32 KiB: the file system copies to memory of this machine.
    Small,
    /// All that there is.
    Large,
}

impl Calls {
    /// Those for the file system of this directory.
    pub(crate) fn on(directory: impl AsFd) -> Self {
        // The type of the field differs from machine to machine.
        #[allow(clippy::unnecessary_cast, clippy::cast_lossless)]
        match fstatfs(directory) {
            Ok(system) if IN_MEMORY.contains(&(system.f_type as i64)) => Self::Small,
            _ => Self::Large,
        }
    }
}

/// Writes the first of them, and says how much that was.
///
/// # Errors
/// Those of `pwritev`.
pub(crate) fn write_some(
    file: impl AsFd,
    data: &[IoSlice<'_>],
    at: u64,
    calls: Calls,
) -> Result<usize> {
    let past = usize::try_from(at % SMALL as u64).unwrap_or_default();
    let mut room = match calls {
        Calls::Small => SMALL - past,
        Calls::Large => usize::MAX,
    };
    let mut slices = [IoSlice::new(&[]); SLICES];
    for (slot, slice) in slices.iter_mut().zip(data) {
        let length = slice.len().min(room);
        *slot = IoSlice::new(slice.get(..length).unwrap_or_default());
        room -= length;
    }
    retry(|| pwritev(&file, &slices, at))
}

/// Writes all of it, in large calls.
///
/// # Errors
/// Those of `pwritev`; [`Errno::IO`] where nothing is taken.
pub(crate) fn write_all(file: impl AsFd, mut bytes: &[u8], mut at: u64) -> Result<()> {
    while !bytes.is_empty() {
        let written = write_some(&file, &[IoSlice::new(bytes)], at, Calls::Large)?;
        if written == 0 {
            return Err(Errno::IO);
        }
        at += written as u64;
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn a_small_call_ends_at_a_border_of_the_file() {
        let file = tempfile::tempfile().unwrap();
        for (at, lengths, small, large) in [
            (0, &[100_000][..], SMALL, 100_000),
            (1, &[100_000], SMALL - 1, 100_000),
            (SMALL - 1, &[100_000], 1, 100_000),
            (SMALL, &[5], 5, 5),
            (5 * SMALL + 10, &[20, 100_000], SMALL - 10, 100_020),
            (3, &[0, 4, 0, 5], 9, 9),
            (0, &[1; SLICES + 1], SLICES, SLICES),
            (0, &[], 0, 0),
        ] {
            let pieces: Vec<_> = lengths.iter().map(|length| vec![7; *length]).collect();
            let slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            for (calls, expected) in [(Calls::Small, small), (Calls::Large, large)] {
                let written = write_some(&file, &slices, at as u64, calls).unwrap();
                assert_eq!(written, expected, "{lengths:?} at {at}, {calls:?}");
            }
        }
    }

    #[test]
    fn calls_are_small_where_memory_of_this_machine_is_written() {
        let memory = rustix::fs::memfd_create("memory", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        assert_eq!(Calls::on(memory), Calls::Small);
        assert_eq!(
            Calls::on(std::fs::File::open("/proc").unwrap()),
            Calls::Large
        );
    }

    #[test]
    fn all_is_written_where_it_belongs() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        for at in [0, 1, 4095, 32_767, 32_768, 100_001] {
            let file = tempfile::tempfile().unwrap();
            write_all(&file, &bytes, at).unwrap();
            let mut found = vec![0; bytes.len()];
            file.read_exact_at(&mut found, at).unwrap();
            assert_eq!(found, bytes);
            assert_eq!(file.metadata().unwrap().len(), at + bytes.len() as u64);
        }
    }
}
