//! Names in DNS.

/// Letters, digits and hyphens between dots (RFC 1123 §2.1), or an underscore, which is not for hosts
/// and is used. A full name may end with a dot.
#[must_use]
pub fn is_dns_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| {
        let edge = label.starts_with('-') || label.ends_with('-');
        (1..=63).contains(&label.len()) && !edge && label.bytes().all(plain)
    };
    let name = relative(name);
    name.len() <= 253 && name.split('.').all(is_label)
}

/// A name that cannot be meant as an address: digits in the last place are one, such as the wrong
/// 10.0.0.256 (RFC 1123 §2.1).
#[must_use]
pub fn is_host_name(name: &str) -> bool {
    let last = relative(name).rsplit('.').next().unwrap_or_default();
    is_dns_name(name) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

/// The name without the dot that may end a full one.
#[must_use]
pub fn relative(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts_are_told_from_others() {
        let long = format!("{}.example", "n".repeat(63));
        for name in [
            "localhost",
            "ftp.example.com.",
            "my_host.lan",
            "3com.example",
            &long,
        ] {
            assert!(is_dns_name(name) && is_host_name(name), "{name}");
        }
        for name in ["1", "10.0.0.256", "10.0.0.256."] {
            assert!(is_dns_name(name) && !is_host_name(name), "{name}");
        }
        let longer = format!("n{long}");
        let longest = ["n"; 128].join(".");
        for name in [
            "",
            ".",
            "..",
            "a..",
            "a..b",
            ".a",
            "-a.b",
            "a-.b",
            "ä.example",
            "a b",
            "a:21",
            "*.a",
            &longer,
            &longest,
        ] {
            assert!(!is_dns_name(name) && !is_host_name(name), "{name}");
        }
    }
}
