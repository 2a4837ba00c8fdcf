//! Data connections from balancers: whose they are is said by a PROXY protocol header.
//!
//! A connection from a network of `data.proxy-networks` begins with a header. Until it has been read, the
//! connection is nobody's; then it counts as one from the client that the header names. Connections from
//! elsewhere are what they are, and a header from there is none.

use std::{
    fmt,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use ipnet::IpNet;
use tokio::{net::TcpStream, time::timeout};

use crate::proxy;

/// Headers that are read at a time for one transfer; more connections wait in the system's queue.
const READING: usize = 4;

/// A connection, and the client that its header names.
type Named = Result<(TcpStream, SocketAddr), HeaderError>;

/// Why a connection from a balancer is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// None came in time.
    Timeout,
    /// It names no client: a balancer that speaks for itself.
    Nobody,
    /// Something else came, or it ended before.
    Invalid,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("A proxy opened the data connection without saying for whom: ")?;
        match self {
            Self::Timeout => formatter.write_str("no PROXY protocol header came in time"),
            Self::Nobody => formatter.write_str("its PROXY protocol header names no client"),
            Self::Invalid => formatter.write_str("it began with no PROXY protocol header"),
        }
    }
}

/// Whether an address is in one of these networks.
pub(super) fn is_in(networks: &[IpNet], from: SocketAddr) -> bool {
    let address = from.ip().to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

/// Reads the header of a connection, for so long.
pub(super) async fn named(mut tcp: TcpStream, limit: Duration) -> Named {
    match timeout(limit, proxy::read_header(&mut tcp)).await {
        Ok(Ok(Some((client, _)))) => Ok((tcp, client)),
        Ok(Ok(None)) => Err(HeaderError::Nobody),
        // Others may have sent it: its text is nothing for a reply.
        Ok(Err(_)) => Err(HeaderError::Invalid),
        Err(_) => Err(HeaderError::Timeout),
    }
}

/// The connections whose headers are being read.
#[derive(Default)]
pub(super) struct Proxied {
    networks: Vec<IpNet>,
    reading: Vec<Reading>,
}

struct Reading {
    from: SocketAddr,
    header: Pin<Box<dyn Future<Output = Named> + Send + Sync>>,
}

impl Proxied {
    /// Nothing has come yet from these networks.
    pub(super) fn new(networks: Vec<IpNet>) -> Self {
        let reading = Vec::new();
        Self { networks, reading }
    }

    /// Whether a connection from there has to begin with a header.
    pub(super) fn is_proxy(&self, from: SocketAddr) -> bool {
        is_in(&self.networks, from)
    }

    /// Whether no header is being read.
    pub(super) fn is_empty(&self) -> bool {
        self.reading.is_empty()
    }

    /// Whether more headers can be read.
    pub(super) fn has_room(&self) -> bool {
        self.reading.len() < READING
    }

    /// Reads the header of a connection, for so long.
    pub(super) fn read(&mut self, tcp: TcpStream, from: SocketAddr, limit: Duration) {
        let header = Box::pin(named(tcp, limit));
        self.reading.push(Reading { from, header });
    }

    /// The next one whose header has been read, and the proxy that it came from.
    pub(super) fn next(&mut self, context: &mut Context<'_>) -> Option<(SocketAddr, Named)> {
        let mut at = 0;
        while let Some(reading) = self.reading.get_mut(at) {
            if let Poll::Ready(named) = reading.header.as_mut().poll(context) {
                let from = reading.from;
                drop(self.reading.swap_remove(at));
                return Some((from, named));
            }
            at += 1;
        }
        None
    }
}
