//! Components that decide which upload is ever seen.

use std::sync::Arc;

use wasmtime::{Store, component::Resource};

use super::{
    bindings::upload_inspector::{
        UploadInspector, UploadInspectorPre,
        exports::portcullis::plugin::upload_inspection::Verdict as Answered,
    },
    call::Call,
    instances::{Component, Pool},
    output::one_line,
};
use crate::{
    ftp::path::VirtualPath,
    gate::{
        Fault, FaultKind, SessionInfo,
        upload::{Inspector, Upload, Verdict},
    },
    types::BoxFuture,
};

impl Component for UploadInspectorPre<Call> {
    type Instance = UploadInspector;

    async fn instantiate(&self, store: &mut Store<Call>) -> wasmtime::Result<Self::Instance> {
        self.instantiate_async(store).await
    }
}

/// By default a fresh instance for every upload: no content outlives its call.
#[derive(Clone)]
pub(super) struct ComponentInspector(pub(super) Pool<UploadInspectorPre<Call>>);

impl Inspector for ComponentInspector {
    fn inspect(
        &self,
        session: Arc<SessionInfo>,
        upload: Upload,
    ) -> BoxFuture<'static, Result<Verdict, Fault>> {
        let inspector = self.clone();
        Box::pin(async move {
            let verdict = inspector.ask(session, upload).await;
            inspector.0.plugin.health.note(&verdict);
            verdict
        })
    }
}

impl ComponentInspector {
    async fn ask(&self, session: Arc<SessionInfo>, upload: Upload) -> Result<Verdict, Fault> {
        let plugin = &self.0.plugin;
        let mut lease = self.0.lease(session).await?;
        let clock = lease.store.data().clock.clone();
        let call = async {
            let session = lease.store.data_mut().lend_session()?;
            let upload = lease.store.data_mut().table.push(upload)?;
            let handle = upload.rep();
            let instance = self.0.instance(&mut lease).await?;
            let inspection = instance.portcullis_plugin_upload_inspection();
            let store = &mut lease.store;
            let answer = inspection.call_inspect(store, session, upload).await?;
            // The guest's handle is gone, or stays with an instance that is used again.
            let table = &mut lease.store.data_mut().table;
            table.delete(Resource::<Upload>::new_own(handle))?;
            lease.ended(instance);
            Ok(answer)
        };
        let answer = clock.time(plugin.limits.wall_time, call).await;
        let verdict = match plugin.conclude(&lease.store, answer)? {
            Answered::Accept => Verdict::Accept,
            Answered::AcceptAs(path) => match VirtualPath::parse(&path, &VirtualPath::root()) {
                Ok(_) => Verdict::AcceptAs(path),
                Err(error) => {
                    let text = format!("it accepts as {path:?}: {error}");
                    return Err(plugin.fault(FaultKind::InvalidResponse, text));
                }
            },
            Answered::Reject(reason) => Verdict::Reject(one_line(reason)),
            Answered::Quarantine(reason) => Verdict::Quarantine(one_line(reason)),
        };
        self.0.put_back(lease);
        Ok(verdict)
    }
}
