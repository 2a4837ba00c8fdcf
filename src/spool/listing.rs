//! Listings with what waits to be resumed among the entries.

use std::collections::HashMap;

use crate::{
    ftp::metadata::{Entry, Kind, Metadata},
    storage::{Listing, Result},
    types::BoxFuture,
};

/// A directory's entries, and among them what its reader has sent and not finished.
pub(super) struct WithParts {
    listing: Box<dyn Listing>,
    /// By name.
    parts: HashMap<String, Metadata>,
}

impl WithParts {
    pub(super) fn new(listing: Box<dyn Listing>, parts: HashMap<String, Metadata>) -> Self {
        Self { listing, parts }
    }
}

impl Listing for WithParts {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<Entry>>>> {
        Box::pin(async {
            if let Some(mut entries) = self.listing.next().await? {
                for entry in &mut entries {
                    if entry.metadata.kind != Kind::File {
                        continue;
                    }
                    if let Some(part) = self.parts.remove(&entry.name) {
                        entry.metadata.partial = part.partial;
                    }
                }
                return Ok(Some(entries));
            }
            if self.parts.is_empty() {
                return Ok(None);
            }
            let parts = std::mem::take(&mut self.parts);
            let parts = parts.into_iter();
            let entries = parts.map(|(name, metadata)| Entry { name, metadata });
            Ok(Some(entries.collect()))
        })
    }
}
