//! The last step of an upload: the request with which an object is there.

use std::any::Any;

use super::{
    super::{Error, Publication, Replaced, Result},
    chunks::Chunks,
    engine::Over,
    home::{ObjectHome, nothing},
    parts::{Parts, Sent},
    pieces::read,
};
use crate::ftp::path::VirtualPath;

/// How often another upload to the same key may come first.
const TRIES: usize = 10;

impl ObjectHome {
    /// Takes a file over from the spool. An object that lies there is replaced only as the version that room was taken
    /// for: an object that has come to lie there meanwhile is looked at first.
    pub(super) async fn put(
        &self,
        path: &VirtualPath,
        mut publication: Publication,
    ) -> Result<Replaced> {
        if path.is_root() {
            return Err(Error::IsDirectory);
        }
        let key = self.keys.file(path)?;
        let mut sent = None;
        // A new name is most often new still.
        let mut look = publication.replaces || publication.over.is_some();
        for _ in 0..TRIES {
            let there = match look {
                true => self.engine.find(&key).await?,
                false => None,
            };
            look = true;
            if there.is_some() && !publication.replace {
                return Err(Error::Exists);
            }
            let identity = there
                .as_ref()
                .map_or_else(nothing, |object| object.identity());
            if publication.over.is_some_and(|over| over != identity) {
                return Err(Error::Changed);
            }
            let size = there.as_ref().map(|object| object.size);
            publication.admission.admit(size)?;
            let over = there.map_or(Over::Nothing, Over::Version);
            match self.send(&key, &mut publication, &over, &mut sent).await {
                Ok(()) => {
                    publication.admission.published();
                    publication.file.remove();
                    return Ok(Replaced::Gone);
                }
                Err(Error::Exists | Error::Changed) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Busy)
    }

    async fn send(
        &self,
        key: &str,
        publication: &mut Publication,
        over: &Over,
        sent: &mut Option<Sent>,
    ) -> Result<()> {
        let begun = publication
            .sending
            .take()
            .map(|begun| begun as Box<dyn Any>);
        let (parts, mut chunks) = match begun.map(Box::<dyn Any>::downcast::<Parts>) {
            Some(Ok(parts)) => (Some(parts).filter(|parts| parts.key == key), None),
            Some(Err(other)) => (None, other.downcast::<Chunks>().ok()),
            None => (None, None),
        };
        let (file, length) = (&publication.file.handle, publication.file.length);
        if length <= self.part_size as u64 {
            let whole = usize::try_from(length).unwrap_or(self.part_size);
            let content = read(file, 0, whole).await?;
            self.engine
                .put(key, content, publication.sha256(), over)
                .await?;
            if let Some(chunks) = chunks {
                chunks.published();
            }
            return Ok(());
        }
        // Parts that were sent may be gone: then all is sent again from the spool.
        let there = match (parts, &mut chunks, &self.engine.s3) {
            (Some(parts), _, _) => Some(parts.whole(length).await),
            (None, Some(chunks), Some(s3)) => Some(chunks.whole(s3, key, file, length).await),
            _ => None,
        };
        match there {
            Some(Ok(all)) => *sent = Some(all),
            Some(Err(error)) => tracing::debug!(key, %error, "an upload is sent again"),
            None => {}
        }
        let mut again = true;
        loop {
            let all = match sent.take() {
                Some(all) => all,
                None => {
                    let parts = Parts::begin(&self.engine, key, file, self.part_size);
                    parts.whole(length).await?
                }
            };
            let done = self
                .engine
                .complete(&all.multipart, all.parts.clone(), over)
                .await;
            match done {
                Ok(()) => {
                    all.completed();
                    if let Some(chunks) = chunks {
                        chunks.published();
                    }
                    return Ok(());
                }
                Err(Error::NotFound) if again => again = false,
                Err(error) => {
                    *sent = Some(all);
                    return Err(error);
                }
            }
        }
    }
}
