//! TLS: certificates, client authorities, and the binding of data connections to their sessions.

pub mod certificates;
pub mod clients;
mod der;
pub mod errors;
pub mod hello;
mod in_force;
mod ocsp;
mod revocation;
pub mod self_signed;
pub mod session;
mod session_cache;
pub mod tickets;
pub mod trust;
pub mod validity;

use std::{fmt, path::Path, sync::Arc};

use rustls::{
    ProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs as crypto},
    pki_types::pem,
};

pub use self::{clients::Rejected, in_force::InForce, session::SessionTls};
use crate::{
    config::{self, HostKeys, TlsVersion},
    types::PeerCertificate,
};

/// The parts that all sessions share.
pub struct Tls {
    in_force: Arc<InForce>,
    binding: config::Binding,
    minimum_version: TlsVersion,
    /// Certificates and lists whose time is over, or soon over, each with its key in the configuration.
    pub warnings: Vec<Error>,
}

/// An error in the TLS part of the configuration.
#[derive(Clone, Debug)]
pub struct Error {
    /// The key in the configuration.
    pub key: String,
    /// The error.
    pub text: String,
}

impl Error {
    /// The same with the key that the host has said it by.
    fn of(self, keys: &HostKeys) -> Self {
        Self {
            key: keys.key(&self.key),
            ..self
        }
    }

    fn file(table: &str, key: &str, file: &Path, error: &dyn fmt::Display) -> Self {
        Self {
            key: format!("{table}.{key}"),
            text: format!("{}: {error}", file.display()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.key, self.text)
    }
}

impl std::error::Error for Error {}

impl Tls {
    /// Reads certificates, keys and authorities, and what there is to them, of a host.
    ///
    /// # Errors
    /// The file that cannot be read or used, with its key.
    pub fn new(config: &config::Tls, keys: &HostKeys) -> Result<Self, Error> {
        let mut tls = Self::read(config, keys).map_err(|error| error.of(keys))?;
        let warnings = std::mem::take(&mut tls.warnings).into_iter();
        tls.warnings = warnings.map(|warning| warning.of(keys)).collect();
        Ok(tls)
    }

    fn read(config: &config::Tls, keys: &HostKeys) -> Result<Self, Error> {
        let provider = Arc::new(provider());
        let mut warnings = Vec::new();
        let in_force = InForce::new(provider, (config, keys), &mut warnings)?;
        Ok(Self {
            in_force: Arc::new(in_force),
            binding: config.data_binding,
            minimum_version: config.minimum_version,
            warnings,
        })
    }

    /// The TLS of one control connection and its data connections.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn session(&self) -> Result<SessionTls, rustls::Error> {
        let current = self.in_force.current();
        SessionTls::new(&current.base, self.binding, self.minimum_version)
    }

    /// The TLS of the administration: HTTPS with the same certificates, and no client certificates.
    ///
    /// # Errors
    /// None in practice.
    pub fn https(&self) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
        self.in_force.https()
    }

    /// The ends of the server's certificates: the key in the configuration, the subject, and seconds since
    /// 1970.
    #[must_use]
    pub fn expiries(&self) -> Vec<(String, String, i64)> {
        self.in_force.expiries()
    }

    /// The part that follows its files.
    #[must_use]
    pub fn in_force(&self) -> &Arc<InForce> {
        &self.in_force
    }

    /// Whether a client's certificate, which was verified at some time, would be so now.
    ///
    /// # Errors
    /// Why not.
    pub fn verify(&self, certificate: &PeerCertificate) -> Result<(), Rejected> {
        clients::verify(&*self.in_force.current().clients, certificate)
    }

    /// Whether there is no session without a client's certificate.
    #[must_use]
    pub fn requires_certificates(&self) -> bool {
        self.in_force.current().clients.client_auth_mandatory()
    }

    /// Whether a control connection that was negotiated for another host would have been taken here. A
    /// client certificate was verified there, so that one that is required here is missing.
    #[must_use]
    pub fn is_met_by(&self, negotiated: &SessionTls) -> bool {
        let new_enough = match self.minimum_version {
            TlsVersion::V1_2 => true,
            TlsVersion::V1_3 => negotiated.version() == Some(ProtocolVersion::TLSv1_3),
        };
        new_enough && negotiated.binding() == self.binding && !self.requires_certificates()
    }

    /// Whether one of the certificates is for this host.
    #[must_use]
    pub fn knows(&self, host: &str) -> bool {
        self.in_force.current().resolver.knows(host)
    }
}

/// An error of a PEM file in words.
fn pem_error(error: &pem::Error) -> String {
    let text = String::from_utf8_lossy;
    match error {
        pem::Error::MissingSectionEnd { end_marker } => format!(
            "it ends within a section: -----END {}----- is missing",
            text(end_marker)
        ),
        pem::Error::IllegalSectionStart { line } => {
            format!("no section of PEM begins with {:?}", text(line))
        }
        pem::Error::Base64Decode(_) => {
            "a section of it is damaged: between BEGIN and END has to be base64".to_owned()
        }
        other => other.to_string(),
    }
}

/// The name of one of so many values of a key: the key itself where there is one alone.
fn key_of(key: &str, count: usize, index: usize) -> String {
    match count {
        1 => key.to_owned(),
        _ => format!("{key}[{index}]"),
    }
}

/// aws-lc-rs, in the order that is cheapest for the server: AES-128 with SHA-256 makes the resumed
/// handshake of a small file a quarter cheaper than AES-256 with SHA-384. The hybrid key exchange
/// comes first, so that whoever offers it gets it.
fn provider() -> CryptoProvider {
    use crypto::{cipher_suite as suite, kx_group as group};
    CryptoProvider {
        cipher_suites: vec![
            suite::TLS13_AES_128_GCM_SHA256,
            suite::TLS13_AES_256_GCM_SHA384,
            suite::TLS13_CHACHA20_POLY1305_SHA256,
            suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![
            group::X25519MLKEM768,
            group::X25519,
            group::SECP256R1,
            group::SECP384R1,
        ],
        ..crypto::default_provider()
    }
}
