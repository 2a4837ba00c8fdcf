//! Plugins that hear of what has happened.
//!
//! Nobody waits for a listener: each has a queue of bounded size, and what does not fit is dropped,
//! counted, and said to it and in the log.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{sync::mpsc, time::sleep};

use super::{
    Fault, FaultKind, Named, SessionInfo,
    event::{Event, Observer},
    record::{Kind, Record},
};
use crate::types::BoxFuture;

/// The most events of one call.
const BATCH: usize = 256;
/// The bytes that an event costs besides its text.
const OVERHEAD: usize = 64;
/// The waits before a batch is given again to a listener that said `unavailable`.
const RETRIES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(20),
];

/// Hears of events.
pub trait Listener: Send + Sync {
    /// Takes a batch, each event a JSON object.
    fn notify(&self, events: Arc<[String]>) -> BoxFuture<'_, Result<(), Fault>>;

    /// This number of events is lost to it.
    fn missed(&self, events: u64);
}

/// The plugins that listen, each with its queue.
#[derive(Default)]
pub struct Listeners {
    queues: Vec<Queue>,
}

struct Queue {
    gate: Arc<dyn Listener>,
    sender: mpsc::UnboundedSender<String>,
    counts: Arc<Counts>,
}

/// The events that wait for one listener, and those that were dropped.
struct Counts {
    listener: Arc<str>,
    limit: usize,
    waiting: AtomicUsize,
    dropped: AtomicU64,
}

impl Listeners {
    /// Starts a task for each listener, whose queue takes `limit` bytes. The tasks end, after all
    /// that waits has been told, when this is dropped; `ended` is dropped then.
    #[must_use]
    pub fn start(listeners: &[Named<dyn Listener>], limit: u64, ended: &mpsc::Sender<()>) -> Self {
        let queues = listeners.iter().map(|listener| {
            let (sender, receiver) = mpsc::unbounded_channel();
            let counts = Arc::new(Counts {
                listener: listener.name.clone(),
                limit: usize::try_from(limit).unwrap_or(usize::MAX),
                waiting: AtomicUsize::new(0),
                dropped: AtomicU64::new(0),
            });
            let (gate, ended) = (listener.gate.clone(), ended.clone());
            let deliver = deliver(gate.clone(), receiver, counts.clone());
            tokio::spawn(async move {
                deliver.await;
                drop(ended);
            });
            Queue {
                gate,
                sender,
                counts,
            }
        });
        Self {
            queues: queues.collect(),
        }
    }

    /// Tells all of them, and waits for none.
    fn tell(&self, record: &Record) {
        let Some((last, others)) = self.queues.split_last() else {
            return;
        };
        let line = record.line();
        for queue in others {
            queue.put(line.clone());
        }
        last.put(line);
    }
}

impl Observer for Listeners {
    fn observe(&self, session: &SessionInfo, event: &Event<'_>) {
        // Nothing is put together where nobody listens.
        if self.queues.is_empty() {
            return;
        }
        Record::each(session, event, |record| {
            if record.event.is_for_listeners() {
                self.tell(&record);
            }
        });
    }
}

impl Queue {
    fn put(&self, line: String) {
        let counts = &self.counts;
        let cost = line.len() + OVERHEAD;
        if counts.waiting.fetch_add(cost, Relaxed) + cost > counts.limit {
            counts.waiting.fetch_sub(cost, Relaxed);
            self.gate.missed(1);
            if counts.dropped.fetch_add(1, Relaxed) == 0 {
                tracing::warn!(
                    plugin = &*counts.listener,
                    limit = counts.limit,
                    "the listener does not keep up, and plugin-host.event-queue is full: events \
                     are dropped"
                );
            }
            return;
        }
        // A task that has ended has told so.
        let _ = self.sender.send(line);
    }
}

/// Hands events to a listener, as many at a time as have come.
async fn deliver(
    listener: Arc<dyn Listener>,
    mut queue: mpsc::UnboundedReceiver<String>,
    counts: Arc<Counts>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let costs: usize = batch.iter().map(|line| line.len() + OVERHEAD).sum();
        let dropped = counts.dropped.swap(0, Relaxed);
        if dropped > 0 {
            tracing::warn!(plugin = &*counts.listener, dropped, "events were dropped");
            let mut event = Record::new(Kind::EventsDropped);
            event.count = Some(dropped);
            batch.push(event.line());
        }
        let lines = batch.drain(..).collect();
        hand_over(&*listener, lines, &counts.listener, &RETRIES).await;
        counts.waiting.fetch_sub(costs, Relaxed);
    }
}

async fn hand_over(listener: &dyn Listener, batch: Arc<[String]>, name: &str, waits: &[Duration]) {
    let mut waits = waits.iter().copied();
    loop {
        let Err(fault) = listener.notify(batch.clone()).await else {
            return;
        };
        let wait = match fault.kind {
            FaultKind::Unavailable | FaultKind::Busy => waits.next(),
            _ => None,
        };
        let (kind, error, events) = (fault.kind, fault.text.as_str(), batch.len());
        match wait {
            Some(wait) => {
                tracing::warn!(plugin = name, %kind, error, events, ?wait,
                    "a listener did not take its events, and gets them again");
                sleep(wait).await;
            }
            None => {
                tracing::error!(plugin = name, %kind, error, events,
                    "a listener failed: these events are lost to it");
                listener.missed(batch.len() as u64);
                return;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::Notify;

    use super::*;

    /// Takes what it is told, one batch for each permit.
    #[derive(Default)]
    struct Slow {
        missed: Mutex<u64>,
        heard: Mutex<Vec<String>>,
        go: Notify,
        faults: Mutex<Vec<FaultKind>>,
    }

    impl Listener for Slow {
        fn notify(&self, events: Arc<[String]>) -> BoxFuture<'_, Result<(), Fault>> {
            Box::pin(async move {
                self.go.notified().await;
                if let Some(kind) = self.faults.lock().unwrap().pop() {
                    return Err(Fault {
                        plugin: "slow".into(),
                        kind,
                        text: String::new(),
                    });
                }
                self.heard.lock().unwrap().extend(events.iter().cloned());
                Ok(())
            })
        }

        fn missed(&self, events: u64) {
            *self.missed.lock().unwrap() += events;
        }
    }

    fn named(gate: Arc<Slow>) -> [Named<dyn Listener>; 1] {
        [Named {
            name: "slow".into(),
            on_failure: crate::types::OnFailure::Deny,
            gate,
        }]
    }

    #[tokio::test]
    async fn a_slow_listener_holds_nobody_up_and_is_told_what_it_missed() {
        let slow = Arc::new(Slow::default());
        let (ended, mut all_ended) = mpsc::channel(1);
        let events = Listeners::start(&named(slow.clone()), 16 << 10, &ended);
        drop(ended);
        for _ in 0..1000 {
            events.tell(&Record::new(Kind::Login).reason("x".repeat(36)));
        }
        for _ in 0..100 {
            slow.go.notify_one();
            tokio::task::yield_now().await;
        }
        events.tell(&Record::new(Kind::Logout));
        drop(events);
        while tokio::time::timeout(Duration::from_millis(1), all_ended.recv())
            .await
            .is_err()
        {
            slow.go.notify_one();
        }
        let heard = slow.heard.lock().unwrap();
        let parsed = heard.iter().map(|line| serde_json::from_str(line).unwrap());
        let parsed: Vec<serde_json::Value> = parsed.collect();
        let logins = parsed
            .iter()
            .filter(|event| event["event"] == "login")
            .count();
        let dropped = parsed
            .iter()
            .filter(|event| event["event"] == "events-dropped");
        let dropped: u64 = dropped.map(|event| event["count"].as_u64().unwrap()).sum();
        assert!(logins > 10 && logins < 200, "{logins}");
        assert_eq!(logins as u64 + dropped, 1000);
        assert_eq!(*slow.missed.lock().unwrap(), dropped);
        assert!(parsed.iter().any(|event| event["event"] == "logout"));
    }

    #[tokio::test]
    async fn what_is_unavailable_is_tried_again_and_what_crashes_is_not() {
        let slow = Arc::new(Slow::default());
        let waits = [Duration::from_millis(5); 3];
        for (faults, heard) in [
            (vec![FaultKind::Unavailable; 3], 1),
            (vec![FaultKind::Unavailable; 4], 0),
            (vec![FaultKind::Trap], 0),
        ] {
            slow.heard.lock().unwrap().clear();
            slow.faults.lock().unwrap().clone_from(&faults);
            let handed_over = hand_over(&*slow, Arc::new(["{}".to_owned()]), "slow", &waits);
            let go = async {
                loop {
                    slow.go.notify_one();
                    sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::select! {
                () = handed_over => {}
                () = go => {}
            }
            assert_eq!(slow.heard.lock().unwrap().len(), heard, "{faults:?}");
            let missed = std::mem::take(&mut *slow.missed.lock().unwrap());
            assert_eq!(missed, 1 - heard as u64, "{faults:?}");
        }
    }
}
