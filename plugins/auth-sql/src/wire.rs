//! Errors, bounds and the reading of messages, which both protocols share.

use std::fmt;
use std::io::{self, Read, Write};

/// Longer messages are not read.
pub const LONGEST: usize = 256 * 1024;
/// More messages than the answer to one query has, notices included.
pub const MESSAGES: usize = 1000;
/// More columns than there are keys.
pub const COLUMNS: usize = 256;

/// A connection in both directions.
pub trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// Why there is no answer, or none that helps.
#[derive(Debug)]
pub enum Error {
    /// The connection.
    Connection(io::Error),
    /// The answer makes no sense; this says where.
    Nonsense(&'static str),
    /// The database has a reason of its own, which may pass.
    Refused(String),
    /// Something is set wrongly, here or at the database: no other server will do better.
    Settings(String),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => match error.kind() {
                io::ErrorKind::TimedOut => f.write_str("no answer within timeout"),
                io::ErrorKind::UnexpectedEof => f.write_str("it has closed the connection"),
                _ => error.fmt(f),
            },
            Self::Nonsense(place) => write!(f, "it does not speak the protocol: {place}"),
            Self::Refused(what) | Self::Settings(what) => f.write_str(what),
        }
    }
}

/// One question, and the account that asks it.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The database's name.
    pub database: &'a str,
    /// The account at the database.
    pub user: &'a str,
    /// Its password.
    pub password: &'a str,
    /// Whether TLS protects what is said.
    pub encrypted: bool,
    /// With one kind of parameter: the name.
    pub query: &'a str,
    /// The client's name.
    pub name: &'a str,
}

/// The answer: columns by name, and at most two rows of them, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Their names.
    pub columns: Vec<String>,
    /// Values; none is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

/// An error in a database's words: `code` is the SQLSTATE, and tells what can be done about it.
pub fn refused(doing: &str, code: &str, text: &str) -> Error {
    let shown: String = text.chars().take(300).collect();
    let what = format!("{doing}: the database says {shown:?} ({code})");
    // Authorisation, no such database, syntax and what is named in a query.
    match code.get(..2) {
        Some("28" | "3D" | "42") => Error::Settings(what),
        _ => Error::Refused(what),
    }
}

/// Reads exactly so many bytes.
pub fn exactly(stream: &mut impl Stream, count: usize) -> Result<Vec<u8>, Error> {
    if count > LONGEST {
        return Err(Error::Nonsense("a message is too long"));
    }
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A message, from front to back.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    place: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads from these bytes; `place` goes into errors.
    pub fn new(bytes: &'a [u8], place: &'static str) -> Self {
        Self { rest: bytes, place }
    }

    /// Whether there is nothing more.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The bytes that are left.
    pub fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// The error for what makes no sense here.
    pub fn nonsense(&self) -> Error {
        Error::Nonsense(self.place)
    }

    /// The next bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let split = self.rest.split_at_checked(count);
        let (taken, rest) = split.ok_or_else(|| self.nonsense())?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next bytes, as many as the array has.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| self.nonsense())
    }

    /// The next byte.
    pub fn byte(&mut self) -> Result<u8, Error> {
        self.array().map(|[byte]| byte)
    }

    /// Bytes up to a zero, which is taken away, too.
    pub fn terminated(&mut self) -> Result<&'a [u8], Error> {
        let end = self.rest.iter().position(|byte| *byte == 0);
        let taken = self.take(end.ok_or_else(|| self.nonsense())?)?;
        self.take(1)?;
        Ok(taken)
    }

    /// Text up to a zero. A database's words may have another encoding: then they are not all legible.
    pub fn text(&mut self) -> Result<String, Error> {
        self.terminated().map(legible)
    }
}

/// Text, legible as far as it is UTF-8.
pub fn legible(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A value of a column, which has to be UTF-8.
pub fn value(bytes: &[u8]) -> Result<String, Error> {
    let text = String::from_utf8(bytes.to_vec());
    text.map_err(|_| Error::Settings("query: a value that is not UTF-8".into()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A database that has said all it says, and hears everything.
    #[derive(Debug, Default)]
    pub struct Fake {
        said: io::Cursor<Vec<u8>>,
        /// All that it was told.
        pub heard: Vec<u8>,
    }

    impl Fake {
        /// It says this.
        pub fn new(said: Vec<u8>) -> Self {
            Self {
                said: io::Cursor::new(said),
                heard: Vec::new(),
            }
        }

        /// How many bytes of it were read.
        pub fn read_so_far(&self) -> u64 {
            self.said.position()
        }
    }

    impl Read for Fake {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            // A few bytes at a time, as a network may.
            let length = buffer.len().min(3);
            self.said.read(&mut buffer[..length])
        }
    }

    impl Write for Fake {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.heard.extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn reads_no_more_than_there_is() {
        let mut reader = Reader::new(b"ab\0c", "here");
        assert_eq!(reader.terminated().unwrap(), b"ab");
        assert!(reader.terminated().is_err());
        assert_eq!(reader.byte().unwrap(), b'c');
        assert!(reader.is_empty() && reader.byte().is_err());
        assert!(Reader::new(b"a", "here").take(usize::MAX).is_err());
        let error = exactly(&mut Fake::new(Vec::new()), usize::MAX).unwrap_err();
        assert!(matches!(error, Error::Nonsense(_)));
    }

    #[test]
    fn codes_tell_what_passes_from_what_does_not() {
        for code in ["28P01", "3D000", "42601", "42S02"] {
            assert!(matches!(refused("query", code, "x"), Error::Settings(_)));
        }
        for code in ["53300", "57P03", "HY000", "08004", "", "\u{e4}x"] {
            assert!(matches!(refused("query", code, "x"), Error::Refused(_)));
        }
        let long = refused("query", "42601", &"\u{1b}x".repeat(1000)).to_string();
        assert!(long.len() < 3000 && !long.contains('\u{1b}'));
    }
}
