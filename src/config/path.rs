//! The name of a place in the configuration: `plugin[1].limits.memory`.

use std::fmt;

use serde_path_to_error::Segment;
use toml::{Table, Value};

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Into a table.
    Key(String),
    /// Into an array.
    Index(usize),
}

/// A place in the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPath(pub Vec<Step>);

impl KeyPath {
    pub fn from_serde(path: &serde_path_to_error::Path) -> Self {
        let steps = path.iter().filter_map(|segment| match segment {
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Enum { .. } | Segment::Unknown => None,
        });
        Self(steps.collect())
    }

    pub fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_owned()))
    }

    pub fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// Whether it is among the settings of a plugin.
    pub fn is_of_a_plugin(&self) -> bool {
        let settings = Step::Key("settings".to_owned());
        self.0.first() == Some(&Step::Key("plugin".to_owned())) && self.0.contains(&settings)
    }

    /// The table, or the array, that this is in.
    pub fn parent(&self) -> Option<Self> {
        let (_, above) = self.0.split_last()?;
        Some(Self(above.to_vec()))
    }

    pub fn find<'a>(&self, table: &'a Table) -> Option<&'a Value> {
        let (Step::Key(first), rest) = self.0.split_first()? else {
            return None;
        };
        rest.iter()
            .try_fold(table.get(first)?, |value, step| match step {
                Step::Key(key) => value.get(key),
                Step::Index(index) => value.get(*index),
            })
    }

    pub fn find_mut<'a>(&self, table: &'a mut Table) -> Option<&'a mut Value> {
        let (Step::Key(first), rest) = self.0.split_first()? else {
            return None;
        };
        rest.iter()
            .try_fold(table.get_mut(first)?, |value, step| match step {
                Step::Key(key) => value.get_mut(key),
                Step::Index(index) => value.get_mut(*index),
            })
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(formatter, "[{index}]")?,
                Step::Key(key) => {
                    let dot = if position == 0 { "" } else { "." };
                    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
                    if !key.is_empty() && key.bytes().all(bare) {
                        write!(formatter, "{dot}{key}")?;
                    } else {
                        write!(formatter, "{dot}{key:?}")?;
                    }
                }
            }
        }
        Ok(())
    }
}
