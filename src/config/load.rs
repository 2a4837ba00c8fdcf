//! Reading the configuration.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf, absolute},
};

use serde::de::DeserializeOwned;
use serde_path_to_error::deserialize;
use toml::Value;

use super::{
    Config, ConfigError, Plugin, Problem, Storage, check, explain,
    path::{KeyPath, Step},
    regular, schema,
    source::{Origin, Origins, Source},
    value::FilePath,
};

/// The file that is read when none is named.
const FILE: &str = "config.toml";
/// The file that is read when that is not there: the one of the package.
const SYSTEM: &str = "/etc/portcullis/config.toml";

/// A configuration that was read, with what is needed to read it again.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// All its paths are absolute.
    pub config: Config,
    /// The file that it came from, if any.
    pub file: Option<PathBuf>,
    /// Settings that are allowed, but dangerous.
    pub warnings: Vec<Problem>,
    origins: Origins,
    request: Request,
}

/// The arguments of [`load`], and the working directory.
#[derive(Clone, Debug, Default)]
struct Request {
    working: PathBuf,
    file: Option<PathBuf>,
    /// In place of [`SYSTEM`]; none is not to look there.
    system: Option<PathBuf>,
    sets: Vec<String>,
}

/// Reads `file`, or `config.toml` in the working directory if it is there, or
/// `/etc/portcullis/config.toml` if that is, or takes the defaults; then applies each `KEY=VALUE` of `sets`, of which later ones win.
///
/// The state directory is relative to the configuration file, and what the server keeps in it (the
/// storages' directories) to the state directory. The operator's own files (certificates, components)
/// are relative to the configuration file. A path given by `--set` takes the working directory for
/// the configuration file's.
///
/// # Errors
/// All that is wrong, each with its place.
pub fn load(file: Option<&Path>, sets: &[String]) -> Result<Loaded, ConfigError> {
    let working = std::env::current_dir()
        .map_err(|error| ConfigError::one("the working directory", error.to_string()))?;
    Request {
        working,
        file: file.map(Path::to_owned),
        system: Some(SYSTEM.into()),
        sets: sets.to_vec(),
    }
    .load()
}

/// The state directory that [`load`] would find, though the rest of the configuration be wrong.
///
/// # Errors
/// When the file cannot be read at all, or says no path there.
pub fn state(file: Option<&Path>, sets: &[String]) -> Result<PathBuf, ConfigError> {
    let working = std::env::current_dir()
        .map_err(|error| ConfigError::one("the working directory", error.to_string()))?;
    let request = Request {
        working,
        file: file.map(Path::to_owned),
        system: Some(SYSTEM.into()),
        sets: sets.to_vec(),
    };
    let (file, mut source) = request.read()?;
    for set in sets {
        source.set(set).map_err(|problem| ConfigError {
            problems: vec![problem],
        })?;
    }
    let mut config = Config::default();
    let path = KeyPath::default().key("server").key("state");
    let configured = path.find(&source.table).cloned();
    if let Some(found) = source.as_typed(&path).or(configured) {
        let text = format!("expected a path, found {}", explain::describe(&found));
        config.server.state = FilePath::deserialize(found).map_err(|_| ConfigError {
            problems: vec![Problem {
                place: source.origins.place(&path),
                key: path.to_string(),
                text,
            }],
        })?;
    }
    let mut loaded = Loaded {
        config,
        file,
        warnings: Vec::new(),
        origins: source.origins,
        request,
    };
    loaded.make_absolute(&loaded.request.working.clone());
    Ok(loaded.config.server.state)
}

/// The same with this working directory, and this file for [`SYSTEM`].
#[cfg(test)]
pub(super) fn load_in(
    working: &Path,
    file: Option<&Path>,
    system: Option<&Path>,
    sets: &[String],
) -> Result<Loaded, ConfigError> {
    Request {
        working: working.to_owned(),
        file: file.map(Path::to_owned),
        system: system.map(Path::to_owned),
        sets: sets.to_vec(),
    }
    .load()
}

impl Loaded {
    /// Reads the same again, as it is now.
    ///
    /// # Errors
    /// All that is wrong, each with its place.
    pub fn again(&self) -> Result<Self, ConfigError> {
        self.request.load()
    }

    /// Where a key was said: "config.toml:12", "--set limits.sessions" or "the default". The key is
    /// written as in `plugin[1].component`.
    #[must_use]
    pub fn locate(&self, key: &str) -> String {
        self.origins.locate(key)
    }

    /// Finds fault with a key.
    #[must_use]
    pub fn problem(&self, key: &str, text: impl Into<String>) -> Problem {
        Problem {
            place: self.locate(key),
            key: key.to_owned(),
            text: text.into(),
        }
    }
}

impl Request {
    fn load(&self) -> Result<Loaded, ConfigError> {
        let (file, mut source) = self.read()?;
        let wrong: Vec<_> = self
            .sets
            .iter()
            .filter_map(|set| source.set(set).err())
            .collect();
        if !wrong.is_empty() {
            return Err(ConfigError { problems: wrong });
        }
        let mut config: Config = typed(&mut source, schema::known)?;
        if !config.listener.is_empty() {
            // The defaults are for a server that nobody has told where to listen.
            let said = |key| source.origins.get(key).is_some();
            let server = &mut config.server;
            if !said("server.listen") {
                server.listen.clear();
            }
            if !said("server.listen-implicit") {
                server.listen_implicit.clear();
            }
        }
        let mut request = self.clone();
        if file.is_some() && file == self.system {
            // Read again, it is that file, whatever the working directory has got meanwhile.
            request.file.clone_from(&file);
        }
        let mut loaded = Loaded {
            config,
            file,
            warnings: Vec::new(),
            origins: source.origins,
            request,
        };
        loaded.make_absolute(&self.working);
        let findings = check::check(&loaded.config);
        if !findings.errors.is_empty() {
            return Err(ConfigError {
                problems: loaded.place(findings.errors),
            });
        }
        loaded.warnings = loaded.place(findings.warnings);
        Ok(loaded)
    }

    fn read(&self) -> Result<(Option<PathBuf>, Source), ConfigError> {
        let default = [Path::new(FILE)].into_iter().chain(self.system.as_deref());
        for name in self
            .file
            .as_deref()
            .map_or_else(|| default.collect(), |file| vec![file])
        {
            let shown = name.display().to_string();
            let path = self.working.join(name);
            match regular::read_text(&path) {
                Ok(text) => return Ok((Some(path), Source::parse(&shown, &text)?)),
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.file.is_none() => {}
                Err(error) => {
                    return Err(ConfigError::one(shown, format!("cannot be read: {error}")));
                }
            }
        }
        Ok((None, Source::parse("", "")?))
    }
}

impl Loaded {
    fn place(&self, findings: Vec<(String, String)>) -> Vec<Problem> {
        findings
            .into_iter()
            .map(|(key, text)| self.problem(&key, text))
            .collect()
    }

    fn make_absolute(&mut self, working: &Path) {
        let parent = self
            .file
            .as_deref()
            .and_then(Path::parent)
            .unwrap_or(working)
            .to_owned();
        let origins = &self.origins;
        let base = |key: &str| match origins.get(key) {
            Some(Origin::Set(_)) => working,
            _ => parent.as_path(),
        };
        let config = &mut self.config;
        join(base("server.state"), &mut config.server.state);
        let state = config.server.state.clone();
        config
            .state
            .file
            .iter_mut()
            .for_each(|file| join(&state, file));
        let logs = config.server.logs();
        for file in [&mut config.audit.file, &mut config.audit.xferlog] {
            file.iter_mut().for_each(|file| join(&logs, file));
        }
        join(&logs, &mut config.log.file);
        join(&state, &mut config.acme.dns_directory);
        let acme = &mut config.acme;
        for (key, file) in [
            ("acme.authorities", &mut acme.authorities),
            ("acme.external-account-key", &mut acme.external_account_key),
        ] {
            file.iter_mut().for_each(|file| join(base(key), file));
        }
        for (key, file) in [
            ("state.password-file", &mut config.state.password_file),
            ("state.authorities", &mut config.state.authorities),
        ] {
            file.iter_mut().for_each(|file| join(base(key), file));
        }
        if let Some(file) = &mut config.traces.authorities {
            join(base("traces.authorities"), file);
        }
        if let Some(file) = &mut config.bans.deny_file {
            join(base("bans.deny-file"), file);
        }
        for (key, paths) in config.tls.paths() {
            paths.iter_mut().for_each(|path| join(base(&key), path));
        }
        let tables = Tables { base: &base, state };
        tables.storages(&KeyPath::default(), &mut config.storage);
        tables.plugins("plugin", &mut config.plugin);
        for (index, host) in config.host.iter_mut().enumerate() {
            for (key, paths) in host.tls.paths() {
                let base = base(&format!("host[{index}].tls.{key}"));
                paths.iter_mut().for_each(|path| join(base, path));
            }
            let table = KeyPath::default().key("host").index(index);
            tables.storages(&table, &mut host.storage);
            tables.plugins(&format!("host[{index}].plugin"), &mut host.plugin);
        }
    }
}

/// Makes the paths of tables absolute that the top level and hosts have.
struct Tables<'a> {
    /// The directory of the file, or of the command line, that a key was said in.
    base: &'a dyn Fn(&str) -> &'a Path,
    state: PathBuf,
}

impl Tables<'_> {
    /// Directories are relative to the state directory.
    fn storages(&self, table: &KeyPath, storages: &mut BTreeMap<String, Storage>) {
        for (name, storage) in storages {
            for (key, path) in [
                ("credentials", &mut storage.credentials),
                ("authorities", &mut storage.authorities),
            ] {
                if let Some(path) = path {
                    let key = table.key("storage").key(name).key(key);
                    join((self.base)(&key.to_string()), path);
                }
            }
            match storage.url() {
                Some(url) => storage.root = url.into(),
                None => join(&self.state, &mut storage.root),
            }
            let more = [&mut storage.staging, &mut storage.quarantine];
            let more = more.into_iter().flatten();
            more.for_each(|path| join(&self.state, path));
        }
    }

    fn plugins(&self, table: &str, plugins: &mut [Plugin]) {
        for (index, plugin) in plugins.iter_mut().enumerate() {
            if !plugin.component.is_empty() && !plugin.component.starts_with("builtin:") {
                let mut path = PathBuf::from(&plugin.component);
                join(
                    (self.base)(&format!("{table}[{index}].component")),
                    &mut path,
                );
                if let Ok(text) = path.into_os_string().into_string() {
                    plugin.component = text;
                }
            }
            for (key, path) in plugin.grants.paths() {
                join((self.base)(&format!("{table}[{index}].grants.{key}")), path);
            }
        }
    }
}

fn join(base: &Path, path: &mut PathBuf) {
    *path = absolute(base.join(&*path)).unwrap_or_else(|_| base.join(&*path));
}

/// For tests, and for those who make their configuration in code.
impl From<Config> for Loaded {
    fn from(config: Config) -> Self {
        Self {
            config,
            file: None,
            warnings: Vec::new(),
            origins: Origins::default(),
            request: Request::default(),
        }
    }
}

/// Gives the tree its types. A value that does not fit is noted and taken out, and the rest tried
/// again, so that all errors are found at once.
///
/// `known` are the keys of the whole tree, to say where one that is not known here belongs.
pub(super) fn typed<T: DeserializeOwned>(
    source: &mut Source,
    known: fn() -> Vec<String>,
) -> Result<T, ConfigError> {
    let mut table = source.table.clone();
    let mut problems: Vec<(usize, Problem)> = Vec::new();
    let mut taken: Vec<KeyPath> = Vec::new();
    loop {
        let error = match deserialize(Value::Table(table.clone())) {
            Ok(config) if problems.is_empty() => {
                source.table = table;
                return Ok(config);
            }
            Ok(_) => break,
            Err(error) => error,
        };
        let path = KeyPath::from_serde(error.path());
        let message = error.inner().message();
        if let Some(text) = source.as_typed(&path)
            && path.find(&table).is_some_and(|value| *value != text)
        {
            let mut with_text = table.clone();
            if let Some(place) = path.find_mut(&mut with_text) {
                *place = text;
            }
            let again = deserialize::<_, T>(Value::Table(with_text.clone()));
            if again.map_or_else(|error| KeyPath::from_serde(error.path()) != path, |_| true) {
                table = with_text;
                continue;
            }
        }
        let missing = message
            .strip_prefix("missing field `")
            .and_then(|rest| rest.split('`').next());
        let key = missing.map_or_else(|| path.clone(), |field| path.key(field));
        if !taken.contains(&key) {
            let text = explain::explain(message, &path, path.find(&table), known);
            let place = source.origins.place(&path);
            let problem = Problem {
                place,
                key: path.to_string(),
                text,
            };
            problems.push((source.origins.line(&path), problem));
        }
        if missing.is_some() && !taken.contains(&key) {
            // Any text will do for most fields that must be there; else their table goes, too.
            put_placeholder(&mut table, &key);
            taken.push(key);
        } else if !take_out(&mut table, &mut taken, path) {
            break;
        }
        if problems.len() == 20 {
            break;
        }
    }
    problems.sort_by_key(|(line, _)| *line);
    Err(ConfigError {
        problems: problems.into_iter().map(|(_, problem)| problem).collect(),
    })
}

fn put_placeholder(table: &mut toml::Table, key: &KeyPath) {
    if let (Some(parent), Some(Step::Key(field))) = (key.parent(), key.0.last())
        && let Some(Value::Table(table)) = parent.find_mut(table)
    {
        table.insert(field.clone(), Value::String("-".to_owned()));
    }
}

/// Takes the nearest whole key away, not one element of an array, which would move the others.
fn take_out(table: &mut toml::Table, taken: &mut Vec<KeyPath>, mut path: KeyPath) -> bool {
    loop {
        let Some(parent) = path.parent() else {
            return false;
        };
        if let Some(Step::Key(key)) = path.0.last() {
            let removed = match parent.find_mut(table) {
                Some(Value::Table(table)) => table.remove(key),
                None if parent.0.is_empty() => table.remove(key),
                _ => None,
            };
            if removed.is_some() {
                taken.push(path);
                return true;
            }
        }
        path = parent;
    }
}
