//! The file of users that the plugins `users` and `auth-totp` read: one table for each, by their names.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};
use toml_edit::{DocumentMut, Item, RawString, Table};

use super::files;
use crate::config::{Config, Host, Plugin, regular, toml_error};

/// The comment on top of a new file.
const HEAD: &str = "\
# The users of this server, read anew whenever this file changes. `portcullis user` writes it; what
# is written by hand stays. For each user, a table by the name:
#
#   password             by `portcullis user passwd NAME`; without one, certificates must do
#   certificates         [\"CN=alice,O=Example\", \"sha256:<64 hexadecimal digits>\"]
#   require-certificate  true: password and certificate, not just one of them
#   addresses            [\"192.0.2.0/24\"]: from nowhere else
#   disabled             true keeps the user out
#   expires              \"2026-12-31\": gone from the end of that day on, UTC
#   home                 what the user sees as \"/\"; by default \"/\" and the name
#   storage              a storage's name in the configuration
#   groups               for the other plugins: [\"staff\"]
#   permissions          \"all\" (the default), \"read\", \"write\", or one by one: \"list\", \"download\",
#                        \"upload\", \"overwrite\", \"append\", \"delete\", \"rename\", \"make-directory\",
#                        \"remove-directory\", \"change-metadata\"
#   max-sessions, idle-timeout, upload-rate, download-rate, max-upload-size, quota, quota-files, greeting
";

/// A user to be added.
#[derive(Clone, Debug, Default)]
pub struct NewUser {
    /// The argument of USER.
    pub name: String,
    /// The password's hash; without one the user has to be disabled.
    pub hash: Option<String>,
    /// An absolute path in the storage; none is that of a group.
    pub home: Option<String>,
    /// A storage of the configuration.
    pub storage: Option<String>,
    /// For other plugins.
    pub groups: Vec<String>,
    /// By their names; none is all of them.
    pub permissions: Vec<String>,
    /// Other keys, as the file has them.
    pub others: Vec<(&'static str, toml_edit::Value)>,
}

/// The components that have their users in such a file.
const COMPONENTS: [&str; 2] = ["builtin:users", "builtin:auth-totp"];

/// The plugin of a host that has its users in such a file.
fn plugin(host: &Host) -> Option<&Plugin> {
    let mut plugins = host.plugin.iter();
    plugins.find(|plugin| COMPONENTS.contains(&plugin.component.as_str()))
}

/// The file that the first of these plugins of a host has its users in; relative ones are in `state`.
pub fn path(host: &Host, state: &Path) -> Result<PathBuf, String> {
    let plugin = plugin(host).ok_or_else(|| {
        let of = host.id.name().map(|name| format!(" of the host {name}"));
        let of = of.unwrap_or_default();
        format!("no plugin of the configuration{of} has the component \"builtin:users\"")
    })?;
    let users = plugin.settings.get("users");
    let file = users
        .and_then(|users| users.get("file"))
        .and_then(toml::Value::as_str);
    let file = file.ok_or_else(|| {
        format!(
            "the plugin {:?} has no users = {{ file = \"…\" }} in its settings",
            plugin.name
        )
    })?;
    Ok(state.join(file))
}

/// The groups that the settings of the same plugin define, or a file that they name; there may be none.
pub fn groups(host: &Host, state: &Path) -> Result<Map<String, Value>, String> {
    let Some(groups) = plugin(host).and_then(|plugin| plugin.settings.get("groups")) else {
        return Ok(Map::new());
    };
    match groups.get("file").and_then(toml::Value::as_str) {
        Some(file) => read(&state.join(file)),
        None => match serde_json::to_value(groups) {
            Ok(Value::Object(groups)) => Ok(groups),
            _ => Ok(Map::new()),
        },
    }
}

/// Has the same plugin read another file.
pub fn set_path(config: &mut Config, path: &Path) {
    let plugin = config
        .plugin
        .iter_mut()
        .find(|plugin| COMPONENTS.contains(&plugin.component.as_str()));
    let users = plugin.and_then(|plugin| plugin.settings.get_mut("users"));
    if let Some(file) = users.and_then(|users| users.get_mut("file")) {
        *file = path.display().to_string().into();
    }
}

/// The users of a file, by their names. A file that is not there has none.
pub fn read(path: &Path) -> Result<Map<String, Value>, String> {
    let users = Document::read(path)?.users();
    users.map_err(|error| format!("{}: {error}", path.display()))
}

/// Changes a file, which nobody else can do in the meantime.
pub fn edit(
    path: &Path,
    change: impl FnOnce(&mut Document) -> Result<(), String>,
) -> Result<(), String> {
    let directory = path.parent().unwrap_or(Path::new("."));
    files::make_private_directory(directory)?;
    let _lock = files::lock(directory)?;
    let mut document = Document::read(path)?;
    change(&mut document)?;
    files::replace(path, document.text()?.as_bytes())
}

/// The content of a file of users.
pub enum Document {
    /// With its comments and its order.
    Toml(DocumentMut),
    /// Files that end in ".json".
    Json(Map<String, Value>),
}

impl Document {
    /// A file without users, as TOML.
    pub fn empty() -> Result<Self, String> {
        let document = HEAD.parse().map(Self::Toml);
        document.map_err(|error: toml_edit::TomlError| error.to_string())
    }

    fn read(path: &Path) -> Result<Self, String> {
        let json = path
            .extension()
            .is_some_and(|extension| extension == "json");
        let text = match regular::read_text(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && json => "{}".to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => HEAD.to_owned(),
            Err(error) => return Err(files::failed(path, "read", &error)),
        };
        if json {
            let users = serde_json::from_str(&text);
            return users
                .map(Self::Json)
                .map_err(|error| format!("{}: {error}", path.display()));
        }
        let document: Result<DocumentMut, _> = text.parse();
        document.map(Self::Toml).map_err(|error| {
            let before = error
                .span()
                .and_then(|span| text.get(..span.start))
                .unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let message = toml_error(&text, error.message(), error.span());
            format!("{}:{line}: {message}", path.display())
        })
    }

    /// The file as it is written.
    ///
    /// # Errors
    /// The users cannot be written as JSON.
    pub fn text(&self) -> Result<String, String> {
        match self {
            Self::Toml(document) => Ok(document.to_string()),
            Self::Json(users) => serde_json::to_string_pretty(users)
                .map(|text| text + "\n")
                .map_err(|error| error.to_string()),
        }
    }

    /// All users, by their names.
    ///
    /// # Errors
    /// The document cannot be written as JSON.
    pub fn users(&self) -> Result<Map<String, Value>, String> {
        match self {
            Self::Json(users) => Ok(users.clone()),
            Self::Toml(document) => {
                toml::from_str(&document.to_string()).map_err(|error| error.message().to_owned())
            }
        }
    }

    /// Whether there is a user of this name.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::Toml(document) => document.contains_key(name),
            Self::Json(users) => users.contains_key(name),
        }
    }

    /// Adds a user at the end.
    pub fn add(&mut self, user: &NewUser) {
        match self {
            Self::Toml(document) => {
                let mut table = Table::new();
                for (key, value) in user.fields() {
                    table.insert(key, Item::Value(value));
                }
                // Comments below the last user stay above the new one.
                let trailing = document.trailing().as_str().unwrap_or_default().to_owned();
                let gap = if trailing.is_empty() && document.is_empty() {
                    ""
                } else {
                    "\n"
                };
                table.decor_mut().set_prefix(format!("{trailing}{gap}"));
                document.set_trailing("");
                document.insert(&user.name, Item::Table(table));
            }
            Self::Json(users) => {
                let fields = user
                    .fields()
                    .map(|(key, value)| (key.to_owned(), in_json(&value)));
                users.insert(user.name.clone(), Value::Object(fields.collect()));
            }
        }
    }

    /// Gives a user another password.
    pub fn set_password(&mut self, name: &str, hash: &str) -> Result<(), String> {
        self.set(name, "password", Some(hash.into()))
    }

    /// Gives a user's key another value, or none.
    pub fn set(
        &mut self,
        name: &str,
        key: &str,
        value: Option<toml_edit::Value>,
    ) -> Result<(), String> {
        let wrong = || format!("{name:?} is no table");
        match self {
            Self::Toml(document) => {
                let user = document.get_mut(name).and_then(Item::as_table_like_mut);
                let user = user.ok_or_else(wrong)?;
                let Some(mut value) = value else {
                    user.remove(key);
                    return Ok(());
                };
                if let Some(old) = user.get(key).and_then(Item::as_value) {
                    *value.decor_mut() = old.decor().clone();
                }
                user.insert(key, Item::Value(value));
            }
            Self::Json(users) => {
                let user = users.get_mut(name).and_then(Value::as_object_mut);
                let user = user.ok_or_else(wrong)?;
                match value {
                    Some(value) => user.insert(key.to_owned(), in_json(&value)),
                    None => user.remove(key),
                };
            }
        }
        Ok(())
    }

    /// Gives a user's attribute another value, or none.
    ///
    /// # Errors
    /// The user, or the attributes, are no table.
    pub fn set_attribute(
        &mut self,
        user: &str,
        name: &str,
        value: Option<toml_edit::Value>,
    ) -> Result<(), String> {
        let wrong = || format!("{user:?} is no table, or its attributes are none");
        match self {
            Self::Toml(document) => {
                let table = document.get_mut(user).and_then(Item::as_table_like_mut);
                let table = table.ok_or_else(wrong)?;
                let attributes = table
                    .entry("attributes")
                    .or_insert(Item::Table(Table::new()));
                let attributes = attributes.as_table_like_mut().ok_or_else(wrong)?;
                let Some(mut value) = value else {
                    attributes.remove(name);
                    if attributes.is_empty() {
                        table.remove("attributes");
                    }
                    return Ok(());
                };
                if let Some(old) = attributes.get(name).and_then(Item::as_value) {
                    *value.decor_mut() = old.decor().clone();
                }
                attributes.insert(name, Item::Value(value));
            }
            Self::Json(users) => {
                let table = users.get_mut(user).and_then(Value::as_object_mut);
                let table = table.ok_or_else(wrong)?;
                let attributes = table
                    .entry("attributes")
                    .or_insert_with(|| Map::new().into());
                let attributes = attributes.as_object_mut().ok_or_else(wrong)?;
                match value {
                    Some(value) => attributes.insert(name.to_owned(), in_json(&value)),
                    None => attributes.remove(name),
                };
                if attributes.is_empty() {
                    table.remove("attributes");
                }
            }
        }
        Ok(())
    }

    /// Removes a user, with the comment that stands right above.
    pub fn remove(&mut self, name: &str) {
        match self {
            Self::Json(users) => {
                users.remove(name);
            }
            Self::Toml(document) => {
                let next = document.iter().map(|(key, _)| key.to_owned());
                let next = next.skip_while(|key| key != name).nth(1);
                let above = prefix(document, name).unwrap_or_default();
                // A comment with an empty line below it is about the file, or the part of it.
                let kept = above
                    .rfind("\n\n")
                    .map_or("", |end| above.get(..=end).unwrap_or_default());
                document.remove(name);
                if kept.trim().is_empty() {
                    return;
                }
                match next {
                    Some(next) => {
                        let below = prefix(document, &next).unwrap_or_default();
                        let gap = if below.starts_with('\n') { "" } else { "\n" };
                        set_prefix(document, &next, format!("{kept}{gap}{below}"));
                    }
                    None => {
                        let below = document.trailing().as_str().unwrap_or_default().to_owned();
                        document.set_trailing(format!("{kept}{below}"));
                    }
                }
            }
        }
    }
}

/// The text between a user and the one above.
fn prefix(document: &DocumentMut, name: &str) -> Option<String> {
    let (key, item) = document.get_key_value(name)?;
    let decor = match item {
        Item::Table(table) if !table.is_dotted() => table.decor(),
        _ => key.leaf_decor(),
    };
    decor
        .prefix()
        .and_then(RawString::as_str)
        .map(str::to_owned)
}

fn set_prefix(document: &mut DocumentMut, name: &str, text: String) {
    match document.get_mut(name) {
        Some(Item::Table(table)) if !table.is_dotted() => table.decor_mut().set_prefix(text),
        _ => {
            if let Some(mut key) = document.key_mut(name) {
                key.leaf_decor_mut().set_prefix(text);
            }
        }
    }
}

impl NewUser {
    fn fields(&self) -> impl Iterator<Item = (&'static str, toml_edit::Value)> {
        let list = |list: &Vec<String>| {
            (!list.is_empty()).then(|| list.iter().collect::<toml_edit::Array>().into())
        };
        [
            ("password", self.hash.as_deref().map(Into::into)),
            ("home", self.home.as_deref().map(Into::into)),
            ("storage", self.storage.as_deref().map(Into::into)),
            ("groups", list(&self.groups)),
            ("permissions", list(&self.permissions)),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .chain(self.others.iter().cloned())
    }
}

fn in_json(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::Array(array) => {
            array.iter().filter_map(toml_edit::Value::as_str).collect()
        }
        toml_edit::Value::Boolean(truth) => (*truth.value()).into(),
        toml_edit::Value::Integer(number) => (*number.value()).into(),
        value => value.as_str().into(),
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unreachable, clippy::unwrap_used)]
mod tests;
