//! What holds where the file says nothing. The reasons are in `config.toml`.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use super::{
    AccountChange, Binding, ClientCertificates, CloseNotify, Config, Data, LateVerdict, Limits,
    Log, LogFormat, OddNames, PartialListing, Plugin, PluginHost, PluginLimits, Server, State,
    Storage, Tls, TlsVersion, UploadDigest, Uploads,
};
use crate::types::Durability;

impl Default for Config {
    fn default() -> Self {
        Self {
            server: Server::default(),
            tls: Tls::default(),
            data: Data::default(),
            limits: Limits::default(),
            log: Log::default(),
            storage: default_storages(),
            uploads: Uploads::default(),
            state: State::default(),
            plugin_host: PluginHost::default(),
            plugin: default_plugins(),
        }
    }
}

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

impl Default for Server {
    fn default() -> Self {
        Self {
            state: "var".into(),
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 2121))],
            listen_implicit: vec![SocketAddr::from(([127, 0, 0, 1], 2990))],
            greeting: "Portcullis FTPS server ready".into(),
            hosts: Vec::new(),
            proxy_networks: Vec::new(),
            account_change: AccountChange::End,
            drain_timeout: Duration::from_secs(30),
            threads: 0,
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            certificate: None,
            key: None,
            host: Vec::new(),
            required: true,
            data_required: true,
            data_binding: Binding::Prefer,
            close_notify: CloseNotify::Prefer,
            minimum_version: TlsVersion::V1_2,
            client_certificates: ClientCertificates::Off,
            client_authorities: None,
            allow_ccc: false,
        }
    }
}

impl Default for Data {
    fn default() -> Self {
        Self {
            passive_ports: (10_000, 30_000),
            advertise: None,
            active: false,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 10_000,
            sessions_per_address: 1000,
            sessions_per_user: 0,
            login_attempts: 3,
            login_delay: Duration::from_secs(1),
            login_timeout: Duration::from_secs(60),
            concurrent_logins: 100,
            waiting_logins: 5000,
            idle_timeout: Duration::from_secs(300),
            data_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(60),
            line_length: 4096,
            queued_commands: 1000,
            upload_size: 0,
            upload_rate: 0,
            download_rate: 0,
            total_upload_rate: 0,
            total_download_rate: 0,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".into(),
            format: LogFormat::Text,
        }
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            root: "files".into(),
            staging: None,
            quarantine: None,
            create_homes: true,
            durability: Durability::default(),
            file_mode: 0o644,
            directory_mode: 0o755,
            partial_age: Duration::from_secs(24 * 3600),
            partial_size: None,
            partial_count: 1000,
            partial_listing: PartialListing::Show,
            odd_names: OddNames::Hide,
        }
    }
}

impl Default for Uploads {
    fn default() -> Self {
        Self {
            digest: UploadDigest::None,
            verdict_after: Duration::from_secs(30),
            verdict_late: LateVerdict::Wait,
            keep_alive: Duration::ZERO,
            resume_overwrites: Duration::ZERO,
        }
    }
}

impl Default for PluginHost {
    fn default() -> Self {
        Self {
            instances: 1000,
            memory: None,
            idle_instance_timeout: Duration::from_secs(10),
            event_queue: 8 << 20,
        }
    }
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            cpu_time: Duration::from_millis(250),
            wall_time: Duration::from_secs(5),
            log: 64 << 10,
            state: 16 << 20,
            instances: 0,
            pool_wait: Duration::from_secs(5),
            pool_calls: 1000,
            pool_age: Duration::from_secs(300),
        }
    }
}
