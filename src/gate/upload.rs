//! Whether an upload is ever seen.
//!
//! The pump feeds every inspector the same bytes while they arrive; an inspector pulls them at its
//! own pace through an [`Upload`]. All must accept.

use std::{
    future::poll_fn,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use aws_lc_rs::digest;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use tokio::sync::mpsc;

use super::{Fault, SessionInfo};
use crate::{
    ftp::path::VirtualPath,
    types::{BoxFuture, Staged, UploadMode},
};

/// In the log.
pub(super) const KIND: &str = "inspector";
/// Pieces that wait for an inspector. With 64 KiB each this bounds what an upload holds.
const PIECES: usize = 3;

/// The facts of an upload.
#[derive(Clone)]
pub struct UploadFacts {
    /// Where it will be seen, within the user's own tree.
    pub path: VirtualPath,
    /// The effect on the file that is there already.
    pub mode: UploadMode,
    /// From ALLO.
    pub announced_size: Option<u64>,
    /// The bytes that have been staged so far.
    pub staged: Option<Arc<dyn Staged>>,
    /// Where the digest of the whole goes, should anybody make it.
    pub record: Record,
}

/// The SHA-256 digest of a whole upload, once it is known. Clones are the same record.
#[derive(Clone, Debug, Default)]
pub struct Record(Arc<OnceLock<String>>);

impl Record {
    /// The digest, lower-case hexadecimal.
    #[must_use]
    pub fn get(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    fn set(&self, digest: &str) {
        // A digest that was set first is the same.
        let _ = self.0.set(digest.to_owned());
    }
}

/// A message of the pump to the inspectors. A sender dropped before `End` is an aborted transfer.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    Bytes(Bytes),
    End,
    TooLarge,
}

/// Why there is no more to read. The inspector's answer is then ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// The client aborted or vanished.
    Aborted,
    /// More than the account or the configuration allows.
    TooLarge,
}

/// Whether an inspector waits for the client, and for nothing else.
#[derive(Clone, Default)]
pub(super) struct Waits(Arc<AtomicBool>);

impl Waits {
    pub(super) fn for_the_client(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// An upload as its inspector reads it: like a file, from its first byte on.
pub struct Upload {
    facts: UploadFacts,
    pieces: mpsc::Receiver<Piece>,
    waits: Waits,
    rest: Bytes,
    size: u64,
    over: Option<Result<(), Interruption>>,
    digest: Option<digest::Context>,
}

impl Upload {
    pub(super) fn new(facts: UploadFacts) -> (mpsc::Sender<Piece>, Waits, Self) {
        let (sender, pieces) = mpsc::channel(PIECES);
        let waits = Waits::default();
        let upload = Self {
            facts,
            pieces,
            waits: waits.clone(),
            rest: Bytes::new(),
            size: 0,
            over: None,
            digest: None,
        };
        (sender, waits, upload)
    }

    /// Path, mode and announced size.
    #[must_use]
    pub fn facts(&self) -> &UploadFacts {
        &self.facts
    }

    /// Bytes read so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The next bytes, at least one and at most `at_most`, waiting for the client; `None` at the end.
    ///
    /// # Errors
    /// When the upload was interrupted.
    pub async fn read(&mut self, at_most: usize) -> Result<Option<Bytes>, Interruption> {
        while self.rest.is_empty() {
            if let Some(over) = self.over {
                return over.map(|()| None);
            }
            let piece = poll_fn(|context| {
                let piece = self.pieces.poll_recv(context);
                self.waits.0.store(piece.is_pending(), Relaxed);
                piece
            })
            .await;
            self.take(piece);
        }
        Ok(Some(self.split(at_most)))
    }

    /// As [`read`](Self::read), if that need not wait.
    pub fn read_now(&mut self, at_most: usize) -> Option<Bytes> {
        while self.rest.is_empty() && self.over.is_none() {
            let piece = self.pieces.try_recv().ok()?;
            self.take(Some(piece));
        }
        (!self.rest.is_empty()).then(|| self.split(at_most))
    }

    fn take(&mut self, piece: Option<Piece>) {
        match piece {
            Some(Piece::Bytes(bytes)) => self.rest = bytes,
            Some(Piece::End) => self.over = Some(Ok(())),
            Some(Piece::TooLarge) => self.over = Some(Err(Interruption::TooLarge)),
            None => self.over = Some(Err(Interruption::Aborted)),
        }
    }

    fn split(&mut self, at_most: usize) -> Bytes {
        let length = at_most.max(1).min(self.rest.len());
        let bytes = self.rest.split_to(length);
        self.size += bytes.len() as u64;
        if let Some(digest) = &mut self.digest {
            digest.update(&bytes);
        }
        bytes
    }

    /// SHA-256 of the bytes read so far, in lower-case hexadecimal. The first call hashes what is
    /// staged; from there on a running hash is kept.
    ///
    /// # Errors
    /// When what is staged cannot be read.
    pub async fn sha256(&mut self) -> std::io::Result<String> {
        if self.digest.is_none() {
            let mut context = digest::Context::new(&digest::SHA256);
            let mut at = 0;
            while at < self.size {
                let Some(staged) = &self.facts.staged else {
                    return Err(std::io::Error::other("nothing is staged"));
                };
                let length = usize::try_from(self.size - at)
                    .unwrap_or(usize::MAX)
                    .min(256 << 10);
                let bytes = staged.read_at(at, length).await?;
                if bytes.is_empty() {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                context.update(&bytes);
                at += bytes.len() as u64;
            }
            self.digest = Some(context);
        }
        let digest = self.digest.clone().map(digest::Context::finish);
        let digest = digest
            .map(|digest| HEXLOWER.encode(digest.as_ref()))
            .unwrap_or_default();
        if self.over == Some(Ok(())) {
            self.facts.record.set(&digest);
        }
        Ok(digest)
    }
}

/// One inspector's decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be seen.
    Accept,
    /// It may be seen, under another path of the user's tree (not yet normalised).
    AcceptAs(String),
    /// It is dropped; the client is told the reason.
    Reject(String),
    /// It is kept where no client sees it; the client is told the reason.
    Quarantine(String),
}

impl Verdict {
    /// The contract's word for it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::AcceptAs(_) => "accept-as",
            Self::Reject(_) => "reject",
            Self::Quarantine(_) => "quarantine",
        }
    }
}

/// Looks at uploads.
pub trait Inspector: Send + Sync {
    /// Called once for each upload.
    fn inspect(
        &self,
        session: Arc<SessionInfo>,
        upload: Upload,
    ) -> BoxFuture<'static, Result<Verdict, Fault>>;
}

/// The proof that an upload may be seen. Nothing is published without one, and nobody but the gate
/// makes one.
#[derive(Debug)]
pub struct Approval {
    accept_as: Option<String>,
    record: Record,
}

impl Approval {
    /// A person has released it from quarantine, where its digest was noted.
    pub(crate) fn by_a_person(sha256: Option<&str>) -> Self {
        let record = Record::default();
        if let Some(digest) = sha256 {
            record.set(digest);
        }
        Self {
            accept_as: None,
            record,
        }
    }

    /// The name that an inspector has chosen, not normalised, to be checked like any other.
    #[must_use]
    pub fn accept_as(&self) -> Option<&str> {
        self.accept_as.as_deref()
    }

    /// The digest of the whole, if it is known by now.
    #[must_use]
    pub fn sha256(&self) -> Option<&str> {
        self.record.get()
    }
}

/// The approval of an upload where the configuration says that a late verdict is not waited for.
pub struct Unjudged(Record);

impl Unjudged {
    /// Of an upload with this record.
    pub(super) fn of(record: Record) -> Self {
        Self(record)
    }

    /// The approval, with the name that an inspector has chosen by now.
    #[must_use]
    pub fn approve(&self, accept_as: Option<String>) -> Approval {
        Approval {
            accept_as,
            record: self.0.clone(),
        }
    }
}

/// Why an upload is not published.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// An inspector rejects it: its name, and the reason for the client.
    Rejected(Arc<str>, String),
    /// An inspector wants a person to look at it: its name, and the reason.
    Quarantined(Arc<str>, String),
    /// An inspector could not decide.
    Failed(Fault),
}
