//! Listening for one data connection (PASV, EPSV).

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

use crate::ftp::address::with_port;

/// Random tries before the range is searched from end to end.
const TRIES: usize = 16;
/// Connections that may wait: the right one, and strangers that came before it.
const BACKLOG: u32 = 8;

/// Listens on the host of `address` with a port of the range that cannot be foretold (RFC 2577 §8); 0-0 lets the
/// system choose.
///
/// # Errors
/// `AddrInUse` when the whole range is taken.
pub fn listen(address: SocketAddr, (first, last): (u16, u16)) -> io::Result<TcpListener> {
    if (first, last) == (0, 0) {
        return bind(address, 0, BACKLOG);
    }
    let ports = u32::from(last.saturating_sub(first)) + 1;
    for _ in 0..TRIES {
        match bind(address, port(first, random()? % ports), BACKLOG) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            result => return result,
        }
    }
    let start = random()? % ports;
    for step in 0..ports {
        match bind(address, port(first, (start + step) % ports), BACKLOG) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            result => return result,
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

fn port(first: u16, offset: u32) -> u16 {
    first.saturating_add(u16::try_from(offset).unwrap_or(u16::MAX))
}

fn random() -> io::Result<u32> {
    let mut bytes = [0; 4];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("no random numbers"))?;
    Ok(u32::from_ne_bytes(bytes))
}

/// Listens at a port, which others are not to have, too.
///
/// # Errors
/// `AddrInUse`, and those of the system.
pub(super) fn bind(address: SocketAddr, port: u16, backlog: u32) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A port whose last connection is in TIME_WAIT is free.
    socket.set_reuseaddr(true)?;
    socket.bind(with_port(address, port))?;
    socket.listen(backlog)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_port_of_the_range_is_found_and_then_none() {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        // Somebody else may hold some of these: what matters is that none is given twice.
        let range = (18_230, 18_245);
        let mut held = Vec::new();
        while let Ok(listener) = listen(address, range) {
            held.push(listener);
        }
        let mut ports: Vec<u16> = held
            .iter()
            .map(|listener| listener.local_addr().unwrap().port())
            .collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), held.len());
        assert!(ports.len() > 8 && ports.iter().all(|port| (range.0..=range.1).contains(port)));
        assert_eq!(
            listen(address, range).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
    }
}
