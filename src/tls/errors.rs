//! Errors of TLS in words: for the log, and for clients.

use std::{fmt, io};

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

use crate::{config::TlsVersion, proxy};

/// Why a handshake failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandshakeError {
    /// Something else than TLS came.
    Clear,
    /// A PROXY protocol header came from where none is believed.
    Proxy,
    /// The client speaks nothing that is new enough.
    Version {
        /// The newest that it offers, where that is known.
        offered: Option<&'static str>,
        /// The oldest that is allowed.
        minimum: TlsVersion,
    },
    /// It took too long.
    Timeout,
    /// Anything else.
    Other(String),
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clear => formatter.write_str("the client speaks in the clear, not TLS"),
            Self::Proxy => formatter.write_str(
                "a PROXY protocol header came from an address that is in none of the \
                 proxy-networks",
            ),
            Self::Version { offered, minimum } => {
                let minimum = match minimum {
                    TlsVersion::V1_2 => "TLS 1.2",
                    TlsVersion::V1_3 => "TLS 1.3 (tls.minimum-version)",
                };
                let offered = offered.unwrap_or("an older version of TLS");
                write!(
                    formatter,
                    "the client offers {offered} at most, and {minimum} is the oldest allowed"
                )
            }
            Self::Timeout => formatter.write_str("it took too long (limits.handshake-timeout)"),
            Self::Other(text) => formatter.write_str(text),
        }
    }
}

impl std::error::Error for HandshakeError {}

impl HandshakeError {
    /// The meaning of an error of the handshake for a client that began with these bytes.
    #[must_use]
    pub fn new(error: &io::Error, first: &[u8], minimum: TlsVersion) -> Self {
        tracing::debug!(%error, "TLS handshake");
        if proxy::begins(first) {
            return Self::Proxy;
        }
        if error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none() {
            return match is_clear(first) {
                true => Self::Clear,
                false => Self::Timeout,
            };
        }
        if is_clear(first) {
            return Self::Clear;
        }
        // Instead of a ClientHello, which rustls takes for any other message out of turn.
        if let [0x15, 3, _, 0, 2, _, alert, ..] = first {
            return Self::alert((*alert).into());
        }
        let version = |offered| Self::Version { offered, minimum };
        if let Some(old) = old_version(first) {
            return version(Some(old));
        }
        match rustls_error(error) {
            Some(Error::PeerIncompatible(
                PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled,
            )) => version((minimum == TlsVersion::V1_3).then_some("TLS 1.2")),
            Some(Error::AlertReceived(alert)) => Self::alert(*alert),
            None if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::Other("the client ended the connection before it was done".into())
            }
            _ => Self::Other(describe(error)),
        }
    }

    fn alert(alert: AlertDescription) -> Self {
        Self::Other(match distrusts(alert) {
            true => format!(
                "the client does not trust the server's certificate ({})",
                alert_name(alert)
            ),
            false => format!("the client ended it: {}", alert_name(alert)),
        })
    }
}

/// The meaning of an error of a connection under TLS.
#[must_use]
pub fn describe(error: &io::Error) -> String {
    match rustls_error(error) {
        Some(error) => in_words(error),
        None => match error.kind() {
            io::ErrorKind::ConnectionReset => "the client reset the connection".into(),
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                "the client closed the connection".into()
            }
            io::ErrorKind::UnexpectedEof => "the client ended the connection".into(),
            _ => error.to_string(),
        },
    }
}

fn rustls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref::<Error>()
}

fn in_words(error: &Error) -> String {
    match error {
        Error::AlertReceived(alert) => {
            format!("the client ended TLS with an alert: {}", alert_name(*alert))
        }
        Error::NoCertificatesPresented => {
            "the client shows no certificate (tls.client-certificates)".into()
        }
        Error::InvalidCertificate(error) => {
            format!("the client's certificate {}", certificate(error))
        }
        Error::InvalidCertRevocationList(_) => {
            "the client's certificate cannot be looked up: the list of its authority is not one that \
             this authority may sign, or has signed (tls.client-revocation)"
                .into()
        }
        Error::NoApplicationProtocol => "the client wants another protocol than FTP (ALPN)".into(),
        Error::DecryptError => {
            "a record does not decrypt: it was changed on the way, or the keys differ".into()
        }
        Error::PeerSentOversizedRecord => "the client sent a record that is too large".into(),
        Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon) => {
            "the client offers no cipher suite that the server has".into()
        }
        Error::PeerIncompatible(
            PeerIncompatible::NoKxGroupsInCommon
            | PeerIncompatible::NamedGroupsExtensionRequired
            | PeerIncompatible::KeyShareExtensionRequired
            | PeerIncompatible::EcPointsExtensionRequired
            | PeerIncompatible::NoEcPointFormatsInCommon
            | PeerIncompatible::UncompressedEcPointsRequired,
        ) => "the client offers no key exchange that the server has".into(),
        Error::PeerIncompatible(
            PeerIncompatible::SignatureAlgorithmsExtensionRequired
            | PeerIncompatible::NoSignatureSchemesInCommon,
        ) => "the client offers no signature algorithm that the server has".into(),
        Error::PeerIncompatible(
            PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => "the client offers no version of TLS that the server has".into(),
        Error::PeerIncompatible(_) => "the client and the server have no TLS in common".into(),
        Error::InvalidMessage(_)
        | Error::PeerMisbehaved(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::InvalidEncryptedClientHello(_) => {
            "the client sent what is not allowed in TLS there".into()
        }
        Error::FailedToGetRandomBytes => "the system has no random numbers".into(),
        Error::FailedToGetCurrentTime => "the system has no time".into(),
        other => format!("TLS failed: {other}"),
    }
}

fn certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet"
        }
        CertificateError::UnknownIssuer => "is signed by no authority of tls.client-authorities",
        CertificateError::Revoked => "is revoked (tls.client-revocation)",
        CertificateError::UnknownRevocationStatus => {
            "cannot be looked up: tls.client-revocation has no list of the authority that signed it"
        }
        CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => {
            "cannot be looked up: the list of its authority has expired (tls.client-revocation)"
        }
        CertificateError::BadSignature => "has a wrong signature",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not one for clients (extended key usage)"
        }
        CertificateError::BadEncoding => "is damaged",
        _ => "does not verify",
    }
}

fn distrusts(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
    )
}

/// The name in RFC 8446 §6.
fn alert_name(alert: AlertDescription) -> String {
    let name = match alert {
        AlertDescription::CloseNotify => "close_notify",
        AlertDescription::UnexpectedMessage => "unexpected_message",
        AlertDescription::BadRecordMac => "bad_record_mac",
        AlertDescription::RecordOverflow => "record_overflow",
        AlertDescription::HandshakeFailure => "handshake_failure",
        AlertDescription::BadCertificate => "bad_certificate",
        AlertDescription::UnsupportedCertificate => "unsupported_certificate",
        AlertDescription::CertificateRevoked => "certificate_revoked",
        AlertDescription::CertificateExpired => "certificate_expired",
        AlertDescription::CertificateUnknown => "certificate_unknown",
        AlertDescription::IllegalParameter => "illegal_parameter",
        AlertDescription::UnknownCA => "unknown_ca",
        AlertDescription::AccessDenied => "access_denied",
        AlertDescription::DecodeError => "decode_error",
        AlertDescription::DecryptError => "decrypt_error",
        AlertDescription::ProtocolVersion => "protocol_version",
        AlertDescription::InsufficientSecurity => "insufficient_security",
        AlertDescription::InternalError => "internal_error",
        AlertDescription::UserCanceled => "user_canceled",
        AlertDescription::NoRenegotiation => "no_renegotiation",
        other => return format!("alert {}", u8::from(other)),
    };
    name.to_owned()
}

/// Whether a connection began with something else than TLS.
fn is_clear(first: &[u8]) -> bool {
    let Some(kind) = first.first() else {
        return false;
    };
    // A ClientHello in a record of SSL 3 or later, an alert, or a ClientHello in the form of SSL 2.
    let record = matches!(kind, 0x15 | 0x16) && first.get(1).is_none_or(|major| *major == 3);
    let ssl2 = kind & 0x80 != 0 && first.get(2).is_none_or(|kind| *kind == 1);
    !record && !ssl2
}

/// The version that a ClientHello offers at most, if it is older than any that the server has: a
/// client of TLS 1.2 or later writes at least that into the field of the oldest ones.
fn old_version(first: &[u8]) -> Option<&'static str> {
    let version = match first {
        [0x16, 3, _, _, _, 1, _, _, _, major, minor] => (*major, *minor),
        [kind, _, 1, major, minor, ..] if kind & 0x80 != 0 => (*major, *minor),
        _ => return None,
    };
    match version {
        (2 | 0, _) => Some("SSL 2.0"),
        (3, 0) => Some("SSL 3.0"),
        (3, 1) => Some("TLS 1.0"),
        (3, 2) => Some("TLS 1.1"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(error: Error, first: &[u8]) -> String {
        let error = io::Error::new(io::ErrorKind::InvalidData, error);
        HandshakeError::new(&error, first, TlsVersion::V1_2).to_string()
    }

    #[test]
    fn it_reads_as_words() {
        let hello = |major, minor| [0x16, 3, 1, 0, 99, 1, 0, 0, 95, major, minor];
        let old = || Error::from(PeerIncompatible::SignatureAlgorithmsExtensionRequired);
        for (error, first, expected) in [
            (old(), &hello(3, 1)[..], "TLS 1.0 at most, and TLS 1.2 is"),
            (old(), &hello(3, 2), "TLS 1.1 at most"),
            (old(), &hello(3, 0), "SSL 3.0 at most"),
            (old(), &hello(3, 3), "no signature algorithm"),
            (old(), &[0x80, 46, 1, 3, 1, 0, 9], "TLS 1.0 at most"),
            (old(), b"USER alice\r\n", "in the clear"),
            (old(), b"x", "in the clear"),
            (
                PeerIncompatible::Tls12NotOfferedOrEnabled.into(),
                &hello(3, 3),
                "an older version of TLS at most",
            ),
            (
                Error::AlertReceived(AlertDescription::UnknownCA),
                &hello(3, 3),
                "does not trust the server's certificate (unknown_ca)",
            ),
            (
                Error::InvalidCertificate(CertificateError::UnknownIssuer),
                &hello(3, 3),
                "tls.client-authorities",
            ),
        ] {
            let text = of(error, first);
            assert!(text.contains(expected), "{text}: no {expected}");
            assert!(!text.contains("http") && !text.contains("::"), "{text}");
        }
    }

    #[test]
    fn silence_is_told_from_clear_text() {
        let timeout = io::Error::from(io::ErrorKind::TimedOut);
        for (first, expected) in [
            (&b""[..], HandshakeError::Timeout),
            (&[0x16, 3, 1], HandshakeError::Timeout),
            (b"hi", HandshakeError::Clear),
        ] {
            let found = HandshakeError::new(&timeout, first, TlsVersion::V1_2);
            assert_eq!(found, expected);
        }
    }
}
