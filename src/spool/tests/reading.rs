use super::*;
use crate::storage;

#[tokio::test]
async fn a_file_is_read_at_any_offset() {
    let fixture = Fixture::new().await;
    fixture.write("file", "0123456789");
    let source = fixture.tree.read(&path("/file")).await.unwrap();
    assert_eq!(source.metadata().size, 10);
    assert_eq!(source.metadata().kind, Kind::File);
    let mut buffer = [0; 4];
    // It is in the page cache, having been written a moment ago. (Some file systems, tmpfs for one,
    // never say whether they would have to wait.)
    if let Some(length) = source.try_read_at(&mut buffer, 3).unwrap() {
        assert_eq!((length, &buffer), (4, b"3456"));
        assert_eq!(source.try_read_at(&mut buffer, 8).unwrap(), Some(2));
        assert_eq!(source.try_read_at(&mut buffer, 10).unwrap(), Some(0));
    }
    let (buffer, length) = source.read_at(vec![0; 20], 5).await.unwrap();
    assert_eq!(&buffer[..length], b"56789");
    assert_eq!(source.read_at(buffer, 10).await.unwrap().1, 0);
}

#[tokio::test]
async fn what_is_no_regular_file_is_not_read_and_blocks_nobody() {
    let fixture = Fixture::new().await;
    fs::create_dir(fixture.home().join("directory")).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let place = rustix::fs::CWD;
    rustix::fs::mknodat(place, fixture.home().join("pipe"), fifo, mode, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(fixture.home().join("socket")).unwrap();
    fixture.write("file", "");
    assert_error!(
        fixture.tree.read(&path("/directory")).await,
        Error::IsDirectory
    );
    assert_error!(fixture.tree.read(&path("/")).await, Error::IsDirectory);
    assert_error!(fixture.tree.read(&path("/pipe")).await, Error::NotRegular);
    assert_error!(fixture.tree.read(&path("/socket")).await, Error::NotRegular);
    assert_error!(fixture.tree.read(&path("/none")).await, Error::NotFound);
    assert_error!(
        fixture.tree.read(&path("/none/file")).await,
        Error::NotFound
    );
    assert_error!(
        fixture.tree.read(&path("/file/file")).await,
        Error::NotDirectory
    );
    assert_error!(fixture.put("/pipe", "x").await, Error::NotRegular);
    assert_error!(
        fixture.tree.stage(&path("/pipe"), StartAt::End).await,
        Error::NotRegular
    );
    let pipe = fixture.tree.metadata(&path("/pipe")).await.unwrap();
    assert_eq!(pipe.kind, Kind::Other);
}

#[tokio::test]
async fn metadata_is_the_systems() {
    let fixture = Fixture::new().await;
    fixture.write("file", "12345");
    let modified = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    let file = fs::File::options()
        .write(true)
        .open(fixture.home().join("file"))
        .unwrap();
    file.set_modified(modified).unwrap();
    let known = fs::metadata(fixture.home().join("file")).unwrap();
    let found = fixture.tree.metadata(&path("/file")).await.unwrap();
    assert_eq!(
        (found.kind, found.size, found.modified),
        (Kind::File, 5, modified)
    );
    assert_eq!(
        (found.mode, found.links),
        (known.mode() & 0o7777, known.nlink())
    );
    assert_eq!((found.owner, found.group), (known.uid(), known.gid()));
    assert_eq!(found.unique, (known.dev(), known.ino()));
    let root = fixture.tree.metadata(&path("/")).await.unwrap();
    assert_eq!(root.kind, Kind::Directory);
    assert!(fixture.tree.available(&path("/file")).await.unwrap() > 0);
}

#[tokio::test]
async fn a_download_goes_on_with_the_old_content() {
    let fixture = Fixture::new().await;
    fixture.put("/file", "the old one").await.unwrap();
    let source = fixture.tree.read(&path("/file")).await.unwrap();
    fixture.put("/file", "NEW").await.unwrap();
    let (buffer, length) = source.read_at(vec![0; 100], 0).await.unwrap();
    assert_eq!(&buffer[..length], b"the old one");
    assert_eq!(fixture.get("/file").await.unwrap(), "NEW");
    fixture.tree.remove_file(&path("/file")).await.unwrap();
    assert_eq!(source.read_at(vec![0; 100], 0).await.unwrap().1, 11);
}

#[tokio::test]
async fn what_is_not_in_the_cache_is_opened_in_the_pool() {
    let fixture = Fixture::new().await;
    fs::create_dir(fixture.home().join("below")).unwrap();
    let state = fixture.directory.path().join("state");
    let (config, startup) = (&fixture.config, Startup::real());
    let backend = storage::local::Local::open("test", config, &state, &startup).unwrap();
    let cold = Storage::over(&backend.cold(), "test", config, &state, &startup).unwrap();
    let fixture = Fixture {
        tree: Local(cold)
            .open(&path("/home"), &"bob".into())
            .await
            .unwrap(),
        ..fixture
    };
    fixture.put("/below/file", "content").await.unwrap();
    assert_eq!(fixture.get("/below/file").await.unwrap(), "content");
    assert_eq!(fixture.names("/below").await, ["file"]);
    assert_error!(fixture.get("/below/none").await, Error::NotFound);
    fixture
        .tree
        .rename(&path("/below/file"), &path("/file"), false)
        .await
        .unwrap();
    assert_eq!(fixture.tree.metadata(&path("/file")).await.unwrap().size, 7);
}
