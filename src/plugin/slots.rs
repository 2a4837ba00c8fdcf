//! Who may have an instance now.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Permits for instances, one for each linear memory, so that the pool has room for whoever holds
/// one. Uploads, which take as long as their clients, leave an eighth to the short calls; sessions
/// keep a path guard only while more than a quarter is free.
pub(super) struct Slots {
    all: Arc<Semaphore>,
    long: Arc<Semaphore>,
    total: usize,
}

/// The right to one instance; drop the instance first.
pub(super) struct Slot {
    _all: OwnedSemaphorePermit,
    _long: Option<OwnedSemaphorePermit>,
    /// Of the plugin's own limit.
    _own: Option<OwnedSemaphorePermit>,
}

impl Slots {
    pub(super) fn new(total: u32) -> Self {
        let total = total as usize;
        Self {
            all: Arc::new(Semaphore::new(total)),
            long: Arc::new(Semaphore::new(total - total / 8)),
            total,
        }
    }

    /// A slot for a call that does not wait for a client; `None` when none became free in time.
    pub(super) async fn short(
        &self,
        weight: u32,
        patience: Duration,
        own: Option<OwnedSemaphorePermit>,
    ) -> Option<Slot> {
        Some(Slot {
            _all: permit(&self.all, weight, patience).await?,
            _long: None,
            _own: own,
        })
    }

    /// A slot for a call that takes as long as its client.
    pub(super) async fn long(
        &self,
        weight: u32,
        patience: Duration,
        own: Option<OwnedSemaphorePermit>,
    ) -> Option<Slot> {
        let long = permit(&self.long, weight, patience).await?;
        Some(Slot {
            _all: permit(&self.all, weight, patience).await?,
            _long: Some(long),
            _own: own,
        })
    }

    /// How many are free.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.all.available_permits()
    }

    /// Whether there is enough left that an idle instance may be kept.
    pub(super) fn plenty(&self) -> bool {
        self.all.available_permits() > self.total / 4
    }
}

/// So many permits, when they are free in time.
pub(super) async fn permit(
    semaphore: &Arc<Semaphore>,
    weight: u32,
    patience: Duration,
) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = semaphore.clone().try_acquire_many_owned(weight) {
        return Some(permit);
    }
    tokio::time::timeout(patience, semaphore.clone().acquire_many_owned(weight))
        .await
        .ok()?
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn uploads_leave_room_for_logins() {
        let slots = Slots::new(8);
        let patience = Duration::from_millis(1);
        let mut held = Vec::new();
        while let Some(slot) = slots.long(1, patience, None).await {
            held.push(slot);
        }
        assert_eq!(held.len(), 7);
        assert!(!slots.plenty());
        let login = slots.short(1, patience, None).await;
        assert!(login.is_some());
        assert!(slots.short(1, patience, None).await.is_none());
        drop(login);
        assert!(slots.short(1, patience, None).await.is_some());
    }
}
