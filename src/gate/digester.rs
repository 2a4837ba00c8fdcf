//! The digest of every upload.

use std::sync::Arc;

use super::{
    Fault, FaultKind, Named, SessionInfo,
    upload::{Inspector, Upload, Verdict},
};
use crate::types::{BoxFuture, OnFailure};

/// Makes the digest of every upload, beside the inspectors, and lets all of them pass.
pub struct Digester;

impl Digester {
    /// It as a member of a chain.
    #[must_use]
    pub fn named() -> Named<dyn Inspector> {
        Named {
            name: "digest".into(),
            on_failure: OnFailure::Allow,
            gate: Arc::new(Self),
        }
    }
}

impl Inspector for Digester {
    fn inspect(
        &self,
        _: Arc<SessionInfo>,
        mut upload: Upload,
    ) -> BoxFuture<'static, Result<Verdict, Fault>> {
        Box::pin(async move {
            let failed = |error: std::io::Error| Fault {
                plugin: "digest".into(),
                kind: FaultKind::Internal,
                text: error.to_string(),
            };
            // From the first byte on, so that nothing is read twice.
            upload.sha256().await.map_err(failed)?;
            while let Ok(Some(_)) = upload.read(usize::MAX).await {}
            upload.sha256().await.map_err(failed)?;
            Ok(Verdict::Accept)
        })
    }
}
