//! The certificates that the client offers, and authorities that sign certificates for tests.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber, SignatureAlgorithm, SigningKey,
};
use rustls::{
    CipherSuite, ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs as provider},
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
    /// The OCSP response that came with the last full handshake.
    pub stapled: Arc<Mutex<Vec<u8>>>,
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

    /// Offers these algorithms alone: groups of key exchange, and signatures that it can verify.
    pub fn only(
        version: Version,
        groups: Option<&'static dyn SupportedKxGroup>,
        schemes: Option<&[SignatureScheme]>,
    ) -> Self {
        let mut crypto = provider::default_provider();
        if let Some(group) = groups {
            crypto.kx_groups = vec![group];
        }
        if let Some(schemes) = schemes {
            let all = crypto.signature_verification_algorithms.mapping;
            let some = all.iter().filter(|(scheme, _)| schemes.contains(scheme));
            let some: Vec<_> = some.copied().collect();
            crypto.signature_verification_algorithms.mapping = some.leak();
        }
        Self::build(crypto, only(version), None)
    }

    /// Offers these cipher suites alone.
    pub fn suites(version: Version, suites: &[CipherSuite]) -> Self {
        let mut crypto = provider::default_provider();
        crypto
            .cipher_suites
            .retain(|suite| suites.contains(&suite.suite()));
        Self::build(crypto, only(version), None)
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
        let stapled = Arc::new(Mutex::default());
        let builder = ClientConfig::builder_with_provider(crypto.clone())
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(crypto, stapled.clone())));
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(identity.all(), identity.key())
                .unwrap(),
        };
        Self {
            config: Arc::new(config),
            name: ServerName::try_from("localhost").unwrap(),
            stapled,
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
            stapled: self.stapled.clone(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut config = (*self.config).clone();
        change(&mut config);
        Self {
            config: Arc::new(config),
            name: self.name.clone(),
            stapled: self.stapled.clone(),
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
struct AnyCertificate(Arc<CryptoProvider>, Arc<Mutex<Vec<u8>>>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        stapled: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.1.lock().unwrap() = stapled.to_vec();
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
    /// More certificates to show, which lead to an authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// The certificate's number, where an authority has given it one.
    pub serial: SerialNumber,
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
            chain: Vec::new(),
            serial: 0.into(),
            key: key.serialize_der(),
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        }
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }

    fn all(&self) -> Vec<CertificateDer<'static>> {
        let first = std::iter::once(&self.certificate);
        first.chain(&self.chain).cloned().collect()
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
    /// Its own certificate.
    pub certificate: CertificateDer<'static>,
}

/// The status of a certificate in a response of OCSP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is not revoked.
    Good,
    /// It is.
    Revoked,
    /// The responder does not know it.
    Unknown,
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        Self::named("Authority of a test")
    }

    /// A new one of this name.
    pub fn named(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = Self::params(name);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
        }
    }

    /// One below this one, and the serial number of its certificate.
    pub fn below(&self, name: &str) -> (Self, SerialNumber) {
        let key = KeyPair::generate().unwrap();
        let mut params = Self::params(name);
        let serial = serial();
        params.serial_number = Some(serial.clone());
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let below = Self {
            issuer: Issuer::new(params, key),
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
        };
        (below, serial)
    }

    /// Its key, for files.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A response of OCSP (RFC 6960) about a certificate, for this time in seconds from now.
    pub fn ocsp(
        &self,
        certificate: &CertificateDer<'_>,
        status: Status,
        begin: i64,
        end: Option<i64>,
    ) -> Vec<u8> {
        use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
        use x509_parser::prelude::*;
        let (_, own) = X509Certificate::from_der(&self.certificate).unwrap();
        let (_, about) = X509Certificate::from_der(certificate).unwrap();
        let hash = |bytes: &[u8]| {
            let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes);
            der(0x04, &[hash.as_ref()])
        };
        let time = |seconds: i64| {
            let at = jiff::Timestamp::now().as_second() + seconds;
            let at = jiff::Timestamp::from_second(at).unwrap();
            der(0x18, &[at.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes()])
        };
        let sha1 = der(
            0x30,
            &[&der(0x06, &[&[0x2b, 0x0e, 0x03, 0x02, 0x1a]]), &[5, 0]],
        );
        let id = der(
            0x30,
            &[
                &sha1,
                &hash(own.subject().as_raw()),
                &hash(&own.public_key().subject_public_key.data),
                &der(0x02, &[about.raw_serial()]),
            ],
        );
        let status = match status {
            Status::Good => der(0x80, &[]),
            Status::Revoked => der(0xa1, &[&time(-100)]),
            Status::Unknown => der(0x82, &[]),
        };
        let end = end.map_or_else(Vec::new, |end| der(0xa0, &[&time(end)]));
        let single = der(0x30, &[&id, &status, &time(begin), &end]);
        let responder = der(0xa1, &[own.subject().as_raw()]);
        let data = der(0x30, &[&responder, &time(0), &der(0x30, &[&single])]);
        let ecdsa = der(0x06, &[&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]]);
        let signature = self.issuer.key().sign(&data).unwrap();
        let signature = der(0x03, &[&[0], &signature]);
        let basic = der(0x30, &[&data, &der(0x30, &[&ecdsa]), &signature]);
        let kind = der(0x06, &[&[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1]]);
        let bytes = der(0x30, &[&kind, &der(0x04, &[&basic])]);
        der(0x30, &[&der(0x0a, &[&[0]]), &der(0xa0, &[&bytes])])
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }

    /// A certificate with the subject `CN=name`.
    pub fn client(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params, &key)
    }

    /// A certificate for a server of this name, with a key of this algorithm.
    pub fn server(&self, name: &str, algorithm: &'static SignatureAlgorithm) -> Identity {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        self.sign(params, &key)
    }

    fn sign(&self, mut params: CertificateParams, key: &KeyPair) -> Identity {
        let serial = serial();
        params.serial_number = Some(serial.clone());
        let signed = params.signed_by(key, &self.issuer).unwrap();
        Identity {
            serial,
            ..Identity::new(&signed, key)
        }
    }

    /// The list of certificates that it has revoked, which ends in a hundred days.
    pub fn revokes(&self, serials: &[&SerialNumber]) -> RevocationList {
        self.revokes_until(serials, Duration::from_secs(100 * 86_400))
    }

    /// The same of a list that is a day old, and ends so long from now.
    pub fn revokes_until(&self, serials: &[&SerialNumber], end: Duration) -> RevocationList {
        let day = Duration::from_secs(86_400);
        self.list(serials, SystemTime::now() - day, SystemTime::now() + end)
    }

    /// The same of a list for this time.
    pub fn list(
        &self,
        serials: &[&SerialNumber],
        begin: SystemTime,
        end: SystemTime,
    ) -> RevocationList {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: (*serial).clone(),
            revocation_time: begin.into(),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: begin.into(),
            next_update: end.into(),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).unwrap();
        RevocationList {
            pem: list.pem().unwrap(),
            der: list.der().to_vec(),
        }
    }
}

/// A list of revoked certificates, in both forms.
pub struct RevocationList {
    /// PEM.
    pub pem: String,
    /// DER.
    pub der: Vec<u8>,
}

/// A structure of DER, of its parts.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut all = vec![tag];
    match content.len() {
        length @ ..=127 => all.push(length as u8),
        length => {
            all.push(0x82);
            all.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
    }
    if (128..256).contains(&content.len()) {
        all.truncate(1);
        all.extend([0x81, content.len() as u8]);
    }
    all.extend(content);
    all
}

/// A number that no other certificate of this process has.
fn serial() -> SerialNumber {
    static NEXT: AtomicU64 = AtomicU64::new(4096);
    NEXT.fetch_add(1, Ordering::Relaxed).into()
}
