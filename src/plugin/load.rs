//! From a `[[plugin]]` of the configuration to a gate.

use std::{borrow::Cow, path::Path, sync::Arc, time::Instant};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use wasmtime::{
    Store,
    component::{Component, InstancePre},
};

use super::{
    BUILTIN, LoadError,
    authenticator::ComponentAuthenticator,
    bindings::{
        authenticator::AuthenticatorPre,
        event_listener::EventListenerPre,
        path_guard::PathGuardPre,
        settings_checker::{
            SettingsCheckerPre, exports::portcullis::plugin::settings_check::Problem,
        },
        upload_inspector::UploadInspectorPre,
    },
    call::Call,
    compiled::Compiled,
    component::{Plugin, Shared},
    contract::{self, Kind, Report},
    engine::MEMORIES,
    grants::Granted,
    inspector::ComponentInspector,
    instance_limiter::{InstanceLimiter, InstancePermit, Purpose},
    instances::Pool,
    listener::{ComponentListener, nobody},
    output::one_line,
    path_guard::ComponentPolicy,
    settings::{Refused, Settings, Version},
    trial,
};
use crate::{
    config::{self, Instances, regular},
    gate::{Gates, Named},
    types::OnFailure,
};

/// As many problems with settings are told.
const PROBLEMS: usize = 20;

/// Loads one plugin and puts it into its chain.
pub(super) async fn add(
    shared: &Arc<Shared>,
    configured: &config::Plugin,
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
    if kind == Kind::Authenticator && configured.on_failure == OnFailure::Allow {
        return Err(LoadError::new(
            "on-failure",
            "an authenticator that fails never lets anybody in: only \
            \"deny\" will do"
                .into(),
        ));
    }
    let kept = shared.kept(&configured.name, configured.limits.state);
    let (state, health) = kept.map_err(|text| LoadError::new("limits.state", text))?;
    let at_once = match configured.limits.instances {
        0 => None,
        count => Some(InstanceLimiter::own(count)),
    };
    let plugin = Arc::new(Plugin {
        name: configured.name.as_str().into(),
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
    let linked = linked.map_err(|error| misfit(&error))?;
    let Report {
        listens,
        checks,
        exports,
        ..
    } = &compiled.report;
    let heard = match listens {
        true => Some(EventListenerPre::new(linked.clone()).map_err(|error| misfit(&error))?),
        false => None,
    };
    let checker = match checks {
        true => Some(SettingsCheckerPre::new(linked.clone()).map_err(|error| misfit(&error))?),
        false => None,
    };
    let kind_of = kind;
    let linked = Linked::new(linked, kind).map_err(|error| misfit(&error))?;
    start(&plugin, &linked).await?;
    if let Some(listener) = &heard
        && kind_of != Kind::EventListener
    {
        start(&plugin, &Linked::EventListener(listener.clone())).await?;
    }
    // Those that ship are tried by their tests.
    if !configured.component.starts_with("builtin:") {
        let tried = trial::calls(&plugin, kind_of, exports).await;
        tried.map_err(LoadError::component)?;
    }
    match &checker {
        Some(checker) => {
            check_settings_at_start(&plugin, checker).await?;
            follow_settings(&plugin, checker);
        }
        None => tracing::info!(
            plugin = configured.name,
            "the component cannot tell what is wrong with its settings (it does not export \
            settings-check): that shows when it is asked"
        ),
    }
    if let Some(component) = heard {
        let gate = ComponentListener(Pool::new(plugin.clone(), component, Purpose::Event));
        gates.listeners.push(named(configured, Arc::new(gate)));
    }
    match linked {
        Linked::Authenticator(component) => {
            let gate = ComponentAuthenticator(Pool::new(plugin, component, Purpose::Login));
            gates.authenticators.push(named(configured, Arc::new(gate)));
        }
        Linked::PathGuard(component) => {
            let gate = ComponentPolicy(Pool::new(plugin, component, Purpose::Policy));
            gates.policies.push(named(configured, Arc::new(gate)));
        }
        Linked::UploadInspector(component) => {
            let gate = ComponentInspector(Pool::new(plugin, component, Purpose::Upload));
            gates.inspectors.push(named(configured, Arc::new(gate)));
        }
        Linked::EventListener(_) => {}
    }
    gates.health.push(health);
    let grants = &configured.grants;
    tracing::info!(plugin = configured.name, %kind, %grants, "the plugin is loaded");
    Ok(())
}

fn named<T: ?Sized>(configured: &config::Plugin, gate: Arc<T>) -> Named<T> {
    Named {
        name: configured.name.as_str().into(),
        on_failure: configured.on_failure,
        gate,
    }
}

/// How long instances live: as is said, where that makes sense.
fn instances(kind: Kind, configured: Option<Instances>) -> Result<Instances, LoadError> {
    match (kind, configured) {
        (Kind::PathGuard, None) => Ok(Instances::PerSession),
        (_, None) => Ok(Instances::PerCall),
        (Kind::PathGuard, Some(instances)) => Ok(instances),
        (_, Some(Instances::PerSession)) => {
            let text = format!(
                "\"per-session\" is for path guards, which a session asks often; this is an {kind}: \
                 \"per-call\" or \"pool\""
            );
            Err(LoadError::new("instances", text))
        }
        (_, Some(instances)) => Ok(instances),
    }
}

fn load(shared: &Shared, configured: &config::Plugin, state: &Path) -> Result<Loaded, LoadError> {
    let bytes = bytes(&configured.component)?;
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
    kind: Kind,
    settings: Settings,
    granted: Granted,
}

/// The component of a `[[plugin]]`.
///
/// # Errors
/// When the file cannot be read, or no component of that name ships.
pub fn bytes(component: &str) -> Result<Cow<'static, [u8]>, LoadError> {
    let Some(name) = component.strip_prefix("builtin:") else {
        let read = regular::read(Path::new(component)).map(Cow::Owned);
        return read.map_err(|error| LoadError::component(format!("{component}: {error}")));
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

/// A component whose imports are resolved and whose exports are found.
enum Linked {
    Authenticator(AuthenticatorPre<Call>),
    PathGuard(PathGuardPre<Call>),
    UploadInspector(UploadInspectorPre<Call>),
    EventListener(EventListenerPre<Call>),
}

impl Linked {
    fn new(linked: InstancePre<Call>, kind: Kind) -> wasmtime::Result<Self> {
        Ok(match kind {
            Kind::Authenticator => Self::Authenticator(AuthenticatorPre::new(linked)?),
            Kind::PathGuard => Self::PathGuard(PathGuardPre::new(linked)?),
            Kind::UploadInspector => Self::UploadInspector(UploadInspectorPre::new(linked)?),
            Kind::EventListener => Self::EventListener(EventListenerPre::new(linked)?),
        })
    }

    /// Makes an instance, which compares the types of what the component exports.
    async fn start(&self, store: &mut Store<Call>) -> wasmtime::Result<()> {
        match self {
            Self::Authenticator(component) => {
                component.instantiate_async(store).await?;
            }
            Self::PathGuard(component) => {
                component.instantiate_async(store).await?;
            }
            Self::UploadInspector(component) => {
                component.instantiate_async(store).await?;
            }
            Self::EventListener(component) => {
                component.instantiate_async(store).await?;
            }
        }
        Ok(())
    }
}

/// Starts an instance once, so that what cannot start is known now and not at the first login.
async fn start(plugin: &Arc<Plugin>, linked: &Linked) -> Result<(), LoadError> {
    let failed = |text: String| LoadError::component(format!("it does not start: {text}"));
    let slot = plugin
        .slot(Purpose::Load, None, Instant::now())
        .await
        .map_err(|fault| failed(fault.text))?;
    let mut store = plugin.store(&slot, plugin.settings.current().await, nobody("load"));
    let clock = store.data().clock.clone();
    let call = async { linked.start(&mut store).await.map(Ok) };
    let answer = clock.time(plugin.limits.wall_time, call).await;
    plugin
        .conclude(&store, answer)
        .map_err(|fault| failed(fault.text))
}

/// Has the component look at what its settings files say whenever they change.
fn follow_settings(plugin: &Arc<Plugin>, checker: &SettingsCheckerPre<Call>) {
    let (weak, checker) = (Arc::downgrade(plugin), checker.clone());
    plugin.settings.check_by(Box::new(move |settings| {
        let (plugin, checker) = (weak.upgrade(), checker.clone());
        Box::pin(async move {
            let Some(plugin) = plugin else { return Ok(()) };
            let refused = |again| move |text| Refused { text, again };
            let slot = slot_to_check(&plugin).await.map_err(refused(true))?;
            let checked = check_settings(&plugin, &checker, settings, slot).await;
            checked
                .map_err(|error| format!("{}: {}", error.key, error.text))
                .map_err(refused(false))
        })
    }));
}

async fn check_settings_at_start(
    plugin: &Arc<Plugin>,
    checker: &SettingsCheckerPre<Call>,
) -> Result<(), LoadError> {
    let slot = slot_to_check(plugin).await;
    let slot = slot.map_err(|text| LoadError::new("settings", text))?;
    check_settings(plugin, checker, plugin.settings.current().await, slot).await
}

/// The right to an instance that checks settings. It does not count for `limits.instances`: the call
/// that found a file changed may hold the only one.
async fn slot_to_check(plugin: &Plugin) -> Result<InstancePermit, String> {
    let patience = plugin.limits.pool_wait;
    let slots = &plugin.shared.instances;
    let slot = slots.take(Purpose::Load, None, plugin.memories, patience, None);
    slot.await.map_err(|_| {
        format!("they could not be checked: no instance became free in {patience:?}: see plugin-host.instances")
    })
}

/// Asks the component whether its settings will do.
async fn check_settings(
    plugin: &Arc<Plugin>,
    checker: &SettingsCheckerPre<Call>,
    settings: Arc<Version>,
    slot: InstancePermit,
) -> Result<(), LoadError> {
    let failed = |text: String| {
        LoadError::new(
            "settings",
            format!("the component fails to check them: {text}"),
        )
    };
    let mut store = plugin.store(&slot, settings.clone(), nobody("load"));
    let clock = store.data().clock.clone();
    let call = async {
        let instance = checker.instantiate_async(&mut store).await?;
        let check = instance.portcullis_plugin_settings_check();
        Ok(Ok(check.call_check(&mut store).await?))
    };
    let answer = clock.time(plugin.limits.wall_time, call).await;
    let checked = plugin.conclude(&store, answer);
    let Err(problems) = checked.map_err(|fault| failed(fault.text))? else {
        return Ok(());
    };
    let mut told = problems.into_iter().take(PROBLEMS).map(|problem| {
        let Problem { key, reason } = problem;
        let file = plugin.settings.file(&settings, &key);
        let file = file.map_or_else(String::new, |file| format!(" (in {})", file.display()));
        let key = match one_line(key) {
            key if key.is_empty() => "settings".to_owned(),
            key => format!("settings.{key}"),
        };
        (key, one_line(reason) + &file)
    });
    let Some((key, mut text)) = told.next() else {
        let text = "the component says that they will not do, and not why";
        return Err(LoadError::new("settings", text.into()));
    };
    for (key, reason) in told {
        text += &format!("\n    {key}: {reason}");
    }
    Err(LoadError::new(key, text))
}

/// What is said of a component whose functions have other types than the contract's.
fn misfit(error: &wasmtime::Error) -> LoadError {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    let causes = causes.join(": ");
    LoadError::component(format!(
        "it does not fit the contract {}: {causes}",
        contract::VERSION
    ))
}
