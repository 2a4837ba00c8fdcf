//! The PROXY protocol, versions 1 and 2: who is behind a balancer.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use ppp::{HeaderResult, v1, v2};
use tokio::{io::AsyncReadExt, net::TcpStream};

/// The longest header of version 1, its end included.
const LONGEST_V1: usize = 107;
/// The first bytes of version 2.
const SIGNATURE_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The fixed part of version 2: signature, command, family, length.
const FIXED_V2: usize = 16;
/// The most bytes that may follow it here: addresses and a few extensions.
const LONGEST_V2: usize = 4096;

/// Whether a connection that begins with these bytes, eleven at most, begins with a header.
#[must_use]
pub fn begins(first: &[u8]) -> bool {
    let signature = SIGNATURE_V2.get(..first.len().min(11)).unwrap_or_default();
    first.starts_with(b"PROXY ") || (first.len() >= 11 && first.starts_with(signature))
}

/// Client and server as the balancer saw them; none when it speaks for itself (a health check).
pub type Addresses = Option<(SocketAddr, SocketAddr)>;

/// Reads the header, and not a byte beyond it.
///
/// # Errors
/// A connection that does not begin with one.
pub async fn read_header(tcp: &mut TcpStream) -> io::Result<Addresses> {
    let mut header = vec![0; SIGNATURE_V2.len()];
    tcp.read_exact(&mut header).await?;
    if header == SIGNATURE_V2 {
        header.resize(FIXED_V2, 0);
        let rest = header.get_mut(SIGNATURE_V2.len()..).unwrap_or_default();
        tcp.read_exact(rest).await?;
        let length = match header.last_chunk::<2>() {
            Some(length) => usize::from(u16::from_be_bytes(*length)),
            None => 0,
        };
        if length > LONGEST_V2 {
            return Err(invalid("it is too long"));
        }
        header.resize(FIXED_V2 + length, 0);
        let rest = header.get_mut(FIXED_V2..).unwrap_or_default();
        tcp.read_exact(rest).await?;
    } else {
        // A line whose length nobody tells: what follows it is the client's.
        while !header.ends_with(b"\r\n") {
            if header.len() >= LONGEST_V1 {
                return Err(invalid("it has no end"));
            }
            header.push(tcp.read_u8().await?);
        }
    }
    parse(&header)
}

fn parse(header: &[u8]) -> io::Result<Addresses> {
    match HeaderResult::parse(header) {
        HeaderResult::V1(Ok(header)) => Ok(match header.addresses {
            v1::Addresses::Tcp4(ip) => Some((
                socket(ip.source_address, ip.source_port),
                socket(ip.destination_address, ip.destination_port),
            )),
            v1::Addresses::Tcp6(ip) => Some((
                socket(ip.source_address, ip.source_port),
                socket(ip.destination_address, ip.destination_port),
            )),
            v1::Addresses::Unknown => None,
        }),
        HeaderResult::V2(Ok(header)) if header.command == v2::Command::Local => Ok(None),
        HeaderResult::V2(Ok(header)) => Ok(match header.addresses {
            v2::Addresses::IPv4(ip) => Some((
                socket(ip.source_address, ip.source_port),
                socket(ip.destination_address, ip.destination_port),
            )),
            v2::Addresses::IPv6(ip) => Some((
                socket(ip.source_address, ip.source_port),
                socket(ip.destination_address, ip.destination_port),
            )),
            v2::Addresses::Unix(_) | v2::Addresses::Unspecified => None,
        }),
        HeaderResult::V1(Err(error)) => Err(invalid(&error.to_string())),
        HeaderResult::V2(Err(error)) => Err(invalid(&error.to_string())),
    }
}

fn socket(address: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(address.into(), port)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the PROXY protocol header: {what}"),
    )
}
