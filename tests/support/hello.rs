//! ClientHellos that no library would send, and the server's answers to them.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
};

use super::{Client, Server};

/// Signature schemes of IANA's registry that a server of today could be asked for, and those of yesterday.
pub const SCHEMES: [u16; 24] = [
    0x0101, 0x0201, 0x0202, 0x0203, 0x0301, 0x0302, 0x0303, 0x0401, 0x0402, 0x0403, 0x0420, 0x0501,
    0x0502, 0x0503, 0x0601, 0x0602, 0x0603, 0x0804, 0x0805, 0x0806, 0x0807, 0x0808, 0x0809, 0x081a,
];

const SUPPORTED_GROUPS: u16 = 10;
const SIGNATURE_ALGORITHMS: u16 = 13;
const SUPPORTED_VERSIONS: u16 = 43;
const KEY_SHARE: u16 = 51;

/// A ClientHello.
#[derive(Clone)]
pub struct Hello {
    /// The version of the record.
    pub record: u16,
    /// The version that it offers by itself.
    pub version: u16,
    /// The cipher suites.
    pub suites: Vec<u16>,
    /// The methods of compression.
    pub compression: Vec<u8>,
    /// The extensions, each with its content.
    pub extensions: Vec<(u16, Vec<u8>)>,
}

impl Hello {
    /// One of TLS 1.2 that offers all that was ever in use but for cipher suites.
    pub fn v12(suites: &[u16]) -> Self {
        Self {
            record: 0x0301,
            version: 0x0303,
            suites: suites.to_vec(),
            compression: vec![0],
            extensions: vec![
                (SUPPORTED_GROUPS, list(&[0x1d, 0x17, 0x18])),
                (11, vec![1, 0]),
                (SIGNATURE_ALGORITHMS, list(&SCHEMES)),
                (23, Vec::new()),
                (0xff01, vec![0]),
            ],
        }
    }

    /// One of TLS 1.3 without a share of a key: the server has to name the group that it wants.
    pub fn v13(suites: &[u16]) -> Self {
        Self::v12(suites)
            .with(SUPPORTED_VERSIONS, vec![2, 3, 4])
            .with(KEY_SHARE, vec![0, 0])
    }

    /// The same with this extension.
    pub fn with(mut self, extension: u16, content: Vec<u8>) -> Self {
        self.extensions.retain(|(name, _)| *name != extension);
        self.extensions.push((extension, content));
        self
    }

    /// The same without it.
    pub fn without(mut self, extension: u16) -> Self {
        self.extensions.retain(|(name, _)| *name != extension);
        self
    }

    /// The same with these groups alone.
    pub fn groups(self, groups: &[u16]) -> Self {
        self.with(SUPPORTED_GROUPS, list(groups))
    }

    /// The same with these signature schemes alone.
    pub fn schemes(self, schemes: &[u16]) -> Self {
        self.with(SIGNATURE_ALGORITHMS, list(schemes))
    }

    /// The same that asks for this host.
    pub fn host(self, name: &[u8]) -> Self {
        let mut entry = vec![0];
        entry.extend(sized(name));
        self.with(0, sized(&entry))
    }

    /// The message, in a record.
    pub fn bytes(&self) -> Vec<u8> {
        record(self.record, &self.message())
    }

    /// The message.
    pub fn message(&self) -> Vec<u8> {
        let mut body = self.version.to_be_bytes().to_vec();
        body.extend([7; 32]);
        body.push(0);
        body.extend(list(&self.suites));
        body.push(u8::try_from(self.compression.len()).unwrap());
        body.extend(&self.compression);
        let mut extensions = Vec::new();
        for (name, content) in &self.extensions {
            extensions.extend(name.to_be_bytes());
            extensions.extend(sized(content));
        }
        body.extend(sized(&extensions));
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[1], &length[1..], &body].concat()
    }
}

/// A record of the handshake.
pub fn record(version: u16, content: &[u8]) -> Vec<u8> {
    [&[0x16], &version.to_be_bytes()[..], &sized(content)].concat()
}

fn sized(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&length, content].concat()
}

fn list(numbers: &[u16]) -> Vec<u8> {
    let bytes: Vec<u8> = numbers
        .iter()
        .flat_map(|number| number.to_be_bytes())
        .collect();
    sized(&bytes)
}

/// The answer.
#[derive(Debug)]
pub enum Answer {
    /// A ServerHello, and what follows in the clear.
    Hello(Box<ServerHello>),
    /// An alert, by its number.
    Alert(u8),
    /// Neither, and the connection is closed.
    Closed,
}

/// The server's choice.
#[derive(Debug, Default)]
pub struct ServerHello {
    /// The suite.
    pub suite: u16,
    /// The method of compression.
    pub compression: u8,
    /// Random bytes.
    pub random: Vec<u8>,
    /// The extensions.
    pub extensions: BTreeMap<u16, Vec<u8>>,
    /// The first certificate, in TLS 1.2.
    pub certificate: Vec<u8>,
    /// Group of the key exchange: in TLS 1.3 of a HelloRetryRequest.
    pub group: u16,
    /// Scheme of the signature, in TLS 1.2.
    pub scheme: u16,
}

/// A connection on which TLS is to begin, by AUTH TLS or on the implicit port.
pub fn connect(server: &Server, implicit: bool) -> TcpStream {
    let client = match implicit {
        true => Client::dial(server.implicit),
        false => {
            let mut client = server.connect();
            client.send("AUTH TLS").expect(234);
            client
        }
    };
    client.socket().try_clone().unwrap()
}

/// Sends these bytes, and reads the answer.
pub fn ask(server: &Server, implicit: bool, hello: &[u8]) -> Answer {
    let mut stream = connect(server, implicit);
    // It may be refused before it is whole.
    let _ = stream.write_all(hello);
    answer(&mut stream)
}

/// Reads the answer to a ClientHello.
pub fn answer(stream: &mut TcpStream) -> Answer {
    let mut messages = Vec::new();
    let mut hello = ServerHello::default();
    loop {
        let mut head = [0; 5];
        if stream.read_exact(&mut head).is_err() {
            return Answer::Closed;
        }
        let mut content = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        if stream.read_exact(&mut content).is_err() {
            return Answer::Closed;
        }
        match head[0] {
            0x15 => return Answer::Alert(content[1]),
            0x16 => messages.extend(content),
            other => panic!("a record of type {other}"),
        }
        while let Some((kind, body)) = message(&mut messages) {
            match kind {
                2 => {
                    hello.read(&body);
                    if hello.extensions.contains_key(&SUPPORTED_VERSIONS) {
                        return Answer::Hello(Box::new(hello));
                    }
                }
                11 => {
                    let length = usize::from(u16::from_be_bytes([body[4], body[5]]));
                    hello.certificate = body[6..6 + length].to_vec();
                }
                12 => {
                    hello.group = u16::from_be_bytes([body[1], body[2]]);
                    let behind = 4 + usize::from(body[3]);
                    hello.scheme = u16::from_be_bytes([body[behind], body[behind + 1]]);
                }
                14 => return Answer::Hello(Box::new(hello)),
                _ => {}
            }
        }
    }
}

/// Takes a whole message.
fn message(from: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let head = from.get(..4)?;
    let length = u32::from_be_bytes([0, head[1], head[2], head[3]]);
    let end = 4 + usize::try_from(length).unwrap();
    let body = from.get(4..end)?.to_vec();
    let kind = from[0];
    from.drain(..end);
    Some((kind, body))
}

impl ServerHello {
    fn read(&mut self, body: &[u8]) {
        self.random = body[2..34].to_vec();
        let behind = 35 + usize::from(body[34]);
        self.suite = u16::from_be_bytes([body[behind], body[behind + 1]]);
        self.compression = body[behind + 2];
        let mut rest = body.get(behind + 5..).unwrap_or_default();
        while let [a, b, high, low, more @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let name = u16::from_be_bytes([*a, *b]);
            self.extensions.insert(name, more[..length].to_vec());
            rest = &more[length..];
        }
        if let Some([high, low]) = self.extensions.get(&KEY_SHARE).map(Vec::as_slice) {
            self.group = u16::from_be_bytes([*high, *low]);
        }
    }
}
