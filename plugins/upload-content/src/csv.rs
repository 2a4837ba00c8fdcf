//! CSV (RFC 4180): whether every record has its fields, and quotes are where they may be.

use crate::look::Check;
use crate::settings::Csv as Options;
use crate::utf8::Utf8;

/// A header is remembered no further than this.
const HEADER: usize = 64 << 10;

/// Looks at a file.
pub struct Csv<'a> {
    options: &'a Options,
    state: State,
    /// The number of the record, from 1 on.
    record: u64,
    /// Its fields before this one.
    fields: u64,
    /// How many each record has.
    columns: Option<u64>,
    /// The first record's fields, where they are compared.
    header: Option<Vec<Vec<u8>>>,
    kept: usize,
    utf8: Utf8,
    /// How much of a byte order mark may still come.
    mark: &'static [u8],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a record: this may be the end.
    Record,
    /// Before a field.
    Field,
    /// In one without quotes.
    Plain,
    /// In one with.
    Quoted,
    /// Behind a quote in one: its end, or a quote.
    Quote,
    /// Behind a carriage return.
    Return,
}

impl<'a> Csv<'a> {
    /// From the first byte on.
    pub fn new(options: &'a Options) -> Self {
        Self {
            options,
            state: State::Record,
            record: 1,
            fields: 0,
            columns: options.columns,
            header: options.header.as_ref().map(|_| vec![Vec::new()]),
            kept: 0,
            utf8: Utf8::default(),
            mark: b"\xef\xbb\xbf",
        }
    }

    #[inline]
    fn byte(&mut self, byte: u8) -> Result<(), String> {
        let delimiter = self.options.delimiter;
        self.state = match (self.state, byte) {
            (_, 0) => return Err(format!("Record {} has a zero byte", self.record)),
            (State::Return, b'\n') => self.end_record()?,
            (State::Return, _) => {
                return Err(format!(
                    "Record {} ends with a carriage return and no line feed",
                    self.record
                ));
            }
            (State::Quoted, b'"') => State::Quote,
            (State::Quoted, byte) => {
                self.keep(byte);
                State::Quoted
            }
            (State::Quote, b'"') => {
                self.keep(b'"');
                State::Quoted
            }
            (_, b'\r') => State::Return,
            (_, b'\n') => self.end_record()?,
            (_, byte) if byte == delimiter => {
                self.fields += 1;
                self.next_field();
                State::Field
            }
            (State::Record | State::Field, b'"') => State::Quoted,
            (State::Quote, _) => {
                return Err(format!(
                    "Record {}, field {}: something follows the closing quote",
                    self.record,
                    self.fields + 1
                ));
            }
            (_, b'"') => {
                return Err(format!(
                    "Record {}, field {}: a quote within a field that does not begin with one",
                    self.record,
                    self.fields + 1
                ));
            }
            (_, byte) => {
                self.keep(byte);
                State::Plain
            }
        };
        Ok(())
    }

    fn end_record(&mut self) -> Result<State, String> {
        let fields = self.fields + 1;
        let columns = *self.columns.get_or_insert(fields);
        if fields != columns {
            let noun = if fields == 1 { "field" } else { "fields" };
            return Err(format!(
                "Record {} has {fields} {noun}, not {columns}",
                self.record
            ));
        }
        if let (Some(found), Some(wanted)) = (self.header.take(), &self.options.header) {
            compare(&found, wanted)?;
        }
        self.record += 1;
        self.fields = 0;
        Ok(State::Record)
    }

    fn keep(&mut self, byte: u8) {
        if let Some(field) = self.header.as_mut().and_then(|fields| fields.last_mut())
            && self.kept < HEADER
        {
            self.kept += 1;
            field.push(byte);
        }
    }

    fn next_field(&mut self) {
        if let Some(fields) = &mut self.header
            && self.kept < HEADER
        {
            self.kept += 1;
            fields.push(Vec::new());
        }
    }
}

fn compare(found: &[Vec<u8>], wanted: &[String]) -> Result<(), String> {
    for (index, wanted) in wanted.iter().enumerate() {
        let found = found.get(index).map(Vec::as_slice).unwrap_or_default();
        if found != wanted.as_bytes() {
            let found = crate::name::shown(found);
            return Err(format!(
                "The header's field {} is {found:?}, not {wanted:?}",
                index + 1
            ));
        }
    }
    Ok(())
}

impl Check for Csv<'_> {
    fn add(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        if self.options.utf8 && !self.utf8.goes_on(bytes) {
            return Err(format!("Not UTF-8, in record {} or after it", self.record));
        }
        // Excel begins with a byte order mark, which is not of the first field.
        while let ([expected, later @ ..], [byte, rest @ ..]) = (self.mark, bytes) {
            if expected != byte {
                // Half a mark would not be UTF-8.
                self.mark = &[];
                break;
            }
            (self.mark, bytes) = (later, rest);
        }
        while let [byte, rest @ ..] = bytes {
            self.byte(*byte)?;
            bytes = rest;
            // Within a field most bytes mean nothing.
            if matches!(self.state, State::Plain | State::Quoted) && self.header.is_none() {
                let delimiter = self.options.delimiter;
                let means =
                    |byte: &u8| matches!(*byte, b'"' | b'\r' | b'\n' | 0) || *byte == delimiter;
                let count = bytes.iter().position(means).unwrap_or(bytes.len());
                bytes = bytes.get(count..).unwrap_or_default();
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        if self.options.utf8 && !self.utf8.may_end() {
            return Err("Not UTF-8 at its end".into());
        }
        match self.state {
            State::Record if self.record == 1 && self.options.header.is_some() => {
                Err("There is no header".into())
            }
            State::Record => Ok(()),
            State::Quoted => Err(format!(
                "Record {}, field {}: the quote is not closed",
                self.record,
                self.fields + 1
            )),
            State::Return => Err(format!(
                "Record {} ends with a carriage return and no line feed",
                self.record
            )),
            State::Field | State::Plain | State::Quote => self.end_record().map(|_| ()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn check(csv: &str, text: &[u8]) -> Result<(), String> {
        let json = format!(r#"{{"form": "csv", "csv": {csv}}}"#);
        let settings = Settings::parse(&json).unwrap();
        let Some(crate::settings::Form::Csv(options)) = &settings.checks.form else {
            panic!("no form")
        };
        let mut results = Vec::new();
        for size in [1, 2, 3, 5, 1000] {
            let mut csv = Csv::new(options);
            let mut pieces = text.chunks(size);
            let result = pieces.try_for_each(|piece| csv.add(piece));
            results.push(result.and_then(|()| csv.end()));
        }
        // Where it is cut has no influence, but on where something is said not to be UTF-8.
        assert!(
            results
                .windows(2)
                .all(|two| two[0] == two[1] || two[0].is_err() && two[1].is_err())
        );
        results.pop().unwrap()
    }

    #[test]
    fn well_formed() {
        for (options, text) in [
            ("{}", "".as_bytes()),
            ("{}", b"a"),
            ("{}", b"a,b\n1,2\n"),
            ("{}", b"a,b\r\n1,2"),
            ("{}", b"\xef\xbb\xbfa,b\r\n1,2"),
            ("{}", b"a,\"b\"\"c\n,\"\n,\n\"\",\"\"\n"),
            ("{}", b"\n\n"),
            (r#"{"delimiter": ";"}"#, b"a;b,c\n1;2\n"),
            (r#"{"delimiter": "\t"}"#, b"a\tb\n1\t2\n"),
            (r#"{"columns": 2}"#, b"a,b\n"),
            (r#"{"header": ["id", "n,\"m"]}"#, b"id,\"n,\"\"m\"\n1,2\n"),
            (r#"{"header": ["id"]}"#, b"\xef\xbb\xbf\"id\"\n1\n"),
            (r#"{"encoding": "any"}"#, b"\xe4,\xef\n1,2\n"),
            ("{}", "ä,€\n😀,\n".as_bytes()),
        ] {
            assert_eq!(check(options, text), Ok(()), "{options} {text:?}");
        }
    }

    #[test]
    fn says_where_it_is_not() {
        for (options, text, error) in [
            ("{}", b"a,b\n1\n".as_slice(), "Record 2 has 1 field, not 2"),
            ("{}", b"a,b\n1,2\n1,2,3", "Record 3 has 3 fields, not 2"),
            ("{}", b"a,b\n\n", "Record 2 has 1 field, not 2"),
            (
                r#"{"columns": 5}"#,
                b"a,b,c\n",
                "Record 1 has 3 fields, not 5",
            ),
            ("{}", b"a,\"b", "Record 1, field 2: the quote is not closed"),
            (
                "{}",
                b"\"a\"b\n",
                "Record 1, field 1: something follows the closing quote",
            ),
            (
                "{}",
                b"a,b\"c\n",
                "Record 1, field 2: a quote within a field that does not",
            ),
            (
                "{}",
                b"a\rb\n",
                "Record 1 ends with a carriage return and no line feed",
            ),
            ("{}", b"a\n\r", "Record 2 ends with a carriage return"),
            ("{}", b"a\0", "Record 1 has a zero byte"),
            ("{}", b"a\n\xe4\n", "Not UTF-8"),
            ("{}", b"a\xe2\x82", "Not UTF-8 at its end"),
            (r#"{"header": ["id"]}"#, b"", "There is no header"),
            (
                r#"{"header": ["id", "x"]}"#,
                b"id,y\n",
                "The header's field 2 is \"y\", not \"x\"",
            ),
            (
                r#"{"header": ["id", "x"]}"#,
                b"id\n",
                "Record 1 has 1 field, not 2",
            ),
        ] {
            let found = check(options, text).unwrap_err();
            assert!(found.starts_with(error), "{text:?}: {found}");
        }
    }

    #[test]
    fn a_header_without_end_is_not_kept() {
        let json = r#"{"form": "csv", "csv": {"header": ["a"]}}"#;
        let settings = Settings::parse(json).unwrap();
        let Some(crate::settings::Form::Csv(options)) = &settings.checks.form else {
            panic!("no form")
        };
        for piece in [vec![b'x'; 1 << 20], vec![b','; 1 << 20]] {
            let mut csv = Csv::new(options);
            csv.add(&piece).unwrap();
            let kept: usize = csv
                .header
                .unwrap()
                .iter()
                .map(|field| field.len() + 1)
                .sum();
            assert!(kept <= HEADER + 1);
        }
    }
}
