//! The client's TLS.

use std::{path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs as provider},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

#[derive(Args, Clone)]
pub struct TlsArgs {
    /// No TLS at all
    #[arg(long)]
    pub plain: bool,
    /// Offer this TLS version only
    #[arg(long = "tls", value_enum)]
    pub version: Option<Version>,
    /// Trust this PEM certificate
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Accept any certificate
    #[arg(long)]
    pub insecure: bool,
    /// Name expected in the certificate
    #[arg(long, default_value = "localhost")]
    pub server_name: String,
    /// Offer this bulk cipher only
    #[arg(long, value_enum)]
    pub cipher: Option<Cipher>,
    /// Key exchange groups offered, in this order: x25519, p256, p384, mlkem
    #[arg(long, value_delimiter = ',', default_value = "x25519,p256,p384")]
    pub kx: Vec<String>,
    /// Which sessions share a TLS session cache
    #[arg(long, value_enum, default_value = "session")]
    pub resume: ResumeScope,
}

#[derive(ValueEnum, Clone, Copy, PartialEq)]
pub enum Version {
    #[value(name = "1.2")]
    V12,
    #[value(name = "1.3")]
    V13,
}

#[derive(ValueEnum, Clone, Copy, PartialEq)]
pub enum Cipher {
    Aes128,
    Aes256,
    Chacha20,
}

#[derive(ValueEnum, Clone, Copy, PartialEq)]
pub enum ResumeScope {
    /// Data channels resume their own control channel's session (as common clients do)
    Session,
    /// One cache for the process: control channels resume too
    All,
    None,
}

#[derive(Clone)]
pub struct Tls {
    base: Arc<ClientConfig>,
    scope: ResumeScope,
    pub name: ServerName<'static>,
}

impl Tls {
    pub fn new(args: &TlsArgs) -> Result<Option<Tls>, String> {
        if args.plain {
            return Ok(None);
        }
        let crypto = Arc::new(crypto(args.cipher, &args.kx)?);
        let versions: &[&rustls::SupportedProtocolVersion] = match args.version {
            None => rustls::ALL_VERSIONS,
            Some(Version::V12) => &[&rustls::version::TLS12],
            Some(Version::V13) => &[&rustls::version::TLS13],
        };
        let builder = ClientConfig::builder_with_provider(crypto.clone())
            .with_protocol_versions(versions)
            .map_err(|e| e.to_string())?;
        let mut config = match (&args.ca, args.insecure) {
            (Some(file), false) => {
                let mut roots = RootCertStore::empty();
                for cert in CertificateDer::pem_file_iter(file)
                    .map_err(|e| format!("{}: {e}", file.display()))?
                {
                    roots
                        .add(cert.map_err(|e| e.to_string())?)
                        .map_err(|e| e.to_string())?;
                }
                builder.with_root_certificates(roots).with_no_client_auth()
            }
            (None, true) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(crypto)))
                .with_no_client_auth(),
            _ => return Err("give one of --ca FILE, --insecure, --plain".into()),
        };
        config.resumption = match args.resume {
            ResumeScope::None => Resumption::disabled(),
            _ => Resumption::in_memory_sessions(256),
        };
        let name = ServerName::try_from(args.server_name.clone()).map_err(|e| e.to_string())?;
        Ok(Some(Tls {
            base: Arc::new(config),
            scope: args.resume,
            name,
        }))
    }

    /// The settings for one FTP session.
    pub fn session(&self) -> Arc<ClientConfig> {
        if self.scope != ResumeScope::Session {
            return self.base.clone();
        }
        let mut config = (*self.base).clone();
        config.resumption = Resumption::in_memory_sessions(4);
        Arc::new(config)
    }
}

fn crypto(cipher: Option<Cipher>, kx: &[String]) -> Result<CryptoProvider, String> {
    let mut crypto = provider::default_provider();
    if let Some(cipher) = cipher {
        let tag = match cipher {
            Cipher::Aes128 => "AES_128_GCM",
            Cipher::Aes256 => "AES_256_GCM",
            Cipher::Chacha20 => "CHACHA20",
        };
        crypto
            .cipher_suites
            .retain(|s| format!("{:?}", s.suite()).contains(tag));
    }
    crypto.kx_groups = kx
        .iter()
        .map(|name| match name.as_str() {
            "x25519" => Ok(provider::kx_group::X25519),
            "p256" => Ok(provider::kx_group::SECP256R1),
            "p384" => Ok(provider::kx_group::SECP384R1),
            "mlkem" => Ok(provider::kx_group::X25519MLKEM768),
            other => Err(format!("unknown key exchange group {other}")),
        })
        .collect::<Result<_, _>>()?;
    Ok(crypto)
}

/// Accepts any certificate, yet still checks the handshake's signature.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
