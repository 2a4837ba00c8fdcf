//! The argument of a command, before anything is known about it.
//!
//! One rule for blanks: around words, and between them, they do not matter, and a tab is one of them.
//! A path is taken as it is, since a name may begin and end with a blank: it is all that follows the
//! one blank behind the verb, or behind the last word in front of it (RFC 3659 §2.2). So are user names
//! and passwords.

use crate::ftp::text::{digits, is_control};

use super::ParseError;

/// All that follows the verb and exactly one blank.
#[derive(Clone, Copy)]
pub(super) struct Argument<'a> {
    verb: &'static str,
    bytes: &'a [u8],
}

impl<'a> Argument<'a> {
    pub(super) fn new(verb: &'static str, bytes: &'a [u8]) -> Self {
        Self { verb, bytes }
    }

    /// The verb that it belongs to.
    pub(super) fn verb(self) -> &'static str {
        self.verb
    }

    /// The argument as it is, empty if there is none. It is UTF-8 and has no control character: neither
    /// a name (RFC 2640 §2.2) nor a password goes on with NUL, CR or LF in it.
    pub(super) fn text(self) -> Result<&'a str, ParseError> {
        without_control(self.utf8()?)
    }

    /// The argument, as it is, of a command that needs one.
    pub(super) fn required(self) -> Result<&'a str, ParseError> {
        match self.text()? {
            "" => Err(ParseError::Missing(self.verb)),
            text => Ok(text),
        }
    }

    /// The argument as a name, a path or another text of the client's.
    pub(super) fn name(self) -> Result<String, ParseError> {
        self.required().map(str::to_owned)
    }

    /// The argument as a path that can be left out.
    pub(super) fn optional(self) -> Result<Option<String>, ParseError> {
        Ok(Some(self.text()?)
            .filter(|text| !text.is_empty())
            .map(str::to_owned))
    }

    /// The argument as words, and perhaps a path behind them.
    pub(super) fn words(self) -> Result<Words<'a>, ParseError> {
        let text = self.utf8()?;
        if text.bytes().any(|byte| is_control(byte) && byte != b'\t') {
            return Err(ParseError::ControlCharacter);
        }
        Ok(Words(text))
    }

    /// The argument without the blanks around it, empty if there is none.
    pub(super) fn trimmed(self) -> Result<&'a str, ParseError> {
        without_control(self.words()?.rest())
    }

    /// The same of a command that needs one.
    pub(super) fn word(self) -> Result<&'a str, ParseError> {
        match self.trimmed()? {
            "" => Err(ParseError::Missing(self.verb)),
            word => Ok(word),
        }
    }

    /// That there is no argument.
    pub(super) fn none(self) -> Result<(), ParseError> {
        match self.bytes.iter().all(|byte| is_blank(char::from(*byte))) {
            true => Ok(()),
            false => Err(ParseError::Unexpected(self.verb)),
        }
    }

    /// The argument as a number without a sign.
    pub(super) fn number<T: std::str::FromStr>(self) -> Result<T, ParseError> {
        digits(self.word()?).ok_or(self.malformed())
    }

    pub(super) fn malformed(self) -> ParseError {
        ParseError::Malformed(self.verb)
    }

    pub(super) fn missing(self) -> ParseError {
        ParseError::Missing(self.verb)
    }

    pub(super) fn not_implemented(self) -> ParseError {
        ParseError::NotImplemented(self.verb)
    }

    fn utf8(self) -> Result<&'a str, ParseError> {
        std::str::from_utf8(self.bytes).map_err(|_| ParseError::NotUtf8)
    }
}

/// A text from which words are taken, one after the other.
#[derive(Clone, Copy)]
pub(super) struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    /// The next word, and with it the one blank behind it.
    pub(super) fn next(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start_matches(is_blank);
        let (word, after) = text.split_once(is_blank).unwrap_or((text, ""));
        self.0 = after;
        Some(word).filter(|word| !word.is_empty())
    }

    /// The last word, and with it the one blank in front of it.
    pub(super) fn last(&mut self) -> Option<&'a str> {
        let text = self.0.trim_end_matches(is_blank);
        let (before, word) = text.rsplit_once(is_blank).unwrap_or(("", text));
        self.0 = before;
        Some(word).filter(|word| !word.is_empty())
    }

    /// The rest, without the blanks around it.
    pub(super) fn rest(self) -> &'a str {
        self.0.trim_matches(is_blank)
    }

    /// The rest, as it is: a path, if there is one.
    pub(super) fn path(self) -> Result<Option<&'a str>, ParseError> {
        without_control(self.0).map(|path| Some(path).filter(|path| !path.is_empty()))
    }
}

pub(super) fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

fn without_control(text: &str) -> Result<&str, ParseError> {
    if text.bytes().any(is_control) {
        Err(ParseError::ControlCharacter)
    } else {
        Ok(text)
    }
}
