//! The addresses of data connections, in the forms of RFC 959 and RFC 2428.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use super::text::digits;

/// Reads `h1,h2,h3,h4,p1,p2` (RFC 959 §4.1.2, PORT).
///
/// Whether the server may connect to it (RFC 2577 §3) is for the session to say.
pub fn parse_port(argument: &str) -> Result<SocketAddrV4, AddressError> {
    let mut numbers = [0u8; 6];
    let mut parts = argument.split(',');
    for number in &mut numbers {
        let part = parts
            .next()
            .filter(|part| part.len() <= 3)
            .ok_or(AddressError)?;
        *number = digits(part).ok_or(AddressError)?;
    }
    if parts.next().is_some() {
        return Err(AddressError);
    }
    let [h1, h2, h3, h4, p1, p2] = numbers;
    Ok(SocketAddrV4::new(
        Ipv4Addr::new(h1, h2, h3, h4),
        u16::from_be_bytes([p1, p2]),
    ))
}

/// Reads `|1|192.0.2.1|6275|` or `|2|2001:db8::1|5282|` (RFC 2428 §2, EPRT), with any printable
/// character in the place of the bar.
pub fn parse_eprt(argument: &str) -> Result<SocketAddr, EprtError> {
    let delimiter = argument.chars().next().filter(char::is_ascii_graphic);
    let mut fields = argument.split(delimiter.ok_or(EprtError::Syntax)?);
    let mut field = || fields.next().ok_or(EprtError::Syntax);
    let (before, family, address, port, after) = (field()?, field()?, field()?, field()?, field()?);
    if !before.is_empty() || !after.is_empty() || fields.next().is_some() {
        return Err(EprtError::Syntax);
    }
    let address = match digits::<u32>(family) {
        Some(1) => address.parse::<Ipv4Addr>().ok().map(IpAddr::from),
        Some(2) => address.parse::<Ipv6Addr>().ok().map(IpAddr::from),
        Some(_) => return Err(EprtError::UnknownFamily),
        None => None,
    };
    let port = digits::<u16>(port).filter(|_| port.len() <= 5);
    address
        .zip(port)
        .map(SocketAddr::from)
        .ok_or(EprtError::Syntax)
}

/// The text of reply 227 (RFC 959 §4.1.2, PASV).
pub fn pasv_text(address: SocketAddrV4) -> String {
    let [h1, h2, h3, h4] = address.ip().octets();
    let [p1, p2] = address.port().to_be_bytes();
    format!("Entering Passive Mode ({h1},{h2},{h3},{h4},{p1},{p2}).")
}

/// The text of reply 229 (RFC 2428 §3).
pub fn epsv_text(port: u16) -> String {
    format!("Entering Extended Passive Mode (|||{port}|)")
}

/// An address in its shortest form, IPv4 if it is mapped into IPv6; unlike `IpAddr`, it keeps the
/// scope without which a link-local address names nobody (RFC 4007 §6).
#[must_use]
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::from((ip, address.port())),
        IpAddr::V6(ip) => with_scope(ip, address.port(), scope(address)),
    }
}

/// The same host with another port.
#[must_use]
pub fn with_port(address: SocketAddr, port: u16) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) => SocketAddr::from((ip, port)),
        IpAddr::V6(ip) => with_scope(ip, port, scope(address)),
    }
}

/// Whether both are of one host: the same address, on the same link where both name one.
#[must_use]
pub fn same_host(one: SocketAddr, other: SocketAddr) -> bool {
    let (scope, other_scope) = (scope(one), scope(other));
    one.ip().to_canonical() == other.ip().to_canonical()
        && (scope == other_scope || scope == 0 || other_scope == 0)
}

fn scope(address: SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(address) => address.scope_id(),
    }
}

fn with_scope(ip: Ipv6Addr, port: u16, scope: u32) -> SocketAddr {
    SocketAddrV6::new(ip, port, 0, scope).into()
}

/// The argument of PORT is no address (501).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AddressError;

impl fmt::Display for AddressError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Not an address of the form h1,h2,h3,h4,p1,p2")
    }
}

impl std::error::Error for AddressError {}

/// Why the argument of EPRT is no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EprtError {
    /// It is malformed (501).
    Syntax,
    /// Its network protocol is neither 1 nor 2 (522).
    UnknownFamily,
}

impl fmt::Display for EprtError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Syntax => "Not an address of the form |1|address|port|",
            Self::UnknownFamily => "Network protocol not supported, use (1,2)",
        })
    }
}

impl std::error::Error for EprtError {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn port() {
        for (argument, expected) in [
            ("192,0,2,1,24,131", "192.0.2.1:6275"),
            ("0,0,0,0,0,0", "0.0.0.0:0"),
            ("255,255,255,255,255,255", "255.255.255.255:65535"),
            ("127,000,000,001,4,1", "127.0.0.1:1025"),
        ] {
            assert_eq!(parse_port(argument).unwrap().to_string(), expected);
        }
        for argument in [
            "",
            ",,,,,",
            "1,2,3,4,5",
            "1,2,3,4,5,6,",
            "1,2,3,4,5,6,7",
            "256,2,3,4,5,6",
            "1,2,3,4,5,256",
            "+1,2,3,4,5,6",
            "-1,2,3,4,5,6",
            "1, 2,3,4,5,6",
            "1,2,3,4,5,6 ",
            "0001,2,3,4,5,6",
            "0x1,2,3,4,5,6",
            "1.2.3.4,5,6",
            "(1,2,3,4,5,6)",
            "a,b,c,d,e,f",
            "1,2,3,4,5,4294967297",
        ] {
            assert_eq!(parse_port(argument), Err(AddressError), "{argument:?}");
        }
    }

    #[test]
    fn eprt() {
        for (argument, expected) in [
            ("|1|132.235.1.2|6275|", "132.235.1.2:6275"),
            (
                "|2|1080::8:800:200C:417A|5282|",
                "[1080::8:800:200c:417a]:5282",
            ),
            ("|2|::ffff:192.0.2.1|5282|", "[::ffff:192.0.2.1]:5282"),
            ("!1!127.0.0.1!1!", "127.0.0.1:1"),
            ("~2~::1~65535~", "[::1]:65535"),
        ] {
            assert_eq!(parse_eprt(argument).unwrap().to_string(), expected);
        }
        for (argument, error) in [
            ("", EprtError::Syntax),
            ("|", EprtError::Syntax),
            ("|||||", EprtError::Syntax),
            ("|1|127.0.0.1|21", EprtError::Syntax),
            ("1|127.0.0.1|21|", EprtError::Syntax),
            ("|1|127.0.0.1|21||", EprtError::Syntax),
            ("|1|127.0.0.1|65536|", EprtError::Syntax),
            ("|1|127.0.0.1|+21|", EprtError::Syntax),
            ("|1|127.0.0.1|000021|", EprtError::Syntax),
            ("|1|127.0.0.1||", EprtError::Syntax),
            ("|1|::1|21|", EprtError::Syntax),
            ("|2|127.0.0.1|21|", EprtError::Syntax),
            ("|2|[::1]|21|", EprtError::Syntax),
            ("|2|fe80::1%1|21|", EprtError::Syntax),
            ("|1|localhost|21|", EprtError::Syntax),
            ("|1| 127.0.0.1|21|", EprtError::Syntax),
            ("|x|127.0.0.1|21|", EprtError::Syntax),
            ("||127.0.0.1|21|", EprtError::Syntax),
            (" 1 127.0.0.1 21 ", EprtError::Syntax),
            ("é1é127.0.0.1é21é", EprtError::Syntax),
            ("|0|127.0.0.1|21|", EprtError::UnknownFamily),
            ("|3|whatever|x|", EprtError::UnknownFamily),
        ] {
            assert_eq!(parse_eprt(argument), Err(error), "{argument:?}");
        }
    }

    #[test]
    fn a_scope_is_kept_and_compared() {
        let of = |text: &str| text.parse::<SocketAddr>().unwrap();
        for (text, expected) in [
            ("[::ffff:192.0.2.1]:21", "192.0.2.1:21"),
            ("192.0.2.1:21", "192.0.2.1:21"),
            ("[fe80::1%7]:21", "[fe80::1%7]:21"),
        ] {
            assert_eq!(canonical(of(text)), of(expected));
            assert_eq!(with_port(of(expected), 21), of(expected));
        }
        assert_eq!(with_port(of("[fe80::1%7]:21"), 0), of("[fe80::1%7]:0"));
        for (one, other, expected) in [
            ("[fe80::1%7]:1", "[fe80::1%7]:2", true),
            ("[fe80::1%7]:1", "[fe80::1%8]:1", false),
            ("[fe80::1%7]:1", "[fe80::1]:1", true),
            ("[fe80::1%7]:1", "[fe80::2%7]:1", false),
            ("[::ffff:192.0.2.1]:1", "192.0.2.1:2", true),
        ] {
            assert_eq!(same_host(of(one), of(other)), expected, "{one} {other}");
        }
    }

    #[test]
    fn texts() {
        let address = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 6275);
        assert_eq!(
            pasv_text(address),
            "Entering Passive Mode (192,0,2,1,24,131)."
        );
        assert_eq!(epsv_text(6446), "Entering Extended Passive Mode (|||6446|)");
    }

    #[test]
    fn what_is_announced_is_what_is_read() {
        for port in [0, 1, 255, 256, 1024, 65535] {
            let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
            let text = pasv_text(address);
            let inside = text.split(['(', ')']).nth(1).unwrap();
            assert_eq!(parse_port(inside), Ok(address));
        }
    }
}
