//! Which upload is whose.

use aws_lc_rs::digest;

use crate::types::UserId;

/// The key by which an upload is found again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Key([u8; 32]);

impl Key {
    /// `path` is counted from the storage's root; it holds no NUL, so the last one ends the owner.
    pub(super) fn new(storage: &str, owner: &UserId, home: &str, path: &str) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        // No storage has an empty name: keys of a named host are no other's.
        if let Some(host) = owner.host.name() {
            for text in ["\0", host, "\0"] {
                context.update(text.as_bytes());
            }
        }
        for text in [storage, "\0", &*owner.name, "\0", home, path] {
            context.update(text.as_bytes());
        }
        let mut key = [0; 32];
        for (to, from) in key.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        Self(key)
    }

    /// The key of the text that [`digits`](Self::digits) gave.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::HostId;

    #[test]
    fn uploads_of_earlier_versions_are_found() {
        let key = Key::new("default", &"alice".into(), "/alice", "/in/file");
        let digits = "db5dc6ff27e25c1148a1468074fe6f1c819c2f8807c6935e64aaca84a2e1b4d0";
        assert_eq!(key.digits(), digits);
    }

    #[test]
    fn a_host_tells_users_of_one_name_apart() {
        let of = |host: &str, name: &str| {
            let user = UserId {
                host: HostId::named(host),
                name: name.into(),
            };
            Key::new("default", &user, "/home", "/file").digits()
        };
        let all = [of("", "bob"), of("a", "bob"), of("b", "bob"), of("a", "b")];
        assert_eq!(std::collections::HashSet::from(all).len(), 4);
    }
}
