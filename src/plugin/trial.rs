//! A call that has no effect, to find components that fail at every call: a function that the source
//! lacks (JavaScript), a runtime that was never started (Go).
//!
//! Whatever the guest wants of the server ends the call, and well: it is alive. Nothing is logged,
//! reached, or kept. Only one that crashes before it has asked for anything is refused.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use wasmtime::{
    Store, Trap,
    component::{Component, Linker, Resource, ResourceAny, Val},
};

use super::{
    call::Call, component::Plugin, contract::Kind, fault, instance_limiter::Purpose,
    listener::nobody,
};

/// A guest that takes longer is alive.
const PATIENCE: Duration = Duration::from_secs(2);

/// Calls what the component exports; `exports` are their names.
///
/// # Errors
/// Why no call of it can work.
pub(super) async fn calls(
    plugin: &Arc<Plugin>,
    kind: Kind,
    exports: &[String],
) -> Result<(), String> {
    let slot = plugin.slot(Purpose::Load, None, Instant::now()).await;
    let slot = slot.map_err(|fault| fault.text)?;
    let settings = plugin.settings.current().await;
    let mut store = plugin.store(&slot, settings, nobody("load"));
    let call = call(&mut store, &plugin.compiled.component, kind, exports);
    let Ok(Err(error)) = tokio::time::timeout(PATIENCE.min(plugin.limits.wall_time), call).await
    else {
        return Ok(());
    };
    let crashed = error.downcast_ref::<Trap>().is_some();
    if !crashed || store.data().limiter.denied().is_some() {
        return Ok(());
    }
    let (_, text) = fault::told(&error, store.data());
    Err(format!(
        "it crashes at each call, before it has done anything: {text}; does its source have the \
         function of {kind}s, and was it built as a library?"
    ))
}

async fn call(
    store: &mut Store<Call>,
    component: &Component,
    kind: Kind,
    exports: &[String],
) -> wasmtime::Result<()> {
    let (interface, function) = match kind {
        Kind::Authenticator => ("authentication@", "authenticate"),
        Kind::PathGuard => ("path-policy@", "decide"),
        Kind::UploadInspector => ("upload-inspection@", "inspect"),
        Kind::EventListener => ("events@", "notify"),
    };
    let mut linker = Linker::new(component.engine());
    // Clocks, chance and standard streams; all else says that it is not there.
    wasmtime_wasi::p2::add_to_linker_proxy_interfaces_async(&mut linker)?;
    linker.define_unknown_imports_as_traps(component)?;
    let instance = linker.instantiate_async(&mut *store, component).await?;
    let export = exports.iter().find(|export| export.contains(interface));
    let Some(function) = export.and_then(|export| {
        let interface = instance.get_export_index(&mut *store, None, export)?;
        let function = instance.get_export_index(&mut *store, Some(&interface), function)?;
        instance.get_func(&mut *store, function)
    }) else {
        return Ok(());
    };
    let mut handle = || {
        let handle = Resource::<()>::new_own(1);
        ResourceAny::try_from_resource(handle, &mut *store).map(Val::Resource)
    };
    let text = |text: &str| Val::String(text.into());
    let record = |fields: Vec<(&str, Val)>| {
        let fields = fields.into_iter();
        Val::Record(fields.map(|(name, value)| (name.into(), value)).collect())
    };
    let parameters = match kind {
        Kind::Authenticator => vec![
            handle()?,
            record(vec![
                ("user", text("nobody")),
                ("password", Val::Option(Some(Box::new(text("nothing"))))),
                ("one-time-code", Val::Option(None)),
            ]),
        ],
        Kind::PathGuard => vec![
            handle()?,
            Val::List(vec![record(vec![
                ("operation", Val::Variant("see".into(), None)),
                ("path", text("/nothing")),
            ])]),
        ],
        Kind::UploadInspector => vec![handle()?, handle()?],
        Kind::EventListener => vec![Val::List(Vec::new())],
    };
    let mut answer = [Val::Bool(false)];
    function.call_async(store, &parameters, &mut answer).await
}
