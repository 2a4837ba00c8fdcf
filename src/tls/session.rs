//! One session's TLS: its control connection, and data connections that only its client can open.

use std::sync::{Arc, OnceLock};

use rustls::{
    CipherSuite, HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection,
    pki_types::CertificateDer, server::ProducesTickets,
};

use super::{
    clients,
    hello::ClientHello,
    session_cache::Remembered,
    tickets::{Issuer, SessionTickets},
};
use crate::{
    config::{Binding, TlsVersion},
    gate::session::TlsFacts,
    types::PeerCertificate,
};

/// Tickets with a control connection's handshake: for clients that use each once.
const CONTROL_TICKETS: usize = 4;
/// The same where data connections must resume: rustls's own client keeps this many.
const CONTROL_TICKETS_REQUIRED: usize = 8;

/// Which way the bytes of a data connection go, seen from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A download or a listing.
    Send,
    /// An upload.
    Receive,
    /// The command has not come yet.
    Unknown,
}

/// Configurations that share one ticket key, which no other session has.
pub struct SessionTls {
    control: Arc<ServerConfig>,
    tickets: Issuer,
    for_data: Arc<Remembered>,
    binding: Binding,
    minimum_version: TlsVersion,
    /// Of the control connection, once its handshake is done.
    version: OnceLock<ProtocolVersion>,
}

/// The proof that a data connection's handshake gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It resumed a ticket of this session: the same client, in TLS 1.2 and 1.3.
    Session,
    /// A full handshake, with the control connection's certificate if that had one.
    None,
    /// The client showed another certificate than on the control connection (RFC 4217 §10.3).
    OtherClient,
}

impl SessionTls {
    pub(super) fn new(
        base: &ServerConfig,
        binding: Binding,
        minimum_version: TlsVersion,
    ) -> Result<Self, rustls::Error> {
        let tickets =
            SessionTickets::control().map_err(|_| rustls::Error::FailedToGetRandomBytes)?;
        let mut control = base.clone();
        control.ticketer = Arc::new(tickets.clone()) as Arc<dyn ProducesTickets>;
        let remembered = Remembered::default();
        let for_data = Arc::new(remembered.read_only());
        control.session_storage = Arc::new(remembered);
        control.send_tls13_tickets = match binding {
            Binding::Require => CONTROL_TICKETS_REQUIRED,
            _ => CONTROL_TICKETS,
        };
        // RFC 7301: another protocol's client is turned away by the handshake; none offered is fine.
        control.alpn_protocols = vec![b"ftp".to_vec()];
        Ok(Self {
            control: Arc::new(control),
            tickets,
            for_data,
            binding,
            minimum_version,
            version: OnceLock::new(),
        })
    }

    /// For the control connection.
    #[must_use]
    pub fn control(&self) -> Arc<ServerConfig> {
        self.control.clone()
    }

    /// The control connection's handshake is done.
    pub fn established(&self, control: &ServerConnection) {
        if let Some(version) = control.protocol_version() {
            let _ = self.version.set(version);
        }
        self.tickets.rest();
    }

    /// For one data connection, with the issuer of its tickets: [`Issuer::trust`] it once the
    /// connection has proven itself.
    ///
    /// In TLS 1.3 a client that uses each ticket once needs another for the one that it has spent. They
    /// follow the handshake, and unless the server sends, they have to be [held back](Issuer::given)
    /// until the end of the upload: a client that closes without having read them makes its kernel send
    /// RST, and the end of the file is lost.
    ///
    /// In TLS 1.2, where a session may be resumed as often as wanted, no data connection hands out a
    /// ticket: OpenSSL then gives up the session that it has resumed, and does not tell the program
    /// of the new one, so that Ruby's Net::FTP would never resume again.
    #[must_use]
    pub fn data(&self, direction: Direction) -> (Arc<ServerConfig>, Issuer) {
        let issuer = match self.version.get() {
            Some(ProtocolVersion::TLSv1_2) => self.tickets.next().that_gives_none(),
            _ => self.tickets.next(),
        };
        let mut data = ServerConfig::clone(&self.control);
        data.ticketer = Arc::new(issuer.clone());
        data.session_storage = self.for_data.clone();
        data.send_tls13_tickets = match direction {
            // One for the one that was spent, one for an upload: not all clients read those of uploads.
            Direction::Send | Direction::Unknown => 2,
            Direction::Receive => 1,
        };
        // FileZilla offers this on data connections.
        data.alpn_protocols.push(b"ftp-data".to_vec());
        (Arc::new(data), issuer)
    }

    /// Whether a client that begins so would resume this session: by what can be seen from outside, which
    /// the handshake has to prove.
    #[must_use]
    pub fn is_meant_by(&self, hello: &ClientHello) -> bool {
        let labels = |ticket: &Vec<u8>| self.tickets.labels(ticket);
        hello.tickets.iter().any(labels) || self.for_data.has(&hello.session_id)
    }

    /// Whether the client has resumed this session on a data connection.
    #[must_use]
    pub fn has_been_resumed(&self) -> bool {
        self.tickets.has_been_resumed()
    }

    /// The oldest version that may be spoken.
    #[must_use]
    pub fn minimum_version(&self) -> TlsVersion {
        self.minimum_version
    }

    /// The version that the control connection has negotiated.
    pub(super) fn version(&self) -> Option<ProtocolVersion> {
        self.version.get().copied()
    }

    /// The binding of data connections by the configuration.
    #[must_use]
    pub fn binding(&self) -> Binding {
        self.binding
    }
}

/// The proof that a finished handshake on a data connection gives; `certificate` is the control
/// connection's.
#[must_use]
pub fn proof(data: &ServerConnection, certificate: Option<&PeerCertificate>) -> Proof {
    if let Some(expected) = certificate
        && leaf(data).is_none_or(|leaf| leaf.as_ref() != expected.der)
    {
        return Proof::OtherClient;
    }
    match data.handshake_kind() {
        Some(HandshakeKind::Resumed) => Proof::Session,
        _ => Proof::None,
    }
}

/// The client's certificate, and those that came with it.
fn presented(connection: &ServerConnection) -> Option<Arc<PeerCertificate>> {
    let (leaf, intermediates) = connection.peer_certificates()?.split_first()?;
    Some(Arc::new(clients::describe(leaf, intermediates)))
}

fn leaf(connection: &ServerConnection) -> Option<&CertificateDer<'static>> {
    connection.peer_certificates()?.first()
}

/// The facts of a control connection's TLS for the gates.
#[must_use]
pub fn facts(connection: &ServerConnection) -> (TlsFacts, Option<Arc<PeerCertificate>>) {
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLSv1.3",
    };
    let cipher_suite = connection
        .negotiated_cipher_suite()
        .map_or("unknown", |suite| iana_name(suite.suite()));
    let certificate = presented(connection);
    (
        TlsFacts {
            version,
            cipher_suite,
        },
        certificate,
    )
}

/// The name in IANA's registry; rustls writes `TLS13_…` where that has `TLS_…`.
fn iana_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => {
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
        }
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => {
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
        }
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => {
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
        }
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => {
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
        }
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => {
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
        }
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => {
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"
        }
        _ => "unknown",
    }
}
