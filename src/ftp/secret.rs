//! Texts that no log and no error may show.

use std::fmt;

use zeroize::Zeroizing;

/// A password: it prints as `***`, and its memory is overwritten when it is dropped.
///
/// Safe Rust cannot promise that the compiler kept no other copy; it does promise that this one is
/// gone before the allocator gets the memory back.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text into custody.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself, for the one place that checks it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    /// Looks at every byte, so that the time tells nothing but the length.
    fn eq(&self, other: &Self) -> bool {
        let (left, right) = (self.0.as_bytes(), other.0.as_bytes());
        let difference = left
            .iter()
            .zip(right)
            .fold(0, |sum, (left, right)| sum | (left ^ right));
        left.len() == right.len() && std::hint::black_box(difference) == 0
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// A line of the control connection, without its end: it may be a PASS, so it is kept as a [`Secret`] is.
#[derive(Clone, PartialEq, Eq)]
pub struct Line(Zeroizing<Vec<u8>>);

impl Line {
    /// Takes a copy.
    pub fn new(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }
}

impl std::ops::Deref for Line {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_prints() {
        let secret = Secret::new("hunter2");
        assert_eq!(
            format!("{secret} {secret:?} {:?}", Some(&secret)),
            "*** *** Some(***)"
        );
        assert_eq!(format!("{:?}", Line::new(b"PASS hunter2")), "***");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn it_compares_by_content() {
        assert_eq!(Secret::new("a"), Secret::new("a"));
        for other in ["", "b", "aa", "A"] {
            assert_ne!(Secret::new("a"), Secret::new(other));
        }
    }
}
