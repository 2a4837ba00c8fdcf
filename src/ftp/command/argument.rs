//! The argument of a command, before anything is known about it.

use crate::ftp::text::{digits, is_control};

use super::ParseError;

/// All that follows the verb and exactly one blank (RFC 3659 §2.2): blanks at the end are kept.
#[derive(Clone, Copy)]
pub(super) struct Argument<'a> {
    verb: &'static str,
    bytes: &'a [u8],
}

impl<'a> Argument<'a> {
    pub(super) fn new(verb: &'static str, bytes: &'a [u8]) -> Self {
        Self { verb, bytes }
    }

    /// The argument, empty if there is none. It is UTF-8 and has no control character: neither a
    /// name (RFC 2640 §2.2) nor a password goes on with NUL, CR or LF in it.
    pub(super) fn text(self) -> Result<&'a str, ParseError> {
        let text = std::str::from_utf8(self.bytes).map_err(|_| ParseError::NotUtf8)?;
        if text.bytes().any(is_control) {
            Err(ParseError::ControlCharacter)
        } else {
            Ok(text)
        }
    }

    /// The argument of a command that needs one.
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

    /// The argument of a command that can do without.
    pub(super) fn optional(self) -> Result<Option<String>, ParseError> {
        Ok(Some(self.text()?)
            .filter(|text| !text.is_empty())
            .map(str::to_owned))
    }

    /// That there is no argument.
    pub(super) fn none(self) -> Result<(), ParseError> {
        match self.bytes {
            [] => Ok(()),
            _ => Err(ParseError::Unexpected(self.verb)),
        }
    }

    /// The argument as a number without a sign.
    pub(super) fn number<T: std::str::FromStr>(self) -> Result<T, ParseError> {
        digits(self.required()?).ok_or(self.malformed())
    }

    pub(super) fn malformed(self) -> ParseError {
        ParseError::Malformed(self.verb)
    }

    pub(super) fn not_implemented(self) -> ParseError {
        ParseError::NotImplemented(self.verb)
    }
}
