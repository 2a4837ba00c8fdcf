//! The defaults that are tables: one storage, and the plugins that ship.

use std::collections::BTreeMap;

use super::{Plugin, Storage};

/// One storage, `default`.
pub fn default_storages() -> BTreeMap<String, Storage> {
    BTreeMap::from([("default".to_owned(), Storage::default())])
}

/// The plugins that ship, in the order in which they are asked.
pub fn default_plugins() -> Vec<Plugin> {
    // Were this not to fit the type there would be no plugin, and nobody could log in; a test
    // compares it with config.toml.
    default_plugin_tables()
        .into_iter()
        .map(|table| toml::Value::Table(table).try_into())
        .collect::<Result<_, _>>()
        .unwrap_or_default()
}

/// The same before they are typed, for `--set plugin.NAME.…` to change.
pub fn default_plugin_tables() -> [toml::Table; 3] {
    [
        toml::toml! {
            name = "users"
            component = "builtin:users"
            settings.users = { file = "users.toml" }
        },
        toml::toml! {
            name = "rules"
            component = "builtin:rules"

            [settings]
            default = "allow"
            rules = [
                { effect = "deny", groups = ["read-only"], operations = ["write"], reason = "This account may only read" }
            ]
        },
        toml::toml! {
            name = "upload-guard"
            component = "builtin:upload-guard"

            [settings]
            eicar = true
            content = true
            deny-extensions = []
            deny-names = []
            max-size = 0
            action = "reject"
        },
    ]
}
