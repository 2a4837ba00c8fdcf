//! A directory of a bucket as the files of an account.

use std::{
    collections::HashMap,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    super::{
        Amount, Content, Error, Found, Home, Identity, Listing, Noted, Publication, Replaced,
        Result, Sending, Unpublished, Wanted,
    },
    chunks::ChunkStore,
    content::ObjectContent,
    engine::{Engine, Object, Page},
    key::Keys,
    listing::ObjectListing,
    parts::Parts,
};
use crate::{
    ftp::{
        metadata::{Kind, Metadata},
        path::VirtualPath,
    },
    types::BoxFuture,
};

/// A directory is taken to be there for so long after it was seen: what it holds is looked at each time.
const KNOWN: Duration = Duration::from_secs(10);
/// The most directories of which that is kept.
const MOST_KNOWN: usize = 64;
/// Keys that begin like that of a file and may come before the directory of its name: as many are looked at in one
/// request.
const NEIGHBOURS: usize = 20;

/// An upload does not look again for what was not there a moment ago: at its end the engine has the last word.
const MISSED: Duration = Duration::from_secs(1);

/// The thing that lies at a path.
enum Seen {
    File(Object),
    Directory,
    Nothing,
}

/// The objects beneath a directory.
pub(super) struct ObjectHome {
    pub(super) engine: Arc<Engine>,
    pub(super) keys: Keys,
    pub(super) part_size: usize,
    /// The place of broken uploads, where these are resumable anywhere.
    chunks: Option<ChunkStore>,
    /// Directories, and when they were seen.
    known: Mutex<HashMap<String, Instant>>,
    /// The last look at what is not there, for the upload that it was the first question of.
    missed: Mutex<Option<(String, Instant)>>,
}

fn metadata(kind: Kind, key: &str, size: u64, modified: SystemTime) -> Metadata {
    let unique = Identity::of(key.as_bytes()).number().to_ne_bytes();
    let (first, last) = (unique.first_chunk(), unique.last_chunk());
    let half = |half: Option<&[u8; 8]>| u64::from_ne_bytes(half.copied().unwrap_or_default());
    Metadata {
        size,
        modified,
        mode: if kind == Kind::File { 0o644 } else { 0o755 },
        links: 1,
        unique: (half(first), half(last)),
        ..Metadata::of_kind(kind)
    }
}

/// Facts of an object.
pub(super) fn metadata_of(object: &Object) -> Metadata {
    metadata(Kind::File, &object.key, object.size, object.modified)
}

/// Facts of a directory, whose time no engine keeps.
pub(super) fn directory_metadata(prefix: &str, modified: SystemTime) -> Metadata {
    metadata(Kind::Directory, prefix, 0, modified)
}

/// Nothing lies there.
pub(super) fn nothing() -> Identity {
    Identity::of(b"nothing")
}

impl ObjectHome {
    pub(super) fn new(
        engine: Arc<Engine>,
        keys: Keys,
        part_size: usize,
        chunks: Option<ChunkStore>,
    ) -> Self {
        Self {
            engine,
            keys,
            part_size,
            chunks,
            known: Mutex::default(),
            missed: Mutex::default(),
        }
    }

    pub(super) fn known(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_known(&self, directory: &str) -> bool {
        let seen = self.known().get(directory).copied();
        seen.is_some_and(|seen| seen.elapsed() < KNOWN)
    }

    fn knows(&self, directory: String) {
        let mut known = self.known();
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(directory, Instant::now());
    }

    async fn is_directory(&self, path: &VirtualPath) -> Result<bool> {
        let directory = self.keys.directory(path)?;
        if path.is_root() || self.is_known(&directory) {
            return Ok(true);
        }
        let found = self.engine.exists_beneath(&directory).await?;
        if found {
            self.knows(directory);
        }
        Ok(found)
    }

    /// The error for a path at which no file lies.
    async fn no_file(&self, path: &VirtualPath) -> Result<Error> {
        Ok(match self.is_directory(path).await? {
            true => Error::IsDirectory,
            false => Error::NotFound,
        })
    }

    /// The object at a path.
    async fn object(&self, path: &VirtualPath) -> Result<Object> {
        if path.is_root() || self.is_known(&self.keys.directory(path)?) {
            return Err(Error::IsDirectory);
        }
        match self.engine.find(&self.keys.file(path)?).await? {
            Some(object) => Ok(object),
            None => Err(self.no_file(path).await?),
        }
    }

    fn missed(&self) -> MutexGuard<'_, Option<(String, Instant)>> {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thing that a key and its directory stand for: with S3 in one request, as a rule.
    async fn see(&self, key: &str, directory: &str) -> Result<Seen> {
        if self.engine.s3.is_none() {
            // The library leaves the object of this very key out of what begins with it.
            if let Some(object) = self.engine.find(key).await? {
                return Ok(Seen::File(object));
            }
            if !self.engine.exists_beneath(directory).await? {
                return Ok(Seen::Nothing);
            }
            self.knows(directory.to_owned());
            return Ok(Seen::Directory);
        }
        let page = self.engine.page(key, false, Some(NEIGHBOURS), None).await?;
        let mut objects = page.objects.into_iter();
        if let Some(object) = objects.find(|object| object.key == key) {
            return Ok(Seen::File(object));
        }
        let is_directory = page.prefixes.iter().any(|prefix| prefix == directory)
            // Had it been there, it might have come behind these.
            || page.next.is_some() && self.engine.exists_beneath(directory).await?;
        if is_directory {
            self.knows(directory.to_owned());
            return Ok(Seen::Directory);
        }
        Ok(Seen::Nothing)
    }

    /// The thing that lies at a path, whose directory must be there.
    pub(super) async fn look(&self, path: &VirtualPath) -> Result<Found> {
        let (key, directory) = (self.keys.file(path)?, self.keys.directory(path)?);
        let missed = self.missed().take();
        let missed = missed.filter(|(missed, at)| *missed == key && at.elapsed() < MISSED);
        let seen = match missed {
            Some(_) => Seen::Nothing,
            None => self.see(&key, &directory).await?,
        };
        match seen {
            Seen::File(object) => {
                return Ok(Found {
                    identity: object.identity(),
                    entry: Some((Kind::File, object.size)),
                });
            }
            Seen::Directory => {
                return Ok(Found {
                    identity: Identity::of(b"directory"),
                    entry: Some((Kind::Directory, 0)),
                });
            }
            Seen::Nothing => {}
        }
        let parent = path.parent().unwrap_or_else(VirtualPath::root);
        match self.is_directory(&parent).await? {
            true => Ok(Found {
                identity: nothing(),
                entry: None,
            }),
            false => Err(Error::NotFound),
        }
    }

    async fn pages(&self, mut each: impl FnMut(Page) + Send) -> Result<()> {
        let (root, mut next) = (self.keys.of_root(), None);
        loop {
            let mut page = self.engine.page(&root, true, None, next).await?;
            next = page.next.take();
            each(page);
            if next.is_none() {
                return Ok(());
            }
        }
    }
}

impl Home for ObjectHome {
    fn stat<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Metadata>> {
        Box::pin(async move {
            let directory = self.keys.directory(path)?;
            if path.is_root() || self.is_known(&directory) {
                return Ok(directory_metadata(&directory, UNIX_EPOCH));
            }
            let key = self.keys.file(path)?;
            match self.see(&key, &directory).await? {
                Seen::File(object) => Ok(metadata_of(&object)),
                Seen::Directory => Ok(directory_metadata(&directory, UNIX_EPOCH)),
                Seen::Nothing => {
                    *self.missed() = Some((key, Instant::now()));
                    Err(Error::NotFound)
                }
            }
        })
    }

    fn list<'a>(
        &'a self,
        path: &'a VirtualPath,
        _: Wanted,
    ) -> BoxFuture<'a, Result<Box<dyn Listing>>> {
        Box::pin(async move {
            let prefix = self.keys.directory(path)?;
            let first = self.engine.page(&prefix, false, None, None).await?;
            let empty = first.objects.is_empty() && first.prefixes.is_empty();
            if empty && first.next.is_none() && !path.is_root() {
                return Err(match self.engine.find(&self.keys.file(path)?).await? {
                    Some(_) => Error::NotDirectory,
                    None => Error::NotFound,
                });
            }
            self.knows(prefix.clone());
            let listing = ObjectListing::new(self.engine.clone(), self.keys.clone(), prefix, first);
            Ok(Box::new(listing) as Box<dyn Listing>)
        })
    }

    fn open<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Box<dyn Content>>> {
        Box::pin(async move {
            if path.is_root() {
                return Err(Error::IsDirectory);
            }
            match self.engine.get(&self.keys.file(path)?, 0, None).await {
                Ok(found) => {
                    let content = ObjectContent::new(self.engine.clone(), found);
                    Ok(Box::new(content) as Box<dyn Content>)
                }
                Err(Error::NotFound) => Err(self.no_file(path).await?),
                Err(error) => Err(error),
            }
        })
    }

    fn find<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Found>> {
        Box::pin(async move {
            match path.is_root() {
                true => Err(Error::IsDirectory),
                false => self.look(path).await,
            }
        })
    }

    fn begin(
        &self,
        path: &VirtualPath,
        file: &Arc<OwnedFd>,
        noted: &Noted,
    ) -> Option<Box<dyn Sending>> {
        let key = self.keys.file(path).ok()?;
        if let Some(chunks) = &self.chunks {
            let chunks = chunks.begin(noted, file, self.part_size).ok()?;
            return Some(Box::new(chunks));
        }
        let parts = Parts::begin(&self.engine, &key, file, self.part_size);
        Some(Box::new(parts))
    }

    fn publish<'a>(
        &'a self,
        path: &'a VirtualPath,
        publication: Publication,
    ) -> BoxFuture<'a, std::result::Result<Replaced, Unpublished>> {
        Box::pin(async move { Ok(self.put(path, publication).await?) })
    }

    fn remove_file<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Amount>> {
        Box::pin(async move {
            let object = self.object(path).await?;
            self.engine.delete(&object.key).await?;
            Ok(Amount::file(object.size))
        })
    }

    fn remove_directory<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if path.is_root() {
                return Err(Error::Denied);
            }
            let directory = self.keys.directory(path)?;
            self.known().remove(&directory);
            let markers = Engine::markers(&directory);
            let most = Some(markers.len() + 1);
            let page = self.engine.page(&directory, true, most, None).await?;
            if page.objects.is_empty() {
                return Err(match self.engine.find(&self.keys.file(path)?).await? {
                    Some(_) => Error::NotDirectory,
                    None => Error::NotFound,
                });
            }
            let keys = page.objects.iter().map(|object| &object.key);
            if page.next.is_some() || !keys.clone().all(|key| markers.contains(key)) {
                return Err(Error::NotEmpty);
            }
            for key in keys {
                self.engine.delete(key).await?;
            }
            Ok(())
        })
    }

    fn make_directory<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if path.is_root() || self.look(path).await?.entry.is_some() {
                return Err(Error::Exists);
            }
            let directory = self.keys.directory(path)?;
            self.engine.make_directory(&directory).await?;
            self.knows(directory);
            Ok(())
        })
    }

    fn rename<'a>(
        &'a self,
        from: &'a VirtualPath,
        to: &'a VirtualPath,
        replace: bool,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if from.is_root() || to.is_root() || (to != from && to.starts_with(from)) {
                return Err(Error::Denied);
            }
            match self.object(from).await {
                Ok(_) if from == to && replace => Ok(()),
                Ok(_) | Err(Error::IsDirectory) if from == to => Err(Error::Exists),
                Ok(object) => self.rename_file(&object, to, replace).await,
                Err(Error::IsDirectory) => self.rename_directory(from, to).await,
                Err(error) => Err(error),
            }
        })
    }

    fn set_times<'a>(
        &'a self,
        _: &'a VirtualPath,
        _: SystemTime,
        _: Option<SystemTime>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Err(Error::Unsupported) })
    }

    fn set_mode<'a>(&'a self, _: &'a VirtualPath, _: u32) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Err(Error::Unsupported) })
    }

    fn usage(&self) -> BoxFuture<'_, Result<Amount>> {
        Box::pin(async {
            let mut all = Amount::default();
            self.pages(|page| {
                let objects = page.objects.iter();
                let files = objects
                    .filter(|object| !is_marker(&object.key) && !self.keys.is_hidden(&object.key));
                for object in files {
                    all = all.plus(Amount::file(object.size));
                }
            })
            .await?;
            Ok(all)
        })
    }

    fn available<'a>(&'a self, _: &'a VirtualPath) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async { Err(Error::Unsupported) })
    }
}

/// Whether an object stands for a directory.
fn is_marker(key: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or_default();
    name.is_empty() || name == super::key::MARKER
}
