//! The server's certificates, and which one a client gets.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    CipherSuite, InconsistentKeys, SignatureScheme,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use x509_parser::{extensions::GeneralName, prelude::*};
use zeroize::Zeroizing;

use super::{Error, key_of, pem_error, validity};
use crate::config::regular;

/// The certificates of one table of the configuration, of which a client gets the first that it can
/// verify.
pub struct Certificates {
    /// The table's name in the configuration.
    pub(super) setting: String,
    pub(super) identities: Vec<Identity>,
    /// Files of OCSP responses to them.
    pub(super) responses: Vec<PathBuf>,
}

impl Certificates {
    /// Reads chains and their keys, which `setting` has in this order.
    ///
    /// # Errors
    /// Of each pair: a file that cannot be read, or a key that is another certificate's.
    pub fn read(
        provider: &CryptoProvider,
        setting: &str,
        certificates: &[PathBuf],
        keys: &[PathBuf],
        responses: &[PathBuf],
    ) -> Result<Self, Error> {
        let pairs = certificates.iter().zip(keys).enumerate();
        let identities = pairs.map(|(index, (certificate, key))| {
            let of = |key| key_of(key, certificates.len(), index);
            let place = Place {
                table: setting,
                certificate: of("certificate"),
                key: of("key"),
            };
            Identity::read(provider, certificate, key, &place)
        });
        Ok(Self {
            setting: setting.to_owned(),
            identities: identities.collect::<Result<_, _>>()?,
            responses: responses.to_vec(),
        })
    }
}

/// Where the configuration names a certificate and its key.
struct Place<'a> {
    table: &'a str,
    certificate: String,
    key: String,
}

/// A certificate chain, its key, and the names that it is for.
pub struct Identity {
    pub(super) key: Arc<CertifiedKey>,
    /// DNS names in lower case, "*.example.com" among them.
    pub names: Vec<String>,
    /// Certificates of the chain that are not valid, or soon will not be.
    pub warnings: Vec<Error>,
}

impl Identity {
    /// Reads a PEM chain and the PEM key of its first certificate.
    ///
    /// # Errors
    /// Unreadable or empty files, a key that does not fit.
    fn read(
        provider: &CryptoProvider,
        certificate: &Path,
        key: &Path,
        place: &Place<'_>,
    ) -> Result<Self, Error> {
        let bad_chain = |error: &dyn std::fmt::Display| {
            Error::file(place.table, &place.certificate, certificate, error)
        };
        let bad_key =
            |error: &dyn std::fmt::Display| Error::file(place.table, &place.key, key, error);
        let pem = regular::read(certificate).map_err(|error| bad_chain(&error))?;
        let chain = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| bad_chain(&pem_error(&error)))?;
        let Some(leaf) = chain.first() else {
            return Err(bad_chain(&"no certificate in it"));
        };
        let names = dns_names(leaf);
        let warnings = chain.iter().filter_map(validity::warning).map(|text| {
            let text = format!(
                "{text}: clients refuse what has expired, and a renewed file takes effect at once"
            );
            bad_chain(&text)
        });
        let warnings = warnings.collect();
        let pem = regular::read(key)
            .map(Zeroizing::new)
            .map_err(|error| bad_key(&error))?;
        let private =
            PrivateKeyDer::from_pem_slice(&pem).map_err(|error| bad_key(&pem_error(&error)))?;
        let signing = provider
            .key_provider
            .load_private_key(private)
            .map_err(|error| bad_key(&error))?;
        let certified = CertifiedKey::new(chain, signing);
        certified
            .keys_match()
            .map_err(|error| bad_key(&misfit(&certified, certificate, &error)))?;
        Ok(Self {
            key: Arc::new(certified),
            names,
            warnings,
        })
    }
}

/// The reason why a key is not that of a chain's first certificate.
fn misfit(found: &CertifiedKey, certificate: &Path, error: &rustls::Error) -> String {
    let rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) = error else {
        return error.to_string();
    };
    let file = certificate.display();
    // A chain in the wrong order is a usual reason.
    let of = |der: &CertificateDer<'_>| {
        CertifiedKey::new(vec![der.clone().into_owned()], found.key.clone())
            .keys_match()
            .is_ok()
    };
    match found.cert.iter().position(of) {
        Some(place) => format!(
            "it is the key of certificate {} in {file}, not of the first: put that one first",
            place + 1
        ),
        None => format!(
            "it is not the key of the certificate in {file}: one of the two files is another \
             certificate's"
        ),
    }
}

/// The DNS names that a certificate is for, in lower case and in order.
pub(crate) fn dns_names(leaf: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(leaf) else {
        return Vec::new();
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Chooses by SNI, and by the signatures that a client can verify.
#[derive(Debug)]
pub struct Resolver {
    default: Vec<Arc<CertifiedKey>>,
    by_name: HashMap<String, Vec<Arc<CertifiedKey>>>,
}

impl Resolver {
    /// The first certificates serve clients that name no host, or one that nobody has. `staple` gives the
    /// OCSP response to a certificate, by the places of its table and of itself in that.
    #[must_use]
    pub fn new(tables: &[Certificates], staple: impl Fn(usize, usize) -> Option<Vec<u8>>) -> Self {
        let mut default = Vec::new();
        let mut by_name: HashMap<String, Vec<Arc<CertifiedKey>>> = HashMap::new();
        for (table, certificates) in tables.iter().enumerate() {
            for (index, identity) in certificates.identities.iter().enumerate() {
                let key = match staple(table, index) {
                    None => identity.key.clone(),
                    ocsp => Arc::new(CertifiedKey {
                        ocsp,
                        ..CertifiedKey::clone(&identity.key)
                    }),
                };
                for name in &identity.names {
                    by_name.entry(name.clone()).or_default().push(key.clone());
                }
                if table == 0 {
                    default.push(key);
                }
            }
        }
        Self { default, by_name }
    }

    /// Whether one of the certificates is for this host.
    #[must_use]
    pub fn knows(&self, host: &str) -> bool {
        self.find(&host.to_ascii_lowercase()).is_some()
    }

    fn find(&self, host: &str) -> Option<&Vec<Arc<CertifiedKey>>> {
        let wildcard = || {
            let (_, parent) = host.split_once('.')?;
            self.by_name.get(&format!("*.{parent}"))
        };
        self.by_name.get(host).or_else(wildcard)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls hands over names in lower case, and of TLS 1.2 those schemes alone that a suite of the
        // client goes with.
        let named = hello.server_name().and_then(|name| self.find(name));
        let candidates = named.unwrap_or(&self.default);
        let first = |schemes: &[SignatureScheme]| {
            let mut all = candidates.iter();
            all.find(|one| one.key.choose_scheme(schemes).is_some())
        };
        let all = hello.signature_schemes();
        let mut schemes = all.to_vec();
        if hello.cipher_suites().iter().any(is_tls13) {
            schemes.retain(|scheme| !is_for_certificates_alone(*scheme));
        }
        // Where none fits, the handshake fails for that reason.
        let chosen = first(&schemes).or_else(|| first(all));
        chosen.or(candidates.first()).cloned()
    }
}

/// RFC 8446 §B.4
fn is_tls13(suite: &CipherSuite) -> bool {
    u16::from(*suite) >> 8 == 0x13
}

/// In TLS 1.3 these sign certificates, and no handshake (RFC 8446 §4.2.3).
fn is_for_certificates_alone(scheme: SignatureScheme) -> bool {
    use SignatureScheme as Is;
    matches!(
        scheme,
        Is::RSA_PKCS1_SHA1 | Is::RSA_PKCS1_SHA256 | Is::RSA_PKCS1_SHA384 | Is::RSA_PKCS1_SHA512
    )
}
