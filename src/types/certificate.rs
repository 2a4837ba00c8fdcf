//! A client's identity in TLS.

use std::time::SystemTime;

/// A client's leaf certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// As it came.
    pub der: Vec<u8>,
    /// RFC 4514 text.
    pub subject: String,
    /// 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// The certificates that came with it.
    pub intermediates: Vec<Vec<u8>>,
    /// When it was verified.
    pub verified: SystemTime,
}
