//! What the client hears when something fails: one place for all verbs.

use crate::{
    ftp::reply::Reply,
    gate::{path_policy, upload},
    open_files,
    storage::Error,
};

/// What of an operation failed on the way: the storage, or the gate before it.
#[derive(Debug)]
pub enum Failure {
    /// The storage.
    Storage(Error),
    /// The path policy.
    Policy(path_policy::Refusal),
    /// Anything else, its reply ready.
    Reply(Reply),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Storage(error)
    }
}

impl From<path_policy::Refusal> for Failure {
    fn from(refusal: path_policy::Refusal) -> Self {
        Self::Policy(refusal)
    }
}

impl From<Reply> for Failure {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

impl Failure {
    /// The reply, and a line in the log where an operator should know.
    #[must_use]
    pub fn reply(self, session: &str) -> Reply {
        match self {
            Self::Storage(error) => storage(&error, session),
            Self::Policy(refusal) => policy(&refusal, session),
            Self::Reply(reply) => reply,
        }
    }
}

/// RFC 959 §5.4: 4xx where a later attempt may succeed, 5xx where it may not.
#[must_use]
pub fn storage(error: &Error, session: &str) -> Reply {
    let code = match error {
        Error::NoSpace => 452,
        Error::Quota => 552,
        Error::NameTooLong | Error::Reserved => 553,
        Error::Busy | Error::Changed => 450,
        Error::Offset { .. } => 554,
        Error::Unsupported => 504,
        Error::OpenFiles => {
            open_files::complain("a file could not be opened");
            451
        }
        Error::Io(io) => {
            tracing::error!(session, error = %io, "the storage failed");
            return Reply::new(451, "Local error in processing");
        }
        _ => 550,
    };
    Reply::new(code, error.to_string())
}

/// A veto is final, a fault is not; what is hidden looks like what is not there.
#[must_use]
pub fn policy(refusal: &path_policy::Refusal, session: &str) -> Reply {
    match refusal {
        path_policy::Refusal::Denied(reason) if reason.is_empty() => {
            Reply::new(550, "Permission denied")
        }
        path_policy::Refusal::Denied(reason) => Reply::new(550, format!("Refused: {reason}")),
        path_policy::Refusal::Hidden => Reply::new(550, Error::NotFound.to_string()),
        path_policy::Refusal::Failed(fault) => fault_reply(fault, session),
    }
}

/// Why an upload is not seen.
#[must_use]
pub fn upload(refusal: &upload::Refusal, session: &str) -> Reply {
    match refusal {
        upload::Refusal::Rejected(plugin, reason) => {
            tracing::warn!(session, plugin = %plugin, reason = reason.as_str(), "an upload was rejected");
            Reply::new(550, format!("Upload refused: {reason}"))
        }
        upload::Refusal::Quarantined(plugin, reason) => {
            tracing::warn!(session, plugin = %plugin, reason = reason.as_str(), "an upload was put into quarantine");
            Reply::new(550, format!("Upload refused: {reason}"))
        }
        upload::Refusal::Failed(fault) => fault_reply(fault, session),
    }
}

fn fault_reply(fault: &crate::gate::Fault, session: &str) -> Reply {
    log_fault(fault, session);
    Reply::new(
        451,
        "A check is not available at the moment, try again later",
    )
}

/// A plugin's fault in the log, whole.
pub fn log_fault(fault: &crate::gate::Fault, session: &str) {
    tracing::error!(session, plugin = %fault.plugin, kind = %fault.kind, error = fault.text.as_str(),
        "a plugin failed");
}
