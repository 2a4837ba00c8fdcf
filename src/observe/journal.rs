//! The log as entries of journald, in the protocol that systemd documents as "Native Journal Protocol":
//! a datagram each, with a priority and the fields of the line.

use std::{fmt::Debug, io, os::unix::net::UnixDatagram};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    fmt::{FormatFields, format},
    layer::Context,
};

use super::{
    escape::{cut, plain},
    format::{Fields, most},
    writer::Writer,
};

/// Where journald listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// The prefix of the fields of a line: without one they could pass for journald's own.
const PREFIX: &str = "PORTCULLIS_";

/// Connects to journald. The socket is systemd's, and outlives a journald that is started anew.
///
/// # Errors
/// When nobody listens there, for people.
pub(super) fn connect() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket
        .connect(SOCKET)
        .map_err(|error| io::Error::new(error.kind(), format!("{SOCKET}: {error}")))?;
    Ok(socket)
}

/// Makes entries of lines.
pub(super) struct Journal(pub(super) Writer);

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.0.add(&entry(event));
    }
}

fn entry(event: &Event<'_>) -> Vec<u8> {
    let facts = event.metadata();
    let priority = match *facts.level() {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    };
    // People read the line as it would be elsewhere; programs have its fields.
    let mut message = String::new();
    let told = Fields.format_fields(format::Writer::new(&mut message), event);
    if told.is_err() {
        message = "a line that cannot be written".to_owned();
    }
    let mut entry = Entry(Vec::with_capacity(256 + 2 * message.len()));
    entry.put("PRIORITY", &priority.to_string());
    entry.put("SYSLOG_IDENTIFIER", env!("CARGO_PKG_NAME"));
    entry.put("TARGET", facts.target());
    entry.put("MESSAGE", &message);
    event.record(&mut entry);
    entry.0
}

/// The bytes of a datagram.
struct Entry(Vec<u8>);

impl Entry {
    /// Adds a field, of which the value has no line ends.
    fn put(&mut self, name: &str, value: &str) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b'=');
        self.0.extend_from_slice(plain(value).as_bytes());
        self.0.push(b'\n');
    }

    fn put_field(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            return;
        }
        // Capital letters, digits and underscores, at most 64 of them.
        let name = PREFIX.chars().chain(field.name().chars());
        let name = name.map(|letter| match letter.is_ascii_alphanumeric() {
            true => letter.to_ascii_uppercase(),
            false => '_',
        });
        let name: String = name.take(64).collect();
        self.put(&name, &cut(value, most(field.name())));
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_field(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put_field(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::observe::writer::To;

    #[test]
    fn a_line_is_an_entry_with_priority_and_fields() {
        let (writer, _flush) = Writer::over(To::Nowhere);
        let registry = tracing_subscriber::registry().with(Journal(writer.clone()));
        tracing::subscriber::with_default(registry, || {
            tracing::warn!(user = "a\nPRIORITY=0\u{1b}", bytes = 7, client = %"::1", "done\nMESSAGE=x");
        });
        let entries = writer.waiting();
        assert_eq!(entries.len(), 1);
        let entry = entries.front().unwrap();
        let lines: Vec<&str> = str::from_utf8(entry).unwrap().lines().collect();
        assert_eq!(
            lines,
            [
                "PRIORITY=4",
                "SYSLOG_IDENTIFIER=portcullis",
                "TARGET=portcullis::observe::journal::tests",
                r#"MESSAGE=done\nMESSAGE=x user="a\nPRIORITY=0\u{1b}" bytes=7 client=::1"#,
                r"PORTCULLIS_USER=a\nPRIORITY=0\u{1b}",
                "PORTCULLIS_BYTES=7",
                "PORTCULLIS_CLIENT=::1",
            ]
        );
    }
}
