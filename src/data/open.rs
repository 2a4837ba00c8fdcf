//! Opening a data connection: who may, and how it is proven.

use std::{fmt, future::poll_fn, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{
    Channel,
    arrivals::Arrivals,
    proxied::HeaderError,
    socket::{Meter, Socket},
};
use crate::{
    config::Binding,
    ftp::address::same_host,
    open_files,
    tls::{
        SessionTls,
        errors::HandshakeError,
        session::{Direction, Proof, proof},
    },
    types::PeerCertificate,
};

/// The most bytes that rustls holds on their way out, and those that a pump reads at a time. Where other
/// machines share the memory's bandwidth, a download takes a fifth less of the processor than with 256
/// KiB, which no core's own cache holds beside what it is encrypted to; on a quiet machine a tenth more.
pub const BUFFER_LIMIT: usize = 64 << 10;

/// How the next data connection comes about.
pub enum Route {
    /// The client connects to us (PASV, EPSV).
    Passive(Box<Arrivals>),
    /// We connect to the client (PORT, EPRT).
    Active {
        /// The client's address, checked when the command came.
        to: SocketAddr,
        /// Our end of the control connection, with port 0.
        from: SocketAddr,
    },
}

impl Route {
    /// Counts what moves.
    #[must_use]
    pub fn meter(&self) -> Arc<Meter> {
        match self {
            Self::Passive(arrivals) => arrivals.meter(),
            Self::Active { .. } => Arc::default(),
        }
    }
}

/// The terms that a data connection has to meet.
#[derive(Clone)]
pub struct Terms {
    /// The client on the control connection; its port is of no importance.
    pub peer: SocketAddr,
    /// None for PROT C.
    pub tls: Option<Arc<SessionTls>>,
    /// The control connection's client certificate.
    pub certificate: Option<Arc<PeerCertificate>>,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// Hears of connections that are not taken.
    pub reporter: Arc<dyn DropReporter>,
}

/// Hears of connections that are not taken.
pub trait DropReporter: Send + Sync {
    /// One was dropped, and the wait for the right one goes on, or another one is taken.
    fn dropped(&self, from: SocketAddr, why: &Dropped);
}

/// Why a connection is not taken.
#[derive(Debug)]
pub enum Dropped {
    /// It came from somebody else.
    OtherAddress,
    /// It came from the right address, and did not prove itself.
    Refused(Refused),
    /// Its handshake began under other terms than those of the transfer.
    OtherTerms,
    /// It came from a balancer that did not say whose it is.
    Unnamed(HeaderError),
}

impl fmt::Display for Dropped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherAddress => formatter.write_str("It came from another address"),
            Self::Refused(refused) => refused.fmt(formatter),
            Self::OtherTerms => formatter.write_str("It began under another protection"),
            Self::Unnamed(error) => error.fmt(formatter),
        }
    }
}

/// Everything that opening a data connection takes.
pub struct Opening {
    /// The side that connects.
    pub route: Route,
    /// The terms of the connection.
    pub terms: Terms,
    /// Which way the bytes go.
    pub direction: Direction,
    /// How long to wait for the connection.
    pub data_timeout: Duration,
    /// Counts what moves.
    pub meter: Arc<Meter>,
    /// The result, where it came before the transfer was announced.
    pub settled: Option<Result<Channel, OpenError>>,
}

/// Why there is no data connection.
#[derive(Debug)]
pub enum OpenError {
    /// Nobody came in time: 425.
    Timeout,
    /// Balancers came in time, and did not say for whom: 425.
    Unnamed(HeaderError),
    /// It could not be made: 425.
    Connect(io::Error),
    /// TLS failed, or did not prove what it must: 522 (RFC 4217 §10).
    Refused(Refused),
}

/// Why a connection from the right address was refused.
#[derive(Debug)]
pub enum Refused {
    /// The handshake failed.
    Handshake(HandshakeError),
    /// It did not resume the session of the control connection.
    Unbound,
    /// Another client certificate.
    OtherClient,
    /// It came to the port of all sessions, and may have been another's.
    Ambiguous,
}

impl fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => formatter.write_str("No data connection was made in time"),
            Self::Unnamed(error) => error.fmt(formatter),
            Self::Connect(error) if open_files::is_exhausted(error) => {
                formatter.write_str(open_files::TEXT)
            }
            Self::Connect(_) => formatter.write_str("Cannot open the data connection"),
            Self::Refused(refused) => refused.fmt(formatter),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(HandshakeError::Clear) => {
                formatter.write_str("The data connection came in the clear, but PROT P is in force")
            }
            Self::Handshake(why) => write!(
                formatter,
                "The TLS handshake on the data connection failed: {why}"
            ),
            Self::Unbound => formatter.write_str(
                "The data connection must resume the TLS session of the control connection",
            ),
            Self::OtherClient => formatter.write_str(
                "The data connection must use the client certificate of the control connection",
            ),
            Self::Ambiguous => formatter.write_str(
                "Several sessions of your address wait for a data connection: resume the TLS \
                 session of the control connection, or have one at a time",
            ),
        }
    }
}

/// A connection on its way through the handshake, to what it proves.
pub(super) type Candidate = Pin<Box<dyn Future<Output = Checked> + Send + Sync>>;
/// The connection and what it proves.
pub(super) type Checked = Result<(Channel, Proof), Refused>;

impl Opening {
    /// Waits a little for a client that has begun TLS before the transfer is announced.
    pub async fn settle(&mut self) {
        if let Route::Passive(arrivals) = &mut self.route {
            self.settled = arrivals.settle(&self.terms, self.direction).await;
        }
    }

    /// Waits for the data connection, or makes it, and checks it.
    ///
    /// # Errors
    /// When there is none in time, or none that may be used.
    pub async fn open(mut self) -> Result<Channel, OpenError> {
        if let Some(settled) = self.settled.take() {
            return settled;
        }
        let (limit, terms, direction) = (self.data_timeout, &self.terms, self.direction);
        match &mut self.route {
            Route::Passive(arrivals) => {
                let come = poll_fn(|context| arrivals.poll(terms, direction, context));
                match timeout(limit, come).await {
                    Ok(result) => result,
                    Err(_) => Err(arrivals.last_error()),
                }
            }
            Route::Active { to, from } => {
                let tcp = timeout(limit, connect(*to, *from))
                    .await
                    .map_err(|_| OpenError::Timeout)?
                    .map_err(OpenError::Connect)?;
                let checked = terms.check(tcp, self.meter.clone(), direction);
                let (channel, _) = checked.await.map_err(OpenError::Refused)?;
                Ok(channel.begin(direction))
            }
        }
    }
}

impl Terms {
    /// Whether what was proven under the others is proven under these.
    pub(super) fn same(&self, other: &Self) -> bool {
        let same_tls = match (&self.tls, &other.tls) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        same_tls && self.certificate == other.certificate && same_host(self.peer, other.peer)
    }

    /// The handshake and what it proves, as a future that owns what it needs. The server is the TLS
    /// server whoever connected (RFC 4217 §7).
    pub(super) fn check(
        &self,
        tcp: TcpStream,
        meter: Arc<Meter>,
        direction: Direction,
    ) -> Candidate {
        let mut socket = Socket::new(tcp, meter.clone(), self.tls.is_some());
        let Some(tls) = &self.tls else {
            return Box::pin(async { Ok((Channel::plain(socket, meter), Proof::None)) });
        };
        let (config, issuer) = tls.data(direction);
        socket.hold(issuer.given());
        let acceptor = TlsAcceptor::from(config);
        let (binding, minimum) = (tls.binding(), tls.minimum_version());
        let limit = self.handshake_timeout;
        let certificate = self.certificate.clone();
        Box::pin(async move {
            let first = socket.first_bytes();
            let handshake = acceptor.accept_with(socket, |connection| {
                connection.set_buffer_limit(Some(BUFFER_LIMIT));
            });
            let handshake = timeout(limit, handshake).await;
            let stream = handshake
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
                .map_err(|error| {
                    let first = first.get().map_or(&[][..], Vec::as_slice);
                    Refused::Handshake(HandshakeError::new(&error, first, minimum))
                })?;
            let proof = proof(stream.get_ref().1, certificate.as_deref());
            match (proof, binding) {
                (Proof::OtherClient, _) => Err(Refused::OtherClient),
                (Proof::None, Binding::Require) => Err(Refused::Unbound),
                (Proof::None, _) => Ok((Channel::tls(stream, meter), proof)),
                (Proof::Session, _) => {
                    issuer.trust();
                    Ok((Channel::tls(stream, meter), proof))
                }
            }
        })
    }
}

async fn connect(to: SocketAddr, from: SocketAddr) -> io::Result<TcpStream> {
    let socket = match to {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.bind(from)?;
    socket.connect(to).await
}
