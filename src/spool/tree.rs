//! The files of a storage that one account sees.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use super::{
    elsewhere::{self, Note},
    key::Key,
    label::Label,
    listing::WithParts,
    origin::Origin,
    place::Spool,
    progress::Claim,
    resuming::{Resumed, StartAt, resume},
    upload::{Incoming, StagedUpload},
};
use crate::{
    config::PartialListing,
    ftp::{
        metadata::{Metadata, Partial},
        path::VirtualPath,
    },
    storage::{
        Amount, Capabilities, Content, Error, Home, Keeper, Listing, Noted, Result, Wanted,
        posix::pool,
    },
    types::UserId,
};

/// A home, whose it is, and what its owner has not finished sending.
pub struct Tree {
    spool: Arc<Spool>,
    home: Arc<dyn Home>,
    capabilities: Capabilities,
    /// Of uploads that other servers may go on with.
    keeper: Option<Arc<dyn Keeper>>,
    /// The home from the storage's root on; empty if it is the root.
    home_path: Box<str>,
    owner: UserId,
}

impl Tree {
    pub(super) fn new(
        spool: &Arc<Spool>,
        home: Arc<dyn Home>,
        capabilities: Capabilities,
        keeper: Option<Arc<dyn Keeper>>,
        path: &VirtualPath,
        owner: &UserId,
    ) -> Self {
        Self {
            spool: spool.clone(),
            home,
            capabilities,
            keeper,
            home_path: home_path(path),
            owner: owner.clone(),
        }
    }

    /// Facts of what is there, links followed as long as they stay within the tree. A link that leads
    /// nowhere is told as itself, without its target.
    ///
    /// # Errors
    /// See [`Error`]; so do all of these.
    pub async fn metadata(&self, path: &VirtualPath) -> Result<Metadata> {
        self.home.stat(path).await
    }

    /// A directory's entries, in no order, without "." and "..".
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn list(&self, path: &VirtualPath, wanted: Wanted) -> Result<Box<dyn Listing>> {
        let listing = self.home.list(path, wanted).await?;
        if self.spool.partial_listing == PartialListing::Hide {
            return Ok(listing);
        }
        let directory = match path.is_root() {
            true => self.home_path.to_string(),
            false => format!("{}{path}", self.home_path),
        };
        let mut parts = HashMap::new();
        for name in self.spool.staging.waiting_in(&self.owner, &directory) {
            if let Ok(path) = path.join(&name)
                && let Some(part) = self.partial(&path).await?
            {
                parts.insert(name, part);
            }
        }
        Ok(match parts.is_empty() {
            true => listing,
            false => Box::new(WithParts::new(listing, parts)),
        })
    }

    /// Opens a regular file.
    ///
    /// # Errors
    /// When there is none that can be read.
    pub async fn read(&self, path: &VirtualPath) -> Result<Box<dyn Content>> {
        self.home.open(path).await
    }

    /// Facts of the broken upload to `path` that waits to be resumed by this owner. It belongs to
    /// what lay there when it began: where anything else lies, or nothing any more, there is none.
    ///
    /// # Errors
    /// When it cannot be found out.
    pub async fn partial(&self, path: &VirtualPath) -> Result<Option<Metadata>> {
        let staging = &self.spool.staging;
        staging.told(|| self.key(path));
        let kept = match &self.keeper {
            Some(keeper) => elsewhere::find(&**keeper, &self.spool.name, self.key(path)).await?,
            None => None,
        };
        let waits = staging.waits(|| self.key(path));
        if kept.is_none() && waits.is_none() {
            return Ok(None);
        }
        let found = match self.home.find(path).await {
            Err(Error::NotFound | Error::NotDirectory | Error::DanglingLink | Error::Reserved) => {
                return Ok(None);
            }
            found => found?,
        };
        let part = match (kept, waits) {
            (Some((left, note)), _) => {
                let fits = note.origin().is_some() && Origin::fits(note.origin(), &found);
                fits.then(|| elsewhere::described(&left))
            }
            (None, Some(key)) => staging.fresh(key, &found)?.map(|(metadata, _)| metadata),
            (None, None) => None,
        };
        Ok(part.map(|metadata| Metadata {
            partial: Some(Partial {
                size: metadata.size,
                modified: metadata.modified,
            }),
            ..metadata
        }))
    }

    /// Begins an upload to `path`. The directory must be there; a directory at `path` is an error.
    /// At the end of a link it begins where that leads, within the tree.
    ///
    /// # Errors
    /// [`Error::Offset`], [`Error::PartialWaits`], [`Error::Changed`] and [`Error::Busy`] where it
    /// cannot go on from there.
    pub async fn stage(&self, path: &VirtualPath, from: StartAt) -> Result<Incoming> {
        if path.is_root() {
            return Err(Error::IsDirectory);
        }
        if !self.capabilities.writable {
            return Err(Error::ReadOnly);
        }
        let found = self.home.find(path).await?;
        let replaces = found.file()?;
        let (staging, mode) = (&self.spool.staging, self.spool.created_mode);
        let key = self.key(path);
        let label = Arc::new(Label::new(&self.owner, &self.home_path, path.as_str()));
        let (mut file_length, mut left) = (0, None);
        let progress = if matches!(from, StartAt::Start | StartAt::Offset(0)) {
            let claim = Claim::new(staging, key, label.clone(), false)?;
            staging.forget(|| key)?;
            staging.told(|| key);
            let (progress, length) = claim.create_over(mode, Origin::new(&found))?;
            file_length = length;
            progress
        } else {
            let claim = Claim::new(staging, key, label.clone(), true)?;
            if let Some(keeper) = &self.keeper {
                left = elsewhere::bring(&**keeper, staging, &self.spool.name, key).await?;
            }
            match pool(move || resume(claim, &found, from, mode)).await? {
                Resumed::Here(progress) => progress,
                Resumed::ByCopy(claim, origin) => {
                    let published = self.home.open(path).await?;
                    pool(move || claim.create_copy(mode, origin, published)).await?
                }
            }
        };
        // A copy comes behind the bytes that are written.
        let sending = match progress.copied() {
            None => {
                let noted = Noted {
                    name: key.digits(),
                    note: Note::new(&label, progress.origin()).text(),
                    left,
                    length: progress.length,
                };
                self.home.begin(path, &progress.file, &noted)
            }
            Some(_) => None,
        };
        let mut upload = StagedUpload {
            spool: self.spool.clone(),
            home: self.home.clone(),
            home_path: self.home_path.clone(),
            path: path.clone(),
            adds: matches!(from, StartAt::End) || progress.origin().base > 0,
            ahead: self.spool.ahead(progress.length, file_length),
            progress,
            sending,
            replaces,
            quota: None,
            lost: false,
        };
        upload.send_ahead()?;
        Ok(Incoming::new(upload))
    }

    /// Removes a file, and what waits to be resumed under its name. Of a link, whatever it leads to,
    /// the link is removed.
    ///
    /// # Errors
    /// When there is neither.
    pub async fn remove_file(&self, path: &VirtualPath) -> Result<()> {
        if path.is_root() {
            return Err(Error::IsDirectory);
        }
        // A part that belongs to another file than the one there is gone by this.
        let waits = self.partial(path).await?.is_some();
        let removed = self.home.remove_file(path).await;
        self.spool.staging.drop_spares(Some(self.key(path)));
        if let Ok(amount) = removed {
            self.spool.usage.removed(&self.home_path, amount);
        }
        let forgotten = match removed {
            Ok(_) | Err(Error::NotFound) if waits => {
                let here = self.spool.staging.forget(|| self.key(path))?;
                if let Some(keeper) = &self.keeper {
                    keeper.forget(&self.key(path).digits()).await?;
                }
                here || self.keeper.is_some()
            }
            _ => false,
        };
        // A client that saw nothing but its broken upload has removed that.
        if forgotten { Ok(()) } else { removed.map(drop) }
    }

    /// Removes an empty directory, or a link that does not lead to a file.
    ///
    /// # Errors
    /// When it is not empty.
    pub async fn remove_directory(&self, path: &VirtualPath) -> Result<()> {
        self.home.remove_directory(path).await?;
        // Uploads that wait to be published in it never will be.
        let within = format!("{}{path}", self.home_path);
        for name in self.spool.staging.waiting_in(&self.owner, &within) {
            if let Ok(path) = path.join(&name) {
                self.spool.staging.forget(|| self.key(&path))?;
            }
        }
        Ok(())
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// When something of that name is there.
    pub async fn make_directory(&self, path: &VirtualPath) -> Result<()> {
        self.home.make_directory(path).await
    }

    /// Gives a file, directory or link another name. A file there is replaced, if `replace`.
    ///
    /// # Errors
    /// When something is there that is not replaced.
    pub async fn rename(&self, from: &VirtualPath, to: &VirtualPath, replace: bool) -> Result<()> {
        self.home.rename(from, to, replace).await
    }

    /// Sets the time of the last change, and of the last access if given.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a link, or where there are none.
    pub async fn set_times(
        &self,
        path: &VirtualPath,
        modified: SystemTime,
        accessed: Option<SystemTime>,
    ) -> Result<()> {
        self.home.set_times(path, modified, accessed).await
    }

    /// Sets the mode bits, 0o777 at most.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a link, or where there are none.
    pub async fn set_mode(&self, path: &VirtualPath, mode: u32) -> Result<()> {
        self.home.set_mode(path, mode).await
    }

    /// All files in it, and what waits to be resumed by this owner. Counted now and
    /// then, and from one time to the next by what is published and removed through this server.
    ///
    /// # Errors
    /// When it cannot be counted.
    pub async fn usage(&self) -> Result<Amount> {
        let staging = &self.spool.staging;
        let waiting = staging.waiting_amount(&self.owner, &self.home_path);
        let counted = self.spool.usage.count(&self.home_path, &*self.home).await?;
        Ok(counted.plus(waiting))
    }

    /// Bytes that can still be stored.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where that is not known.
    pub async fn available(&self, path: &VirtualPath) -> Result<u64> {
        self.home.available(path).await
    }

    fn key(&self, path: &VirtualPath) -> Key {
        let storage = &self.spool.name;
        Key::new(storage, &self.owner, &self.home_path, path.as_str())
    }
}

/// A home from the storage's root on; empty if it is the root.
pub(super) fn home_path(path: &VirtualPath) -> Box<str> {
    match path.is_root() {
        true => "".into(),
        false => path.as_str().into(),
    }
}
