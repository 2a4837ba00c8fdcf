//! Certificates, and what connections have to meet.

use std::path::PathBuf;

use super::{
    super::{Binding, ClientCertificates, CloseNotify, Config, Host, tls::guest},
    Findings,
};

/// Looks at the certificates and the policy of a host.
pub(super) fn tls(config: &Config, host: &Host, findings: &mut Findings) {
    let tls = &host.tls;
    let table = |key: &str| host.key(&format!("tls.{key}"));
    // A host's key without a certificate is told as such.
    if host.keys.table().is_none() || host.keys.has_own("tls.certificate") {
        pairs(&table, &tls.certificate, &tls.key, findings);
    }
    if tls.certificate.is_empty() && host.keys.has_own("tls.certificate") {
        findings.error(table("certificate"), "expected a path, found none");
    }
    for (index, more) in tls.host.iter().enumerate() {
        let table = |key: &str| format!("tls.host[{index}].{key}");
        pairs(&table, &more.certificate, &more.key, findings);
        if more.certificate.is_empty() {
            findings.error(table("certificate"), "expected a path, found none");
        }
    }
    if tls.certificate.is_empty() && !config.acme.is_used() {
        if !tls.ocsp_response.is_empty() {
            findings.error(
                table("ocsp-response"),
                "tls.certificate is missing: nothing to staple the response to",
            );
        }
        let mut all = config.listeners();
        if all.any(|listener| !listener.address.ip().is_loopback()) {
            findings.warn(
                table("certificate"),
                "not set, so clients from elsewhere see a self-signed certificate that they cannot verify",
            );
        }
    }
    match (tls.client_certificates, &tls.client_authorities) {
        (ClientCertificates::Optional | ClientCertificates::Required, None) => findings.error(
            table("client-certificates"),
            "tls.client-authorities is missing: nothing to verify client certificates against",
        ),
        (ClientCertificates::Off, Some(_)) => findings.warn(
            table("client-authorities"),
            "has no effect while tls.client-certificates is \"off\"",
        ),
        _ => {}
    }
    if !tls.client_revocation.is_empty() && tls.client_certificates == ClientCertificates::Off {
        findings.warn(
            table("client-revocation"),
            "has no effect while tls.client-certificates is \"off\"",
        );
    }
    if !tls.required {
        findings.warn(
            table("required"),
            "is off: passwords may cross the network in the clear",
        );
    }
    if !tls.data_required {
        findings.warn(
            table("data-required"),
            "is off: files and listings may cross the network in the clear",
        );
    }
    if !tls.required && !tls.data_required && !tls.clear_users.is_empty() {
        findings.warn("tls.clear-users", "has no effect, as nobody needs TLS");
    } else if let Some(user) = tls.clear_users.iter().find(|user| !guest(user)) {
        findings.warn(
            table("clear-users"),
            format!("{user:?} may send a password, files and listings in the clear"),
        );
    }
    if tls.data_binding == Binding::Off {
        findings.warn(
            table("data-binding"),
            "is \"off\": whoever shares a client's address can take over its data connections",
        );
    }
    if tls.close_notify == CloseNotify::Ignore {
        findings.warn(
            table("close-notify"),
            "is \"ignore\": an upload that somebody on the way cuts between two records passes for a whole one",
        );
    }
    if tls.allow_ccc {
        findings.warn(
            table("allow-ccc"),
            "is on: after CCC, commands and replies cross the network in the clear, and can be changed on the way",
        );
    }
}

/// Each certificate needs its key.
fn pairs(
    table: &dyn Fn(&str) -> String,
    certificates: &[PathBuf],
    keys: &[PathBuf],
    findings: &mut Findings,
) {
    let (certificate, key) = (table("certificate"), table("key"));
    match (certificates.len(), keys.len()) {
        (one, other) if one == other => {}
        (_, 0) => {
            let text = format!("{key} is missing: a certificate needs its key");
            findings.error(certificate, text);
        }
        (0, _) => {
            let text = format!("{certificate} is missing: a key needs its certificate");
            findings.error(key, text);
        }
        (certificates, keys) => findings.error(
            &key,
            format!(
                "expected one key for each certificate, in the same order: found {keys} for \
                 {certificates}"
            ),
        ),
    }
}
