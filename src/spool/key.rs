//! Which upload is whose.

use aws_lc_rs::digest;

/// What an upload is found by again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Key([u8; 32]);

impl Key {
    /// `path` is counted from the storage's root; it holds no NUL, so the last one ends the owner.
    pub(super) fn new(storage: &str, owner: &str, home: &str, path: &str) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for text in [storage, "\0", owner, "\0", home, path] {
            context.update(text.as_bytes());
        }
        let mut key = [0; 32];
        for (to, from) in key.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        Self(key)
    }

    /// What [`digits`](Self::digits) gave.
    pub(super) fn from_digits(text: &str) -> Option<Self> {
        let (digits, []) = text.as_bytes().as_chunks::<2>() else {
            return None;
        };
        let mut key = [0; 32];
        if digits.len() != key.len() {
            return None;
        }
        for (to, [high, low]) in key.iter_mut().zip(digits) {
            let digit = |byte: &u8| char::from(*byte).to_digit(16).map(|digit| digit as u8);
            *to = digit(high)? << 4 | digit(low)?;
        }
        Some(Self(key))
    }

    /// In lower-case hexadecimal, with room for what follows.
    pub(super) fn digits(self) -> String {
        let mut text = String::with_capacity(2 * self.0.len() + 24);
        let halves = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        text.extend(halves.filter_map(|half| char::from_digit(half.into(), 16)));
        text
    }
}
