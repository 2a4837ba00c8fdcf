//! Which client certificates are a user's.

/// One certificate, or all with one subject.
#[derive(Debug, PartialEq, Eq)]
pub enum Pattern {
    /// The subject, as RFC 4514 writes it, without the spaces that some put after its commas.
    Subject(String),
    /// The SHA-256 digest in lower-case hexadecimal.
    Sha256(String),
}

/// The certificate that a client has shown, as the server describes it.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The subject, as RFC 4514 writes it.
    pub subject: Option<String>,
    /// The SHA-256 digest in lower-case hexadecimal.
    pub sha256: Option<String>,
}

impl Pattern {
    /// Reads "CN=alice,O=Example" or "sha256:" and 64 digits, with or without colons.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(digits) = text.strip_prefix("sha256:") {
            let digits = digits.replace([':', ' '], "").to_ascii_lowercase();
            if digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Ok(Self::Sha256(digits));
            }
        } else if text.contains('=') {
            return Ok(Self::Subject(without_spaces(text)));
        }
        let expected =
            "expected a subject such as \"CN=alice\" or \"sha256:\" and 64 hexadecimal digits";
        Err(format!("{expected}, found {text:?}"))
    }

    /// Whether it is the one that the client has shown.
    pub fn matches(&self, shown: &Shown) -> bool {
        match self {
            Self::Subject(subject) => {
                let shown = shown.subject.as_deref().map(without_spaces);
                shown.as_ref() == Some(subject)
            }
            Self::Sha256(digest) => shown.sha256.as_ref() == Some(digest),
        }
    }
}

/// Leaves out the spaces after commas that separate; a comma within a value has a backslash before
/// it, and what follows that one belongs to the value.
fn without_spaces(subject: &str) -> String {
    let mut text = String::with_capacity(subject.len());
    let (mut escaped, mut separated) = (false, false);
    for c in subject.chars() {
        if separated && c == ' ' {
            continue;
        }
        separated = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(pattern: &str, shown: &str) -> bool {
        let shown = Shown {
            subject: Some(shown.into()),
            sha256: None,
        };
        Pattern::parse(pattern).unwrap().matches(&shown)
    }

    #[test]
    fn compares_subjects_as_a_whole() {
        assert!(subject("CN=alice,O=Example", "CN=alice,O=Example"));
        assert!(subject("CN=alice,  O=Example", "CN=alice,O=Example"));
        assert!(subject("CN=alice,O=Example", "CN=alice, O=Example"));
        assert!(!subject("CN=alice", "CN=alice,O=Example"));
        assert!(!subject("CN=alice", "CN=Alice"));
        assert!(!subject("CN=alice,O=Example", "O=Example,CN=alice"));
    }

    #[test]
    fn an_escaped_comma_separates_nothing() {
        assert!(!subject(r"CN=a\, O=b", r"CN=a\,O=b"));
        assert!(!subject(r"CN=a\,O=b", r"CN=a,O=b"));
        assert!(subject(r"CN=a\\, O=b", r"CN=a\\,O=b"));
    }

    #[test]
    fn compares_digests_without_colons_and_case() {
        let shown = Shown {
            subject: None,
            sha256: Some("0a".repeat(32)),
        };
        let colons = format!("sha256:{}", ["0A"; 32].join(":"));
        assert!(Pattern::parse(&colons).unwrap().matches(&shown));
        assert!(!Pattern::parse(&colons).unwrap().matches(&Shown::default()));
        let other = format!("sha256:{}", "0b".repeat(32));
        assert!(!Pattern::parse(&other).unwrap().matches(&shown));
    }

    #[test]
    fn refuses_what_is_neither() {
        for text in ["", "alice", "sha256:", "sha256:0a", "sha256:CN=alice"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
        assert!(Pattern::parse(&format!("sha256:{}", "zz".repeat(32))).is_err());
    }
}
