//! A plugin's own settings, with files in them.
//!
//! `{ file = "users.toml" }` anywhere in the settings stands for that file's content. Each file is
//! parsed once for all instances, looked at (one `stat`) before each call, and parsed anew when it
//! has changed; a file that does not parse, or that the component refuses, leaves the old content in
//! force.

mod values;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::Value;

use super::settings_file;
use crate::{
    config::{Stamp, file_setting},
    gate::grounds::{self, Reads, Seen, Setting},
    types::BoxFuture,
};

/// A call waits so long for files that another one reads.
const WAIT: Duration = Duration::from_secs(1);
/// A file system that takes longer than this to tell of a file is asked another time.
const LOOK: Duration = Duration::from_secs(5);

/// The settings of one plugin.
pub(super) struct Settings {
    plugin: Arc<str>,
    files: Vec<PathBuf>,
    current: RwLock<Arc<Version>>,
    /// Counts the versions.
    revision: AtomicU64,
    /// Held by the one who looks at files that may not answer.
    looking: Arc<tokio::sync::Mutex<()>>,
    /// Held by the one who reads files anew.
    reading: tokio::sync::Mutex<()>,
    /// Looks at settings with files in them that have changed, if the component can.
    checker: OnceLock<Checker>,
}

/// Looks at settings before they come into force.
pub(super) type Checker =
    Box<dyn Fn(Arc<Version>) -> BoxFuture<'static, Result<(), Refused>> + Send + Sync>;

/// Why settings do not come into force.
#[derive(Debug)]
pub(super) struct Refused {
    /// For people.
    pub(super) text: String,
    /// Whether another look may end otherwise, though nothing has changed.
    pub(super) again: bool,
}

/// The settings at one time. A call sees one version from its beginning to its end.
#[derive(Debug)]
pub(super) struct Version {
    root: Arc<Node>,
    files: Vec<File>,
    all: OnceLock<String>,
    all_seen: OnceLock<Seen>,
}

#[derive(Clone, Debug)]
struct File {
    stamp: Stamp,
    content: Arc<Value>,
    /// Why what is there now is not what is in force.
    error: Option<String>,
}

/// A value in which files have their place.
#[derive(Debug)]
enum Node {
    Value(Value),
    Table(BTreeMap<String, Node>),
    List(Vec<Node>),
    File(usize),
}

impl Settings {
    /// Reads the files that the settings name; relative ones are looked for in `state`. Blocks.
    ///
    /// # Errors
    /// For people: which file cannot be read, and why.
    pub(super) fn load(
        plugin: Arc<str>,
        table: &toml::Table,
        state: &Path,
    ) -> Result<Self, String> {
        let mut files = Vec::new();
        let root = table
            .iter()
            .map(|(key, value)| (key.clone(), node(value, state, &mut files)));
        let root = Arc::new(Node::Table(root.collect()));
        let mut contents = Vec::new();
        for path in &files {
            let (stamp, content) = settings_file::read(path)?;
            contents.push(File {
                stamp,
                content: Arc::new(content),
                error: None,
            });
        }
        let version = Version {
            root,
            files: contents,
            all: OnceLock::new(),
            all_seen: OnceLock::new(),
        };
        Ok(Self {
            plugin,
            files,
            current: RwLock::new(Arc::new(version)),
            revision: AtomicU64::new(0),
            looking: Arc::default(),
            reading: tokio::sync::Mutex::new(()),
            checker: OnceLock::new(),
        })
    }

    /// Has what files say from now on looked at before it comes into force.
    pub(super) fn check_by(&self, checker: Checker) {
        let _ = self.checker.set(checker);
    }

    /// The version that comes into force after a look at files: nothing of changed ones, where the
    /// component refuses it.
    async fn accept(&self, old: &Version, new: Version) -> Arc<Version> {
        let changed: Vec<usize> = new.differs(old).collect();
        let new = Arc::new(new);
        let refused = match self.checker.get() {
            Some(checker) if !changed.is_empty() => checker(new.clone()).await.err(),
            _ => None,
        };
        let names = changed.iter().filter_map(|index| self.files.get(*index));
        let names: Vec<String> = names.map(|path| path.display().to_string()).collect();
        let files = names.join(", ");
        let Some(Refused { text, again }) = refused else {
            if !changed.is_empty() {
                tracing::info!(
                    plugin = &*self.plugin,
                    file = files,
                    "the settings file is read anew"
                );
            }
            return new;
        };
        let mut kept = new.files.clone();
        let mut known = true;
        for index in changed {
            let (Some(file), Some(before)) = (kept.get_mut(index), old.files.get(index)) else {
                continue;
            };
            file.content = before.content.clone();
            if again {
                file.stamp = Stamp::Unsettled;
            }
            // Said once for each change, though a file that was just written is read more often.
            known &= before.error.as_ref() == Some(&text);
            file.error = Some(text.clone());
        }
        if !known {
            tracing::error!(
                plugin = &*self.plugin,
                file = files,
                error = text,
                "the settings file will not do, and what it said before stays in force"
            );
        }
        Arc::new(Version {
            root: new.root.clone(),
            files: kept,
            all: OnceLock::new(),
            all_seen: OnceLock::new(),
        })
    }

    /// The settings for a call that begins now. The first call that finds a file changed reads it,
    /// and the others wait for that; where it takes too long, they go on with what there is.
    pub(super) async fn current(&self) -> Arc<Version> {
        let version = self.version();
        if version.changed(&self.files).is_empty() {
            return version;
        }
        let Ok(_reading) = tokio::time::timeout(WAIT, self.reading.lock()).await else {
            return version;
        };
        // Somebody else may have read them in between.
        let version = self.version();
        let changed = version.changed(&self.files);
        if changed.is_empty() {
            return version;
        }
        let paths = self.files.clone();
        let plugin = self.plugin.clone();
        let old = version.clone();
        let read = tokio::task::spawn_blocking(move || reread(&plugin, &old, &paths, &changed));
        let Ok(new) = read.await else { return version };
        let new = self.accept(&version, new).await;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new.clone();
        self.revision.fetch_add(1, Relaxed);
        new
    }

    /// Reads files anew that have changed, without a call. A number that changes when they have. On
    /// threads that may wait: a file system that does not answer holds up nobody.
    pub(super) async fn follow(&self) -> u64 {
        if let Ok(looking) = self.looking.clone().try_lock_owned() {
            let (version, files) = (self.version(), self.files.clone());
            let look = tokio::task::spawn_blocking(move || {
                let _looking = looking;
                !version.changed(&files).is_empty()
            });
            if let Ok(Ok(true)) = tokio::time::timeout(LOOK, look).await {
                self.current().await;
            }
        }
        self.revision.load(Relaxed)
    }

    /// The first setting that is not as it was read. Looks at no file.
    pub(super) fn change(&self, reads: &Reads) -> Option<String> {
        let version = self.version();
        reads.settings().find_map(|(setting, before)| {
            let now = version.seen(setting);
            let what = match (before, now) {
                (_, now) if now == *before => return None,
                (Some(_), None) => "is gone",
                (None, _) => "is new",
                (Some(_), Some(_)) => "has changed",
            };
            Some(format!("{setting} {what}"))
        })
    }

    /// The file that a key such as "rules[1].effect" is in, if it is in one.
    pub(super) fn file(&self, version: &Version, key: &str) -> Option<&Path> {
        let mut node: &Node = &version.root;
        for part in key.split(['.', '[']) {
            node = match node {
                Node::Table(table) => table.get(part)?,
                Node::List(list) => list.get(part.strip_suffix(']')?.parse::<usize>().ok()?)?,
                Node::Value(_) | Node::File(_) => break,
            };
        }
        match node {
            Node::File(index) => self.files.get(*index).map(PathBuf::as_path),
            _ => None,
        }
    }

    fn version(&self) -> Arc<Version> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn reread(plugin: &str, old: &Version, paths: &[PathBuf], changed: &[usize]) -> Version {
    let mut files = old.files.clone();
    for &index in changed {
        let (Some(file), Some(path)) = (files.get_mut(index), paths.get(index)) else {
            continue;
        };
        let before = Stamp::of(path);
        // Said once for each change, though a file that was just written is read more often.
        match settings_file::read(path) {
            Ok((stamp, content)) if content == *file.content => {
                *file = File {
                    stamp,
                    content: file.content.clone(),
                    error: None,
                };
            }
            Ok((stamp, content)) => {
                *file = File {
                    stamp,
                    content: Arc::new(content),
                    error: None,
                };
            }
            Err(error) => {
                if file.error.as_ref() != Some(&error) {
                    tracing::error!(plugin, error, "the settings file stays as it was before");
                }
                file.stamp = before;
                file.error = Some(error);
            }
        }
    }
    Version {
        root: old.root.clone(),
        files,
        all: OnceLock::new(),
        all_seen: OnceLock::new(),
    }
}

fn node(value: &toml::Value, state: &Path, files: &mut Vec<PathBuf>) -> Node {
    if let Some(file) = file_setting(value) {
        files.push(state.join(file));
        return Node::File(files.len() - 1);
    }
    match value {
        toml::Value::Table(table) => {
            let entries = table.iter();
            Node::Table(
                entries
                    .map(|(key, value)| (key.clone(), node(value, state, files)))
                    .collect(),
            )
        }
        toml::Value::Array(list) => {
            Node::List(list.iter().map(|value| node(value, state, files)).collect())
        }
        other => Node::Value(settings_file::json(other)),
    }
}

impl Version {
    /// Those of its files that are not as they were.
    fn changed(&self, paths: &[PathBuf]) -> Vec<usize> {
        let files = paths.iter().zip(&self.files).enumerate();
        files
            .filter(|(_, (path, file))| !file.stamp.still_holds(path))
            .map(|(index, _)| index)
            .collect()
    }

    /// The answer to a question, as a digest.
    fn seen(&self, setting: &Setting) -> Seen {
        match setting {
            Setting::Get(path) => grounds::seen(self.get(path).as_deref()),
            Setting::Lookup(table, key) => grounds::seen(self.lookup(table, key).as_deref()),
            Setting::Keys(table) => {
                let keys = self.keys(table).map(|keys| keys.join("\n"));
                grounds::seen(keys.as_deref())
            }
            Setting::All => *self
                .all_seen
                .get_or_init(|| grounds::seen(Some(self.all()))),
        }
    }

    /// Those of its files that say something else than in an older version.
    fn differs(&self, old: &Self) -> impl Iterator<Item = usize> {
        let files = self.files.iter().zip(&old.files).enumerate();
        files
            .filter(|(_, (new, old))| !Arc::ptr_eq(&new.content, &old.content))
            .map(|(index, _)| index)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    fn settings(text: &str, state: &Path) -> Result<Settings, String> {
        Settings::load("test".into(), &text.parse().unwrap(), state)
    }

    #[tokio::test]
    async fn values_are_text_or_json() {
        let text = "a = 'x'\nb = 1.5\nd = 2020-01-02\n[t]\n'k.l' = [1, { m = true }]\nu.v = 'w'";
        let version = settings(text, Path::new("/")).unwrap().current().await;
        for (key, expected) in [
            ("a", Some("x")),
            ("b", Some("1.5")),
            ("d", Some("2020-01-02")),
            ("t.u.v", Some("w")),
            ("t.u", Some(r#"{"v":"w"}"#)),
            ("t.k.l", None),
            ("a.b", None),
            ("", None),
        ] {
            assert_eq!(version.get(key).as_deref(), expected, "{key}");
        }
        assert_eq!(version.lookup("t", "k.l").unwrap(), r#"[1,{"m":true}]"#);
        assert_eq!(version.lookup("t.u", "v").unwrap(), "w");
        assert_eq!(version.lookup("t", "u.v"), None);
        assert_eq!(version.keys("").unwrap(), ["a", "b", "d", "t"]);
        assert_eq!(version.keys("t").unwrap(), ["k.l", "u"]);
        assert_eq!(version.keys("a"), None);
        let all = r#"{"a":"x","b":1.5,"d":"2020-01-02","t":{"k.l":[1,{"m":true}],"u":{"v":"w"}}}"#;
        assert_eq!(version.all(), all);
    }

    #[tokio::test]
    async fn files_are_followed_and_broken_ones_are_not() {
        let state = tempfile::tempdir().unwrap();
        let file = state.path().join("users.toml");
        let missing = settings("users.file = 'users.toml'", state.path())
            .err()
            .unwrap();
        assert!(missing.contains("users.toml"), "{missing}");

        fs::write(&file, "[alice]\nhome = '/a'").unwrap();
        fs::write(state.path().join("l.json"), "[1]").unwrap();
        let text = "users = { file = 'users.toml' }\nlist = [{ file = 'l.json' }]";
        let settings = settings(text, state.path()).unwrap();
        let version = settings.current().await;
        assert_eq!(
            version.lookup("users", "alice").unwrap(),
            r#"{"home":"/a"}"#
        );
        assert_eq!(
            version.all(),
            r#"{"list":[[1]],"users":{"alice":{"home":"/a"}}}"#
        );

        // The same size, at once: only the clock of the file system can tell, and it is too coarse.
        fs::write(&file, "[alice]\nhome = '/b'").unwrap();
        assert_eq!(
            settings.current().await.get("users.alice.home").unwrap(),
            "/b"
        );
        fs::write(&file, "[alice").unwrap();
        assert_eq!(
            settings.current().await.get("users.alice.home").unwrap(),
            "/b"
        );
        fs::remove_file(&file).unwrap();
        assert_eq!(
            settings.current().await.get("users.alice.home").unwrap(),
            "/b"
        );
        let new = state.path().join("new");
        fs::write(&new, "[alice]\nhome = '/c'").unwrap();
        fs::rename(&new, &file).unwrap();
        assert_eq!(
            settings.current().await.get("users.alice.home").unwrap(),
            "/c"
        );
    }
}
