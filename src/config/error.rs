//! Errors of a configuration, and their places.

use std::fmt;

/// One thing that is wrong, or worth a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// "config.toml:12", "--set limits.idle-timeout" or "the default".
    pub place: String,
    /// `limits.idle-timeout`; empty when no key is to blame.
    pub key: String,
    /// The message without place and key: mostly the expected value and the found one.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.place)?;
        let named = self.place.strip_prefix("--set ") == Some(&self.key);
        if !self.key.is_empty() && !named {
            write!(formatter, ": {}", self.key)?;
        }
        write!(formatter, ": {}", self.text)
    }
}

/// A configuration that cannot be used: all that was found wrong, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// In the order of the file.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    pub(super) fn one(place: impl Into<String>, text: impl Into<String>) -> Self {
        let problem = Problem {
            place: place.into(),
            key: String::new(),
            text: text.into(),
        };
        Self {
            problems: vec![problem],
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(formatter, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
