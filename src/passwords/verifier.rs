//! Threads that verify passwords: a hash takes long, and much memory, on purpose.
//!
//! There are as many as cores, apart from all that serves clients, and client networks take turns at
//! them. Each keeps the memory that Argon2 fills, wiped, and gives it back when nothing has come for
//! a while.

use std::{
    net::IpAddr,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use argon2::Block;
use tokio::sync::oneshot;

use super::verify_in;
use crate::{fair::FairQueue, ftp::secret::Secret};

/// How long a thread that has nothing to do keeps its memory.
const KEEP: Duration = Duration::from_secs(5);

/// The threads. They end with it.
pub struct Verifier {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    came: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: FairQueue<Job>,
    ended: bool,
}

struct Job {
    password: Secret,
    hash: String,
    begun: oneshot::Sender<()>,
    verified: oneshot::Sender<Result<bool, String>>,
}

/// A password that is going to be verified. Dropped before that has begun, it is not.
pub struct Verification {
    begun: oneshot::Receiver<()>,
    verified: oneshot::Receiver<Result<bool, String>>,
}

impl Verification {
    /// Waits for its turn.
    pub async fn begun(&mut self) {
        // Where the threads have ended, the result says so.
        let _ = (&mut self.begun).await;
    }

    /// Whether the password is the one that was hashed.
    ///
    /// # Errors
    /// Those of [`verify`](super::verify).
    pub async fn verified(self) -> Result<bool, String> {
        let gone = |_| "the server is ending".to_owned();
        self.verified.await.map_err(gone)?
    }
}

impl Verifier {
    /// Starts as many threads as there are cores.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn start() -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let cores = thread::available_parallelism().map_or(1, Into::into);
        for _ in 0..cores {
            let shared = shared.clone();
            thread::Builder::new()
                .name("passwords".into())
                .spawn(move || shared.run())?;
        }
        Ok(Self { shared })
    }

    /// Has a password verified, as by [`verify`](super::verify), in the turn of `client`.
    #[must_use]
    pub fn verify(&self, client: IpAddr, password: Secret, hash: String) -> Verification {
        let (begun, begins) = oneshot::channel();
        let (verified, ends) = oneshot::channel();
        let job = Job {
            password,
            hash,
            begun,
            verified,
        };
        self.shared.queue().jobs.push(client, job);
        self.shared.came.notify_one();
        Verification {
            begun: begins,
            verified: ends,
        }
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        self.shared.queue().ended = true;
        self.shared.came.notify_all();
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut memory = Memory::default();
        while let Some(job) = self.next(&mut memory) {
            if job.verified.is_closed() {
                continue;
            }
            let _ = job.begun.send(());
            let verify = || verify_in(job.password.expose(), &job.hash, &mut memory);
            // A defect met by one hash is no reason for the thread to end.
            let verified = std::panic::catch_unwind(std::panic::AssertUnwindSafe(verify));
            memory.wipe();
            wipe_stack();
            let verified = verified.unwrap_or_else(|_| Err("verifying it panicked".into()));
            let _ = job.verified.send(verified);
        }
    }

    /// Waits for a job; none at the end.
    fn next(&self, memory: &mut Memory) -> Option<Job> {
        let mut queue = self.queue();
        loop {
            if queue.ended {
                return None;
            }
            if let Some(job) = queue.jobs.pop() {
                return Some(job);
            }
            if memory.blocks.is_empty() {
                let waited = self.came.wait(queue);
                queue = waited.unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let waited = self.came.wait_timeout(queue, KEEP);
            let (back, over) = waited.unwrap_or_else(PoisonError::into_inner);
            queue = back;
            if over.timed_out() && queue.jobs.is_empty() {
                *memory = Memory::default();
            }
        }
    }
}

/// Overwrites the stack that a call used which the caller has just done: hash functions keep blocks of
/// the password there.
#[inline(never)]
fn wipe_stack() {
    std::hint::black_box(&mut [0_u8; 64 << 10]);
}

/// The memory that Argon2 fills.
#[derive(Default)]
pub(super) struct Memory {
    blocks: Vec<Block>,
    used: usize,
}

impl Memory {
    /// Gives `count` blocks of 1 KiB.
    pub(super) fn blocks(&mut self, count: usize) -> &mut [Block] {
        if self.blocks.len() < count {
            // Not grown: what was there would be copied.
            self.blocks = Vec::new();
            self.blocks.resize(count, Block::new());
        }
        self.used = count;
        self.blocks.get_mut(..count).unwrap_or_default()
    }

    /// Overwrites it: its content could be tried against passwords sooner than the hash.
    fn wipe(&mut self) {
        let used = std::mem::take(&mut self.used);
        let blocks = self.blocks.get_mut(..used).unwrap_or_default();
        blocks.fill(Block::new());
        std::hint::black_box(blocks);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HASH: &str =
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

    #[tokio::test]
    async fn many_at_once_and_none_for_those_who_are_gone() {
        let verifier = Arc::new(Verifier::start().unwrap());
        let client = IpAddr::from([192, 0, 2, 1]);
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..50 {
            let verifier = verifier.clone();
            tasks.spawn(async move {
                let password = if number % 2 == 0 { "password" } else { "other" };
                let mut verification = verifier.verify(client, Secret::new(password), HASH.into());
                if number % 5 == 0 {
                    return;
                }
                verification.begun().await;
                assert_eq!(verification.verified().await, Ok(number % 2 == 0));
            });
        }
        tasks.join_all().await;
        let wrong = verifier.verify(client, Secret::new("x"), "$argon2id$".into());
        assert!(wrong.verified().await.is_err());
    }

    #[test]
    fn its_memory_is_wiped() {
        let mut memory = Memory::default();
        assert_eq!(verify_in("password", HASH, &mut memory), Ok(true));
        let zero = |block: &Block| block.as_ref().iter().all(|word| *word == 0);
        assert!(!memory.blocks.iter().all(zero));
        memory.wipe();
        assert!(!memory.blocks.is_empty() && memory.blocks.iter().all(zero));
    }
}
