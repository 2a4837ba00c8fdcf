//! From a `[[plugin]]` of the configuration to a gate.

use std::{borrow::Cow, io, path::Path, sync::Arc, time::Instant};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use wasmtime::component::{Component, InstancePre};

use super::{
    BUILTIN, LoadError, authenticator,
    call::Call,
    compiled::Compiled,
    component::{HostShared, Plugin},
    contract,
    engine::MEMORIES,
    grants::Granted,
    inspector,
    instance_limiter::InstanceLimiter,
    instances::{Bound, Pool, World},
    kind::PluginKind,
    listener, path_guard,
    settings::Settings,
    settings_check::{self, SettingsChecker},
    stock::Purpose,
    trial,
};
use crate::{
    config::{self, Instances, regular},
    gate::{Gates, Named, SessionInfo},
    types::{BoxFuture, OnFailure},
};

type Link = fn(&Arc<Plugin>, InstancePre<Call>) -> wasmtime::Result<Box<dyn Linked>>;

/// A kind of plugin that a host takes, and how a component becomes one of it.
pub(super) struct Hosted {
    pub(super) kind: &'static PluginKind,
    link: Link,
}

/// The kinds that the server has gates for.
pub(super) static HOSTED: [Hosted; 4] = [
    hosted::<authenticator::Authenticator>(),
    hosted::<path_guard::PathGuard>(),
    hosted::<inspector::UploadInspector>(),
    hosted::<listener::EventListener>(),
];

/// A kind by what implements it.
pub(super) const fn hosted<W: World>() -> Hosted {
    Hosted {
        kind: W::KIND,
        link: |plugin, component| {
            let component = W::link(component)?;
            Ok(Box::new(Pool::<W>::new(plugin.clone(), component)))
        },
    }
}

/// A component of one kind: its imports are resolved, and its exports are found.
trait Linked: Send + Sync {
    /// Makes an instance once.
    fn start(&self) -> BoxFuture<'_, Result<(), LoadError>>;

    /// Makes a call that has no effect.
    fn trial(&self) -> BoxFuture<'_, Result<(), LoadError>>;

    /// Puts it into its chain.
    fn join(self: Box<Self>, configured: &config::Plugin, gates: &mut Gates);
}

impl<W: World> Linked for Pool<W> {
    fn start(&self) -> BoxFuture<'_, Result<(), LoadError>> {
        Box::pin(async {
            let failed = |text: String| LoadError::component(format!("it does not start: {text}"));
            let permit = self.plugin().slot(Purpose::Load, None, Instant::now());
            let permit = permit.await.map_err(|fault| failed(fault.text))?;
            let started = self.start(permit, SessionInfo::nobody("load")).await;
            started.map_err(|fault| failed(fault.text))
        })
    }

    fn trial(&self) -> BoxFuture<'_, Result<(), LoadError>> {
        Box::pin(async {
            let tried = trial::call::<W>(self.plugin()).await;
            tried.map_err(LoadError::component)
        })
    }

    fn join(self: Box<Self>, configured: &config::Plugin, gates: &mut Gates) {
        W::chain(gates).push(Named {
            name: configured.name.as_str().into(),
            on_failure: configured.on_failure,
            gate: W::gate(*self),
        });
    }
}

/// Loads one plugin and puts it into its chain; `kept` is the name under which its state outlives a
/// reload.
pub(super) async fn add(
    shared: &Arc<HostShared>,
    hosted: &[Hosted],
    configured: &config::Plugin,
    kept: &str,
    state: &Path,
    gates: &mut Gates,
) -> Result<(), LoadError> {
    let Loaded {
        compiled,
        kind,
        settings,
        granted,
    } = {
        let (shared, configured, state) = (shared.clone(), configured.clone(), state.to_owned());
        // Reading, compiling and parsing block.
        let loaded = tokio::task::spawn_blocking(move || load(&shared, &configured, &state));
        loaded
            .await
            .map_err(|error| LoadError::component(error.to_string()))??
    };
    if configured.on_failure == OnFailure::Allow && !kind.may_allow {
        return Err(LoadError::new(
            "on-failure",
            format!("an {kind} that fails never lets anybody in: only \"deny\" will do"),
        ));
    }
    let retained = shared.kept(kept, configured.limits.state);
    let (state, health) = retained.map_err(|text| LoadError::new("limits.state", text))?;
    let at_once = match configured.limits.instances {
        0 => None,
        count => Some(InstanceLimiter::own(count)),
    };
    let plugin = Arc::new(Plugin {
        name: configured.name.as_str().into(),
        kept: kept.into(),
        limits: configured.limits.clone(),
        granted,
        settings,
        state,
        health: health.clone(),
        instances: instances(kind, configured.instances)?,
        at_once,
        memories: memories(&compiled.component)?,
        compiled: compiled.clone(),
        told_directories: std::sync::atomic::AtomicBool::new(false),
        shared: shared.clone(),
    });
    let mut linker = shared.linker.clone();
    let linked = Granted::link(&configured.grants, &mut linker)
        .and_then(|()| linker.instantiate_pre(&compiled.component));
    let component = linked.map_err(|error| misfit(&error))?;
    let report = &compiled.report;
    let mut linked = Vec::new();
    for kind in [kind].iter().chain(&report.besides) {
        let hosted = hosted.iter().find(|hosted| hosted.kind == *kind);
        let hosted =
            hosted.ok_or_else(|| LoadError::component(format!("no gate is for an {kind}")))?;
        let component = (hosted.link)(&plugin, component.clone());
        linked.push(component.map_err(|error| misfit(&error))?);
    }
    let checker = report.checks.then(|| SettingsChecker::link(component));
    let checker = checker.transpose().map_err(|error| misfit(&error))?;
    for component in &linked {
        component.start().await?;
    }
    // Those that ship are tried by their tests.
    if let Some(component) = linked.first()
        && !configured.component.starts_with("builtin:")
    {
        component.trial().await?;
    }
    match &checker {
        Some(checker) => {
            settings_check::at_start(&plugin, checker).await?;
            settings_check::follow(&plugin, checker);
        }
        None => tracing::info!(
            plugin = configured.name,
            "the component cannot tell what is wrong with its settings (it does not export \
            settings-check): that shows when it is asked"
        ),
    }
    for component in linked {
        component.join(configured, gates);
    }
    gates.health.push(health);
    let grants = &configured.grants;
    tracing::info!(plugin = configured.name, %kind, %grants, "the plugin is loaded");
    Ok(())
}

/// How long instances live: as is said, where that makes sense.
fn instances(kind: &PluginKind, configured: Option<Instances>) -> Result<Instances, LoadError> {
    match configured {
        Some(Instances::PerSession) if !kind.per_session => {
            let text = format!(
                "\"per-session\" is for path guards, which a session asks often; this is an {kind}: \
                 \"per-call\" or \"pool\""
            );
            Err(LoadError::new("instances", text))
        }
        Some(instances) => Ok(instances),
        None => Ok(kind.default_instances()),
    }
}

fn load(
    shared: &HostShared,
    configured: &config::Plugin,
    state: &Path,
) -> Result<Loaded, LoadError> {
    let bytes = bytes(&configured.component, shared.component_size)?;
    // Before anything looks at the bytes.
    if let Some(pinned) = &configured.sha256 {
        let sha256 = HEXLOWER.encode(digest(&SHA256, &bytes).as_ref());
        if !pinned.trim().eq_ignore_ascii_case(&sha256) {
            let text = format!(
                "{} has the digest {sha256}, not the pinned one",
                configured.component
            );
            return Err(LoadError::new("sha256", text));
        }
    }
    let slot = shared.allocation.slot();
    if configured.limits.memory > slot {
        tracing::warn!(
            plugin = configured.name,
            limit = slot,
            "limits.memory is more than an instance can have here: {}",
            shared.allocation
        );
    }
    let compiled = shared.library.component(&bytes);
    let compiled = compiled.map_err(LoadError::component)?;
    let report = &compiled.report;
    if let Some(text) = report.ungranted(&configured.grants) {
        return Err(LoadError::new("grants", text));
    }
    let kind = match (report.kind, report.problems.is_empty()) {
        (Some(kind), true) => kind,
        _ => return Err(LoadError::component(report.problems.join("; "))),
    };
    let settings = Settings::load(configured.name.as_str().into(), &configured.settings, state);
    let settings = settings.map_err(|text| LoadError::new("settings", text))?;
    let granted = Granted::new(&configured.grants)?;
    Ok(Loaded {
        compiled,
        kind,
        settings,
        granted,
    })
}

/// A component with all that is read for it.
struct Loaded {
    compiled: Arc<Compiled>,
    kind: &'static PluginKind,
    settings: Settings,
    granted: Granted,
}

/// The component of a `[[plugin]]`, where it has at most `most` bytes.
///
/// # Errors
/// When the file cannot be read, is too large, or no component of that name ships.
pub fn bytes(component: &str, most: u64) -> Result<Cow<'static, [u8]>, LoadError> {
    let Some(name) = component.strip_prefix("builtin:") else {
        let read = regular::read_at_most(Path::new(component), most).map(Cow::Owned);
        return read.map_err(|error| {
            let key = match error.kind() {
                io::ErrorKind::FileTooLarge => ": see plugin-host.component-size",
                _ => "",
            };
            LoadError::component(format!("{component}: {error}{key}"))
        });
    };
    let builtin = BUILTIN.iter().find(|(builtin, _)| *builtin == name);
    builtin
        .map(|(_, bytes)| Cow::Borrowed(*bytes))
        .ok_or_else(|| {
            let names: Vec<String> = BUILTIN
                .iter()
                .map(|(name, _)| format!("builtin:{name}"))
                .collect();
            let names = names.join(", ");
            LoadError::component(format!("there is no builtin:{name}; there are {names}"))
        })
}

/// The linear memories of one instance, which the pool has to have.
fn memories(component: &Component) -> Result<u32, LoadError> {
    let memories = component
        .resources_required()
        .map_or(1, |resources| resources.num_memories);
    if memories > MEMORIES {
        let text = format!("an instance of it has {memories} memories; the most is {MEMORIES}");
        return Err(LoadError::component(text));
    }
    Ok(memories.max(1))
}

/// The error of a component whose functions have other types than the contract's.
fn misfit(error: &wasmtime::Error) -> LoadError {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    let causes = causes.join(": ");
    LoadError::component(format!(
        "it does not fit the contract {}: {causes}",
        contract::VERSION
    ))
}
