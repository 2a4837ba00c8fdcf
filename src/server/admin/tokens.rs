//! The tokens that let programs and people in over TCP: a file of their digests in the state directory.
//!
//! `portcullis token` writes it; the server reads it, anew when it has changed. A token has 256 random
//! bits, so that a plain SHA-256 of it tells nobody anything.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use aws_lc_rs::{digest, rand};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::config::{Stamp, regular};

/// The file's name in the state directory.
const FILE: &str = "tokens.toml";
/// The beginning of each token, by which it is known for one.
const MARK: &str = "pct_";

/// The rights of the holder of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Look at everything.
    Look,
    /// Also end, ban, release, delete and reload.
    Act,
}

/// A token, as the file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Token {
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// The rights of its holder.
    pub role: Role,
    /// The day on which it was made.
    pub created: String,
}

/// The tokens of a server, by their names.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    file: PathBuf,
    stamp: Option<Stamp>,
    tokens: BTreeMap<String, Token>,
}

impl Tokens {
    /// Reads those of a state directory; without a file there are none.
    ///
    /// # Errors
    /// For people, with the file and the line.
    pub fn read(state: &Path) -> Result<Self, String> {
        let file = state.join(FILE);
        let stamp = Stamp::of(&file);
        let text = match regular::read_text(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(format!("{}: {error}", file.display())),
        };
        let tokens = toml::from_str(&text).map_err(|error| {
            let line = error.span().map(|span| {
                let before = text.get(..span.start).unwrap_or_default();
                before.matches('\n').count() + 1
            });
            let line = line.map_or_else(String::new, |line| format!("{line}:"));
            format!("{}:{line} {}", file.display(), error.message())
        })?;
        Ok(Self {
            file,
            stamp: Some(stamp),
            tokens,
        })
    }

    /// The same as the file has it now. One that will not do leaves none in force, and the log says so.
    pub(super) fn renew(&mut self) {
        if self
            .stamp
            .is_some_and(|stamp| stamp.still_holds(&self.file))
        {
            return;
        }
        let Some(state) = self.file.parent() else {
            return;
        };
        match Self::read(state) {
            Ok(new) => *self = new,
            Err(error) => {
                tracing::error!(
                    error,
                    "the tokens cannot be read, and nobody is let in with one"
                );
                self.stamp = Some(Stamp::of(&self.file));
                self.tokens.clear();
            }
        }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &BTreeMap<String, Token> {
        &self.tokens
    }

    /// The name and the rights of a token that somebody shows.
    #[must_use]
    pub fn find(&self, token: &str) -> Option<(&str, Role)> {
        let shown = sha256(token);
        let found = self.tokens.iter().find(|(_, one)| one.sha256 == shown);
        found.map(|(name, one)| (name.as_str(), one.role))
    }

    /// Makes one, which is told here and nowhere else.
    ///
    /// # Errors
    /// Where the name is taken, the file cannot be written, or there are no random numbers.
    pub fn add(&mut self, name: &str, role: Role) -> Result<Zeroizing<String>, String> {
        if self.tokens.contains_key(name) {
            return Err(format!("there is a token {name:?} already"));
        }
        let mut bytes = Zeroizing::new([0; 32]);
        rand::fill(&mut *bytes).map_err(|_| "the system has no random numbers".to_owned())?;
        let token = Zeroizing::new(format!("{MARK}{}", BASE64URL_NOPAD.encode(&*bytes)));
        let entry = Token {
            sha256: sha256(&token),
            role,
            created: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
        };
        self.tokens.insert(name.to_owned(), entry);
        self.write()?;
        Ok(token)
    }

    /// Removes one, whose holder is let in no more.
    ///
    /// # Errors
    /// Where there is none of that name, or the file cannot be written.
    pub fn remove(&mut self, name: &str) -> Result<(), String> {
        if self.tokens.remove(name).is_none() {
            return Err(format!("there is no token {name:?}"));
        }
        self.write()
    }

    fn write(&self) -> Result<(), String> {
        let text = toml::to_string(&self.tokens).map_err(|error| error.to_string())?;
        let text = format!(
            "# Tokens for the page and the API: digests, names and rights. `portcullis token` writes this.\n\n{text}"
        );
        let new = self.file.with_extension("new");
        let written = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&new, &self.file));
        written.map_err(|error| format!("{}: {error}", self.file.display()))
    }
}

fn sha256(text: &str) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}
