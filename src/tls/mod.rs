//! TLS: certificates, client authorities, and the binding of data connections to their sessions.

pub mod certificates;
pub mod clients;
pub mod errors;
pub mod self_signed;
pub mod session;
mod session_cache;
pub mod tickets;
pub mod validity;

use std::{fmt, path::Path, sync::Arc};

use rustls::{
    ProtocolVersion, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs as crypto},
    server::{NoServerSessionStorage, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};

use self::certificates::{Identity, Resolver};
pub use self::session::SessionTls;
use crate::{
    config::{self, TlsVersion},
    types::PeerCertificate,
};

/// The parts that all sessions share.
pub struct Tls {
    base: ServerConfig,
    clients: Arc<dyn ClientCertVerifier>,
    resolver: Arc<Resolver>,
    binding: config::Binding,
    minimum_version: TlsVersion,
    /// Certificates whose time is over, or soon over, each with its key in the configuration.
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
    /// Reads certificates, keys and authorities. `certificate` and `key` are the configured ones,
    /// or those that the first start made.
    ///
    /// # Errors
    /// The file that cannot be read or used, with its key.
    pub fn new(config: &config::Tls, certificate: &Path, key: &Path) -> Result<Self, Error> {
        let provider = Arc::new(provider());
        let default = Identity::read(&provider, certificate, key, "tls")?;
        let mut others = Vec::new();
        for (index, host) in config.host.iter().enumerate() {
            let setting = format!("tls.host[{index}]");
            others.push(Identity::read(
                &provider,
                &host.certificate,
                &host.key,
                &setting,
            )?);
        }
        let mut warnings: Vec<Error> = std::iter::once(&default)
            .chain(&others)
            .flat_map(|identity| identity.warnings.iter().cloned())
            .collect();
        let resolver = Arc::new(Resolver::new(default, others));
        let versions = match config.minimum_version {
            TlsVersion::V1_2 => &[&TLS13, &TLS12][..],
            TlsVersion::V1_3 => &[&TLS13][..],
        };
        let clients = clients::verifier(config, &provider, &mut warnings)?;
        let mut base = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .map_err(|error| Error {
                key: "tls".into(),
                text: error.to_string(),
            })?
            .with_client_cert_verifier(clients.clone())
            .with_cert_resolver(resolver.clone());
        // Tickets alone, but for what each session remembers for itself.
        base.session_storage = Arc::new(NoServerSessionStorage {});
        base.ignore_client_order = true;
        Ok(Self {
            base,
            clients,
            resolver,
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
        SessionTls::new(&self.base, self.binding, self.minimum_version)
    }

    /// Whether a client's certificate, which was verified at some time, would be so now.
    ///
    /// # Errors
    /// For the log: why not.
    pub fn verify(&self, certificate: &PeerCertificate) -> Result<(), String> {
        clients::verify(&*self.clients, certificate)
    }

    /// Whether a control connection that was negotiated for another host would have been taken here. A
    /// client certificate was verified there, so that one that is required here is missing.
    #[must_use]
    pub fn is_met_by(&self, negotiated: &SessionTls) -> bool {
        let new_enough = match self.minimum_version {
            TlsVersion::V1_2 => true,
            TlsVersion::V1_3 => negotiated.version() == Some(ProtocolVersion::TLSv1_3),
        };
        new_enough && negotiated.binding() == self.binding && !self.clients.client_auth_mandatory()
    }

    /// Whether one of the certificates is for this host.
    #[must_use]
    pub fn knows(&self, host: &str) -> bool {
        self.resolver.knows(host)
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
