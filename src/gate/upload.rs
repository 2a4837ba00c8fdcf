//! Whether an upload is ever seen.
//!
//! The pump feeds every inspector the same bytes while they arrive; an inspector pulls them at its
//! own pace through an [`Upload`]. All must accept.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use aws_lc_rs::digest;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use tokio::sync::mpsc;

use super::{
    Fault, FaultKind, Named, SessionInfo,
    event::{Answer, Asked, Event, Observers},
};
use crate::{
    ftp::path::VirtualPath,
    types::{BoxFuture, OnFailure, Staged, UploadMode},
};

/// In the log.
const KIND: &str = "inspector";
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
enum Piece {
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

/// An upload as its inspector reads it: like a file, from its first byte on.
pub struct Upload {
    facts: UploadFacts,
    pieces: mpsc::Receiver<Piece>,
    rest: Bytes,
    size: u64,
    over: Option<Result<(), Interruption>>,
    digest: Option<digest::Context>,
}

impl Upload {
    fn new(facts: UploadFacts) -> (mpsc::Sender<Piece>, Self) {
        let (sender, pieces) = mpsc::channel(PIECES);
        let upload = Self {
            facts,
            pieces,
            rest: Bytes::new(),
            size: 0,
            over: None,
            digest: None,
        };
        (sender, upload)
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
            let piece = self.pieces.recv().await;
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
    fn name(&self) -> &'static str {
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

struct Member {
    named: Named<dyn Inspector>,
    /// `None` once it reads no more.
    pieces: Option<mpsc::Sender<Piece>>,
    decided: bool,
}

/// The inspection of one upload. Dropped before its end, it is an abort.
pub struct Inspection {
    session: Arc<SessionInfo>,
    observers: Observers,
    begun: Instant,
    path: VirtualPath,
    record: Record,
    members: Vec<Member>,
    verdicts: mpsc::Receiver<(usize, Result<Verdict, Fault>)>,
    undecided: usize,
    accept_as: Option<String>,
    refusal: Option<Refusal>,
}

impl Inspection {
    /// Starts every inspector of the chain.
    #[must_use]
    pub fn start(
        chain: &[Named<dyn Inspector>],
        session: &Arc<SessionInfo>,
        observers: &Observers,
        facts: &UploadFacts,
    ) -> Self {
        let (sender, verdicts) = mpsc::channel(chain.len().max(1));
        let members: Vec<Member> = chain
            .iter()
            .enumerate()
            .map(|(index, named)| {
                let (pieces, upload) = Upload::new(facts.clone());
                let verdict = named.gate.inspect(session.clone(), upload);
                let sending = VerdictSender {
                    index,
                    plugin: named.name.clone(),
                    to: sender.clone(),
                };
                tokio::spawn(async move { sending.give(verdict.await) });
                Member {
                    named: named.clone(),
                    pieces: Some(pieces),
                    decided: false,
                }
            })
            .collect();
        let undecided = members.len();
        Self {
            session: session.clone(),
            observers: observers.clone(),
            begun: Instant::now(),
            path: facts.path.clone(),
            record: facts.record.clone(),
            members,
            verdicts,
            undecided,
            accept_as: None,
            refusal: None,
        }
    }

    /// Whether anybody still reads: without readers the pump need not make pieces.
    #[must_use]
    pub fn wants_bytes(&self) -> bool {
        self.members.iter().any(|member| member.pieces.is_some())
    }

    /// Hands the next bytes to all inspectors, waiting for the slowest.
    ///
    /// # Errors
    /// As soon as one of them refuses.
    pub async fn push(&mut self, bytes: Bytes) -> Result<(), Refusal> {
        self.send(Piece::Bytes(bytes)).await
    }

    /// Ends the upload and waits for all verdicts. Can be cancelled and called again.
    ///
    /// # Errors
    /// When one of them refuses.
    pub async fn finish(&mut self) -> Result<Approval, Refusal> {
        self.send(Piece::End).await?;
        while self.undecided > 0 {
            self.verdict().await?;
        }
        Ok(self.unjudged().approve(self.accept_as.clone()))
    }

    /// To publish it before all have decided.
    #[must_use]
    pub fn unjudged(&self) -> Unjudged {
        Unjudged(self.record.clone())
    }

    /// The inspectors that have not decided yet.
    #[must_use]
    pub fn undecided(&self) -> Vec<Arc<str>> {
        let undecided = self.members.iter().filter(|member| !member.decided);
        undecided.map(|member| member.named.name.clone()).collect()
    }

    /// The name that an inspector has chosen by now.
    #[must_use]
    pub fn accept_as(&self) -> Option<String> {
        self.accept_as.clone()
    }

    /// Tells the inspectors that the upload is larger than allowed.
    pub async fn too_large(mut self) {
        let _ = self.send(Piece::TooLarge).await;
    }

    /// Waits until an inspector refuses: for ever when none does. Safe to cancel.
    pub async fn refused(&mut self) -> Refusal {
        loop {
            if let Err(refusal) = self.verdict().await {
                return refusal;
            }
        }
    }

    /// Takes in the next verdict; never returns when all have been given.
    async fn verdict(&mut self) -> Result<(), Refusal> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        if self.undecided == 0 {
            std::future::pending::<()>().await;
        }
        let Some((index, verdict)) = self.verdicts.recv().await else {
            std::future::pending::<()>().await;
            return Ok(());
        };
        self.note(index, verdict)
    }

    fn note(&mut self, index: usize, verdict: Result<Verdict, Fault>) -> Result<(), Refusal> {
        self.undecided = self.undecided.saturating_sub(1);
        let Some(member) = self.members.get_mut(index) else {
            return Ok(());
        };
        member.pieces = None;
        member.decided = true;
        let name = member.named.name.clone();
        let asked = Asked {
            plugin: &name,
            kind: KIND,
            operation: "upload",
            path: Some(&self.path),
            lasted: self.begun.elapsed(),
            answer: match &verdict {
                Ok(verdict) => Answer::Decided(verdict.name()),
                Err(fault) => Answer::Failed(fault),
            },
        };
        self.observers.emit(&self.session, &Event::Asked(&asked));
        let refusal = match verdict {
            Ok(Verdict::Accept) => return Ok(()),
            Ok(Verdict::AcceptAs(path)) => {
                self.accept_as = Some(path);
                return Ok(());
            }
            Ok(Verdict::Reject(reason)) => Refusal::Rejected(name, reason),
            Ok(Verdict::Quarantine(reason)) => Refusal::Quarantined(name, reason),
            Err(fault) if member.named.on_failure == OnFailure::Allow => {
                let event = Event::FaultPassed {
                    kind: KIND,
                    path: Some(&self.path),
                    fault: &fault,
                };
                self.observers.emit(&self.session, &event);
                return Ok(());
            }
            Err(fault) => Refusal::Failed(fault),
        };
        self.refusal = Some(refusal.clone());
        Err(refusal)
    }

    async fn send(&mut self, mut piece: Piece) -> Result<(), Refusal> {
        // After the end nothing comes, also when a wait for others is given up and begun again.
        let over = !matches!(piece, Piece::Bytes(_));
        // The last one gets the piece itself: what nobody else holds goes on without a copy.
        let last = self
            .members
            .iter()
            .rposition(|member| member.pieces.is_some());
        for index in 0..self.members.len() {
            // A verdict that comes while this one's queue is full may end the wait.
            while let Some(pieces) = self
                .members
                .get(index)
                .and_then(|member| member.pieces.clone())
            {
                tokio::select! {
                    biased;
                    permit = pieces.reserve() => {
                        match (permit, self.members.get_mut(index)) {
                            (Ok(permit), _) if Some(index) == last => {
                                permit.send(std::mem::replace(&mut piece, Piece::End));
                            }
                            (Ok(permit), _) => permit.send(piece.clone()),
                            (Err(_), Some(member)) => member.pieces = None,
                            (Err(_), None) => {}
                        }
                        if over && let Some(member) = self.members.get_mut(index) {
                            member.pieces = None;
                        }
                        break;
                    }
                    Some((index, verdict)) = self.verdicts.recv() => self.note(index, verdict)?,
                }
            }
        }
        self.so_far()
    }

    /// Takes in the verdicts that have been given, and waits for none.
    ///
    /// # Errors
    /// When one of them refuses.
    pub fn so_far(&mut self) -> Result<(), Refusal> {
        while let Ok((index, verdict)) = self.verdicts.try_recv() {
            self.note(index, verdict)?;
        }
        self.refusal.clone().map_or(Ok(()), Err)
    }
}

/// Sends one verdict, whatever happens: a panic of the host's own code must not pass for one.
struct VerdictSender {
    index: usize,
    plugin: Arc<str>,
    to: mpsc::Sender<(usize, Result<Verdict, Fault>)>,
}

impl VerdictSender {
    fn give(self, verdict: Result<Verdict, Fault>) {
        // There is room for one verdict of each inspector, and this is the only one of this one.
        let _ = self.to.try_send((self.index, verdict));
    }
}

impl Drop for VerdictSender {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let fault = Fault {
                plugin: self.plugin.clone(),
                kind: FaultKind::Trap,
                text: "the plugin host panicked".into(),
            };
            let _ = self.to.try_send((self.index, Err(fault)));
        }
    }
}
