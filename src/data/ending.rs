//! The end of a protected upload.
//!
//! TLS says with `close_notify` that nothing is missing. FIN says so only of TCP, and anybody on the
//! way can send it; yet several clients end their uploads by it alone.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::config::CloseNotify;

/// How the client ended its direction of a data connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// FIN, in the clear: there is no other way.
    Clear,
    /// `close_notify`.
    CloseNotify,
    /// FIN between two records of TLS, without `close_notify`.
    Fin,
}

/// Why the end of an upload is not taken for the end of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTheEnd {
    /// FIN within a record: something is missing for certain.
    Cut,
    /// FIN alone, and the configuration requires `close_notify`.
    Required,
    /// FIN alone, from a client that has ended a data connection with `close_notify` before.
    KnownToClose,
    /// FIN alone, and ALLO had announced another size.
    Size {
        /// By ALLO.
        announced: u64,
        /// The connection that came.
        came: u64,
    },
}

impl fmt::Display for NotTheEnd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => formatter.write_str("The data connection was cut within a TLS record"),
            Self::Required => formatter.write_str(
                "The data connection ended without TLS close_notify, which tls.close-notify requires",
            ),
            Self::KnownToClose => formatter.write_str(
                "The data connection ended without TLS close_notify, which this client has sent \
                 before: it may have been cut (tls.close-notify)",
            ),
            Self::Size { announced, came } => write!(
                formatter,
                "The data connection ended without TLS close_notify, after {came} bytes where ALLO \
                 announced {announced}"
            ),
        }
    }
}

/// The end of the uploads of one session. Clones share what is known of the client.
#[derive(Clone, Debug)]
pub struct Ending {
    mode: CloseNotify,
    closes: Arc<AtomicBool>,
}

impl Ending {
    /// Of a client of which nothing is known yet.
    #[must_use]
    pub fn new(mode: CloseNotify) -> Self {
        Self {
            mode,
            closes: Arc::default(),
        }
    }

    /// The client has ended a data connection with `close_notify`: a later one that ends without
    /// was cut.
    pub fn closes(&self) {
        self.closes.store(true, Ordering::Relaxed);
    }

    /// Whether it would help to know how the client ends a connection.
    #[must_use]
    pub fn wants_to_know(&self) -> bool {
        self.mode == CloseNotify::Prefer && !self.closes.load(Ordering::Relaxed)
    }

    /// Whether FIN between two records ends an upload well. ALLO may mean what is sent now or the
    /// file that it becomes, as sent or as stored: `sizes` are all of these, what was sent first.
    ///
    /// # Errors
    /// Why it does not.
    pub fn takes_fin(&self, announced: Option<u64>, sizes: [u64; 3]) -> Result<(), NotTheEnd> {
        match self.mode {
            CloseNotify::Require => return Err(NotTheEnd::Required),
            CloseNotify::Prefer if self.closes.load(Ordering::Relaxed) => {
                return Err(NotTheEnd::KnownToClose);
            }
            CloseNotify::Prefer | CloseNotify::Ignore => {}
        }
        match announced {
            Some(announced) if !sizes.contains(&announced) => {
                let [came, ..] = sizes;
                Err(NotTheEnd::Size { announced, came })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fin_ends_an_upload_where_the_mode_and_the_size_allow() {
        let sizes = [10, 9, 109];
        for (mode, closes, announced, expected) in [
            (CloseNotify::Require, false, None, Err(NotTheEnd::Required)),
            (CloseNotify::Prefer, false, None, Ok(())),
            (
                CloseNotify::Prefer,
                true,
                None,
                Err(NotTheEnd::KnownToClose),
            ),
            (CloseNotify::Ignore, true, None, Ok(())),
            (CloseNotify::Prefer, false, Some(10), Ok(())),
            (CloseNotify::Prefer, false, Some(9), Ok(())),
            (CloseNotify::Ignore, false, Some(109), Ok(())),
            (
                CloseNotify::Ignore,
                false,
                Some(11),
                Err(NotTheEnd::Size {
                    announced: 11,
                    came: 10,
                }),
            ),
        ] {
            let ending = Ending::new(mode);
            if closes {
                ending.clone().closes();
            }
            assert_eq!(ending.takes_fin(announced, sizes), expected, "{mode:?}");
        }
    }
}
