//! The tickets in a ClientHello, read before anybody knows whose connection it is.

/// Tickets of one ClientHello that are looked at: clients send one, or two.
const TICKETS: usize = 4;
/// ContentType `handshake` (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;
/// HandshakeType `client_hello` (RFC 8446 §4).
const CLIENT_HELLO: u8 = 1;
/// The extension `session_ticket` (RFC 5077 §3.2), which TLS 1.2 resumes by.
const SESSION_TICKET: u16 = 35;
/// The extension `pre_shared_key` (RFC 8446 §4.2.11), which TLS 1.3 resumes by.
const PRE_SHARED_KEY: u16 = 41;

/// The first bytes of a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum FirstFlight {
    /// There may be a ClientHello, but not all of it is there.
    Incomplete,
    /// This is no TLS.
    Clear,
    /// The ClientHello.
    Hello(ClientHello),
}

/// The sessions that a client would resume.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The number of a session of TLS 1.2; in TLS 1.3 it means nothing.
    pub session_id: Vec<u8>,
    /// The tickets, the first few of them.
    pub tickets: Vec<Vec<u8>>,
}

impl FirstFlight {
    /// Reads bytes from the beginning of a connection. Nothing in them is proven.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let mut records = Reader(bytes);
        let mut message = Vec::new();
        loop {
            match records.0.first() {
                None => return Self::Incomplete,
                Some(&HANDSHAKE) => {}
                // Another record within the ClientHello: the handshake will say what is wrong.
                Some(_) if !message.is_empty() => return Self::Hello(ClientHello::default()),
                Some(_) => return Self::Clear,
            }
            let Some(record) = records.record() else {
                return Self::Incomplete;
            };
            message.extend_from_slice(record);
            let mut reader = Reader(&message);
            match (reader.byte(), reader.length(3)) {
                (Some(CLIENT_HELLO), Some(length)) => {
                    if let Some(body) = reader.take(length) {
                        return Self::Hello(ClientHello::parse(body).unwrap_or_default());
                    }
                }
                (Some(CLIENT_HELLO) | None, None) => {}
                _ => return Self::Hello(ClientHello::default()),
            }
        }
    }
}

impl ClientHello {
    /// None where it is not well formed.
    fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader(body);
        // The version, and the random bytes.
        reader.take(2 + 32)?;
        let session_id = reader.vector(1)?.to_vec();
        reader.vector(2)?;
        reader.vector(1)?;
        let mut hello = Self {
            session_id,
            tickets: Vec::new(),
        };
        if reader.0.is_empty() {
            return Some(hello);
        }
        let mut extensions = Reader(reader.vector(2)?);
        while !extensions.0.is_empty() {
            let kind = extensions.number()?;
            let mut content = Reader(extensions.vector(2)?);
            match kind {
                SESSION_TICKET if !content.0.is_empty() => hello.tickets.push(content.0.to_vec()),
                PRE_SHARED_KEY => {
                    let mut identities = Reader(content.vector(2)?);
                    while !identities.0.is_empty() && hello.tickets.len() < TICKETS {
                        hello.tickets.push(identities.vector(2)?.to_vec());
                        // The obfuscated age.
                        identities.take(4)?;
                    }
                }
                _ => {}
            }
        }
        Some(hello)
    }
}

/// Bytes that are still to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes(bytes.try_into().ok()?))
    }

    /// A length of so many bytes.
    fn length(&mut self, bytes: usize) -> Option<usize> {
        let bytes = self.take(bytes)?;
        Some(
            bytes
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte)),
        )
    }

    /// A vector with a length of so many bytes in front.
    fn vector(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let length = self.length(bytes)?;
        self.take(length)
    }

    /// The content of a record of TLS.
    fn record(&mut self) -> Option<&'a [u8]> {
        let rest = self.0;
        let content = self.take(3).and_then(|_| self.vector(2));
        if content.is_none() {
            self.0 = rest;
        }
        content
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use std::sync::Arc;

    use rustls::{
        ClientConfig, ClientConnection, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName,
        version,
    };

    use super::*;

    /// The first flight of a client that has nothing to resume.
    fn flight() -> Vec<u8> {
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&version::TLS13])
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    fn hello(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([4, 1, 2, 3, 4]);
        body.extend([0, 2, 0x13, 1]);
        body.extend([1, 0]);
        let mut all = Vec::new();
        for (kind, content) in extensions {
            all.extend(kind.to_be_bytes());
            all.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
            all.extend(content);
        }
        body.extend(u16::try_from(all.len()).unwrap().to_be_bytes());
        body.extend(all);
        let mut message = vec![CLIENT_HELLO, 0];
        message.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        message.extend(body);
        message
    }

    fn records(message: &[u8], most: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for piece in message.chunks(most) {
            bytes.extend([HANDSHAKE, 3, 1]);
            bytes.extend(u16::try_from(piece.len()).unwrap().to_be_bytes());
            bytes.extend(piece);
        }
        bytes
    }

    #[test]
    fn a_real_client_is_understood_as_soon_as_all_is_there() {
        let bytes = flight();
        for end in 0..bytes.len() {
            assert_eq!(
                FirstFlight::read(&bytes[..end]),
                FirstFlight::Incomplete,
                "{end}"
            );
        }
        let FirstFlight::Hello(hello) = FirstFlight::read(&bytes) else {
            panic!("no hello");
        };
        assert!(hello.tickets.is_empty());
    }

    #[test]
    fn tickets_of_both_versions_are_found_in_any_number_of_records() {
        let psk = vec![0, 9, 0, 3, 7, 8, 9, 0, 0, 0, 0, 0, 33];
        let message = hello(&[
            (0, vec![1]),
            (SESSION_TICKET, vec![5, 6]),
            (PRE_SHARED_KEY, psk),
        ]);
        for most in [1, 3, 4, 50, 1000] {
            let read = FirstFlight::read(&records(&message, most));
            let expected = ClientHello {
                session_id: vec![1, 2, 3, 4],
                tickets: vec![vec![5, 6], vec![7, 8, 9]],
            };
            assert_eq!(read, FirstFlight::Hello(expected), "{most}");
        }
    }

    #[test]
    fn many_tickets_cost_no_more_than_a_few() {
        let identity = [0, 1, 9, 0, 0, 0, 0];
        let many = identity.repeat(1000);
        let mut psk = u16::try_from(many.len()).unwrap().to_be_bytes().to_vec();
        psk.extend(many);
        let read = FirstFlight::read(&records(&hello(&[(PRE_SHARED_KEY, psk)]), 16384));
        let FirstFlight::Hello(hello) = read else {
            panic!("no hello");
        };
        assert_eq!(hello.tickets.len(), TICKETS);
    }

    #[test]
    fn anything_else_is_told_apart_and_breaks_nothing() {
        assert_eq!(FirstFlight::read(b""), FirstFlight::Incomplete);
        assert_eq!(FirstFlight::read(b"content"), FirstFlight::Clear);
        // A handshake message that is none of a client.
        let other = records(&[2, 0, 0, 1, 0], 100);
        assert_eq!(
            FirstFlight::read(&other),
            FirstFlight::Hello(ClientHello::default())
        );
        let good = records(&hello(&[(PRE_SHARED_KEY, vec![0, 9, 0, 3, 7])]), 1000);
        assert_eq!(
            FirstFlight::read(&good),
            FirstFlight::Hello(ClientHello::default())
        );
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut damaged = good.clone();
                damaged[at] ^= 1 << bit;
                let _ = FirstFlight::read(&damaged);
            }
        }
    }
}
