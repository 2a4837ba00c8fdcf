//! Opening a data connection: who may, and how it is proven.
//!
//! Strangers do not end the wait. A connection from another address is dropped; one from the right
//! address that fails its handshake or its binding is dropped as well, and the right one has a
//! moment to come before the transfer is refused.

use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::{Sleep, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    Channel,
    socket::{Meter, Socket},
};
use crate::{
    config::Binding,
    gate::session::ClientCertificate,
    tls::{
        SessionTls,
        session::{Direction, Proof, proof},
    },
};

/// What rustls may hold on its way out: with the chunks of the pumps it costs least (measured: less
/// costs a tenth more, more costs a quarter more, none at all holds the whole file in memory).
pub const BUFFER_LIMIT: usize = 256 << 10;
/// How long the right connection may still come, or prove itself, after another one.
const GRACE: Duration = Duration::from_millis(1000);
/// Handshakes at a time for one transfer.
const CANDIDATES: usize = 4;

/// How the next data connection comes about.
pub enum Route {
    /// The client connects to us (PASV, EPSV).
    Passive(TcpListener),
    /// We connect to the client, from this address of ours (PORT, EPRT).
    Active {
        /// The client's address, checked when the command came.
        to: SocketAddr,
        /// Our end of the control connection.
        from: IpAddr,
    },
}

/// Everything that opening a data connection takes.
pub struct Opening {
    /// Who connects.
    pub route: Route,
    /// The client's address on the control connection.
    pub peer: IpAddr,
    /// Which way the bytes go.
    pub direction: Direction,
    /// None for PROT C.
    pub tls: Option<Arc<SessionTls>>,
    /// The control connection's client certificate.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// How long to wait for the connection.
    pub data_timeout: Duration,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// Counts what moves.
    pub meter: Arc<Meter>,
}

/// Why there is no data connection.
#[derive(Debug)]
pub enum OpenError {
    /// Nobody came in time: 425.
    Timeout,
    /// It could not be made: 425.
    Connect(io::Error),
    /// TLS failed, or did not prove what it must: 522 (RFC 4217 §10).
    Tls(Refused),
}

/// Why a connection from the right address was refused.
#[derive(Debug)]
pub enum Refused {
    /// The handshake failed.
    Handshake(io::Error),
    /// It did not resume the session of the control connection.
    Unbound,
    /// Another client certificate.
    OtherClient,
}

impl fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => formatter.write_str("No data connection was made in time"),
            Self::Connect(_) => formatter.write_str("Cannot open the data connection"),
            Self::Tls(Refused::Handshake(_)) => {
                formatter.write_str("The TLS handshake on the data connection failed")
            }
            Self::Tls(Refused::Unbound) => formatter.write_str(
                "The data connection must resume the TLS session of the control connection",
            ),
            Self::Tls(Refused::OtherClient) => formatter.write_str(
                "The data connection must use the client certificate of the control connection",
            ),
        }
    }
}

/// A connection on its way through the handshake, to what it proves.
type Candidate = Pin<Box<dyn Future<Output = Result<(Channel, Proof), Refused>> + Send>>;

impl Opening {
    /// Waits for the data connection, or makes it, and checks it.
    ///
    /// # Errors
    /// When there is none in time, or none that may be used.
    pub async fn open(self) -> Result<Channel, OpenError> {
        let limit = self.data_timeout;
        match &self.route {
            Route::Passive(listener) => {
                let mut wait = Wait {
                    opening: &self,
                    candidates: Vec::new(),
                    held: None,
                    refused: None,
                };
                let accepting = poll_fn(|context| wait.poll(listener, context));
                match timeout(limit, accepting).await {
                    Ok(result) => result,
                    Err(_) => Err(wait
                        .refused
                        .map_or(OpenError::Timeout, |(why, _)| OpenError::Tls(why))),
                }
            }
            Route::Active { to, from } => {
                let tcp = timeout(limit, connect(*to, *from))
                    .await
                    .map_err(|_| OpenError::Timeout)?
                    .map_err(OpenError::Connect)?;
                let (channel, _) = self.check(tcp).await.map_err(OpenError::Tls)?;
                Ok(channel)
            }
        }
    }

    /// The handshake and what it proves, as a future that owns what it needs. The server is the TLS
    /// server whoever connected (RFC 4217 §7).
    fn check(&self, tcp: TcpStream) -> Candidate {
        let socket = Socket::new(tcp, self.meter.clone());
        let meter = self.meter.clone();
        let Some(tls) = &self.tls else {
            return Box::pin(async { Ok((Channel::plain(socket, meter), Proof::None)) });
        };
        let (config, issuer) = tls.data(self.direction);
        let acceptor = TlsAcceptor::from(config);
        let (binding, limit) = (tls.binding(), self.handshake_timeout);
        let certificate = self.certificate.clone();
        Box::pin(async move {
            let handshake = acceptor.accept_with(socket, |connection| {
                connection.set_buffer_limit(Some(BUFFER_LIMIT));
            });
            let stream = timeout(limit, handshake)
                .await
                .map_err(|_| Refused::Handshake(io::ErrorKind::TimedOut.into()))?
                .map_err(Refused::Handshake)?;
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

/// The wait for the right connection among those that come.
struct Wait<'a> {
    opening: &'a Opening,
    candidates: Vec<Candidate>,
    /// One that may be taken and proved nothing, while others still may, for a moment.
    held: Option<(Channel, Pin<Box<Sleep>>)>,
    /// Why the last one was refused, and until when to wait for a better one.
    refused: Option<(Refused, Pin<Box<Sleep>>)>,
}

impl Wait<'_> {
    fn poll(
        &mut self,
        listener: &TcpListener,
        context: &mut Context<'_>,
    ) -> Poll<Result<Channel, OpenError>> {
        loop {
            while self.candidates.len() < CANDIDATES {
                match listener.poll_accept(context) {
                    Poll::Ready(Ok((tcp, from))) => {
                        if from.ip().to_canonical() == self.opening.peer {
                            self.candidates.push(self.opening.check(tcp));
                        } else {
                            tracing::warn!(peer = %from, "a data connection from another address was dropped");
                        }
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(OpenError::Connect(error))),
                    Poll::Pending => break,
                }
            }
            let tls = self.opening.tls.as_ref();
            let prefers = tls.is_some_and(|tls| tls.binding() == Binding::Prefer);
            let before = self.candidates.len();
            let mut at = 0;
            while let Some(candidate) = self.candidates.get_mut(at) {
                match candidate.as_mut().poll(context) {
                    Poll::Ready(Ok((channel, proof))) if proof == Proof::Session || !prefers => {
                        return Poll::Ready(Ok(channel));
                    }
                    Poll::Ready(Ok((channel, _))) => {
                        drop(self.candidates.swap_remove(at));
                        self.held
                            .get_or_insert_with(|| (channel, Box::pin(sleep(GRACE))));
                    }
                    Poll::Ready(Err(why)) => {
                        drop(self.candidates.swap_remove(at));
                        tracing::info!(peer = %self.opening.peer, reason = ?why, "a data connection was refused");
                        self.refused = Some((why, Box::pin(sleep(GRACE))));
                    }
                    Poll::Pending => at += 1,
                }
            }
            // Room again: look for the next one before waiting.
            if before == CANDIDATES && self.candidates.len() < CANDIDATES {
                continue;
            }
            // Where several came, one that resumes wins, whoever was first.
            if let Some((_, grace)) = &mut self.held
                && (self.candidates.is_empty() || grace.as_mut().poll(context).is_ready())
                && let Some((channel, _)) = self.held.take()
            {
                return Poll::Ready(Ok(channel));
            }
            if let Some((_, grace)) = &mut self.refused
                && self.candidates.is_empty()
                && grace.as_mut().poll(context).is_ready()
                && let Some((why, _)) = self.refused.take()
            {
                return Poll::Ready(Err(OpenError::Tls(why)));
            }
            return Poll::Pending;
        }
    }
}

async fn connect(to: SocketAddr, from: IpAddr) -> io::Result<TcpStream> {
    let socket = match to {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}
