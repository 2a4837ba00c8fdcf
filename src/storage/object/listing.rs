//! Directories of a bucket.

use std::{collections::HashSet, sync::Arc, time::UNIX_EPOCH};

use tokio::task::JoinHandle;

use super::{
    super::{Error, Listing, Result},
    engine::{Engine, Page},
    home::{directory_metadata, metadata_of},
    key::{Keys, MARKER},
};
use crate::{
    ftp::{metadata::Entry, path::VirtualPath},
    types::BoxFuture,
};

/// A directory that is listed page by page, of which the next one is asked for while one is told.
pub(super) struct ObjectListing {
    engine: Arc<Engine>,
    keys: Keys,
    prefix: String,
    first: Option<Page>,
    coming: Option<JoinHandle<Result<Page>>>,
}

impl Drop for ObjectListing {
    fn drop(&mut self) {
        if let Some(coming) = &self.coming {
            coming.abort();
        }
    }
}

impl ObjectListing {
    /// Of what begins with `prefix`, of which the first page is there.
    pub(super) fn new(engine: Arc<Engine>, keys: Keys, prefix: String, first: Page) -> Self {
        Self {
            engine,
            keys,
            prefix,
            first: Some(first),
            coming: None,
        }
    }

    /// A page as entries; begins to ask for the next one.
    fn told(&mut self, page: Page) -> Vec<Entry> {
        if let Some(next) = page.next {
            let (engine, prefix) = (self.engine.clone(), self.prefix.clone());
            self.coming = Some(tokio::spawn(async move {
                engine.page(&prefix, false, None, Some(next)).await
            }));
        }
        let root = VirtualPath::root();
        let name = |key: &str| {
            let name = key.strip_prefix(&self.prefix)?;
            let hidden = name == MARKER || self.keys.is_hidden(key);
            let shown = !hidden && !name.contains('/') && root.join(name).is_ok();
            shown.then(|| name.to_owned())
        };
        let mut entries: Vec<_> = page
            .objects
            .iter()
            .filter_map(|object| {
                let name = name(&object.key)?;
                let metadata = metadata_of(object);
                Some(Entry { name, metadata })
            })
            .collect();
        let files: HashSet<_> = entries.iter().map(|entry| entry.name.clone()).collect();
        // A file hides a directory of the same name.
        let directories = page.prefixes.iter().filter_map(|prefix| {
            let name = name(prefix.strip_suffix('/')?)?;
            let metadata = directory_metadata(prefix, UNIX_EPOCH);
            (!files.contains(&name)).then_some(Entry { name, metadata })
        });
        entries.extend(directories);
        entries
    }
}

impl Listing for ObjectListing {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<Entry>>>> {
        Box::pin(async move {
            loop {
                let page = match (self.first.take(), &mut self.coming) {
                    (Some(first), _) => first,
                    (None, Some(coming)) => {
                        let page = coming.await;
                        self.coming = None;
                        page.map_err(|error| Error::Io(std::io::Error::other(error)))??
                    }
                    (None, None) => return Ok(None),
                };
                let entries = self.told(page);
                if !entries.is_empty() {
                    return Ok(Some(entries));
                }
            }
        })
    }
}
