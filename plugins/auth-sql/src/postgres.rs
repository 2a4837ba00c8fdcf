//! PostgreSQL's protocol, version 3.0: a start, an authentication, one prepared statement.

mod message;
mod scram;

use crate::wire::{self, Error, Found, MESSAGES, Question, Stream};
use message::{Message, Writer};
use scram::{Expected, Scram};

/// Random bytes that SCRAM takes.
pub const RANDOM: usize = 18;

/// Asks for TLS; the stream is then to be handed on to it, and not a byte more than the answer has
/// been read.
pub fn request_tls<S: Stream>(mut stream: S) -> Result<S, Error> {
    send(&mut stream, &message::ssl_request())?;
    match wire::exactly(&mut stream, 1)?.first() {
        Some(b'S') => Ok(stream),
        Some(b'N') => Err(Error::Settings(
            "it offers no TLS: set ssl = on in its postgresql.conf, or tls = false here".into(),
        )),
        _ => Err(Error::Nonsense("the answer to the request for TLS")),
    }
}

/// Asks the question.
pub fn look_up(
    stream: &mut impl Stream,
    question: &Question,
    random: &[u8],
) -> Result<Found, Error> {
    let mut client = Client {
        stream,
        left: MESSAGES,
    };
    client.authenticate(question, random)?;
    client.start()?;
    let found = client.ask(question);
    // Heard or not.
    let _ = send(client.stream, &Writer::new(b'X').end());
    found
}

struct Client<'a, S> {
    stream: &'a mut S,
    /// Messages that are still read.
    left: usize,
}

fn send(stream: &mut impl Stream, bytes: &[u8]) -> Result<(), Error> {
    stream.write_all(bytes)?;
    Ok(stream.flush()?)
}

impl<S: Stream> Client<'_, S> {
    /// The next message that is about what was asked. An error is one of the results.
    fn next(&mut self, doing: &str) -> Result<Message, Error> {
        while self.left > 0 {
            self.left = self.left.saturating_sub(1);
            match message::read(self.stream)? {
                Message::Error { code, text } => return Err(wire::refused(doing, &code, &text)),
                Message::Notice => {}
                message => return Ok(message),
            }
        }
        Err(Error::Nonsense("it says too much"))
    }

    fn authenticate(&mut self, question: &Question, random: &[u8]) -> Result<(), Error> {
        let start = message::startup(&[
            ("user", question.user),
            ("database", question.database),
            ("application_name", "portcullis"),
            ("client_encoding", "UTF8"),
            ("DateStyle", "ISO"),
        ]);
        // A database that refuses may close before it has read all.
        let unsent = send(self.stream, &start).err();
        let doing = format!("user {:?}", question.user);
        let mut next = match (self.next(&doing), unsent) {
            (Err(Error::Connection(_)), Some(unsent)) => return Err(unsent),
            (next, _) => next?,
        };
        let mut scram: Option<Scram> = None;
        let mut expected: Option<Expected> = None;
        let mut proven = false;
        loop {
            let answer = match next {
                // With SCRAM the server has to have shown that it knows the password.
                Message::Authenticated if scram.is_none() || proven => return Ok(()),
                Message::Cleartext if question.encrypted => password(question.password),
                Message::Cleartext => {
                    return Err(Error::Settings(
                        "it wants the password in the clear, which goes over TLS alone: use \
                         scram-sha-256 in its pg_hba.conf, or tls = true here"
                            .into(),
                    ));
                }
                Message::Md5(salt) => {
                    password(&message::md5(question.user, question.password, salt))
                }
                Message::Sasl(mechanisms) if scram.is_none() => {
                    if !mechanisms.iter().any(|name| name == "SCRAM-SHA-256") {
                        return Err(unknown_method());
                    }
                    let begun = Scram::new(random);
                    let message = message::sasl_first("SCRAM-SHA-256", &begun.first());
                    scram = Some(begun);
                    message
                }
                Message::SaslContinue(challenge) if expected.is_none() => {
                    let begun = scram.as_ref();
                    let begun = begun.ok_or(Error::Nonsense("SCRAM without a beginning"))?;
                    let answered = begun.last(question.password, &challenge);
                    let (answer, signature) = answered.map_err(Error::Nonsense)?;
                    expected = Some(signature);
                    Writer::new(b'p').bytes(answer.as_bytes()).end()
                }
                Message::SaslFinal(last) => {
                    proven = expected.as_ref().is_some_and(|expected| expected.is(&last));
                    if !proven {
                        return Err(Error::Nonsense("SCRAM: it does not know the password"));
                    }
                    next = self.next(&doing)?;
                    continue;
                }
                Message::OtherMethod => return Err(unknown_method()),
                _ => return Err(Error::Nonsense("the authentication")),
            };
            send(self.stream, &answer)?;
            next = self.next(&doing)?;
        }
    }

    /// Parameters, until it is ready.
    fn start(&mut self) -> Result<(), Error> {
        loop {
            match self.next("the start")? {
                Message::Ready => return Ok(()),
                Message::Other => {}
                _ => return Err(Error::Nonsense("the start")),
            }
        }
    }

    fn ask(&mut self, question: &Question) -> Result<Found, Error> {
        send(
            self.stream,
            &message::statement(question.query, question.name),
        )?;
        let mut found = Found::default();
        let mut described = false;
        loop {
            match self.next("query")? {
                Message::Columns(columns) if !described => {
                    found.columns = columns;
                    described = true;
                }
                Message::Row(row) if described => {
                    if row.len() != found.columns.len() || found.rows.len() > 1 {
                        return Err(Error::Nonsense("a row"));
                    }
                    found.rows.push(row);
                }
                Message::NoRows => {
                    return Err(Error::Settings(
                        "query: it returns no rows: it has to be a select".into(),
                    ));
                }
                Message::Ready if described => return Ok(found),
                Message::Other => {}
                _ => return Err(Error::Nonsense("the answer to the query")),
            }
        }
    }
}

fn password(password: &str) -> Vec<u8> {
    Writer::new(b'p').text(password).end()
}

fn unknown_method() -> Error {
    Error::Settings(
        "it wants another kind of authentication: use scram-sha-256 in its pg_hba.conf".into(),
    )
}

#[cfg(test)]
mod tests;
