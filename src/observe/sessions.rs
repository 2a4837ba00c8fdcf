//! The log of what happens in sessions: a line for each event, and a few a second for those that
//! strangers, or users, can cause at will.

use std::sync::{Arc, LazyLock};

use super::Rate;
use crate::gate::{
    SessionInfo,
    event::{Blame, Event, Observer, Refused, Transfer, TransferFailed, UploadRefused},
    session::line,
};

static FAILED: LazyLock<Arc<Rate>> = LazyLock::new(|| Rate::new("more logins failed"));
static STRANGERS: LazyLock<Arc<Rate>> =
    LazyLock::new(|| Rate::new("more data connections were dropped"));
static DENIED: LazyLock<Arc<Rate>> =
    LazyLock::new(|| Rate::of_users("more operations were denied"));
static REFUSED: LazyLock<Arc<Rate>> =
    LazyLock::new(|| Rate::of_users("more operations were refused"));
static BROKEN: LazyLock<Arc<Rate>> = LazyLock::new(|| Rate::of_users("more transfers broke off"));
static NO_DATA: LazyLock<Arc<Rate>> =
    LazyLock::new(|| Rate::of_users("more transfers had no data connection"));

/// A line at the level that fits.
macro_rules! line_of {
    ($blame:expr, $info:expr, $($fields:tt)*) => {
        match $blame {
            Blame::Client => line!(info, $info, $($fields)*),
            Blame::Operator => line!(warn, $info, $($fields)*),
            Blame::System => line!(error, $info, $($fields)*),
        }
    };
}

/// Writes the lines.
pub struct SessionLog;

impl Observer for SessionLog {
    fn observe(&self, info: &SessionInfo, event: &Event<'_>) {
        let may = |rate: &Arc<Rate>| rate.admits(info.client.ip());
        match *event {
            Event::LoggedIn { plugin, home, .. } => line!(
                info,
                info,
                plugin,
                home = home.as_str(),
                tls = info.tls.map_or("none", |tls| tls.version),
                "logged in"
            ),
            Event::LoginFailed {
                reason, attempt, ..
            } => {
                if may(&FAILED) {
                    line!(warn, info, reason, attempt, "login failed");
                }
            }
            Event::LoginOutdated { cause } => {
                line!(info, info, cause, "refused: the account has changed");
            }
            // Why the server ended it has its line before the last reply.
            Event::LoggedOut { .. } | Event::Released { .. } => {}
            Event::DataConnectionOpened { .. } | Event::Asked(_) => {}
            // They have lines of their own.
            Event::Connected | Event::Disconnected { .. } | Event::ConnectionRefused { .. } => {}
            Event::Uploaded(uploaded) => line!(
                info,
                info,
                path = uploaded.to.as_str(),
                bytes = uploaded.bytes,
                close_notify = uploaded.unclosed.then_some(false),
                "stored"
            ),
            Event::Downloaded { path, bytes, .. } => {
                line!(info, info, path = path.as_str(), bytes, "sent");
            }
            Event::DirectoryMade { path } => {
                line!(info, info, path = path.as_str(), "directory made");
            }
            Event::DirectoryRemoved { path } => {
                line!(info, info, path = path.as_str(), "directory removed");
            }
            Event::Deleted { path } => line!(info, info, path = path.as_str(), "deleted"),
            Event::Renamed { from, to } => {
                line!(
                    info,
                    info,
                    from = from.as_str(),
                    to = to.as_str(),
                    "renamed"
                );
            }
            Event::MetadataChanged { path } => {
                line!(info, info, path = path.as_str(), "metadata changed");
            }
            Event::Denied {
                operation,
                path,
                reason,
            } => {
                if may(&DENIED) {
                    let cause = reason.unwrap_or("it is hidden");
                    line!(info, info, path = path.as_str(), operation, cause, "denied");
                }
            }
            Event::Refused(refused) => {
                if may(&REFUSED) {
                    log_refused(info, refused);
                }
            }
            Event::StorageFailed {
                operation,
                path,
                cause,
                ..
            } => {
                if may(&REFUSED) {
                    let path = path.as_str();
                    line!(error, info, path, operation, cause, "the storage failed");
                }
            }
            Event::TransferFailed(failed) => {
                if may(if failed.connected { &BROKEN } else { &NO_DATA }) {
                    log_transfer_failed(info, failed);
                }
            }
            Event::NoPort { cause } => {
                if may(&NO_DATA) {
                    line!(error, info, cause, "cannot listen for a data connection");
                }
            }
            Event::DataConnectionDropped { from, path, cause } => {
                if STRANGERS.admits(from.ip()) {
                    let (path, cause) = (path.map(|path| path.as_str()), cause.to_string());
                    line!(warn, info, path, %from, cause, "a data connection was dropped");
                }
            }
            Event::UploadRefused(refused) => log_upload_refused(info, refused),
            Event::UploadRefusedLate(refused) => line!(
                error,
                info,
                path = refused.path.as_str(),
                bytes = refused.bytes,
                plugin = refused.plugin,
                reason = refused.reason,
                "the late verdict is: refused; the file can be seen"
            ),
            Event::Faulted {
                operation,
                path,
                fault,
                ..
            } => line!(error, info, path = path.map(|path| path.as_str()), operation,
                plugin = %fault.plugin, kind = %fault.kind, error = fault.text.as_str(),
                "a plugin failed"),
            Event::FaultPassed { kind, path, fault } => line!(warn, info,
                path = path.map(|path| path.as_str()), plugin = %fault.plugin, kind = %fault.kind,
                error = fault.text.as_str(),
                "the {kind} failed and its configuration lets that pass"),
        }
    }
}

fn log_refused(info: &SessionInfo, refused: &Refused<'_>) {
    let Refused {
        operation,
        path,
        bytes,
        cause,
        blame,
    } = *refused;
    let path = path.map(|path| path.as_str());
    line_of!(blame, info, path, operation, bytes, cause, "refused");
}

fn log_transfer_failed(info: &SessionInfo, failed: &TransferFailed<'_>) {
    let TransferFailed {
        transfer,
        path,
        bytes,
        code,
        cause,
        blame,
        connected,
        ..
    } = *failed;
    let (path, cause) = (path.map(|path| path.as_str()), cause.to_string());
    if !connected {
        let operation = transfer.name();
        return line!(
            info,
            info,
            path,
            operation,
            code,
            cause,
            "no data connection"
        );
    }
    match transfer {
        Transfer::Upload => {
            line_of!(blame, info, path, bytes, code, cause, "upload broken off");
        }
        Transfer::Download => {
            line_of!(blame, info, path, bytes, code, cause, "download broken off");
        }
        Transfer::List => {
            line_of!(blame, info, path, bytes, code, cause, "listing broken off");
        }
    }
}

fn log_upload_refused(info: &SessionInfo, refused: &UploadRefused<'_>) {
    let UploadRefused {
        path,
        bytes,
        plugin,
        reason,
        quarantine,
        ..
    } = *refused;
    let path = path.as_str();
    match quarantine {
        None => line!(
            warn,
            info,
            path,
            bytes,
            plugin,
            reason,
            "an upload was rejected"
        ),
        Some(file) => line!(
            warn,
            info,
            path,
            bytes,
            plugin,
            reason,
            file,
            "an upload was put into quarantine"
        ),
    }
}
