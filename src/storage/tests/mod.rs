//! The duties of every backend: the same tests for all of them.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod files;
mod publishing;

use std::{
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tempfile::TempDir;

use super::{local::Local, memory::Memory, *};
use crate::{gate::upload::Approval, startup::Startup, types::Durability};

/// A backend, a home in it, and a directory that it takes files from.
struct Subject {
    backend: Arc<dyn Backend>,
    home: Arc<dyn Home>,
    spool: Arc<OwnedFd>,
    directory: TempDir,
    number: AtomicU64,
}

const ALL: Capabilities = Capabilities {
    writable: true,
    modes: true,
    times: true,
    free_space: true,
};

/// The capabilities of an object store.
const FEW: Capabilities = Capabilities {
    writable: true,
    modes: false,
    times: false,
    free_space: false,
};

impl Subject {
    async fn local(durability: Durability) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = config::Storage {
            root: directory.path().join("files"),
            durability,
            ..config::Storage::default()
        };
        let local = Local::open("test", &config, directory.path(), &Startup::real()).unwrap();
        Self::new(local.configured(&config, 0o755), directory).await
    }

    async fn memory(capabilities: Capabilities) -> Self {
        let memory = Arc::new(Memory::new(capabilities));
        Self::new(memory, tempfile::tempdir().unwrap()).await
    }

    async fn new(backend: Arc<dyn Backend>, directory: TempDir) -> Self {
        let spool = directory.path().join("spool");
        std::fs::create_dir(&spool).unwrap();
        assert!(backend.may_take_from(&spool).unwrap());
        backend.make_home(&path("/home")).await.unwrap();
        Self {
            home: backend.home(&path("/home")).await.unwrap(),
            backend,
            spool: Arc::new(std::fs::File::open(spool).unwrap().into()),
            directory,
            number: AtomicU64::new(0),
        }
    }

    /// A file in the spool, approved.
    fn publication(&self, content: &str, admission: impl Admission + 'static) -> Publication {
        let name = self.number.fetch_add(1, Ordering::Relaxed).to_string();
        let at = self.directory.path().join("spool").join(&name);
        std::fs::write(&at, content).unwrap();
        let handle = std::fs::File::options().read(true).write(true).open(at);
        let file = SpoolFile {
            directory: self.spool.clone(),
            name,
            handle: Arc::new(handle.unwrap().into()),
            length: content.len() as u64,
            mode: None,
            labelled: false,
        };
        let approval = Approval::by_a_person(Some(DIGEST));
        Publication::new(&approval, file, Box::new(admission))
    }

    /// Makes a file, or gives it another content.
    async fn put(&self, name: &str, content: &str) {
        let publication = self.replacing(content);
        self.home.publish(&path(name), publication).await.unwrap();
    }

    /// One that may take the place of another file.
    fn replacing(&self, content: &str) -> Publication {
        let mut publication = self.publication(content, Unlimited);
        (publication.replace, publication.replaces) = (true, true);
        publication
    }

    /// One that takes the place of this very version.
    fn conditional(&self, content: &str, over: Identity) -> Publication {
        let mut publication = self.replacing(content);
        publication.over = Some(over);
        publication
    }

    async fn get(&self, name: &str) -> Result<String> {
        content(&*self.home.open(&path(name)).await?).await
    }

    async fn identity(&self, name: &str) -> Identity {
        self.home.find(&path(name)).await.unwrap().identity
    }

    async fn names(&self, name: &str) -> Vec<String> {
        let mut listing = self.home.list(&path(name), Wanted::Kinds).await.unwrap();
        let mut names = Vec::new();
        while let Some(entries) = listing.next().await.unwrap() {
            names.extend(entries.into_iter().map(|entry| entry.name));
        }
        names.sort();
        names
    }

    /// How many files are in the spool.
    fn spooled(&self) -> usize {
        let spool = self.directory.path().join("spool");
        std::fs::read_dir(spool).unwrap().count()
    }
}

async fn content(content: &dyn Content) -> Result<String> {
    let (buffer, length) = content.read_at(vec![0; 1000], 0).await?;
    Ok(String::from_utf8(buffer[..length].to_vec()).unwrap())
}

const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Room for everything.
struct Unlimited;

impl Admission for Unlimited {
    fn admit(&mut self, _: Option<u64>) -> Result<()> {
        Ok(())
    }

    fn published(&mut self) {}
}

fn path(text: &str) -> VirtualPath {
    VirtualPath::parse(text, &VirtualPath::root()).unwrap()
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

/// Each test with each backend.
macro_rules! for_all {
    ($($test:ident),* $(,)?) => {
        for_all! { local, Subject::local(Durability::None), $($test),* }
        for_all! { local_durable, Subject::local(Durability::FileAndDirectory), $($test),* }
        for_all! { memory, Subject::memory(ALL), $($test),* }
        for_all! { memory_with_few_capabilities, Subject::memory(FEW), $($test),* }
    };
    ($backend:ident, $subject:expr, $($test:ident),*) => {
        mod $backend {
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test($subject.await).await;
                }
            )*
        }
    };
}
use for_all;
