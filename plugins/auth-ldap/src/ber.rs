//! The Basic Encoding Rules as far as LDAP takes them (RFC 4511 §5.1): definite lengths, tags of one
//! byte. What is read need not be the shortest form, since not all directories write that.

/// `BOOLEAN`.
pub const BOOLEAN: u8 = 0x01;
/// `INTEGER`.
pub const INTEGER: u8 = 0x02;
/// `OCTET STRING`.
pub const OCTET_STRING: u8 = 0x04;
/// `ENUMERATED`.
pub const ENUMERATED: u8 = 0x0a;
/// `SEQUENCE` and `SEQUENCE OF`.
pub const SEQUENCE: u8 = 0x30;
/// `SET OF`.
pub const SET: u8 = 0x31;

/// What is read is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// One element.
pub fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    let length = content.len().to_be_bytes();
    let significant = length.iter().skip_while(|byte| **byte == 0).copied();
    let significant: Vec<u8> = significant.collect();
    match (u8::try_from(content.len()), u8::try_from(significant.len())) {
        (Ok(short @ 0..=127), _) => bytes.push(short),
        (_, count) => {
            bytes.push(0x80 | count.unwrap_or(0));
            bytes.extend(significant);
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

/// An element made of others.
pub fn group(tag: u8, elements: &[Vec<u8>]) -> Vec<u8> {
    element(tag, &elements.concat())
}

/// `INTEGER`, or what is coded like one.
pub fn integer(tag: u8, value: i32) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    // As long as the first nine bits are the same, the first byte says nothing.
    let redundant = |pair: &[u8]| {
        matches!(pair, [0, next] if next & 0x80 == 0)
            || matches!(pair, [0xff, next] if next & 0x80 != 0)
    };
    let start = bytes.windows(2).take_while(|pair| redundant(pair)).count();
    element(tag, bytes.get(start..).unwrap_or(&bytes))
}

/// Elements, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether there is nothing more.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next element's tag and content.
    pub fn any(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        let (&tag, rest) = self.rest.split_first().ok_or(Malformed)?;
        let (&first, mut rest) = rest.split_first().ok_or(Malformed)?;
        let length = match length_of_length(first)? {
            0 => usize::from(first),
            count => {
                let (bytes, content) = rest.split_at_checked(count).ok_or(Malformed)?;
                rest = content;
                length(bytes)
            }
        };
        let (content, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok((tag, content))
    }

    /// The content of the next element, which has to have this tag.
    pub fn expect(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        match self.any()? {
            (found, content) if found == tag => Ok(content),
            _ => Err(Malformed),
        }
    }

    /// The next element, which has to be made of others.
    pub fn inside(&mut self, tag: u8) -> Result<Self, Malformed> {
        self.expect(tag).map(Self::new)
    }

    /// The next element as a number from 0 on.
    pub fn number(&mut self, tag: u8) -> Result<u32, Malformed> {
        let bytes = self.expect(tag)?;
        let negative = bytes.first().is_none_or(|byte| byte & 0x80 != 0);
        if negative || bytes.len() > 4 {
            return Err(Malformed);
        }
        let join = |number, byte: &u8| (number << 8) | u32::from(*byte);
        Ok(bytes.iter().fold(0, join))
    }

    /// The next element as text.
    pub fn text(&mut self, tag: u8) -> Result<String, Malformed> {
        let bytes = self.expect(tag)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Malformed)
    }
}

/// How many bytes of length follow the first one; 0 where that one is the length.
pub fn length_of_length(first: u8) -> Result<usize, Malformed> {
    match first {
        0..=0x7f => Ok(0),
        0x81..=0x84 => Ok(usize::from(first & 0x7f)),
        // 0x80 would be an indefinite length.
        _ => Err(Malformed),
    }
}

/// Up to four bytes of length.
pub fn length(bytes: &[u8]) -> usize {
    let join = |length, byte: &u8| (length << 8) | usize::from(*byte);
    bytes.iter().fold(0, join)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_short() {
        for (value, bytes) in [
            (0, &[2, 1, 0][..]),
            (127, &[2, 1, 127]),
            (128, &[2, 2, 0, 128]),
            (256, &[2, 2, 1, 0]),
            (-1, &[2, 1, 255]),
            (-129, &[2, 2, 255, 127]),
            (i32::MAX, &[2, 4, 127, 255, 255, 255]),
        ] {
            assert_eq!(integer(INTEGER, value), bytes);
            if let Ok(value) = u32::try_from(value) {
                assert_eq!(Reader::new(bytes).number(INTEGER), Ok(value));
            } else {
                assert_eq!(Reader::new(bytes).number(INTEGER), Err(Malformed));
            }
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 127, 128, 255, 256, 65535, 65536, 1_000_000] {
            let content = vec![7; length];
            let bytes = element(OCTET_STRING, &content);
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.expect(OCTET_STRING), Ok(&content[..]));
            assert!(reader.is_empty());
            assert!(Reader::new(&bytes[..bytes.len() - 1]).any().is_err());
        }
        assert_eq!(element(4, &[0; 127])[..2], [4, 127]);
        assert_eq!(element(4, &[0; 128])[..3], [4, 0x81, 128]);
        assert_eq!(element(4, &[0; 300])[..4], [4, 0x82, 1, 44]);
    }

    #[test]
    fn lengths_may_be_longer_than_needed() {
        assert_eq!(
            Reader::new(&[4, 0x84, 0, 0, 0, 1, 9]).expect(4),
            Ok(&[9][..])
        );
        for bytes in [
            &[][..],
            &[4],
            &[4, 0x80, 0, 0],
            &[4, 0x85, 0, 0, 0, 0, 0],
            &[4, 0xff],
            &[4, 0x84, 255, 255, 255, 255],
            &[4, 0x82, 1],
            &[4, 2, 1],
        ] {
            assert_eq!(Reader::new(bytes).any(), Err(Malformed), "{bytes:?}");
        }
        assert_eq!(Reader::new(&[2, 0]).number(INTEGER), Err(Malformed));
        assert_eq!(Reader::new(&[4, 1, 255]).text(4), Err(Malformed));
    }
}
