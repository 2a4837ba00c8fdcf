//! Components that hear of what has happened.

use std::sync::Arc;

use wasmtime::{Store, component::Val};

use super::{
    bindings::imports::portcullis::plugin::types::Failure,
    call::Call,
    instances::{Export, MakeHandle, Pool, World, bind},
    kind::PluginKind,
};
use crate::{
    gate::{Fault, Gates, Named, SessionInfo, listeners::Listener},
    types::BoxFuture,
};

bind!(
    "portcullis:plugin/event-listener",
    EventListener,
    EventListenerPre
);

impl Export for EventListener {
    type Question = Arc<[String]>;
    type Answer = ();

    async fn ask(
        &self,
        store: &mut Store<Call>,
        events: Arc<[String]>,
    ) -> wasmtime::Result<Result<(), Failure>> {
        let events: Vec<&str> = events.iter().map(String::as_str).collect();
        self.portcullis_plugin_events()
            .call_notify(store, &events)
            .await
    }
}

/// By default a fresh instance for every batch.
impl World for EventListener {
    const KIND: &'static PluginKind = &PluginKind::EVENT_LISTENER;
    type Outcome = ();
    type Gate = dyn Listener;

    fn outcome(_: &mut Call, (): ()) -> Result<(), String> {
        Ok(())
    }

    fn trial(_: MakeHandle<'_>) -> wasmtime::Result<Vec<Val>> {
        Ok(vec![Val::List(Vec::new())])
    }

    fn gate(pool: Pool<Self>) -> Arc<Self::Gate> {
        Arc::new(pool)
    }

    fn chain(gates: &mut Gates) -> &mut Vec<Named<Self::Gate>> {
        &mut gates.listeners
    }
}

impl Listener for Pool<EventListener> {
    fn notify(&self, events: Arc<[String]>) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(self.call(SessionInfo::nobody("events"), events))
    }

    fn missed(&self, events: u64) {
        self.plugin().health.missed(events);
    }
}
