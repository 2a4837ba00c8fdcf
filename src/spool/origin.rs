//! The file over which an upload began, and whether that still lies there.
//!
//! A broken upload belongs to it: when another file lies at its name, or none does any more, nobody
//! is told of it and nothing goes on from it. The name that it has in staging says so, so that it
//! outlives the server.

use std::fmt::Write;

use crate::storage::{Found, Identity};

/// The file, or nothing, that an upload began over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Origin {
    pub(super) identity: Identity,
    /// Bytes at its beginning that are that file's, and not the client's.
    pub(super) base: u64,
}

impl Origin {
    /// Of an upload that begins at nothing.
    pub(super) fn new(found: &Found) -> Self {
        Self {
            identity: found.identity,
            base: 0,
        }
    }

    /// Whether an upload belongs to what lies there now. Of one that an older version has left it is
    /// not known what it began over: it belongs where nothing lies.
    pub(super) fn fits(origin: Option<Self>, found: &Found) -> bool {
        match origin {
            Some(origin) => origin.identity == found.identity,
            None => found.entry.is_none(),
        }
    }

    /// Reads what [`push_to`](Self::push_to) wrote.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (identity, base) = text.split_once('.')?;
        let identity = u128::from_str_radix(identity, 16).ok()?;
        Some(Self {
            identity: identity.into(),
            base: u64::from_str_radix(base, 16).ok()?,
        })
    }

    /// Appends it to a name.
    pub(super) fn push_to(&self, name: &mut String) {
        // Writing to a string cannot fail.
        let _ = write!(name, "{:032x}.{:x}", self.identity.number(), self.base);
    }
}
