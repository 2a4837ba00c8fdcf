//! Broken uploads that another server of the storage may have left, or may go on with.

use std::{os::fd::OwnedFd, sync::Arc};

use rustix::fs::{AtFlags, ftruncate, renameat, unlinkat};
use serde::{Deserialize, Serialize};

use super::{
    key::Key,
    label::Label,
    names::COPY,
    origin::Origin,
    slots::{Partial, locked},
    staging::Staging,
};
use crate::{
    ftp::metadata::{Kind, Metadata},
    storage::{
        Keeper, Left, Result,
        posix::{describe, facts, pool},
    },
};

/// The note of an upload that is kept for all servers.
#[derive(Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) label: Label,
    /// As in names of staging.
    origin: String,
}

impl Note {
    pub(super) fn new(label: &Label, origin: Origin) -> Self {
        let mut text = String::new();
        origin.push_to(&mut text);
        Self {
            label: label.clone(),
            origin: text,
        }
    }

    /// As it is kept. Empty where it cannot be, which is nobody's upload.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(super) fn origin(&self) -> Option<Origin> {
        Origin::parse(&self.origin)
    }
}

/// The upload that is kept for a key, with its note.
pub(super) async fn find(
    keeper: &dyn Keeper,
    storage: &str,
    key: Key,
) -> Result<Option<(Left, Note)>> {
    let Some(left) = keeper.find(&key.digits()).await? else {
        return Ok(None);
    };
    let note = serde_json::from_str::<Note>(&left.note).ok();
    let its = note.filter(|note| note.label.key(storage) == key);
    Ok(its.map(|note| (left, note)))
}

/// Facts of an upload that is kept elsewhere.
pub(super) fn described(left: &Left) -> Metadata {
    Metadata {
        size: left.length,
        modified: left.modified,
        mode: 0o600,
        links: 1,
        ..Metadata::of_kind(Kind::File)
    }
}

/// Brings the upload that is kept for a key into staging, where it waits as if it had been left here.
pub(super) async fn bring(
    keeper: &dyn Keeper,
    staging: &Arc<Staging>,
    storage: &str,
    key: Key,
) -> Result<Option<Left>> {
    let Some((left, note)) = find(keeper, storage, key).await? else {
        return Ok(None);
    };
    let Some(origin) = note.origin() else {
        return Ok(None);
    };
    let mut coming = Coming {
        staging: staging.clone(),
        name: format!("{}.{:x}.", key.digits(), staging.number()),
    };
    origin.push_to(&mut coming.name);
    coming.name.push_str(COPY);
    let (room, length) = (staging.clone(), left.length);
    let held = pool(move || room.hold(length)).await?;
    let file: Arc<OwnedFd> = staging.create(&coming.name, 0o600)?.into();
    keeper.fetch(&left, file.clone()).await?;
    pool(move || {
        ftruncate(&*file, length)?;
        let part = Partial {
            label: Some(Arc::new(note.label)),
            metadata: describe(&facts(&*file)?),
            origin: Some(origin),
            held,
        };
        let name = part.name(key);
        let mut slots = locked(&coming.staging.slots);
        if let Some(older) = slots.waiting.remove(&key) {
            let directory = &*coming.staging.directory;
            let _ = unlinkat(directory, older.name(key), AtFlags::empty());
        }
        let directory = &*coming.staging.directory;
        renameat(directory, &*coming.name, directory, &*name)?;
        slots.waiting.insert(key, part);
        Ok(())
    })
    .await?;
    Ok(Some(left))
}

/// A file that comes to be in staging. Dropped, it is removed, if it still has its name.
struct Coming {
    staging: Arc<Staging>,
    name: String,
}

impl Drop for Coming {
    fn drop(&mut self) {
        let _ = unlinkat(&*self.staging.directory, &*self.name, AtFlags::empty());
    }
}
