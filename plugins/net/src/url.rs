//! Where requests go, and what goes with them.

/// A service: "https://auth.example.org:8443/login".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Whether it is https.
    pub secure: bool,
    /// Name or address, and a port if it is not the usual one.
    pub authority: String,
    /// From "/" on, with the query.
    pub path: String,
}

impl Url {
    /// Reads one; none where it is no plain URL of a service.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let secure = match scheme {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        if authority.is_empty() || !printable || authority.contains('@') || text.contains('#') {
            return None;
        }
        let path = match path.as_bytes().first() {
            Some(b'/') => path.to_owned(),
            _ => format!("/{path}"),
        };
        Some(Self {
            secure,
            authority: authority.to_owned(),
            path,
        })
    }
}

/// Whether this can be a header of a request, besides those that are made for each.
pub fn header(name: &str, value: &str) -> bool {
    const OWN: &[&str] = &[
        "connection",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
    ];
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let text = |byte: u8| byte == b'\t' || (b' '..=b'~').contains(&byte);
    !name.is_empty()
        && name.bytes().all(token)
        && value.bytes().all(text)
        && !OWN.iter().any(|own| name.eq_ignore_ascii_case(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_services_apart() {
        for (text, secure, authority, path) in [
            ("https://a.example/x/y?z=1", true, "a.example", "/x/y?z=1"),
            ("http://127.0.0.1:8080", false, "127.0.0.1:8080", "/"),
            ("http://[::1]:80?a", false, "[::1]:80", "/?a"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(
                (url.secure, url.authority.as_str(), url.path.as_str()),
                (secure, authority, path)
            );
        }
        for text in [
            "",
            "a.example",
            "ftp://a.example/",
            "https://",
            "https:///x",
            "https://me:secret@a.example/",
            "https://a.example/#here",
            "https://a.example/a b",
            "https://a.example/\r\nx: y",
        ] {
            assert_eq!(Url::parse(text), None, "{text}");
        }
    }

    #[test]
    fn headers_are_one_line() {
        assert!(header("Authorization", "Bearer abc"));
        for (name, value) in [
            ("", "x"),
            ("a b", "x"),
            ("a", "x\r\nb: c"),
            ("a", "\u{e9}"),
            ("Content-Length", "1"),
            ("host", "x"),
        ] {
            assert!(!header(name, value), "{name}: {value}");
        }
    }
}
