//! Requests to an engine, as few as there can be.

use std::{
    future::Future,
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use object_store::{
    Attribute, Attributes, CopyMode, CopyOptions, GetOptions, GetRange, GetResult, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    UpdateVersion,
    list::{PaginatedListOptions, PaginatedListStore},
    multipart::{MultipartStore, PartId},
    path::Path,
};
use tokio::time::timeout;

use super::{
    super::{Error, Identity, Result},
    key::MARKER,
    s3::S3,
};

/// The time for a request without much content, the tries that follow it included.
const PATIENCE: Duration = Duration::from_secs(15);
/// The upload that an object is of: a random number, which tells after a lost answer whether it is there. Letters alone, as
/// Azure's names have no hyphens.
const UPLOAD: &str = "portcullisupload";
/// The digest of an object's content, lower-case hexadecimal.
const SHA256: &str = "sha256";

/// A client of the engine that has the bucket.
pub(super) struct Engine {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) multipart: Arc<dyn MultipartStore>,
    pub(super) paginated: Arc<dyn PaginatedListStore>,
    /// For what the library does not ask S3 for.
    pub(super) s3: Option<S3>,
}

/// An object, as listings and HEAD tell of it.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) key: String,
    pub(super) size: u64,
    pub(super) modified: SystemTime,
    /// Another one for each version.
    pub(super) tag: Option<String>,
    version: Option<String>,
}

impl Object {
    pub(super) fn new(key: String, size: u64, modified: SystemTime, tag: Option<String>) -> Self {
        let version = None;
        Self {
            key,
            size,
            modified,
            tag,
            version,
        }
    }

    pub(super) fn identity(&self) -> Identity {
        let tag = self.tag.as_deref().unwrap_or_default();
        // Listings tell no more.
        Identity::of(format!("{tag}\n{}", self.size).as_bytes())
    }
}

impl From<ObjectMeta> for Object {
    fn from(found: ObjectMeta) -> Self {
        Self {
            key: found.location.into(),
            size: found.size,
            modified: found.last_modified.into(),
            tag: found.e_tag,
            version: found.version,
        }
    }
}

/// A part of a listing.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) objects: Vec<Object>,
    /// Of keys that go on behind the next slash, what they have in common.
    pub(super) prefixes: Vec<String>,
    /// Where the next one begins.
    pub(super) next: Option<String>,
}

/// The object that must lie at a key when another comes to lie there.
#[derive(Clone, Debug)]
pub(super) enum Over {
    /// Nothing.
    Nothing,
    /// This very version.
    Version(Object),
}

/// An upload in parts that has begun.
#[derive(Clone, Debug)]
pub(super) struct Multipart {
    pub(super) key: String,
    pub(super) id: String,
    /// Marks the object.
    pub(super) token: String,
}

pub(super) fn path(key: &str) -> Result<Path> {
    Path::parse(key).map_err(|_| Error::Denied)
}

/// A number that no other upload has.
pub(super) fn token() -> Result<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Error::Io(io::Error::other("no random numbers")))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

/// The answer to a request, which must not take long.
async fn soon<T, E>(request: impl Future<Output = std::result::Result<T, E>>) -> Result<T>
where
    Error: From<E>,
{
    match timeout(PATIENCE, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => {
            let text = format!("the engine did not answer within {} s", PATIENCE.as_secs());
            Err(Error::Io(io::Error::new(io::ErrorKind::TimedOut, text)))
        }
    }
}

fn attributes(token: &str, sha256: Option<&str>) -> Attributes {
    let mut all = Attributes::new();
    all.insert(Attribute::Metadata(UPLOAD.into()), token.to_owned().into());
    if let Some(sha256) = sha256 {
        all.insert(Attribute::Metadata(SHA256.into()), sha256.to_owned().into());
    }
    all
}

/// The digest that was put with an object.
pub(super) fn sha256(attributes: &Attributes) -> Option<String> {
    let value = attributes.get(&Attribute::Metadata(SHA256.into()))?;
    Some(value.as_ref().to_owned())
}

impl Engine {
    /// The object of a key.
    pub(super) async fn head(&self, key: &str) -> Result<Object> {
        Ok(soon(self.store.head(&path(key)?)).await?.into())
    }

    /// The object of a key, or that there is none.
    pub(super) async fn find(&self, key: &str) -> Result<Option<Object>> {
        match self.head(key).await {
            Ok(found) => Ok(Some(found)),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Begins to read an object from `offset` on, the very one of `tag` if given.
    pub(super) async fn get(&self, key: &str, offset: u64, tag: Option<&str>) -> Result<GetResult> {
        let options = GetOptions {
            if_match: tag.map(str::to_owned),
            range: (offset > 0).then_some(GetRange::Offset(offset)),
            ..GetOptions::default()
        };
        soon(self.store.get_opts(&path(key)?, options)).await
    }

    /// Part of the keys that begin with `prefix`, at most `most`. With `nested`, those with a slash behind it, too.
    pub(super) async fn page(
        &self,
        prefix: &str,
        nested: bool,
        most: Option<usize>,
        next: Option<String>,
    ) -> Result<Page> {
        if let Some(s3) = &self.s3 {
            return soon(s3.page(prefix, nested, most, next)).await;
        }
        let options = PaginatedListOptions {
            delimiter: (!nested).then(|| "/".into()),
            max_keys: most,
            page_token: next,
            ..PaginatedListOptions::default()
        };
        let found = self.paginated.list_paginated(Some(prefix), options);
        let found = soon(found).await?;
        Ok(Page {
            objects: found.result.objects.into_iter().map(Object::from).collect(),
            prefixes: found
                .result
                .common_prefixes
                .into_iter()
                .map(|path| format!("{path}/"))
                .collect(),
            next: found.page_token,
        })
    }

    /// Whether there is a key that begins so.
    pub(super) async fn exists_beneath(&self, prefix: &str) -> Result<bool> {
        let page = self.page(prefix, true, Some(1), None).await?;
        Ok(!page.objects.is_empty() || page.next.is_some())
    }

    /// Puts an object whole.
    pub(super) async fn put(
        &self,
        key: &str,
        content: Bytes,
        sha256: Option<&str>,
        over: &Over,
    ) -> Result<()> {
        let token = token()?;
        let options = PutOptions {
            mode: match over {
                Over::Nothing => PutMode::Create,
                Over::Version(object) => PutMode::Update(UpdateVersion {
                    e_tag: object.tag.clone(),
                    version: object.version.clone(),
                }),
            },
            attributes: attributes(&token, sha256),
            ..PutOptions::default()
        };
        let payload = PutPayload::from_bytes(content);
        match soon(self.store.put_opts(&path(key)?, payload, options)).await {
            Ok(_) => Ok(()),
            Err(error) => self.or_is_there(key, &token, error).await,
        }
    }

    /// Puts an object whole, over whatever lies there, and says its tag.
    pub(super) async fn put_tagged(&self, key: &str, content: Bytes) -> Result<String> {
        let payload = PutPayload::from_bytes(content);
        let put = self.store.put(&path(key)?, payload).await?;
        put.e_tag
            .ok_or_else(|| Error::Io(io::Error::other("the engine gives objects no tags")))
    }

    /// After a failure: no failure if the object has come to be there all the same, as when an answer was lost.
    async fn or_is_there(&self, key: &str, token: &str, error: Error) -> Result<()> {
        if matches!(error, Error::Unsupported | Error::Denied) {
            return Err(error);
        }
        match self.token_of(key).await {
            Ok(Some((_, its))) if its == token => Ok(()),
            _ => Err(error),
        }
    }

    /// The object of a key, and whose upload it is.
    async fn token_of(&self, key: &str) -> Result<Option<(Object, String)>> {
        let options = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        let found = soon(self.store.get_opts(&path(key)?, options)).await?;
        let token = found.attributes.get(&Attribute::Metadata(UPLOAD.into()));
        let token = token.map(|token| token.as_ref().to_owned());
        Ok(token.map(|token| (Object::from(found.meta), token)))
    }

    /// Begins an upload in parts.
    pub(super) async fn begin(&self, key: &str) -> Result<Multipart> {
        let token = token()?;
        let options = PutMultipartOptions {
            attributes: attributes(&token, None),
            ..PutMultipartOptions::default()
        };
        let path = path(key)?;
        let id = match soon(self.multipart.create_multipart_opts(&path, options)).await {
            // Azure knows nothing of an upload before its end.
            Err(Error::Unsupported) => soon(self.multipart.create_multipart(&path)).await?,
            begun => begun?,
        };
        Ok(Multipart {
            key: key.to_owned(),
            id,
            token,
        })
    }

    /// Sends a part, the first of which is number 0.
    pub(super) async fn part(
        &self,
        upload: &Multipart,
        number: usize,
        content: Bytes,
    ) -> Result<PartId> {
        let (path, payload) = (path(&upload.key)?, PutPayload::from_bytes(content));
        Ok(self
            .multipart
            .put_part(&path, &upload.id, number, payload)
            .await?)
    }

    /// Makes an object of all parts.
    pub(super) async fn complete(
        &self,
        upload: &Multipart,
        parts: Vec<PartId>,
        over: &Over,
    ) -> Result<()> {
        let completed = match &self.s3 {
            Some(s3) => s3.complete(upload, &parts, over).await,
            None => {
                // The library has no condition here: the look is as near as it can be.
                let there = self.find(&upload.key).await?;
                match (over, there) {
                    (Over::Nothing, None) => {}
                    (Over::Version(old), Some(new)) if old.identity() == new.identity() => {}
                    _ => return Err(Error::Changed),
                }
                let path = path(&upload.key)?;
                let done = self.multipart.complete_multipart(&path, &upload.id, parts);
                done.await.map(drop).map_err(Error::from)
            }
        };
        match completed {
            Ok(()) => Ok(()),
            Err(error) => self.or_is_there(&upload.key, &upload.token, error).await,
        }
    }

    /// Forgets an upload in parts.
    pub(super) async fn abort(&self, upload: &Multipart) -> Result<()> {
        soon(
            self.multipart
                .abort_multipart(&path(&upload.key)?, &upload.id),
        )
        .await
    }

    /// Copies an object within the engine, and says which one the copy is. Without `replace`, only to where nothing
    /// lies.
    pub(super) async fn copy(&self, from: &Object, to: &str, replace: bool) -> Result<Object> {
        let copied = match &self.s3 {
            Some(s3) => s3.copy(from, to, replace).await.map(Some),
            None => {
                let mode = match replace {
                    true => CopyMode::Overwrite,
                    false => CopyMode::Create,
                };
                let options = CopyOptions::new().with_mode(mode);
                let (from, to) = (path(&from.key)?, path(to)?);
                let copied = self.store.copy_opts(&from, &to, options).await;
                copied.map(|()| None).map_err(Error::from)
            }
        };
        let tag = match copied {
            Ok(tag) => tag,
            // The answer to an earlier try may have been lost.
            Err(error) => match (self.token_of(&from.key).await, self.token_of(to).await) {
                (Ok(Some((_, token))), Ok(Some((copy, its)))) if token == its => return Ok(copy),
                _ => return Err(error),
            },
        };
        Ok(Object::new(to.to_owned(), from.size, from.modified, tag))
    }

    /// Removes this version of an object: one that has taken its place stays, where the engine can tell them apart.
    pub(super) async fn delete_version(&self, object: &Object) -> Result<()> {
        match (&self.s3, &object.tag) {
            (Some(s3), Some(tag)) => match soon(s3.delete(&object.key, Some(tag))).await {
                Err(Error::Changed) => Ok(()),
                removed => removed,
            },
            _ => self.delete(&object.key).await,
        }
    }

    /// Removes an object.
    pub(super) async fn delete(&self, key: &str) -> Result<()> {
        match &self.s3 {
            Some(s3) => soon(s3.delete(key, None)).await,
            None => soon(self.store.delete(&path(key)?)).await,
        }
    }

    /// Makes a directory, given with a slash at its end.
    pub(super) async fn make_directory(&self, directory: &str) -> Result<()> {
        match &self.s3 {
            Some(s3) => soon(s3.put_empty(directory)).await,
            None => {
                let marker = path(&marker(directory))?;
                soon(self.store.put(&marker, PutPayload::new()))
                    .await
                    .map(drop)
            }
        }
    }

    /// The keys that stand for a directory itself.
    pub(super) fn markers(directory: &str) -> [String; 2] {
        [directory.to_owned(), marker(directory)]
    }

    /// Forgets uploads in parts that nobody has completed. Of engines that do not tell of them, they have to do
    /// so themselves: Azure after a week, Google by a rule of the bucket.
    pub(super) async fn abort_older_than(&self, prefix: &str, age: Duration) -> Result<usize> {
        let Some(s3) = &self.s3 else {
            return Ok(0);
        };
        let mut aborted = 0;
        let now = SystemTime::now();
        for upload in soon(s3.uploads(prefix)).await? {
            let old = now
                .duration_since(upload.begun)
                .is_ok_and(|waited| waited > age);
            if old {
                soon(s3.abort(&upload.key, &upload.id)).await?;
                aborted += 1;
            }
        }
        Ok(aborted)
    }
}

fn marker(directory: &str) -> String {
    format!("{directory}{MARKER}")
}
