//! The certificate that the server gets by itself.

use super::{
    super::{Challenge, Config},
    Findings,
};
use crate::types::{TlsStart, dns::is_host_name};

/// Looks at the names, and at how they are shown.
pub(super) fn acme(config: &Config, findings: &mut Findings) {
    let acme = &config.acme;
    if !acme.is_used() {
        return;
    }
    for (index, name) in acme.names.iter().enumerate() {
        let key = format!("acme.names[{index}]");
        let wildcard = name.strip_prefix("*.");
        if !is_host_name(wildcard.unwrap_or(name)) {
            findings.error(key, format!("expected a DNS name, found {name:?}"));
        } else if wildcard.is_some() && acme.challenge != Challenge::Dns01 {
            findings.error(key, "a wildcard takes acme.challenge = \"dns-01\"");
        }
    }
    if acme.service().is_none() {
        let found = &acme.directory;
        let text = format!("expected a URL of https, found {found:?}");
        findings.error("acme.directory", text);
    }
    if !acme.agree_to_terms {
        findings.error(
            "acme.agree-to-terms",
            "expected true: the authority gives no certificate to those who do not agree",
        );
    }
    for (index, contact) in acme.contact.iter().enumerate() {
        if !contact.starts_with("mailto:") {
            findings.error(
                format!("acme.contact[{index}]"),
                format!("expected a URL such as \"mailto:ops@example.org\", found {contact:?}"),
            );
        }
    }
    if acme.external_account.is_some() != acme.external_account_key.is_some() {
        findings.error(
            "acme.external-account",
            "expected external-account and external-account-key together",
        );
    }
    if acme.challenge == Challenge::TlsAlpn01
        && !config.listeners().any(|one| one.tls == TlsStart::Implicit)
    {
        findings.error(
            "acme.challenge",
            "\"tls-alpn-01\" takes an address of implicit TLS (server.listen-implicit), to which port 443 leads",
        );
    }
}
