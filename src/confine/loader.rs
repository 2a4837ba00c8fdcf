//! The thread that does what no serving thread may: map executable memory, and bind listeners.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    thread,
};

type Job = Box<dyn FnOnce() + Send>;

/// Runs what loading takes. Threads share one address space: this is no wall against an intruder who
/// has found this thread, but no mistake of a serving thread maps executable memory.
#[derive(Clone, Debug)]
pub struct Loader(Option<mpsc::Sender<Job>>);

impl Loader {
    /// For processes without walls: on the thread that asks.
    #[must_use]
    pub fn here() -> Self {
        Self(None)
    }

    /// Starts the thread, which has the walls of this one and none that are built later.
    ///
    /// # Errors
    /// When the system gives none.
    pub(super) fn start() -> io::Result<Self> {
        let (jobs, taken) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name("loader".into())
            .spawn(move || {
                for job in taken {
                    // The one who asked hears of it, since nothing is sent back.
                    let _ = catch_unwind(AssertUnwindSafe(job));
                }
            })?;
        Ok(Self(Some(jobs)))
    }

    /// Runs it there, and waits for what comes of it. Jobs run one after the other.
    ///
    /// # Errors
    /// When it panicked.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let Some(jobs) = &self.0 else {
            return Ok(work());
        };
        let (send, receive) = mpsc::sync_channel(1);
        let gone = || io::Error::other("the loading thread failed");
        jobs.send(Box::new(move || {
            let _ = send.send(work());
        }))
        .map_err(|_| gone())?;
        receive.recv().map_err(|_| gone())
    }
}
