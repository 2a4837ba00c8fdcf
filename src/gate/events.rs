//! What has happened, for whoever listens.
//!
//! Nobody waits for a listener: each has a queue of bounded size, and what does not fit is dropped,
//! counted, and said to it and in the log.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use tokio::{sync::mpsc, time::sleep};

use super::{Fault, FaultKind, Named, SessionInfo};
use crate::{ftp::path::VirtualPath, types::BoxFuture};

/// The most events of one call.
const BATCH: usize = 256;
/// What an event costs besides its text.
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
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A user logged in.
    Login,
    /// An attempt to log in was refused.
    LoginFailed,
    /// The session of a logged-in user ended.
    Logout,
    /// A file was uploaded, accepted and published.
    Upload,
    /// An upload was refused by an inspector, or by one that could not decide.
    UploadRefused,
    /// An upload was refused and kept for a person to look at.
    UploadQuarantined,
    /// An upload that had been accepted because its verdict was late is refused: the file can be
    /// seen.
    UploadRefusedLate,
    /// A file was downloaded to its end.
    Download,
    /// A file was deleted.
    Delete,
    /// A file or directory was renamed.
    Rename,
    /// A directory was made.
    MakeDirectory,
    /// A directory was removed.
    RemoveDirectory,
    /// A mode or a time was changed.
    ChangeMetadata,
    /// The account, a path guard, a limit or the storage refused an operation.
    Denied,
    /// A transfer broke off, or had no data connection.
    TransferFailed,
    /// A plugin could not decide.
    Fault,
    /// So many events were dropped, since this listener did not keep up.
    EventsDropped,
}

/// One event, as listeners get it. What does not apply is left out.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// What happened.
    pub event: EventKind,
    /// When, RFC 3339 in UTC.
    #[serde(serialize_with = "as_text")]
    pub time: Timestamp,
    /// The session's name in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The client's IP address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The user's name; of a failed login, the one that was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Within the user's tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The other name of a rename, or where an accepted upload was put.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Bytes of the file, or those that were transferred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The SHA-256 digest of an upload, where one was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What was done, where the event alone does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<&'static str>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The plugin that decided, or failed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Of dropped events, how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

impl Event {
    /// Something that happened now.
    #[must_use]
    pub fn new(event: EventKind) -> Self {
        let now = Timestamp::try_from(SystemTime::now()).unwrap_or_default();
        Self {
            event,
            time: now,
            session: None,
            client: None,
            user: None,
            path: None,
            to: None,
            size: None,
            sha256: None,
            operation: None,
            reason: None,
            plugin: None,
            count: None,
        }
    }

    /// Something that happened in a session.
    #[must_use]
    pub fn of(event: EventKind, session: &SessionInfo) -> Self {
        Self {
            session: Some(session.id.as_ref().into()),
            client: Some(session.client.ip().to_string()),
            user: session.user.as_deref().map(str::to_owned),
            ..Self::new(event)
        }
    }

    /// The same with a path.
    #[must_use]
    pub fn path(mut self, path: &VirtualPath) -> Self {
        self.path = Some(path.as_str().to_owned());
        self
    }

    /// The same with the other path.
    #[must_use]
    pub fn to(mut self, path: &VirtualPath) -> Self {
        self.to = Some(path.as_str().to_owned());
        self
    }

    /// The same with a number of bytes.
    #[must_use]
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }

    /// The same with a digest, if there is one.
    #[must_use]
    pub fn sha256(mut self, digest: Option<&str>) -> Self {
        self.sha256 = digest.map(str::to_owned);
        self
    }

    /// The same with a reason.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// The same with the plugin that decided.
    #[must_use]
    pub fn plugin(mut self, plugin: &str) -> Self {
        self.plugin = Some(plugin.into());
        self
    }

    /// The same with the plugin that could not decide, and why.
    #[must_use]
    pub fn fault(self, fault: &Fault) -> Self {
        let reason = format!("{}: {}", fault.kind, fault.text);
        self.plugin(&fault.plugin).reason(reason)
    }

    /// The same with what was done.
    #[must_use]
    pub fn operation(mut self, operation: &'static str) -> Self {
        self.operation = Some(operation);
        self
    }

    fn line(&self) -> String {
        // Nothing in it fails to serialise.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn as_text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

/// Where sessions tell what happens. Cheap to clone.
#[derive(Clone, Default)]
pub struct Events {
    queues: Arc<[Queue]>,
}

struct Queue {
    sender: mpsc::UnboundedSender<String>,
    counts: Arc<Counts>,
}

/// What waits for one listener, and what could not.
struct Counts {
    listener: Arc<str>,
    limit: usize,
    waiting: AtomicUsize,
    dropped: AtomicU64,
}

impl Events {
    /// Starts a task for each listener, whose queue takes `limit` bytes. The tasks end, after all
    /// that waits has been told, when the last clone is gone; `ended` is dropped then.
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
            let deliver = deliver(gate, receiver, counts.clone());
            tokio::spawn(async move {
                deliver.await;
                drop(ended);
            });
            Queue { sender, counts }
        });
        Self {
            queues: queues.collect(),
        }
    }

    /// Tells all listeners, and waits for none. What happened is put together only if somebody
    /// listens.
    pub fn emit(&self, event: impl FnOnce() -> Event) {
        let Some((last, others)) = self.queues.split_last() else {
            return;
        };
        let line = event().line();
        for queue in others {
            queue.put(line.clone());
        }
        last.put(line);
    }
}

impl Queue {
    fn put(&self, line: String) {
        let counts = &self.counts;
        let cost = line.len() + OVERHEAD;
        if counts.waiting.fetch_add(cost, Relaxed) + cost > counts.limit {
            counts.waiting.fetch_sub(cost, Relaxed);
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
            let mut event = Event::new(EventKind::EventsDropped);
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
        let events = Events::start(&named(slow.clone()), 16 << 10, &ended);
        drop(ended);
        for _ in 0..1000 {
            events.emit(|| Event::new(EventKind::Login).reason("x".repeat(36)));
        }
        for _ in 0..100 {
            slow.go.notify_one();
            tokio::task::yield_now().await;
        }
        events.emit(|| Event::new(EventKind::Logout));
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
            let told = hand_over(&*slow, Arc::new(["{}".to_owned()]), "slow", &waits);
            let go = async {
                loop {
                    slow.go.notify_one();
                    sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::select! {
                () = told => {}
                () = go => {}
            }
            assert_eq!(slow.heard.lock().unwrap().len(), heard, "{faults:?}");
        }
    }
}
