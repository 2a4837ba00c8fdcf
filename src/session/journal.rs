//! Where a session's work meets its [events](Event): how errors of the storage, of pumps and of data
//! connections are told.

use std::{
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{errors, transfer::Ended};
pub(super) use crate::gate::event::{Blame, Transfer as Operation, Uploaded as Stored};
use crate::{
    data::{DropReporter, Dropped, download::PumpError},
    ftp::{path::VirtualPath, reply::Reply},
    gate::{
        Fault, SessionInfo,
        event::{Event, Observers, Refused, TransferFailed, UndecidedUpload, UploadRefused},
        session::line,
        upload::Refusal,
    },
    storage::Error,
    tls,
};

/// Where things that happen in one session are told.
#[derive(Clone)]
pub(super) struct Journal {
    facts: Arc<SessionInfo>,
    observers: Observers,
    /// The file or directory that a data connection is for, once that is known.
    path: Option<VirtualPath>,
    /// When the command began.
    begun: Instant,
}

impl DropReporter for Journal {
    fn dropped(&self, from: SocketAddr, why: &Dropped) {
        self.emit(&Event::DataConnectionDropped {
            from,
            path: self.path.as_ref(),
            cause: why,
        });
    }
}

/// A transfer that broke off.
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
    pub(super) fault: Blame,
}

/// The side that could do something about an error of the storage.
pub(super) fn blame(error: &Error) -> Blame {
    match error {
        Error::Io(_) => Blame::System,
        Error::NoSpace | Error::Bound(_) | Error::Denied | Error::ReadOnly | Error::CrossDevice => {
            Blame::Operator
        }
        _ => Blame::Client,
    }
}

impl Journal {
    pub(super) fn new(facts: Arc<SessionInfo>, observers: Observers) -> Self {
        Self {
            facts,
            observers,
            path: None,
            begun: Instant::now(),
        }
    }

    /// The same for a data connection for `path`.
    pub(super) fn at(mut self, path: Option<VirtualPath>) -> Self {
        self.path = path;
        self
    }

    /// How long the command has gone on.
    pub(super) fn lasted(&self) -> Duration {
        self.begun.elapsed()
    }

    /// All who observe.
    pub(super) fn observers(&self) -> &Observers {
        &self.observers
    }

    /// Tells all who observe.
    pub(super) fn emit(&self, event: &Event<'_>) {
        self.observers.emit(&self.facts, event);
    }

    /// A limit of the account, or of the configuration, refuses an upload: 552.
    pub(super) fn over_limit(&self, path: Option<&VirtualPath>, bytes: Option<u64>, cause: &str) {
        self.emit(&Event::Refused(&Refused {
            operation: Operation::Upload.name(),
            path,
            bytes,
            cause,
            blame: Blame::Client,
        }));
    }

    /// The storage refuses an operation, or fails. Where there is nothing of that name, say, nobody needs
    /// to know.
    pub(super) fn storage(&self, operation: &'static str, path: &VirtualPath, error: &Error) {
        let (blame, cause) = (blame(error), &*cause(error));
        let known = matches!(error, Error::Quota | Error::QuotaFiles);
        if blame == Blame::Client && !known {
            let path = path.as_str();
            line!(debug, self.facts, path, operation, cause, "not done");
            return;
        }
        let refused = Refused {
            operation,
            path: Some(path),
            bytes: None,
            cause,
            blame,
        };
        let failed = Event::StorageFailed {
            operation,
            transfer: Operation::is(operation),
            path,
            cause,
        };
        self.emit(&match error {
            Error::Io(_) => failed,
            _ => Event::Refused(&refused),
        });
    }

    /// A transfer broke off: 426, 451 and the like.
    pub(super) fn broken(&self, broken: &Broken<'_>) {
        self.emit(&Event::TransferFailed(&TransferFailed {
            transfer: broken.operation,
            path: broken.path,
            bytes: broken.bytes,
            code: broken.code,
            cause: broken.cause,
            blame: broken.fault,
            connected: true,
            lasted: self.lasted(),
        }));
    }

    /// The client asked for what cannot be, or in the wrong order.
    pub(super) fn not_done(&self, operation: &'static str, path: &VirtualPath, reply: &Reply) {
        let path = path.as_str();
        let (code, text) = (reply.code(), reply.text());
        line!(debug, self.facts, path, operation, code, text, "not done");
    }

    /// An upload that has come whole cannot be published.
    pub(super) fn not_published(&self, path: &VirtualPath, bytes: u64, error: &Error) {
        if !matches!(error, Error::Quota | Error::QuotaFiles) && blame(error) == Blame::Client {
            self.broken(&Broken {
                operation: Operation::Upload,
                path: Some(path),
                bytes: Some(bytes),
                code: errors::storage(error).code(),
                cause: &cause(error),
                fault: Blame::Client,
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
                (format!("the data connection broke: {why}"), Blame::Client)
            }
            PumpError::Storage(error) => (cause(error), blame(error)),
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
            fault: Blame::Client,
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
        self.emit(&Event::TransferFailed(&TransferFailed {
            transfer: operation,
            path,
            bytes: None,
            code,
            cause,
            blame: Blame::Client,
            connected: false,
            lasted: self.lasted(),
        }));
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
        let (plugin, reason, quarantine) = match refusal {
            Refusal::Rejected(plugin, reason) => (plugin, reason, None),
            Refusal::Quarantined(plugin, reason) => (plugin, reason, Some(kept)),
            Refusal::Failed(fault) => {
                return self.emit(&Event::Faulted {
                    operation: Operation::Upload.name(),
                    path: Some(path),
                    upload: Some(&UndecidedUpload {
                        bytes,
                        sha256,
                        lasted: self.lasted(),
                    }),
                    fault,
                });
            }
        };
        self.emit(&Event::UploadRefused(&UploadRefused {
            path,
            bytes,
            sha256,
            plugin,
            reason,
            quarantine,
            lasted: self.lasted(),
        }));
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
        self.emit(&Event::UploadRefusedLate(&UploadRefused {
            path,
            bytes,
            sha256,
            plugin,
            reason,
            quarantine: None,
            lasted: self.lasted(),
        }));
    }

    /// A plugin could not decide: all of it is in the log.
    pub(super) fn fault(&self, operation: &'static str, fault: &Fault) {
        self.emit(&Event::Faulted {
            operation,
            path: None,
            upload: None,
            fault,
        });
    }
}

/// An error of the storage, for people who run it.
pub(super) fn cause(error: &Error) -> String {
    match error {
        Error::Io(error) => error.to_string(),
        Error::Denied => "the server's user may not do that there (file system)".to_owned(),
        Error::NoSpace => "the storage is full".to_owned(),
        Error::Bound(key) => format!("`{key}` of the storage is reached"),
        Error::Quota => "the account's quota is exceeded".to_owned(),
        Error::QuotaFiles => "the account's quota of files is exceeded".to_owned(),
        Error::ReadOnly => "the storage is mounted read-only".to_owned(),
        error => error.to_string(),
    }
}
