//! Things that happen in a session are told once, here: each has a line in the log, and an event for
//! the listeners.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, LazyLock},
};

use super::{errors, transfer::Ended};
use crate::{
    data::{Dropped, Observer, download::PumpError},
    ftp::{path::VirtualPath, reply::Reply},
    gate::{
        Fault, SessionInfo,
        events::{Event, EventKind, Events},
        session::line,
        upload::Refusal,
    },
    observe::Rate,
    storage::Error,
    tls,
};

static REFUSED: LazyLock<Arc<Rate>> =
    LazyLock::new(|| Rate::of_users("more operations were refused"));
static BROKEN: LazyLock<Arc<Rate>> = LazyLock::new(|| Rate::of_users("more transfers broke off"));
static STRANGERS: LazyLock<Arc<Rate>> =
    LazyLock::new(|| Rate::new("more data connections were dropped"));
static NO_DATA: LazyLock<Arc<Rate>> =
    LazyLock::new(|| Rate::of_users("more transfers had no data connection"));

/// A transfer's name in lines and events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Upload,
    Download,
    List,
}

impl Operation {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
            Self::List => "list",
        }
    }

    /// Whether an operation of that name is a transfer.
    fn is(name: &str) -> bool {
        let all = [Self::Upload, Self::Download, Self::List];
        all.iter().any(|operation| operation.name() == name)
    }
}

/// Where things that happen in one session are told.
#[derive(Clone)]
pub(super) struct Journal {
    facts: Arc<SessionInfo>,
    events: Events,
    /// The file or directory that a data connection is for, once that is known.
    path: Option<VirtualPath>,
}

impl Observer for Journal {
    fn dropped(&self, from: SocketAddr, why: &Dropped) {
        // Anybody can cause these.
        if !STRANGERS.admits(from.ip()) {
            return;
        }
        let path = self.path.as_ref().map(VirtualPath::as_str);
        line!(warn, self.facts, path, %from, cause = why.to_string(), "a data connection was dropped");
        self.tell(EventKind::Denied, |event| {
            let mut event = event.operation("data-connection");
            event.path = path.map(str::to_owned);
            event.reason(format!("from {}: {why}", from.ip()))
        });
    }
}

/// A published upload.
pub(super) struct Stored<'a> {
    /// Where the client put it.
    pub(super) path: &'a VirtualPath,
    /// Where it is.
    pub(super) to: &'a VirtualPath,
    pub(super) bytes: u64,
    pub(super) sha256: Option<&'a str>,
    /// FIN alone has ended it.
    pub(super) unclosed: bool,
    /// Why not all have decided.
    pub(super) unjudged: Option<&'a str>,
}

/// A transfer that began, or was to begin, and did not end well.
pub(super) struct Broken<'a> {
    pub(super) operation: Operation,
    pub(super) path: Option<&'a VirtualPath>,
    /// Those that have moved, where that is known; of an upload, those that are kept.
    pub(super) bytes: Option<u64>,
    /// The reply.
    pub(super) code: u16,
    /// For people.
    pub(super) cause: &'a dyn fmt::Display,
    /// The one at fault.
    pub(super) fault: Whose,
}

/// The one at fault, which makes the line's level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The client's, or that of what is between.
    Client,
    /// The operator should do something, sometime.
    Operator,
    /// The operator should do something.
    System,
}

impl Whose {
    /// Of an error of the storage.
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::Io(_) => Self::System,
            Error::NoSpace | Error::Denied | Error::ReadOnly | Error::CrossDevice => Self::Operator,
            _ => Self::Client,
        }
    }
}

/// A line at the level that fits.
macro_rules! line_of {
    ($whose:expr, $facts:expr, $($fields:tt)*) => {
        match $whose {
            Whose::Client => line!(info, $facts, $($fields)*),
            Whose::Operator => line!(warn, $facts, $($fields)*),
            Whose::System => line!(error, $facts, $($fields)*),
        }
    };
}

impl Journal {
    pub(super) fn new(facts: Arc<SessionInfo>, events: Events) -> Self {
        Self {
            facts,
            events,
            path: None,
        }
    }

    /// The same for a data connection for `path`.
    pub(super) fn at(mut self, path: Option<VirtualPath>) -> Self {
        self.path = path;
        self
    }

    fn tell(&self, kind: EventKind, more: impl FnOnce(Event) -> Event) {
        self.events.emit(|| more(Event::of(kind, &self.facts)));
    }

    fn may(&self, rate: &Arc<Rate>) -> bool {
        rate.admits(self.facts.client.ip())
    }

    pub(super) fn stored(&self, stored: &Stored<'_>) {
        let Stored {
            path,
            to,
            bytes,
            sha256,
            unclosed,
            unjudged,
        } = *stored;
        line!(
            info,
            self.facts,
            path = to.as_str(),
            bytes,
            close_notify = unclosed.then_some(false),
            "stored"
        );
        self.tell(EventKind::Upload, |event| {
            let event = event.path(path).size(bytes).sha256(sha256);
            let event = match to == path {
                true => event,
                false => event.to(to),
            };
            let unclosed = unclosed.then_some("it ended without TLS close_notify");
            let reasons: Vec<&str> = unjudged.into_iter().chain(unclosed).collect();
            match reasons.is_empty() {
                false => event.reason(reasons.join("; ")),
                true => event,
            }
        });
    }

    pub(super) fn sent(&self, path: &VirtualPath, bytes: u64) {
        line!(info, self.facts, path = path.as_str(), bytes, "sent");
        self.tell(EventKind::Download, |event| event.path(path).size(bytes));
    }

    pub(super) fn directory_made(&self, path: &VirtualPath) {
        line!(info, self.facts, path = path.as_str(), "directory made");
        self.tell(EventKind::MakeDirectory, |event| event.path(path));
    }

    pub(super) fn directory_removed(&self, path: &VirtualPath) {
        line!(info, self.facts, path = path.as_str(), "directory removed");
        self.tell(EventKind::RemoveDirectory, |event| event.path(path));
    }

    pub(super) fn deleted(&self, path: &VirtualPath) {
        line!(info, self.facts, path = path.as_str(), "deleted");
        self.tell(EventKind::Delete, |event| event.path(path));
    }

    pub(super) fn renamed(&self, from: &VirtualPath, to: &VirtualPath) {
        line!(
            info,
            self.facts,
            from = from.as_str(),
            to = to.as_str(),
            "renamed"
        );
        self.tell(EventKind::Rename, |event| event.path(from).to(to));
    }

    pub(super) fn metadata_changed(&self, path: &VirtualPath) {
        line!(info, self.facts, path = path.as_str(), "metadata changed");
        self.tell(EventKind::ChangeMetadata, |event| event.path(path));
    }

    /// A limit of the account, or of the configuration, refuses an upload: 552.
    pub(super) fn over_limit(&self, path: Option<&VirtualPath>, bytes: Option<u64>, cause: &str) {
        let path = path.map(VirtualPath::as_str);
        if self.may(&REFUSED) {
            line!(
                info,
                self.facts,
                path,
                operation = "upload",
                bytes,
                cause,
                "refused"
            );
        }
        self.tell(EventKind::Denied, |event| {
            let mut event = event.operation("upload").reason(cause);
            event.path = path.map(str::to_owned);
            event.size = bytes;
            event
        });
    }

    /// The storage refuses an operation, or fails. Where there is nothing of that name, say, nobody needs
    /// to know.
    pub(super) fn storage(&self, operation: &'static str, path: &VirtualPath, error: &Error) {
        let (named, path) = (path, path.as_str());
        let whose = Whose::of(error);
        let known = matches!(error, Error::Quota);
        if whose == Whose::Client && !known {
            line!(
                debug,
                self.facts,
                path,
                operation,
                cause = error.to_string(),
                "not done"
            );
            return;
        }
        if self.may(&REFUSED) {
            match error {
                Error::Io(_) => {
                    line!(
                        error,
                        self.facts,
                        path,
                        operation,
                        cause = cause(error),
                        "the storage failed"
                    );
                }
                _ => line_of!(
                    whose,
                    self.facts,
                    path,
                    operation,
                    cause = cause(error),
                    "refused"
                ),
            }
        }
        let kind = match error {
            Error::Io(_) if Operation::is(operation) => EventKind::TransferFailed,
            // An event of its own is only for transfers.
            Error::Io(_) => return,
            _ => EventKind::Denied,
        };
        self.tell(kind, |event| {
            let event = event.path(named).operation(operation);
            event.reason(cause(error))
        });
    }

    /// A transfer broke off: 426, 451 and the like.
    pub(super) fn broken(&self, broken: &Broken<'_>) {
        let Broken {
            operation,
            path,
            bytes,
            code,
            cause,
            fault,
        } = *broken;
        if self.may(&BROKEN) {
            let path = path.map(VirtualPath::as_str);
            match operation {
                Operation::Upload => {
                    line_of!(
                        fault,
                        self.facts,
                        path,
                        bytes,
                        code,
                        cause = cause.to_string(),
                        "upload broken off"
                    );
                }
                Operation::Download => {
                    line_of!(
                        fault,
                        self.facts,
                        path,
                        bytes,
                        code,
                        cause = cause.to_string(),
                        "download broken off"
                    );
                }
                Operation::List => {
                    line_of!(
                        fault,
                        self.facts,
                        path,
                        bytes,
                        code,
                        cause = cause.to_string(),
                        "listing broken off"
                    );
                }
            }
        }
        self.failed(operation, path, bytes, cause);
    }

    /// The client asked for what cannot be, or in the wrong order.
    pub(super) fn not_done(&self, operation: &'static str, path: &VirtualPath, reply: &Reply) {
        let path = path.as_str();
        let (code, text) = (reply.code(), reply.text());
        line!(debug, self.facts, path, operation, code, text, "not done");
    }

    /// An upload that has come whole cannot be published.
    pub(super) fn not_published(&self, path: &VirtualPath, bytes: u64, error: &Error) {
        if !matches!(error, Error::Quota) && Whose::of(error) == Whose::Client {
            self.broken(&Broken {
                operation: Operation::Upload,
                path: Some(path),
                bytes: Some(bytes),
                code: errors::storage(error).code(),
                cause: &cause(error),
                fault: Whose::Client,
            });
        } else {
            self.storage(Operation::Upload.name(), path, error);
        }
    }

    /// A transfer whose pump broke.
    pub(super) fn pump(
        &self,
        operation: Operation,
        path: Option<&VirtualPath>,
        bytes: Option<u64>,
        error: &PumpError,
    ) {
        let (cause, fault) = match error {
            PumpError::Connection(error) => {
                let why = tls::errors::describe(error);
                (format!("the data connection broke: {why}"), Whose::Client)
            }
            PumpError::Storage(error) => (cause(error), Whose::of(error)),
        };
        self.broken(&Broken {
            operation,
            path,
            bytes,
            code: errors::pump(error).code(),
            cause: &cause,
            fault,
        });
    }

    /// A transfer that was ended, from outside or as nothing moved.
    pub(super) fn ended(
        &self,
        operation: Operation,
        path: Option<&VirtualPath>,
        bytes: Option<u64>,
        ended: Ended,
    ) {
        self.broken(&Broken {
            operation,
            path,
            bytes,
            code: ended.reply().code(),
            cause: &ended.cause(),
            fault: Whose::Client,
        });
    }

    /// There was no data connection for a transfer: 425, 522.
    pub(super) fn no_data(
        &self,
        operation: Operation,
        path: Option<&VirtualPath>,
        code: u16,
        cause: &dyn fmt::Display,
    ) {
        if self.may(&NO_DATA) {
            let name = operation.name();
            let shown = path.map(VirtualPath::as_str);
            line!(
                info,
                self.facts,
                path = shown,
                operation = name,
                code,
                cause = cause.to_string(),
                "no data connection"
            );
        }
        self.failed(operation, path, None, cause);
    }

    /// The server cannot listen for a data connection: 425.
    pub(super) fn no_port(&self, cause: &str) {
        if self.may(&NO_DATA) {
            line!(
                error,
                self.facts,
                cause,
                "cannot listen for a data connection"
            );
        }
        self.tell(EventKind::TransferFailed, |event| {
            event.operation("data-connection").reason(cause)
        });
    }

    fn failed(
        &self,
        operation: Operation,
        path: Option<&VirtualPath>,
        bytes: Option<u64>,
        cause: &dyn fmt::Display,
    ) {
        self.tell(EventKind::TransferFailed, |event| {
            let mut event = event.operation(operation.name()).reason(cause.to_string());
            event.path = path.map(|path| path.as_str().to_owned());
            event.size = bytes;
            event
        });
    }

    /// An inspector refused an upload, or could not decide; `kept` is its name in quarantine.
    pub(super) fn upload_refused(
        &self,
        path: &VirtualPath,
        bytes: u64,
        sha256: Option<&str>,
        refusal: &Refusal,
        kept: Option<&str>,
    ) {
        let event = |event: Event| event.path(path).size(bytes).sha256(sha256);
        match refusal {
            Refusal::Rejected(plugin, reason) => {
                line!(
                    warn,
                    self.facts,
                    path = path.as_str(),
                    bytes,
                    plugin = &**plugin,
                    reason = reason.as_str(),
                    "an upload was rejected"
                );
                self.tell(EventKind::UploadRefused, |it| {
                    event(it).plugin(plugin).reason(reason)
                });
            }
            Refusal::Quarantined(plugin, reason) => {
                line!(
                    warn,
                    self.facts,
                    path = path.as_str(),
                    bytes,
                    plugin = &**plugin,
                    reason = reason.as_str(),
                    file = kept,
                    "an upload was put into quarantine"
                );
                self.tell(EventKind::UploadQuarantined, |it| {
                    event(it).plugin(plugin).reason(reason)
                });
            }
            Refusal::Failed(fault) => {
                self.fault("upload", Some(path), fault, event);
                self.tell(EventKind::UploadRefused, |it| event(it).fault(fault));
            }
        }
    }

    /// An inspector refuses what had been published, as its verdict was late.
    pub(super) fn refused_late(
        &self,
        path: &VirtualPath,
        bytes: u64,
        sha256: Option<&str>,
        plugin: &str,
        reason: &str,
    ) {
        line!(
            error,
            self.facts,
            path = path.as_str(),
            bytes,
            plugin,
            reason,
            "the late verdict is: refused; the file can be seen"
        );
        self.tell(EventKind::UploadRefusedLate, |event| {
            let event = event.path(path).size(bytes).sha256(sha256);
            event.plugin(plugin).reason(reason)
        });
    }

    /// A plugin could not decide: all of it is in the log.
    pub(super) fn fault(
        &self,
        operation: &'static str,
        path: Option<&VirtualPath>,
        fault: &Fault,
        more: impl FnOnce(Event) -> Event,
    ) {
        line!(error, self.facts, path = path.map(VirtualPath::as_str), operation,
            plugin = %fault.plugin, kind = %fault.kind, error = fault.text.as_str(), "a plugin failed");
        self.tell(EventKind::Fault, |event| {
            more(event).fault(fault).operation(operation)
        });
    }
}

/// An error of the storage, for people who run it.
pub(super) fn cause(error: &Error) -> String {
    match error {
        Error::Io(error) => error.to_string(),
        Error::Denied => "the server's user may not do that there (file system)".to_owned(),
        Error::NoSpace => "the storage is full".to_owned(),
        Error::Quota => "the account's quota is exceeded".to_owned(),
        Error::ReadOnly => "the storage is mounted read-only".to_owned(),
        error => error.to_string(),
    }
}
