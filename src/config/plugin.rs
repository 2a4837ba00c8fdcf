//! `[plugin-host]` and `[[plugin]]`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use super::{Grants, value};
use crate::types::OnFailure;

/// `[plugin-host]`
#[derive(Clone, Debug, PartialEq, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PluginHost {
    /// Instances of all plugins at a time; address space is reserved for them at the start.
    #[schemars(range(min = 1), extend("x-restart" = true))]
    #[default(1000)]
    pub instances: u32,
    /// Bytes of linear memory that all instances have together; unset, half of what the machine, or
    /// the server's control group, has. 0 is no limit.
    #[schemars(extend("x-restart" = true))]
    #[serde(with = "value::OptionalSize")]
    pub memory: Option<u64>,
    /// The largest component, in bytes: a larger file is not read.
    #[schemars(range(min = 1), extend("x-restart" = true))]
    #[serde(with = "value::Size")]
    #[default(64 << 20)]
    pub component_size: u64,
    /// How long a session keeps its path guards when it asks nothing.
    #[serde(with = "value::Time")]
    #[default(Duration::from_secs(10))]
    pub idle_instance_timeout: Duration,
    /// How long a password that was right need not be hashed again, from the login that hashed it on; 0:
    /// each login hashes.
    #[schemars(extend("x-restart" = true))]
    #[serde(with = "value::Time")]
    #[default(Duration::from_secs(600))]
    pub remember_passwords: Duration,
    /// Bytes of events that wait for one event-listener; what comes beyond is dropped, and counted.
    #[schemars(range(min = 64 << 10))]
    #[serde(with = "value::Size")]
    #[default(8 << 20)]
    pub event_queue: u64,
    /// How components are run.
    #[schemars(extend("x-restart" = true))]
    #[default(Engine::Native)]
    pub engine: Engine,
    /// How long a component may take to be compiled, by a process that is ended then.
    #[schemars(range(min = 1), extend("x-restart" = true))]
    #[serde(with = "value::Time")]
    #[default(Duration::from_secs(300))]
    pub compile_timeout: Duration,
}

/// How components are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// Compiled to the machine's own code.
    Native,
    /// Interpreted, without executable memory (wasmtime's Pulley).
    Pulley,
}

/// `[[plugin]]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Plugin {
    /// For logs and for `state`: letters, digits, `-` and `_`; unique.
    pub name: String,
    /// A file, relative to the configuration file, or `builtin:NAME`.
    pub component: String,
    /// The component's digest, 64 hexadecimal digits: anything else is not loaded.
    #[serde(default)]
    #[schemars(extend("pattern" = "^[0-9a-fA-F]{64}$"))]
    pub sha256: Option<String>,
    /// The fate of an operation when the plugin fails.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// The settings of the plugin itself; `{ file = "…" }` in them is read from the state directory
    /// and watched.
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    #[serde(default)]
    pub settings: toml::Table,
    /// How long an instance lives; unset, as suits what the plugin decides.
    #[serde(default)]
    pub instances: Option<Instances>,
    /// The limits of its calls and instances.
    #[serde(default)]
    pub limits: PluginLimits,
    /// The resources outside of itself that it may use.
    #[serde(default)]
    pub grants: Grants,
}

impl Plugin {
    /// The files in its settings, relative ones in `state`.
    #[must_use]
    pub fn setting_files(&self, state: &Path) -> Vec<PathBuf> {
        fn collect(value: &toml::Value, files: &mut Vec<PathBuf>, state: &Path) {
            if let Some(file) = file_setting(value) {
                return files.push(state.join(file));
            }
            match value {
                toml::Value::Table(table) => {
                    table
                        .values()
                        .for_each(|value| collect(value, files, state));
                }
                toml::Value::Array(list) => {
                    list.iter().for_each(|value| collect(value, files, state));
                }
                _ => {}
            }
        }
        let mut files = Vec::new();
        for value in self.settings.values() {
            collect(value, &mut files, state);
        }
        files
    }
}

/// The file whose content a setting stands for: `{ file = "…" }`.
#[must_use]
pub fn file_setting(value: &toml::Value) -> Option<&str> {
    let table = value.as_table().filter(|table| table.len() == 1)?;
    table.get("file")?.as_str()
}

/// How long an instance of a plugin lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Instances {
    /// One call: nothing that it was told outlives it.
    PerCall,
    /// A session's questions, one after the other, while it asks; path guards alone.
    PerSession,
    /// Many calls of anybody's, for components that are costly to start.
    Pool,
}

/// `[plugin.limits]`
#[derive(Clone, Debug, PartialEq, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PluginLimits {
    /// Bytes of linear memory.
    #[schemars(range(min = 64 << 10, max = 4_u64 << 30))]
    #[serde(with = "value::Size")]
    #[default(64 << 20)]
    pub memory: u64,
    /// Computing time of one call; of an inspector, between two reads.
    #[schemars(range(min = 0.001))]
    #[serde(with = "value::Time")]
    #[default(Duration::from_millis(250))]
    pub cpu_time: Duration,
    /// Time of one call from end to end, waiting for the client's bytes not counted.
    #[schemars(range(min = 0.001))]
    #[serde(with = "value::Time")]
    #[default(Duration::from_secs(5))]
    pub wall_time: Duration,
    /// Bytes of log lines of one call.
    #[serde(with = "value::Size")]
    #[default(64 << 10)]
    pub log: u64,
    /// Bytes of all values in `state`.
    #[serde(with = "value::Size")]
    #[default(16 << 20)]
    pub state: u64,
    /// Instances of this plugin at once; 0: as many as `plugin-host.instances` has room for.
    pub instances: u32,
    /// How long a call waits for an instance, before it is refused for now.
    #[schemars(range(min = 0.001))]
    #[serde(with = "value::Time")]
    #[default(Duration::from_secs(5))]
    pub pool_wait: Duration,
    /// Calls after which a pooled instance is retired.
    #[schemars(range(min = 1))]
    #[default(1000)]
    pub pool_calls: u32,
    /// Time after which a pooled instance is retired.
    #[schemars(range(min = 0.001))]
    #[serde(with = "value::Time")]
    #[default(Duration::from_secs(300))]
    pub pool_age: Duration,
}
