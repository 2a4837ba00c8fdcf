//! Lines that are no command, and what the client hears.

use std::fmt;

use crate::ftp::reply::Reply;

use super::table::syntax;

/// Why a line is no command. Nothing of the line is repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParseError {
    /// The line is empty (500).
    Empty,
    /// It does not begin with a verb of letters and digits (500).
    NoVerb,
    /// This verb needs an argument (501).
    Missing(&'static str),
    /// This verb takes no argument (501).
    Unexpected(&'static str),
    /// The argument does not fit this verb (501).
    Malformed(&'static str),
    /// The argument is not UTF-8 (501).
    NotUtf8,
    /// The argument holds a control character (501).
    ControlCharacter,
    /// `OPTS HASH` with an algorithm that does not exist here (501).
    UnknownAlgorithm,
    /// The argument of this verb is right, and not implemented (504).
    NotImplemented(&'static str),
    /// A network protocol that is neither IPv4 nor IPv6 (522).
    UnknownFamily,
    /// PROT S or E, which TLS does not have (536).
    ProtectionLevel,
}

impl ParseError {
    /// The reply to the client.
    pub fn reply(&self) -> Reply {
        Reply::new(self.code(), self.to_string())
    }

    fn code(&self) -> u16 {
        match self {
            Self::Empty | Self::NoVerb => 500,
            Self::Missing(_)
            | Self::Unexpected(_)
            | Self::Malformed(_)
            | Self::NotUtf8
            | Self::ControlCharacter
            | Self::UnknownAlgorithm => 501,
            Self::NotImplemented(_) => 504,
            Self::UnknownFamily => 522,
            Self::ProtectionLevel => 536,
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(formatter, "The line is empty"),
            Self::NoVerb => write!(formatter, "Not a command"),
            Self::Missing(verb) => write!(formatter, "An argument is missing: {}", syntax(verb)),
            Self::Unexpected(verb) => write!(formatter, "{verb} takes no argument"),
            Self::Malformed(verb) => write!(formatter, "Wrong argument: {}", syntax(verb)),
            Self::NotUtf8 => write!(formatter, "The argument is not UTF-8"),
            Self::ControlCharacter => write!(formatter, "The argument holds a control character"),
            Self::UnknownAlgorithm => {
                write!(
                    formatter,
                    "Unknown algorithm, the current selection is not changed"
                )
            }
            Self::NotImplemented(verb) => {
                write!(formatter, "{verb} is not implemented for that parameter")
            }
            // RFC 2428 §2: the reply lists the protocols that are supported.
            Self::UnknownFamily => write!(formatter, "Network protocol not supported, use (1,2)"),
            Self::ProtectionLevel => write!(formatter, "The protection level is C or P with TLS"),
        }
    }
}

impl std::error::Error for ParseError {}
