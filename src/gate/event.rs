//! Everything in a session that somebody may want to know of, and who hears of it.
//!
//! A session emits each event once. The log, the plugins that listen, and whoever else keeps or counts
//! something, are [`Observer`]s of it, and none knows of the others.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use super::{Fault, SessionInfo};
use crate::ftp::path::VirtualPath;

/// Hears of events. Called within the session, so that it must not wait: what takes time is done elsewhere,
/// with what was copied of the event.
pub trait Observer: Send + Sync {
    /// Something has happened in `session`.
    fn observe(&self, session: &SessionInfo, event: &Event<'_>);
}

/// All who observe. Cheap to clone.
#[derive(Clone, Default)]
pub struct Observers(Arc<[Arc<dyn Observer>]>);

impl Observers {
    /// These, in this order.
    #[must_use]
    pub fn new(all: Vec<Arc<dyn Observer>>) -> Self {
        Self(all.into())
    }

    /// Tells all of them.
    pub fn emit(&self, session: &SessionInfo, event: &Event<'_>) {
        for observer in self.0.iter() {
            observer.observe(session, event);
        }
    }
}

/// Something that has happened.
#[derive(Clone, Copy)]
pub enum Event<'a> {
    /// A client has connected, and is to be served.
    Connected,
    /// A client was not let in.
    ConnectionRefused {
        /// Why.
        cause: &'a str,
    },
    /// The connection of a client that was let in has ended.
    Disconnected {
        /// How long it lasted.
        lasted: Duration,
    },
    /// A user has logged in.
    LoggedIn {
        /// The authenticator that accepted.
        plugin: &'a str,
        /// The user's home, in its storage.
        home: &'a VirtualPath,
        /// How long it took, the wait for the turn included.
        lasted: Duration,
    },
    /// An attempt to log in was refused.
    LoginFailed {
        /// Why, for people; the client is not told.
        reason: &'a str,
        /// How many have failed in this session.
        attempt: u32,
        /// How long it took, the wait for the turn included.
        lasted: Duration,
    },
    /// A login was right by what is no longer in force.
    LoginOutdated {
        /// The change.
        cause: &'a str,
    },
    /// The session of a user ended, however that came about.
    LoggedOut {
        /// Why the server ended it, if it did.
        reason: Option<&'a str>,
    },
    /// An upload was accepted and published.
    Uploaded(&'a Uploaded<'a>),
    /// A person has published an upload from quarantine.
    Released {
        /// Where, in the user's tree.
        path: &'a str,
        /// Its length.
        bytes: u64,
        /// Its digest, if one was made.
        sha256: Option<&'a str>,
        /// The plugin that had put it there.
        plugin: &'a str,
    },
    /// A file was sent to its end.
    Downloaded {
        /// The file.
        path: &'a VirtualPath,
        /// Those that were sent.
        bytes: u64,
        /// How long it took.
        lasted: Duration,
    },
    /// A directory was made.
    DirectoryMade {
        /// The directory.
        path: &'a VirtualPath,
    },
    /// A directory was removed.
    DirectoryRemoved {
        /// The directory.
        path: &'a VirtualPath,
    },
    /// A file was removed.
    Deleted {
        /// The file.
        path: &'a VirtualPath,
    },
    /// A file or directory has another name.
    Renamed {
        /// The old name.
        from: &'a VirtualPath,
        /// The new one.
        to: &'a VirtualPath,
    },
    /// A mode or a time was changed.
    MetadataChanged {
        /// Of this file or directory.
        path: &'a VirtualPath,
    },
    /// The account or a guard refuses an operation.
    Denied {
        /// The contract's word for it.
        operation: &'static str,
        /// The path of the operation.
        path: &'a VirtualPath,
        /// None where it is to look as if nothing were there.
        reason: Option<&'a str>,
    },
    /// A limit, a quota or the storage refuses an operation.
    Refused(&'a Refused<'a>),
    /// The storage failed at an operation that is no transfer under way.
    StorageFailed {
        /// The contract's word for it.
        operation: &'static str,
        /// Whether a transfer was to begin.
        transfer: bool,
        /// The path of the operation.
        path: &'a VirtualPath,
        /// The system's error.
        cause: &'a str,
    },
    /// A transfer broke off, or had no data connection.
    TransferFailed(&'a TransferFailed<'a>),
    /// The server could not listen for a data connection.
    NoPort {
        /// Why.
        cause: &'a str,
    },
    /// A data connection stands, and its transfer begins.
    DataConnectionOpened {
        /// Whether its TLS resumed that of the session; none in the clear.
        resumed: Option<bool>,
    },
    /// A data connection was dropped, and the wait for the right one goes on.
    DataConnectionDropped {
        /// The other end.
        from: SocketAddr,
        /// The path of the transfer, where that is known.
        path: Option<&'a VirtualPath>,
        /// Why.
        cause: &'a dyn fmt::Display,
    },
    /// An inspector refused an upload: nobody has seen it.
    UploadRefused(&'a UploadRefused<'a>),
    /// An inspector refuses what had been published, as its verdict was late.
    UploadRefusedLate(&'a UploadRefused<'a>),
    /// A plugin was asked, and has answered or not.
    Asked(&'a Asked<'a>),
    /// A plugin could not decide.
    Faulted {
        /// The operation that it was to decide.
        operation: &'static str,
        /// The path that it was asked about, if any.
        path: Option<&'a VirtualPath>,
        /// The upload that is refused for it.
        upload: Option<&'a UndecidedUpload<'a>>,
        /// The fault.
        fault: &'a Fault,
    },
    /// A plugin could not decide, and its configuration lets that pass.
    FaultPassed {
        /// The kind of the plugin.
        kind: &'static str,
        /// The path that it was asked about, if that is one.
        path: Option<&'a VirtualPath>,
        /// The fault.
        fault: &'a Fault,
    },
}

/// One question to a plugin; about a listing, all of its entries.
pub struct Asked<'a> {
    /// The plugin's name.
    pub plugin: &'a str,
    /// The kind of the plugin.
    pub kind: &'static str,
    /// The contract's word for what was to be decided.
    pub operation: &'static str,
    /// The path of the question, or of the first of them.
    pub path: Option<&'a VirtualPath>,
    /// How long the answer took, from end to end.
    pub lasted: Duration,
    /// The answer.
    pub answer: Answer<'a>,
}

/// A plugin's answer, as far as it is the same for all kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// An answer of its kind: in the contract's word.
    Decided(&'static str),
    /// None that counts.
    Failed(&'a Fault),
}

/// An upload that was published.
pub struct Uploaded<'a> {
    /// Where the client put it.
    pub path: &'a VirtualPath,
    /// Where it is.
    pub to: &'a VirtualPath,
    /// Its length.
    pub bytes: u64,
    /// Its digest, if one was made.
    pub sha256: Option<&'a str>,
    /// FIN alone has ended it.
    pub unclosed: bool,
    /// Why not all have decided.
    pub unjudged: Option<&'a str>,
    /// How long it took, the verdict included.
    pub lasted: Duration,
}

/// An operation that was refused by other than a guard.
pub struct Refused<'a> {
    /// The contract's word for it.
    pub operation: &'static str,
    /// The path of the operation.
    pub path: Option<&'a VirtualPath>,
    /// Of an upload, how long it was to be.
    pub bytes: Option<u64>,
    /// Why.
    pub cause: &'a str,
    /// The side that could do something about it.
    pub blame: Blame,
}

/// A transfer that began, or was to begin, and did not end well.
pub struct TransferFailed<'a> {
    /// Which way the bytes were to go.
    pub transfer: Transfer,
    /// The file or directory.
    pub path: Option<&'a VirtualPath>,
    /// Those that have moved, where that is known; of an upload, those that are kept.
    pub bytes: Option<u64>,
    /// The reply.
    pub code: u16,
    /// For people.
    pub cause: &'a dyn fmt::Display,
    /// The side that could do something about it.
    pub blame: Blame,
    /// Whether there was a data connection.
    pub connected: bool,
    /// How long it went on.
    pub lasted: Duration,
}

/// An upload that was refused by an inspector.
pub struct UploadRefused<'a> {
    /// Where the client wanted to put it.
    pub path: &'a VirtualPath,
    /// Those that have come.
    pub bytes: u64,
    /// The digest of a whole upload, if one was made.
    pub sha256: Option<&'a str>,
    /// The inspector.
    pub plugin: &'a str,
    /// Why.
    pub reason: &'a str,
    /// Whether it is for a person to look at; its name in quarantine, if that could be done.
    pub quarantine: Option<Option<&'a str>>,
    /// How long it took, the verdict included.
    pub lasted: Duration,
}

/// An upload about which nobody could decide.
pub struct UndecidedUpload<'a> {
    /// Those that have come.
    pub bytes: u64,
    /// The digest of a whole upload, if one was made.
    pub sha256: Option<&'a str>,
    /// How long it took.
    pub lasted: Duration,
}

/// A kind of transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// STOR, APPE, STOU.
    Upload,
    /// RETR.
    Download,
    /// LIST, NLST, MLSD.
    List,
}

impl Transfer {
    /// The contract's word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
            Self::List => "list",
        }
    }

    /// Whether an operation of that name is a transfer.
    #[must_use]
    pub fn is(name: &str) -> bool {
        let all = [Self::Upload, Self::Download, Self::List];
        all.iter().any(|transfer| transfer.name() == name)
    }
}

/// The side that could do something about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The client, or who keeps what is between.
    Client,
    /// The operator should, sometime.
    Operator,
    /// The operator should.
    System,
}
