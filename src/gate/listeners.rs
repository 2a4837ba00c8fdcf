//! Plugins that hear of what has happened.
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

use super::{
    Fault, FaultKind, Named, SessionInfo,
    event::{Event, Observer, TransferFailed, UploadRefused, Uploaded},
};
use crate::{ftp::path::VirtualPath, types::BoxFuture};

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
}

/// The contract's word for what has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
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
    /// Events were dropped, since this listener did not keep up.
    EventsDropped,
}

/// One event, as listeners get it. Fields that do not apply are left out.
#[derive(Clone, Debug, Serialize)]
struct Record {
    /// The kind of the event.
    event: Kind,
    /// When, RFC 3339 in UTC.
    #[serde(serialize_with = "as_text")]
    time: Timestamp,
    /// The session's name in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    /// The client's IP address.
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    /// The user's name; of a failed login, the one that was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// Within the user's tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// The other name of a rename, or where an accepted upload was put.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    /// Bytes of the file, or those that were transferred.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// The SHA-256 digest of an upload, where one was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    /// The operation, where the event alone does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'static str>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The plugin that decided, or failed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin: Option<String>,
    /// Of dropped events, how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

impl Record {
    /// Something that happened now.
    fn new(event: Kind) -> Self {
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
    fn of(event: Kind, session: &SessionInfo) -> Self {
        Self {
            session: Some(session.id.as_ref().into()),
            client: Some(session.client.ip().to_string()),
            user: session.user.as_deref().map(str::to_owned),
            ..Self::new(event)
        }
    }

    /// The same with a path.
    fn path(mut self, path: &VirtualPath) -> Self {
        self.path = Some(path.as_str().to_owned());
        self
    }

    /// The same with the other path.
    fn to(mut self, path: &VirtualPath) -> Self {
        self.to = Some(path.as_str().to_owned());
        self
    }

    /// The same with a number of bytes.
    fn size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }

    /// The same with a digest, if there is one.
    fn sha256(mut self, digest: Option<&str>) -> Self {
        self.sha256 = digest.map(str::to_owned);
        self
    }

    /// The same with a reason.
    fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// The same with the plugin that decided.
    fn plugin(mut self, plugin: &str) -> Self {
        self.plugin = Some(plugin.into());
        self
    }

    /// The same with the plugin that could not decide, and why.
    fn fault(self, fault: &Fault) -> Self {
        let reason = format!("{}: {}", fault.kind, fault.text);
        self.plugin(&fault.plugin).reason(reason)
    }

    /// The same with what was done.
    fn operation(mut self, operation: &'static str) -> Self {
        self.operation = Some(operation);
        self
    }

    fn uploaded(self, uploaded: &Uploaded<'_>) -> Self {
        let record = self.path(uploaded.path).size(uploaded.bytes);
        let record = record.sha256(uploaded.sha256);
        let record = match uploaded.to == uploaded.path {
            true => record,
            false => record.to(uploaded.to),
        };
        let unclosed = uploaded.unclosed;
        let unclosed = unclosed.then_some("it ended without TLS close_notify");
        let reasons: Vec<&str> = uploaded.unjudged.into_iter().chain(unclosed).collect();
        match reasons.is_empty() {
            false => record.reason(reasons.join("; ")),
            true => record,
        }
    }

    fn upload_refused(self, refused: &UploadRefused<'_>) -> Self {
        let record = self.path(refused.path).size(refused.bytes);
        let record = record.sha256(refused.sha256);
        record.plugin(refused.plugin).reason(refused.reason)
    }

    fn transfer_failed(self, failed: &TransferFailed<'_>) -> Self {
        Self {
            path: failed.path.map(|path| path.as_str().to_owned()),
            size: failed.bytes,
            ..self
                .operation(failed.transfer.name())
                .reason(failed.cause.to_string())
        }
    }

    fn line(&self) -> String {
        // Nothing in it fails to serialise.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn as_text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

/// The plugins that listen, each with its queue.
#[derive(Default)]
pub struct Listeners {
    queues: Vec<Queue>,
}

struct Queue {
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
        let of = |kind| Record::of(kind, session);
        let record = match *event {
            Event::LoggedIn { .. } => of(Kind::Login),
            Event::LoginFailed { reason, .. } => of(Kind::LoginFailed).reason(reason),
            Event::LoginOutdated { cause } => of(Kind::LoginFailed).reason(cause),
            Event::LoggedOut { reason } => match reason {
                Some(reason) => of(Kind::Logout).reason(reason),
                None => of(Kind::Logout),
            },
            Event::Uploaded(uploaded) => of(Kind::Upload).uploaded(uploaded),
            Event::Released {
                path,
                bytes,
                sha256,
                plugin,
            } => Record {
                path: Some(path.to_owned()),
                ..of(Kind::Upload)
                    .size(bytes)
                    .sha256(sha256)
                    .plugin(plugin)
                    .operation("release")
            },
            Event::Downloaded { path, bytes } => of(Kind::Download).path(path).size(bytes),
            Event::DirectoryMade { path } => of(Kind::MakeDirectory).path(path),
            Event::DirectoryRemoved { path } => of(Kind::RemoveDirectory).path(path),
            Event::Deleted { path } => of(Kind::Delete).path(path),
            Event::Renamed { from, to } => of(Kind::Rename).path(from).to(to),
            Event::MetadataChanged { path } => of(Kind::ChangeMetadata).path(path),
            Event::Denied {
                operation,
                path,
                reason,
            } => {
                let record = of(Kind::Denied).path(path).operation(operation);
                match reason {
                    Some(reason) => record.reason(reason),
                    None => record,
                }
            }
            Event::Refused(refused) => Record {
                path: refused.path.map(|path| path.as_str().to_owned()),
                size: refused.bytes,
                ..of(Kind::Denied)
                    .operation(refused.operation)
                    .reason(refused.cause)
            },
            Event::StorageFailed {
                operation,
                transfer,
                path,
                cause,
            } => match transfer {
                true => of(Kind::TransferFailed)
                    .path(path)
                    .operation(operation)
                    .reason(cause),
                // The contract has a word for transfers alone.
                false => return,
            },
            Event::TransferFailed(failed) => of(Kind::TransferFailed).transfer_failed(failed),
            Event::NoPort { cause } => of(Kind::TransferFailed)
                .operation("data-connection")
                .reason(cause),
            Event::DataConnectionDropped { from, path, cause } => Record {
                path: path.map(|path| path.as_str().to_owned()),
                ..of(Kind::Denied)
                    .operation("data-connection")
                    .reason(format!("from {}: {cause}", from.ip()))
            },
            Event::UploadRefused(refused) => match refused.quarantine {
                Some(_) => of(Kind::UploadQuarantined).upload_refused(refused),
                None => of(Kind::UploadRefused).upload_refused(refused),
            },
            Event::UploadRefusedLate(refused) => {
                of(Kind::UploadRefusedLate).upload_refused(refused)
            }
            // The contract has no word for it.
            Event::FaultPassed { .. } => return,
            Event::Faulted {
                operation,
                path,
                upload,
                fault,
            } => {
                let about = |kind| Record {
                    path: path.map(|path| path.as_str().to_owned()),
                    size: upload.map(|upload| upload.bytes),
                    ..of(kind)
                        .fault(fault)
                        .sha256(upload.and_then(|upload| upload.sha256))
                };
                self.tell(&about(Kind::Fault).operation(operation));
                match upload {
                    Some(_) => about(Kind::UploadRefused),
                    None => return,
                }
            }
        };
        self.tell(&record);
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
        }
    }
}
