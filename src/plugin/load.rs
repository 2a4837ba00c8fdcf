//! From a `[[plugin]]` of the configuration to a gate.

use std::{borrow::Cow, fs, net::SocketAddr, path::Path, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use wasmtime::{
    Store,
    component::{Component, Linker},
};

use super::{
    BUILTIN, LoadError,
    authenticator::ComponentAuthenticator,
    bindings::{
        authenticator::AuthenticatorPre, path_guard::PathGuardPre,
        upload_inspector::UploadInspectorPre,
    },
    call::Call,
    component::{Plugin, Shared, Term},
    contract::{self, Kind},
    engine::MEMORIES,
    grants::Granted,
    inspector::ComponentInspector,
    path_guard::ComponentPolicy,
    settings::Settings,
};
use crate::{
    config,
    gate::{Gates, Named, OnFailure, SessionFacts, upload::hex},
};

/// Loads one plugin and puts it into its chain.
pub(super) async fn add(
    shared: &Arc<Shared>,
    configured: &config::Plugin,
    state: &Path,
    gates: &mut Gates,
) -> Result<(), LoadError> {
    let (component, kind, settings, granted) = {
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
    let plugin = Arc::new(Plugin {
        name: configured.name.as_str().into(),
        limits: configured.limits.clone(),
        granted,
        settings,
        state: shared.state(&configured.name, configured.limits.state),
        memories: memories(&component)?,
        shared: shared.clone(),
    });
    let mut linker = shared.linker.clone();
    let linked = Granted::link(&configured.grants, &mut linker)
        .and_then(|()| Linked::new(&linker, &component, kind));
    let linked = linked.map_err(|error| misfit(&error))?;
    start(&plugin, &linked).await?;
    let (name, on_failure) = (plugin.name.clone(), configured.on_failure);
    match linked {
        Linked::Authenticator(component) => {
            let gate = Arc::new(ComponentAuthenticator { plugin, component });
            gates.authenticators.push(Named {
                name,
                on_failure,
                gate,
            });
        }
        Linked::PathGuard(component) => {
            let gate = Arc::new(ComponentPolicy { plugin, component });
            gates.policies.push(Named {
                name,
                on_failure,
                gate,
            });
        }
        Linked::UploadInspector(component) => {
            let gate = Arc::new(ComponentInspector { plugin, component });
            gates.inspectors.push(Named {
                name,
                on_failure,
                gate,
            });
        }
    }
    let grants = &configured.grants;
    tracing::info!(plugin = configured.name, %kind, %grants, "the plugin is loaded");
    Ok(())
}

fn load(
    shared: &Shared,
    configured: &config::Plugin,
    state: &Path,
) -> Result<(Component, Kind, Settings, Granted), LoadError> {
    let bytes = bytes(&configured.component)?;
    // Before anything looks at the bytes.
    if let Some(pinned) = &configured.sha256 {
        let sha256 = hex(digest(&SHA256, &bytes).as_ref());
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
    contract::is_component(&bytes).map_err(LoadError::component)?;
    let component = shared.cache.component(&shared.engine, &bytes);
    let component = component.map_err(|error| LoadError::component(contract::invalid(&error)))?;
    let report = contract::examine(&component, &bytes);
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
    Ok((component, kind, settings, granted))
}

/// The component of a `[[plugin]]`.
///
/// # Errors
/// When the file cannot be read, or no component of that name ships.
pub fn bytes(component: &str) -> Result<Cow<'static, [u8]>, LoadError> {
    let Some(name) = component.strip_prefix("builtin:") else {
        let read = fs::read(component).map(Cow::Owned);
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
}

impl Linked {
    fn new(linker: &Linker<Call>, component: &Component, kind: Kind) -> wasmtime::Result<Self> {
        let linked = linker.instantiate_pre(component)?;
        Ok(match kind {
            Kind::Authenticator => Self::Authenticator(AuthenticatorPre::new(linked)?),
            Kind::PathGuard => Self::PathGuard(PathGuardPre::new(linked)?),
            Kind::UploadInspector => Self::UploadInspector(UploadInspectorPre::new(linked)?),
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
        }
        Ok(())
    }
}

/// Starts an instance once, so that what cannot start is known now and not at the first login.
async fn start(plugin: &Arc<Plugin>, linked: &Linked) -> Result<(), LoadError> {
    let failed = |text: String| LoadError::component(format!("it does not start: {text}"));
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let facts = SessionFacts {
        id: "load".into(),
        client: nowhere,
        server: nowhere,
        host: None,
        tls: None,
        certificate: None,
        user: None,
        account: None,
    };
    let _slot = plugin
        .slot(Term::Short)
        .await
        .map_err(|fault| failed(fault.text))?;
    let mut store = plugin.store(plugin.settings.current().await, Arc::new(facts));
    let clock = store.data().clock.clone();
    let call = async { linked.start(&mut store).await.map(Ok) };
    let answer = clock.time(plugin.limits.wall_time, call).await;
    plugin
        .conclude(&store, answer)
        .map_err(|fault| failed(fault.text))
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
