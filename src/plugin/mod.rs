//! The host of WebAssembly components: it answers the [`gate`](crate::gate)s with them.
//!
//! A component has nothing but what it is lent for a call. Whatever it does — crash, loop, allocate,
//! talk, answer nonsense — is a [`Fault`](crate::gate::Fault) of that one call: its instance is
//! thrown away, and no other session notices.

mod authenticator;
mod bindings;
mod cache;
mod call;
mod clock;
mod compiled;
pub mod compiler;
mod component;
pub mod contract;
mod engine;
mod fault;
mod grants;
mod import_policy;
mod imports;
mod inspector;
mod instance_limiter;
mod instances;
mod kind;
mod limiter;
mod listener;
mod load;
mod machine;
mod output;
mod path_guard;
mod producers;
mod resources;
mod settings;
mod settings_check;
pub(crate) mod settings_file;
mod shared_state;
mod state;
mod state_file;
mod stock;
#[cfg(test)]
mod tests;
mod trial;
mod values;

use std::{
    borrow::Cow,
    collections::HashSet,
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use wasmtime::component::{HasSelf, Linker};

pub use cache::{directory as cache_directory, trusted as trusted_cache};
pub use compiled::Tools;
pub use contract::{Report, inspect};
pub use fault::spread;
pub use import_policy::Requirement;
pub use instance_limiter::Taken;
pub use kind::PluginKind;
pub use load::bytes;
pub use state::Kept;

use self::values::Keeper;
use crate::{
    config,
    gate::Gates,
    shared::{Away, Shared},
    startup::Startup,
    types::HostId,
};

/// The components that ship with the server, for `component = "builtin:NAME"`.
pub const BUILTIN: [(&str, &[u8]); 11] = [
    ("users", include_bytes!("../../plugins/built/users.wasm")),
    (
        "auth-http",
        include_bytes!("../../plugins/built/auth-http.wasm"),
    ),
    (
        "auth-ldap",
        include_bytes!("../../plugins/built/auth-ldap.wasm"),
    ),
    (
        "auth-sql",
        include_bytes!("../../plugins/built/auth-sql.wasm"),
    ),
    (
        "auth-totp",
        include_bytes!("../../plugins/built/auth-totp.wasm"),
    ),
    (
        "lockout",
        include_bytes!("../../plugins/built/lockout.wasm"),
    ),
    ("rules", include_bytes!("../../plugins/built/rules.wasm")),
    (
        "upload-clamav",
        include_bytes!("../../plugins/built/upload-clamav.wasm"),
    ),
    (
        "upload-content",
        include_bytes!("../../plugins/built/upload-content.wasm"),
    ),
    (
        "upload-guard",
        include_bytes!("../../plugins/built/upload-guard.wasm"),
    ),
    (
        "webhook",
        include_bytes!("../../plugins/built/webhook.wasm"),
    ),
];

/// The fewest instances that make sense: a session asks several plugins at a time.
const FEWEST: u32 = 16;

/// A plugin, a key of its `state`, and the time that it has left, if that is limited.
pub type KeptKey = (String, String, Option<Duration>);

/// The engine and what all plugins share. Cheap to clone.
#[derive(Clone)]
pub struct Host {
    shared: Arc<component::HostShared>,
    hosted: &'static [load::Hosted],
}

impl Host {
    /// A host; `cache` is the directory for compiled code, made with mode 0700. The `state` of
    /// plugins is in memory, and in `state_file` if there is one.
    ///
    /// # Errors
    /// When there is no engine to be had, or the file cannot be opened.
    pub fn new(
        config: &config::PluginHost,
        cache: &Path,
        state_file: Option<&Path>,
    ) -> Result<Self, LoadError> {
        Self::with(config, cache, state_file, None, Tools::default())
    }

    /// The same in a process that compiles and loads elsewhere. With `shared`, the `state` of plugins is
    /// there, and in no file.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with(
        config: &config::PluginHost,
        cache: &Path,
        state_file: Option<&Path>,
        shared: Option<Arc<Shared>>,
        tools: Tools,
    ) -> Result<Self, LoadError> {
        let keeper = match (shared, state_file) {
            (Some(shared), _) => Keeper::Shared(shared),
            (None, Some(path)) => {
                let file = state_file::StateFile::open(path);
                let file = file.map_err(|text| LoadError::new("state.file", text))?;
                Keeper::File(Arc::new(file))
            }
            (None, None) => Keeper::Memory,
        };
        Self::of(&load::HOSTED, config, cache, keeper, tools)
    }

    /// Makes the directory for compiled code where it is not there, or cannot be trusted.
    pub fn make_cache(directory: &Path) {
        let _ = cache::Cache::new(directory);
    }

    /// Makes the file for `state` where it is not there.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn make_state_file(path: &Path) -> Result<(), LoadError> {
        let made = state_file::StateFile::make(path);
        made.map_err(|text| LoadError::new("state.file", text))
    }

    /// A host of these kinds of plugins.
    fn of(
        hosted: &'static [load::Hosted],
        config: &config::PluginHost,
        cache: &Path,
        keeper: Keeper,
        tools: Tools,
    ) -> Result<Self, LoadError> {
        let instances = config.instances.max(FEWEST);
        let failed =
            |error: wasmtime::Error| LoadError::new("plugin-host.instances", format!("{error:#}"));
        let (engine, allocation) =
            engine::engine(instances.saturating_add(engine::MEMORIES), config.engine)
                .map_err(failed)?;
        let mut linker = Linker::new(&engine);
        // All of WASI 0.2 but HTTP; `grants` says what is in it.
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(failed)?;
        grants::Granted::shadow(&mut linker).map_err(failed)?;
        bindings::imports::Imports::add_to_linker::<_, HasSelf<_>>(&mut linker, |call| call)
            .map_err(failed)?;
        let kinds = hosted.iter().map(|hosted| hosted.kind).collect();
        let cache = cache::Cache::new(cache);
        let library = compiled::Library::new((engine.clone(), allocation), cache, tools, kinds);
        let verifier =
            crate::passwords::Verifier::start(config.remember_passwords).map_err(|error| {
                LoadError::new(
                    "plugin",
                    format!("no threads to verify passwords on: {error}"),
                )
            })?;
        let memory = match config.memory {
            Some(0) => u64::MAX,
            Some(memory) => memory,
            None => machine::memory() / 2,
        };
        // One instance that is being loaded comes on top.
        let limiter = instance_limiter::InstanceLimiter::new(instances, engine::MEMORIES, memory);
        let mut shared = component::HostShared::new(
            engine, allocation, linker, limiter, library, keeper, verifier,
        );
        shared.component_size = config.component_size;
        Ok(Self {
            shared: Arc::new(shared),
            hosted,
        })
    }

    /// Finds out whether the state file can be opened, and leaves it as it is.
    ///
    /// # Errors
    /// Those that [`new`](Self::new) would give.
    pub fn try_state_file(path: &Path, startup: &Startup) -> Result<(), LoadError> {
        let tried = state_file::StateFile::try_open(path, startup);
        tried.map_err(|text| LoadError::new("state.file", text))
    }

    /// As [`gates_of`](Self::gates_of) the host without a name.
    ///
    /// # Errors
    /// At the first plugin that cannot be loaded.
    pub async fn gates(
        &self,
        plugins: &[config::Plugin],
        state: &Path,
    ) -> Result<Gates, LoadError> {
        self.gates_of(&HostId::default(), plugins, state).await
    }

    /// Loads all plugins of a virtual host, in the configuration's order; setting files with relative
    /// names are looked for in `state`. Called again for a reload: plugins of the same name keep their
    /// state, which is each host's own.
    ///
    /// # Errors
    /// At the first plugin that cannot be loaded.
    pub async fn gates_of(
        &self,
        host: &HostId,
        plugins: &[config::Plugin],
        state: &Path,
    ) -> Result<Gates, LoadError> {
        let mut gates = Gates::default();
        for (index, plugin) in plugins.iter().enumerate() {
            let kept = host.qualify(&plugin.name);
            let added = load::add(&self.shared, self.hosted, plugin, &kept, state, &mut gates);
            added.await.map_err(|error| error.of(index, &plugin.name))?;
        }
        Ok(gates)
    }

    /// Waits until `state` is on the disk. Blocks.
    pub fn flush(&self) {
        if let Some(file) = self.shared.keeper.file() {
            file.flush();
        }
    }

    /// A value in the `state` of the plugin of that name.
    ///
    /// # Errors
    /// As those that follow: when the Redis that keeps it is away.
    pub async fn state(&self, plugin: &str, key: &str) -> Result<Option<Vec<u8>>, Away> {
        match self.shared.state(plugin) {
            Some(state) => state.get(key).await,
            None => Ok(None),
        }
    }

    /// How much each plugin keeps in `state`.
    pub async fn states(&self) -> Result<Vec<(String, Kept)>, Away> {
        let mut all = Vec::new();
        for (plugin, state) in self.shared.states() {
            all.push((plugin, state.size().await?));
        }
        Ok(all)
    }

    /// The keys in the `state` of all plugins that begin so, with the plugin, and the time that they have
    /// left, if that is limited.
    pub async fn states_with(&self, prefix: &str) -> Result<Vec<KeptKey>, Away> {
        let mut all = Vec::new();
        for (plugin, state) in self.shared.states() {
            let keys = state.with_prefix(prefix).await?.into_iter();
            all.extend(keys.map(|(key, left)| (plugin.clone(), key, left)));
        }
        Ok(all)
    }

    /// Forgets a key of the plugin's `state`, or all of them; how many there were. None where there
    /// is no such plugin.
    pub async fn clear_state(
        &self,
        plugin: &str,
        key: Option<&str>,
    ) -> Result<Option<usize>, Away> {
        let Some(state) = self.shared.state(plugin) else {
            return Ok(None);
        };
        let cleared = match key {
            Some(key) => usize::from(state.delete(key).await?),
            None => state.clear().await?,
        };
        Ok(Some(cleared))
    }

    /// The instances that there are now.
    #[must_use]
    pub fn instances(&self) -> Taken {
        self.shared.instances.taken_by()
    }

    /// Why `state` is not written to its file, and since when, as long as that is so.
    #[must_use]
    pub fn state_error(&self) -> Option<(SystemTime, String)> {
        self.shared.keeper.file()?.failed()
    }

    /// Forgets the counters of all plugins but those of these hosts, and their state, but for what a file
    /// has of it; and the passwords that are remembered, of all.
    pub fn retain<'a>(&self, hosts: impl Iterator<Item = &'a config::Host>) {
        self.shared.verifier.forget();
        let plugins = |host: &'a config::Host| {
            let names = host.plugin.iter().map(|plugin| &plugin.name);
            names.map(|name| host.id.qualify(name))
        };
        let named: HashSet<String> = hosts.flat_map(plugins).collect();
        self.shared.retain(|name| named.contains(name));
    }
}

/// Why a plugin, or the host itself, cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// The plugin's name.
    pub plugin: Option<String>,
    /// Its place among the `[[plugin]]`s.
    pub index: Option<usize>,
    /// The key that the text is about, a plugin's or the whole configuration's.
    pub key: Cow<'static, str>,
    /// For people: what is wrong, and what to do.
    pub text: String,
}

impl LoadError {
    fn new(key: impl Into<Cow<'static, str>>, text: String) -> Self {
        let lines: Vec<_> = text.lines().map(output::harmless).collect();
        Self {
            plugin: None,
            index: None,
            key: key.into(),
            text: lines.join("\n"),
        }
    }

    fn component(text: String) -> Self {
        Self::new("component", text)
    }

    fn of(self, index: usize, plugin: &str) -> Self {
        Self {
            plugin: Some(plugin.into()),
            index: Some(index),
            ..self
        }
    }

    /// The same with its place in the configuration.
    #[must_use]
    pub fn problem(&self, loaded: &config::Loaded) -> config::Problem {
        self.problem_of(loaded, &config::HostKeys::default())
    }

    /// The same of a plugin of a host.
    #[must_use]
    pub fn problem_of(&self, loaded: &config::Loaded, keys: &config::HostKeys) -> config::Problem {
        let key = match self.index {
            Some(index) => format!("plugin[{index}].{}", self.key),
            None => self.key.to_string(),
        };
        let name = self
            .plugin
            .as_deref()
            .map(|name| format!("plugin {name}: "));
        loaded.problem(&keys.key(&key), name.unwrap_or_default() + &self.text)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.plugin {
            Some(plugin) => write!(formatter, "plugin {plugin}: {}: {}", self.key, self.text),
            None => write!(formatter, "{}: {}", self.key, self.text),
        }
    }
}

impl std::error::Error for LoadError {}
