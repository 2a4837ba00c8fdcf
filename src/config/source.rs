//! The file and the command line, merged, and the place of each key.

use std::{collections::BTreeMap, ops::Range, str::FromStr};

use toml::{
    Table, Value,
    de::{DeTable, DeValue},
};

use super::{
    ConfigError, Problem, defaults,
    path::{KeyPath, Step},
};

/// The configuration before it is typed.
pub struct Source {
    pub table: Table,
    pub origins: Origins,
    sets: Vec<Set>,
}

/// Where keys were said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origins {
    file: String,
    places: BTreeMap<String, Origin>,
}

/// Where one key was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the file, on this line.
    Line(usize),
    /// By `--set`, with this key.
    Set(String),
}

/// One `--set`.
struct Set {
    path: KeyPath,
    text: String,
}

impl Source {
    /// Reads a file's text; `file` is its name for messages. All syntax errors are found at once.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let (spanned, errors) = DeTable::parse_recoverable(text);
        let mut errors: Vec<_> = errors.iter().collect();
        errors.sort_by_key(|error| error.span().map(|span| span.start));
        let problems: Vec<_> = errors
            .iter()
            .map(|error| syntax(file, text, error))
            .collect();
        if !problems.is_empty() {
            return Err(ConfigError { problems });
        }
        let table = toml::from_str(text).map_err(|error| ConfigError {
            problems: vec![syntax(file, text, &error)],
        })?;
        let mut origins = Origins {
            file: file.to_owned(),
            places: BTreeMap::new(),
        };
        let lines = Lines::new(text);
        origins.record_table(spanned.get_ref(), &KeyPath::default(), &lines);
        Ok(Self {
            table,
            origins,
            sets: Vec::new(),
        })
    }

    /// Applies one `--set KEY=VALUE`. A value that is not TOML is taken as text.
    pub fn set(&mut self, argument: &str) -> Result<(), Problem> {
        let problem = |key: &str, text: String| Problem {
            place: format!("--set {key}"),
            key: key.to_owned(),
            text,
        };
        let Some((key, text)) = argument.split_once('=') else {
            return Err(problem(argument, "expected KEY=VALUE".to_owned()));
        };
        let (key, text) = (key.trim(), text.trim());
        let value = parse_value(text).map_err(|why| problem(key, why))?;
        let path = self.resolve(key).map_err(|why| problem(key, why))?;
        insert(&mut self.table, &path, value.clone()).map_err(|why| problem(key, why))?;
        self.origins.forget(&path);
        self.origins
            .record(&value, &path, &Origin::Set(key.to_owned()));
        self.sets.push(Set {
            path,
            text: text.to_owned(),
        });
        Ok(())
    }

    /// The value of a key as it was typed after `--set`, if it was read as something else than text:
    /// `--set tls.minimum-version=1.2` is a number at first.
    pub fn as_typed(&self, path: &KeyPath) -> Option<Value> {
        let set = self.sets.iter().rev().find(|set| set.path == *path)?;
        match path.find(&self.table)? {
            Value::String(_) | Value::Array(_) | Value::Table(_) => None,
            _ => Some(Value::String(set.text.clone())),
        }
    }

    /// Reads a key, where plugins and hosts go by their names: `plugin.users.limits.memory`,
    /// `host."ftp.example.org".plugin.users.limits.memory`.
    fn resolve(&mut self, key: &str) -> Result<KeyPath, String> {
        let keys = toml_edit::Key::parse(key).map_err(|_| "not a key".to_owned())?;
        let mut keys = keys.iter().map(toml_edit::Key::get).peekable();
        let section = keys.next().unwrap_or_default();
        let mut path = KeyPath::default().key(section);
        if keys.peek().is_some() {
            self.fill_in(section);
        }
        if section == "host"
            && let Some(name) = keys.next()
        {
            path = path.index(self.named("host", &path, name)?);
            if keys.peek() == Some(&"plugin") {
                path = path.key(keys.next().unwrap_or_default());
            }
        }
        if path.0.last() == Some(&Step::Key("plugin".to_owned()))
            && let Some(name) = keys.next()
        {
            path = path.index(self.named("plugin", &path, name)?);
        }
        Ok(keys.fold(path, |path, key| path.key(key)))
    }

    /// Puts in the default of a section that is to be changed in part, where the file has nothing.
    fn fill_in(&mut self, section: &str) {
        let default = match section {
            "plugin" => Value::Array(defaults::default_plugin_tables().map(Value::Table).to_vec()),
            "storage" => {
                let names = defaults::default_storages().into_keys();
                Value::Table(
                    names
                        .map(|name| (name, Value::Table(Table::new())))
                        .collect(),
                )
            }
            _ => return,
        };
        self.table.entry(section.to_owned()).or_insert(default);
    }

    /// The place of the table of this name in an array of tables.
    fn named(&self, what: &str, array: &KeyPath, name: &str) -> Result<usize, String> {
        let tables = array.find(&self.table).and_then(Value::as_array);
        let of = |table: &Value| {
            let name = table.get("name").and_then(Value::as_str);
            name.unwrap_or_default().to_owned()
        };
        let names: Vec<_> = tables.into_iter().flatten().map(of).collect();
        names
            .iter()
            .position(|known| *known == name)
            .ok_or_else(|| match names.is_empty() {
                true => format!("no {what} is named {name:?}; there is none"),
                false => {
                    let names = names.join(", ");
                    format!("no {what} is named {name:?}; there are {names}")
                }
            })
    }
}

impl Origins {
    /// Where this very key was said.
    pub fn get(&self, key: &str) -> Option<&Origin> {
        self.places.get(key)
    }

    /// The line, for sorting; 0 for what was not said in the file.
    pub fn line(&self, path: &KeyPath) -> usize {
        match self.nearest(path) {
            Some(Origin::Line(line)) => *line,
            _ => 0,
        }
    }

    /// Where this key or, failing that, what it is in was said.
    pub fn place(&self, path: &KeyPath) -> String {
        self.nearest(path)
            .map_or_else(|| self.file_or_default(), |origin| self.say(origin))
    }

    /// The same from a key's text; a key that was not said is "the default", unless it is one of
    /// an array's element, which has a place.
    pub fn locate(&self, key: &str) -> String {
        let mut outer = key;
        loop {
            if let Some(origin) = self.places.get(outer) {
                return self.say(origin);
            }
            outer = match outer.rfind(['.', '[']) {
                Some(end) if key.contains('[') => outer.get(..end).unwrap_or_default(),
                _ => return "the default".to_owned(),
            };
        }
    }

    fn nearest(&self, path: &KeyPath) -> Option<&Origin> {
        let text = path.to_string();
        let within = |key: &str| {
            key.strip_prefix(&text)
                .is_some_and(|rest| rest.starts_with(['.', '[']))
        };
        let found = self.places.get(&text);
        found
            .or_else(|| {
                self.places
                    .iter()
                    .find(|(key, _)| within(key))
                    .map(|(_, origin)| origin)
            })
            .or_else(|| self.nearest(&path.parent()?))
    }

    fn file_or_default(&self) -> String {
        if self.file.is_empty() {
            "the default".to_owned()
        } else {
            self.file.clone()
        }
    }

    fn say(&self, origin: &Origin) -> String {
        match origin {
            Origin::Line(line) => format!("{}:{line}", self.file),
            Origin::Set(key) => format!("--set {key}"),
        }
    }

    fn forget(&mut self, path: &KeyPath) {
        let path = path.to_string();
        self.places.retain(|key, _| {
            let rest = key.strip_prefix(&path);
            !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        });
    }

    fn record(&mut self, value: &Value, path: &KeyPath, origin: &Origin) {
        self.places.insert(path.to_string(), origin.clone());
        match value {
            Value::Table(table) => {
                table
                    .iter()
                    .for_each(|(key, value)| self.record(value, &path.key(key), origin));
            }
            Value::Array(array) => {
                let values = array.iter().enumerate();
                values.for_each(|(index, value)| self.record(value, &path.index(index), origin));
            }
            _ => {}
        }
    }

    fn record_table(&mut self, table: &DeTable<'_>, path: &KeyPath, lines: &Lines) {
        for (key, value) in table {
            let path = path.key(key.get_ref());
            let line = lines.line(key.span().start);
            self.record_spanned(value.get_ref(), &path, line, lines);
        }
    }

    fn record_spanned(&mut self, value: &DeValue<'_>, path: &KeyPath, line: usize, lines: &Lines) {
        self.places.insert(path.to_string(), Origin::Line(line));
        match value {
            DeValue::Table(table) => self.record_table(table, path, lines),
            DeValue::Array(array) => {
                for (index, value) in array.iter().enumerate() {
                    let line = lines.line(value.span().start);
                    self.record_spanned(value.get_ref(), &path.index(index), line, lines);
                }
            }
            _ => {}
        }
    }
}

/// Where lines begin.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(offset, _)| offset).collect())
    }

    /// Counted from 1.
    fn line(&self, offset: usize) -> usize {
        self.0.partition_point(|end| *end < offset) + 1
    }
}

fn syntax(file: &str, text: &str, error: &toml::de::Error) -> Problem {
    let offset = error.span().map_or(0, |span| span.start);
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    Problem {
        place: format!("{file}:{line}:{column}"),
        key: String::new(),
        text: toml_error(text, error.message(), error.span()),
    }
}

/// The message of a TOML parser in one line, and of a key that is there twice, which it is.
pub(crate) fn toml_error(text: &str, message: &str, span: Option<Range<usize>>) -> String {
    let message = message.trim().replace('\n', ", ");
    let key = span.and_then(|span| text.get(span)).map(str::trim);
    match key {
        Some(key) if message == "duplicate key" && !key.is_empty() && !key.contains('\n') => {
            format!("duplicate key {key}: it is there already")
        }
        _ => message,
    }
}

fn parse_value(text: &str) -> Result<Value, String> {
    match Value::from_str(text) {
        Ok(value) => Ok(value),
        Err(error) if text.starts_with(['[', '{', '"', '\'']) => Err(format!(
            "not a TOML value: {}",
            toml_error(text, error.message(), error.span())
        )),
        Err(_) => Ok(Value::String(text.to_owned())),
    }
}

fn insert(table: &mut Table, path: &KeyPath, value: Value) -> Result<(), String> {
    let none = || "not a key".to_owned();
    let (last, above) = path.0.split_last().ok_or_else(none)?;
    let mut place: Option<&mut Value> = None;
    let mut so_far = KeyPath::default();
    for step in above {
        let inner = match (step, place) {
            (Step::Key(key), None) => table
                .entry(key.clone())
                .or_insert_with(|| Value::Table(Table::new())),
            (Step::Key(key), Some(Value::Table(table))) => table
                .entry(key.clone())
                .or_insert_with(|| Value::Table(Table::new())),
            (Step::Index(index), Some(Value::Array(array))) => {
                array.get_mut(*index).ok_or_else(none)?
            }
            _ => return Err(format!("{so_far} is not a table")),
        };
        so_far.0.push(step.clone());
        place = Some(inner);
    }
    match (last, place) {
        (Step::Key(key), None) => table.insert(key.clone(), value),
        (Step::Key(key), Some(Value::Table(table))) => table.insert(key.clone(), value),
        (Step::Index(index), Some(Value::Array(array))) => Some(std::mem::replace(
            array.get_mut(*index).ok_or_else(none)?,
            value,
        )),
        _ => return Err(format!("{so_far} is not a table")),
    };
    Ok(())
}
