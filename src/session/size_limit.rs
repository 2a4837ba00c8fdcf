//! How large an upload may be, and what is said where it is larger.

use super::errors::Failure;
use crate::{ftp::reply::Reply, spool::Quota, storage::Error};

/// How many bytes a file may have, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) bytes: Option<u64>,
    /// The quota, if that is what limits.
    quota: Option<u64>,
}

impl Limit {
    /// Of one file; 0 is no limit.
    pub(super) fn size(bytes: u64) -> Self {
        Self {
            bytes: (bytes > 0).then_some(bytes),
            quota: None,
        }
    }

    /// The lower of this one and what is left of a quota, of which other files use so much.
    pub(super) fn and_quota(self, quota: u64, used: u64) -> Self {
        let left = quota.saturating_sub(used);
        match self.bytes {
            Some(bytes) if bytes <= left => self,
            _ => Self {
                bytes: Some(left),
                quota: Some(quota),
            },
        }
    }

    /// 552 for a file of that size.
    pub(super) fn refuses(&self, size: Option<u64>) -> Option<Failure> {
        let refuses = size.zip(self.bytes).is_some_and(|(size, most)| size > most);
        refuses.then(|| Failure::OverLimit {
            reply: self.reply(),
            bytes: size,
        })
    }

    /// RFC 959: "Exceeded storage allocation".
    pub(super) fn reply(&self) -> Reply {
        match self.quota {
            Some(quota) => bytes_exceeded(quota),
            None => {
                let text = format!("Uploads have {} bytes at most", self.bytes.unwrap_or(0));
                Reply::new(552, text)
            }
        }
    }
}

/// 552 for a quota that leaves no room, for bytes or for one more file.
pub(super) fn quota_exceeded(quota: Quota, error: &Error) -> Reply {
    let text = match error {
        Error::QuotaFiles => format!(
            "The quota of {} files is reached",
            quota.files.unwrap_or_default()
        ),
        _ => return bytes_exceeded(quota.bytes.unwrap_or_default()),
    };
    Reply::new(552, text)
}

fn bytes_exceeded(quota: u64) -> Reply {
    Reply::new(552, format!("The quota of {quota} bytes is exceeded"))
}
