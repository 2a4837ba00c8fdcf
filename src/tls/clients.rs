//! Client certificates.

use std::{
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use rustls::{
    CertificateError, RootCertStore,
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms},
    pki_types::{
        CertificateDer, CertificateRevocationListDer, SubjectPublicKeyInfoDer, UnixTime,
        pem::PemObject,
    },
    server::{VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use x509_parser::prelude::*;

use super::{Error, pem_error, validity};
use crate::{
    config::{self, ClientCertificates, regular},
    types::PeerCertificate,
};

/// The authorities that client certificates are verified against.
pub struct Authorities {
    roots: Arc<RootCertStore>,
    /// The name of each in DER and in words, and its key.
    known: Vec<(Vec<u8>, String, SubjectPublicKeyInfoDer<'static>)>,
    required: bool,
    provider: Arc<CryptoProvider>,
}

impl Authorities {
    /// Reads them, if certificates are asked for; with warnings of those whose time is over.
    ///
    /// # Errors
    /// Authorities that are not named, not readable, or none.
    pub fn read(
        config: &config::Tls,
        provider: &Arc<CryptoProvider>,
        warnings: &mut Vec<Error>,
    ) -> Result<Option<Self>, Error> {
        if config.client_certificates == ClientCertificates::Off {
            return Ok(None);
        }
        const KEY: &str = "client-authorities";
        let Some(file) = &config.client_authorities else {
            return Err(Error {
                key: "tls.client-authorities".into(),
                text: "client certificates are asked for, but no authorities are named".into(),
            });
        };
        let wrong = |text: &dyn std::fmt::Display| Error::file("tls", KEY, file, text);
        let mut authorities = Self {
            roots: Arc::new(RootCertStore::empty()),
            known: Vec::new(),
            required: config.client_certificates == ClientCertificates::Required,
            provider: provider.clone(),
        };
        let over = authorities.add(file).map_err(|text| wrong(&text))?;
        warnings.extend(over.into_iter().map(|text| {
            let text = format!("{text}: what it has signed is taken even so");
            wrong(&text)
        }));
        Ok(Some(authorities))
    }

    /// Adds those of a file; says what is to be said of those whose time is over.
    fn add(&mut self, file: &Path) -> Result<Vec<String>, String> {
        let mut roots = RootCertStore::empty();
        let mut over = Vec::new();
        let pem = regular::read(file).map_err(|error| error.to_string())?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| pem_error(&error))?;
            over.extend(validity::warning(&certificate));
            if let Ok((_, facts)) = X509Certificate::from_der(&certificate) {
                let (subject, key) = (facts.subject(), facts.public_key().raw);
                self.known.push((
                    subject.as_raw().to_vec(),
                    subject.to_string(),
                    key.to_vec().into(),
                ));
            }
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        if roots.is_empty() {
            return Err("no certificate in it".into());
        }
        self.roots = Arc::new(roots);
        Ok(over)
    }

    /// A verifier that looks certificates up in these lists, each with its chain: those that cannot be
    /// looked up, since there is no list or since it is over, are refused. Without any list, nothing is
    /// looked up.
    ///
    /// # Errors
    /// Lists of a kind that is not known.
    pub fn verifier(
        &self,
        lists: Vec<CertificateRevocationListDer<'static>>,
    ) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
        let (roots, provider) = (self.roots.clone(), self.provider.clone());
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider)
            .with_crls(lists)
            .enforce_revocation_expiration();
        match self.required {
            true => builder.build(),
            false => builder.allow_unauthenticated().build(),
        }
    }

    /// Their names, in DER and in words.
    pub fn subjects(&self) -> impl Iterator<Item = (&[u8], &str)> {
        let known = self.known.iter();
        known.map(|(der, name, _)| (der.as_slice(), name.as_str()))
    }

    /// The keys of those of this name in DER.
    pub fn keys_of<'a>(
        &'a self,
        subject: &'a [u8],
    ) -> impl Iterator<Item = &'a SubjectPublicKeyInfoDer<'static>> {
        let known = self.known.iter().filter(move |(der, ..)| der == subject);
        known.map(|(_, _, key)| key)
    }

    /// The algorithms of signatures that are taken.
    pub fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.provider.signature_verification_algorithms
    }
}

/// Why a certificate that was verified once would not be so now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Whether it, or an authority between, is revoked.
    pub revoked: bool,
    /// For the log.
    pub text: String,
}

/// Whether a certificate that was verified once would be so by `verifier`, but for the time.
///
/// # Errors
/// Why not.
pub fn verify(
    verifier: &dyn ClientCertVerifier,
    certificate: &PeerCertificate,
) -> Result<(), Rejected> {
    let rejected = |revoked, text| Err(Rejected { revoked, text });
    if !verifier.offer_client_auth() {
        return rejected(false, "certificates are not asked for any more".to_owned());
    }
    let intermediates: Vec<_> = certificate
        .intermediates
        .iter()
        .map(|one| CertificateDer::from(one.as_slice()))
        .collect();
    let at = certificate.verified.duration_since(UNIX_EPOCH);
    let at = UnixTime::since_unix_epoch(at.unwrap_or_default());
    let leaf = CertificateDer::from(certificate.der.as_slice());
    match verifier.verify_client_cert(&leaf, &intermediates, at) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InvalidCertificate(CertificateError::Revoked)) => {
            let subject = &certificate.subject;
            let or = match certificate.intermediates.is_empty() {
                true => "",
                false => ", or an authority between,",
            };
            let text = format!("{subject}{or} is revoked (tls.client-revocation)");
            rejected(true, text)
        }
        Err(error) => {
            let text = format!("none of tls.client-authorities vouches for it ({error})");
            rejected(false, text)
        }
    }
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
