#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod attributes;
mod bounds;
mod changes;
mod confinement;
mod links;
mod listings;
mod memory;
mod origin;
mod quarantine;
mod reading;
mod spares;
mod start;
mod uploads;
mod usage;
mod waiting;

use std::{
    fs,
    io::IoSlice,
    ops::Deref,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tempfile::TempDir;

use super::*;
use crate::{
    config,
    ftp::{
        metadata::{Entry, Kind},
        path::VirtualPath,
    },
    gate::upload::Approval,
    startup::Startup,
    storage::{Error, OpenError, Result, Wanted},
    types::{Durability, HostId, Staged, UploadMode, UserId},
};

/// A storage in a local directory, of which all uploads are approved.
struct Local(Storage);

impl Deref for Local {
    type Target = Storage;

    fn deref(&self) -> &Storage {
        &self.0
    }
}

impl Local {
    fn open_at(
        name: &str,
        config: &config::Storage,
        state: &Path,
        startup: &Startup,
    ) -> std::result::Result<Self, OpenError> {
        Storage::open(name, config, state, startup).map(Self)
    }

    async fn open(&self, home: &VirtualPath, owner: &UserId) -> Result<Arc<Files>> {
        let tree = self.0.home(home, owner).await?;
        Ok(Arc::new(Files(tree)))
    }
}

/// The files that an account sees of it.
struct Files(Arc<Tree>);

impl Deref for Files {
    type Target = Tree;

    fn deref(&self) -> &Tree {
        &self.0
    }
}

impl Files {
    async fn stage(&self, path: &VirtualPath, from: StartAt) -> Result<Box<Part>> {
        let incoming = self.0.stage(path, from).await?;
        Ok(Box::new(Part::Incoming(incoming)))
    }
}

/// An upload in whatever state it is.
enum Part {
    Incoming(Incoming),
    Approved(Approved),
    /// It is published, or gone.
    Over,
}

impl Part {
    fn incoming(&self) -> &Incoming {
        match self {
            Self::Incoming(incoming) => incoming,
            Self::Approved(_) | Self::Over => panic!("nothing comes any more"),
        }
    }

    fn length(&self) -> u64 {
        self.incoming().length()
    }

    fn staged(&self) -> Arc<dyn Staged> {
        self.incoming().staged()
    }

    async fn write(&mut self, data: &mut [IoSlice<'_>]) -> Result<()> {
        match self {
            Self::Incoming(incoming) => incoming.write(data).await,
            Self::Approved(_) | Self::Over => panic!("nothing comes any more"),
        }
    }

    async fn publish(&mut self, path: &VirtualPath, replace: bool) -> Result<()> {
        self.publish_with(path, replace, None).await
    }

    /// All bytes have come, and the gate has accepted them.
    async fn publish_with(
        &mut self,
        path: &VirtualPath,
        replace: bool,
        sha256: Option<&str>,
    ) -> Result<()> {
        let approved = match std::mem::replace(self, Self::Over) {
            Self::Incoming(mut incoming) => {
                incoming.settle().await?;
                let received = incoming.complete().map_err(|failed| failed.error)?;
                received.approve(Approval::by_a_person(sha256))
            }
            Self::Approved(approved) => approved,
            Self::Over => panic!("it is published"),
        };
        match approved.publish(path, replace).await {
            Ok(()) => Ok(()),
            Err(failed) => {
                if let Some(approved) = failed.upload {
                    *self = Self::Approved(approved);
                }
                Err(failed.error)
            }
        }
    }

    fn into_staged(self) -> StagedUpload {
        match self {
            Self::Incoming(incoming) => incoming.into(),
            Self::Approved(approved) => approved.into(),
            Self::Over => panic!("it is published"),
        }
    }

    async fn keep(self: Box<Self>) -> Result<()> {
        self.into_staged().keep().await
    }

    async fn quarantine(self: Box<Self>, info: QuarantineInfo) -> Result<String> {
        self.into_staged().quarantine(info).await
    }
}

/// A storage in a directory of its own, a home in it, and a directory that must never be touched.
struct Fixture {
    directory: TempDir,
    config: config::Storage,
    local: Local,
    tree: Arc<Files>,
}

impl Fixture {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut config::Storage)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("outside")).unwrap();
        fs::write(directory.path().join("outside/secret"), "outside").unwrap();
        fs::write(directory.path().join("secret"), "outside").unwrap();
        let mut config = config::Storage {
            root: directory.path().join("state/files"),
            durability: Durability::None,
            ..config::Storage::default()
        };
        change(&mut config);
        let local = Local::open_at(
            "test",
            &config,
            &directory.path().join("state"),
            &Startup::real(),
        )
        .unwrap();
        let tree = local.open(&path("/home"), &"bob".into()).await.unwrap();
        Self {
            directory,
            config,
            local,
            tree,
        }
    }

    /// Everything anew, as after a restart. Parts that are still held would keep the old one.
    async fn restart(self) -> Self {
        let Self {
            directory,
            config,
            local,
            tree,
        } = self;
        drop((local, tree));
        let local = Local::open_at(
            "test",
            &config,
            &directory.path().join("state"),
            &Startup::real(),
        )
        .unwrap();
        let tree = local.open(&path("/home"), &"bob".into()).await.unwrap();
        Self {
            directory,
            config,
            local,
            tree,
        }
    }

    fn outside(&self) -> PathBuf {
        self.directory.path().join("outside")
    }

    fn home(&self) -> PathBuf {
        self.config.root.join("home")
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.home().join(name), content).unwrap();
    }

    fn content(&self, name: &str) -> String {
        fs::read_to_string(self.home().join(name)).unwrap()
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.home().join(name)).unwrap().mode() & 0o7777
    }

    /// The names in staging besides the lock, and the labels of the uploads there.
    fn staged(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.local.staging())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "lock" && name != "quarantine" && !name.ends_with(".spare"))
            .collect();
        let all = names.clone();
        names.retain(|name| {
            name.strip_suffix(".label").is_none_or(|key| {
                let labelled = |other: &String| other != name && other.starts_with(key);
                !all.iter().any(labelled)
            })
        });
        names.sort();
        names
    }

    /// The names in staging besides the lock.
    fn all_staged(&self) -> Vec<String> {
        let entries = fs::read_dir(self.local.staging()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names
            .filter(|name| name != "lock" && !name.ends_with(".spare"))
            .collect();
        names.sort();
        names
    }

    fn assert_outside_untouched(&self) {
        let names: Vec<_> = fs::read_dir(self.outside()).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
        assert_eq!(
            fs::read_to_string(self.outside().join("secret")).unwrap(),
            "outside"
        );
        assert_eq!(
            fs::read_to_string(self.directory.path().join("secret")).unwrap(),
            "outside"
        );
    }

    async fn stage(&self, name: &str, from: StartAt, content: &str) -> Box<Part> {
        let mut part = self.tree.stage(&path(name), from).await.unwrap();
        append(&mut part, content).await;
        part
    }

    async fn put(&self, name: &str, content: &str) -> Result<()> {
        let mut part = self.tree.stage(&path(name), StartAt::Start).await?;
        append(&mut part, content).await;
        part.publish(&path(name), true).await
    }

    async fn get(&self, name: &str) -> Result<String> {
        let source = self.tree.read(&path(name)).await?;
        let (buffer, length) = source.read_at(vec![0; 1000], 0).await?;
        Ok(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    async fn list(&self, name: &str) -> Result<Vec<Entry>> {
        let entries = self.list_with(name, Wanted::Facts).await?;
        // Without the other facts it is the same listing.
        let kinds = self.list_with(name, Wanted::Kinds).await?;
        let kind = |entry: &Entry| {
            let metadata = entry.metadata;
            (entry.name.clone(), metadata.kind, metadata.partial)
        };
        assert!(kinds.iter().map(kind).eq(entries.iter().map(kind)));
        Ok(entries)
    }

    async fn list_with(&self, name: &str, wanted: Wanted) -> Result<Vec<Entry>> {
        let mut listing = self.tree.list(&path(name), wanted).await?;
        let mut entries = Vec::new();
        while let Some(batch) = listing.next().await? {
            entries.extend(batch);
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    async fn names(&self, name: &str) -> Vec<String> {
        self.list(name)
            .await
            .unwrap()
            .into_iter()
            .map(|entry| entry.name)
            .collect()
    }
}

/// The facts that a session knows of an upload to `path`.
fn note(path: &str) -> QuarantineInfo {
    QuarantineInfo {
        host: HostId::default(),
        user: "bob".into(),
        path: path.into(),
        mode: UploadMode::Create,
        client: "192.0.2.1:1234".into(),
        session: "1a".into(),
        plugin: "guard".into(),
        reason: "it \"looks\" bad".into(),
        whole: true,
        sha256: None,
    }
}

fn path(text: &str) -> VirtualPath {
    VirtualPath::parse(text, &VirtualPath::root()).unwrap()
}

async fn append(part: &mut Part, content: &str) {
    // In two slices, an empty one between them.
    let (one, other) = content.as_bytes().split_at(content.len() / 2);
    let mut data = [IoSlice::new(one), IoSlice::new(b""), IoSlice::new(other)];
    part.write(&mut data).await.unwrap();
}

/// Sets a time in the past.
fn age(file: &Path, by: Duration) {
    let file = fs::File::options().write(true).open(file).unwrap();
    file.set_modified(SystemTime::now() - by).unwrap();
}

macro_rules! assert_error {
    ($result:expr, $error:pat) => {
        match $result {
            Err($error) => {}
            Err(error) => panic!("{}: {error:?}", stringify!($error)),
            Ok(_) => panic!("{}: it worked", stringify!($error)),
        }
    };
}
use assert_error;
