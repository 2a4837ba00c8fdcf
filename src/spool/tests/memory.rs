//! The same promises where a backend reads what it publishes, and is no file system.

use super::*;
use crate::storage::{Amount, Capabilities, memory::Memory};

/// As an object store: no modes, no times, no free space.
const FEW: Capabilities = Capabilities {
    writable: true,
    modes: false,
    times: false,
    free_space: false,
};

/// Files in memory, and a spool beside them.
struct InMemory {
    memory: Memory,
    state: TempDir,
    config: config::Storage,
    local: Local,
    tree: Arc<Files>,
}

impl InMemory {
    async fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        Self::over(Memory::new(FEW), state, config::Storage::default()).await
    }

    async fn over(memory: Memory, state: TempDir, config: config::Storage) -> Self {
        let startup = Startup::real();
        let storage = Storage::over(&memory, "test", &config, state.path(), &startup);
        let local = Local(storage.unwrap());
        let tree = local.open(&path("/home"), &"bob".into()).await.unwrap();
        Self {
            memory,
            state,
            config,
            local,
            tree,
        }
    }

    /// As after the server's restart; the files are elsewhere, and stay.
    async fn restart(self) -> Self {
        let Self {
            memory,
            state,
            config,
            local,
            tree,
        } = self;
        drop((local, tree));
        Self::over(memory, state, config).await
    }

    async fn stage(&self, name: &str, from: StartAt, content: &str) -> Box<Part> {
        let mut part = self.tree.stage(&path(name), from).await.unwrap();
        append(&mut part, content).await;
        part
    }

    async fn put(&self, name: &str, content: &str) {
        let mut part = self.stage(name, StartAt::Start, content).await;
        part.publish(&path(name), true).await.unwrap();
    }

    async fn get(&self, name: &str) -> Result<String> {
        let content = self.tree.read(&path(name)).await?;
        let length = usize::try_from(content.metadata().size).unwrap();
        let (buffer, read) = content.read_at(vec![0; length], 0).await?;
        assert_eq!(read, length);
        Ok(String::from_utf8(buffer).unwrap())
    }

    async fn waits(&self, name: &str) -> Option<u64> {
        let part = self.tree.partial(&path(name)).await.unwrap();
        part.map(|part| part.size)
    }

    /// Nothing is under way, and nothing waits.
    #[track_caller]
    fn assert_nothing_left(&self) {
        let entries = fs::read_dir(self.local.staging()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = names
            .filter(|name| name != "lock" && name != "quarantine")
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[tokio::test]
async fn an_upload_is_seen_when_it_is_published() {
    let fixture = InMemory::new().await;
    let mut part = fixture.stage("/file", StartAt::Start, "content").await;
    assert_error!(fixture.get("/file").await, Error::NotFound);
    assert_eq!(part.staged().read_at(3, 100).await.unwrap(), "tent");
    part.publish(&path("/file"), false).await.unwrap();
    assert_eq!(fixture.get("/file").await.unwrap(), "content");
    let mut part = fixture.stage("/file", StartAt::Start, "new").await;
    assert_error!(part.publish(&path("/file"), false).await, Error::Exists);
    assert_eq!(fixture.get("/file").await.unwrap(), "content");
    part.publish(&path("/file"), true).await.unwrap();
    assert_eq!(fixture.get("/file").await.unwrap(), "new");
    drop(fixture.stage("/file", StartAt::Start, "dropped").await);
    assert_eq!(fixture.get("/file").await.unwrap(), "new");
    fixture.assert_nothing_left();
}

#[tokio::test]
async fn a_broken_one_goes_on_after_a_restart() {
    let fixture = InMemory::new().await;
    fixture.put("/old", "old").await;
    for name in ["/new", "/old"] {
        let part = fixture.stage(name, StartAt::Start, "0123456789").await;
        part.keep().await.unwrap();
    }
    let fixture = fixture.restart().await;
    for name in ["/new", "/old"] {
        assert_eq!(fixture.waits(name).await, Some(10));
        let mut part = fixture.stage(name, StartAt::Offset(4), "abc").await;
        part.publish(&path(name), true).await.unwrap();
        assert_eq!(fixture.get(name).await.unwrap(), "0123abc");
    }
    fixture.assert_nothing_left();
}

#[tokio::test]
async fn a_published_file_is_read_to_go_on_from() {
    let fixture = InMemory::new().await;
    let (old, more) = ("0123456789abcdef".repeat(1 << 18), "more".repeat(1000));
    fixture.put("/file", &old).await;
    // The bytes behind it are written while it is read.
    let mut part = fixture.stage("/file", StartAt::End, &more).await;
    assert_eq!(part.length(), (old.len() + more.len()) as u64);
    let at = old.len() as u64 - 4;
    assert_eq!(part.staged().read_at(at, 8).await.unwrap(), "cdefmore");
    assert_eq!(fixture.get("/file").await.unwrap().len(), old.len());
    part.publish(&path("/file"), true).await.unwrap();
    assert!(fixture.get("/file").await.unwrap() == old + &more);
    let mut part = fixture.stage("/file", StartAt::Offset(3), "!").await;
    part.publish(&path("/file"), true).await.unwrap();
    assert_eq!(fixture.get("/file").await.unwrap(), "012!");
    fixture.assert_nothing_left();
}

#[tokio::test]
async fn nothing_goes_on_from_another_version() {
    let fixture = InMemory::new().await;
    fixture.put("/file", "old").await;
    let part = fixture.stage("/file", StartAt::Start, "0123456789").await;
    part.keep().await.unwrap();
    let mut adding = fixture.stage("/other", StartAt::End, "+").await;
    let home = path("/home");
    let alice = fixture.local.open(&home, &"alice".into()).await.unwrap();
    for name in ["/file", "/other"] {
        let mut part = alice.stage(&path(name), StartAt::Start).await.unwrap();
        append(&mut part, "hers").await;
        part.publish(&path(name), true).await.unwrap();
    }
    assert_error!(adding.publish(&path("/other"), true).await, Error::Changed);
    adding.keep().await.unwrap();
    assert_eq!(fixture.local.expire().await.unwrap(), 1);
    assert_eq!(fixture.waits("/file").await, None);
    assert_eq!(fixture.get("/file").await.unwrap(), "hers");
    assert_eq!(fixture.get("/other").await.unwrap(), "hers");
    fixture.assert_nothing_left();
}

#[tokio::test]
async fn a_quota_counts_what_is_there_and_what_comes() {
    let fixture = InMemory::new().await;
    fixture.put("/file", "12345").await;
    assert_eq!(fixture.tree.usage().await.unwrap(), Amount::file(5));
    let mut incoming = fixture
        .tree
        .0
        .stage(&path("/new"), StartAt::Start)
        .await
        .unwrap();
    let quota = Quota {
        bytes: Some(10),
        files: None,
    };
    incoming.set_quota(quota).unwrap();
    incoming.write(&mut [IoSlice::new(b"12345")]).await.unwrap();
    let more = incoming.write(&mut [IoSlice::new(b"6")]).await;
    assert_error!(more, Error::Quota);
    let received = incoming.complete().unwrap();
    // Somebody else was faster.
    fixture.put("/file", "123456").await;
    let approved = received.approve(Approval::by_a_person(None));
    let failed = approved.publish(&path("/new"), false).await.unwrap_err();
    assert!(matches!(failed.error, Error::Quota));
    fixture.tree.remove_file(&path("/file")).await.unwrap();
    let approved = failed.upload.unwrap();
    approved.publish(&path("/new"), false).await.unwrap();
    assert_eq!(fixture.tree.usage().await.unwrap(), Amount::file(5));
}

#[tokio::test]
async fn a_quota_of_files_counts_those_under_way_and_no_directories() {
    let fixture = InMemory::new().await;
    fixture.put("/file", "12345").await;
    fixture
        .tree
        .0
        .make_directory(&path("/directory"))
        .await
        .unwrap();
    assert_eq!(fixture.tree.usage().await.unwrap(), Amount::file(5));
    let quota = Quota {
        bytes: None,
        files: Some(2),
    };
    let stage = async |name: &str| {
        let staged = fixture.tree.0.stage(&path(name), StartAt::Start).await;
        let mut incoming = staged.unwrap();
        incoming.set_quota(quota).map(|()| incoming)
    };
    let second = stage("/second").await.unwrap();
    assert_error!(stage("/third").await, Error::QuotaFiles);
    // One that takes the place of another adds none.
    let again = stage("/file").await.unwrap();
    drop(again);
    let approval = Approval::by_a_person(None);
    let approved = second.complete().unwrap().approve(approval);
    // Somebody else was faster.
    fixture.put("/other", "1").await;
    let failed = approved.publish(&path("/second"), false).await.unwrap_err();
    assert!(matches!(failed.error, Error::QuotaFiles));
    fixture.tree.remove_file(&path("/other")).await.unwrap();
    let approved = failed.upload.unwrap();
    approved.publish(&path("/second"), false).await.unwrap();
    assert_eq!(fixture.tree.usage().await.unwrap().files, 2);
    assert_error!(stage("/third").await, Error::QuotaFiles);
}

#[tokio::test]
async fn quarantine_holds_and_releases() {
    let fixture = InMemory::new().await;
    let mut ids = Vec::new();
    for name in ["/report", "/evil"] {
        let part = fixture.stage(name, StartAt::Start, "content").await;
        ids.push(part.quarantine(note(name)).await.unwrap());
        assert_error!(fixture.get(name).await, Error::NotFound);
    }
    let fixture = fixture.restart().await;
    fixture.local.release(&ids[0], false).await.unwrap();
    fixture.local.discard(&ids[1]).await.unwrap();
    assert_eq!(fixture.get("/report").await.unwrap(), "content");
    assert_error!(fixture.get("/evil").await, Error::NotFound);
    assert_eq!(fixture.local.quarantined().await.unwrap(), []);
    fixture.assert_nothing_left();
}

#[tokio::test]
async fn where_nothing_may_change_nothing_is_staged() {
    let memory = Memory::new(Capabilities {
        writable: false,
        ..FEW
    });
    let (state, config) = (tempfile::tempdir().unwrap(), config::Storage::default());
    let startup = Startup::real();
    let storage = Storage::over(&memory, "test", &config, state.path(), &startup).unwrap();
    let tree = storage.home(&path("/"), &"bob".into()).await.unwrap();
    let staged = tree.stage(&path("/file"), StartAt::Start).await;
    assert_error!(staged, Error::ReadOnly);
}
