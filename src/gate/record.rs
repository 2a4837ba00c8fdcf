//! Events in the form of the contract: a JSON object each.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::{
    Fault, SessionInfo,
    event::{Event, TransferFailed, UploadRefused, Uploaded},
};
use crate::ftp::path::VirtualPath;

/// The contract's word for what has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
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
    /// Events were dropped, since this listener, or the disk, did not keep up.
    EventsDropped,
    /// A client connected.
    Connect,
    /// A client was not let in.
    ConnectionRefused,
    /// The connection of a client ended.
    Disconnect,
    /// The storage failed at an operation that is no transfer.
    StorageFailed,
    /// A plugin could not decide, and its configuration lets that pass.
    FaultPassed,
    /// An administrator did something.
    Administration,
}

impl Kind {
    /// Whether the contract has a word for it.
    pub(crate) fn is_for_listeners(self) -> bool {
        !matches!(
            self,
            Self::Connect
                | Self::ConnectionRefused
                | Self::Disconnect
                | Self::StorageFailed
                | Self::FaultPassed
                | Self::Administration
        )
    }
}

/// One event, as listeners get it. Fields that do not apply are left out.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Record {
    /// The kind of the event.
    pub(crate) event: Kind,
    /// When, RFC 3339 in UTC, with three digits of the second.
    #[serde(serialize_with = "as_text")]
    pub(crate) time: Timestamp,
    /// The session's name in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<String>,
    /// The client's IP address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client: Option<String>,
    /// The virtual host, unless it is the default one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<String>,
    /// The user's name; of a failed login, the one that was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    /// Within the user's tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    /// The other name of a rename, or where an accepted upload was put.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<String>,
    /// Bytes of the file, or those that were transferred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    /// The SHA-256 digest of an upload, where one was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
    /// The operation, where the event alone does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) operation: Option<&'static str>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// The plugin that decided, or failed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) plugin: Option<String>,
    /// How long a transfer, or a connection, took: seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seconds: Option<f64>,
    /// Of administration, who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
    /// Of administration, the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<String>,
    /// Of administration, whether it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<&'static str>,
    /// Of dropped events, how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) count: Option<u64>,
}

impl Record {
    /// Something that happened now.
    pub(crate) fn new(event: Kind) -> Self {
        let now = Timestamp::try_from(SystemTime::now()).unwrap_or_default();
        Self {
            event,
            time: now,
            session: None,
            client: None,
            host: None,
            user: None,
            path: None,
            to: None,
            size: None,
            sha256: None,
            operation: None,
            reason: None,
            plugin: None,
            seconds: None,
            by: None,
            action: None,
            outcome: None,
            count: None,
        }
    }

    /// The records of an event in a session: one, but for the fault that refuses an upload.
    pub(crate) fn each(session: &SessionInfo, event: &Event<'_>, mut tell: impl FnMut(Record)) {
        let of = |kind| Record::of(kind, session);
        let record = match *event {
            Event::Connected => of(Kind::Connect),
            Event::ConnectionRefused { cause } => of(Kind::ConnectionRefused).reason(cause),
            // Its transfer has a record, and so has an answer that refuses something.
            Event::DataConnectionOpened { .. } | Event::Asked(_) => return,
            Event::Disconnected { lasted } => of(Kind::Disconnect).lasted(lasted),
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
            Event::Downloaded {
                path,
                bytes,
                lasted,
            } => of(Kind::Download).path(path).size(bytes).lasted(lasted),
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
                true => of(Kind::TransferFailed),
                false => of(Kind::StorageFailed),
            }
            .path(path)
            .operation(operation)
            .reason(cause),
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
            Event::FaultPassed { path, fault, .. } => Record {
                path: path.map(|path| path.as_str().to_owned()),
                ..of(Kind::FaultPassed).fault(fault)
            },
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
                tell(about(Kind::Fault).operation(operation));
                match upload {
                    Some(_) => about(Kind::UploadRefused),
                    None => return,
                }
            }
        };
        tell(record);
    }

    /// Something that an administrator did.
    pub(crate) fn administration(by: &str, action: &str, outcome: Result<&str, &str>) -> Self {
        let (done, text) = match outcome {
            Ok(text) => ("done", text),
            Err(text) => ("refused", text),
        };
        Self {
            by: Some(by.to_owned()),
            action: Some(action.to_owned()),
            outcome: Some(done),
            ..Self::new(Kind::Administration).reason(text)
        }
    }

    /// Something that happened in a session.
    pub(crate) fn of(event: Kind, session: &SessionInfo) -> Self {
        Self {
            session: (!session.id.is_empty()).then(|| session.id.as_ref().into()),
            client: Some(session.client.ip().to_string()),
            host: session.virtual_host.name().map(str::to_owned),
            user: session.user.as_deref().map(str::to_owned),
            ..Self::new(event)
        }
    }

    /// The same with a path.
    pub(crate) fn path(mut self, path: &VirtualPath) -> Self {
        self.path = Some(path.as_str().to_owned());
        self
    }

    /// The same with the other path.
    pub(crate) fn to(mut self, path: &VirtualPath) -> Self {
        self.to = Some(path.as_str().to_owned());
        self
    }

    /// The same with a number of bytes.
    pub(crate) fn size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }

    /// The same with the time that it took.
    pub(crate) fn lasted(mut self, lasted: Duration) -> Self {
        self.seconds = Some(seconds(lasted));
        self
    }

    /// The same with a digest, if there is one.
    pub(crate) fn sha256(mut self, digest: Option<&str>) -> Self {
        self.sha256 = digest.map(str::to_owned);
        self
    }

    /// The same with a reason.
    pub(crate) fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// The same with the plugin that decided.
    pub(crate) fn plugin(mut self, plugin: &str) -> Self {
        self.plugin = Some(plugin.into());
        self
    }

    /// The same with the plugin that could not decide, and why.
    pub(crate) fn fault(self, fault: &Fault) -> Self {
        let reason = format!("{}: {}", fault.kind, fault.text);
        self.plugin(&fault.plugin).reason(reason)
    }

    /// The same with what was done.
    pub(crate) fn operation(mut self, operation: &'static str) -> Self {
        self.operation = Some(operation);
        self
    }

    pub(crate) fn uploaded(self, uploaded: &Uploaded<'_>) -> Self {
        let record = self.path(uploaded.path).size(uploaded.bytes);
        let record = record.sha256(uploaded.sha256).lasted(uploaded.lasted);
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

    pub(crate) fn upload_refused(self, refused: &UploadRefused<'_>) -> Self {
        let record = self.path(refused.path).size(refused.bytes);
        let record = record.sha256(refused.sha256);
        record.plugin(refused.plugin).reason(refused.reason)
    }

    pub(crate) fn transfer_failed(self, failed: &TransferFailed<'_>) -> Self {
        Self {
            path: failed.path.map(|path| path.as_str().to_owned()),
            size: failed.bytes,
            seconds: Some(seconds(failed.lasted)),
            ..self
                .operation(failed.transfer.name())
                .reason(failed.cause.to_string())
        }
    }

    pub(crate) fn line(&self) -> String {
        // Nothing in it fails to serialise.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn as_text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.3}"))
}

/// To the millisecond.
fn seconds(lasted: Duration) -> f64 {
    (lasted.as_secs_f64() * 1000.0).round() / 1000.0
}
