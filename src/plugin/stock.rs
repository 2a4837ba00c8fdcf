//! Something that there is so much of, and the parts of it that purposes and users have.

use std::collections::HashMap;

use crate::types::UserId;

/// An instance is for one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A plugin is loaded: its first instance, the check of its settings.
    Load,
    /// Somebody logs in.
    Login,
    /// May somebody do what to which path?
    Policy,
    /// An upload is inspected, which takes as long as its client.
    Upload,
    /// Something has happened.
    Event,
}

const PURPOSES: usize = 5;

impl Purpose {
    /// Whether users get shares. At a login, the client may say any name.
    pub(super) fn by_user(self) -> bool {
        matches!(self, Self::Policy | Self::Upload)
    }

    pub(super) const ALL: [Self; PURPOSES] = [
        Self::Load,
        Self::Login,
        Self::Policy,
        Self::Upload,
        Self::Event,
    ];
}

/// The part that others leave for each purpose, in percent.
const RESERVED: [u64; PURPOSES] = [5, 10, 10, 25, 5];
/// With fewer there is nothing to share: one user may have all.
const SHARED_FROM: u64 = 8;
/// How many times of what stays free a user may have.
const SHARE: u64 = 4;

/// Something that there is so much of, and who has how much of it.
#[derive(Debug)]
pub(super) struct Stock {
    total: u64,
    /// The part that others leave for each purpose.
    reserved: [u64; PURPOSES],
    used: [u64; PURPOSES],
    users: HashMap<(usize, UserId), u64>,
}

impl Stock {
    /// So much, of which each purpose keeps its part.
    pub(super) fn new(total: u64) -> Self {
        let part = |percent: u64| (u128::from(total) * u128::from(percent)).div_ceil(100);
        let reserved = RESERVED.map(|percent| u64::try_from(part(percent)).unwrap_or(u64::MAX));
        Self {
            reserved,
            ..Self::open(total)
        }
    }

    /// So much, for all purposes alike.
    pub(super) fn open(total: u64) -> Self {
        Self {
            total,
            reserved: [0; PURPOSES],
            used: [0; PURPOSES],
            users: HashMap::new(),
        }
    }

    /// And `more`, which is the part of one purpose, and all of it.
    pub(super) fn and(mut self, purpose: Purpose, more: u64) -> Self {
        self.total += more;
        if let Some(reserved) = self.reserved.get_mut(purpose as usize) {
            *reserved = more;
        }
        self
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn all_used(&self) -> u64 {
        self.used.iter().sum()
    }

    /// Whether nobody has any of it.
    #[cfg(test)]
    pub(super) fn has_no_users(&self) -> bool {
        self.users.is_empty()
    }

    pub(super) fn used(&self, purpose: Purpose) -> u64 {
        self.used.get(purpose as usize).copied().unwrap_or(0)
    }

    /// The rest for a purpose, of which the others neither have nor keep anything.
    pub(super) fn free(&self, purpose: Purpose) -> u64 {
        let taken = self.used.iter().zip(self.reserved).enumerate();
        let taken = taken.map(
            |(index, (used, reserved))| match index == purpose as usize {
                true => *used,
                false => reserved.max(*used),
            },
        );
        self.total
            .saturating_sub(taken.fold(0, u64::saturating_add))
    }

    pub(super) fn of_user(&self, purpose: Purpose, user: Option<&UserId>) -> u64 {
        let key = |user: &UserId| (purpose as usize, user.clone());
        user.and_then(|user| self.users.get(&key(user)).copied())
            .unwrap_or(0)
    }

    /// Whether somebody may have `more`.
    pub(super) fn fits(&self, purpose: Purpose, user: Option<&UserId>, more: u64) -> bool {
        let Some(left) = self.free(purpose).checked_sub(more) else {
            return false;
        };
        let own = self.of_user(purpose, user);
        own == 0 || self.total < SHARED_FROM || own + more <= SHARE.saturating_mul(left)
    }

    /// Whether so much is left for the purpose, and for others than the user, that what is not in
    /// use may be kept for the next time.
    pub(super) fn plenty(&self, purpose: Purpose, user: Option<&UserId>) -> bool {
        let free = self.free(purpose);
        let most = free + self.used(purpose);
        free > most / 4 && self.of_user(purpose, user) <= SHARE.saturating_mul(free) / 2
    }

    pub(super) fn take(&mut self, purpose: Purpose, user: Option<&UserId>, more: u64) {
        if let Some(used) = self.used.get_mut(purpose as usize) {
            *used += more;
        }
        if let Some(user) = user {
            *self
                .users
                .entry((purpose as usize, user.clone()))
                .or_default() += more;
        }
    }

    pub(super) fn give(&mut self, purpose: Purpose, user: Option<&UserId>, less: u64) {
        if let Some(used) = self.used.get_mut(purpose as usize) {
            *used = used.saturating_sub(less);
        }
        let Some(user) = user else { return };
        let key = (purpose as usize, user.clone());
        if let Some(held) = self.users.get_mut(&key) {
            *held = held.saturating_sub(less);
            if *held == 0 {
                self.users.remove(&key);
            }
        }
    }
}
