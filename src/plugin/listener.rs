//! Components that hear of what has happened.

use std::{net::SocketAddr, sync::Arc};

use wasmtime::Store;

use super::{
    bindings::event_listener::{EventListener, EventListenerPre},
    call::Call,
    instances::{Component, Pool},
};
use crate::{
    gate::{Fault, SessionInfo, events::Listener},
    types::{BoxFuture, HostId},
};

impl Component for EventListenerPre<Call> {
    type Instance = EventListener;

    async fn instantiate(&self, store: &mut Store<Call>) -> wasmtime::Result<Self::Instance> {
        self.instantiate_async(store).await
    }
}

/// By default a fresh instance for every batch.
pub(super) struct ComponentListener(pub(super) Pool<EventListenerPre<Call>>);

impl Listener for ComponentListener {
    fn notify(&self, events: Arc<[String]>) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move {
            let heard = self.tell(&events).await;
            self.0.plugin.health.note(&heard);
            heard
        })
    }
}

impl ComponentListener {
    async fn tell(&self, events: &[String]) -> Result<(), Fault> {
        let plugin = &self.0.plugin;
        let mut lease = self.0.lease(nobody("events")).await?;
        let clock = lease.store.data().clock.clone();
        let events: Vec<&str> = events.iter().map(String::as_str).collect();
        let call = async {
            let instance = self.0.instance(&mut lease).await?;
            let listener = instance.portcullis_plugin_events();
            let answer = listener.call_notify(&mut lease.store, &events).await?;
            lease.ended(instance);
            Ok(answer)
        };
        let answer = clock.time(plugin.limits.wall_time, call).await;
        plugin.conclude(&lease.store, answer)?;
        self.0.put_back(lease);
        Ok(())
    }
}

/// The facts for a call that is about no session; `id` stands for it in the log.
pub(super) fn nobody(id: &str) -> Arc<SessionInfo> {
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    Arc::new(SessionInfo {
        id: id.into(),
        client: nowhere,
        server: nowhere,
        host: None,
        tls: None,
        certificate: None,
        user: None,
        virtual_host: HostId::default(),
        account: None,
    })
}
