//! The way of an upload's bytes to its inspectors.

use std::{io, sync::Arc};

use tokio::{sync::watch, task::JoinHandle};

use crate::{
    gate::upload::{Approval, Inspection, Refusal, Unjudged},
    spool::Incoming,
    types::Staged,
};

/// The most bytes of one piece for an inspector (measured: less and more cost up to half more).
pub(super) const PIECE: usize = 64 << 10;

/// Why inspectors are shown no more.
#[derive(Debug)]
pub enum FeedError {
    /// One of them refuses.
    Refused(Refusal),
    /// The staged bytes cannot be read.
    Unreadable(io::Error),
}

impl From<Refusal> for FeedError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<io::Error> for FeedError {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

/// The bytes that the inspectors of an upload see: every byte of the file from the first one on.
///
/// The bytes from before the transfer are read again from the disk, and so are those that arrive
/// meanwhile, until the inspectors have caught up; from then on they are handed each piece as it
/// arrives.
pub struct InspectionFeed {
    position: Position,
    unjudged: Unjudged,
}

enum Position {
    /// They are handed what arrives.
    Live(Inspection),
    /// They are behind, and read from the disk, in a task of its own: the client goes on.
    Behind {
        task: Task,
        staged: Arc<dyn Staged>,
        /// How much is staged.
        length: watch::Sender<u64>,
        inspectors: Vec<Arc<str>>,
    },
    /// It failed.
    Over,
}

/// Ends with what has been shown; when it is dropped, too.
struct Task(JoinHandle<Result<(Inspection, u64), FeedError>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl InspectionFeed {
    /// Of an upload of which some bytes may be there before the transfer.
    #[must_use]
    pub fn new(inspection: Inspection, upload: &Incoming) -> Self {
        let (length, unjudged) = (upload.length(), inspection.unjudged());
        if length == 0 || !inspection.wants_bytes() {
            return Self {
                position: Position::Live(inspection),
                unjudged,
            };
        }
        let inspectors = inspection.undecided();
        let (staged, length) = (upload.staged(), watch::Sender::new(length));
        let shown = replay(inspection, 0, staged.clone(), length.subscribe());
        Self {
            position: Position::Behind {
                task: Task(tokio::spawn(shown)),
                staged,
                length,
                inspectors,
            },
            unjudged,
        }
    }

    /// Ends when they have caught up, or with a refusal. Safe to cancel.
    pub(super) async fn catch_up(&mut self) -> Result<(), FeedError> {
        let (shown, staged, length) = match &mut self.position {
            Position::Live(inspection) => return Err(inspection.refused().await.into()),
            Position::Behind {
                task,
                staged,
                length,
                ..
            } => ((&mut task.0).await, staged, length),
            Position::Over => return std::future::pending().await,
        };
        match shown {
            // More has come since they were shown the last of it.
            Ok(Ok((inspection, at))) if inspection.wants_bytes() && at < *length.borrow() => {
                let shown = replay(inspection, at, staged.clone(), length.subscribe());
                if let Position::Behind { task, .. } = &mut self.position {
                    *task = Task(tokio::spawn(shown));
                }
                Ok(())
            }
            Ok(Ok((inspection, _))) => {
                self.position = Position::Live(inspection);
                Ok(())
            }
            Ok(Err(error)) => {
                self.position = Position::Over;
                Err(error)
            }
            Err(error) => {
                self.position = Position::Over;
                Err(io::Error::other(error).into())
            }
        }
    }

    /// The staged upload has grown to this length.
    pub(super) async fn staged(&mut self, so_much: u64) -> Result<(), FeedError> {
        if let Position::Behind { task, length, .. } = &self.position {
            length.send_replace(so_much);
            // A client that never pauses would else not hear of a refusal.
            if task.0.is_finished() {
                return self.catch_up().await;
            }
        }
        Ok(())
    }

    /// The inspection, if it is handed what arrives.
    pub(super) fn live(&mut self) -> Option<&mut Inspection> {
        match &mut self.position {
            Position::Live(inspection) if inspection.wants_bytes() => Some(inspection),
            Position::Live(_) | Position::Behind { .. } | Position::Over => None,
        }
    }

    /// The upload is complete: waits for all verdicts. Can be cancelled and called again.
    ///
    /// # Errors
    /// A refusal, or what is staged cannot be read.
    pub async fn verdict(&mut self) -> Result<Approval, FeedError> {
        loop {
            if let Position::Live(inspection) = &mut self.position {
                return Ok(inspection.finish().await?);
            }
            self.catch_up().await?;
        }
    }

    /// The inspectors that have not decided yet.
    #[must_use]
    pub fn undecided(&self) -> Vec<Arc<str>> {
        match &self.position {
            Position::Live(inspection) => inspection.undecided(),
            Position::Behind { inspectors, .. } => inspectors.clone(),
            Position::Over => Vec::new(),
        }
    }

    /// To publish it before all have decided.
    #[must_use]
    pub fn approve_unjudged(&self) -> Approval {
        self.unjudged.approve(match &self.position {
            Position::Live(inspection) => inspection.accept_as(),
            Position::Behind { .. } | Position::Over => None,
        })
    }

    /// Tells the inspectors that the upload is larger than allowed.
    pub async fn too_large(self) {
        if let Position::Live(inspection) = self.position {
            inspection.too_large().await;
        }
    }
}

/// Shows what is staged from `at` on until there is no more; says how much has been shown.
async fn replay(
    mut inspection: Inspection,
    mut at: u64,
    staged: Arc<dyn Staged>,
    length: watch::Receiver<u64>,
) -> Result<(Inspection, u64), FeedError> {
    loop {
        let end = *length.borrow();
        if at >= end || !inspection.wants_bytes() {
            return Ok((inspection, at));
        }
        let length = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
        let bytes = staged.read_at(at, length).await?;
        if bytes.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        at += bytes.len() as u64;
        inspection.push(bytes).await?;
    }
}
