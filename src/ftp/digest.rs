//! The hashes of draft-bryan-ftpext-hash, and of the older X commands.

/// A hash that a client may ask for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Algorithm {
    /// The default, unless `OPTS HASH` chooses another.
    #[default]
    Sha256,
    /// SHA-512.
    Sha512,
    /// SHA-1: for clients that know nothing better.
    Sha1,
    /// MD5: likewise, and to compare with digests published elsewhere.
    Md5,
    /// CRC-32 (IEEE): finds accidents, not attacks.
    Crc32,
}

impl Algorithm {
    /// All of them, the best first.
    pub const ALL: [Self; 5] = [
        Self::Sha256,
        Self::Sha512,
        Self::Sha1,
        Self::Md5,
        Self::Crc32,
    ];

    /// The algorithm of a name as in the IANA registry of hash function textual names.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// Its name in FEAT, OPTS HASH and the reply to HASH.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Sha512 => "SHA-512",
            Self::Sha1 => "SHA-1",
            Self::Md5 => "MD5",
            Self::Crc32 => "CRC32",
        }
    }

    /// The line of FEAT when this one is in use: it is the one with a star.
    pub fn feature_line(self) -> String {
        let names = Self::ALL.map(|algorithm| {
            let star = if algorithm == self { "*" } else { "" };
            format!("{}{star}", algorithm.name())
        });
        format!("HASH {}", names.join(";"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::parse(algorithm.name()), Some(algorithm));
            assert_eq!(
                Algorithm::parse(&algorithm.name().to_lowercase()),
                Some(algorithm)
            );
        }
        for name in ["", "SHA", "SHA256", "SHA-256 ", "CRC-64"] {
            assert_eq!(Algorithm::parse(name), None, "{name:?}");
        }
    }

    #[test]
    fn the_feature_line_marks_the_current_one() {
        let line = Algorithm::default().feature_line();
        assert_eq!(line, "HASH SHA-256*;SHA-512;SHA-1;MD5;CRC32");
        assert_eq!(
            Algorithm::Md5.feature_line(),
            "HASH SHA-256;SHA-512;SHA-1;MD5*;CRC32"
        );
    }
}
