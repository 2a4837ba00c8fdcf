//! TOML files that are no configuration, read as the configuration is.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::{
    ConfigError, Problem,
    load::typed,
    regular,
    source::{Origins, Source},
};

/// A file with its types, and the places of its keys.
#[derive(Clone, Debug)]
pub struct Document<T> {
    /// Its content.
    pub value: T,
    origins: Origins,
}

impl<T: DeserializeOwned> Document<T> {
    /// Reads a file.
    ///
    /// # Errors
    /// All that is wrong, each with its place.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let shown = file.display().to_string();
        let text = regular::read_text(file).map_err(|error| {
            ConfigError::one(shown.as_str(), format!("cannot be read: {error}"))
        })?;
        Self::parse(&shown, &text)
    }

    /// The same from its text; `file` is its name for messages.
    ///
    /// # Errors
    /// All that is wrong, each with its place.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let mut source = Source::parse(file, text)?;
        let value = typed(&mut source, Vec::new)?;
        let origins = source.origins;
        Ok(Self { value, origins })
    }
}

impl<T> Document<T> {
    /// Finds fault with a key, written as in `call[1].user`.
    #[must_use]
    pub fn problem(&self, key: &str, text: impl Into<String>) -> Problem {
        Problem {
            place: self.origins.locate(key),
            key: key.to_owned(),
            text: text.into(),
        }
    }
}
