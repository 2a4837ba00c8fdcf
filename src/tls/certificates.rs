//! The server's certificates, and which one a client gets.

use std::{collections::HashMap, path::Path, sync::Arc};

use rustls::{
    InconsistentKeys,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use x509_parser::{extensions::GeneralName, prelude::*};
use zeroize::Zeroizing;

use super::{Error, validity};
use crate::config::regular;

/// A certificate chain, its key, and the names that it is for.
pub struct Identity {
    key: Arc<CertifiedKey>,
    /// DNS names in lower case, "*.example.com" among them.
    pub names: Vec<String>,
    /// Certificates of the chain that are not valid, or soon will not be.
    pub warnings: Vec<Error>,
}

impl Identity {
    /// Reads a PEM chain and the PEM key of its first certificate; `setting` names where the
    /// configuration says so.
    ///
    /// # Errors
    /// Unreadable or empty files, a key that does not fit.
    pub fn read(
        provider: &CryptoProvider,
        certificate: &Path,
        key: &Path,
        setting: &str,
    ) -> Result<Self, Error> {
        let pem = regular::read(certificate)
            .map_err(|error| Error::file(setting, "certificate", certificate, &error))?;
        let chain = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Error::file(setting, "certificate", certificate, &error))?;
        let Some(leaf) = chain.first() else {
            return Err(Error::file(
                setting,
                "certificate",
                certificate,
                &"no certificate in it",
            ));
        };
        let names = dns_names(leaf);
        let warnings = chain.iter().filter_map(validity::warning).map(|text| {
            let text = format!("{text}: clients refuse what has expired, and a renewed one takes effect with a reload");
            Error::file(setting, "certificate", certificate, &text)
        });
        let warnings = warnings.collect();
        let pem = regular::read(key)
            .map(Zeroizing::new)
            .map_err(|error| Error::file(setting, "key", key, &error))?;
        let private = PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|error| Error::file(setting, "key", key, &error))?;
        let signing = provider
            .key_provider
            .load_private_key(private)
            .map_err(|error| Error::file(setting, "key", key, &error))?;
        let certified = CertifiedKey::new(chain, signing);
        certified.keys_match().map_err(|error| {
            Error::file(
                setting,
                "key",
                key,
                &misfit(&certified, certificate, &error),
            )
        })?;
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

fn dns_names(leaf: &CertificateDer<'_>) -> Vec<String> {
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
    names.collect()
}

/// Chooses by SNI among several certificates; the first is for everybody else.
#[derive(Debug)]
pub struct Resolver {
    default: Arc<CertifiedKey>,
    by_name: HashMap<String, Arc<CertifiedKey>>,
}

impl Resolver {
    /// `default` serves clients that name no host, or one that nobody has.
    #[must_use]
    pub fn new(default: Identity, others: Vec<Identity>) -> Self {
        let mut by_name = HashMap::new();
        for identity in std::iter::once(&default).chain(&others) {
            for name in &identity.names {
                by_name
                    .entry(name.clone())
                    .or_insert_with(|| identity.key.clone());
            }
        }
        Self {
            default: default.key,
            by_name,
        }
    }

    /// Whether one of the certificates is for this host.
    #[must_use]
    pub fn knows(&self, host: &str) -> bool {
        self.find(&host.to_ascii_lowercase()).is_some()
    }

    fn find(&self, host: &str) -> Option<&Arc<CertifiedKey>> {
        let wildcard = || {
            let (_, parent) = host.split_once('.')?;
            self.by_name.get(&format!("*.{parent}"))
        };
        self.by_name.get(host).or_else(wildcard)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls hands over names in lower case.
        let named = hello.server_name().and_then(|name| self.find(name));
        Some(named.unwrap_or(&self.default).clone())
    }
}
