//! The sessions of each user at all servers that share state.
//!
//! A session that counts against a limit has a lease in Redis: a member of the user's sorted set, whose score is
//! when it ends. The server renews its leases, so that those of a server that was killed end by themselves.

use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use data_encoding::HEXLOWER;
use redis::{Script, pipe};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::{shared::Shared, types::UserId};

/// How long a lease lasts that is not renewed.
const LEASE: Duration = Duration::from_secs(30);
/// How often leases are renewed. Two in a row may fail.
const RENEWAL: Duration = Duration::from_secs(10);
/// Leases that one request renews, or gives back, at most.
const AT_ONCE: usize = 500;

/// KEYS: the set of each member. ARGV: a lease in milliseconds, the most members (0: any number), the members.
/// Whether all are in. The sets end with their last lease.
static LEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local time = redis.call('TIME')
         local now = time[1] * 1000 + math.floor(time[2] / 1000)
         local lease, most = tonumber(ARGV[1]), tonumber(ARGV[2])
         for place, set in ipairs(KEYS) do
           if most > 0 then
             redis.call('ZREMRANGEBYSCORE', set, '-inf', now)
             if redis.call('ZCARD', set) >= most then return 0 end
           end
           redis.call('ZADD', set, string.format('%.0f', now + lease), ARGV[place + 2])
           redis.call('PEXPIRE', set, lease)
         end
         return 1",
    )
});

/// The leases of this server.
pub struct Leases {
    shared: Arc<Shared>,
    /// Sets it apart from all others, and from itself before a restart.
    server: String,
    next: AtomicU64,
    state: Mutex<State>,
    returned: Notify,
}

#[derive(Default)]
struct State {
    /// The set of each lease.
    held: HashMap<u64, Arc<str>>,
    /// Those that are to be given back.
    returned: Vec<(u64, Arc<str>)>,
}

/// One session's; dropped, it is given back.
pub struct Lease {
    leases: Arc<Leases>,
    number: u64,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.leases.state();
        if let Some(set) = state.held.remove(&self.number) {
            state.returned.push((self.number, set));
            drop(state);
            self.leases.returned.notify_one();
        }
    }
}

impl Leases {
    /// None are held yet. From here on they are renewed.
    ///
    /// # Errors
    /// When there are no random numbers.
    pub fn start(shared: &Arc<Shared>) -> Result<Arc<Self>, String> {
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random).map_err(|error| error.to_string())?;
        let leases = Arc::new(Self {
            shared: shared.clone(),
            server: HEXLOWER.encode(&random),
            next: AtomicU64::new(0),
            state: Mutex::default(),
            returned: Notify::new(),
        });
        tokio::spawn(leases.clone().keep());
        Ok(leases)
    }

    /// One more session among at most `most` of the user at all servers. None where there is no place. While
    /// Redis is away there is one; it counts elsewhere when Redis is back.
    pub async fn lend(self: &Arc<Self>, user: &UserId, most: u32) -> Option<Lease> {
        let number = self.next.fetch_add(1, Relaxed);
        let host = user.host.name().unwrap_or_default();
        let set = format!("sessions:{host}:{}", user.name);
        let set: Arc<str> = self.shared.key(&set).into();
        let mut script = LEND.key(&*set);
        script.arg(millis(LEASE)).arg(most).arg(self.member(number));
        // Held from here on: whoever gives up in between gives it back.
        self.state().held.insert(number, set);
        let lease = Lease {
            leases: self.clone(),
            number,
        };
        match self.shared.run::<bool>(&script).await {
            Ok(true) | Err(_) => Some(lease),
            Ok(false) => {
                self.state().held.remove(&number);
                None
            }
        }
    }

    /// Gives back what is to be given back.
    pub async fn settle(&self) {
        loop {
            let mut returned = {
                let mut state = self.state();
                let rest = state.returned.len().min(AT_ONCE);
                let rest = state.returned.split_off(rest);
                mem::replace(&mut state.returned, rest)
            };
            if returned.is_empty() {
                return;
            }
            let mut commands = pipe();
            for (number, set) in returned.drain(..) {
                commands.zrem(&*set, self.member(number)).ignore();
            }
            // Where Redis is away they end by themselves.
            let _ = self.shared.ask_all::<()>(&commands).await;
        }
    }

    async fn renew(&self) {
        let held: Vec<_> = {
            let state = self.state();
            let held = state.held.iter();
            held.map(|(number, set)| (*number, set.clone())).collect()
        };
        for some in held.chunks(AT_ONCE) {
            let mut script = LEND.prepare_invoke();
            script.arg(millis(LEASE)).arg(0);
            for (number, set) in some {
                script.key(&**set).arg(self.member(*number));
            }
            if self.shared.run::<bool>(&script).await.is_err() {
                return;
            }
        }
    }

    async fn keep(self: Arc<Self>) {
        let mut renewal = Instant::now() + RENEWAL;
        loop {
            tokio::select! {
                () = self.returned.notified() => self.settle().await,
                () = sleep_until(renewal) => {
                    renewal = Instant::now() + RENEWAL;
                    self.renew().await;
                    // One that went meanwhile was renewed for nobody.
                    self.settle().await;
                }
            }
        }
    }

    fn member(&self, number: u64) -> String {
        format!("{}:{number}", self.server)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
