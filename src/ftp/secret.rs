//! Texts that no log and no error may show.

use std::fmt;

/// A password: it prints as `***`, and its memory is overwritten when it is dropped.
///
/// Safe Rust cannot promise that the compiler kept no other copy; it does promise that this one is
/// gone before the allocator gets the memory back.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes a text into custody.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that checks it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        wipe(&mut bytes);
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

/// Overwrites bytes that held a secret, in a way that is not optimised away.
pub fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    std::hint::black_box(bytes);
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
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn it_compares_by_content() {
        assert_eq!(Secret::new("a"), Secret::new("a"));
        for other in ["", "b", "aa", "A"] {
            assert_ne!(Secret::new("a"), Secret::new(other));
        }
    }

    #[test]
    fn wiping_leaves_zeros() {
        let mut bytes = *b"hunter2";
        wipe(&mut bytes);
        assert_eq!(bytes, [0; 7]);
    }
}
