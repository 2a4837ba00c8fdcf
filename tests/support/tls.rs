//! The certificates that the client offers, and authorities that sign certificates for tests.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs as provider},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
};

/// The version that a client insists on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

/// Both.
pub const VERSIONS: [Version; 2] = [Version::V12, Version::V13];

/// A client's settings. Sessions are cached as rustls does by default: in TLS 1.2 one is used as
/// often as wanted, in TLS 1.3 each ticket once.
#[derive(Clone)]
pub struct Tls {
    /// As rustls takes them.
    pub config: Arc<ClientConfig>,
    /// The name for SNI.
    pub name: ServerName<'static>,
}

impl Tls {
    /// Either version.
    pub fn new() -> Self {
        Self::with(rustls::ALL_VERSIONS, None)
    }

    /// Offers X25519MLKEM768 and nothing else.
    pub fn post_quantum() -> Self {
        let mut crypto = provider::default_provider();
        crypto.kx_groups = vec![provider::kx_group::X25519MLKEM768];
        Self::build(crypto, rustls::ALL_VERSIONS, None)
    }

    /// One version alone.
    pub fn version(version: Version) -> Self {
        Self::with(only(version), None)
    }

    /// With a certificate to show.
    pub fn certificate(version: Version, identity: &Identity) -> Self {
        Self::with(only(version), Some(identity))
    }

    fn with(
        versions: &[&'static rustls::SupportedProtocolVersion],
        identity: Option<&Identity>,
    ) -> Self {
        Self::build(provider::default_provider(), versions, identity)
    }

    fn build(
        crypto: CryptoProvider,
        versions: &[&'static rustls::SupportedProtocolVersion],
        identity: Option<&Identity>,
    ) -> Self {
        let crypto = Arc::new(crypto);
        let builder = ClientConfig::builder_with_provider(crypto.clone())
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(crypto)));
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(vec![identity.certificate.clone()], identity.key())
                .unwrap(),
        };
        Self {
            config: Arc::new(config),
            name: ServerName::try_from("localhost").unwrap(),
        }
    }

    /// The same settings with a cache of their own.
    pub fn apart(&self) -> Self {
        self.change(|config| config.resumption = Resumption::in_memory_sessions(64))
    }

    /// The same settings; every handshake is a full one.
    pub fn without_resumption(&self) -> Self {
        self.change(|config| config.resumption = Resumption::disabled())
    }

    /// Offers these application protocols.
    pub fn alpn(&self, protocols: &[&str]) -> Self {
        self.change(|config| {
            config.alpn_protocols = protocols
                .iter()
                .map(|name| name.as_bytes().to_vec())
                .collect();
        })
    }

    /// Asks for this host.
    pub fn host(&self, name: &str) -> Self {
        Self {
            config: self.config.clone(),
            name: ServerName::try_from(name.to_owned()).unwrap(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut config = (*self.config).clone();
        change(&mut config);
        Self {
            config: Arc::new(config),
            name: self.name.clone(),
        }
    }
}

fn only(version: Version) -> &'static [&'static rustls::SupportedProtocolVersion] {
    static V12: [&rustls::SupportedProtocolVersion; 1] = [&rustls::version::TLS12];
    static V13: [&rustls::SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
    match version {
        Version::V12 => &V12,
        Version::V13 => &V13,
    }
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
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A certificate and its key.
pub struct Identity {
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    key: Vec<u8>,
    /// For files.
    pub certificate_pem: String,
    /// For files.
    pub key_pem: String,
}

impl Identity {
    fn new(certificate: &rcgen::Certificate, key: &KeyPair) -> Self {
        Self {
            certificate: certificate.der().clone(),
            key: key.serialize_der(),
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        }
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }

    /// SHA-256 of the certificate in lower-case hexadecimal.
    pub fn fingerprint(&self) -> String {
        hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.certificate).as_ref())
    }

    /// A self-signed certificate for a server of this name.
    pub fn server(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        Self::new(&params.self_signed(&key).unwrap(), &key)
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Signs certificates of clients.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// For the file of authorities.
    pub pem: String,
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "Authority of a test");
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A certificate with the subject `CN=name`.
    pub fn client(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Identity::new(&params.signed_by(&key, &self.issuer).unwrap(), &key)
    }
}
