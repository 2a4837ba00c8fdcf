//! The errors of engines.

use std::io;

use super::super::Error;

/// For people, with as little of the engine's XML as says it.
pub(super) fn explained(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = inner.source();
    }
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    one_line.chars().take(600).collect()
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        use object_store::Error as Of;
        match error {
            Of::NotFound { .. } => Self::NotFound,
            Of::AlreadyExists { .. } => Self::Exists,
            Of::Precondition { .. } | Of::NotModified { .. } => Self::Changed,
            Of::NotSupported { .. } | Of::NotImplemented { .. } => Self::Unsupported,
            Of::InvalidPath { .. } => Self::Denied,
            error => Self::Io(io::Error::other(explained(&error))),
        }
    }
}
