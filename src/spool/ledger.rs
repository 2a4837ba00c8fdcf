//! The quotas of homes that several servers have together, in Redis.
//!
//! Each server counts the files of a home by itself, and tells the others of what it adds and removes from then on.
//! Redis keeps, of each home, the sum of all changes, and what each server has under way, as a lease that it renews.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::rand;
use data_encoding::HEXLOWER;
use redis::Script;

use crate::{
    shared::{Away, Shared},
    storage::Amount,
};

/// How long a server's uploads under way count that it does not tell of any more, in milliseconds.
const LEASE: u64 = 10_000;
/// How long the sum is kept that nobody adds to, in milliseconds: longer than a count is good for.
const KEPT: u64 = 3_600_000;

/// KEYS: the home. ARGV: a name for a new sum, this server, the bytes and files that it has added, the bytes and files
/// that it has under way, a lease, how long the sum is kept. Says the sum's name, the bytes and files of the sum, and
/// of what others have under way.
static EXCHANGE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local home, own = KEYS[1], 'under-way ' .. ARGV[2]
         local time = redis.call('TIME')
         local now = time[1] * 1000 + math.floor(time[2] / 1000)
         redis.call('HSETNX', home, 'name', ARGV[1])
         redis.call('HINCRBY', home, 'bytes', ARGV[3])
         redis.call('HINCRBY', home, 'files', ARGV[4])
         if ARGV[5] == '0' and ARGV[6] == '0' then
           redis.call('HDEL', home, own)
         else
           local lease = string.format('%s %s %.0f', ARGV[5], ARGV[6], now + ARGV[7])
           redis.call('HSET', home, own, lease)
         end
         redis.call('PEXPIRE', home, ARGV[8])
         local all, facts, bytes, files = redis.call('HGETALL', home), {}, 0, 0
         for place = 1, #all, 2 do
           local field, value = all[place], all[place + 1]
           if string.sub(field, 1, 10) ~= 'under-way ' then
             facts[field] = value
           elseif field ~= own then
             local its_bytes, its_files, until_then = string.match(value, '^(%d+) (%d+) (%d+)$')
             if until_then and tonumber(until_then) > now then
               bytes, files = bytes + its_bytes, files + its_files
             else
               redis.call('HDEL', home, field)
             end
           end
         end
         return { facts.name, facts.bytes, facts.files,
                  string.format('%.0f', bytes), string.format('%.0f', files) }",
    )
});

/// Bytes and files that have been added, less those that were removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) bytes: i64,
    pub(super) files: i64,
}

impl Change {
    /// From one amount to another one.
    pub(super) fn from_to(from: Amount, to: Amount) -> Self {
        Self {
            bytes: to.bytes.wrapping_sub(from.bytes).cast_signed(),
            files: to.files.wrapping_sub(from.files).cast_signed(),
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            files: self.files.saturating_add(other.files),
        }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            files: self.files.saturating_sub(other.files),
        }
    }

    /// The amount behind it; never less than nothing.
    pub(super) fn of(self, amount: Amount) -> Amount {
        Amount {
            bytes: amount.bytes.saturating_add_signed(self.bytes),
            files: amount.files.saturating_add_signed(self.files),
        }
    }
}

/// The changes of all servers since the sum has its name: another one has lost them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) name: String,
    pub(super) changes: Change,
}

/// All homes of a storage.
pub(super) struct Ledger {
    shared: Arc<Shared>,
    /// The beginning of the homes' keys.
    homes: String,
    /// Sets this server apart.
    server: String,
}

impl Ledger {
    /// Of the storage at this place, which is the same for all servers.
    pub(super) fn new(shared: &Arc<Shared>, place: &str) -> Self {
        Self {
            homes: shared.key(&format!("quota:{place}:")),
            shared: shared.clone(),
            server: random(),
        }
    }

    /// Tells of changes, and of what is under way here; says all changes, and what others have under way.
    ///
    /// # Errors
    /// When Redis is away.
    pub(super) async fn exchange(
        &self,
        home: &str,
        change: Change,
        under_way: Amount,
    ) -> Result<(Sum, Amount), Away> {
        let mut script = EXCHANGE.key(format!("{}{home}", self.homes));
        script.arg(random()).arg(&self.server);
        script.arg(change.bytes).arg(change.files);
        script.arg(under_way.bytes).arg(under_way.files);
        script.arg(LEASE).arg(KEPT);
        let answer: (String, i64, i64, u64, u64) = self.shared.run(&script).await?;
        let (name, bytes, files, others_bytes, others_files) = answer;
        let others = Amount {
            bytes: others_bytes,
            files: others_files,
        };
        let changes = Change { bytes, files };
        Ok((Sum { name, changes }, others))
    }
}

fn random() -> String {
    let mut bytes = [0; 8];
    // Without, all are named alike: an exchange too many is taken for one's own.
    let _ = rand::fill(&mut bytes);
    HEXLOWER.encode(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_lead_from_one_amount_to_the_other() {
        let amount = |bytes, files| Amount { bytes, files };
        for (from, to) in [
            (amount(5, 1), amount(9, 2)),
            (amount(9, 2), amount(5, 0)),
            (amount(0, 0), amount(u64::MAX >> 1, 1)),
        ] {
            let change = Change::from_to(from, to);
            assert_eq!(change.of(from), to);
            assert_eq!(change.minus(change), Change::default());
        }
        let less = Change {
            bytes: -5,
            files: -1,
        };
        assert_eq!(less.of(amount(3, 0)), amount(0, 0));
    }
}
