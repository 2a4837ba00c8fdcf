//! A conversation with one directory.

use crate::ber::{self, Malformed};
use crate::message::{self, Entry, Outcome, Request, Response, Search};
use std::fmt;
use std::io::{self, Read, Write};

/// Longer messages are not read.
const LONGEST: usize = 1 << 20;
/// More entries than anybody has groups.
const MOST: usize = 10_000;

/// A connection in both directions.
pub trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// Why there is no answer, or none that helps.
#[derive(Debug)]
pub enum Error {
    /// The connection.
    Connection(io::Error),
    /// What came makes no sense.
    Nonsense,
    /// It says something else than yes or no.
    Refused(Outcome),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

impl From<Malformed> for Error {
    fn from(_: Malformed) -> Self {
        Self::Nonsense
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => error.fmt(f),
            Self::Nonsense => f.write_str("it does not speak LDAP"),
            Self::Refused(Outcome { code: 10, .. }) => {
                f.write_str("it refers to another server, and referrals are not followed")
            }
            Self::Refused(Outcome { code, text }) => {
                write!(f, "it answers with result {code}")?;
                match text.as_str() {
                    "" => Ok(()),
                    text => write!(f, ", {text:?}"),
                }
            }
        }
    }
}

/// What bind results that are about the user, and not about the directory: noSuchObject,
/// invalidDNSyntax, inappropriateAuthentication, invalidCredentials, insufficientAccessRights,
/// unwillingToPerform (disabled, in some directories), constraintViolation (locked, in others).
const ABOUT_THE_USER: &[u32] = &[19, 32, 34, 48, 49, 50, 53];

/// The conversation.
pub struct Client<S> {
    stream: S,
    id: i32,
}

impl<S: Stream> Client<S> {
    /// Begins it.
    pub fn new(stream: S) -> Self {
        Self { stream, id: 0 }
    }

    /// Asks for TLS; the stream is then to be handed on to it.
    pub fn start_tls(mut self) -> Result<S, Error> {
        let outcome = self.ask(&Request::StartTls, |_| {})?;
        match outcome.code {
            0 => Ok(self.stream),
            _ => Err(Error::Refused(outcome)),
        }
    }

    /// Whether this is who it says. `None` is yes, otherwise it is why not.
    pub fn bind(&mut self, dn: &str, password: &str) -> Result<Option<Outcome>, Error> {
        let outcome = self.ask(&Request::Bind { dn, password }, |_| {})?;
        match outcome.code {
            0 => Ok(None),
            code if ABOUT_THE_USER.contains(&code) => Ok(Some(outcome)),
            _ => Err(Error::Refused(outcome)),
        }
    }

    /// What is found; nothing where the base is not there.
    pub fn search(&mut self, search: &Search) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        let outcome = self.ask(&Request::Search(*search), |entry| entries.push(entry))?;
        let at_most = usize::try_from(search.at_most).unwrap_or(0);
        match outcome.code {
            0 | 32 => Ok(entries),
            // As many as were asked for are there, and more.
            4 if at_most > 0 && entries.len() >= at_most => Ok(entries),
            _ => Err(Error::Refused(outcome)),
        }
    }

    /// Says goodbye, heard or not.
    pub fn end(mut self) {
        let message = Request::Unbind.message(self.id.saturating_add(1));
        let _ = self.stream.write_all(&message);
        let _ = self.stream.flush();
    }

    fn ask(&mut self, request: &Request, mut each: impl FnMut(Entry)) -> Result<Outcome, Error> {
        self.id = self.id.saturating_add(1);
        let sent = self.stream.write_all(&request.message(self.id));
        let mut unsent = sent.and_then(|()| self.stream.flush()).err();
        for _ in 0..MOST {
            // A directory may say why it closes, and close, before it has read the request.
            let message = self.message();
            let message = message.map_err(|error| unsent.take().map_or(error, Error::from))?;
            let (id, response) = message::read(&message)?;
            match response {
                // Number 0 is a notice that the directory closes the connection.
                Response::Done(outcome) if id == 0 => return Err(Error::Refused(outcome)),
                _ if i32::try_from(id) != Ok(self.id) => return Err(Error::Nonsense),
                Response::Done(outcome) => return Ok(outcome),
                Response::Entry(entry) => each(entry),
                Response::Reference => {}
            }
        }
        Err(Error::Nonsense)
    }

    /// Reads one message, and not a byte more.
    fn message(&mut self) -> Result<Vec<u8>, Error> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head)?;
        let [tag, first] = head;
        if tag != ber::SEQUENCE {
            return Err(Error::Nonsense);
        }
        let mut message = head.to_vec();
        let length = match ber::length_of_length(first)? {
            0 => usize::from(first),
            count => {
                self.more(&mut message, count)?;
                ber::length(message.get(2..).unwrap_or_default())
            }
        };
        if length > LONGEST {
            return Err(Error::Nonsense);
        }
        self.more(&mut message, length)?;
        Ok(message)
    }

    fn more(&mut self, message: &mut Vec<u8>, count: usize) -> Result<(), Error> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes)?;
        message.extend(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter;
    use crate::message::tests::{done, found};

    const BIND: u8 = 0x61;
    const SEARCH: u8 = 0x65;
    const EXTENDED: u8 = 0x78;

    struct Fake {
        said: io::Cursor<Vec<u8>>,
        /// It has closed.
        deaf: bool,
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
            match self.deaf {
                true => Err(io::ErrorKind::BrokenPipe.into()),
                false => Ok(bytes.len()),
            }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn client(messages: &[Vec<u8>]) -> Client<Fake> {
        Client::new(Fake {
            said: io::Cursor::new(messages.concat()),
            deaf: false,
        })
    }

    #[test]
    fn regression_what_was_said_counts_more_than_a_broken_pipe() {
        let deaf = |messages: &[Vec<u8>]| {
            let mut client = client(messages);
            client.stream.deaf = true;
            client.bind("cn=a", "x").unwrap_err()
        };
        let notice = deaf(&[done(0, EXTENDED, 52, "restarting")]);
        assert_eq!(
            notice.to_string(),
            "it answers with result 52, \"restarting\""
        );
        let Error::Connection(error) = deaf(&[]) else {
            panic!()
        };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    fn bind(message: Vec<u8>) -> Result<Option<Outcome>, Error> {
        client(&[message]).bind("cn=a", "x")
    }

    fn search(messages: &[Vec<u8>]) -> Result<Vec<Entry>, Error> {
        client(messages).search(&Search {
            base: "dc=a",
            subtree: true,
            filter: &filter::everything(),
            at_most: 2,
            attributes: &[],
        })
    }

    #[test]
    fn a_bind_is_a_yes_or_a_no_or_neither() {
        assert!(bind(done(1, BIND, 0, "")).unwrap().is_none());
        for code in [49, 53, 19, 32] {
            let no = bind(done(1, BIND, code, "locked")).unwrap().unwrap();
            assert_eq!(no.text, "locked");
        }
        for (code, text) in [
            (51, "it answers with result 51, \"busy\""),
            (13, "it answers with result 13, \"busy\""),
            (
                10,
                "it refers to another server, and referrals are not followed",
            ),
        ] {
            let error = bind(done(1, BIND, code, "busy")).unwrap_err();
            assert_eq!(error.to_string(), text);
        }
        // The next one's answer, a notice of disconnection, and no LDAP at all.
        assert!(matches!(bind(done(2, BIND, 0, "")), Err(Error::Nonsense)));
        assert!(matches!(
            bind(done(0, EXTENDED, 52, "")),
            Err(Error::Refused(_))
        ));
        assert!(matches!(
            bind(done(0, EXTENDED, 0, "")),
            Err(Error::Refused(_))
        ));
        assert!(matches!(
            bind(b"HTTP/1.1 400".to_vec()),
            Err(Error::Nonsense)
        ));
        assert!(matches!(bind(Vec::new()), Err(Error::Connection(_))));
        let endless = vec![0x30, 0x84, 0x7f, 0xff, 0xff, 0xff];
        assert!(matches!(bind(endless), Err(Error::Nonsense)));
    }

    #[test]
    fn a_search_finds() {
        let entry = || found(1, "cn=b", &[("cn", &["b"])]);
        assert_eq!(search(&[entry(), done(1, SEARCH, 0, "")]).unwrap().len(), 1);
        assert!(search(&[done(1, SEARCH, 32, "")]).unwrap().is_empty());
        let more = search(&[entry(), entry(), done(1, SEARCH, 4, "")]);
        assert_eq!(more.unwrap().len(), 2);
        // A limit of the directory's own hides something.
        assert!(search(&[entry(), done(1, SEARCH, 4, "")]).is_err());
        assert!(search(&[entry()]).is_err());
    }

    #[test]
    fn tls_starts_only_where_it_is_said() {
        assert!(client(&[done(1, EXTENDED, 0, "")]).start_tls().is_ok());
        assert!(client(&[done(1, EXTENDED, 2, "")]).start_tls().is_err());
    }
}
