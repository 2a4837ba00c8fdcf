//! The protocol of MySQL and MariaDB: a handshake of version 10, one prepared statement, and rows in
//! the binary form.

mod login;
mod packet;
mod value;

use crate::wire::{COLUMNS, Error, Found, MESSAGES, Question, Reader, Stream};
use packet::{Packets, counted, length};
use value::Column;

pub use login::Greeting;

/// More parameters than anybody names one user by.
const PARAMETERS: u16 = 64;

const PREPARE: u8 = 0x16;
const EXECUTE: u8 = 0x17;
const QUIT: u8 = 0x01;

/// Reads what the server says first, and not a byte more.
pub fn greet(stream: &mut impl Stream) -> Result<Greeting, Error> {
    let packet = Packets::new(stream, 0).read()?;
    if let Some(error) = packet::error("the start", &packet) {
        return Err(error);
    }
    Greeting::read(&packet)
}

/// Asks for TLS; the stream is then to be handed on to it.
pub fn request_tls(stream: &mut impl Stream, greeting: &Greeting) -> Result<(), Error> {
    if !greeting.has_tls() {
        return Err(Error::Settings(
            "it offers no TLS: set ssl-cert and ssl-key in its configuration, or tls = false here"
                .into(),
        ));
    }
    Packets::new(stream, 1).write(&login::ssl_request())
}

/// Asks the question.
pub fn look_up(
    stream: &mut impl Stream,
    greeting: &Greeting,
    question: &Question,
) -> Result<Found, Error> {
    // The request for TLS has taken a number.
    let next = if question.encrypted { 2 } else { 1 };
    let mut packets = Packets::new(stream, next);
    login::authenticate(&mut packets, greeting, question)?;
    let found = ask(&mut packets, question);
    packets.restart();
    // Heard or not.
    let _ = packets.write(&[QUIT]);
    found
}

fn ask(packets: &mut Packets<impl Stream>, question: &Question) -> Result<Found, Error> {
    packets.restart();
    packets.write(&[&[PREPARE], question.query.as_bytes()].concat())?;
    let (statement, parameters) = prepared(packets)?;

    packets.restart();
    packets.write(&execution(statement, parameters, question.name))?;
    let head = answer(packets)?;
    let mut reader = Reader::new(&head, "the answer to the query");
    let columns = match length(&mut reader)? {
        0 => return Err(no_rows()),
        count => definitions(packets, count)?,
    };
    let mut found = Found::default();
    let mut left = MESSAGES;
    loop {
        let packet = answer(packets)?;
        if packet::is_end(&packet) {
            break;
        }
        // A third one is read, to come to the end, and not kept.
        let row = value::row(&packet, &columns)?;
        if found.rows.len() < 2 {
            found.rows.push(row);
        }
        left = left
            .checked_sub(1)
            .ok_or_else(|| Error::Settings("query: more than 1000 rows for one name".into()))?;
    }
    found.columns = columns.into_iter().map(|column| column.name).collect();
    Ok(found)
}

/// A packet that is no error.
fn answer(packets: &mut Packets<impl Stream>) -> Result<Vec<u8>, Error> {
    let packet = packets.read()?;
    match packet::error("query", &packet) {
        Some(error) => Err(error),
        None => Ok(packet),
    }
}

/// The statement's number, and how many parameters it has.
fn prepared(packets: &mut Packets<impl Stream>) -> Result<(u32, u16), Error> {
    let packet = answer(packets)?;
    let mut reader = Reader::new(&packet, "the prepared statement");
    if reader.byte()? != 0 {
        return Err(reader.nonsense());
    }
    let statement = u32::from_le_bytes(reader.array()?);
    let columns = u16::from_le_bytes(reader.array()?);
    let parameters = u16::from_le_bytes(reader.array()?);
    if columns == 0 {
        return Err(no_rows());
    }
    if parameters == 0 || parameters > PARAMETERS {
        return Err(Error::Settings(
            "query: expected ? where the name belongs, outside of quotes".into(),
        ));
    }
    // The definitions come again with the rows.
    for count in [parameters, columns] {
        definitions(packets, count.into())?;
    }
    Ok((statement, parameters))
}

fn definitions(packets: &mut Packets<impl Stream>, count: u64) -> Result<Vec<Column>, Error> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > COLUMNS {
        return Err(Error::Settings("query: more than 256 columns".into()));
    }
    let mut columns = Vec::with_capacity(count);
    for _ in 0..count {
        columns.push(Column::read(&answer(packets)?)?);
    }
    match packet::is_end(&answer(packets)?) {
        true => Ok(columns),
        false => Err(Error::Nonsense("the end of the columns")),
    }
}

/// The name, as many times as the query wants it: a value beside its text.
fn execution(statement: u32, parameters: u16, name: &str) -> Vec<u8> {
    let count = usize::from(parameters);
    let mut packet = vec![EXECUTE];
    packet.extend(statement.to_le_bytes());
    // No cursor; once; nothing is NULL; types follow.
    packet.push(0);
    packet.extend(1_u32.to_le_bytes());
    packet.extend(vec![0; count.div_ceil(8)]);
    packet.push(1);
    packet.extend([value::VAR_STRING, 0].repeat(count));
    packet.extend(counted(name.as_bytes()).repeat(count));
    packet
}

fn no_rows() -> Error {
    Error::Settings("query: it returns no rows: it has to be a select".into())
}

#[cfg(test)]
mod tests;
