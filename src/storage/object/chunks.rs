//! Parts of uploads that every server of a storage can go on from.
//!
//! S3 does not let the parts of an upload that is not completed be read. So an upload that is to be resumable
//! anywhere is sent as objects of its own, chunks, beneath a prefix that no path leads to, and a manifest says
//! whose upload they are and where they lie. Another server reads them into its spool, where the upload is inspected
//! from its first byte on, and goes on. When the verdict has fallen, the engine itself copies the chunks into the
//! object: each only as the version that was read or written here, so that nothing gets into it that was not
//! inspected.
//!
//! ```text
//! PREFIX.portcullis/uploads/NAME/manifest
//! PREFIX.portcullis/uploads/NAME/TOKEN/NUMBER
//! ```

use std::{
    collections::HashMap,
    os::fd::OwnedFd,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::multipart::PartId;
use serde::{Deserialize, Serialize};
use tokio::{runtime::Handle, sync::OnceCell};

use super::{
    super::{
        Error, Keeper, Left, Noted, Result, Sending,
        posix::{pool, writing::write_all},
    },
    engine::{Engine, Object, Over, token},
    parts::Sent,
    pieces::{Pieces, read},
    s3::S3,
};
use crate::types::BoxFuture;

/// Chunks that are copied, read or removed at once.
const AT_ONCE: usize = 4;

/// Says whose upload waits, and where its chunks lie.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Manifest {
    /// The directory of the chunks.
    token: String,
    /// Another one each time that a server goes on.
    holder: String,
    /// Bytes of each chunk but the last.
    chunk: u64,
    /// Facts that the spool wants to know again.
    note: String,
}

/// The place where chunks are kept, of one storage.
#[derive(Clone)]
pub(super) struct ChunkStore {
    engine: Arc<Engine>,
    /// Ends in a slash.
    prefix: String,
}

/// A part of an upload that was found.
struct FoundPart {
    manifest: Manifest,
    /// The object of the manifest.
    version: Object,
    chunks: Vec<Object>,
}

/// The chunks of an upload that comes. Dropped, they are removed.
pub(super) struct Chunks {
    pieces: Option<Pieces>,
    place: Arc<Place>,
    /// Of those that were there.
    tags: Vec<String>,
}

/// The place of one upload's chunks.
struct Place {
    store: ChunkStore,
    name: String,
    manifest: Manifest,
    over: Option<Object>,
    /// The manifest is written, before the first chunk is.
    written: OnceCell<()>,
}

impl Place {
    async fn write(&self) -> Result<()> {
        let write = || async {
            let text = serde_json::to_vec(&self.manifest).map_err(std::io::Error::other)?;
            let key = self.store.manifest(&self.name);
            let over = match &self.over {
                Some(version) => Over::Version(version.clone()),
                // An upload that begins anew takes the place of any other.
                None => match self.store.engine.find(&key).await? {
                    Some(there) => Over::Version(there),
                    None => Over::Nothing,
                },
            };
            self.store.engine.put(&key, text.into(), None, &over).await
        };
        self.written.get_or_try_init(write).await.copied()
    }

    fn chunk(&self, number: usize) -> String {
        self.store.chunk(&self.name, &self.manifest.token, number)
    }
}

impl ChunkStore {
    pub(super) fn new(engine: Arc<Engine>, hidden: &str) -> Self {
        Self {
            engine,
            prefix: format!("{hidden}/uploads/"),
        }
    }

    fn manifest(&self, name: &str) -> String {
        format!("{}{name}/manifest", self.prefix)
    }

    fn chunk(&self, name: &str, token: &str, number: usize) -> String {
        format!("{}{name}/{token}/{number:05}", self.prefix)
    }

    /// The chunks of an upload that begins, or goes on.
    pub(super) fn begin(&self, noted: &Noted, file: &Arc<OwnedFd>, chunk: usize) -> Result<Chunks> {
        let state = noted.left.as_ref().map(|left| left.state.clone());
        let found = state.and_then(|state| state.downcast::<FoundPart>().ok());
        // Chunks of another length cannot be gone on with.
        let found = found.filter(|found| found.manifest.chunk == chunk as u64);
        let manifest = Manifest {
            token: match &found {
                Some(found) => found.manifest.token.clone(),
                None => token()?,
            },
            holder: token()?,
            chunk: chunk as u64,
            note: noted.note.clone(),
        };
        let chunks = found.iter().flat_map(|found| &found.chunks);
        let stays = usize::try_from(noted.length / chunk as u64).unwrap_or(usize::MAX);
        let tags: Vec<_> = chunks
            .take(stays)
            .map_while(|object| object.tag.clone())
            .collect();
        let place = Arc::new(Place {
            store: self.clone(),
            name: noted.name.clone(),
            manifest,
            over: found.map(|found| found.version.clone()),
            written: OnceCell::new(),
        });
        let own = place.clone();
        let send = move |number, content| {
            let place = own.clone();
            let sent = async move {
                place.write().await?;
                let key = place.chunk(number);
                place.store.engine.put_tagged(&key, content).await
            };
            Box::pin(sent) as _
        };
        Ok(Chunks {
            pieces: Some(Pieces::begin(file, chunk, tags.len(), Box::new(send))),
            place,
            tags,
        })
    }

    async fn remove(&self, keys: impl IntoIterator<Item = String>) -> Result<()> {
        stream::iter(keys)
            .map(Ok)
            .try_for_each_concurrent(AT_ONCE, |key| async move { self.engine.delete(&key).await })
            .await
    }

    async fn all(&self, prefix: &str) -> Result<Vec<Object>> {
        let (mut all, mut next) = (Vec::new(), None);
        loop {
            let page = self.engine.page(prefix, true, None, next).await?;
            all.extend(page.objects);
            next = page.next;
            if next.is_none() {
                return Ok(all);
            }
        }
    }

    /// Removes what nobody has gone on with for so long; says how many uploads that were.
    pub(super) async fn expire(&self, age: Duration) -> Result<usize> {
        let mut uploads: HashMap<String, (SystemTime, Vec<String>)> = HashMap::new();
        for object in self.all(&self.prefix).await? {
            let name = object.key.strip_prefix(&self.prefix);
            let Some((name, _)) = name.and_then(|name| name.split_once('/')) else {
                continue;
            };
            let begun = (object.modified, Vec::new());
            let (newest, keys) = uploads.entry(name.to_owned()).or_insert(begun);
            *newest = object.modified.max(*newest);
            keys.push(object.key);
        }
        let now = SystemTime::now();
        let mut expired = 0;
        for (newest, keys) in uploads.into_values() {
            if now.duration_since(newest).is_ok_and(|waited| waited > age) {
                self.remove(keys).await?;
                expired += 1;
            }
        }
        Ok(expired)
    }
}

impl Keeper for ChunkStore {
    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Left>>> {
        Box::pin(async move {
            let found = match self.engine.get(&self.manifest(name), 0, None).await {
                Ok(found) => found,
                Err(Error::NotFound) => return Ok(None),
                Err(error) => return Err(error),
            };
            let version = Object::from(found.meta.clone());
            let text = found.bytes().await?;
            let Ok(manifest) = serde_json::from_slice::<Manifest>(&text) else {
                return Ok(None);
            };
            let prefix = format!("{}{name}/{}/", self.prefix, manifest.token);
            let mut chunks = Vec::new();
            let (mut length, mut modified) = (0, version.modified);
            // One that is missing, or is short, is the end.
            for (number, object) in self.all(&prefix).await?.into_iter().enumerate() {
                if object.key != self.chunk(name, &manifest.token, number) {
                    break;
                }
                length += object.size;
                modified = object.modified.max(modified);
                let short = object.size < manifest.chunk;
                chunks.push(object);
                if short {
                    break;
                }
            }
            if length == chunks.len() as u64 * manifest.chunk {
                // All bytes may have come. A client that is told so would send nothing more, and what it sent
                // would never be published.
                length = length.saturating_sub(1);
            }
            Ok(Some(Left {
                note: manifest.note.clone(),
                length,
                modified,
                state: Arc::new(FoundPart {
                    manifest,
                    version,
                    chunks,
                }),
            }))
        })
    }

    fn fetch<'a>(&'a self, left: &'a Left, into: Arc<OwnedFd>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let Ok(found) = left.state.clone().downcast::<FoundPart>() else {
                return Err(Error::NotFound);
            };
            let mut offset = 0;
            for chunk in &found.chunks {
                let answer = self.engine.get(&chunk.key, 0, chunk.tag.as_deref()).await?;
                let mut coming = answer.into_stream();
                let end = offset + chunk.size;
                while let Some(bytes) = coming.next().await {
                    let (bytes, into, at) = (bytes?, into.clone(), offset);
                    offset += bytes.len() as u64;
                    pool(move || Ok(write_all(&*into, &bytes, at)?)).await?;
                }
                if offset != end {
                    return Err(Error::Changed);
                }
            }
            Ok(())
        })
    }

    fn forget<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let all = self.all(&format!("{}{name}/", self.prefix)).await?;
            self.remove(all.into_iter().map(|object| object.key)).await
        })
    }
}

impl Chunks {
    /// Nothing comes behind `length` bytes: has the engine make parts of an object of the chunks, and sends what is
    /// no whole chunk from the file.
    ///
    /// # Errors
    /// Those of the engine and of the disk.
    pub(super) async fn whole(
        &mut self,
        s3: &S3,
        key: &str,
        file: &Arc<OwnedFd>,
        length: u64,
    ) -> Result<Sent> {
        let pieces = self.pieces.take().ok_or(Error::Busy)?;
        self.tags.extend(pieces.end(length, false).await?);
        let (place, tags) = (&self.place, &self.tags);
        let engine = &place.store.engine;
        let copy = |upload: super::engine::Multipart| async move {
            let upload = &upload;
            let numbered: Vec<_> = tags.iter().cloned().enumerate().collect();
            let copied = stream::iter(numbered).map(|(number, tag)| async move {
                let from = place.chunk(number);
                let tag = s3.copy_part(upload, number, &from, &tag).await?;
                Ok::<_, Error>(PartId { content_id: tag })
            });
            let mut parts: Vec<_> = copied.buffered(AT_ONCE).try_collect().await?;
            let sent = tags.len() as u64 * place.manifest.chunk;
            let rest = usize::try_from(length.saturating_sub(sent)).unwrap_or(usize::MAX);
            if rest > 0 {
                let content = read(file, sent, rest).await?;
                parts.push(engine.part(upload, parts.len(), content).await?);
            }
            Ok(parts)
        };
        Sent::by(engine, key, copy).await
    }
}

impl Sending for Chunks {
    fn staged(&mut self, length: u64) -> Result<()> {
        match &self.pieces {
            Some(pieces) => pieces.staged(length),
            None => Ok(()),
        }
    }

    fn keep(mut self: Box<Self>, length: u64) -> Option<BoxFuture<'static, Result<()>>> {
        let pieces = self.pieces.take()?;
        let place = self.place.clone();
        Some(Box::pin(async move {
            pieces.end(length, true).await?;
            // Nothing of its own may have come.
            place.write().await
        }))
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        // Kept, it has none any more; published, it is to be removed all the same.
        let Some(pieces) = self.pieces.take() else {
            return;
        };
        self.remove_after(Some(pieces));
    }
}

impl Chunks {
    /// They are an object, or nothing.
    pub(super) fn published(self) {
        self.remove_after(None);
    }

    fn remove_after(&self, pieces: Option<Pieces>) {
        let place = self.place.clone();
        let began = place.over.is_some();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                if let Some(pieces) = pieces {
                    // No more are sent, and those that are under way come to their end.
                    pieces.given_up().await;
                }
                if began || place.written.initialized() {
                    // The rest is removed when it is old.
                    let _ = place.store.forget(&place.name).await;
                }
            });
        }
    }
}
