//! Components that say whether their settings will do, besides what they decide.

use std::sync::Arc;

use wasmtime::Store;

use super::{
    LoadError,
    bindings::imports::portcullis::plugin::types::Failure,
    call::Call,
    component::Plugin,
    instance_limiter::InstancePermit,
    instances::{Bound, Export, Lease, bind},
    output::one_line,
    settings::{Refused, Version},
    stock::Purpose,
};
use crate::gate::SessionInfo;

bind!(
    "portcullis:plugin/settings-checker",
    SettingsChecker,
    SettingsCheckerPre
);
use bindings::exports::portcullis::plugin::settings_check::Problem;

/// The most problems with settings that are named.
const PROBLEMS: usize = 20;

/// A component that checks settings.
pub(super) type Checker = <SettingsChecker as Bound>::Pre;

impl Export for SettingsChecker {
    type Question = ();
    type Answer = Result<(), Vec<Problem>>;

    async fn ask(
        &self,
        store: &mut Store<Call>,
        (): (),
    ) -> wasmtime::Result<Result<Self::Answer, Failure>> {
        let check = self.portcullis_plugin_settings_check();
        Ok(Ok(check.call_check(store).await?))
    }
}

/// Has the component look at what its settings files say whenever they change.
pub(super) fn follow(plugin: &Arc<Plugin>, checker: &Checker) {
    let (weak, checker) = (Arc::downgrade(plugin), checker.clone());
    plugin.settings.check_by(Box::new(move |settings| {
        let (plugin, checker) = (weak.upgrade(), checker.clone());
        Box::pin(async move {
            let Some(plugin) = plugin else { return Ok(()) };
            let refused = |again| move |text| Refused { text, again };
            let permit = permit(&plugin).await.map_err(refused(true))?;
            let checked = check(&plugin, &checker, settings, permit).await;
            checked
                .map_err(|error| format!("{}: {}", error.key, error.text))
                .map_err(refused(false))
        })
    }));
}

/// Has the component look at the settings that it is loaded with.
pub(super) async fn at_start(plugin: &Arc<Plugin>, checker: &Checker) -> Result<(), LoadError> {
    let permit = permit(plugin).await;
    let permit = permit.map_err(|text| LoadError::new("settings", text))?;
    check(plugin, checker, plugin.settings.current().await, permit).await
}

/// The right to an instance that checks settings. It does not count for `limits.instances`: the call
/// that found a file changed may hold the only one.
async fn permit(plugin: &Plugin) -> Result<InstancePermit, String> {
    let patience = plugin.limits.pool_wait;
    let instances = &plugin.shared.instances;
    let permit = instances.take(Purpose::Load, None, plugin.memories, patience, None);
    permit.await.map_err(|_| {
        format!("they could not be checked: no instance became free in {patience:?}: see plugin-host.instances")
    })
}

/// Asks the component whether its settings will do.
async fn check(
    plugin: &Arc<Plugin>,
    checker: &Checker,
    settings: Arc<Version>,
    permit: InstancePermit,
) -> Result<(), LoadError> {
    let failed = |text: String| {
        LoadError::new(
            "settings",
            format!("the component fails to check them: {text}"),
        )
    };
    let session = SessionInfo::nobody("load");
    let mut lease = Lease::<SettingsChecker>::new(plugin, permit, settings.clone(), session);
    let checked = lease.ask(checker, ()).await;
    let Err(problems) = checked.map_err(|fault| failed(fault.text))? else {
        return Ok(());
    };
    let mut lines = problems.into_iter().take(PROBLEMS).map(|problem| {
        let Problem { key, reason } = problem;
        let file = plugin.settings.file(&settings, &key);
        let file = file.map_or_else(String::new, |file| format!(" (in {})", file.display()));
        let key = match one_line(key) {
            key if key.is_empty() => "settings".to_owned(),
            key => format!("settings.{key}"),
        };
        (key, one_line(reason) + &file)
    });
    let Some((key, mut text)) = lines.next() else {
        let text = "the component says that they will not do, and not why";
        return Err(LoadError::new("settings", text.into()));
    };
    for (key, reason) in lines {
        text += &format!("\n    {key}: {reason}");
    }
    Err(LoadError::new(key, text))
}
