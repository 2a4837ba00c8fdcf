//! The right to have an instance now, and the memory of all of them together.
//!
//! Each purpose has a part that no other takes: however many uploads there are, a login finds an
//! instance. Among uploads, and among questions about paths, no user gets so much that nothing is
//! left for the next one: a user may have at most four times of what stays free (the dynamic
//! threshold of Choudhury and Hahne, 1998), so that it gives way the more users there are.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{sync::oneshot, time::timeout};

use super::stock::{Purpose, Stock};
use crate::types::UserId;

/// Instances that are there now, by what they are for: counted in linear memories, of which a
/// component may have several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Taken {
    /// They answer logins.
    pub logins: u64,
    /// They answer what may be done to paths, or are kept by sessions that will ask again.
    pub paths: u64,
    /// They inspect uploads.
    pub uploads: u64,
    /// They hear of events.
    pub events: u64,
    /// The most that there can be, all together.
    pub total: u64,
    /// Bytes of linear memory that they have.
    pub memory: u64,
    /// The most that they can have together.
    pub memory_total: u64,
}

/// No slot became free in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Busy {
    /// Where it is the user who has so many: the rest is left to others.
    pub(super) share: Option<u64>,
}

/// Instances by purpose and user, counted in linear memories, so that the pool has room for whoever
/// has a slot; and the bytes of all those memories. Cheap to clone.
#[derive(Clone)]
pub(super) struct InstanceLimiter(Arc<Mutex<Ledger>>);

struct Ledger {
    slots: Stock,
    memory: Stock,
    waiting: Vec<Waiter>,
    /// Those who keep instances for a next call, by their numbers.
    keepers: BTreeMap<u64, Keeping>,
    /// The number of the next waiter or keeper.
    next: u64,
    /// Somebody settles, and is to look once more.
    settling: bool,
    again: bool,
}

struct Keeping {
    purpose: Purpose,
    user: Option<UserId>,
    keeper: Weak<dyn Keeper>,
}

/// Somebody who keeps instances that are not in use, as long as nobody waits for one.
pub(super) trait Keeper: Send + Sync {
    /// Drops one; true where there are more.
    fn release_idle(&self) -> bool;
}

struct Waiter {
    number: u64,
    purpose: Purpose,
    user: Option<UserId>,
    weight: u64,
    granted: oneshot::Sender<InstancePermit>,
}

/// The right to one instance; drop the instance first. All clones are the same right.
#[derive(Clone)]
pub(super) struct InstancePermit(Arc<Holding>);

struct Holding {
    slots: InstanceLimiter,
    purpose: Purpose,
    weight: u64,
    held: Mutex<Held>,
}

/// Locked before the ledger, never after it.
struct Held {
    user: Option<UserId>,
    /// Of memory.
    bytes: u64,
    /// Of the plugin's own limit.
    own: Option<InstancePermit>,
}

impl InstanceLimiter {
    /// Limits to `total` instances, of which each purpose keeps a part, and to `memory` bytes.
    /// `load` come on top, for what is being loaded.
    pub(super) fn new(total: u32, load: u32, memory: u64) -> Self {
        let slots = Stock::new(total.into()).and(Purpose::Load, load.into());
        Self::of(slots, Stock::new(memory))
    }

    /// The slots of one plugin; memory is not counted.
    pub(super) fn own(total: u32) -> Self {
        Self::of(Stock::open(total.into()), Stock::open(u64::MAX))
    }

    fn of(slots: Stock, memory: Stock) -> Self {
        Self(Arc::new(Mutex::new(Ledger {
            slots,
            memory,
            waiting: Vec::new(),
            keepers: BTreeMap::new(),
            next: 0,
            settling: false,
            again: false,
        })))
    }

    /// A slot of this weight. Those who wait are served in the
    /// order in which they came; where users have shares, the one who has least comes first.
    ///
    /// # Errors
    /// When none became free in time.
    pub(super) async fn take(
        &self,
        purpose: Purpose,
        user: Option<&UserId>,
        weight: u32,
        patience: Duration,
        own: Option<InstancePermit>,
    ) -> Result<InstancePermit, Busy> {
        let (granted, slot) = oneshot::channel();
        let user: Option<UserId> = user.filter(|_| purpose.by_user()).cloned();
        let _queued = {
            let mut ledger = self.ledger();
            let number = ledger.next;
            ledger.next += 1;
            ledger.waiting.push(Waiter {
                number,
                purpose,
                user: user.clone(),
                weight: weight.into(),
                granted,
            });
            drop(ledger);
            Queued {
                slots: self,
                number,
            }
        };
        self.settle();
        let Ok(Ok(slot)) = timeout(patience, slot).await else {
            let ledger = self.ledger();
            let has = ledger.slots.of_user(purpose, user.as_ref());
            // A user without any is never refused for having many.
            let for_others = ledger.slots.fits(purpose, None, weight.into());
            return Err(Busy {
                share: Some(has).filter(|has| *has > 0 && for_others),
            });
        };
        slot.held().own = own;
        Ok(slot)
    }

    /// A number for somebody who keeps instances.
    pub(super) fn keeper(&self) -> u64 {
        let mut ledger = self.ledger();
        ledger.next += 1;
        ledger.next
    }

    /// That one keeps nothing any more.
    pub(super) fn forget(&self, keeper: u64) {
        self.ledger().keepers.remove(&keeper);
    }

    /// Gives what is free to those who wait, and has instances dropped that are kept for later where
    /// that is too little.
    ///
    /// A slot that is dropped meanwhile comes here again, and leaves the work to the one who is at it.
    fn settle(&self) {
        let mut ledger = self.ledger();
        ledger.again = true;
        if ledger.settling {
            return;
        }
        ledger.settling = true;
        drop(ledger);
        loop {
            self.grant();
            let mut ledger = self.ledger();
            let Some((number, keeping)) = ledger.gives_way() else {
                ledger.settling = ledger.again;
                ledger.again = false;
                if ledger.settling {
                    continue;
                }
                return;
            };
            drop(ledger);
            let more = keeping
                .keeper
                .upgrade()
                .is_some_and(|keeper| keeper.release_idle());
            if more {
                self.ledger().keepers.entry(number).or_insert(keeping);
            }
        }
    }

    fn grant(&self) {
        for purpose in Purpose::ALL {
            loop {
                let mut ledger = self.ledger();
                let Some(index) = ledger.first(purpose) else {
                    break;
                };
                let Ledger { slots, waiting, .. } = &mut *ledger;
                let fits = waiting
                    .get(index)
                    .is_some_and(|waiter| slots.fits(purpose, waiter.user.as_ref(), waiter.weight));
                if !fits {
                    break;
                }
                let waiter = waiting.remove(index);
                slots.take(purpose, waiter.user.as_ref(), waiter.weight);
                drop(ledger);
                let slot = InstancePermit(Arc::new(Holding {
                    slots: self.clone(),
                    purpose,
                    weight: waiter.weight,
                    held: Mutex::new(Held {
                        user: waiter.user,
                        bytes: 0,
                        own: None,
                    }),
                }));
                // Somebody who does not wait any more gives it back.
                drop(waiter.granted.send(slot));
            }
        }
    }

    /// The slots and the memory that are taken now.
    pub(super) fn taken_by(&self) -> Taken {
        let ledger = self.ledger();
        let slots = |purpose| ledger.slots.used(purpose);
        Taken {
            logins: slots(Purpose::Login),
            paths: slots(Purpose::Policy),
            uploads: slots(Purpose::Upload),
            events: slots(Purpose::Event),
            total: ledger.slots.total(),
            memory: ledger.memory.all_used(),
            memory_total: ledger.memory.total(),
        }
    }

    /// How many are taken.
    #[cfg(test)]
    pub(super) fn taken(&self) -> u64 {
        self.ledger().slots.all_used()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    /// The one of those who wait that comes first.
    fn first(&self, purpose: Purpose) -> Option<usize> {
        let waiting = self.waiting.iter().enumerate();
        let first = waiting
            .filter(|(_, waiter)| waiter.purpose == purpose)
            .min_by_key(|(_, waiter)| {
                let has = self.slots.of_user(purpose, waiter.user.as_ref());
                (has, waiter.number)
            });
        first.map(|(index, _)| index)
    }

    /// A keeper of an instance that somebody waits for and that is not in use: of the same user where
    /// that one has enough.
    fn gives_way(&mut self) -> Option<(u64, Keeping)> {
        for purpose in Purpose::ALL {
            let Some(waiter) = self
                .first(purpose)
                .and_then(|index| self.waiting.get(index))
            else {
                continue;
            };
            let anybody = self.slots.free(purpose) < waiter.weight;
            let mut keepers = self.keepers.iter().filter(|(_, keeping)| {
                keeping.purpose == purpose && (anybody || keeping.user == waiter.user)
            });
            if let Some(number) = keepers.next().map(|(number, _)| *number) {
                return self.keepers.remove_entry(&number);
            }
        }
        None
    }
}

/// Keeps somebody among those who wait, for as long as they do.
struct Queued<'a> {
    slots: &'a InstanceLimiter,
    number: u64,
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        let mut ledger = self.slots.ledger();
        ledger.waiting.retain(|waiter| waiter.number != self.number);
    }
}

impl InstancePermit {
    /// Whether there is so much left that the instance may be kept when its call is over.
    pub(super) fn plenty(&self) -> bool {
        let Holding { slots, purpose, .. } = &*self.0;
        let held = self.held();
        let own = held.own.as_ref().is_none_or(Self::plenty);
        let ledger = slots.ledger();
        let user = held.user.as_ref();
        own && ledger.slots.plenty(*purpose, user) && ledger.memory.plenty(*purpose, user)
    }

    /// The instance is kept for a next call, by somebody who lets it go when it is waited for.
    pub(super) fn kept(&self, number: u64, keeper: &Weak<dyn Keeper>) {
        let held = self.held();
        for slots in [
            Some(&self.0.slots),
            held.own.as_ref().map(|own| &own.0.slots),
        ] {
            let Some(slots) = slots else { continue };
            let keeping = Keeping {
                purpose: self.0.purpose,
                user: held.user.clone(),
                keeper: keeper.clone(),
            };
            slots.ledger().keepers.insert(number, keeping);
        }
        let own = held.own.clone();
        drop(held);
        // Somebody may be waiting for it already.
        self.0.slots.settle();
        if let Some(own) = own {
            own.0.slots.settle();
        }
    }

    /// The instance is nobody's now, and waits for its next call.
    pub(super) fn leave(&self) {
        self.pass_to(None);
    }

    /// The instance is to answer another user; false where that one has enough.
    pub(super) fn enter(&self, user: Option<&UserId>) -> bool {
        self.pass_to(user.filter(|_| self.0.purpose.by_user()).cloned())
    }

    fn pass_to(&self, user: Option<UserId>) -> bool {
        let Holding {
            slots,
            purpose,
            weight,
            ..
        } = &*self.0;
        let (purpose, weight) = (*purpose, *weight);
        let mut held = self.held();
        if held.user == user {
            return true;
        }
        if let Some(own) = &held.own
            && !own.pass_to(user.clone())
        {
            return false;
        }
        let mut ledger = slots.ledger();
        ledger.slots.give(purpose, held.user.as_ref(), weight);
        ledger.memory.give(purpose, held.user.as_ref(), held.bytes);
        let fits = ledger.slots.fits(purpose, user.as_ref(), weight)
            && ledger.memory.fits(purpose, user.as_ref(), held.bytes);
        let user = match fits {
            true => user,
            false => held.user.take(),
        };
        ledger.slots.take(purpose, user.as_ref(), weight);
        ledger.memory.take(purpose, user.as_ref(), held.bytes);
        held.user = user;
        if !fits && let Some(own) = &held.own {
            drop(ledger);
            own.pass_to(held.user.clone());
        }
        fits
    }

    /// Takes bytes of the memory that all instances have; false where too little is left.
    pub(super) fn grow(&self, bytes: u64) -> bool {
        let Holding { slots, purpose, .. } = &*self.0;
        let mut held = self.held();
        let mut ledger = slots.ledger();
        let fits = ledger.memory.fits(*purpose, held.user.as_ref(), bytes);
        if fits {
            ledger.memory.take(*purpose, held.user.as_ref(), bytes);
            held.bytes += bytes;
        }
        fits
    }

    /// Gives back what was taken in vain.
    pub(super) fn shrink(&self, bytes: u64) {
        let Holding { slots, purpose, .. } = &*self.0;
        let mut held = self.held();
        let bytes = bytes.min(held.bytes);
        held.bytes -= bytes;
        let mut ledger = slots.ledger();
        ledger.memory.give(*purpose, held.user.as_ref(), bytes);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let held = self.held.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut ledger = self.slots.ledger();
        let user = held.user.as_ref();
        ledger.slots.give(self.purpose, user, self.weight);
        ledger.memory.give(self.purpose, user, held.bytes);
        drop(ledger);
        self.slots.settle();
    }
}
