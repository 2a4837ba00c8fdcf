//! The values of log lines: bounded, and harmless to whoever reads them.

use std::fmt::{self, Debug};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use super::escape::{CLIENT_TEXT, CUT, cut, json, plain};

/// Bytes of any other value: the text of a plugin's fault, say.
const TEXT: usize = 8 << 10;

/// Fields whose text is a client's own.
const CLIENTS: [&str; 8] = [
    "user", "path", "from", "to", "home", "software", "verb", "text",
];

/// The most bytes of the value of a field.
pub(super) fn most(field: &str) -> usize {
    match CLIENTS.contains(&field) {
        true => CLIENT_TEXT,
        false => TEXT,
    }
}

/// Fields as `name=value`, with text in quotes.
pub(super) struct Fields;

impl<'writer> FormatFields<'writer> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = Visitor {
            writer,
            first: true,
            result: Ok(()),
        };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct Visitor<'writer> {
    writer: Writer<'writer>,
    first: bool,
    result: fmt::Result,
}

impl Visitor<'_> {
    fn put(&mut self, field: &Field, value: &str) {
        if self.result.is_err() {
            return;
        }
        let space = if self.first { "" } else { " " };
        self.first = false;
        self.result = match field.name() {
            "message" => write!(self.writer, "{space}{value}"),
            name => write!(self.writer, "{space}{name}={value}"),
        };
    }
}

impl Visit for Visitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let value = cut(value, most(field.name()));
        // `Debug` leaves some invisible characters as they are.
        match field.name() {
            "message" => self.put(field, &plain(&value)),
            _ => self.put(field, &plain(&format!("{value:?}"))),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        self.put(field, &plain(&cut(&text, most(field.name()))));
    }
}

/// Lines of JSON, of which the values are treated in the same way.
pub(super) struct Json<F>(pub(super) F);

impl<S, N, F> FormatEvent<S, N> for Json<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'writer> FormatFields<'writer> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.0
            .format_event(context, Writer::new(&mut line), event)?;
        writer.write_str(&json(&bounded(&line)))
    }
}

/// The line with long texts cut.
fn bounded(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let (mut rest, mut key) = (line, "");
    while let Some(start) = rest.find('"') {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        let (token, behind) = from.split_at(end_of_text(from));
        rest = behind;
        if behind.starts_with(':') {
            key = token.trim_matches('"');
            out.push_str(token);
            continue;
        }
        let most = most(key);
        let text = match token.len() > most {
            true => serde_json::from_str::<String>(token).ok(),
            false => None,
        };
        match text.filter(|text| text.len() > most) {
            Some(text) => {
                let short = serde_json::to_string(&*cut(&text, most));
                out.push_str(&short.unwrap_or_else(|_| format!("\"{CUT}\"")));
            }
            None => out.push_str(token),
        }
    }
    out + rest
}

/// Where a text ends that begins with its quote.
fn end_of_text(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::{fmt, layer::SubscriberExt};

    use super::*;
    use crate::observe::escape::steers;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    const HOSTILE: &str = "a\"\\\u{1b}[2J\u{9b}\u{202e}\u{200b}\nb";

    fn lines(json: bool, log: impl FnOnce()) -> String {
        let sink = Sink::default();
        let to = sink.clone();
        let registry = tracing_subscriber::registry();
        if json {
            let layer = fmt::layer().json().flatten_event(true);
            let layer = layer.map_event_format(Json).with_writer(move || to.clone());
            tracing::subscriber::with_default(registry.with(layer), log);
        } else {
            let layer = fmt::layer().fmt_fields(Fields).with_ansi(false);
            let layer = layer.with_writer(move || to.clone());
            tracing::subscriber::with_default(registry.with(layer), log);
        }
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn values_are_escaped_in_both_forms() {
        let log = || tracing::info!(user = HOSTILE, error = %HOSTILE, bytes = 7, "{HOSTILE}");
        let text = lines(false, log);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.trim_end().contains(steers), "{text}");
        assert!(text.contains("bytes=7"), "{text}");
        assert!(text.contains(r#"user="a\"\\\u{1b}[2J"#), "{text}");

        let text = lines(true, log);
        assert!(!text.trim_end().contains(steers), "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        for key in ["user", "error", "message"] {
            assert_eq!(line.get(key).unwrap(), HOSTILE, "{key}");
        }
        assert_eq!(line.get("bytes").unwrap(), 7);
    }

    #[test]
    fn texts_of_clients_are_cut_and_others_are_not() {
        let long = "é\"\u{9b}".repeat(400);
        let log = || tracing::info!(path = long, error = %long, "done");
        let text = lines(false, log);
        let path = text.split("path=\"").nth(1).unwrap();
        let path = path.split("…\"").next().unwrap();
        assert!(path.len() < 6 * CLIENT_TEXT, "{path}");
        assert_eq!(text.matches('é').count(), 400 + CLIENT_TEXT / 5);
        let line: serde_json::Value = serde_json::from_str(&lines(true, log)).unwrap();
        let path = line.get("path").unwrap().as_str().unwrap();
        assert!(path.ends_with(CUT), "{path}");
        assert!(path.len() <= CLIENT_TEXT + CUT.len_utf8());
        assert_eq!(line.get("error").unwrap().as_str().unwrap(), long);
        assert_eq!(line.get("message").unwrap(), "done");
    }

    #[test]
    fn a_line_that_is_short_is_as_it_was() {
        let line = r#"{"a":"x\"y","b":[1,"z"],"user":"u"}"#;
        assert_eq!(bounded(line), line);
        assert_eq!(bounded("no json \" here"), "no json \" here");
    }
}
