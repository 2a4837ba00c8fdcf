//! The client's TLS.

use std::{path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs as provider},
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};

use crate::session::Outcome;

#[derive(Args, Clone)]
pub struct TlsArgs {
    /// Trust this certificate, PEM; without it there is no TLS
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Name expected in the certificate
    #[arg(long, default_value = "localhost")]
    server_name: String,
    /// Offer this version alone
    #[arg(long = "tls", value_enum)]
    version: Option<Version>,
    /// Offer this cipher alone
    #[arg(long, value_enum)]
    cipher: Option<Cipher>,
    /// Groups for the key exchange that are offered, in this order
    #[arg(long, value_enum, value_delimiter = ',', default_value = "x25519,p256")]
    kx: Vec<Group>,
    /// Sessions that share a cache of TLS sessions
    #[arg(long, value_enum, default_value = "session")]
    resume: Scope,
}

#[derive(ValueEnum, Clone, Copy)]
enum Version {
    #[value(name = "1.2")]
    V12,
    #[value(name = "1.3")]
    V13,
}

#[derive(ValueEnum, Clone, Copy)]
enum Cipher {
    Aes128,
    Aes256,
    Chacha20,
}

#[derive(ValueEnum, Clone, Copy)]
enum Group {
    X25519,
    P256,
    P384,
    Mlkem,
}

#[derive(ValueEnum, Clone, Copy)]
enum Scope {
    /// Data connections resume their own control connection, as common clients do
    Session,
    /// One cache for all: control connections resume, too
    All,
    None,
}

#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    scope: Scope,
    pub name: ServerName<'static>,
}

impl Tls {
    pub fn new(args: &TlsArgs) -> Outcome<Option<Self>> {
        let Some(file) = &args.ca else {
            return Ok(None);
        };
        let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))? {
            let certificate = certificate.map_err(|error| wrong(&error))?;
            roots.add(certificate).map_err(|error| wrong(&error))?;
        }
        let versions: &[&SupportedProtocolVersion] = match args.version {
            None => rustls::ALL_VERSIONS,
            Some(Version::V12) => &[&TLS12],
            Some(Version::V13) => &[&TLS13],
        };
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(provider_of(args.cipher, &args.kx)))
                .with_protocol_versions(versions)
                .map_err(|error| error.to_string())?
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.resumption = match args.resume {
            Scope::None => Resumption::disabled(),
            _ => Resumption::in_memory_sessions(256),
        };
        let name = ServerName::try_from(args.server_name.clone());
        Ok(Some(Self {
            config: Arc::new(config),
            scope: args.resume,
            name: name.map_err(|error| error.to_string())?,
        }))
    }

    /// The settings for one FTP session.
    pub fn session(&self) -> Arc<ClientConfig> {
        if !matches!(self.scope, Scope::Session) {
            return self.config.clone();
        }
        let mut config = (*self.config).clone();
        config.resumption = Resumption::in_memory_sessions(4);
        Arc::new(config)
    }
}

fn provider_of(cipher: Option<Cipher>, groups: &[Group]) -> CryptoProvider {
    let mut provider = provider::default_provider();
    if let Some(cipher) = cipher {
        let name = match cipher {
            Cipher::Aes128 => "AES_128_GCM",
            Cipher::Aes256 => "AES_256_GCM",
            Cipher::Chacha20 => "CHACHA20",
        };
        let offered = |suite: &str| suite.contains(name);
        provider
            .cipher_suites
            .retain(|suite| offered(&format!("{:?}", suite.suite())));
    }
    let group = |group: &Group| match group {
        Group::X25519 => provider::kx_group::X25519,
        Group::P256 => provider::kx_group::SECP256R1,
        Group::P384 => provider::kx_group::SECP384R1,
        Group::Mlkem => provider::kx_group::X25519MLKEM768,
    };
    provider.kx_groups = groups.iter().map(group).collect();
    provider
}
