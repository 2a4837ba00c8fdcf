//! JSON (RFC 8259): whether it is, of whatever length.

use crate::look::Check;
use crate::settings::Json as Options;
use crate::utf8::Utf8;

/// Looks at a file.
pub struct Json<'a> {
    options: &'a Options,
    state: State,
    /// What is open: true for an object.
    open: Vec<bool>,
    line: u64,
    column: u64,
    utf8: Utf8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a value.
    Value,
    /// Behind "[": a value, or "]".
    First,
    /// Behind "{": a key, or "}".
    FirstKey,
    /// Behind a comma in an object.
    Key,
    /// Behind a key.
    Colon,
    /// Behind a value.
    After,
    /// In a text; true if it is a key.
    Text(bool),
    /// Behind a backslash.
    Escape(bool),
    /// So many digits are left of `\uXXXX`.
    Unicode(bool, u8),
    /// What is left of `true`, `false` or `null`.
    Word(&'static [u8]),
    /// Where in a number.
    Number(Number),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    E,
    Sign,
    Exponent,
}

impl<'a> Json<'a> {
    /// From the first byte on.
    pub fn new(options: &'a Options) -> Self {
        Self {
            options,
            state: State::Value,
            open: Vec::new(),
            line: 1,
            column: 1,
            utf8: Utf8::default(),
        }
    }

    #[inline]
    fn byte(&mut self, byte: u8) -> Result<(), String> {
        self.state = match (self.state, byte) {
            (State::Text(key), b'"') => match key {
                true => State::Colon,
                false => State::After,
            },
            (State::Text(key), b'\\') => State::Escape(key),
            (State::Text(_), 0..0x20) => return self.wrong("a control character in a text"),
            (State::Text(key), _) => State::Text(key),
            (State::Escape(key), b'u') => State::Unicode(key, 4),
            (State::Escape(key), b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                State::Text(key)
            }
            (State::Escape(_), _) => return self.wrong("no such escape"),
            (State::Unicode(key, left), byte) if byte.is_ascii_hexdigit() => match left {
                0 | 1 => State::Text(key),
                left => State::Unicode(key, left - 1),
            },
            (State::Unicode(..), _) => return self.wrong("expected a hexadecimal digit"),
            (State::Word([expected, rest @ ..]), byte) if *expected == byte => match rest {
                [] => State::After,
                rest => State::Word(rest),
            },
            (State::Word(_), _) => return self.wrong("expected a value"),
            (State::Number(number), byte) => match number.goes_on(byte) {
                Some(number) => State::Number(number),
                None if number.may_end() => {
                    self.state = State::After;
                    return self.byte(byte);
                }
                None => return self.wrong("expected a digit"),
            },
            (state, b' ' | b'\t' | b'\n' | b'\r') => state,
            (State::Value | State::First, byte) => self.value(byte)?,
            (State::FirstKey | State::Key, b'"') => State::Text(true),
            (State::FirstKey, b'}') => self.close(),
            (State::FirstKey | State::Key, _) => return self.wrong("expected a key"),
            (State::Colon, b':') => State::Value,
            (State::Colon, _) => return self.wrong("expected a colon"),
            (State::After, byte) => match (self.open.last(), byte) {
                (Some(false), b',') => State::Value,
                (Some(true), b',') => State::Key,
                (Some(false), b']') | (Some(true), b'}') => self.close(),
                (Some(false), _) => return self.wrong("expected a comma or ]"),
                (Some(true), _) => return self.wrong("expected a comma or }"),
                (None, _) => return self.wrong("something follows the value"),
            },
        };
        match byte {
            b'\n' => (self.line, self.column) = (self.line + 1, 1),
            // Of a character, its first byte counts.
            0x80..0xc0 => {}
            _ => self.column += 1,
        }
        Ok(())
    }

    fn value(&mut self, byte: u8) -> Result<State, String> {
        let wanted = self.options.top.filter(|_| self.open.is_empty());
        if wanted.is_some_and(|wanted| wanted.begins_with() != byte) {
            let wanted = wanted.map_or("", |wanted| wanted.name());
            return self.wrong(&format!("expected an {wanted}"));
        }
        Ok(match byte {
            b'"' => State::Text(false),
            b't' => State::Word(b"rue"),
            b'f' => State::Word(b"alse"),
            b'n' => State::Word(b"ull"),
            b'-' => State::Number(Number::Minus),
            b'0' => State::Number(Number::Zero),
            b'1'..=b'9' => State::Number(Number::Whole),
            b'{' | b'[' if self.open.len() >= self.options.depth => {
                return self.wrong(&format!("nested more than {} deep", self.options.depth));
            }
            b'{' => {
                self.open.push(true);
                State::FirstKey
            }
            b'[' => {
                self.open.push(false);
                State::First
            }
            b']' if self.state == State::First => self.close(),
            _ => return self.wrong("expected a value"),
        })
    }

    fn close(&mut self) -> State {
        self.open.pop();
        State::After
    }

    fn wrong<T>(&self, what: &str) -> Result<T, String> {
        Err(format!(
            "Line {}, column {}: {what}",
            self.line, self.column
        ))
    }
}

impl Number {
    fn goes_on(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Minus, b'0') => Self::Zero,
            (Self::Minus, b'1'..=b'9') | (Self::Whole, b'0'..=b'9') => Self::Whole,
            (Self::Zero | Self::Whole, b'.') => Self::Point,
            (Self::Point | Self::Fraction, b'0'..=b'9') => Self::Fraction,
            (Self::Zero | Self::Whole | Self::Fraction, b'e' | b'E') => Self::E,
            (Self::E, b'+' | b'-') => Self::Sign,
            (Self::E | Self::Sign | Self::Exponent, b'0'..=b'9') => Self::Exponent,
            _ => return None,
        })
    }

    fn may_end(self) -> bool {
        matches!(
            self,
            Self::Zero | Self::Whole | Self::Fraction | Self::Exponent
        )
    }
}

impl Check for Json<'_> {
    fn add(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        if !self.utf8.goes_on(bytes) {
            return Err(format!("Not UTF-8, in line {} or after it", self.line));
        }
        while let [byte, rest @ ..] = bytes {
            self.byte(*byte)?;
            bytes = rest;
            // Within a text most bytes mean nothing.
            if matches!(self.state, State::Text(_)) {
                let means = |byte: &u8| matches!(*byte, b'"' | b'\\' | 0..0x20);
                let count = bytes.iter().position(means).unwrap_or(bytes.len());
                let (text, rest) = bytes.split_at(count);
                let characters = text.iter().filter(|byte| !matches!(**byte, 0x80..0xc0));
                self.column += characters.count() as u64;
                bytes = rest;
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        let whole = match self.state {
            State::After => true,
            State::Number(number) => number.may_end(),
            _ => false,
        };
        match whole && self.open.is_empty() && self.utf8.may_end() {
            true => Ok(()),
            false => self.wrong("it ends too early"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Form, Settings};

    fn check(options: &str, text: &[u8]) -> Result<(), String> {
        let json = format!(r#"{{"form": "json", "json": {options}}}"#);
        let settings = Settings::parse(&json).unwrap();
        let Some(Form::Json(options)) = &settings.checks.form else {
            panic!("no form")
        };
        let mut last = None;
        for size in [1, 2, 3, 7, 1000] {
            let mut json = Json::new(options);
            let mut pieces = text.chunks(size);
            let result = pieces.try_for_each(|piece| json.add(piece));
            let result = result.and_then(|()| json.end());
            let before = last.replace(result.is_ok());
            assert!(
                before.is_none_or(|before| before == result.is_ok()),
                "{text:?}"
            );
            if size == 1000 {
                return result;
            }
        }
        Ok(())
    }

    /// As serde_json sees it, which is stricter with surrogates and numbers out of range alone.
    #[test]
    fn as_others_see_it() {
        let pieces = [
            "{", "}", "[", "]", ",", ":", "\"a\"", "\"", "1", "-", "0", ".", "e", "+", "true",
            "nul", "l", " ", "\n", "\\", "\\n", "\\u00e4", "ä", "\u{1}", "1.5e3", "x",
        ];
        let mut seed = 7_u64;
        let mut valid = 0;
        for _ in 0..200_000 {
            let mut text = String::new();
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let length = 1 + (seed >> 60) % 7;
            for _ in 0..length {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text.push_str(pieces[(seed >> 33) as usize % pieces.len()]);
            }
            let expected = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            let mut json = Json::new(&Options {
                top: None,
                depth: 64,
            });
            let found = json.add(text.as_bytes()).and_then(|()| json.end());
            assert_eq!(found.is_ok(), expected, "{text:?}: {found:?}");
            valid += u32::from(expected);
        }
        assert!(valid > 1000, "{valid}");
    }

    #[test]
    fn well_formed() {
        for text in [
            r#"{"a": [1, -0.5e+10, true, false, null, {}, [], "\u00e4\n\""], "": {"b": 0}}"#,
            " [ ] ",
            "0",
            "\"\"",
            "-1",
            "1E5",
            "\"😀\"",
        ] {
            assert_eq!(check("{}", text.as_bytes()), Ok(()), "{text}");
        }
        assert_eq!(check(r#"{"top-level": "array"}"#, b" []"), Ok(()));
        assert_eq!(check(r#"{"top-level": "object"}"#, b"{}\n"), Ok(()));
    }

    #[test]
    fn says_where_it_is_not() {
        let deep = "[".repeat(65);
        for (options, text, error) in [
            ("{}", "", "Line 1, column 1: it ends too early"),
            (
                "{}",
                "[1,\n 2 3]",
                "Line 2, column 4: expected a comma or ]",
            ),
            ("{}", "[1,]", "Line 1, column 4: expected a value"),
            ("{}", "{\"ä\" 1}", "Line 1, column 6: expected a colon"),
            ("{}", "{a: 1}", "Line 1, column 2: expected a key"),
            ("{}", "{\"a\": 1,}", "Line 1, column 9: expected a key"),
            (
                "{}",
                "{\"a\": 1]",
                "Line 1, column 8: expected a comma or }",
            ),
            (
                "{}",
                "{} {}",
                "Line 1, column 4: something follows the value",
            ),
            ("{}", "01", "Line 1, column 2: something follows the value"),
            ("{}", "[1.]", "Line 1, column 4: expected a digit"),
            (
                "{}",
                "\"\n\"",
                "Line 1, column 2: a control character in a text",
            ),
            ("{}", r#""\x""#, "Line 1, column 3: no such escape"),
            (
                "{}",
                r#""\u12g4""#,
                "Line 1, column 6: expected a hexadecimal digit",
            ),
            ("{}", "tru", "Line 1, column 4: it ends too early"),
            ("{}", "\u{feff}{}", "Line 1, column 1: expected a value"),
            (
                "{}",
                deep.as_str(),
                "Line 1, column 65: nested more than 64 deep",
            ),
            (
                r#"{"max-depth": 1}"#,
                "[[]]",
                "Line 1, column 2: nested more than 1 deep",
            ),
            (
                r#"{"top-level": "array"}"#,
                "{}",
                "Line 1, column 1: expected an array",
            ),
            (
                r#"{"top-level": "object"}"#,
                " 1",
                "Line 1, column 2: expected an object",
            ),
        ] {
            assert_eq!(
                check(options, text.as_bytes()).unwrap_err(),
                error,
                "{text}"
            );
        }
        assert!(
            check("{}", b"\"\xff\"")
                .unwrap_err()
                .starts_with("Not UTF-8")
        );
        assert!(check("{}", b"\"a\xc3").is_err());
    }
}
