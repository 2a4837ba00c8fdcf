//! TYPE A: lines end in CRLF on the wire and in LF in files (RFC 959 §3.1.1.1).

use std::io::BufRead;

/// From a file to the wire: LF becomes CRLF, and a CRLF stays what it is.
#[derive(Clone, Copy, Default, Debug)]
pub struct ToNetwork {
    after_return: bool,
}

impl ToNetwork {
    /// A converter at the beginning of a file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Converts the next chunk, whatever its borders.
    pub fn convert(&mut self, input: &[u8], out: &mut Vec<u8>) {
        out.reserve(input.len());
        let mut rest = input;
        while let Some(line) = take_through(&mut rest, b'\n') {
            match line.split_last() {
                Some((b'\n', content)) => {
                    out.extend_from_slice(content);
                    if !ends_in_return(content, self.after_return) {
                        out.push(b'\r');
                    }
                    out.push(b'\n');
                }
                _ => out.extend_from_slice(line),
            }
            self.after_return = ends_in_return(line, self.after_return);
        }
    }
}

/// From the wire to a file: CRLF becomes LF, and a lone CR or LF stays what it is.
#[derive(Clone, Copy, Default, Debug)]
pub struct FromNetwork {
    /// A CR was the last byte, and what follows decides about it.
    held: bool,
}

impl FromNetwork {
    /// A converter at the beginning of a transfer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Converts the next chunk, whatever its borders. A CR at its end waits for the next.
    pub fn convert(&mut self, input: &[u8], out: &mut Vec<u8>) {
        out.reserve(input.len() + 1);
        let mut rest = input;
        while let Some(run) = take_through(&mut rest, b'\r') {
            if self.held && run.first() != Some(&b'\n') {
                out.push(b'\r');
            }
            self.held = run.last() == Some(&b'\r');
            out.extend_from_slice(run.strip_suffix(b"\r").unwrap_or(run));
        }
    }

    /// Gives the CR that waits, if the transfer ended with one.
    pub fn finish(self, out: &mut Vec<u8>) {
        if self.held {
            out.push(b'\r');
        }
    }
}

fn ends_in_return(bytes: &[u8], before: bool) -> bool {
    bytes.last().map_or(before, |last| *last == b'\r')
}

/// Takes bytes up to the next one of a value, that one included, or all that are left.
fn take_through<'a>(rest: &mut &'a [u8], value: u8) -> Option<&'a [u8]> {
    let whole = *rest;
    // The standard library's own `memchr`, by the one way to it.
    let length = rest.skip_until(value).unwrap_or(whole.len());
    whole.get(..length).filter(|taken| !taken.is_empty())
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn to_network(chunks: &[&[u8]]) -> Vec<u8> {
        let mut converter = ToNetwork::new();
        let mut out = Vec::new();
        chunks
            .iter()
            .for_each(|chunk| converter.convert(chunk, &mut out));
        out
    }

    fn from_network(chunks: &[&[u8]]) -> Vec<u8> {
        let mut converter = FromNetwork::new();
        let mut out = Vec::new();
        chunks
            .iter()
            .for_each(|chunk| converter.convert(chunk, &mut out));
        converter.finish(&mut out);
        out
    }

    /// The same in one piece, in every three pieces, and byte by byte.
    fn check(convert: fn(&[&[u8]]) -> Vec<u8>, input: &[u8], expected: &[u8]) {
        assert_eq!(convert(&[input]), expected, "{}", input.escape_ascii());
        for first in 0..=input.len() {
            for second in first..=input.len() {
                let chunks = [&input[..first], &input[first..second], &input[second..]];
                assert_eq!(
                    convert(&chunks),
                    expected,
                    "{} at {first}, {second}",
                    input.escape_ascii()
                );
            }
        }
        let single: Vec<_> = input.chunks(1).collect();
        assert_eq!(
            convert(&single),
            expected,
            "{} byte by byte",
            input.escape_ascii()
        );
    }

    #[test]
    fn files_go_out_with_crlf() {
        for (input, expected) in [
            (&b""[..], &b""[..]),
            (b"a", b"a"),
            (b"a\n", b"a\r\n"),
            (b"\n\n", b"\r\n\r\n"),
            (b"a\r\nb\n", b"a\r\nb\r\n"),
            (b"\r\n", b"\r\n"),
            (b"\r", b"\r"),
            (b"a\rb", b"a\rb"),
            (b"\r\r\n", b"\r\r\n"),
            (b"\n\r", b"\r\n\r"),
            (b"\n\r\n\n", b"\r\n\r\n\r\n"),
            (b"\r\n\n", b"\r\n\r\n"),
            (b"\0\xff\n", b"\0\xff\r\n"),
        ] {
            check(to_network, input, expected);
        }
    }

    #[test]
    fn uploads_become_lf() {
        for (input, expected) in [
            (&b""[..], &b""[..]),
            (b"a", b"a"),
            (b"a\r\n", b"a\n"),
            (b"a\n", b"a\n"),
            (b"\r\n\r\n", b"\n\n"),
            (b"\r", b"\r"),
            (b"a\rb", b"a\rb"),
            (b"\r\r\n", b"\r\n"),
            (b"\r\r\r", b"\r\r\r"),
            (b"\n\r", b"\n\r"),
            (b"a\r\r", b"a\r\r"),
            (b"\r\0\r\n", b"\r\0\n"),
        ] {
            check(from_network, input, expected);
        }
    }

    #[test]
    fn what_went_out_comes_back() {
        // Every text of up to six of these, as long as it holds no CRLF of its own.
        for code in 0..4096u32 {
            let text: Vec<u8> = (0..6)
                .map(|place| b"a\r\n."[(code >> (2 * place) & 3) as usize])
                .collect();
            let lines = !text.windows(2).any(|pair| pair == b"\r\n");
            if lines {
                assert_eq!(from_network(&[&to_network(&[&text])]), text);
            }
        }
    }
}
