//! Which addresses are public.

use std::net::IpAddr;

/// Neither this machine, nor a network that only this machine can reach, nor one that is no
/// network at all: what a name may point to when its grant names no networks.
pub(super) fn public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [first, second, third, _] = address.octets();
            !(address.is_loopback()
                || address.is_private()
                || address.is_link_local()
                || address.is_documentation()
                || first == 0
                || first >= 224
                // Shared by providers (RFC 6598), of protocols (RFC 6890), 6to4, of benchmarks.
                || (first == 100 && second & 0xc0 == 64)
                || (first == 192 && second == 0 && third == 0)
                || (first == 192 && second == 88 && third == 99)
                || (first == 198 && second & 0xfe == 18))
        }
        // 2000::/3 is all that has been handed out; in it are Teredo and its like, documentation
        // and 6to4. Translated IPv4 addresses (64:ff9b::/96) are not.
        IpAddr::V6(address) => {
            let [first, second, ..] = address.segments();
            first & 0xe000 == 0x2000
                && first != 0x2002
                && first != 0x3fff
                && !(first == 0x2001 && (second < 0x200 || second == 0xdb8))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_only_this_machine_reaches_is_not_public() {
        for address in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!public(address.parse().unwrap()), "{address}");
        }
        for address in ["1.1.1.1", "192.0.1.1", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert!(public(address.parse().unwrap()), "{address}");
        }
    }
}
