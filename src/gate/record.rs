//! Events in the form of the contract: a JSON object each.

use std::time::SystemTime;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::{
    Fault, SessionInfo,
    event::{TransferFailed, UploadRefused, Uploaded},
};
use crate::ftp::path::VirtualPath;

/// The contract's word for what has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
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
pub(super) struct Record {
    /// The kind of the event.
    pub(super) event: Kind,
    /// When, RFC 3339 in UTC.
    #[serde(serialize_with = "as_text")]
    pub(super) time: Timestamp,
    /// The session's name in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session: Option<String>,
    /// The client's IP address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client: Option<String>,
    /// The user's name; of a failed login, the one that was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
    /// Within the user's tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
    /// The other name of a rename, or where an accepted upload was put.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<String>,
    /// Bytes of the file, or those that were transferred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    /// The SHA-256 digest of an upload, where one was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sha256: Option<String>,
    /// The operation, where the event alone does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) operation: Option<&'static str>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// The plugin that decided, or failed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) plugin: Option<String>,
    /// Of dropped events, how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) count: Option<u64>,
}

impl Record {
    /// Something that happened now.
    pub(super) fn new(event: Kind) -> Self {
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
    pub(super) fn of(event: Kind, session: &SessionInfo) -> Self {
        Self {
            session: Some(session.id.as_ref().into()),
            client: Some(session.client.ip().to_string()),
            user: session.user.as_deref().map(str::to_owned),
            ..Self::new(event)
        }
    }

    /// The same with a path.
    pub(super) fn path(mut self, path: &VirtualPath) -> Self {
        self.path = Some(path.as_str().to_owned());
        self
    }

    /// The same with the other path.
    pub(super) fn to(mut self, path: &VirtualPath) -> Self {
        self.to = Some(path.as_str().to_owned());
        self
    }

    /// The same with a number of bytes.
    pub(super) fn size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }

    /// The same with a digest, if there is one.
    pub(super) fn sha256(mut self, digest: Option<&str>) -> Self {
        self.sha256 = digest.map(str::to_owned);
        self
    }

    /// The same with a reason.
    pub(super) fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// The same with the plugin that decided.
    pub(super) fn plugin(mut self, plugin: &str) -> Self {
        self.plugin = Some(plugin.into());
        self
    }

    /// The same with the plugin that could not decide, and why.
    pub(super) fn fault(self, fault: &Fault) -> Self {
        let reason = format!("{}: {}", fault.kind, fault.text);
        self.plugin(&fault.plugin).reason(reason)
    }

    /// The same with what was done.
    pub(super) fn operation(mut self, operation: &'static str) -> Self {
        self.operation = Some(operation);
        self
    }

    pub(super) fn uploaded(self, uploaded: &Uploaded<'_>) -> Self {
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

    pub(super) fn upload_refused(self, refused: &UploadRefused<'_>) -> Self {
        let record = self.path(refused.path).size(refused.bytes);
        let record = record.sha256(refused.sha256);
        record.plugin(refused.plugin).reason(refused.reason)
    }

    pub(super) fn transfer_failed(self, failed: &TransferFailed<'_>) -> Self {
        Self {
            path: failed.path.map(|path| path.as_str().to_owned()),
            size: failed.bytes,
            ..self
                .operation(failed.transfer.name())
                .reason(failed.cause.to_string())
        }
    }

    pub(super) fn line(&self) -> String {
        // Nothing in it fails to serialise.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn as_text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}
