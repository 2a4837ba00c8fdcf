use super::*;

#[tokio::test]
async fn directories_come_and_go() {
    let fixture = Fixture::new().await;
    let tree = &fixture.tree;
    tree.make_directory(&path("/a")).await.unwrap();
    tree.make_directory(&path("/a/b")).await.unwrap();
    assert_error!(tree.make_directory(&path("/a")).await, Error::Exists);
    assert_error!(tree.make_directory(&path("/")).await, Error::Exists);
    assert_error!(tree.make_directory(&path("/none/b")).await, Error::NotFound);
    assert_error!(tree.remove_directory(&path("/a")).await, Error::NotEmpty);
    assert_error!(tree.remove_directory(&path("/")).await, Error::Denied);
    assert_error!(tree.remove_file(&path("/a")).await, Error::IsDirectory);
    assert_error!(tree.remove_file(&path("/")).await, Error::IsDirectory);
    fixture.write("a/file", "");
    assert_error!(
        tree.remove_directory(&path("/a/file")).await,
        Error::NotDirectory
    );
    tree.remove_directory(&path("/a/b")).await.unwrap();
    assert_error!(tree.remove_directory(&path("/a/b")).await, Error::NotFound);
    tree.remove_file(&path("/a/file")).await.unwrap();
    tree.remove_directory(&path("/a")).await.unwrap();
    assert_eq!(fixture.names("/").await, [""; 0]);
    let deep = format!("/{}", "n".repeat(255));
    tree.make_directory(&path(&deep)).await.unwrap();
    let deeper = deep.repeat(16);
    assert_error!(
        tree.make_directory(&path(&deeper)).await,
        Error::NotFound | Error::NameTooLong
    );
}

#[tokio::test]
async fn renames() {
    let fixture = Fixture::new().await;
    fixture.write("one", "1");
    fixture.write("two", "2");
    for name in ["full", "empty", "other"] {
        fs::create_dir(fixture.home().join(name)).unwrap();
    }
    fixture.write("full/file", "");
    let rename = async |from: &str, to: &str, replace| {
        fixture.tree.rename(&path(from), &path(to), replace).await
    };
    assert_error!(rename("/one", "/two", false).await, Error::Exists);
    assert_eq!(
        (fixture.content("one"), fixture.content("two")),
        ("1".into(), "2".into())
    );
    rename("/one", "/two", true).await.unwrap();
    assert_eq!(fixture.content("two"), "1");
    assert_error!(rename("/one", "/three", true).await, Error::NotFound);
    rename("/two", "/full/three", false).await.unwrap();
    assert_eq!(fixture.content("full/three"), "1");
    assert_error!(
        rename("/full/three", "/none/three", true).await,
        Error::NotFound
    );
    assert_error!(
        rename("/full/three", "/empty", true).await,
        Error::IsDirectory
    );
    assert_error!(rename("/full/three", "/empty", false).await, Error::Exists);
    // Directories: nowhere that something is, and not into themselves.
    assert_error!(rename("/full", "/empty", true).await, Error::Exists);
    assert_error!(rename("/full", "/full/below", true).await, Error::Denied);
    assert_error!(rename("/full", "/", true).await, Error::Denied);
    assert_error!(rename("/", "/full", true).await, Error::Denied);
    rename("/full", "/empty/full", true).await.unwrap();
    assert_eq!(fixture.names("/empty/full").await, ["file", "three"]);
    rename("/empty/full/file", "/empty/full/file", true)
        .await
        .unwrap();
}

#[tokio::test]
async fn times_and_modes() {
    let fixture = Fixture::new().await;
    fixture.write("file", "");
    fs::create_dir(fixture.home().join("directory")).unwrap();
    let accessed = fs::metadata(fixture.home().join("file"))
        .unwrap()
        .accessed()
        .unwrap();
    let epoch = SystemTime::UNIX_EPOCH;
    let early = epoch - Duration::new(1000, 750_000_000);
    for time in [epoch + Duration::new(1_234_567_890, 5000), epoch, early] {
        for name in ["file", "directory"] {
            fixture
                .tree
                .set_times(&path(name), time, None)
                .await
                .unwrap();
            assert_eq!(
                fixture.tree.metadata(&path(name)).await.unwrap().modified,
                time
            );
        }
    }
    let metadata = || fs::metadata(fixture.home().join("file")).unwrap();
    assert_eq!(metadata().accessed().unwrap(), accessed);
    fixture
        .tree
        .set_times(&path("file"), epoch, Some(early))
        .await
        .unwrap();
    assert_eq!(metadata().accessed().unwrap(), early);
    assert_error!(
        fixture.tree.set_times(&path("none"), epoch, None).await,
        Error::NotFound
    );

    for mode in [0o000, 0o644, 0o7755] {
        fixture.tree.set_mode(&path("file"), mode).await.unwrap();
        assert_eq!(fixture.mode("file"), mode & 0o777);
    }
    fixture
        .tree
        .set_mode(&path("/directory"), 0o4711)
        .await
        .unwrap();
    assert_eq!(fixture.mode("directory"), 0o711);
    assert_error!(
        fixture.tree.set_mode(&path("none"), 0).await,
        Error::NotFound
    );
}

#[test]
fn errors_of_the_system_are_told_apart() {
    use rustix::io::Errno;
    for (errno, expected) in [
        (Errno::NOENT, "NotFound"),
        (Errno::LOOP, "NotFound"),
        (Errno::ACCESS, "Denied"),
        (Errno::PERM, "Denied"),
        (Errno::EXIST, "Exists"),
        (Errno::NOTEMPTY, "NotEmpty"),
        (Errno::ISDIR, "IsDirectory"),
        (Errno::NOTDIR, "NotDirectory"),
        (Errno::NOSPC, "NoSpace"),
        (Errno::DQUOT, "NoSpace"),
        (Errno::FBIG, "NoSpace"),
        (Errno::ROFS, "ReadOnly"),
        (Errno::XDEV, "CrossDevice"),
        (Errno::NAMETOOLONG, "NameTooLong"),
        (Errno::BUSY, "Busy"),
    ] {
        assert_eq!(format!("{:?}", Error::from(errno)), expected, "{errno:?}");
    }
    assert!(matches!(Error::from(Errno::IO), Error::Io(_)));
}

/// Needs to mount, so `./test` runs it where that is possible.
#[tokio::test]
#[ignore = "mounts a file system"]
async fn a_mounted_file_system() {
    let fixture = Fixture::new().await;
    let mounted = fixture.home().join("mounted");
    fs::create_dir(&mounted).unwrap();
    let mount = |options: &str| {
        let mut command = std::process::Command::new("mount");
        command
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(&mounted);
        // Removed files may still be open for a moment, and the file system busy.
        let tried = (0..1000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            command.status().unwrap().success()
        });
        assert!(tried, "{command:?}");
    };
    mount("size=64k");
    // In the tree, but not in reach of a rename.
    let mut part = fixture.stage("/mounted/file", StartAt::Start, "x").await;
    assert_error!(
        part.publish(&path("/mounted/file"), true).await,
        Error::CrossDevice
    );
    part.publish(&path("/file"), true).await.unwrap();
    let moved = fixture
        .tree
        .rename(&path("/file"), &path("/mounted/file"), false)
        .await;
    assert_error!(moved, Error::CrossDevice);
    assert_error!(
        fixture.tree.remove_directory(&path("/mounted")).await,
        Error::Busy
    );
    // As a storage of its own it is full soon.
    let config = config::Storage {
        root: mounted.join("root"),
        ..fixture.config.clone()
    };
    let local = Local::open_at(
        "small",
        &config,
        &fixture.directory.path().join("other"),
        &Startup::real(),
    )
    .unwrap();
    assert_eq!(local.staging(), mounted.join(".root.portcullis-staging"));
    let tree = local.open(&path("/"), &"bob".into()).await.unwrap();
    let mut part = tree.stage(&path("/file"), StartAt::Start).await.unwrap();
    let data = vec![b'x'; 100 << 10];
    let written = part.write(&mut [IoSlice::new(&data)]).await;
    assert_error!(written, Error::NoSpace);
    assert!(
        part.length() > 0 && part.length() <= 64 << 10,
        "{}",
        part.length()
    );
    part.keep().await.unwrap();
    // One alone may have all of it, and of several the last stay.
    let waits = async |name: &str| tree.partial(&path(name)).await.unwrap().is_some();
    assert!(waits("/file").await);
    for (name, first) in [("/one", "/file"), ("/two", "/one")] {
        let mut part = tree.stage(&path(name), StartAt::Start).await.unwrap();
        let data = vec![b'x'; 28 << 10];
        part.write(&mut [IoSlice::new(&data)]).await.unwrap();
        part.keep().await.unwrap();
        assert!(waits(name).await && !waits(first).await, "{name}");
    }
    tree.remove_file(&path("/two")).await.unwrap();
    drop((tree, local));
    mount("remount,ro");
    let config = config::Storage {
        root: mounted.clone(),
        ..fixture.config.clone()
    };
    let local = Local::open_at(
        "still",
        &config,
        &fixture.directory.path().join("other"),
        &Startup::real(),
    )
    .unwrap();
    let tree = local.open(&path("/"), &"bob".into()).await.unwrap();
    assert_error!(
        tree.stage(&path("/file"), StartAt::Start).await,
        Error::ReadOnly
    );
    assert_error!(tree.make_directory(&path("/new")).await, Error::ReadOnly);
    assert!(tree.list(&path("/"), Wanted::Facts).await.is_ok());
    drop((tree, local));
    assert!(
        std::process::Command::new("umount")
            .arg(&mounted)
            .status()
            .unwrap()
            .success()
    );
}
