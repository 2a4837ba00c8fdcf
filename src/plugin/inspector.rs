//! Components that decide which upload is ever seen.

use std::sync::Arc;

use wasmtime::{
    Store,
    component::{Resource, Val},
};

use super::{
    bindings::imports::portcullis::plugin::types::Failure,
    call::Call,
    instances::{Export, MakeHandle, Pool, World, bind},
    kind::PluginKind,
    output::one_line,
};
use crate::{
    ftp::path::VirtualPath,
    gate::{
        Fault, Gates, Named, SessionInfo,
        upload::{Inspector, Upload, Verdict},
    },
    types::BoxFuture,
};

bind!(
    "portcullis:plugin/upload-inspector",
    UploadInspector,
    UploadInspectorPre
);
use bindings::exports::portcullis::plugin::upload_inspection::Verdict as Answered;

impl Export for UploadInspector {
    type Question = Upload;
    type Answer = Answered;

    async fn ask(
        &self,
        store: &mut Store<Call>,
        upload: Upload,
    ) -> wasmtime::Result<Result<Answered, Failure>> {
        let session = store.data_mut().lend_session()?;
        let upload = store.data_mut().table.push(upload)?;
        let handle = upload.rep();
        let inspection = self.portcullis_plugin_upload_inspection();
        let answer = inspection
            .call_inspect(&mut *store, session, upload)
            .await?;
        // The guest's handle is gone, or stays with an instance that is used again.
        let table = &mut store.data_mut().table;
        table.delete(Resource::<Upload>::new_own(handle))?;
        Ok(answer)
    }
}

/// By default a fresh instance for every upload: no content outlives its call.
impl World for UploadInspector {
    const KIND: &'static PluginKind = &PluginKind::UPLOAD_INSPECTOR;
    type Outcome = Verdict;
    type Gate = dyn Inspector;

    fn outcome(_: &mut Call, answer: Answered) -> Result<Verdict, String> {
        Ok(match answer {
            Answered::Accept => Verdict::Accept,
            Answered::AcceptAs(path) => match VirtualPath::parse(&path, &VirtualPath::root()) {
                Ok(_) => Verdict::AcceptAs(path),
                Err(error) => return Err(format!("it accepts as {path:?}: {error}")),
            },
            Answered::Reject(reason) => Verdict::Reject(one_line(reason)),
            Answered::Quarantine(reason) => Verdict::Quarantine(one_line(reason)),
        })
    }

    fn trial(handle: MakeHandle<'_>) -> wasmtime::Result<Vec<Val>> {
        Ok(vec![handle()?, handle()?])
    }

    fn gate(pool: Pool<Self>) -> Arc<Self::Gate> {
        Arc::new(pool)
    }

    fn chain(gates: &mut Gates) -> &mut Vec<Named<Self::Gate>> {
        &mut gates.inspectors
    }
}

impl Inspector for Pool<UploadInspector> {
    fn inspect(
        &self,
        session: Arc<SessionInfo>,
        upload: Upload,
    ) -> BoxFuture<'static, Result<Verdict, Fault>> {
        let pool = self.clone();
        Box::pin(async move { pool.call(session, upload).await })
    }
}
