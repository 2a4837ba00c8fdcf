//! Threads that verify passwords: a hash takes long, and much memory, on purpose.
//!
//! There are as many as cores, apart from all that serves clients, and client networks take turns at
//! them. Each keeps the memory that Argon2 fills, wiped, and gives it back when nothing has come for
//! a while.
//!
//! A client that logs in again and again, with one connection for each file, say, would have the same hash
//! computed each time: a password that was right is [remembered](remembered) for a while.

use std::{
    net::IpAddr,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use argon2::Block;
use tokio::sync::oneshot;

use super::{
    remembered::{Fit, Remembered},
    verify_in,
};
use crate::{fair::FairQueue, ftp::secret::Secret};

/// How long a thread that has nothing to do keeps its memory.
const KEEP: Duration = Duration::from_secs(5);

/// The threads. They end with it.
pub struct Verifier {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    came: Condvar,
    remembered: Mutex<Remembered>,
    /// Hashes that were computed.
    #[cfg(test)]
    computed: std::sync::atomic::AtomicU64,
}

#[derive(Default)]
struct Queue {
    jobs: FairQueue<Job>,
    ended: bool,
}

struct Job {
    password: Secret,
    hash: String,
    /// The plugin whose memory it is for, where it is to be remembered.
    scope: Option<Arc<str>>,
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
    /// Starts as many threads as there are cores. Passwords are remembered for so long; 0: never.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn start(remember: Duration) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            came: Condvar::new(),
            remembered: Mutex::new(Remembered::new(remember)),
            #[cfg(test)]
            computed: std::sync::atomic::AtomicU64::default(),
        });
        let cores = thread::available_parallelism().map_or(1, Into::into);
        for _ in 0..cores {
            let shared = shared.clone();
            thread::Builder::new()
                .name("passwords".into())
                .spawn(move || shared.run())?;
        }
        Ok(Self { shared })
    }

    /// Whether the same plugin, `scope`, has had this password verified a short while ago, and it was the one
    /// that was hashed.
    #[must_use]
    pub fn remembers(&self, scope: &str, password: &Secret, hash: &str) -> bool {
        let fit = Fit {
            scope,
            hash,
            password: password.expose(),
        };
        let has = self.shared.remembered().has(fit, Instant::now());
        wipe_stack::<{ 8 << 10 }>();
        has
    }

    /// How many hashes were computed.
    #[cfg(test)]
    pub fn computed(&self) -> u64 {
        let computed = &self.shared.computed;
        computed.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Forgets all that is remembered.
    pub fn forget(&self) {
        self.shared.remembered().forget();
    }

    /// Has a password verified, as by [`verify`](super::verify), in the turn of `client`. Where there is a
    /// `scope`, it is remembered if it is right.
    #[must_use]
    pub fn verify(
        &self,
        client: IpAddr,
        password: Secret,
        hash: String,
        scope: Option<Arc<str>>,
    ) -> Verification {
        let (begun, begins) = oneshot::channel();
        let (verified, ends) = oneshot::channel();
        let job = Job {
            password,
            hash,
            scope,
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

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        let remembered = self.remembered.lock();
        remembered.unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut memory = Memory::default();
        while let Some(job) = self.next(&mut memory) {
            if job.verified.is_closed() {
                continue;
            }
            let _ = job.begun.send(());
            #[cfg(test)]
            self.computed
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let verify = || verify_in(job.password.expose(), &job.hash, &mut memory);
            // A defect met by one hash is no reason for the thread to end.
            let verified = std::panic::catch_unwind(std::panic::AssertUnwindSafe(verify));
            memory.wipe();
            let verified = verified.unwrap_or_else(|_| Err("verifying it panicked".into()));
            if verified == Ok(true)
                && let Some(scope) = &job.scope
            {
                let fit = Fit {
                    scope,
                    hash: &job.hash,
                    password: job.password.expose(),
                };
                self.remembered().add(fit, Instant::now());
            }
            wipe_stack::<{ 64 << 10 }>();
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
            let keep = (!memory.blocks.is_empty()).then_some(KEEP);
            // The thread that added one is among those that see to it.
            let expires = self.remembered().expire(Instant::now());
            let Some(wait) = keep.into_iter().chain(expires).min() else {
                let waited = self.came.wait(queue);
                queue = waited.unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let waited = self.came.wait_timeout(queue, wait);
            let (back, over) = waited.unwrap_or_else(PoisonError::into_inner);
            queue = back;
            if over.timed_out() && queue.jobs.is_empty() && wait == KEEP {
                *memory = Memory::default();
            }
        }
    }
}

/// Overwrites the stack that a call used which the caller has just done: hash functions keep blocks of
/// the password there.
#[inline(never)]
fn wipe_stack<const BYTES: usize>() {
    std::hint::black_box(&mut [0_u8; BYTES]);
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
        let verifier = Arc::new(Verifier::start(Duration::ZERO).unwrap());
        let client = IpAddr::from([192, 0, 2, 1]);
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..50 {
            let verifier = verifier.clone();
            tasks.spawn(async move {
                let password = if number % 2 == 0 { "password" } else { "other" };
                let mut verification =
                    verifier.verify(client, Secret::new(password), HASH.into(), None);
                if number % 5 == 0 {
                    return;
                }
                verification.begun().await;
                assert_eq!(verification.verified().await, Ok(number % 2 == 0));
            });
        }
        tasks.join_all().await;
        let wrong = verifier.verify(client, Secret::new("x"), "$argon2id$".into(), None);
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
