//! A call that has no effect, to find components that fail at every call: a function that the source
//! lacks (JavaScript), a runtime that was never started (Go).
//!
//! Any call of the server by the guest ends the trial, and well: it is alive. Nothing is logged,
//! reached, or kept. Only one that crashes before it has asked for anything is refused.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use wasmtime::{
    Store, Trap,
    component::{Linker, Resource, ResourceAny, Val},
};

use super::{
    call::Call, component::Plugin, contract::exported, fault, instances::World, stock::Purpose,
};
use crate::gate::SessionInfo;

/// A guest that takes longer is alive.
const PATIENCE: Duration = Duration::from_secs(2);

/// Calls what the component exports.
///
/// # Errors
/// Why no call of it can work.
pub(super) async fn call<W: World>(plugin: &Arc<Plugin>) -> Result<(), String> {
    let slot = plugin.slot(Purpose::Load, None, Instant::now()).await;
    let slot = slot.map_err(|fault| fault.text)?;
    let settings = plugin.settings.current().await;
    let mut store = plugin.store(&slot, settings, SessionInfo::nobody("load"));
    let call = enter::<W>(&mut store, plugin);
    let Ok(Err(error)) = tokio::time::timeout(PATIENCE.min(plugin.limits.wall_time), call).await
    else {
        return Ok(());
    };
    let crashed = error.downcast_ref::<Trap>().is_some();
    if !crashed || store.data().limiter.denied().is_some() {
        return Ok(());
    }
    let (_, text) = fault::describe_error(&error, store.data());
    Err(format!(
        "it crashes at each call, before it has done anything: {text}; does its source have the \
         function of {}s, and was it built as a library?",
        W::KIND
    ))
}

async fn enter<W: World>(store: &mut Store<Call>, plugin: &Plugin) -> wasmtime::Result<()> {
    let component = &plugin.compiled.component;
    let mut linker = Linker::new(component.engine());
    // Clocks, chance and standard streams; all else says that it is not there.
    wasmtime_wasi::p2::add_to_linker_proxy_interfaces_async(&mut linker)?;
    linker.define_unknown_imports_as_traps(component)?;
    let instance = linker.instantiate_async(&mut *store, component).await?;
    let mut exports = plugin.compiled.report.exports.iter();
    let export = exports.find(|export| exported(export) == Some(W::KIND.interface));
    let Some(function) = export.and_then(|export| {
        let interface = instance.get_export_index(&mut *store, None, export)?;
        let function =
            instance.get_export_index(&mut *store, Some(&interface), W::KIND.function)?;
        instance.get_func(&mut *store, function)
    }) else {
        return Ok(());
    };
    let parameters = W::trial(&mut || {
        let handle = Resource::<()>::new_own(1);
        ResourceAny::try_from_resource(handle, &mut *store).map(Val::Resource)
    })?;
    let mut answer = [Val::Bool(false)];
    function.call_async(store, &parameters, &mut answer).await
}
