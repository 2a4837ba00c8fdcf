//! `portcullis check`.

use std::{collections::BTreeSet, fs, path::Path};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio::runtime;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Failure, Source, files, first_start, output, users_file};
use crate::{
    config::{Loaded, Storage},
    gate::Gates,
    plugin::{Host, LoadError},
    tls::{self, Tls, self_signed},
};

/// Reads all that the configuration names, and starts nothing.
pub fn run(source: &Source) -> Result<(), Failure> {
    let loaded = source.load()?;
    let mut rows = Vec::new();
    let mut row = |what: &str, value: String| rows.push([what.to_owned(), value]);

    let file = loaded
        .file
        .as_deref()
        .map_or("the defaults".to_owned(), files::short);
    row("configuration", file);
    row("state", files::short(&loaded.config.server.state));
    let server = &loaded.config.server;
    server
        .listen
        .iter()
        .for_each(|address| row("listener", format!("{address}, explicit TLS")));
    server
        .listen_implicit
        .iter()
        .for_each(|address| row("listener", format!("{address}, implicit TLS")));
    for text in certificates(&loaded)? {
        row("certificate", text);
    }
    for (name, storage) in &loaded.config.storage {
        row("storage", self::storage(&loaded, name, storage)?);
    }
    for text in plugins(&loaded)? {
        row("plugin", text);
    }
    output::print(&output::table(&rows));
    loaded
        .warnings
        .iter()
        .for_each(|warning| output::warning(&warning.to_string()));
    output::print(&format!("{}\n", output::bold("configuration is fine")));
    Ok(())
}

fn in_configuration(loaded: &Loaded, key: &str, text: &str) -> Failure {
    Failure::Configuration(loaded.problem(key, text).to_string())
}

fn in_plugin(loaded: &Loaded, error: &LoadError) -> Failure {
    Failure::Configuration(error.problem(loaded).to_string())
}

/// Loads them as the server does; then says whose they are and how long.
fn certificates(loaded: &Loaded) -> Result<Vec<String>, Failure> {
    let tls = &loaded.config.tls;
    let wrong = |error: tls::Error| in_configuration(loaded, &error.key, &error.text);
    let own = loaded.config.server.state.join(self_signed::DIRECTORY);
    let mut shown = Vec::new();
    match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => {
            Tls::new(tls, certificate, key).map_err(wrong)?;
            shown.push(describe(certificate));
        }
        _ if own.exists() => {
            let (certificate, key) =
                self_signed::ensure(&own).map_err(|error| error.to_string())?;
            Tls::new(tls, &certificate, &key).map_err(wrong)?;
            shown.push(describe(&certificate) + ", self-signed");
        }
        _ => {
            // The rest of the section is to be tried with one that is thrown away.
            let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
            let (certificate, key) =
                self_signed::ensure(directory.path()).map_err(|error| error.to_string())?;
            Tls::new(tls, &certificate, &key).map_err(wrong)?;
            shown.push("self-signed, made at the first start".to_owned());
        }
    }
    shown.extend(tls.host.iter().map(|host| describe(&host.certificate)));
    Ok(shown)
}

fn describe(file: &Path) -> String {
    let short = files::short(file);
    let Ok(der) = CertificateDer::from_pem_file(file) else {
        return short;
    };
    let Ok((_, certificate)) = X509Certificate::from_der(&der) else {
        return short;
    };
    let validity = certificate.validity();
    let day = jiff::Timestamp::from_second(validity.not_after.timestamp())
        .map(|at| at.strftime("%Y-%m-%d").to_string())
        .unwrap_or_default();
    let until = if validity.is_valid() {
        "valid until"
    } else {
        "NOT VALID NOW, until"
    };
    format!("{}, {until} {day} ({short})", certificate.subject())
}

fn storage(loaded: &Loaded, name: &str, storage: &Storage) -> Result<String, Failure> {
    let shown = format!("{name}: {}", files::short(&storage.root));
    let key = format!("storage.{name}.root");
    match fs::metadata(&storage.root) {
        Ok(found) if found.is_dir() => Ok(shown),
        Ok(_) => {
            let text = format!("{} is not a directory", storage.root.display());
            Err(in_configuration(loaded, &key, &text))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(shown + " (made at the first start)")
        }
        Err(error) => Err(in_configuration(
            loaded,
            &key,
            &files::failed(&storage.root, "read", &error),
        )),
    }
}

/// Loads them, and says what each one decides, in the configuration's order.
fn plugins(loaded: &Loaded) -> Result<Vec<String>, Failure> {
    let mut config = loaded.config.clone();
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    // Nothing is left behind where the server has never been started.
    let aside = tempfile::tempdir().map_err(|error| error.to_string())?;
    let cache = match config.server.state.exists() {
        true => config.server.compiled(),
        false => aside.path().to_owned(),
    };
    if first_start::missing_users(&config).is_some() {
        let empty = aside.path().join("users.toml");
        files::replace(&empty, b"")?;
        users_file::set_path(&mut config, &empty);
    }
    let host =
        Host::new(&config.plugin_host, &cache, None).map_err(|error| in_plugin(loaded, &error))?;
    let gates = runtime.block_on(host.gates(&config.plugin, &config.server.state));
    let kinds = Kinds::new(&gates.map_err(|error| in_plugin(loaded, &error))?);
    let describe = |plugin: &crate::config::Plugin| {
        let granted = match plugin.grants.is_empty() {
            true => String::new(),
            false => format!(", granted {}", plugin.grants),
        };
        let (name, component) = (&plugin.name, &plugin.component);
        format!("{name}: {}, {component}{granted}", kinds.of(name))
    };
    Ok(config.plugin.iter().map(describe).collect())
}

/// What the plugins of each name decide.
struct Kinds([(&'static str, BTreeSet<String>); 4]);

impl Kinds {
    fn new(gates: &Gates) -> Self {
        Self([
            (
                "authenticator",
                gates
                    .authenticators
                    .iter()
                    .map(|gate| gate.name.to_string())
                    .collect(),
            ),
            (
                "path guard",
                gates
                    .policies
                    .iter()
                    .map(|gate| gate.name.to_string())
                    .collect(),
            ),
            (
                "upload inspector",
                gates
                    .inspectors
                    .iter()
                    .map(|gate| gate.name.to_string())
                    .collect(),
            ),
            (
                "event listener",
                gates
                    .listeners
                    .iter()
                    .map(|gate| gate.name.to_string())
                    .collect(),
            ),
        ])
    }

    fn of(&self, name: &str) -> String {
        let kinds = self.0.iter().filter(|(_, names)| names.contains(name));
        kinds
            .map(|(kind, _)| *kind)
            .collect::<Vec<_>>()
            .join(" and ")
    }
}
