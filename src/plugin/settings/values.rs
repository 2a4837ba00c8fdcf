//! The values of settings, as plugins ask for them: text, or JSON.

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

use super::{Node, Version};

/// The place of a key: above a file or inside one.
#[derive(Clone, Copy)]
enum Located<'a> {
    Node(&'a Node),
    Value(&'a Value),
}

impl Version {
    /// The value at `path`, whose dots reach into tables.
    pub(in crate::plugin) fn get(&self, path: &str) -> Option<String> {
        self.find(path).map(|found| self.text(found))
    }

    /// One entry of the table at `path`, by its literal key.
    pub(in crate::plugin) fn lookup(&self, path: &str, key: &str) -> Option<String> {
        self.entry(self.find(path)?, key)
            .map(|found| self.text(found))
    }

    /// The keys of the table at `path`, or of all of it where that is empty; none where there is no
    /// table.
    pub(in crate::plugin) fn keys(&self, path: &str) -> Option<Vec<String>> {
        let found = match path {
            "" => Located::Node(&self.root),
            path => self.find(path)?,
        };
        match self.resolved(found) {
            Located::Node(Node::Table(table)) => Some(table.keys().cloned().collect()),
            Located::Node(_) => None,
            Located::Value(value) => Some(value.as_object()?.keys().cloned().collect()),
        }
    }

    /// All of it as JSON, made once.
    pub(in crate::plugin) fn all(&self) -> &str {
        self.all
            .get_or_init(|| self.json(Located::Node(&self.root)))
    }

    fn find(&self, path: &str) -> Option<Located<'_>> {
        path.split('.')
            .try_fold(Located::Node(&self.root), |found, key| {
                self.entry(found, key)
            })
    }

    fn entry<'a>(&'a self, found: Located<'a>, key: &str) -> Option<Located<'a>> {
        match self.resolved(found) {
            Located::Node(Node::Table(table)) => table.get(key).map(Located::Node),
            Located::Node(_) => None,
            Located::Value(value) => value.as_object()?.get(key).map(Located::Value),
        }
    }

    fn resolved<'a>(&'a self, found: Located<'a>) -> Located<'a> {
        match found {
            Located::Node(Node::File(index)) => {
                let content = self
                    .files
                    .get(*index)
                    .map_or(&Value::Null, |file| &*file.content);
                Located::Value(content)
            }
            Located::Node(Node::Value(value)) => Located::Value(value),
            other => other,
        }
    }

    fn text(&self, found: Located<'_>) -> String {
        match self.resolved(found) {
            Located::Value(Value::String(text)) => text.clone(),
            found => self.json(found),
        }
    }

    fn json(&self, found: Located<'_>) -> String {
        // Nothing in here fails to serialise: keys are strings, numbers are finite.
        serde_json::to_string(&View {
            version: self,
            found,
        })
        .unwrap_or_default()
    }
}

struct View<'a> {
    version: &'a Version,
    found: Located<'a>,
}

impl Serialize for View<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let view = |node| View {
            version: self.version,
            found: Located::Node(node),
        };
        match self.version.resolved(self.found) {
            Located::Value(value) => value.serialize(serializer),
            Located::Node(Node::List(list)) => serializer.collect_seq(list.iter().map(view)),
            Located::Node(Node::Table(table)) => {
                let mut map = serializer.serialize_map(Some(table.len()))?;
                for (key, node) in table {
                    map.serialize_entry(key, &view(node))?;
                }
                map.end()
            }
            Located::Node(Node::File(_) | Node::Value(_)) => serializer.serialize_unit(),
        }
    }
}
