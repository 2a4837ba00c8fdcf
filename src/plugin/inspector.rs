//! Components that decide which upload is ever seen.

use std::sync::Arc;

use super::{
    bindings::upload_inspector::{
        UploadInspectorPre, exports::portcullis::plugin::upload_inspection::Verdict as Answered,
    },
    call::Call,
    component::{Plugin, Term},
    output::one_line,
};
use crate::{
    ftp::path::VirtualPath,
    gate::{
        Answer, Fault, FaultKind, SessionFacts,
        upload::{Inspector, Upload, Verdict},
    },
};

/// A fresh instance for every upload: no content outlives its call.
#[derive(Clone)]
pub(super) struct ComponentInspector {
    pub(super) plugin: Arc<Plugin>,
    pub(super) component: UploadInspectorPre<Call>,
}

impl Inspector for ComponentInspector {
    fn inspect(
        &self,
        session: Arc<SessionFacts>,
        upload: Upload,
    ) -> Answer<'static, Result<Verdict, Fault>> {
        Box::pin(self.clone().ask(session, upload))
    }
}

impl ComponentInspector {
    async fn ask(self, session: Arc<SessionFacts>, upload: Upload) -> Result<Verdict, Fault> {
        let plugin = &self.plugin;
        let settings = plugin.settings.current().await;
        let _slot = plugin.slot(Term::Long).await?;
        let mut store = plugin.store(settings, session);
        let clock = store.data().clock.clone();
        let call = async {
            let session = store.data_mut().lend_session()?;
            let upload = store.data_mut().table.push(upload)?;
            let instance = self.component.instantiate_async(&mut store).await?;
            let inspection = instance.portcullis_plugin_upload_inspection();
            inspection.call_inspect(&mut store, session, upload).await
        };
        let answer = clock.time(plugin.limits.wall_time, call).await;
        match plugin.conclude(&store, answer)? {
            Answered::Accept => Ok(Verdict::Accept),
            Answered::AcceptAs(path) => match VirtualPath::parse(&path, &VirtualPath::root()) {
                Ok(_) => Ok(Verdict::AcceptAs(path)),
                Err(error) => {
                    let text = format!("it accepts as {path:?}: {error}");
                    Err(plugin.fault(FaultKind::Nonsense, text))
                }
            },
            Answered::Reject(reason) => Ok(Verdict::Reject(one_line(reason))),
            Answered::Quarantine(reason) => Ok(Verdict::Quarantine(one_line(reason))),
        }
    }
}
