//! The way of an upload's bytes to its inspectors.

use std::{io, sync::Arc};

use tokio::{sync::watch, task::JoinHandle};

use crate::{
    gate::{
        inspection::Inspection,
        upload::{Approval, Refusal, Unjudged},
    },
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
        // A client that never pauses would else not hear of a refusal.
        match &mut self.position {
            Position::Behind { task, length, .. } => {
                length.send_replace(so_much);
                match task.0.is_finished() {
                    true => self.catch_up().await,
                    false => Ok(()),
                }
            }
            Position::Live(inspection) => Ok(inspection.so_far()?),
            Position::Over => Ok(()),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ftp::path::VirtualPath,
        gate::{
            Fault, Named, SessionInfo,
            event::Observers,
            upload::{Inspector, Record, Upload, UploadFacts, Verdict},
        },
        types::{BoxFuture, OnFailure, UploadMode},
    };

    /// Reads nothing, and says no a little later.
    struct Late;

    impl Inspector for Late {
        fn inspect(
            &self,
            _: Arc<SessionInfo>,
            upload: Upload,
        ) -> BoxFuture<'static, Result<Verdict, Fault>> {
            Box::pin(async {
                drop(upload);
                tokio::task::yield_now().await;
                Ok(Verdict::Reject("no".into()))
            })
        }
    }

    #[tokio::test]
    async fn regression_a_client_that_never_pauses_hears_of_a_verdict_that_comes_behind_the_last_read()
     {
        let late = Named::<dyn Inspector> {
            name: "late".into(),
            on_failure: OnFailure::Deny,
            gate: Arc::new(Late),
        };
        let facts = UploadFacts {
            path: VirtualPath::root(),
            mode: UploadMode::Create,
            announced_size: None,
            staged: None,
            record: Record::default(),
        };
        let nobody = SessionInfo::nobody("1");
        let inspection = Inspection::start(&[late], &nobody, &Observers::default(), &facts);
        let unjudged = inspection.unjudged();
        let mut feed = InspectionFeed {
            position: Position::Live(inspection),
            unjudged,
        };
        let mut refused = false;
        for length in 0..100 {
            refused |= match feed.live() {
                Some(inspection) => inspection.push("byte".into()).await.is_err(),
                None => feed.staged(length).await.is_err(),
            };
            if refused {
                break;
            }
            // Bytes are always there, so that nobody waits for a verdict.
            tokio::task::yield_now().await;
        }
        assert!(refused);
    }
}
