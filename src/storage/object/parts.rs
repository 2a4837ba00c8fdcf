//! An upload in parts, sent while it comes.

use std::{os::fd::OwnedFd, sync::Arc};

use object_store::multipart::PartId;
use tokio::{runtime::Handle, sync::OnceCell};

use super::{
    super::{Result, Sending},
    engine::{Engine, Multipart},
    pieces::Pieces,
};

/// Sends what comes to be in a file, beginning as soon as it is longer than one part.
pub(super) struct Parts {
    pieces: Pieces,
    upload: Arc<Upload>,
    pub(super) key: String,
}

/// An upload in parts, which begins with the first of them. Dropped, it is forgotten, but where it was completed.
struct Upload {
    engine: Arc<Engine>,
    key: String,
    begun: OnceCell<Multipart>,
    completed: OnceCell<()>,
}

/// All parts of an upload, waiting to become an object. Dropped before, they are forgotten.
pub(super) struct Sent {
    upload: Arc<Upload>,
    pub(super) multipart: Multipart,
    pub(super) parts: Vec<PartId>,
}

impl Upload {
    fn new(engine: &Arc<Engine>, key: &str) -> Arc<Self> {
        Arc::new(Self {
            engine: engine.clone(),
            key: key.to_owned(),
            begun: OnceCell::new(),
            completed: OnceCell::new(),
        })
    }

    async fn begun(&self) -> Result<&Multipart> {
        let begin = || self.engine.begin(&self.key);
        self.begun.get_or_try_init(begin).await
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(upload) = self.begun.take().filter(|_| !self.completed.initialized()) else {
            return;
        };
        let engine = self.engine.clone();
        // One that cannot be forgotten now is, when it is old.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { engine.abort(&upload).await });
        }
    }
}

impl Sent {
    /// Parts that come to be in another way than from a file.
    pub(super) async fn by<F>(
        engine: &Arc<Engine>,
        key: &str,
        parts: impl FnOnce(Multipart) -> F,
    ) -> Result<Self>
    where
        F: Future<Output = Result<Vec<PartId>>>,
    {
        let upload = Upload::new(engine, key);
        let multipart = upload.begun().await?.clone();
        Ok(Self {
            parts: parts(multipart.clone()).await?,
            upload,
            multipart,
        })
    }

    /// They are an object.
    pub(super) fn completed(self) {
        // It is set once, here.
        let _ = self.upload.completed.set(());
    }
}

impl Parts {
    /// Of a file of which nothing is there yet.
    pub(super) fn begin(
        engine: &Arc<Engine>,
        key: &str,
        file: &Arc<OwnedFd>,
        part_size: usize,
    ) -> Self {
        let upload = Upload::new(engine, key);
        let own = upload.clone();
        let send = move |number, content| {
            let upload = own.clone();
            let sent = async move {
                let begun = upload.begun().await?;
                let part = upload.engine.part(begun, number, content).await?;
                Ok(part.content_id)
            };
            Box::pin(sent) as _
        };
        Self {
            pieces: Pieces::begin(file, part_size, 0, Box::new(send)),
            upload,
            key: key.to_owned(),
        }
    }

    /// Nothing comes behind `length` bytes, which are more than none: waits until all parts are sent.
    ///
    /// # Errors
    /// Those of the engine and of the disk.
    pub(super) async fn whole(self, length: u64) -> Result<Sent> {
        let Self { pieces, upload, .. } = self;
        let tags = pieces.end(length, true).await?;
        let parts = tags.into_iter().map(|content_id| PartId { content_id });
        Ok(Sent {
            multipart: upload.begun().await?.clone(),
            parts: parts.collect(),
            upload,
        })
    }
}

impl Sending for Parts {
    fn staged(&mut self, length: u64) -> Result<()> {
        self.pieces.staged(length)
    }
}
