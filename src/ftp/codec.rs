//! Lines out of the bytes of the control connection.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

use super::secret::Line;

/// Takes bytes as they come and gives whole lines, without the telnet sequences.
///
/// FTP speaks just enough telnet to be interrupted (RFC 959 §4.1.3): sequences are skipped and
/// never answered (RFC 1123 §4.1.2.12), and `IAC IAC` is the byte 0xFF.
pub struct LineDecoder {
    limit: usize,
    telnet: Telnet,
    /// Decoded bytes. A line feed in it always ends a line.
    buffer: Zeroizing<Vec<u8>>,
    /// Where the next line begins.
    start: usize,
    /// No line feed lies before this.
    scanned: usize,
    /// Bytes that left nothing in the buffer since the last line feed.
    skipped: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Telnet {
    Data,
    /// After CR: a NUL is padding (RFC 854).
    Return,
    /// After IAC.
    Command,
    /// After IAC IP.
    Interrupt,
    /// After IAC WILL, WONT, DO or DONT.
    Option,
    /// Within IAC SB … IAC SE.
    Parameters,
    /// After IAC within parameters.
    ParametersCommand,
}

const SE: u8 = 0xf0;
const DATA_MARK: u8 = 0xf2;
const INTERRUPT: u8 = 0xf4;
const SB: u8 = 0xfa;
const IAC: u8 = 0xff;

impl LineDecoder {
    /// A decoder of lines of at most `limit` bytes, their ends not counted.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            telnet: Telnet::Data,
            buffer: Zeroizing::default(),
            start: 0,
            scanned: 0,
            skipped: 0,
        }
    }

    /// Appends received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        // The bytes that have gone pay for those that are moved, so the whole stays linear.
        if self.start > 0 && self.start >= self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        let needed = self.buffer.len() + bytes.len();
        if needed > self.buffer.capacity() {
            // Not grown in place, which would leave a copy behind.
            let capacity = needed.max(2 * self.buffer.capacity());
            let mut larger = Zeroizing::new(Vec::with_capacity(capacity));
            larger.extend_from_slice(&self.buffer);
            self.buffer = larger;
        }
        for byte in bytes {
            self.decode(*byte);
        }
        self.release();
    }

    /// The next whole line, without its CRLF or LF.
    ///
    /// A line over the limit is an error as soon as the limit is passed, also if it never ends,
    /// and stays one.
    #[expect(
        clippy::should_implement_trait,
        reason = "a None is not the end: more bytes may come"
    )]
    pub fn next(&mut self) -> Result<Option<Line>, LineTooLong> {
        let fresh = self.buffer.get(self.scanned..).unwrap_or_default();
        let Some(offset) = fresh.iter().position(|byte| *byte == b'\n') else {
            self.scanned = self.buffer.len();
            let partial = self.buffer.get(self.start..).unwrap_or_default();
            let partial = partial.strip_suffix(b"\r").unwrap_or(partial);
            let within = partial.len() <= self.limit && self.skipped <= self.limit;
            return if within { Ok(None) } else { Err(LineTooLong) };
        };
        let end = self.scanned + offset;
        let line = self.buffer.get_mut(self.start..end).unwrap_or_default();
        let content = line.strip_suffix(b"\r").unwrap_or(line);
        if content.len() > self.limit {
            return Err(LineTooLong);
        }
        let content = Line::new(content);
        line.zeroize();
        self.start = end + 1;
        self.scanned = self.start;
        self.release();
        Ok(Some(content))
    }

    /// Whether nothing has come since the last line that was given, not even a telnet sequence:
    /// bytes behind `AUTH TLS` must not be taken for protected ones.
    pub fn is_empty(&self) -> bool {
        self.buffered() == 0
    }

    /// How many bytes wait, those skipped since the last line feed included.
    pub fn buffered(&self) -> usize {
        self.buffer.len() - self.start + self.skipped
    }

    /// Whether what waits begins like a TLS record with a handshake, in which no line feed needs
    /// to come.
    pub fn is_tls(&self) -> bool {
        self.buffer
            .get(self.start..)
            .unwrap_or_default()
            .starts_with(&[0x16, 0x03])
    }

    /// Forgets everything that waits.
    pub fn clear(&mut self) {
        *self = Self::new(self.limit);
    }

    fn decode(&mut self, byte: u8) {
        let next = match (self.telnet, byte) {
            (Telnet::Command, IAC) => Some(Telnet::Data),
            (Telnet::Command, INTERRUPT) => return self.skip(Telnet::Interrupt),
            (Telnet::Command, SB) => return self.skip(Telnet::Parameters),
            (Telnet::Command, 0xfb..=0xfe) => return self.skip(Telnet::Option),
            (Telnet::Command, 0xec..=0xf9) => return self.skip(Telnet::Data),
            // The Synch of RFC 959 puts IAC or DM into urgent data, which the receiving system
            // may take out of the stream. Without DM a lone IAC remains, which eats nothing;
            // without IAC, a lone DM follows IP.
            (Telnet::Command, _) => None,
            (Telnet::Interrupt, DATA_MARK) => return self.skip(Telnet::Data),
            (Telnet::Option, _) => return self.skip(Telnet::Data),
            (Telnet::Parameters, IAC) => return self.skip(Telnet::ParametersCommand),
            (Telnet::ParametersCommand, SE) => return self.skip(Telnet::Data),
            (Telnet::Parameters | Telnet::ParametersCommand, _) => {
                return self.skip(Telnet::Parameters);
            }
            (Telnet::Return, 0) => return self.skip(Telnet::Data),
            (Telnet::Data | Telnet::Return | Telnet::Interrupt, _) => None,
        };
        self.telnet = match (next, byte) {
            (Some(next), _) => next,
            (None, IAC) => return self.skip(Telnet::Command),
            (None, b'\r') => Telnet::Return,
            (None, _) => Telnet::Data,
        };
        if byte == b'\n' {
            self.skipped = 0;
        }
        self.buffer.push(byte);
    }

    fn skip(&mut self, next: Telnet) {
        self.skipped += 1;
        self.telnet = next;
    }

    /// An idle session keeps no buffer.
    fn release(&mut self) {
        if self.start == self.buffer.len() {
            self.buffer = Zeroizing::default();
            self.start = 0;
            self.scanned = 0;
        }
    }
}

/// A line has passed the limit (500, and the connection ends).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LineTooLong;

impl fmt::Display for LineTooLong {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("The line is too long")
    }
}

impl std::error::Error for LineTooLong {}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    const LIMIT: usize = 64;

    fn lines(decoder: &mut LineDecoder) -> Vec<Vec<u8>> {
        let next = || decoder.next().unwrap().map(|line| line.to_vec());
        std::iter::from_fn(next).collect()
    }

    /// Decodes the input in one piece, in every two pieces, and byte by byte.
    fn decoded(input: &[u8]) -> Vec<Vec<u8>> {
        let mut whole = LineDecoder::new(LIMIT);
        whole.push(input);
        let expected = lines(&mut whole);
        for split in 0..=input.len() {
            let mut decoder = LineDecoder::new(LIMIT);
            decoder.push(&input[..split]);
            let mut found = lines(&mut decoder);
            decoder.push(&input[split..]);
            found.extend(lines(&mut decoder));
            assert_eq!(found, expected, "split at {split}");
        }
        let mut single = LineDecoder::new(LIMIT);
        let mut found = Vec::new();
        for byte in input {
            single.push(&[*byte]);
            found.extend(lines(&mut single));
        }
        assert_eq!(found, expected, "byte by byte");
        expected
    }

    #[test]
    fn lines_and_telnet_sequences_in_every_split() {
        for (input, expected) in [
            (&b"NOOP\r\n"[..], &[&b"NOOP"[..]][..]),
            (b"NOOP\n", &[b"NOOP"]),
            (b"\r\n\n", &[b"", b""]),
            (b"NOOP", &[]),
            (b"NOOP\r", &[]),
            (b"USER a\r\nPASS b\r\nPW", &[b"USER a", b"PASS b"]),
            (b"a\rb\r\n", &[b"a\rb"]),
            (b"a\r\0b\r\n", &[b"a\rb"]),
            (b"a\r\r\n", &[b"a\r"]),
            (b"a\0b\r\n", &[b"a\0b"]),
            (b"\xff\xf4\xff\xf2ABOR\r\n", &[b"ABOR"]),
            (
                b"\xff\xfb\x01\xff\xfc\x02\xff\xfd\x03\xff\xfe\nNOOP\r\n",
                &[b"NOOP"],
            ),
            (
                b"\xff\xfa\x18\0xterm\r\n\xff\xff\xff\xf0NOOP\r\n",
                &[b"NOOP"],
            ),
            (b"NO\xff\xf1OP\r\n", &[b"NOOP"]),
            (b"RETR a\xff\xffb\r\n", &[b"RETR a\xffb"]),
            (b"RETR \xff\xff\xff\xff\r\n", &[b"RETR \xff\xff"]),
            (
                b"RETR \xc3\xa9\xf0\x9f\x98\x80\r\n",
                &[b"RETR \xc3\xa9\xf0\x9f\x98\x80"],
            ),
            (b"\xff\r\n", &[b""]),
            (b"\xff\xf4\r\nNOOP\r\n", &[b"", b"NOOP"]),
        ] {
            assert_eq!(decoded(input), expected, "{}", input.escape_ascii());
        }
    }

    #[test]
    fn regression_a_synch_that_lost_its_urgent_byte_still_aborts() {
        // BSD ftp: IAC IP IAC with the last byte urgent, then DM and the command.
        assert_eq!(decoded(b"\xff\xf4\xf2ABOR\r\n"), [b"ABOR"]);
        // Others: IAC IP IAC DM with the last byte urgent.
        assert_eq!(decoded(b"\xff\xf4\xffABOR\r\n"), [b"ABOR"]);
        // A byte 0xF2 that follows no IP is text.
        assert_eq!(decoded(b"\xf2ABOR\r\n"), [b"\xf2ABOR"]);
    }

    #[test]
    fn every_byte_value_survives_or_is_skipped() {
        for byte in 0..=255u8 {
            let found = decoded(&[b'a', byte, b'b', b'\r', b'\n']);
            match byte {
                b'\n' => assert_eq!(found, [b"a".to_vec(), b"b".to_vec()]),
                // IAC before a letter is a damaged sequence.
                IAC => assert_eq!(found, [b"ab"]),
                _ => assert_eq!(found, [[b'a', byte, b'b']]),
            }
            // No command byte after IAC hurts what follows the next line feeds.
            let mut decoder = LineDecoder::new(LIMIT);
            decoder.push(&[IAC, byte, b'x', IAC, SE, b'\n', b'y', b'\n']);
            let found = lines(&mut decoder);
            assert_eq!(found.last().unwrap(), b"y");
        }
    }

    #[test]
    fn every_short_sequence_is_the_same_in_every_split() {
        let alphabet = [
            IAC, INTERRUPT, DATA_MARK, SB, SE, 0xfb, b'\r', b'\n', 0, b'a',
        ];
        for code in 0..10_000usize {
            let place = |divisor: usize| alphabet[code / divisor % alphabet.len()];
            let input = [place(1), place(10), place(100), place(1000), b'b', b'\n'];
            assert!(decoded(&input).concat().len() < input.len());
        }
    }

    #[test]
    fn the_limit_is_exact_and_needs_no_line_end() {
        let line = [b'a'; LIMIT];
        for end in [&b"\r\n"[..], b"\n"] {
            assert_eq!(decoded(&[&line, end].concat()), [line]);
            let mut decoder = LineDecoder::new(LIMIT);
            decoder.push(&[&line, &b"a"[..], end].concat());
            assert_eq!(decoder.next(), Err(LineTooLong));
        }
        let mut decoder = LineDecoder::new(LIMIT);
        decoder.push(&line);
        assert_eq!(decoder.next(), Ok(None));
        decoder.push(b"\r");
        assert_eq!(decoder.next(), Ok(None));
        decoder.push(b"a");
        assert_eq!(decoder.next(), Err(LineTooLong));
        assert_eq!(decoder.next(), Err(LineTooLong));
        decoder.push(b"\nNOOP\n");
        assert_eq!(decoder.next(), Err(LineTooLong));
        decoder.clear();
        decoder.push(b"NOOP\n");
        assert_eq!(lines(&mut decoder), [b"NOOP"]);
    }

    #[test]
    fn regression_telnet_sequences_count_towards_the_limit() {
        for sequence in [&b"\xff\xf4"[..], b"\xff\xfb\x01", b"\r\0"] {
            let mut decoder = LineDecoder::new(LIMIT);
            decoder.push(&sequence.repeat(LIMIT + 1));
            assert_eq!(decoder.next(), Err(LineTooLong));
        }
        let mut endless = LineDecoder::new(LIMIT);
        endless.push(b"\xff\xfa");
        endless.push(&[b'\n'; LIMIT]);
        assert_eq!(endless.next(), Err(LineTooLong));
        assert_eq!(endless.buffer.capacity(), 0);
    }

    #[test]
    fn regression_bytes_behind_auth_are_seen() {
        for behind in [
            &b"NOOP\r\n"[..],
            b"N",
            b"\r",
            b"\n",
            b"\xff",
            b"\xff\xf4",
            b"\xff\xfb\x01",
        ] {
            let mut decoder = LineDecoder::new(LIMIT);
            decoder.push(b"\xff\xf4\xff\xf2AUTH TLS\r\n");
            assert!(!decoder.is_empty());
            assert_eq!(*decoder.next().unwrap().unwrap(), *b"AUTH TLS");
            assert!(decoder.is_empty());
            assert_eq!(decoder.buffered(), 0);
            decoder.push(behind);
            assert!(!decoder.is_empty(), "{}", behind.escape_ascii());
            decoder.clear();
            assert!(decoder.is_empty());
        }
    }

    #[test]
    fn an_empty_decoder_holds_no_memory() {
        let mut decoder = LineDecoder::new(LIMIT);
        assert_eq!(decoder.buffer.capacity(), 0);
        decoder.push(&[]);
        assert_eq!(decoder.buffer.capacity(), 0);
        decoder.push(b"NOOP\r\nNOOP\r\n\xff\xf4");
        assert_eq!(lines(&mut decoder).len(), 2);
        assert_eq!(decoder.buffer.capacity(), 0);
    }

    #[test]
    fn lines_that_were_given_are_wiped() {
        let mut decoder = LineDecoder::new(LIMIT);
        decoder.push(b"PASS hunter2\r\nNOOP\r\n");
        assert_eq!(*decoder.next().unwrap().unwrap(), *b"PASS hunter2");
        assert!(!decoder.buffer.windows(7).any(|window| window == b"hunter2"));
    }

    #[test]
    fn many_lines_with_slow_reading_stay_linear() {
        let mut decoder = LineDecoder::new(LIMIT);
        decoder.push(&b"NOOP\r\n".repeat(200_000));
        let mut count = 0;
        while decoder.next().unwrap().is_some() {
            count += 1;
            if count <= 200_000 {
                decoder.push(b"\n");
            }
        }
        assert_eq!(count, 400_000);
    }

    #[test]
    fn a_tls_record_is_recognised_without_a_line_end() {
        let mut decoder = LineDecoder::new(LIMIT);
        decoder.push(b"\x16\x03\x01\x02\0\x01");
        assert!(decoder.is_tls());
        decoder.clear();
        decoder.push(b"USER a");
        assert!(!decoder.is_tls());
    }
}
