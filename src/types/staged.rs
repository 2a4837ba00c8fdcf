//! Bytes that are there already.

use bytes::Bytes;

use super::BoxFuture;

/// Reads staged bytes again, for digests that are asked for late.
pub trait Staged: Send + Sync {
    /// Up to `length` bytes from `offset` on; empty at the end.
    fn read_at(&self, offset: u64, length: usize) -> BoxFuture<'_, std::io::Result<Bytes>>;
}
