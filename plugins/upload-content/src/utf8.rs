//! UTF-8 that comes in pieces.

/// Tells whether it is.
#[derive(Debug, Default)]
pub struct Utf8 {
    /// The beginning of a character.
    begun: Vec<u8>,
}

impl Utf8 {
    /// Whether the next piece goes on as it should.
    pub fn goes_on(&mut self, mut bytes: &[u8]) -> bool {
        while !self.begun.is_empty() {
            let Some((byte, rest)) = bytes.split_first() else {
                return true;
            };
            self.begun.push(*byte);
            bytes = rest;
            match std::str::from_utf8(&self.begun) {
                Ok(_) => self.begun.clear(),
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return false,
            }
        }
        match std::str::from_utf8(bytes) {
            Ok(_) => true,
            Err(error) if error.error_len().is_none() => {
                let rest = bytes.get(error.valid_up_to()..).unwrap_or_default();
                self.begun.extend_from_slice(rest);
                true
            }
            Err(_) => false,
        }
    }

    /// Whether no character lacks its end.
    pub fn may_end(&self) -> bool {
        self.begun.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_if_it_came_at_once() {
        for text in [
            "aä€😀".as_bytes(),
            b"\xff",
            b"a\xe2\x82",
            b"\xe2\x82x",
            b"\xc0\x80",
            b"\xed\xa0\x80",
            b"ok \xf0\x9f\x98\x80\xf0",
            b"",
        ] {
            let expected = std::str::from_utf8(text).is_ok();
            for size in 1..=text.len().max(1) {
                let mut utf8 = Utf8::default();
                let goes_on = text.chunks(size).all(|piece| utf8.goes_on(piece));
                assert_eq!(goes_on && utf8.may_end(), expected, "{text:?} {size}");
            }
        }
    }
}
