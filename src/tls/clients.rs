//! Client certificates.

use std::{
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use rustls::{
    RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, UnixTime, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use x509_parser::prelude::*;

use super::{Error, validity};
use crate::{
    config::{self, ClientCertificates, regular},
    types::PeerCertificate,
};

/// The verifier of client certificates, as configured; with warnings of authorities whose time is
/// over.
///
/// # Errors
/// Authorities that are not named, not readable, or none.
pub fn verifier(
    config: &config::Tls,
    provider: &Arc<CryptoProvider>,
    warnings: &mut Vec<Error>,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    if config.client_certificates == ClientCertificates::Off {
        return Ok(WebPkiClientVerifier::no_client_auth());
    }
    const KEY: &str = "client-authorities";
    let Some(file) = &config.client_authorities else {
        return Err(Error {
            key: "tls.client-authorities".into(),
            text: "client certificates are asked for, but no authorities are named".into(),
        });
    };
    let (roots, over) = read_roots(file).map_err(|text| Error::file("tls", KEY, file, &text))?;
    warnings.extend(over.into_iter().map(|text| {
        let text = format!("{text}: what it has signed is taken even so");
        Error::file("tls", KEY, file, &text)
    }));
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let builder = match config.client_certificates {
        ClientCertificates::Required => builder,
        _ => builder.allow_unauthenticated(),
    };
    builder
        .build()
        .map_err(|error| Error::file("tls", KEY, file, &error))
}

/// The authorities, and what is to be said of those whose time is over.
fn read_roots(file: &Path) -> Result<(RootCertStore, Vec<String>), String> {
    let mut roots = RootCertStore::empty();
    let mut over = Vec::new();
    let pem = regular::read(file).map_err(|error| error.to_string())?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        over.extend(validity::warning(&certificate));
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        Err("no certificate in it".into())
    } else {
        Ok((roots, over))
    }
}

/// Whether a certificate that was verified once would be so by `verifier`, but for the time.
///
/// # Errors
/// For the log: why not.
pub fn verify(
    verifier: &dyn ClientCertVerifier,
    certificate: &PeerCertificate,
) -> Result<(), String> {
    if !verifier.offer_client_auth() {
        return Err("certificates are not asked for any more".to_owned());
    }
    let intermediates: Vec<_> = certificate
        .intermediates
        .iter()
        .map(|one| CertificateDer::from(one.as_slice()))
        .collect();
    let at = certificate.verified.duration_since(UNIX_EPOCH);
    let at = UnixTime::since_unix_epoch(at.unwrap_or_default());
    let leaf = CertificateDer::from(certificate.der.as_slice());
    let verified = verifier.verify_client_cert(&leaf, &intermediates, at);
    verified
        .map(|_| ())
        .map_err(|error| format!("none of tls.client-authorities vouches for it ({error})"))
}

/// The facts of a verified certificate for plugins.
#[must_use]
pub fn describe(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
) -> PeerCertificate {
    let subject = X509Certificate::from_der(leaf)
        .map(|(_, certificate)| rfc4514(certificate.subject()))
        .unwrap_or_default();
    let sha256 = HEXLOWER.encode(digest::digest(&digest::SHA256, leaf).as_ref());
    PeerCertificate {
        der: leaf.to_vec(),
        subject,
        sha256,
        intermediates: intermediates.iter().map(|one| one.to_vec()).collect(),
        verified: SystemTime::now(),
    }
}

/// RFC 4514: the most specific part first, separated by commas, special characters escaped.
fn rfc4514(name: &X509Name<'_>) -> String {
    let registry = x509_parser::objects::oid_registry();
    let parts = name.iter_rdn().map(|rdn| {
        let attributes = rdn.iter().map(|attribute| {
            let oid = attribute.attr_type();
            let key = x509_parser::objects::oid2abbrev(oid, registry)
                .map_or_else(|_| oid.to_id_string(), str::to_owned);
            let value = attribute.as_str().map(escape).unwrap_or_default();
            format!("{key}={value}")
        });
        attributes.collect::<Vec<_>>().join("+")
    });
    let mut parts: Vec<String> = parts.collect();
    parts.reverse();
    parts.join(",")
}

fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (at, character) in value.chars().enumerate() {
        let edge = (at == 0 && matches!(character, ' ' | '#')) || (at == last && character == ' ');
        match character {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => escaped.extend(['\\', character]),
            _ if edge => escaped.extend(['\\', character]),
            _ if character.is_control() => {
                use std::fmt::Write;
                let mut utf8 = [0; 4];
                for byte in character.encode_utf8(&mut utf8).bytes() {
                    let _ = write!(escaped, "\\{byte:02x}");
                }
            }
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_reads_as_rfc_4514_says() {
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        let name = &mut parameters.distinguished_name;
        *name = rcgen::DistinguishedName::new();
        name.push(rcgen::DnType::OrganizationName, "Example, Inc.");
        name.push(rcgen::DnType::CommonName, " alice+b");
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let described = describe(certificate.der(), &[]);
        assert_eq!(described.subject, "CN=\\ alice\\+b,O=Example\\, Inc.");
        assert_eq!(described.sha256.len(), 64);
    }
}
