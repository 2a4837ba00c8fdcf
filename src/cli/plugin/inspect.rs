//! `portcullis plugin`.

use std::{fmt, path::PathBuf, time::Duration};

use super::{Failure, Source, files, host_of, output};
use crate::{
    config::{Instances, Plugin, PluginHost, regular},
    plugin::{LoadError, PluginKind, Report, bytes, inspect},
    types::OnFailure,
};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Say what a component decides, what it imports, and what it has to be granted
    Inspect {
        /// The component: a .wasm file
        #[arg(required_unless_present = "plugin")]
        file: Option<PathBuf>,
        /// A plugin of the configuration instead: also what it is granted, and its limits
        #[arg(long, value_name = "NAME", conflicts_with = "file")]
        plugin: Option<String>,
        /// The virtual host whose plugin it is, by its name [default: the top level's]
        #[arg(long, value_name = "NAME", requires = "plugin")]
        host: Option<String>,
        #[command(flatten)]
        source: Source,
    },
}

pub fn run(source: Source, command: Command) -> Result<(), Failure> {
    let Command::Inspect {
        file,
        plugin,
        host,
        source: later,
    } = command;
    if let Some(name) = plugin {
        return configured(&source.then(later), host.as_deref(), &name);
    }
    let file = file.unwrap_or_default();
    let most = PluginHost::default().component_size;
    let bytes = regular::read_at_most(&file, most);
    let bytes = bytes.map_err(|error| files::failed(&file, "read", &error))?;
    let report = inspect(&bytes).map_err(|error| wrong(&file.display(), &error))?;
    output::print(&report.to_string());
    Ok(())
}

fn wrong(component: &dyn fmt::Display, error: &LoadError) -> Failure {
    Failure::Running(format!("{component}: {}", error.text))
}

/// Prints a plugin of the configuration and its component; checks its grants and its digest.
fn configured(source: &Source, host: Option<&str>, name: &str) -> Result<(), Failure> {
    let loaded = source.load()?;
    let plugins = &host_of(&loaded, host)?.plugin;
    let Some(plugin) = plugins.iter().find(|plugin| plugin.name == name) else {
        let names: Vec<&str> = plugins.iter().map(|plugin| plugin.name.as_str()).collect();
        let names = names.join(", ");
        let text = format!("no plugin is named {name:?}; there are {names}");
        return Err(Failure::Configuration(text));
    };
    let component = &plugin.component;
    let report = bytes(component, loaded.config.plugin_host.component_size)
        .and_then(|bytes| inspect(&bytes));
    let report = report.map_err(|error| wrong(component, &error))?;
    output::print(&output::table(&rows(plugin, &report)));
    output::print(&report.to_string());
    match report.ungranted(&plugin.grants) {
        Some(text) => Err(Failure::Configuration(format!("plugin {name}: {text}"))),
        None => pinned(plugin, &report),
    }
}

fn pinned(plugin: &Plugin, report: &Report) -> Result<(), Failure> {
    let fits = |pinned: &String| pinned.trim().eq_ignore_ascii_case(&report.sha256);
    if plugin.sha256.as_ref().is_none_or(fits) {
        return Ok(());
    }
    let name = &plugin.name;
    let text = format!("plugin {name}: the component's digest is not the pinned one, sha256");
    Err(Failure::Configuration(text))
}

/// How long its instances live: as is said, or as its kind has it.
fn lives(configured: Option<Instances>, report: &Report) -> String {
    let default = report.kind.map(PluginKind::default_instances);
    let lives = match configured.or(default) {
        Some(Instances::Pool) => "pool",
        Some(Instances::PerSession) => "per-session",
        Some(Instances::PerCall) | None => "per-call",
    };
    lives.to_owned()
}

fn rows(plugin: &Plugin, report: &Report) -> Vec<[String; 2]> {
    let limits = &plugin.limits;
    let on_failure = match plugin.on_failure {
        OnFailure::Deny => "deny",
        OnFailure::Allow => "allow",
    };
    let duration = |duration: Duration| format!("{duration:?}");
    let mut rows = vec![
        ("plugin", plugin.name.clone()),
        ("component", plugin.component.clone()),
        ("on-failure", on_failure.to_owned()),
    ];
    let grants = plugin.grants.to_string();
    rows.extend(grants.split("; ").map(|part| ("granted", part.to_owned())));
    rows.extend([
        ("limits.memory", size(limits.memory)),
        ("limits.cpu-time", duration(limits.cpu_time)),
        ("limits.wall-time", duration(limits.wall_time)),
        ("limits.log", size(limits.log)),
        ("limits.state", size(limits.state)),
        ("instances", lives(plugin.instances, report)),
        (
            "limits.instances",
            match limits.instances {
                0 => "as many as plugin-host.instances".to_owned(),
                instances => instances.to_string(),
            },
        ),
        ("limits.pool-wait", duration(limits.pool_wait)),
    ]);
    if plugin.instances == Some(Instances::Pool) {
        rows.extend([
            ("limits.pool-calls", limits.pool_calls.to_string()),
            ("limits.pool-age", duration(limits.pool_age)),
        ]);
    }
    let rows = rows.into_iter().map(|(key, value)| [key.to_owned(), value]);
    rows.collect()
}

fn size(bytes: u64) -> String {
    match (bytes % (1 << 20), bytes % (1 << 10)) {
        (0, _) => format!("{}MiB", bytes >> 20),
        (_, 0) => format!("{}KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}
