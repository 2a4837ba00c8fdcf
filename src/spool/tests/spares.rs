//! Files that were replaced, and are written over.

use super::*;

impl Fixture {
    async fn overwrite(&self, name: &str, content: &str) {
        let mut part = self.stage(name, StartAt::Start, content).await;
        part.publish(&path(name), true).await.unwrap();
    }

    fn inode(&self, name: &str) -> u64 {
        fs::metadata(self.home().join(name)).unwrap().ino()
    }

    fn spares(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.local.staging()).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut spares: Vec<_> = paths
            .filter(|path| path.extension().is_some_and(|suffix| suffix == "spare"))
            .collect();
        spares.sort();
        spares
    }

    /// Whether files are kept at all, which takes leases and exchanges.
    async fn keeps(&self) -> bool {
        self.overwrite("/probe", "1").await;
        self.overwrite("/probe", "2").await;
        let keeps = !self.spares().is_empty();
        self.tree.remove_file(&path("/probe")).await.unwrap();
        assert_eq!(self.spares(), [""; 0].map(PathBuf::from));
        keeps
    }
}

#[tokio::test]
async fn a_name_that_is_overwritten_again_and_again_has_two_files_in_turns() {
    for durability in [
        crate::types::Durability::None,
        crate::types::Durability::FileAndDirectory,
    ] {
        let fixture = Fixture::with(|config| config.durability = durability).await;
        if !fixture.keeps().await {
            return;
        }
        let mut inodes = Vec::new();
        // Longer and shorter ones, so that nothing of an older one may be left.
        for content in ["first", "the second", "3", "", "the fifth of them", "6"] {
            fixture.overwrite("/file", content).await;
            assert_eq!(fixture.get("/file").await.unwrap(), content);
            assert_eq!(fixture.mode("file"), 0o644, "{content:?}");
            inodes.push(fixture.inode("file"));
        }
        assert_eq!(inodes[2..4], inodes[..2]);
        assert_eq!(inodes[4..6], inodes[..2]);
        assert_ne!(inodes[0], inodes[1]);
        let spares = fixture.spares();
        assert_eq!(spares.len(), 1);
        let mode = fs::metadata(&spares[0]).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        // The mode is that of the file that is replaced, as ever.
        let file = fixture.home().join("file");
        fs::set_permissions(file, fs::Permissions::from_mode(0o640)).unwrap();
        fixture.overwrite("/file", "seventh").await;
        assert_eq!(fixture.mode("file"), 0o640);
    }
}

#[tokio::test]
async fn whoever_reads_a_file_reads_it_to_its_end() {
    let fixture = Fixture::new().await;
    fixture.overwrite("/file", "the first content").await;
    let reader = fs::File::open(fixture.home().join("file")).unwrap();
    let download = fixture.tree.read(&path("/file")).await.unwrap();
    for number in 0..4 {
        fixture
            .overwrite("/file", &format!("another {number}"))
            .await;
    }
    let read = std::io::read_to_string(reader).unwrap();
    assert_eq!(read, "the first content");
    let (buffer, length) = download.read_at(vec![0; 100], 0).await.unwrap();
    assert_eq!(&buffer[..length], b"the first content");
}

#[tokio::test]
async fn an_older_content_is_no_part_of_an_upload() {
    let fixture = Fixture::new().await;
    if !fixture.keeps().await {
        return;
    }
    fixture.overwrite("/file", "the content of old").await;
    fixture.overwrite("/file", "new").await;
    let part = fixture.stage("/file", StartAt::Start, "").await;
    assert!(part.staged().read_at(0, 100).await.unwrap().is_empty());
    drop(part);
    // That one is gone with it.
    assert_eq!(fixture.spares(), [""; 0].map(PathBuf::from));
    fixture.overwrite("/file", "the content of old").await;
    fixture.overwrite("/file", "new").await;
    let part = fixture.stage("/file", StartAt::Start, "abc").await;
    let staged = part.staged();
    assert_eq!(staged.read_at(0, 100).await.unwrap(), "abc");
    // A broken one waits with its own bytes alone.
    part.keep().await.unwrap();
    let waits = fixture.tree.partial(&path("/file")).await.unwrap();
    assert_eq!(waits.map(|part| part.size), Some(3));
    let mut part = fixture.stage("/file", StartAt::Offset(3), "def").await;
    part.publish(&path("/file"), true).await.unwrap();
    assert_eq!(fixture.get("/file").await.unwrap(), "abcdef");
}

#[tokio::test]
async fn a_large_upload_becomes_a_file_of_its_own() {
    let fixture = Fixture::new().await;
    fixture.overwrite("/file", "old").await;
    fixture.overwrite("/file", "new").await;
    let chunk = "x".repeat(200 << 10);
    let mut part = fixture.stage("/file", StartAt::Start, &chunk).await;
    append(&mut part, &chunk).await;
    assert!(fixture.staged().iter().any(|name| name.ends_with(".new")));
    part.publish(&path("/file"), true).await.unwrap();
    assert_eq!(
        fs::metadata(fixture.home().join("file")).unwrap().len(),
        400 << 10
    );
    fixture.overwrite("/file", "small again").await;
    assert_eq!(fixture.content("file"), "small again");
}

#[tokio::test]
async fn files_of_others_are_not_written_over() {
    let fixture = Fixture::new().await;
    for name in ["linked", "noted"] {
        fixture.write(name, "the administrator's");
    }
    let link = fixture.outside().join("link");
    fs::hard_link(fixture.home().join("linked"), &link).unwrap();
    let _ = rustix::fs::setxattr(
        fixture.home().join("noted"),
        "user.note",
        b"theirs",
        rustix::fs::XattrFlags::empty(),
    );
    for name in ["/linked", "/noted"] {
        for content in ["1", "2", "3"] {
            fixture.overwrite(name, content).await;
        }
    }
    assert_eq!(fs::read_to_string(link).unwrap(), "the administrator's");
    assert_eq!(fixture.content("linked"), "3");
    fs::remove_file(fixture.outside().join("link")).unwrap();
}

#[tokio::test]
async fn a_file_that_got_another_name_meanwhile_is_not_written_over() {
    let fixture = Fixture::new().await;
    if !fixture.keeps().await {
        return;
    }
    fixture.overwrite("/file", "old").await;
    fixture.overwrite("/file", "new").await;
    let link = fixture.outside().join("link");
    fs::hard_link(&fixture.spares()[0], &link).unwrap();
    fixture.overwrite("/file", "newest").await;
    assert_eq!(fs::read_to_string(&link).unwrap(), "old");
    assert_eq!(fixture.content("file"), "newest");
}

#[tokio::test]
async fn a_directory_that_has_come_between_is_not_moved() {
    let fixture = Fixture::new().await;
    fixture.write("file", "old");
    let mut part = fixture.stage("/file", StartAt::Start, "new").await;
    fs::remove_file(fixture.home().join("file")).unwrap();
    fs::create_dir(fixture.home().join("file")).unwrap();
    fs::write(fixture.home().join("file/below"), "kept").unwrap();
    assert_error!(part.publish(&path("/file"), true).await, Error::IsDirectory);
    assert_eq!(fixture.content("file/below"), "kept");
}

#[tokio::test]
async fn a_start_removes_what_a_killed_server_left() {
    let fixture = Fixture::new().await;
    if !fixture.keeps().await {
        return;
    }
    fixture.overwrite("/file", "old").await;
    fixture.overwrite("/file", "new").await;
    let spares = fixture.spares();
    let copy = fixture.directory.path().join("copy");
    fs::copy(&spares[0], &copy).unwrap();
    let name = spares[0].clone();
    // An end in order leaves nothing.
    let fixture = fixture.restart().await;
    assert_eq!(fixture.spares(), [""; 0].map(PathBuf::from));
    let Fixture {
        directory,
        config,
        local,
        tree,
    } = fixture;
    drop((local, tree));
    fs::copy(&copy, &name).unwrap();
    let local = Local::open_at(
        "test",
        &config,
        &directory.path().join("state"),
        &Startup::real(),
    )
    .unwrap();
    assert!(!name.exists());
    assert_eq!(local.waiting(), []);
}
