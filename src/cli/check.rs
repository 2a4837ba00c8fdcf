//! `portcullis check`.

use std::{fs, os::unix::fs::MetadataExt, path::Path, sync::Arc};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio::runtime;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Failure, Source, files, first_start, output};
use crate::{
    config::{Host, Loaded, Problem},
    confine::{Loader, privileges},
    plugin::{
        Tools,
        compiler::{Compiler, Processes},
        trusted_cache,
    },
    server::{self, PreparedHost, Tried},
    service::Manager,
    startup::Startup,
    tls::{self_signed, validity},
    types::access,
};

/// Does what the start does, and undoes it; a running server goes on undisturbed.
pub fn run(source: &Source, keep_compiled: bool) -> Result<(), Failure> {
    let mut loaded = source.load()?;
    privileges::become_user(&mut loaded)
        .map_err(|problem| Failure::Configuration(problem.to_string()))?;
    let unreadable = privileges::unreadable(&loaded);
    loaded.warnings.extend(unreadable);
    let startup = Startup::trial(keep_compiled)
        .map_err(|error| format!("no temporary directory: {error}"))?;
    let startup = Arc::new(startup);
    let tried = try_start(&mut loaded, &startup);
    let tried = tried.map_err(|problem| Failure::Configuration(problem.to_string()))?;
    output::print(&output::table(&rows(&loaded, &startup, &tried)));
    match other_user(&loaded, &startup) {
        Some(warning) => loaded.warnings.push(warning),
        None => loaded.warnings.extend(no_cache(&loaded)),
    }
    loaded
        .warnings
        .iter()
        .for_each(|warning| output::warning(&warning.to_string()));
    output::print(&format!("{}\n", output::bold("configuration is fine")));
    Ok(())
}

fn try_start(loaded: &mut Loaded, startup: &Arc<Startup>) -> Result<Tried, Problem> {
    first_start::prepare(loaded, startup)?;
    let preopened = server::preopen(loaded, startup, Manager::default())?;
    let tools = Tools {
        compiler: Compiler::Processes(Processes::new(&loaded.config.plugin_host)),
        loader: Loader::here(),
    };
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| loaded.problem("server.threads", error.to_string()))?;
    let tried = runtime.block_on(server::try_start(loaded, preopened, tools, startup));
    // A thread may wait for a file system that hangs.
    runtime.shutdown_background();
    tried
}

fn rows(loaded: &Loaded, startup: &Startup, tried: &Tried) -> Vec<[String; 2]> {
    let mut rows = Vec::new();
    let mut row = |what: &str, value: String| rows.push([what.to_owned(), value]);
    let file = loaded
        .file
        .as_deref()
        .map_or("the defaults".to_owned(), files::short);
    row("configuration", file);
    if let Some(running) = startup.running() {
        row(
            "running server",
            format!("process {}, of this configuration", running.process),
        );
    }
    row("state", files::short(&loaded.config.server.state));
    if let Ok(Some(redis)) = loaded.config.state.redis() {
        row("shared state", format!("Redis at {redis}"));
    }
    let had = |had: bool| match had {
        true => " (the running server has it)",
        false => "",
    };
    for (listening, by_running) in &tried.listening {
        let (address, kind) = (listening.address, listening.kind);
        row(
            "listener",
            format!("{address}, {kind} TLS{}", had(*by_running)),
        );
    }
    for text in certificates(loaded, startup) {
        row("certificate", text);
    }
    for (name, storage) in &tried.storages {
        let root = files::short(storage.root());
        row(
            "storage",
            format!("{name}: {root}{}", had(storage.in_use())),
        );
    }
    for host in tried.hosts.iter().map(|host| &host.config) {
        rows.extend(named(host).map(|text| ["host".to_owned(), text]));
    }
    let mut row = |what: &str, value: String| rows.push([what.to_owned(), value]);
    let hosts = tried.hosts.iter();
    // The others have those of the first.
    let hosts = hosts.filter(|host| {
        let keys = &host.config.keys;
        keys.table().is_none() || keys.has_own("plugin")
    });
    let plugins = hosts.flat_map(|host| host.config.plugin.iter().map(move |one| (host, one)));
    for (PreparedHost { config, gates, .. }, plugin) in plugins {
        let granted = match plugin.grants.is_empty() {
            true => String::new(),
            false => format!(", granted {}", plugin.grants),
        };
        let kinds = gates.decides(&plugin.name).join(" and ");
        let (name, component) = (config.id.qualify(&plugin.name), &plugin.component);
        row("plugin", format!("{name}: {kinds}, {component}{granted}"));
    }
    rows
}

/// A host's names, and what it has of its own; none of the default host.
fn named(host: &Host) -> Option<String> {
    host.keys.table()?;
    let own = [
        ("tls.certificate", "certificate"),
        ("storage", "storages"),
        ("plugin", "plugins"),
    ];
    let own = own.into_iter().filter(|(key, _)| host.keys.has_own(key));
    let own: Vec<_> = own.map(|(_, what)| what).collect();
    let own = match own.is_empty() {
        true => String::new(),
        false => format!("; of its own: {}", own.join(", ")),
    };
    Some(host.names.join(", also ") + &own)
}

/// Their owners and lengths.
fn certificates(loaded: &Loaded, startup: &Startup) -> Vec<String> {
    let tls = &loaded.config.tls;
    let own = loaded.config.server.state.join(self_signed::DIRECTORY);
    let first = tls.certificate.iter().map(|certificate| {
        if startup
            .aside()
            .is_some_and(|aside| certificate.starts_with(aside))
        {
            "self-signed, made at the first start".to_owned()
        } else if certificate.starts_with(&own) {
            describe(certificate) + ", self-signed"
        } else {
            describe(certificate)
        }
    });
    let others = tls.host.iter().flat_map(|host| &host.certificate);
    let others = others.map(|certificate| describe(certificate));
    let of_hosts = loaded.config.host.iter().flat_map(|host| {
        let own = host.tls.certificate.iter().flatten();
        own.map(|certificate| format!("{}: {}", host.name, describe(certificate)))
    });
    first.chain(others).chain(of_hosts).collect()
}

/// A warning where the server will not keep compiled plugins.
fn no_cache(loaded: &Loaded) -> Option<Problem> {
    let cache = loaded.config.server.compiled();
    if !cache.exists() {
        return None;
    }
    let error = trusted_cache(&cache).err()?;
    let text = format!(
        "{}: compiled plugins are not kept, and every start compiles them anew: {error}",
        cache.display()
    );
    Some(loaded.problem("server.state", text))
}

/// A warning where another user than the server's checks, who may do other things.
fn other_user(loaded: &Loaded, startup: &Startup) -> Option<Problem> {
    let own = rustix::process::geteuid().as_raw();
    let state = &loaded.config.server.state;
    let server = startup.running().and_then(|running| running.user);
    let owner = server.or_else(|| Some(fs::metadata(state).ok()?.uid()))?;
    (owner != own).then(|| {
        let text = format!(
            "{} belongs to {}, and this check was made as {}, who may do other things: check as the \
             server's user",
            state.display(),
            access::user(owner),
            access::user(own)
        );
        loaded.problem("server.state", text)
    })
}

fn describe(file: &Path) -> String {
    let short = files::short(file);
    let Ok(der) = CertificateDer::from_pem_file(file) else {
        return short;
    };
    let Ok((_, certificate)) = X509Certificate::from_der(&der) else {
        return short;
    };
    let period = certificate.validity();
    let day = validity::day(period.not_after.timestamp());
    let until = if period.is_valid() {
        "valid until"
    } else {
        "NOT VALID NOW, until"
    };
    format!("{}, {until} {day} ({short})", certificate.subject())
}
