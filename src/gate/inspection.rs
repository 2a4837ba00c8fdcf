//! The inspection of one upload by a whole chain.
//!
//! Inspectors are asked within the session's own task: to hand bytes to another one and to wake it
//! there costs more than most of them compute, and the processor that received the bytes still has
//! them in its cache. Those that take long with a piece have a task of their own from there on, and
//! work beside the transfer; so does each that waits for anything but the client, since the session
//! looks at it only when it has nothing else to do.

#[cfg(test)]
mod tests;

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    runtime::Handle,
    sync::mpsc,
    task::{JoinError, JoinHandle},
};

use super::{
    Fault, FaultKind, Named, SessionInfo,
    event::{Answer, Asked, Event, Observers},
    upload::{
        Approval, Inspector, KIND, Piece, Record, Refusal, Unjudged, Upload, UploadFacts, Verdict,
        Waits,
    },
};
use crate::{
    ftp::path::VirtualPath,
    types::{BoxFuture, OnFailure},
};

/// How long all inspectors together may work at a piece of 64 KiB within the session's task: 0.8 s a GiB.
const IN_PASSING: Duration = Duration::from_micros(50);

type Decision = Result<Verdict, Fault>;

struct Member {
    named: Named<dyn Inspector>,
    /// `None` once it reads no more.
    pieces: Option<mpsc::Sender<Piece>>,
    waits: Waits,
    work: Work,
}

/// Where an inspector works.
enum Work {
    /// In the task that waits for its verdict.
    Here(BoxFuture<'static, Decision>),
    /// In a task of its own.
    Beside(JoinHandle<Decision>),
    /// It has decided.
    Over,
}

impl Work {
    /// A panic of the host's own code must not pass for a verdict, nor take the session with it.
    fn poll(&mut self, plugin: &Arc<str>, context: &mut Context<'_>) -> Poll<Decision> {
        let panicked = || Fault {
            plugin: plugin.clone(),
            kind: FaultKind::Trap,
            text: "the plugin host panicked".into(),
        };
        let decision = match self {
            Self::Here(work) => catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)))
                .unwrap_or_else(|_| Poll::Ready(Err(panicked()))),
            Self::Beside(task) => {
                let joined = std::pin::Pin::new(task).poll(context);
                joined.map(|joined| joined.unwrap_or_else(|_: JoinError| Err(panicked())))
            }
            Self::Over => Poll::Pending,
        };
        if decision.is_ready() {
            *self = Self::Over;
        }
        decision
    }

    fn is_over(&self) -> bool {
        matches!(self, Self::Over)
    }

    /// Goes on in a task of its own.
    fn part(&mut self, runtime: &Handle) {
        if let Self::Here(work) = self {
            let work = std::mem::replace(work, Box::pin(std::future::pending()));
            *self = Self::Beside(runtime.spawn(work));
        }
    }
}

/// The inspection of one upload. Dropped before its end, it is an abort.
pub struct Inspection {
    session: Arc<SessionInfo>,
    observers: Observers,
    begun: Instant,
    path: VirtualPath,
    record: Record,
    members: Vec<Member>,
    /// Whether bytes have been handed over.
    fed: bool,
    in_passing: Duration,
    accept_as: Option<String>,
    refusal: Option<Refusal>,
}

impl Inspection {
    /// Of one upload by every inspector of the chain.
    #[must_use]
    pub fn start(
        chain: &[Named<dyn Inspector>],
        session: &Arc<SessionInfo>,
        observers: &Observers,
        facts: &UploadFacts,
    ) -> Self {
        let member = |named: &Named<dyn Inspector>| {
            let (pieces, waits, upload) = Upload::new(facts.clone());
            Member {
                waits,
                work: Work::Here(named.gate.inspect(session.clone(), upload)),
                named: named.clone(),
                pieces: Some(pieces),
            }
        };
        Self {
            session: session.clone(),
            observers: observers.clone(),
            begun: Instant::now(),
            path: facts.path.clone(),
            record: facts.record.clone(),
            members: chain.iter().map(member).collect(),
            fed: false,
            in_passing: IN_PASSING,
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
        let begun = Instant::now();
        self.send(Piece::Bytes(bytes)).await?;
        poll_fn(|context| Poll::Ready(self.go_on(context))).await?;
        // Where the first piece is shown, plugins are made: that tells nothing of the next one.
        if std::mem::replace(&mut self.fed, true) && begun.elapsed() > self.in_passing {
            self.part();
        }
        Ok(())
    }

    /// Those of this task do what they can with what they have, and wait for nothing.
    fn go_on(&mut self, context: &mut Context<'_>) -> Result<(), Refusal> {
        while let Poll::Ready((index, verdict)) = self.next(context) {
            self.note(index, verdict)?;
        }
        Ok(())
    }

    /// Ends the upload and waits for all verdicts. Can be cancelled and called again.
    ///
    /// # Errors
    /// When one of them refuses.
    pub async fn finish(&mut self) -> Result<Approval, Refusal> {
        self.send(Piece::End).await?;
        while !self.members.iter().all(|member| member.work.is_over()) {
            self.verdict().await?;
        }
        Ok(self.unjudged().approve(self.accept_as.clone()))
    }

    /// To publish it before all have decided.
    #[must_use]
    pub fn unjudged(&self) -> Unjudged {
        Unjudged::of(self.record.clone())
    }

    /// The inspectors that have not decided yet.
    #[must_use]
    pub fn undecided(&self) -> Vec<Arc<str>> {
        let undecided = self.members.iter().filter(|member| !member.work.is_over());
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

    /// Takes in the verdicts that have been given, and waits for none.
    ///
    /// # Errors
    /// When one of them refuses.
    pub fn so_far(&mut self) -> Result<(), Refusal> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        let given =
            |member: &Member| matches!(&member.work, Work::Beside(task) if task.is_finished());
        while let Some(index) = self.members.iter().position(given) {
            let Some(member) = self.members.get_mut(index) else {
                break;
            };
            // The runtime may have it wait for its turn.
            let Poll::Ready(verdict) = member.work.poll(&member.named.name, &mut context) else {
                break;
            };
            self.note(index, verdict)?;
        }
        self.refusal.clone().map_or(Ok(()), Err)
    }

    /// Takes in the next verdict; never returns when all have been given.
    async fn verdict(&mut self) -> Result<(), Refusal> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        let (index, verdict) = poll_fn(|context| self.next(context)).await;
        self.note(index, verdict)
    }

    fn next(&mut self, context: &mut Context<'_>) -> Poll<(usize, Decision)> {
        for (index, member) in self.members.iter_mut().enumerate() {
            let name = &member.named.name;
            let mut verdict = member.work.poll(name, context);
            if verdict.is_pending()
                && matches!(member.work, Work::Here(_))
                && !member.waits.for_the_client()
                && let Ok(runtime) = Handle::try_current()
            {
                member.work.part(&runtime);
                verdict = member.work.poll(name, context);
            }
            if let Poll::Ready(verdict) = verdict {
                return Poll::Ready((index, verdict));
            }
        }
        Poll::Pending
    }

    fn note(&mut self, index: usize, verdict: Decision) -> Result<(), Refusal> {
        let Some(member) = self.members.get_mut(index) else {
            return Ok(());
        };
        member.pieces = None;
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
                    (index, verdict) = poll_fn(|context| self.next(context)) => {
                        self.note(index, verdict)?;
                    }
                }
            }
        }
        self.so_far()
    }

    /// Each inspector goes on in a task of its own.
    fn part(&mut self) {
        // Without a runtime, which has ended, nobody asks any more.
        if let Ok(runtime) = Handle::try_current() {
            for member in &mut self.members {
                member.work.part(&runtime);
            }
        }
    }
}

impl Drop for Inspection {
    /// Those that have not decided are told of the end, and come to their own.
    fn drop(&mut self) {
        self.part();
    }
}
