//! JSON and YAML as a tree that knows its lines.

use std::{
    cell::Cell,
    fmt,
    io::{self, Read},
    path::Path,
};

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::cli::import::report::{Place, Report};

/// Deeper than this no source is nested.
const DEEPEST: usize = 100;

/// A value with the line in which it begins, from 1 on.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub line: usize,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Switch(bool),
    Number(i64),
    Text(String),
    List(Vec<Node>),
    /// In the order of the source.
    Table(Vec<(String, Node)>),
}

/// Reads a text: YAML if the file's name says so, else JSON.
///
/// # Errors
/// The line in which it is something else.
pub fn parse(file: &Path, text: &str) -> Result<Node, String> {
    let extension = file.extension().unwrap_or_default();
    let parsed = match extension == "yaml" || extension == "yml" {
        true => yaml(text),
        false => json(text),
    };
    parsed.map_err(|(line, why)| format!("{}: {why}", Place::new(file, line)))
}

impl Node {
    /// Takes a key out of a table, if this is one that has it. In YAML keys may be in any case.
    pub fn take(&mut self, key: &str) -> Option<Self> {
        let Value::Table(entries) = &mut self.value else {
            return None;
        };
        let index = entries
            .iter()
            .position(|(name, _)| name.eq_ignore_ascii_case(key))?;
        Some(entries.remove(index).1)
    }

    /// Whether it says nothing: empty, 0 or false.
    pub fn is_empty(&self) -> bool {
        match &self.value {
            Value::Null | Value::Switch(false) | Value::Number(0) => true,
            Value::Text(text) => text.is_empty(),
            Value::List(list) => list.iter().all(Self::is_empty),
            Value::Table(entries) => entries.iter().all(|(_, node)| node.is_empty()),
            Value::Switch(true) | Value::Number(_) => false,
        }
    }

    /// As text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// As a list; one that is null is empty.
    pub fn list(self) -> Option<Vec<Self>> {
        match self.value {
            Value::List(list) => Some(list),
            Value::Null => Some(Vec::new()),
            _ => None,
        }
    }

    /// All texts of a list, if it is one of texts.
    pub fn texts(self) -> Option<Vec<String>> {
        let texts = self.list()?.into_iter().map(|node| match node.value {
            Value::Text(text) => Some(text),
            _ => None,
        });
        texts.collect()
    }
}

/// A table of which keys are taken out one by one.
pub struct Table<'a> {
    pub node: Node,
    /// The place of the file.
    pub whole: &'a Place,
    /// The keys above.
    pub path: String,
}

impl<'a> Table<'a> {
    pub fn new(node: Node, whole: &'a Place, path: &str) -> Self {
        Self {
            node,
            whole,
            path: path.to_owned(),
        }
    }

    /// A key with all that is above.
    pub fn name(&self, key: &str) -> String {
        match self.path.is_empty() {
            true => key.to_owned(),
            false => format!("{}.{key}", self.path),
        }
    }

    fn wrong(&self, node: &Node, key: &str, expected: &str, report: &mut Report) {
        let place = self.whole.line(node.line);
        let found = match &node.value {
            // It is one all the same.
            _ if key == "password" => "something else".to_owned(),
            Value::Null => "null".to_owned(),
            Value::Switch(truth) => truth.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Text(text) => text.clone(),
            Value::List(_) => "a list".to_owned(),
            Value::Table(_) => "a table".to_owned(),
        };
        report.wrong(&place, &self.name(key), expected, &found);
    }

    /// Takes a number that is not negative; 0 if it is not there.
    pub fn number(&mut self, key: &str, report: &mut Report) -> (u64, Place) {
        let Some(node) = self.node.take(key) else {
            return (0, self.whole.clone());
        };
        let place = self.whole.line(node.line);
        let number = match node.value {
            Value::Null => Some(0),
            Value::Number(number) => u64::try_from(number).ok(),
            _ => None,
        };
        if number.is_none() {
            self.wrong(&node, key, "a number, not below 0", report);
        }
        (number.unwrap_or(0), place)
    }

    /// Takes a text that is not empty.
    pub fn text(&mut self, key: &str, report: &mut Report) -> Option<(String, Place)> {
        let node = self.node.take(key)?;
        let place = self.whole.line(node.line);
        match &node.value {
            Value::Null => None,
            Value::Text(text) => (!text.is_empty()).then(|| (text.clone(), place)),
            _ => {
                self.wrong(&node, key, "a text", report);
                None
            }
        }
    }

    /// Takes true or false; false if it is not there.
    pub fn switch(&mut self, key: &str, report: &mut Report) -> (bool, Place) {
        let Some(node) = self.node.take(key) else {
            return (false, self.whole.clone());
        };
        let place = self.whole.line(node.line);
        match &node.value {
            Value::Null => (false, place),
            Value::Switch(truth) => (*truth, place),
            _ => {
                self.wrong(&node, key, "true or false", report);
                (false, place)
            }
        }
    }

    /// Takes a list of texts; empty if it is not there.
    pub fn texts(&mut self, key: &str, report: &mut Report) -> (Vec<String>, Place) {
        let Some(node) = self.node.take(key) else {
            return (Vec::new(), self.whole.clone());
        };
        let place = self.whole.line(node.line);
        match node.clone().texts() {
            Some(texts) => (texts, place),
            None => {
                self.wrong(&node, key, "a list of texts", report);
                (Vec::new(), place)
            }
        }
    }

    /// Takes a list; empty if it is not there.
    pub fn list(&mut self, key: &str, report: &mut Report) -> Vec<Node> {
        let Some(node) = self.node.take(key) else {
            return Vec::new();
        };
        match node.clone().list() {
            Some(list) => list,
            None => {
                self.wrong(&node, key, "a list", report);
                Vec::new()
            }
        }
    }

    /// Takes a table; an empty one if it is not there.
    pub fn table(&mut self, key: &str) -> Self {
        let path = self.name(key);
        let empty = Node {
            line: self.node.line,
            value: Value::Table(Vec::new()),
        };
        Self::new(self.node.take(key).unwrap_or(empty), self.whole, &path)
    }

    /// The keys that are left and say something, each with its place.
    pub fn rest(self) -> Vec<(Place, String)> {
        let mut found = Vec::new();
        leaves(&self.node, &self.path, &mut |line, path| {
            found.push((self.whole.line(line), path));
        });
        found
    }
}

fn leaves(node: &Node, path: &str, found: &mut impl FnMut(usize, String)) {
    match &node.value {
        _ if node.is_empty() => {}
        Value::Table(entries) => {
            for (key, node) in entries {
                let path = match path.is_empty() {
                    true => key.clone(),
                    false => format!("{path}.{key}"),
                };
                leaves(node, &path, found);
            }
        }
        _ => found(node.line, path.to_owned()),
    }
}

/// Counts the lines that a reader of single bytes has passed.
struct Lines<'a> {
    rest: &'a [u8],
    line: &'a Cell<usize>,
}

impl Read for Lines<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (Some((first, rest)), Some(place)) = (self.rest.split_first(), buffer.first_mut())
        else {
            return Ok(0);
        };
        *place = *first;
        self.rest = rest;
        if *first == b'\n' {
            self.line.set(self.line.get() + 1);
        }
        Ok(1)
    }
}

fn json(text: &str) -> Result<Node, (usize, String)> {
    let line = Cell::new(1);
    let reader = Lines {
        rest: text.as_bytes(),
        line: &line,
    };
    let mut source = serde_json::Deserializer::from_reader(reader);
    let parsed = Seed(&line).deserialize(&mut source);
    let node = parsed.and_then(|node| source.end().map(|()| node));
    node.map_err(|error| (error.line().max(1), format!("no JSON: {error}")))
}

struct Seed<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Node, D::Error> {
        source.deserialize_any(self)
    }
}

impl Seed<'_> {
    fn node(&self, value: Value) -> Node {
        Node {
            line: self.0.get(),
            value,
        }
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(self.node(Value::Null))
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Node, E> {
        Ok(self.node(Value::Switch(truth)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Node, E> {
        Ok(self.node(Value::Number(number)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Node, E> {
        let number = i64::try_from(number);
        let number = number.map_err(|_| E::custom("a number is too large"))?;
        Ok(self.node(Value::Number(number)))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Node, E> {
        // There are whole numbers alone, which may be written with an exponent.
        match number {
            #[allow(clippy::cast_possible_truncation)]
            _ if number.fract() == 0.0 && number.abs() < 9e15 => {
                Ok(self.node(Value::Number(number as i64)))
            }
            _ => Ok(self.node(Value::Text(number.to_string()))),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        Ok(self.node(Value::Text(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let line = self.0.get();
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element_seed(Seed(self.0))? {
            nodes.push(node);
        }
        let value = Value::List(nodes);
        Ok(Node { line, value })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let line = self.0.get();
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            // A value is where its key is, though it may begin further down.
            let at = self.0.get();
            let node = map.next_value_seed(Seed(self.0))?;
            entries.push((key, Node { line: at, ..node }));
        }
        let value = Value::Table(entries);
        Ok(Node { line, value })
    }
}

/// A list or a table that is open.
enum Open {
    List(usize, Vec<Node>),
    /// With a key that waits for its value.
    Table(usize, Vec<(String, Node)>, Option<(String, usize)>),
}

fn yaml(text: &str) -> Result<Node, (usize, String)> {
    let mut open: Vec<Open> = Vec::new();
    let mut whole = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let line = error.marker().line().max(1);
            (line, format!("no YAML: {}", error.info()))
        })?;
        let line = span.start.line();
        let done = match event {
            Event::Alias(_) => return Err((line, "aliases of YAML are not read".to_owned())),
            Event::DocumentStart(_) if whole.is_some() => {
                return Err((line, "there is more than one document".to_owned()));
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if open.len() >= DEEPEST => {
                return Err((line, "it is nested too deep".to_owned()));
            }
            Event::SequenceStart(..) => {
                open.push(Open::List(line, Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Table(line, Vec::new(), None));
                continue;
            }
            Event::Scalar(text, style, _, _) => match open.last_mut() {
                Some(Open::Table(_, _, key @ None)) => {
                    *key = Some((text.into_owned(), line));
                    continue;
                }
                _ => Node {
                    line,
                    value: scalar(&text, style),
                },
            },
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(line, nodes)) => Node {
                    line,
                    value: Value::List(nodes),
                },
                Some(Open::Table(line, entries, _)) => Node {
                    line,
                    value: Value::Table(entries),
                },
                None => continue,
            },
            _ => continue,
        };
        match open.last_mut() {
            Some(Open::List(_, nodes)) => nodes.push(done),
            Some(Open::Table(_, entries, key)) => {
                let Some((key, line)) = key.take() else {
                    return Err((done.line, "a key that is no text".to_owned()));
                };
                entries.push((key, Node { line, ..done }));
            }
            None => whole = Some(done),
        }
    }
    whole.ok_or((1, "there is nothing in it".to_owned()))
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    match text {
        _ if style != ScalarStyle::Plain => Value::Text(text.to_owned()),
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Switch(true),
        "false" | "False" | "FALSE" => Value::Switch(false),
        _ => match text.parse() {
            Ok(number) => Value::Number(number),
            Err(_) => Value::Text(text.to_owned()),
        },
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_make_the_same_tree_and_know_their_lines() {
        let json = "{\n \"a\": {\"b\": [1,\n 2, \"x\"],\n  \"c\": null},\n \"d\": true}\n";
        let yaml = "a:\n  b: [1,\n    2, \"x\"]\n  c: ~\nd: true\n";
        let json = parse(Path::new("a.json"), json).unwrap();
        let yaml = parse(Path::new("a.yaml"), yaml).unwrap();
        for (mut tree, lines) in [(json, [2, 5]), (yaml, [1, 5])] {
            let mut a = tree.take("a").unwrap();
            let d = tree.take("D").unwrap();
            assert_eq!((a.line, d.line), (lines[0], lines[1]));
            assert_eq!(d.value, Value::Switch(true));
            let b = a.take("b").unwrap().list().unwrap();
            let lines: Vec<usize> = b.iter().map(|node| node.line).collect();
            assert_eq!(lines, [2, 3, 3]);
            assert_eq!(b.last().unwrap().text(), Some("x"));
        }
    }

    #[test]
    fn errors_name_the_line() {
        let deep = "[".repeat(100_000);
        let dashes = "- ".repeat(DEEPEST + 1) + "x";
        for (file, text, words) in [
            ("a.json", "{\n\n \"a\": }", "a.json:3: no JSON"),
            ("a.json", "", "a.json:1: no JSON"),
            ("a.json", deep.as_str(), "a.json:1: no JSON"),
            ("a.json", "{} x", "a.json:1: no JSON"),
            ("a.yaml", "a: 1\n b: [", "a.yaml:"),
            ("a.yaml", "a: &x 1\nb: *x\n", "a.yaml:2: aliases"),
            ("a.yaml", "", "nothing in it"),
            ("a.yaml", deep.as_str(), "recursion limit"),
            ("a.yaml", dashes.as_str(), "nested too deep"),
        ] {
            let error = parse(Path::new(file), text).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
