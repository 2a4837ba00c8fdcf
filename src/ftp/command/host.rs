//! The argument of HOST (RFC 7151 §3.1).

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::types::dns;

/// A host name, an IPv4 address or an IPv6 address in brackets; no port. In lower case, as names
/// are compared, and without the dot that may end a full name.
pub(super) fn parse_host(argument: &str) -> Option<String> {
    let host = argument.to_ascii_lowercase();
    if let Some(inside) = host.strip_prefix('[') {
        return inside
            .strip_suffix(']')?
            .parse::<Ipv6Addr>()
            .ok()
            .map(|found| format!("[{found}]"));
    }
    if host.parse::<Ipv4Addr>().is_ok() {
        return Some(host);
    }
    dns::is_host_name(&host).then(|| dns::relative(&host).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (argument, expected) in [
            ("ftp.example.com", "ftp.example.com"),
            ("FTP.Example.COM.", "ftp.example.com"),
            ("localhost", "localhost"),
            ("my_host.lan", "my_host.lan"),
            ("xn--e1afmkfd.example", "xn--e1afmkfd.example"),
            ("3com.example", "3com.example"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:DB8::1]", "[2001:db8::1]"),
            ("[::ffff:192.0.2.1]", "[::ffff:192.0.2.1]"),
        ] {
            assert_eq!(parse_host(argument).as_deref(), Some(expected));
        }
        for argument in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "-a.b",
            "a-.b",
            "a b",
            "a ",
            "ftp.example.com:21",
            "2001:db8::1",
            "[2001:db8::1",
            "[2001:db8::1]:21",
            "[192.0.2.1]",
            "[]",
            "1.2.3",
            "1.2.3.256",
            "a/b",
            "../a",
            "exämple.com",
            "a@b",
            &"a".repeat(64),
            &"a.".repeat(127).replace("a.", "aa."),
        ] {
            assert_eq!(parse_host(argument), None, "{argument:?}");
        }
    }
}
