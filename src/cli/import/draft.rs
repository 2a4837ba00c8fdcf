//! The configuration that is written.

use std::path::{Path, PathBuf};

use toml_edit::{Array, InlineTable, Value};

use super::{permissions::Permissions, report::Place, rules::Rule};
use crate::config::{Config, default_plugin_tables};

/// The sections in the order in which they are written; storages and plugins follow.
const SECTIONS: [&str; 7] = ["server", "tls", "data", "limits", "log", "audit", "bans"];

/// The keys that differ from the defaults, and the plugins' settings.
#[derive(Default)]
pub struct Draft {
    keys: Vec<Key>,
    /// Keys that every storage has.
    storage_keys: Vec<Key>,
    /// The storages by their names, if the sources say where files are.
    pub roots: Vec<(String, PathBuf)>,
    /// The guests, if there are any.
    pub anonymous: Option<Anonymous>,
    /// The first that fits decides.
    pub rules: Vec<Rule>,
    /// Whether logins may take long, as hashes are costly to verify.
    pub slow_logins: bool,
}

struct Key {
    section: &'static str,
    name: &'static str,
    value: Value,
    comment: String,
}

/// Guests who log in without a password of their own.
#[derive(Clone, Debug)]
pub struct Anonymous {
    pub place: Place,
    /// On the other server.
    pub home: PathBuf,
    /// In ours: the storage, if it is not the default, and the path in it.
    pub placed: (Option<String>, String),
    pub permissions: Permissions,
    /// Other keys of a user.
    pub keys: Vec<(&'static str, Value)>,
}

impl Anonymous {
    pub fn new(place: &Place, home: PathBuf, permissions: Permissions) -> Self {
        Self {
            place: place.clone(),
            home,
            placed: (None, "/".to_owned()),
            permissions,
            keys: Vec::new(),
        }
    }

    fn value(&self) -> Value {
        let mut table = InlineTable::new();
        let (storage, home) = &self.placed;
        table.insert("home", home.into());
        if let Some(storage) = storage {
            table.insert("storage", storage.into());
        }
        // All of them is not the default for guests.
        let permissions = self.permissions.value();
        let permissions = permissions.unwrap_or_else(|| Array::from_iter(["all"]).into());
        table.insert("permissions", permissions);
        for (key, value) in &self.keys {
            table.insert(*key, value.clone());
        }
        table.into()
    }
}

impl Draft {
    /// Gives a key a value; the last one counts. The comment names the line that says so.
    pub fn set(
        &mut self,
        section: &'static str,
        name: &'static str,
        value: impl Into<Value>,
        source: &Place,
    ) {
        self.set_because(section, name, value, &source.short());
    }

    /// The same with another comment.
    pub fn set_because(
        &mut self,
        section: &'static str,
        name: &'static str,
        value: impl Into<Value>,
        comment: &str,
    ) {
        let key = Key {
            section,
            name,
            value: value.into(),
            comment: comment.to_owned(),
        };
        let keys = match section {
            "storage" => &mut self.storage_keys,
            _ => &mut self.keys,
        };
        keys.retain(|key| (key.section, key.name) != (section, name));
        keys.push(key);
    }

    /// The value that a key was given.
    pub fn get(&self, section: &str, name: &str) -> Option<&Value> {
        let keys = self.keys.iter().chain(&self.storage_keys);
        let mut found = keys.filter(|key| (key.section, key.name) == (section, name));
        found.next().map(|key| &key.value)
    }

    /// The text of config.toml.
    ///
    /// # Errors
    /// When a setting cannot be written.
    pub fn text(&self, product: &str, source: &Path) -> Result<String, String> {
        let source: String = source
            .display()
            .to_string()
            .chars()
            .filter(|c| !c.is_control())
            .collect();
        let mut text = format!(
            "# The configuration of Portcullis, made by `portcullis import` of that of {product}\n\
             # ({source}). Keys that are not here have their defaults, which \
             `portcullis config reference` tells.\n"
        );
        // Where nobody needs TLS, nobody is an exception.
        let off =
            |name: &str| matches!(self.get("tls", name), Some(Value::Boolean(on)) if !on.value());
        let needless = off("required") && off("data-required");
        for section in SECTIONS {
            let keys = self.keys.iter().filter(|key| key.section == section);
            let keys = keys.filter(|key| !needless || key.name != "clear-users");
            table(&mut text, section, keys.filter(|key| key.differs(section)));
        }
        let default = [("default".to_owned(), PathBuf::new())];
        let roots = match self.roots.as_slice() {
            [] => &default,
            roots => roots,
        };
        for (name, root) in roots {
            let root = Key {
                section: "storage",
                name: "root",
                value: root.display().to_string().into(),
                comment: String::new(),
            };
            let own = (!self.roots.is_empty()).then_some(&root);
            let shared = self.storage_keys.iter();
            let shared = shared.filter(|key| key.differs("storage.default"));
            table(
                &mut text,
                &format!("storage.{name}"),
                own.into_iter().chain(shared),
            );
        }
        if self.anonymous.is_some() || !self.rules.is_empty() || self.slow_logins {
            self.plugins(&mut text);
        }
        Ok(text)
    }

    /// The plugins of the defaults, with other settings.
    fn plugins(&self, text: &mut String) {
        text.push_str(
            "\n# The plugins that there are without this, too, with what is said of them here.\n",
        );
        for plugin in default_plugin_tables() {
            let name = plugin.get("name").and_then(toml::Value::as_str);
            text.push_str("\n[[plugin]]\n");
            for key in ["name", "component"] {
                if let Some(value) = plugin.get(key) {
                    text.push_str(&format!("{key} = {}\n", edited(value)));
                }
            }
            let settings = plugin.get("settings").and_then(toml::Value::as_table);
            for (key, value) in settings.into_iter().flatten() {
                match (key.as_str(), value) {
                    ("rules", toml::Value::Array(defaults)) => {
                        text.push_str("settings.rules = [\n");
                        for rule in &self.rules {
                            text.push_str(&format!("    {}, # {}\n", rule.value(), rule.source));
                        }
                        for rule in defaults {
                            text.push_str(&format!("    {},\n", edited(rule)));
                        }
                        text.push_str("]\n");
                    }
                    _ => text.push_str(&format!("settings.{key} = {}\n", edited(value))),
                }
            }
            if name == Some("users") && self.slow_logins {
                text.push_str("limits.wall-time = \"30s\" # some hashes take seconds to verify\n");
            }
            if let (Some("users"), Some(guests)) = (name, &self.anonymous) {
                let (value, source) = (guests.value(), guests.place.short());
                text.push_str(&format!("settings.anonymous = {value} # {source}\n"));
            }
        }
    }
}

impl Key {
    /// Whether the server would do something else without it.
    fn differs(&self, section: &str) -> bool {
        let text = format!("[{section}]\n{} = {}\n", self.name, self.value);
        let config: Result<Config, _> = toml::from_str(&text);
        config.map_or(true, |config| config != Config::default())
    }
}

fn table<'a>(text: &mut String, name: &str, keys: impl Iterator<Item = &'a Key>) {
    let mut keys = keys.peekable();
    if keys.peek().is_some() {
        text.push_str(&format!("\n[{name}]\n"));
    }
    for Key {
        name,
        value,
        comment,
        ..
    } in keys
    {
        let comment = match comment.is_empty() {
            true => String::new(),
            false => format!(" # {comment}"),
        };
        text.push_str(&format!("{name} = {value}{comment}\n"));
    }
}

/// A value as it is written on one line.
fn edited(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(truth) => (*truth).into(),
        toml::Value::Datetime(moment) => moment.to_string().into(),
        toml::Value::Array(values) => values.iter().map(edited).collect::<Array>().into(),
        toml::Value::Table(table) => {
            let entries = table.iter().map(|(key, value)| (key, edited(value)));
            entries.collect::<InlineTable>().into()
        }
    }
}
