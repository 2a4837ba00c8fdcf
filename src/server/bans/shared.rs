//! Bans that several servers have together, in Redis.
//!
//! Each server has all of them in memory, which alone is asked when a client comes. Once a second it asks Redis
//! for what has changed; its own changes go there at once, or, where Redis is away, when it is back.
//!
//! Redis keeps a hash of bans by network, and a sorted set of the networks by the number of their last change.
//! Each Redis has a name of its own: one that has lost everything has another one, and is told all that the
//! servers still know.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use aws_lc_rs::rand;
use data_encoding::HEXLOWER;
use ipnet::IpNet;
use redis::Script;

use super::list::Ban;
use crate::shared::{Away, Shared};

/// The most changes that are told apart: a server that has missed more reads all bans.
const CHANGES: usize = 10_000;

/// KEYS: the bans, the changes, the facts. ARGV: how many changes are told apart; then, of each change, the
/// network, the new ban ('' for none), and the one that it has to be in place of ('' for any).
static CHANGE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local bans, changes, facts = KEYS[1], KEYS[2], KEYS[3]
         for place = 2, #ARGV, 3 do
           local network, new, old = ARGV[place], ARGV[place + 1], ARGV[place + 2]
           if old == '' or redis.call('HGET', bans, network) == old then
             if new == '' then
               redis.call('HDEL', bans, network)
             else
               redis.call('HSET', bans, network, new)
             end
             redis.call('ZADD', changes, redis.call('HINCRBY', facts, 'version', 1), network)
           end
         end
         local gone = redis.call('ZRANGE', changes, 0, -1 - tonumber(ARGV[1]), 'WITHSCORES')
         if #gone > 0 then
           redis.call('HSET', facts, 'forgotten', gone[#gone])
           redis.call('ZREMRANGEBYRANK', changes, 0, -1 - tonumber(ARGV[1]))
         end",
    )
});

/// KEYS: as above. ARGV: the name and the version that are known, and a name for a Redis that has none. The
/// name, the version, whether what follows is all that there is, and networks with their bans, '' for none.
static CHANGED: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local bans, changes, facts = KEYS[1], KEYS[2], KEYS[3]
         redis.call('HSETNX', facts, 'name', ARGV[3])
         local name = redis.call('HGET', facts, 'name')
         local version = redis.call('HGET', facts, 'version') or '0'
         local forgotten = redis.call('HGET', facts, 'forgotten') or '0'
         local seen, found = tonumber(ARGV[2]), {}
         if name ~= ARGV[1] or seen < tonumber(forgotten) or seen > tonumber(version) then
           return { name, version, 1, redis.call('HGETALL', bans) }
         end
         for _, network in ipairs(redis.call('ZRANGEBYSCORE', changes, '(' .. ARGV[2], '+inf')) do
           found[#found + 1] = network
           found[#found + 1] = redis.call('HGET', bans, network) or ''
         end
         return { name, version, 0, found }",
    )
});

/// A change that Redis is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// This is the ban of the network.
    Ban(Ban),
    /// The network has none.
    Lift,
    /// It has none any more if it was still this one.
    Forget(Ban),
}

/// Changes by network: the newest of each.
pub(super) type Changes = HashMap<IpNet, Change>;

/// The news from Redis.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct News {
    /// Its name.
    pub(super) name: String,
    /// Its version.
    version: u64,
    /// Whether these are all the bans that it has.
    pub(super) all: bool,
    /// Those that have changed; none where there is none any more.
    pub(super) bans: Vec<(IpNet, Option<Ban>)>,
}

#[cfg(test)]
impl News {
    pub(super) fn new(name: &str, all: bool, bans: Vec<(IpNet, Option<Ban>)>) -> Self {
        Self {
            name: name.to_owned(),
            version: 1,
            all,
            bans,
        }
    }
}

/// The bans in Redis.
pub(super) struct SharedBans {
    shared: Arc<Shared>,
    keys: [String; 3],
    seen: tokio::sync::Mutex<Seen>,
}

/// How far the server has read. None of a Redis without a name.
#[derive(Default)]
struct Seen {
    name: String,
    version: u64,
}

impl SharedBans {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let key = |name: &str| shared.key(name);
        Self {
            keys: [key("bans"), key("bans-changes"), key("bans-facts")],
            shared: shared.clone(),
            seen: tokio::sync::Mutex::default(),
        }
    }

    /// Tells changes, and hands what is new to `take`, one caller after the other.
    ///
    /// # Errors
    /// When Redis is away. `changes` then have to be told later; what of them it has it takes once more.
    pub(super) async fn exchange(
        &self,
        changes: &Changes,
        take: impl FnOnce(News),
    ) -> Result<(), Away> {
        let mut seen = self.seen.lock().await;
        if !changes.is_empty() {
            let mut script = CHANGE.prepare_invoke();
            self.keys.iter().for_each(|key| {
                script.key(key);
            });
            script.arg(CHANGES);
            for (network, change) in changes {
                let (new, old) = match change {
                    Change::Ban(ban) => (written(ban), String::new()),
                    Change::Lift => (String::new(), String::new()),
                    Change::Forget(ban) => (String::new(), written(ban)),
                };
                script.arg(network.to_string()).arg(new).arg(old);
            }
            self.shared.run::<()>(&script).await?;
        }
        let mut script = CHANGED.prepare_invoke();
        self.keys.iter().for_each(|key| {
            script.key(key);
        });
        script.arg(&seen.name).arg(seen.version).arg(random());
        let answer: (String, u64, bool, Vec<(String, String)>) = self.shared.run(&script).await?;
        let (name, version, all, found) = answer;
        let read = |(network, ban): (String, String)| {
            let network = network.parse().ok()?;
            let ban = (!ban.is_empty()).then(|| serde_json::from_str(&ban));
            // One that cannot be read is left out: another version may have written it.
            Some((network, ban.transpose().ok()?))
        };
        let news = News {
            bans: found.into_iter().filter_map(read).collect(),
            name,
            version,
            all,
        };
        *seen = Seen {
            name: news.name.clone(),
            version: news.version,
        };
        take(news);
        Ok(())
    }
}

fn written(ban: &Ban) -> String {
    serde_json::to_string(ban).unwrap_or_default()
}

/// A name that no other Redis has.
fn random() -> String {
    let mut bytes = [0; 8];
    // Without, all of them are named alike, and one that lost its bans is taken for itself.
    let _ = rand::fill(&mut bytes);
    HEXLOWER.encode(&bytes)
}
