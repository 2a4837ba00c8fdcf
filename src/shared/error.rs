//! Errors of Redis, in plain words.

use std::{fmt, io, sync::Arc, time::Duration};

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Redis has not answered, and this is why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Away(pub(super) Arc<str>);

impl fmt::Display for Away {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "shared state is away: {}", self.0)
    }
}

impl std::error::Error for Away {}

/// Whether no other request would fare better.
pub(super) fn is_away(error: &RedisError) -> bool {
    let kind = error.kind();
    error.is_io_error()
        || error.is_unrecoverable_error()
        || matches!(
            kind,
            ErrorKind::Parse
                | ErrorKind::Server(
                    ServerErrorKind::BusyLoading
                        | ServerErrorKind::MasterDown
                        | ServerErrorKind::ClusterDown
                        | ServerErrorKind::ReadOnly
                )
        )
        || matches!(
            error.code(),
            Some("NOAUTH" | "OOM" | "MISCONF" | "NOREPLICAS")
        )
}

/// The cause, for people.
pub(super) fn explain(error: &RedisError, timeout: Duration) -> String {
    if error.is_timeout() {
        return no_answer(timeout);
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed => {
            "it does not take this user and password (state.password-file)".to_owned()
        }
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => not_redis(),
        ErrorKind::Server(ServerErrorKind::NoPerm) => format!(
            "its user may not do all that is needed: {}",
            error.detail().unwrap_or_default()
        ),
        ErrorKind::Server(ServerErrorKind::ReadOnly) => {
            "it is a replica, which nobody can write to".to_owned()
        }
        ErrorKind::Server(ServerErrorKind::BusyLoading) => {
            "it is still reading its data".to_owned()
        }
        _ if error.code() == Some("NOAUTH") => {
            "it wants a password (state.password-file)".to_owned()
        }
        _ if error.is_connection_dropped() && !error.is_connection_refusal() => {
            "it has closed the connection: is it a Redis, and does it speak TLS (rediss://)?"
                .to_owned()
        }
        _ => error.to_string(),
    }
}

/// Nothing came in time.
pub(super) fn no_answer(timeout: Duration) -> String {
    format!("no answer within {timeout:?} (state.timeout)")
}

pub(super) fn not_redis() -> String {
    "its answers are none of Redis: is it a Redis?".to_owned()
}

/// A file that has to be read first.
pub(super) fn unreadable(path: &std::path::Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_in_plain_words() {
        let second = Duration::from_secs(1);
        let told = |error: RedisError| explain(&error, second);
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert!(told(refused.into()).contains("refused"));
        let late = io::Error::from(io::ErrorKind::TimedOut);
        assert_eq!(told(late.into()), "no answer within 1s (state.timeout)");
        let wrong = RedisError::from((ErrorKind::AuthenticationFailed, "no"));
        assert!(told(wrong).contains("password"));
        let closed = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert!(told(closed.into()).contains("rediss://"));
    }

    #[test]
    fn a_replica_is_away_and_a_wrong_type_is_not() {
        let error = |kind| RedisError::from((ErrorKind::Server(kind), "x"));
        assert!(is_away(&error(ServerErrorKind::ReadOnly)));
        assert!(is_away(&io::Error::from(io::ErrorKind::BrokenPipe).into()));
        assert!(!is_away(&error(ServerErrorKind::ResponseError)));
    }
}
