//! Packets: three bytes of length, a number that counts up, and content.

use crate::wire::{self, Error, LONGEST, Reader, Stream};

/// Packets in both directions, which are numbered together.
#[derive(Debug)]
pub struct Packets<'a, S> {
    stream: &'a mut S,
    next: u8,
}

impl<'a, S: Stream> Packets<'a, S> {
    /// The next one has this number.
    pub fn new(stream: &'a mut S, next: u8) -> Self {
        Self { stream, next }
    }

    /// A new question begins.
    pub fn restart(&mut self) {
        self.next = 0;
    }

    fn number(&mut self) -> u8 {
        let number = self.next;
        self.next = number.wrapping_add(1);
        number
    }

    /// Reads one, and not a byte more. It is never empty.
    pub fn read(&mut self) -> Result<Vec<u8>, Error> {
        let head = wire::exactly(self.stream, 4)?;
        let mut head = Reader::new(&head, "a packet's head");
        let [a, b, c] = head.array()?;
        let length = u32::from_le_bytes([a, b, c, 0]);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if head.byte()? != self.number() {
            return Err(Error::Nonsense("a packet has another number"));
        }
        match length {
            0 => Err(Error::Nonsense("a packet is empty")),
            1..=LONGEST => wire::exactly(self.stream, length),
            _ => Err(Error::Nonsense("a packet is too long")),
        }
    }

    /// Writes one.
    pub fn write(&mut self, content: &[u8]) -> Result<(), Error> {
        let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let [a, b, c, 0] = length.to_le_bytes() else {
            return Err(Error::Settings("query: it is too long".into()));
        };
        let mut packet = vec![a, b, c, self.number()];
        packet.extend_from_slice(content);
        self.stream.write_all(&packet)?;
        Ok(self.stream.flush()?)
    }
}

/// Whether rows or definitions end here.
pub fn is_end(packet: &[u8]) -> bool {
    packet.first() == Some(&0xfe) && packet.len() < 9
}

/// The error that a packet is, if it is one.
pub fn error(doing: &str, packet: &[u8]) -> Option<Error> {
    let rest = packet.strip_prefix(&[0xff])?;
    let mut reader = Reader::new(rest, "an error");
    let code = match reader.array() {
        Ok(code) => u16::from_le_bytes(code),
        Err(error) => return Some(error),
    };
    // Before the handshake there is no SQLSTATE.
    let (state, text) = match reader.rest() {
        [b'#', a, b, c, d, e, text @ ..] => (wire::legible(&[*a, *b, *c, *d, *e]), text),
        text => (String::new(), text),
    };
    let text = wire::legible(text);
    // Too many connections, in three ways, two of which have the state of a wrong query.
    Some(match code {
        1040 | 1203 | 1226 => wire::refused(doing, &code.to_string(), &text),
        _ if state.is_empty() => wire::refused(doing, &format!("error {code}"), &text),
        _ => wire::refused(doing, &state, &text),
    })
}

/// A number in the form that lengths have.
pub fn length(reader: &mut Reader) -> Result<u64, Error> {
    Ok(match reader.byte()? {
        short @ 0..=0xfa => short.into(),
        0xfc => u16::from_le_bytes(reader.array()?).into(),
        0xfd => {
            let [a, b, c] = reader.array()?;
            u32::from_le_bytes([a, b, c, 0]).into()
        }
        0xfe => u64::from_le_bytes(reader.array()?),
        _ => return Err(reader.nonsense()),
    })
}

/// Bytes behind their length.
pub fn text<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    let length = length(reader)?;
    reader.take(usize::try_from(length).unwrap_or(usize::MAX))
}

/// Bytes behind their length, as they are written.
pub fn counted(bytes: &[u8]) -> Vec<u8> {
    let mut counted = match u16::try_from(bytes.len()) {
        Ok(length @ 0..=0xfa) => length.to_le_bytes().into_iter().take(1).collect(),
        Ok(length) => [&[0xfc], length.to_le_bytes().as_slice()].concat(),
        Err(_) => {
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            [&[0xfe], length.to_le_bytes().as_slice()].concat()
        }
    };
    counted.extend_from_slice(bytes);
    counted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::Fake;

    #[test]
    fn lengths_are_read_as_they_are_written() {
        for count in [0, 1, 0xfa, 0xfb, 0xffff, 0x10000] {
            let bytes = vec![7; count];
            let written = counted(&bytes);
            assert_eq!(text(&mut Reader::new(&written, "")).unwrap(), bytes);
            let short = &written[..written.len() - 1];
            assert!(text(&mut Reader::new(short, "")).is_err());
        }
        for bytes in [&[0xfb][..], &[0xff, 1], &[0xfe; 9], &[0xfd, 1, 0]] {
            assert!(text(&mut Reader::new(bytes, "")).is_err());
        }
    }

    #[test]
    fn numbers_and_lengths_have_to_be_right() {
        let read = |bytes: &[u8]| Packets::new(&mut Fake::new(bytes.to_vec()), 3).read();
        assert_eq!(read(&[1, 0, 0, 3, 9]).unwrap(), [9]);
        for bytes in [
            &[1, 0, 0, 2, 9][..],
            &[1, 0, 0, 4, 9],
            &[0, 0, 0, 3],
            &[0xff, 0xff, 0xff, 3],
            &[2, 0, 0, 3, 9],
            &[1, 0, 0],
        ] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
        let mut fake = Fake::default();
        let mut packets = Packets::new(&mut fake, 255);
        packets.write(b"a").unwrap();
        packets.write(b"b").unwrap();
        assert_eq!(fake.heard, [1, 0, 0, 255, b'a', 1, 0, 0, 0, b'b']);
    }

    #[test]
    fn errors_tell_what_passes() {
        let settings = |packet: &[u8]| matches!(error("x", packet), Some(Error::Settings(_)));
        assert!(settings(b"\xff\x15\x04#28000Access denied"));
        assert!(settings(b"\xff\x7a\x04#42S02no such table"));
        assert!(!settings(b"\xff\x10\x04Too many connections"));
        assert!(!settings(b"\xff\xb3\x04#42000max_user_connections"));
        assert!(error("x", b"\xff").is_some());
        assert!(error("x", b"\x00").is_none());
        let told = error("x", b"\xff\x6a\x04Host is not allowed").unwrap();
        assert_eq!(
            told.to_string(),
            "x: the database says \"Host is not allowed\" (error 1130)"
        );
    }
}
