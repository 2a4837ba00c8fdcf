//! Single messages.

use crate::wire::{self, COLUMNS, Error, LONGEST, Reader, Stream};
use data_encoding::HEXLOWER;
use md5::{Digest, Md5};

/// A message of the database, as far as it counts.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    /// It knows who asks.
    Authenticated,
    /// It wants the password.
    Cleartext,
    /// It wants the password's digest with this salt.
    Md5([u8; 4]),
    /// It offers these mechanisms.
    Sasl(Vec<String>),
    /// The challenge.
    SaslContinue(String),
    /// Its own proof.
    SaslFinal(String),
    /// It wants something else.
    OtherMethod,
    /// The columns' names.
    Columns(Vec<String>),
    /// The statement has none.
    NoRows,
    /// Values as text.
    Row(Vec<Option<String>>),
    /// It waits for a question.
    Ready,
    /// An SQLSTATE, and words.
    Error {
        /// Five characters.
        code: String,
        /// For people.
        text: String,
    },
    /// Words that are about nothing that was asked.
    Notice,
    /// Steps on the way, and parameters.
    Other,
}

/// Reads one message, and not a byte more.
pub fn read(stream: &mut impl Stream) -> Result<Message, Error> {
    let head = wire::exactly(stream, 5)?;
    let mut head = Reader::new(&head, "a message's head");
    let tag = head.byte()?;
    let length = usize::try_from(u32::from_be_bytes(head.array()?)).unwrap_or(usize::MAX);
    // The length counts itself.
    let length = length.checked_sub(4).ok_or(head.nonsense())?;
    if length > LONGEST {
        return Err(Error::Nonsense("a message is too long"));
    }
    let body = wire::exactly(stream, length)?;
    parse(tag, &body)
}

fn parse(tag: u8, body: &[u8]) -> Result<Message, Error> {
    Ok(match tag {
        b'R' => authentication(Reader::new(body, "the authentication"))?,
        b'T' => Message::Columns(columns(Reader::new(body, "the columns"))?),
        b'D' => Message::Row(row(Reader::new(body, "a row"))?),
        b'E' => error(Reader::new(body, "an error"))?,
        b'n' => Message::NoRows,
        b'Z' => Message::Ready,
        // Notices and notifications.
        b'N' | b'A' => Message::Notice,
        // A key, parameters; parsed, bound, described, completed, suspended after two rows, negotiated.
        b'K' | b'S' | b'1' | b'2' | b't' | b'C' | b's' | b'v' => Message::Other,
        b'I' => return Err(Error::Settings("query: it is empty".into())),
        _ => return Err(Error::Nonsense("a message of an unknown kind")),
    })
}

fn authentication(mut body: Reader) -> Result<Message, Error> {
    let text = |body: Reader| wire::legible(body.rest());
    Ok(match u32::from_be_bytes(body.array()?) {
        0 => Message::Authenticated,
        3 => Message::Cleartext,
        5 => Message::Md5(body.array()?),
        10 => {
            let mut mechanisms = Vec::new();
            while !matches!(body.rest(), [] | [0]) {
                mechanisms.push(body.text()?);
            }
            Message::Sasl(mechanisms)
        }
        11 => Message::SaslContinue(text(body)),
        12 => Message::SaslFinal(text(body)),
        _ => Message::OtherMethod,
    })
}

fn columns(mut body: Reader) -> Result<Vec<String>, Error> {
    let count = count(&mut body)?;
    let mut columns = Vec::with_capacity(count);
    for _ in 0..count {
        columns.push(body.text()?);
        // Table, number, type, size, modifier, format: all of it is asked for as text.
        body.take(18)?;
    }
    Ok(columns)
}

fn row(mut body: Reader) -> Result<Vec<Option<String>>, Error> {
    let count = count(&mut body)?;
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        let length = i32::from_be_bytes(body.array()?);
        values.push(match usize::try_from(length) {
            Ok(length) => Some(wire::value(body.take(length)?)?),
            Err(_) if length == -1 => None,
            Err(_) => return Err(body.nonsense()),
        });
    }
    Ok(values)
}

fn count(body: &mut Reader) -> Result<usize, Error> {
    let count = usize::from(u16::from_be_bytes(body.array()?));
    match count {
        0..=COLUMNS => Ok(count),
        _ => Err(Error::Settings("query: more than 256 columns".into())),
    }
}

fn error(mut body: Reader) -> Result<Message, Error> {
    let (mut code, mut text) = (String::new(), String::new());
    loop {
        match body.byte()? {
            0 => return Ok(Message::Error { code, text }),
            b'C' => code = body.text()?,
            b'M' => text = body.text()?,
            _ => drop(body.terminated()?),
        }
    }
}

/// Asks whether there is TLS.
pub fn ssl_request() -> Vec<u8> {
    [8_u32, 80_877_103].map(u32::to_be_bytes).concat()
}

/// The first message, of version 3.0.
pub fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = Writer::untagged().bytes(&196_608_u32.to_be_bytes());
    for (name, value) in parameters {
        writer = writer.text(name).text(value);
    }
    writer.bytes(&[0]).end()
}

/// Names the mechanism, and begins.
pub fn sasl_first(mechanism: &str, first: &str) -> Vec<u8> {
    let writer = Writer::new(b'p').text(mechanism);
    writer.counted(first.as_bytes()).end()
}

/// All that asks: parse, bind, describe, execute for two rows, and sync. The name is a value beside the
/// text of the query, and its type is what the query makes of it.
pub fn statement(query: &str, name: &str) -> Vec<u8> {
    let none = 0_u16.to_be_bytes();
    let parse = Writer::new(b'P').text("").text(query).bytes(&none).end();
    // No formats, one value; all results as text.
    let bind = Writer::new(b'B').text("").text("").bytes(&none);
    let bind = bind.bytes(&1_u16.to_be_bytes()).counted(name.as_bytes());
    let bind = bind.bytes(&none).end();
    let describe = Writer::new(b'D').bytes(b"P").text("").end();
    let execute = Writer::new(b'E').text("").bytes(&2_u32.to_be_bytes()).end();
    [parse, bind, describe, execute, Writer::new(b'S').end()].concat()
}

/// The answer to md5 authentication.
pub fn md5(user: &str, password: &str, salt: [u8; 4]) -> String {
    let digest = |parts: [&[u8]; 2]| {
        let mut md5 = Md5::new();
        parts.iter().for_each(|part| md5.update(part));
        HEXLOWER.encode(&md5.finalize())
    };
    let inner = digest([password.as_bytes(), user.as_bytes()]);
    format!("md5{}", digest([inner.as_bytes(), &salt]))
}

/// A message that is being written.
#[derive(Debug)]
pub struct Writer {
    tag: Option<u8>,
    body: Vec<u8>,
}

impl Writer {
    /// One of this kind.
    pub fn new(tag: u8) -> Self {
        Self {
            tag: Some(tag),
            body: Vec::new(),
        }
    }

    fn untagged() -> Self {
        Self {
            tag: None,
            body: Vec::new(),
        }
    }

    /// Bytes as they are.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.body.extend_from_slice(bytes);
        self
    }

    /// Text, and a zero behind it. One within it would end it early, so it is left out; settings and
    /// names have none.
    pub fn text(mut self, text: &str) -> Self {
        self.body.extend(text.bytes().filter(|byte| *byte != 0));
        self.body.push(0);
        self
    }

    /// Bytes behind their number.
    pub fn counted(self, bytes: &[u8]) -> Self {
        let count = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.bytes(&count.to_be_bytes()).bytes(bytes)
    }

    /// All of it.
    pub fn end(self) -> Vec<u8> {
        let length = self.body.len().saturating_add(4);
        let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        let mut message = Vec::from_iter(self.tag);
        message.extend(length);
        message.extend(self.body);
        message
    }
}
