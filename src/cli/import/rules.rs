//! Rules of the plugin `rules`.

use toml_edit::{Array, InlineTable, Value};

/// One rule; an empty list fits everything.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// "allow", "deny" or "hide".
    pub effect: &'static str,
    /// Names as they are; see [`literal`].
    pub users: Vec<String>,
    pub groups: Vec<String>,
    pub operations: Vec<&'static str>,
    /// Patterns.
    pub paths: Vec<String>,
    /// The line that says so.
    pub source: String,
}

impl Rule {
    /// As the configuration has it.
    pub fn value(&self) -> Value {
        let mut table = InlineTable::new();
        table.insert("effect", self.effect.into());
        let literals = |names: &[String]| names.iter().map(|name| literal(name)).collect();
        let operations = self.operations.iter().map(|name| (*name).to_owned());
        for (key, list) in [
            ("users", literals(&self.users)),
            ("groups", literals(&self.groups)),
            ("operations", operations.collect::<Vec<_>>()),
            ("paths", self.paths.clone()),
        ] {
            if !list.is_empty() {
                table.insert(key, list.into_iter().collect::<Array>().into());
            }
        }
        table.into()
    }
}

/// A pattern that fits this text alone.
pub fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\*?[]{},".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// The patterns of a directory and all below it, by its path from "/" on.
pub fn tree(path: &str) -> Vec<String> {
    match path.trim_matches('/') {
        "" => Vec::new(),
        below => {
            let below = literal(below);
            vec![format!("/{below}"), format!("/{below}/**")]
        }
    }
}

/// The patterns of entries anywhere whose names fit one of these, and of all below them.
pub fn anywhere(names: &[String]) -> Vec<String> {
    let both = |name: &String| [format!("**/{name}"), format!("**/{name}/**")];
    names.iter().flat_map(both).collect()
}
