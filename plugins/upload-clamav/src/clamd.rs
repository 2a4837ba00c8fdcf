//! A conversation with clamd about one file: its command INSTREAM.

use std::fmt;
use std::io::{self, Read, Write};

/// Longer answers are none of clamd's.
const LONGEST: u64 = 4096;
/// The longest piece that is sent at once.
pub const PIECE: u32 = 256 * 1024;

/// What clamd says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing was found.
    Clean,
    /// This was found.
    Infected(String),
    /// A limit of clamd's kept it from looking at everything (`AlertExceedsMax`).
    Unscanned(String),
}

/// Why there is no answer that helps.
#[derive(Debug)]
pub enum Error {
    /// The connection.
    Connection(io::Error),
    /// More was sent than `StreamMaxLength`.
    TooMuch,
    /// Something else than an answer.
    Nonsense(String),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => error.fmt(f),
            Self::TooMuch => f.write_str(
                "it takes less than settings.max-size: its StreamMaxLength has to be as much",
            ),
            Self::Nonsense(text) if text.is_empty() => f.write_str("it does not answer"),
            Self::Nonsense(text) => write!(f, "it answers {text:?}"),
        }
    }
}

/// The conversation.
pub struct Clamd<S> {
    stream: S,
    /// A piece with its length, so that both go out together.
    piece: Vec<u8>,
}

impl<S: Read + Write> Clamd<S> {
    /// Begins it.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            piece: b"zINSTREAM\0".to_vec(),
        }
    }

    /// The connection.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Sends the next piece of the file, at most [`PIECE`] bytes.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        // A length of 0 would be the end.
        if bytes.is_empty() {
            return Ok(());
        }
        let Ok(length) = u32::try_from(bytes.len()) else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput).into());
        };
        self.piece.extend(length.to_be_bytes());
        self.piece.extend(bytes);
        let sent = self.stream.write_all(&self.piece);
        self.piece.clear();
        sent.map_err(|error| self.said(error))
    }

    /// Says that this was all, and waits for the answer.
    pub fn finish(mut self) -> Result<Answer, Error> {
        self.piece.extend([0; 4]);
        let sent = self.stream.write_all(&self.piece);
        if let Err(error) = sent.and_then(|()| self.stream.flush()) {
            let error = self.said(error);
            self.abandon();
            return Err(error);
        }
        read(&self.hear()?)
    }

    /// Leaves the connection to the server, which ends it with the call. To close it here would wait
    /// until all of it is written, to a clamd that does not read.
    pub fn abandon(self) {
        std::mem::forget(self);
    }

    /// Where clamd has had enough, it says so and closes: that tells more than the broken pipe.
    fn said(&mut self, error: io::Error) -> Error {
        match self.hear().map(|said| read(&said)) {
            Ok(Err(why)) if !matches!(&why, Error::Nonsense(text) if text.is_empty()) => why,
            // A verdict before the end is no verdict on the file.
            _ => Error::Connection(error),
        }
    }

    /// Up to the end of the answer, or of the connection.
    fn hear(&mut self) -> io::Result<Vec<u8>> {
        let mut said = Vec::new();
        let mut buffer = [0; 512];
        while !said.contains(&0) && (said.len() as u64) < LONGEST {
            let count = self.stream.read(&mut buffer)?;
            match buffer.get(..count) {
                None | Some([]) => break,
                Some(bytes) => said.extend(bytes),
            }
        }
        Ok(said)
    }
}

/// Reads "stream: OK", "stream: NAME FOUND" or an error.
fn read(said: &[u8]) -> Result<Answer, Error> {
    let end = said.iter().position(|byte| *byte == 0);
    let text = String::from_utf8_lossy(said.get(..end.unwrap_or(said.len())).unwrap_or_default());
    let text = text.trim_end_matches('\n');
    let nonsense = || Error::Nonsense(text.chars().take(200).collect());
    if text.starts_with("INSTREAM size limit exceeded") {
        return Err(Error::TooMuch);
    }
    // Without its end an answer may be half of another.
    let (Some(_), Some(about)) = (end, text.strip_prefix("stream: ")) else {
        return Err(nonsense());
    };
    match about.strip_suffix(" FOUND") {
        _ if about == "OK" => Ok(Answer::Clean),
        Some(limit) if limit.starts_with("Heuristics.Limits.Exceeded") => {
            Ok(Answer::Unscanned(limit.to_owned()))
        }
        Some(name) if !name.is_empty() => Ok(Answer::Infected(name.to_owned())),
        _ => Err(nonsense()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stand_in::{BAD, StandIn};

    fn ask(stand_in: StandIn, pieces: &[&[u8]]) -> Result<Answer, Error> {
        let mut clamd = Clamd::new(stand_in);
        for piece in pieces {
            clamd.send(piece)?;
        }
        clamd.finish()
    }

    #[test]
    fn clean_or_infected() {
        let (first, second) = BAD.split_at(9);
        for (pieces, infected) in [
            (&[][..], false),
            (&[b"".as_slice(), b"content", b""], false),
            (&[BAD], true),
            (&[b"before", first, second, b"after"], true),
            (&[first, b"between", second], false),
            (&[&[7; 256 * 1024], BAD], true),
        ] {
            let expected = match infected {
                true => Answer::Infected("Stand.In.UNOFFICIAL".into()),
                false => Answer::Clean,
            };
            assert_eq!(ask(StandIn::default(), pieces).unwrap(), expected);
        }
    }

    #[test]
    fn what_it_says_counts_more_than_the_broken_pipe() {
        let short = || StandIn {
            longest: 10,
            ..StandIn::default()
        };
        for pieces in [
            &[b"more than ten".as_slice()][..],
            &[b"more than ten", b"more", b"more"],
        ] {
            assert!(matches!(ask(short(), pieces), Err(Error::TooMuch)));
        }
        let gone = StandIn {
            vanishes_after: Some(3),
            ..StandIn::default()
        };
        let error = ask(gone, &[b"piece", b"piece"]).unwrap_err();
        assert!(matches!(error, Error::Connection(_)), "{error}");
        // Nobody says "clean" of half a file.
        let hasty = StandIn {
            longest: 1,
            says: Some(b"stream: OK\0"),
            ..StandIn::default()
        };
        let error = ask(hasty, &[b"piece", b"piece"]).unwrap_err();
        assert!(matches!(error, Error::Connection(_)), "{error}");
    }

    #[test]
    fn anything_else_is_nonsense() {
        for says in [
            b"".as_slice(),
            b"\0",
            b"UNKNOWN COMMAND\0",
            b"stream: OK",
            b"stream: OK?\0",
            b"stream:  FOUND\0",
            b"stream: FOUND\0",
            b"OK\0",
            b"stream: Can't allocate memory ERROR\0",
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            &[b'x'; 100_000],
        ] {
            let stand_in = StandIn {
                says: Some(says),
                ..StandIn::default()
            };
            let error = ask(stand_in, &[b"content"]).unwrap_err();
            assert!(matches!(error, Error::Nonsense(_)), "{error}");
            assert!(error.to_string().len() < 300);
        }
    }

    #[test]
    fn its_own_limits_are_told_from_finds() {
        let limit = "Heuristics.Limits.Exceeded.MaxFileSize";
        let stand_in = StandIn {
            says: Some(b"stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND\0"),
            ..StandIn::default()
        };
        assert_eq!(ask(stand_in, &[]).unwrap(), Answer::Unscanned(limit.into()));
    }
}
