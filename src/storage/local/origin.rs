//! What an upload began over, and whether that still lies there.
//!
//! A broken upload belongs to it: when another file lies at its name, or none does any more, nobody
//! is told of it and nothing goes on from it. The name that it has in staging says so, so that it
//! outlives the server.

use std::fmt::Write;

use aws_lc_rs::digest;
use rustix::fs::{Statx, StatxTimestamp};

use super::target::Target;
use crate::storage::Result;

/// A digest of what lies at a name: nothing, or a file's device, inode, size and times; and of its
/// directory's device, inode and time of birth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Identity(u128);

impl Identity {
    pub(super) fn new(directory: &Statx, found: Option<&Statx>) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        let mut add = |number: u64| context.update(&number.to_ne_bytes());
        for facts in [Some(directory), found].into_iter().flatten() {
            add(facts.stx_dev_major.into());
            add(facts.stx_dev_minor.into());
            add(facts.stx_ino);
        }
        let mut add_time = |time: &StatxTimestamp| {
            add(time.tv_sec.cast_unsigned());
            add(time.tv_nsec.into());
        };
        add_time(&directory.stx_btime);
        if let Some(found) = found {
            add_time(&found.stx_mtime);
            add_time(&found.stx_ctime);
            add(found.stx_size);
        }
        let digest = context.finish();
        let half = digest.as_ref().first_chunk().copied();
        Self(u128::from_be_bytes(half.unwrap_or_default()))
    }
}

/// The file, or nothing, that an upload began over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Origin {
    pub(super) identity: Identity,
    /// Bytes at its beginning that are that file's, and not the client's.
    pub(super) base: u64,
}

impl Origin {
    /// An upload that begins at nothing.
    pub(super) fn new(target: &Target) -> Result<Self> {
        let identity = target.identity()?;
        Ok(Self { identity, base: 0 })
    }

    /// Whether an upload belongs to what lies there now. Of one that an older version has left it is
    /// not known what it began over: it belongs where nothing lies.
    pub(super) fn fits(origin: Option<Self>, target: &Target) -> Result<bool> {
        match origin {
            Some(origin) => Ok(origin.identity == target.identity()?),
            None => Ok(target.found.is_none()),
        }
    }

    /// Reads what [`push_to`](Self::push_to) wrote.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (identity, base) = text.split_once('.')?;
        let identity = u128::from_str_radix(identity, 16).ok()?;
        Some(Self {
            identity: Identity(identity),
            base: u64::from_str_radix(base, 16).ok()?,
        })
    }

    /// Appends it to a name.
    pub(super) fn push_to(&self, name: &mut String) {
        // Writing to a string cannot fail.
        let _ = write!(name, "{:032x}.{:x}", self.identity.0, self.base);
    }
}
