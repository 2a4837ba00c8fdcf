//! A value that others change while a session waits for it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The value. It is a tenth of the size of tokio's `watch`, which counts where each session has two.
pub(super) struct Watched<T> {
    value: Mutex<T>,
    changed: Notify,
}

impl<T> Watched<T> {
    pub(super) fn new(value: T) -> Self {
        Self {
            value: Mutex::new(value),
            changed: Notify::new(),
        }
    }

    /// Something of the value as it is.
    pub(super) fn get<R>(&self, of: impl FnOnce(&T) -> R) -> R {
        of(&self.value())
    }

    /// Changes it, and wakes those who wait.
    pub(super) fn change(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.value());
        self.changed.notify_waiters();
    }

    /// Waits until there is something of it.
    pub(super) async fn wait_for<R>(&self, of: impl Fn(&T) -> Option<R>) -> R {
        loop {
            // From here on a change is not missed.
            let changed = self.changed.notified();
            if let Some(found) = self.get(&of) {
                return found;
            }
            changed.await;
        }
    }

    fn value(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;

    #[tokio::test]
    async fn who_waits_sees_each_change_that_counts() {
        let watched = Arc::new(Watched::new(0));
        let waits = {
            let watched = watched.clone();
            tokio::spawn(async move {
                watched
                    .wait_for(|value| (*value > 1).then_some(*value))
                    .await
            })
        };
        tokio::task::yield_now().await;
        for _ in 0..2 {
            assert!(!waits.is_finished());
            watched.change(|value| *value += 1);
            tokio::task::yield_now().await;
        }
        let found = tokio::time::timeout(Duration::from_secs(30), waits).await;
        assert_eq!(found.unwrap().unwrap(), 2);
        // One that has come already is not waited for.
        assert_eq!(watched.wait_for(|value| Some(*value)).await, 2);
        assert_eq!(watched.get(|value| *value), 2);
    }
}
