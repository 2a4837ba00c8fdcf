//! The ends of the lines of a source.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::cli::output;

/// A line of a source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    file: Arc<Path>,
    line: usize,
}

impl Place {
    /// A line, from 1 on; 0 is the file as a whole.
    pub fn new(file: &Path, line: usize) -> Self {
        Self {
            file: file.into(),
            line,
        }
    }

    /// Another line of the same file.
    pub fn line(&self, line: usize) -> Self {
        Self {
            file: self.file.clone(),
            line,
        }
    }

    /// A path as it is written there: relative to the file's directory.
    pub fn resolve(&self, path: &str) -> PathBuf {
        let directory = self.file.parent().unwrap_or(Path::new("."));
        let joined = directory.join(path);
        std::path::absolute(&joined).unwrap_or(joined)
    }

    /// For a comment of the configuration: the file's name and the line.
    pub fn short(&self) -> String {
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        let name: String = name.chars().filter(|c| !c.is_control()).collect();
        match self.line {
            0 => name,
            line => format!("{name}:{line}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(formatter, "{}", self.file.display()),
            line => write!(formatter, "{}:{line}", self.file.display()),
        }
    }
}

/// The end of a directive that the configuration has no key for.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// Nothing is lost, and why.
    Needless(&'static str),
    /// It is not carried over, and why, or what to do instead. Where it is off there, nothing is lost.
    Lost(&'static str),
    /// The same, also where it is off.
    LostEvenOff(&'static str),
}

/// Known directives without a counterpart, by their names.
pub type Fates = &'static [(&'static str, Fate)];

/// More errors than this nobody reads.
const MOST_ERRORS: usize = 50;

/// All that is told of a source.
#[derive(Default)]
pub struct Report {
    lines: Vec<(Place, String)>,
    errors: Vec<String>,
    lost: usize,
    needless: usize,
    /// Of what is told once, however often it is there: the line that tells it, and how often.
    repeated: BTreeMap<String, (usize, usize)>,
}

impl Report {
    /// Something is not carried over.
    pub fn lost(&mut self, place: &Place, name: &str, why: impl fmt::Display) {
        self.lost += 1;
        self.note(place, name, format!("not carried over: {why}"));
    }

    /// Something needs no counterpart.
    pub fn needless(&mut self, place: &Place, name: &str, why: impl fmt::Display) {
        self.needless += 1;
        self.note(place, name, format!("not needed: {why}"));
    }

    /// Something is carried over, and still has to be looked at.
    pub fn note(&mut self, place: &Place, name: &str, text: impl fmt::Display) {
        self.lines
            .push((place.clone(), format!("{place}: {name}: {text}")));
    }

    /// As [`lost`](Self::lost) and [`needless`](Self::needless), of a table's fate.
    pub fn fate(&mut self, place: &Place, name: &str, fate: Fate) {
        match fate {
            Fate::Needless(why) => self.needless(place, name, why),
            Fate::Lost(why) | Fate::LostEvenOff(why) => self.lost(place, name, why),
        }
    }

    /// The same of a key that every user may have: told at the first place, and counted.
    pub fn each(&mut self, place: &Place, name: &str, fate: Fate) {
        if let Some((_, count)) = self.repeated.get_mut(name) {
            *count += 1;
            return;
        }
        self.fate(place, name, fate);
        let line = self.lines.len().saturating_sub(1);
        self.repeated.insert(name.to_owned(), (line, 1));
    }

    /// Something in the source is wrong: then nothing is written.
    pub fn error(&mut self, error: impl Into<String>) {
        self.errors.push(error.into());
    }

    /// A value is none of its kind.
    pub fn wrong(&mut self, place: &Place, name: &str, expected: &str, found: &str) {
        let found: String = found.chars().take(100).collect();
        self.error(format!(
            "{place}: {name}: expected {expected}, found {found:?}"
        ));
    }

    /// Whether something was wrong already.
    pub fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// The errors, a line each: the first of them, and how many more there are.
    pub fn errors(&self) -> Option<String> {
        let first = self.errors.get(..MOST_ERRORS).unwrap_or(&self.errors);
        (!first.is_empty()).then(|| {
            let mut text = first.join("\n");
            if let Some(more @ 1..) = self.errors.len().checked_sub(first.len()) {
                text.push_str(&format!("\nand {more} more"));
            }
            text.push_str("\nnothing was written");
            text
        })
    }

    /// All lines, in the order of the sources.
    pub fn told(&mut self) -> String {
        for (line, count) in self.repeated.values() {
            if let Some((_, line)) = self.lines.get_mut(*line)
                && *count > 1
            {
                line.push_str(&format!(" (and {} more of them)", count - 1));
            }
        }
        self.repeated.clear();
        self.lines.sort_by(|(one, _), (other, _)| one.cmp(other));
        let lines = self.lines.iter().map(|(_, line)| line.as_str());
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Counts them, at the end.
    pub fn summary(&self) {
        let (lost, needless) = (self.lost, self.needless);
        output::warning(&format!(
            "{lost} not carried over, {needless} not needed; all of them are named above"
        ));
    }
}
