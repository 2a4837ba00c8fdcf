//! The replies to the client when something fails: one place for all verbs.

use super::journal::Journal;
use crate::{
    data::download::PumpError,
    ftp::{path::VirtualPath, reply::Reply},
    gate::{path_policy, upload},
    open_files,
    storage::Error,
};

/// The part of an operation that failed on the way: the storage, or the gate before it.
#[derive(Debug)]
pub enum Failure {
    /// The storage.
    Storage(Error),
    /// The path policy.
    Policy(path_policy::Refusal),
    /// A limit of the account or of the configuration, its reply ready.
    OverLimit {
        /// 552.
        reply: Reply,
        /// The bytes that are too many, where that is known.
        bytes: Option<u64>,
    },
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

/// The operation that failed, as it is told.
pub(super) struct At<'a> {
    /// Where it is told.
    pub(super) journal: &'a Journal,
    /// The contract's word for it.
    pub(super) operation: &'static str,
    /// As the client may know it.
    pub(super) path: &'a VirtualPath,
}

impl Failure {
    /// The reply; the log and the listeners hear of it where somebody should know. A policy has told
    /// of its refusals itself.
    #[must_use]
    pub(super) fn reply(self, at: &At<'_>) -> Reply {
        match self {
            Self::Storage(error) => {
                at.journal.storage(at.operation, at.path, &error);
                storage(&error)
            }
            Self::Policy(refusal) => policy(&refusal),
            Self::OverLimit { reply, bytes } => {
                at.journal.over_limit(Some(at.path), bytes, reply.text());
                reply
            }
            Self::Reply(reply) => {
                at.journal.not_done(at.operation, at.path, &reply);
                reply
            }
        }
    }
}

/// RFC 959 §5.4: 4xx where a later attempt may succeed, 5xx where it may not.
#[must_use]
pub fn storage(error: &Error) -> Reply {
    let code = match error {
        Error::NoSpace | Error::Bound(_) => 452,
        Error::Quota | Error::QuotaFiles => 552,
        Error::NameTooLong | Error::Reserved => 553,
        Error::Busy | Error::Changed => 450,
        Error::Offset { .. } => 554,
        Error::Unsupported => 504,
        Error::OpenFiles => {
            open_files::complain("a file could not be opened");
            451
        }
        Error::Io(_) => return Reply::new(451, "Local error in processing"),
        _ => 550,
    };
    Reply::new(code, error.to_string())
}

/// A broken pump.
#[must_use]
pub fn pump(error: &PumpError) -> Reply {
    match error {
        PumpError::Connection(_) => Reply::new(426, "The data connection broke, transfer aborted"),
        PumpError::Storage(error) => {
            let reply = storage(error);
            // The transfer has begun: what is left of the 5xx is that it did not end well.
            match reply.code() {
                550 => Reply::new(451, error.to_string()),
                _ => reply,
            }
        }
    }
}

/// A veto is final, a fault is not; what is hidden looks like what is not there.
#[must_use]
pub fn policy(refusal: &path_policy::Refusal) -> Reply {
    match refusal {
        path_policy::Refusal::Denied(reason) if reason.is_empty() => {
            Reply::new(550, "Permission denied")
        }
        path_policy::Refusal::Denied(reason) => Reply::new(550, format!("Refused: {reason}")),
        path_policy::Refusal::Hidden => Reply::new(550, Error::NotFound.to_string()),
        path_policy::Refusal::Failed(_) => undecided(),
    }
}

/// Why an upload is not seen.
#[must_use]
pub fn upload(refusal: &upload::Refusal) -> Reply {
    match refusal {
        upload::Refusal::Rejected(_, reason) | upload::Refusal::Quarantined(_, reason) => {
            Reply::new(550, format!("Upload refused: {reason}"))
        }
        upload::Refusal::Failed(_) => undecided(),
    }
}

fn undecided() -> Reply {
    Reply::new(
        451,
        "A check is not available at the moment, try again later",
    )
}
