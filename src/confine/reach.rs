//! The files and ports that a configuration takes: all others are out of reach.

use std::{
    collections::BTreeMap,
    env, fs,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    acme::store::Store,
    config::{self, Challenge, Grants, Loaded, Problem, grants},
    server::bans,
    spool::Storage,
};

/// Storages that are open, and how they are configured, by their names.
type Storages = BTreeMap<String, (config::Storage, Arc<Storage>)>;

/// Read to find out about the machine.
const MACHINE: [&str; 5] = [
    "/proc/self",
    "/proc/meminfo",
    "/proc/cpuinfo",
    "/sys/fs/cgroup",
    // For errors that name users.
    "/etc/passwd",
];
/// The authorities that the system trusts, with what the entries in it lead to.
const AUTHORITIES: [&str; 6] = [
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/var/lib/ca-certificates",
];
/// Read to look up names. Programs replace some of these files.
const NAMES: [&str; 4] = [
    "/etc",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
];

/// Rights on files. Nothing is ever executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Read, and list.
    Read,
    /// Make, change and remove files and directories, too.
    Write,
}

/// The files and ports within the walls.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    state: PathBuf,
    /// With the key that names them.
    files: BTreeMap<(PathBuf, Access), String>,
    /// Files that may be links to other directories.
    links: Vec<PathBuf>,
    /// Ports for data connections that clients open.
    bind: Vec<(RangeInclusive<u16>, String)>,
    /// Ports of what the server connects to.
    connect: Vec<(RangeInclusive<u16>, String)>,
}

impl Reach {
    /// Of a configuration; `storages` are those that are open. Looks at no file.
    #[must_use]
    pub fn of(loaded: &Loaded, storages: &Storages) -> Self {
        let config = &loaded.config;
        let mut reach = Self {
            state: config.server.state.clone(),
            ..Self::default()
        };
        for path in MACHINE {
            reach.system(path);
        }
        reach.directory(Path::new("/dev/null"), Access::Write, "");
        let state = &config.server.state;
        reach.directory(state, Access::Read, "server.state");
        if let Some(file) = &loaded.file {
            reach.file(file, "--config");
        }
        for named in config.storages() {
            let (key, storage) = (|key: &str| named.key(key), &named.storage);
            reach.engine(storage, &key);
            match storages.get(&named.id) {
                Some((old, opened)) if old.is_at(storage) => {
                    reach.directory(opened.staging(), Access::Write, &key("staging"));
                    reach.directory(opened.quarantine_path(), Access::Write, &key("quarantine"));
                }
                _ => {}
            }
            let named = [
                ("staging", &storage.staging),
                ("quarantine", &storage.quarantine),
            ];
            for (name, path) in named {
                if let Some(path) = path {
                    reach.directory(path, Access::Write, &key(name));
                }
            }
        }
        if let Some(file) = &config.state.file {
            reach.directory(file, Access::Write, "state.file");
        }
        reach.directory(&bans::directory(state), Access::Write, "server.state");
        for (key, file) in config.logs() {
            // It is opened anew, under its name.
            if let Some(directory) = file.parent() {
                reach.directory(directory, Access::Write, key);
            }
        }
        if let Some(file) = &config.bans.deny_file {
            reach.file(file, "bans.deny-file");
        }
        for host in config.all_hosts() {
            reach.host(&host, state);
        }
        for listener in config.listeners() {
            let (first, last) = listener.passive_ports;
            reach.bind(first..=last, &listener.passive_ports_key());
            if listener.advertise.names().next().is_some() {
                reach.names(&listener.advertise_key());
            }
        }
        if config.data.active {
            reach.bind(0..=0, "data.active");
            reach.connect(1024..=u16::MAX, "data.active");
        }
        if let Some(service) = config.acme.service().filter(|_| config.acme.is_used()) {
            let store = Store::of(state);
            reach.directory(store.directory(), Access::Write, "acme.names");
            reach.service(&service, "acme.directory");
            for (key, file) in [
                ("acme.authorities", &config.acme.authorities),
                (
                    "acme.external-account-key",
                    &config.acme.external_account_key,
                ),
            ] {
                file.iter().for_each(|file| reach.file(file, key));
            }
            if config.acme.challenge == Challenge::Dns01 {
                let directory = &config.acme.dns_directory;
                reach.directory(directory, Access::Write, "acme.dns-directory");
            }
        }
        reach.shared(&config.state);
        if let Some((service, _)) = config.traces.collector() {
            reach.service(&service, "traces.endpoint");
            if let Some(file) = &config.traces.authorities {
                reach.file(file, "traces.authorities");
            }
        }
        reach
    }

    /// The places that the files of a storage are in.
    fn engine(&mut self, storage: &config::Storage, key: &dyn Fn(&str) -> String) {
        if storage.kind == config::StorageKind::Local {
            self.directory(&storage.root, Access::Write, &key("root"));
            return;
        }
        let endpoint = storage.endpoint.as_ref();
        let service = endpoint.and_then(|url| grants::Service::of(&url.parse().ok()?));
        match service {
            Some(service) => self.service(&service, &key("endpoint")),
            None => {
                self.connect(443..=443, &key("kind"));
                self.names(&key("kind"));
                self.authorities(&key("kind"));
            }
        }
        for (name, file) in [
            ("credentials", &storage.credentials),
            ("authorities", &storage.authorities),
        ] {
            file.iter().for_each(|file| self.file(file, &key(name)));
        }
        if storage.credentials.is_none() {
            // Services of the machine that give out credentials for a while, and those that these are asked of.
            self.connect(80..=80, &key("credentials"));
            self.connect(443..=443, &key("credentials"));
        }
    }

    /// The Redis that state is shared by.
    fn shared(&mut self, state: &config::State) {
        let Ok(Some(redis)) = state.redis() else {
            return;
        };
        self.connect(redis.port..=redis.port, "state.url");
        self.names("state.url");
        if redis.tls {
            self.authorities("state.url");
        }
        for (key, file) in [
            ("state.password-file", &state.password_file),
            ("state.authorities", &state.authorities),
        ] {
            file.iter().for_each(|file| self.file(file, key));
        }
    }

    /// The files of a host, and what its plugins are granted.
    fn host(&mut self, host: &config::Host, state: &Path) {
        for (key, files) in host.tls.clone().paths() {
            let key = host.key(&key);
            files.iter().for_each(|file| self.file(file, &key));
        }
        for (index, plugin) in host.plugin.iter().enumerate() {
            let key = |name: &str| host.key(&format!("plugin[{index}].{name}"));
            if !plugin.component.starts_with("builtin:") {
                self.file(Path::new(&plugin.component), &key("component"));
            }
            for file in plugin.setting_files(state) {
                self.file(&file, &key("settings"));
            }
            self.grants(&plugin.grants, &key("grants"));
        }
    }

    fn grants(&mut self, grants: &Grants, key: &str) {
        for directory in &grants.directories {
            let access = match directory.access {
                grants::Access::Read => Access::Read,
                grants::Access::Write => Access::Write,
            };
            self.directory(&directory.host, access, key);
        }
        if let Some(file) = &grants.authorities {
            self.file(file, key);
        }
        for endpoint in &grants.tcp {
            self.connect(endpoint.port..=endpoint.port, key);
        }
        for service in &grants.http {
            self.connect(service.port..=service.port, key);
        }
        let names = grants
            .tcp
            .iter()
            .any(|endpoint| matches!(endpoint.place, grants::Place::Name(_)));
        if names || grants.dns || !grants.http.is_empty() {
            self.names(key);
        }
        if !grants.tcp.is_empty() || !grants.http.is_empty() {
            self.authorities(key);
        }
    }

    /// A service that the server itself asks.
    fn service(&mut self, service: &grants::Service, key: &str) {
        self.connect(service.port..=service.port, key);
        self.names(key);
        self.authorities(key);
    }

    /// The authorities that the system trusts.
    fn authorities(&mut self, key: &str) {
        for path in AUTHORITIES {
            self.system(path);
        }
        for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
            if let Some(path) = env::var_os(name) {
                self.directory(Path::new(&path), Access::Read, key);
            }
        }
    }

    /// Looks up names: by UDP, which is free, and by TCP where an answer is long.
    fn names(&mut self, key: &str) {
        self.connect(53..=53, key);
        for path in NAMES {
            self.system(path);
        }
    }

    fn bind(&mut self, ports: RangeInclusive<u16>, key: &str) {
        self.bind.push((ports, key.to_owned()));
    }

    fn connect(&mut self, ports: RangeInclusive<u16>, key: &str) {
        self.connect.push((ports, key.to_owned()));
    }

    fn system(&mut self, path: &str) {
        self.directory(Path::new(path), Access::Read, "");
    }

    /// A file that others replace: its directory.
    fn file(&mut self, file: &Path, key: &str) {
        if let Some(directory) = file.parent() {
            self.directory(directory, Access::Read, key);
            self.links.push(file.to_owned());
        }
    }

    fn directory(&mut self, path: &Path, access: Access, key: &str) {
        let entry = self.files.entry((path.to_owned(), access));
        entry.or_insert(key.to_owned());
    }

    /// The state directory.
    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    /// The files and directories, with those that links lead to now.
    pub(super) fn files(&self) -> impl Iterator<Item = (PathBuf, Access)> {
        let links = self
            .links
            .iter()
            .filter_map(|file| fs::canonicalize(file).ok());
        let links = links.filter_map(|file| Some((file.parent()?.to_owned(), Access::Read)));
        self.files.keys().cloned().chain(links)
    }

    /// Ports to be bound, each once.
    pub(super) fn bound(&self) -> Vec<u16> {
        ports(&self.bind)
    }

    /// Ports to be connected to, each once.
    pub(super) fn connected(&self) -> Vec<u16> {
        ports(&self.connect)
    }

    /// Whether all of `new` is within these walls, which stand since the start.
    ///
    /// # Errors
    /// With the key that names something beyond them.
    pub fn covers(&self, new: &Self, loaded: &Loaded) -> Result<(), Problem> {
        let beyond = |key: &str, what: String| {
            let text = format!(
                "{what} was not in the configuration at the start, and has been out of this \
                 process's reach since (server.landlock): restart the server"
            );
            loaded.problem(key, text)
        };
        for ((path, access), key) in &new.files {
            let within =
                |(old, allowed): &&(PathBuf, Access)| path.starts_with(old) && allowed >= access;
            // Of the system's own some are not there; the state file stays that of the start.
            if !key.is_empty() && key != "state.file" && !self.files.keys().any(|old| within(&old))
            {
                return Err(beyond(key, path.display().to_string()));
            }
        }
        for (old, new) in [(&self.bind, &new.bind), (&self.connect, &new.connect)] {
            for (range, key) in new {
                let within = |(old, _): &(RangeInclusive<u16>, String)| {
                    old.contains(range.start()) && old.contains(range.end())
                };
                if !old.iter().any(within) {
                    let what = match range.start() == range.end() {
                        true => format!("port {}", range.start()),
                        false => format!("ports {}-{}", range.start(), range.end()),
                    };
                    return Err(beyond(key, what));
                }
            }
        }
        Ok(())
    }
}

fn ports(ranges: &[(RangeInclusive<u16>, String)]) -> Vec<u16> {
    let mut ports: Vec<u16> = ranges.iter().flat_map(|(range, _)| range.clone()).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn reach(change: impl FnOnce(&mut Config)) -> (Reach, Loaded) {
        let mut config = Config::default();
        config.server.state = "/state".into();
        for storage in config.storage.values_mut() {
            storage.root = "/state/files".into();
        }
        change(&mut config);
        let loaded = Loaded::from(config);
        (Reach::of(&loaded, &Storages::new()), loaded)
    }

    #[test]
    fn a_reload_stays_within_the_walls_of_the_start() {
        let (start, _) = reach(|_| {});
        let covered = |change: fn(&mut Config)| {
            let (new, loaded) = reach(change);
            start.covers(&new, &loaded).map_err(|problem| problem.key)
        };
        assert_eq!(covered(|_| {}), Ok(()));
        assert_eq!(
            covered(|config| config.data.passive_ports = (10_100, 10_200)),
            Ok(())
        );
        let wider = covered(|config| config.data.passive_ports = (9_000, 10_200));
        assert_eq!(wider, Err("data.passive-ports".into()));
        assert_eq!(
            covered(|config| config.data.active = true),
            Err("data.active".into())
        );
        let key = |config: &mut Config| config.tls.key = vec!["/elsewhere/key.pem".into()];
        assert_eq!(covered(key), Err("tls.key".into()));
        let list =
            |config: &mut Config| config.tls.client_revocation = vec!["/elsewhere/list".into()];
        assert_eq!(covered(list), Err("tls.client-revocation".into()));
        let state = |config: &mut Config| config.tls.key = vec!["/state/deep/key.pem".into()];
        assert_eq!(covered(state), Ok(()));
        let grant = |config: &mut Config| {
            let endpoint = "127.0.0.1:389".parse().unwrap();
            config.plugin[0].grants.tcp.push(endpoint);
        };
        assert_eq!(covered(grant), Err("plugin[0].grants".into()));
        let host = |config: &mut Config, text: &str| {
            let text = format!("name = 'a.example'\n{text}");
            config.host.push(toml::from_str(&text).unwrap());
        };
        for (text, key) in [
            (
                "tls = { certificate = '/elsewhere/c.pem' }",
                "host[0].tls.certificate",
            ),
            ("storage.x.root = '/elsewhere'", "host[0].storage.x.root"),
            (
                "plugin = [{ name = 'x', component = 'builtin:users', grants = { dns = true } }]",
                "host[0].plugin[0].grants",
            ),
        ] {
            let (new, loaded) = reach(|config| host(config, text));
            let beyond = start.covers(&new, &loaded).map_err(|problem| problem.key);
            assert_eq!(beyond, Err(key.into()), "{text}");
        }
        let (new, loaded) = reach(|config| host(config, ""));
        assert_eq!(start.covers(&new, &loaded), Ok(()));
        let listener = |config: &mut Config| {
            let text = "address = '127.0.0.1:21'\npassive-ports = '9000-9100'\n";
            config.listener.push(toml::from_str(text).unwrap());
        };
        assert_eq!(covered(listener), Err("listener[0].passive-ports".into()));
        let redis =
            |config: &mut Config| config.state.url = Some("redis://192.0.2.1:6379".to_owned());
        assert_eq!(covered(redis), Err("state.url".into()));
        let storage = |config: &mut Config| {
            let storage = config::Storage {
                root: "/state/files/more".into(),
                ..config::Storage::default()
            };
            config.storage.insert("more".into(), storage);
        };
        // All storages are written to, and the default one's root is within these walls.
        assert_eq!(covered(storage), Ok(()));
    }
}
