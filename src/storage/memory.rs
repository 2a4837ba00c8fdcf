//! Files in memory: for tests, and as the shortest example of a backend that reads what it publishes.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use bytes::Bytes;
use rustix::{buffer::spare_capacity, io::pread};

use super::{
    Amount, Backend, Capabilities, Content, Error, Found, Home, Identity, Listing, Publication,
    Replaced, Result, SpoolFile, Unpublished, Wanted, posix::retry,
};
use crate::{
    config,
    ftp::{
        metadata::{Entry, Kind, Metadata},
        path::VirtualPath,
    },
    types::BoxFuture,
};

/// Files in memory. Clones have the same files.
#[derive(Clone)]
pub struct Memory {
    nodes: Arc<Mutex<Nodes>>,
    capabilities: Capabilities,
}

/// By path from the root on: that is empty, and all others begin with a slash.
struct Nodes {
    by_path: BTreeMap<String, Node>,
    /// Of the next version of anything.
    version: u64,
}

#[derive(Clone)]
struct Node {
    /// None of a directory.
    content: Option<Bytes>,
    modified: SystemTime,
    mode: u32,
    sha256: Option<String>,
    /// Another one whenever anything of a file changes.
    version: u64,
}

impl Node {
    fn metadata(&self) -> Metadata {
        let content = self.content.as_ref();
        Metadata {
            kind: content.map_or(Kind::Directory, |_| Kind::File),
            size: self.size(),
            modified: self.modified,
            mode: self.mode,
            links: 1,
            owner: 0,
            group: 0,
            unique: (0, self.version),
            partial: None,
        }
    }

    fn size(&self) -> u64 {
        self.content.as_ref().map_or(0, |bytes| bytes.len() as u64)
    }
}

impl Nodes {
    fn add(&mut self, path: String, content: Option<Bytes>, sha256: Option<String>) {
        self.version += 1;
        let mode = if content.is_some() { 0o644 } else { 0o755 };
        let node = Node {
            content,
            modified: SystemTime::now(),
            mode,
            sha256,
            version: self.version,
        };
        self.by_path.insert(path, node);
    }

    fn node(&self, path: &str) -> Result<&Node> {
        self.directory_of(path)?;
        self.by_path.get(path).ok_or(Error::NotFound)
    }

    /// A file or directory that is about to change.
    fn changed(&mut self, path: &str) -> Result<&mut Node> {
        self.directory_of(path)?;
        self.version += 1;
        let node = self.by_path.get_mut(path).ok_or(Error::NotFound)?;
        // A directory is the same one whatever is done to it.
        if node.content.is_some() {
            node.version = self.version;
        }
        Ok(node)
    }

    /// The directory that a path lies in.
    fn directory_of(&self, path: &str) -> Result<&Node> {
        let Some((parent, _)) = path.rsplit_once('/') else {
            return self.by_path.get("").ok_or(Error::NotFound);
        };
        match self.by_path.get(parent) {
            Some(node) if node.content.is_none() => Ok(node),
            Some(_) => Err(Error::NotDirectory),
            // Another one above it may be a file.
            None => self.directory_of(parent).and(Err(Error::NotFound)),
        }
    }

    fn found(&self, path: &str) -> Result<Found> {
        let directory = self.directory_of(path)?;
        let node = self.by_path.get(path);
        let version = node.map_or(0, |node| node.version);
        let facts = [directory.version.to_ne_bytes(), version.to_ne_bytes()].concat();
        Ok(Found {
            identity: Identity::of(&facts),
            entry: node.map(|node| (node.metadata().kind, node.size())),
        })
    }

    /// The nodes beneath a directory, by the path from there on.
    fn beneath(&self, directory: &str) -> impl Iterator<Item = (&str, &Node)> {
        let all = self.by_path.iter();
        all.filter_map(move |(path, node)| {
            let below = path.strip_prefix(directory)?.strip_prefix('/')?;
            Some((below, node))
        })
    }

    fn remove_directory(&mut self, path: &str) -> Result<()> {
        if self.node(path)?.content.is_some() {
            return Err(Error::NotDirectory);
        }
        if self.beneath(path).next().is_some() {
            return Err(Error::NotEmpty);
        }
        self.by_path.remove(path);
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str, replace: bool) -> Result<()> {
        let is_file = self.node(from)?.content.is_some();
        let there = self.found(to)?;
        if from == to {
            return if replace && is_file {
                Ok(())
            } else {
                Err(Error::Exists)
            };
        }
        match there.entry {
            None => {}
            Some((Kind::File, _)) if replace && is_file => {}
            Some((Kind::Directory, _)) if replace && is_file => return Err(Error::IsDirectory),
            Some(_) => return Err(Error::Exists),
        }
        let below = format!("{from}/");
        let moved = self.by_path.keys();
        let moved = moved.filter(|path| *path == from || path.starts_with(&below));
        for path in moved.cloned().collect::<Vec<_>>() {
            if let Some(node) = self.by_path.remove(&path)
                && let Some(rest) = path.strip_prefix(from)
            {
                self.by_path.insert(format!("{to}{rest}"), node);
            }
        }
        Ok(())
    }
}

impl Memory {
    /// An empty one.
    #[must_use]
    pub fn new(capabilities: Capabilities) -> Self {
        let mut nodes = Nodes {
            by_path: BTreeMap::new(),
            version: 0,
        };
        nodes.add(String::new(), None, None);
        Self {
            nodes: Arc::new(Mutex::new(nodes)),
            capabilities,
        }
    }

    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for Memory {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn location(&self) -> &Path {
        Path::new("memory")
    }

    fn configured(&self, _: &config::Storage, _: u32) -> Arc<dyn Backend> {
        Arc::new(self.clone())
    }

    fn home<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Arc<dyn Home>>> {
        Box::pin(async move {
            let prefix = key("", path);
            if self.nodes().node(&prefix)?.content.is_some() {
                return Err(Error::NotDirectory);
            }
            let memory = self.clone();
            Ok(Arc::new(MemoryHome { memory, prefix }) as Arc<dyn Home>)
        })
    }

    fn make_home<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let (mut nodes, whole) = (self.nodes(), key("", path));
            let ends = whole.match_indices('/').skip(1).map(|(end, _)| end);
            for end in ends.chain([whole.len()]) {
                let above = whole.get(..end).unwrap_or_default();
                match nodes.found(above)?.entry {
                    None => nodes.add(above.to_owned(), None, None),
                    Some((Kind::Directory, _)) => {}
                    Some(_) => return Err(Error::NotDirectory),
                }
            }
            Ok(())
        })
    }
}

/// The key that a path is kept by.
fn key(prefix: &str, path: &VirtualPath) -> String {
    match path.is_root() {
        true => prefix.to_owned(),
        false => format!("{prefix}{path}"),
    }
}

struct MemoryHome {
    memory: Memory,
    prefix: String,
}

impl MemoryHome {
    fn key(&self, path: &VirtualPath) -> String {
        key(&self.prefix, path)
    }

    /// Does something at once, to something that is not the root.
    fn change<'a, T: Send + 'a>(
        &'a self,
        path: &'a VirtualPath,
        root: Error,
        change: impl FnOnce(&mut Nodes, String) -> Result<T> + Send + 'a,
    ) -> BoxFuture<'a, Result<T>> {
        Box::pin(async move {
            match (path.is_root(), self.memory.capabilities.writable) {
                (true, _) => Err(root),
                (_, false) => Err(Error::ReadOnly),
                (false, true) => change(&mut self.memory.nodes(), self.key(path)),
            }
        })
    }
}

impl Home for MemoryHome {
    fn stat<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Metadata>> {
        Box::pin(async move { Ok(self.memory.nodes().node(&self.key(path))?.metadata()) })
    }

    fn list<'a>(
        &'a self,
        path: &'a VirtualPath,
        _: Wanted,
    ) -> BoxFuture<'a, Result<Box<dyn Listing>>> {
        Box::pin(async move {
            let (nodes, key) = (self.memory.nodes(), self.key(path));
            if nodes.node(&key)?.content.is_some() {
                return Err(Error::NotDirectory);
            }
            let entries = nodes.beneath(&key).filter(|(name, _)| !name.contains('/'));
            let entries = entries.map(|(name, node)| Entry {
                name: name.to_owned(),
                metadata: node.metadata(),
            });
            let entries: Vec<_> = entries.collect();
            Ok(Box::new(Entries(Some(entries))) as Box<dyn Listing>)
        })
    }

    fn open<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Box<dyn Content>>> {
        Box::pin(async move {
            let node = self.memory.nodes().node(&self.key(path))?.clone();
            let bytes = node.content.clone().ok_or(Error::IsDirectory)?;
            let metadata = node.metadata();
            Ok(Box::new(MemoryContent {
                bytes,
                metadata,
                sha256: node.sha256,
            }) as Box<dyn Content>)
        })
    }

    fn find<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Found>> {
        Box::pin(async move {
            match path.is_root() {
                true => Err(Error::IsDirectory),
                false => self.memory.nodes().found(&self.key(path)),
            }
        })
    }

    fn publish<'a>(
        &'a self,
        path: &'a VirtualPath,
        mut publication: Publication,
    ) -> BoxFuture<'a, std::result::Result<Replaced, Unpublished>> {
        let published = self.change(path, Error::IsDirectory, move |nodes, key| {
            let found = nodes.found(&key)?;
            if publication.replace || found.entry.is_none() {
                found.file()?;
            } else {
                return Err(Error::Exists);
            }
            if publication.over.is_some_and(|over| over != found.identity) {
                return Err(Error::Changed);
            }
            let bytes = read(&publication.file)?;
            publication.admission.admit(found.file()?)?;
            nodes.add(key, Some(bytes), publication.sha256().map(str::to_owned));
            publication.admission.published();
            publication.file.remove();
            Ok(Replaced::Gone)
        });
        Box::pin(async { Ok(published.await?) })
    }

    fn remove_file<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<Amount>> {
        self.change(path, Error::IsDirectory, |nodes, key| {
            let size = nodes.found(&key)?.file()?.ok_or(Error::NotFound)?;
            nodes.by_path.remove(&key);
            Ok(Amount::file(size))
        })
    }

    fn remove_directory<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<()>> {
        self.change(path, Error::Denied, |nodes, key| {
            nodes.remove_directory(&key)
        })
    }

    fn make_directory<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<()>> {
        self.change(path, Error::Exists, |nodes, key| {
            match nodes.found(&key)?.entry {
                None => nodes.add(key, None, None),
                Some(_) => return Err(Error::Exists),
            }
            Ok(())
        })
    }

    fn rename<'a>(
        &'a self,
        from: &'a VirtualPath,
        to: &'a VirtualPath,
        replace: bool,
    ) -> BoxFuture<'a, Result<()>> {
        self.change(from, Error::Denied, move |nodes, key| {
            match to.is_root() || (to != from && to.starts_with(from)) {
                true => Err(Error::Denied),
                false => nodes.rename(&key, &self.key(to), replace),
            }
        })
    }

    fn set_times<'a>(
        &'a self,
        path: &'a VirtualPath,
        modified: SystemTime,
        _: Option<SystemTime>,
    ) -> BoxFuture<'a, Result<()>> {
        let has_times = self.memory.capabilities.times;
        self.change(path, Error::Unsupported, move |nodes, key| {
            nodes.node(&key)?;
            if !has_times {
                return Err(Error::Unsupported);
            }
            nodes.changed(&key)?.modified = modified;
            Ok(())
        })
    }

    fn set_mode<'a>(&'a self, path: &'a VirtualPath, mode: u32) -> BoxFuture<'a, Result<()>> {
        let has_modes = self.memory.capabilities.modes;
        self.change(path, Error::Unsupported, move |nodes, key| {
            nodes.node(&key)?;
            if !has_modes {
                return Err(Error::Unsupported);
            }
            nodes.changed(&key)?.mode = mode & 0o777;
            Ok(())
        })
    }

    fn usage(&self) -> BoxFuture<'_, Result<Amount>> {
        Box::pin(async {
            let nodes = self.memory.nodes();
            let files = nodes
                .beneath(&self.prefix)
                .filter_map(|(_, node)| node.content.as_ref())
                .map(|content| Amount::file(content.len() as u64));
            Ok(files.fold(Amount::default(), Amount::plus))
        })
    }

    fn available<'a>(&'a self, path: &'a VirtualPath) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            self.memory.nodes().node(&self.key(path))?;
            match self.memory.capabilities.free_space {
                true => Ok(1 << 30),
                false => Err(Error::Unsupported),
            }
        })
    }
}

/// All of a file in the spool.
fn read(file: &SpoolFile) -> Result<Bytes> {
    let mut bytes = Vec::with_capacity(usize::try_from(file.length).unwrap_or_default());
    while (bytes.len() as u64) < file.length {
        let at = bytes.len() as u64;
        match retry(|| pread(&*file.handle, spare_capacity(&mut bytes), at))? {
            0 => return Err(Error::Changed),
            _ => continue,
        }
    }
    Ok(bytes.into())
}

struct Entries(Option<Vec<Entry>>);

impl Listing for Entries {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<Entry>>>> {
        Box::pin(async { Ok(self.0.take_if(|entries| !entries.is_empty())) })
    }
}

struct MemoryContent {
    bytes: Bytes,
    metadata: Metadata,
    sha256: Option<String>,
}

impl Content for MemoryContent {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn sha256(&self) -> Option<String> {
        self.sha256.clone()
    }

    fn try_read_at(&self, buffer: &mut [u8], offset: u64) -> Result<Option<usize>> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.bytes.get(offset..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(Some(length))
    }

    fn read_at(&self, mut buffer: Vec<u8>, offset: u64) -> BoxFuture<'_, Result<(Vec<u8>, usize)>> {
        Box::pin(async move {
            let length = self.try_read_at(&mut buffer, offset)?.unwrap_or(0);
            Ok((buffer, length))
        })
    }
}
