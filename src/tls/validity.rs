//! Certificates whose time is over, soon over, or not yet come.

use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::*;

const DAY: i64 = 86_400;
/// From here on an end is near: ACME clients have renewed by then.
const SOON: i64 = 30 * DAY;

/// A time that something is valid for, in seconds since 1970.
#[derive(Clone, Debug)]
pub(super) struct Period {
    /// Of what it is the time.
    pub subject: String,
    pub begin: i64,
    pub end: i64,
    /// How long before its end that is near.
    pub soon: i64,
}

impl Period {
    /// Whether it is over.
    pub fn is_over(&self, now: i64) -> bool {
        now > self.end
    }

    /// Why it is worth a warning: "CN=example expires on 2026-12-01, in 5 days".
    pub fn warning(&self, now: i64) -> Option<String> {
        let Self { begin, end, .. } = *self;
        let says = if now < begin {
            format!("is not valid before {}", day(begin))
        } else if self.is_over(now) {
            format!("expired on {}", day(end))
        } else if end - now < self.soon {
            let days = match (end - now) / DAY {
                0 => "within a day".to_owned(),
                1 => "in 1 day".to_owned(),
                days => format!("in {days} days"),
            };
            format!("expires on {}, {days}", day(end))
        } else {
            return None;
        };
        Some(format!("{} {says}", self.subject))
    }
}

/// The time, in seconds since 1970.
pub(super) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.ok()
        .and_then(|now| i64::try_from(now.as_secs()).ok())
        .unwrap_or_default()
}

/// How long before the end of a list of revoked certificates that is near: a third of its time, as the
/// next one is made long before, three days at least.
pub(super) fn soon_for_list(begin: i64, end: i64) -> i64 {
    ((end - begin) / 3).clamp(3 * DAY, SOON)
}

/// The subject of a certificate, and when it ends.
#[must_use]
pub(super) fn end(der: &CertificateDer<'_>) -> Option<(String, i64)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let end = certificate.validity().not_after.timestamp();
    Some((certificate.subject().to_string(), end))
}

/// Why a certificate is worth a warning.
#[must_use]
pub fn warning(der: &CertificateDer<'_>) -> Option<String> {
    warning_at(der, now())
}

fn warning_at(der: &CertificateDer<'_>, now: i64) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    let period = Period {
        subject: certificate.subject().to_string(),
        begin: validity.not_before.timestamp(),
        end: validity.not_after.timestamp(),
        soon: SOON,
    };
    period.warning(now)
}

/// "2026-12-01"
#[must_use]
pub fn day(timestamp: i64) -> String {
    jiff::Timestamp::from_second(timestamp)
        .map(|at| at.strftime("%Y-%m-%d").to_string())
        .unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_end_is_told_in_time() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "x");
        params.not_before = rcgen::date_time_ymd(2030, 1, 1);
        params.not_after = rcgen::date_time_ymd(2030, 3, 1);
        let certificate = params.self_signed(&key).unwrap();
        let at = |date: &str| {
            let date: jiff::Timestamp = format!("{date}T12:00:00Z").parse().unwrap();
            warning_at(certificate.der(), date.as_second())
        };
        let said = |text: &str| Some(format!("CN=x {text}"));
        assert_eq!(at("2029-12-31"), said("is not valid before 2030-01-01"));
        assert_eq!(at("2030-01-02"), None);
        assert_eq!(at("2030-01-29"), None);
        assert_eq!(at("2030-02-01"), said("expires on 2030-03-01, in 27 days"));
        assert_eq!(at("2030-02-27"), said("expires on 2030-03-01, in 1 day"));
        assert_eq!(
            at("2030-02-28"),
            said("expires on 2030-03-01, within a day")
        );
        assert_eq!(at("2030-03-01"), said("expired on 2030-03-01"));
    }
}
