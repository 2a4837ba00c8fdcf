//! An upload from its first byte to its publication.

use std::{
    fmt,
    io::{self, IoSlice},
    sync::Arc,
};

use rustix::fs::fdatasync;

use super::{
    ahead::Ahead,
    place::Spool,
    progress::Progress,
    quarantine::{self, QuarantineInfo},
    quota::{Bounds, Quota, QuotaAdmission, Reservation},
    spares::LONGEST,
    staged::StagedContent,
};
use crate::{
    ftp::path::VirtualPath,
    gate::upload::Approval,
    storage::{
        Amount, Error, Home, Publication, Replaced, Result, Sending, SpoolFile, Unpublished,
        posix::{pool, writing::write_some},
    },
    types::Staged,
};

/// An upload that nobody sees, whatever has come of it so far. Dropped, it is removed.
pub struct StagedUpload {
    pub(super) spool: Arc<Spool>,
    pub(super) home: Arc<dyn Home>,
    /// The home from the storage's root on; empty if it is the root.
    pub(super) home_path: Box<str>,
    /// Where it was begun.
    pub(super) path: VirtualPath,
    pub(super) progress: Progress,
    pub(super) ahead: Ahead,
    /// The backend, where it takes the upload over while it comes.
    pub(super) sending: Option<Box<dyn Sending>>,
    /// The length of the file that was there when it began.
    pub(super) replaces: Option<u64>,
    /// Whether it goes on from what was there, and so is no upload to anything else.
    pub(super) adds: bool,
    /// The most that the home may have, of which it has reserved what it has written.
    pub(super) quota: Option<(Quota, Reservation)>,
    /// Writing it to the disk has failed once. The kernel then forgets what it could not write, and
    /// says yes the next time.
    pub(super) lost: bool,
}

/// An upload whose bytes come.
pub struct Incoming(StagedUpload);

/// An upload of which all bytes have come, and that waits for the gate's verdict.
pub struct Received(StagedUpload);

/// An upload that may be seen.
pub struct Approved(StagedUpload, Approval);

/// The upload as it was before a step that failed.
pub struct Failed<U> {
    /// It.
    pub upload: U,
    /// Why.
    pub error: Error,
}

impl<U> fmt::Debug for Failed<U> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(formatter)
    }
}

impl From<Incoming> for StagedUpload {
    fn from(upload: Incoming) -> Self {
        upload.0
    }
}

impl From<Received> for StagedUpload {
    fn from(upload: Received) -> Self {
        upload.0
    }
}

impl From<Approved> for StagedUpload {
    fn from(upload: Approved) -> Self {
        upload.0
    }
}

impl Incoming {
    pub(super) fn new(upload: StagedUpload) -> Self {
        Self(upload)
    }

    /// Bytes so far, those from an earlier attempt included.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.0.length()
    }

    /// To read again what has been staged.
    #[must_use]
    pub fn staged(&self) -> Arc<dyn Staged> {
        Arc::new(StagedContent {
            file: self.0.progress.file.clone(),
            length: self.0.progress.staged.clone(),
            copied: self.0.progress.copied(),
        })
    }

    /// Appends.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::Bound`], [`Error::Quota`] and those of the disk.
    // On this thread: it copies into the page cache, which costs less than handing it over.
    pub async fn write(&mut self, data: &mut [IoSlice<'_>]) -> Result<()> {
        self.0.progress.check_copy()?;
        let more = data.iter().map(|slice| slice.len() as u64).sum();
        self.0.reserve(Amount {
            bytes: more,
            files: 0,
        })?;
        self.0.write(data).await
    }

    /// From here on all files of the home, what waits to be resumed and all uploads under way must
    /// not exceed so much: else this and publishing are [`Error::Quota`] or [`Error::QuotaFiles`], and
    /// writing is the former. Room is reserved before each write, and here for the file. The home's
    /// usage has been asked for before.
    ///
    /// # Errors
    /// When what is there of the upload exceeds it already, or one more file does.
    pub fn set_quota(&mut self, quota: Quota) -> Result<()> {
        let reservation = Reservation::new(&self.0.spool.usage, &self.0.home_path);
        self.0.quota = Some((quota, reservation));
        self.0.reserve(Amount {
            bytes: self.0.progress.length,
            files: u64::from(self.0.replaces.is_none()),
        })
    }

    /// Waits until what it goes on from is there, too. Can be cancelled and called again.
    ///
    /// # Errors
    /// When it never will be.
    pub async fn settle(&mut self) -> Result<()> {
        self.0.copied().await
    }

    /// All bytes have come, and it has settled. Should it be kept after all, the last one is dropped:
    /// a client that is told that all is there would send nothing, and what it sent would never be
    /// published.
    ///
    /// # Errors
    /// With it as it was.
    pub fn complete(mut self) -> std::result::Result<Received, Box<Failed<Self>>> {
        let error = match self.0.progress.check_copy() {
            Ok(true) => match self.0.trim() {
                Ok(()) => {
                    self.0.progress.completed();
                    return Ok(Received(self.0));
                }
                Err(error) => error,
            },
            Ok(false) => Error::Busy,
            Err(error) => error,
        };
        Err(Box::new(Failed {
            upload: self,
            error,
        }))
    }

    /// Leaves it to be resumed by its owner.
    ///
    /// # Errors
    /// Those of the disk; then it is gone.
    pub async fn keep(self) -> Result<()> {
        self.0.keep().await
    }
}

impl Received {
    pub(super) fn new(upload: StagedUpload) -> Self {
        Self(upload)
    }

    /// Its length.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.0.length()
    }

    /// The gate lets it pass.
    #[must_use]
    pub fn approve(self, approval: Approval) -> Approved {
        Approved(self.0, approval)
    }

    /// Leaves it to be resumed by its owner.
    ///
    /// # Errors
    /// Those of the disk; then it is gone.
    pub async fn keep(self) -> Result<()> {
        self.0.keep().await
    }
}

impl Approved {
    /// Makes it visible at `path`, whole, durable as configured; a file there is replaced in the
    /// same instant, if `replace`, else that is [`Error::Exists`].
    ///
    /// # Errors
    /// With the upload, as long as it is not there: it can be published again, or kept.
    pub async fn publish(
        self,
        path: &VirtualPath,
        replace: bool,
    ) -> std::result::Result<(), Box<Failed<Option<Self>>>> {
        let Self(mut upload, approval) = self;
        match upload.publish(path, replace, &approval).await {
            Ok(()) => Ok(()),
            Err(Unpublished::Unconfirmed(error)) => Err(Box::new(Failed {
                upload: None,
                error,
            })),
            Err(Unpublished::Refused(error) | Unpublished::Lost(error)) => Err(Box::new(Failed {
                upload: Some(Self(upload, approval)),
                error,
            })),
        }
    }

    /// Leaves it to be resumed by its owner.
    ///
    /// # Errors
    /// Those of the disk; then it is gone.
    pub async fn keep(self) -> Result<()> {
        self.0.keep().await
    }
}

impl StagedUpload {
    /// Bytes so far, those from an earlier attempt included.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.progress.length
    }

    /// Leaves it to be resumed by its owner.
    ///
    /// # Errors
    /// Those of the disk; then it is gone.
    pub async fn keep(mut self) -> Result<()> {
        // Behind the part of a copy there is a gap.
        if self.lost || !self.progress.check_copy()? {
            return Ok(());
        }
        self.trim()?;
        let found = match self.home.find(&self.path).await {
            Ok(found) => Some(found),
            Err(Error::NotDirectory | Error::DanglingLink) => return Ok(()),
            // Its directory may come back, and so may an engine that cannot be asked.
            Err(_) => None,
        };
        if let Some(sending) = self.sending.take()
            && self.progress.is_worth_keeping(found.as_ref())
        {
            self.progress.shorten()?;
            if let Some(kept) = sending.keep(self.progress.length) {
                return kept.await;
            }
        }
        pool(move || {
            let (spool, mut progress) = (self.spool, self.progress);
            let owner = progress.label().user();
            progress.shorten()?;
            // The bytes from which a client is told that it may go on are there after a power cut,
            // too.
            if spool.durable {
                fdatasync(&*progress.file)?;
            }
            progress.keep(found.as_ref())?;
            spool.bound(&owner)
        })
        .await
    }

    /// Moves it where no client sees it, with a note for a person; returns its name there.
    ///
    /// # Errors
    /// Those of the disk; then it is gone.
    pub async fn quarantine(mut self, info: QuarantineInfo) -> Result<String> {
        self.copied().await?;
        self.trim()?;
        pool(move || quarantine::put(&self.spool, self.progress, &self.home_path, info)).await
    }

    async fn publish(
        &mut self,
        path: &VirtualPath,
        replace: bool,
        approval: &Approval,
    ) -> std::result::Result<(), Unpublished> {
        if self.lost {
            let error = io::Error::other("the upload could not be written");
            return Err(Error::Io(error).into());
        }
        self.copied().await?;
        let leaves = *path == self.path
            && self.progress.length <= LONGEST
            && self.replaces.is_some_and(|size| size <= LONGEST);
        if leaves {
            // A server that is killed behind the exchange must not take the old file for an upload.
            self.progress.becomes_spare()?;
        }
        let mut publication = Publication::new(approval, self.file()?, Box::new(self.admission()));
        publication.replace = replace;
        publication.sending = self.sending.take().filter(|_| *path == self.path);
        publication.replaces = self.replaces.is_some();
        let adds = self.adds && *path == self.path;
        publication.over = adds.then_some(self.progress.origin().identity);
        publication.leaves = leaves;
        let published = self.home.publish(path, publication).await;
        match published {
            Ok(Replaced::Left { length }) => self.progress.left(length),
            Ok(Replaced::Gone) | Err(Unpublished::Unconfirmed(_)) => self.progress.moved(),
            Err(Unpublished::Lost(_)) => self.lost = true,
            Err(Unpublished::Refused(_)) => {}
        }
        published?;
        // The rest of an earlier attempt would else be taken for this file.
        let superseded = self.spool.staging.supersede(self.progress.key());
        superseded.map_err(Unpublished::Unconfirmed)
    }

    /// It, as a backend takes it over.
    fn file(&mut self) -> Result<SpoolFile> {
        let staging = &self.spool.staging;
        Ok(SpoolFile {
            directory: staging.directory.clone(),
            name: self.progress.name()?.to_owned(),
            handle: self.progress.file.clone(),
            length: self.progress.length,
            // The backend may change it.
            mode: self.progress.mode.take(),
            labelled: staging.labels,
        })
    }

    fn admission(&self) -> QuotaAdmission {
        let quota = self.quota.as_ref().map(|(quota, _)| *quota);
        let quota = quota.unwrap_or_default();
        let waiting = match quota.is_limited() {
            true => self.waiting(),
            false => Amount::default(),
        };
        let left = |limit: Option<u64>, waiting| limit.map(|limit| limit.saturating_sub(waiting));
        QuotaAdmission {
            usage: self.spool.usage.clone(),
            home: self.home_path.clone(),
            length: self.progress.length,
            limit: Quota {
                bytes: left(quota.bytes, waiting.bytes),
                files: left(quota.files, waiting.files),
            },
            taken: None,
            reserved: self.quota.as_ref().map(|(_, own)| own.admission()),
        }
    }

    /// Waits for the copy of what it goes on from.
    async fn copied(&mut self) -> Result<()> {
        if let Some(mut copied) = self.progress.copied() {
            copied.ends().await?;
            self.progress.check_copy()?;
        }
        Ok(())
    }

    /// Uploads that wait to be resumed, of the same user in the same home.
    fn waiting(&self) -> Amount {
        let owner = &self.progress.label().user();
        self.spool.staging.waiting_amount(owner, &self.home_path)
    }

    /// Reserves room in the account's quota for what is about to be written.
    fn reserve(&mut self, more: Amount) -> Result<()> {
        let waiting = match self.quota {
            Some(_) => self.waiting(),
            None => return Ok(()),
        };
        let Some((quota, reservation)) = &mut self.quota else {
            return Ok(());
        };
        let bounds = Bounds {
            quota: *quota,
            waiting,
            replaced: self.replaces.unwrap_or(0),
        };
        reservation.grow(more, &bounds)
    }

    /// Gives back the blocks behind its end.
    fn trim(&mut self) -> Result<()> {
        let (file, length) = (&self.progress.file, self.progress.length);
        self.ahead.trim(file, length)
    }

    async fn write(&mut self, mut data: &mut [IoSlice<'_>]) -> Result<()> {
        let length = self.progress.length;
        let more: u64 = data.iter().map(|slice| slice.len() as u64).sum();
        let end = length.saturating_add(more);
        if self.progress.outgrows(end) {
            self.trim()?;
            self.progress.is_new()?;
        }
        while let Err(error) = self.progress.hold(end) {
            self.make_space(error).await?;
        }
        self.ahead.writes(&self.progress.file, length, end);
        loop {
            // Empty slices at the front go away too.
            IoSlice::advance_slices(&mut data, 0);
            if data.is_empty() {
                let length = self.progress.length;
                self.ahead.written(&self.progress.file, length);
                return Ok(());
            }
            let (file, calls) = (&*self.progress.file, self.spool.staging.calls);
            let written = match write_some(file, data, self.progress.length, calls) {
                Ok(0) => return Err(Error::Io(io::ErrorKind::WriteZero.into())),
                Ok(written) => written,
                Err(error) => {
                    self.make_space(error.into()).await?;
                    continue;
                }
            };
            self.progress.grown(self.progress.length + written as u64);
            self.send_ahead()?;
            IoSlice::advance_slices(&mut data, written);
        }
    }

    /// Tells the backend of what is there.
    pub(super) fn send_ahead(&mut self) -> Result<()> {
        match &mut self.sending {
            Some(sending) => sending.staged(self.progress.length),
            None => Ok(()),
        }
    }

    /// Where the disk is full, or as much of it as the server may have, what waits to be resumed gives way.
    async fn make_space(&self, error: Error) -> Result<()> {
        let full = match error {
            Error::NoSpace if self.spool.staging.drop_spares(None) => return Ok(()),
            Error::NoSpace => "the disk is full".to_owned(),
            Error::Bound(key) => format!("`{key}` is reached"),
            error => return Err(error),
        };
        let staging = self.spool.staging.clone();
        match pool(move || staging.forget_one()).await? {
            Some(size) => {
                tracing::warn!(
                    size,
                    storage = self.spool.name.as_str(),
                    "{full}: a broken upload was removed, the oldest of the user who has most"
                );
                Ok(())
            }
            None => Err(error),
        }
    }
}
