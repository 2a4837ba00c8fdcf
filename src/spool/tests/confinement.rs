use super::*;
use std::sync::atomic::{AtomicBool, Ordering};

#[tokio::test]
async fn links_that_lead_outside_lead_nowhere() {
    let fixture = Fixture::new().await;
    let link = |to: &Path, name: &str| symlink(to, fixture.home().join(name)).unwrap();
    link(&fixture.outside(), "absolute");
    link(Path::new("../../../outside"), "relative");
    link(Path::new("/proc/self/root"), "magic");
    link(Path::new("/proc/self/cwd"), "cwd");
    link(Path::new(".."), "up");
    link(&fixture.outside().join("secret"), "secret");
    link(&fixture.home(), "absolute-but-inside");
    for name in [
        "absolute",
        "relative",
        "magic",
        "cwd",
        "up",
        "absolute-but-inside",
    ] {
        let (link, below) = (path(name), path(&format!("{name}/secret")));
        let tree = &fixture.tree;
        assert_eq!(tree.metadata(&link).await.unwrap().kind, Kind::Link);
        assert_error!(tree.read(&link).await, Error::DanglingLink);
        assert_error!(tree.metadata(&below).await, Error::NotFound);
        assert_error!(tree.read(&below).await, Error::NotFound);
        assert_error!(fixture.list(name).await, Error::DanglingLink);
        assert_error!(tree.stage(&below, StartAt::Start).await, Error::NotFound);
        assert_error!(tree.make_directory(&below).await, Error::NotFound);
        assert_error!(tree.remove_file(&below).await, Error::NotFound);
        assert_error!(tree.remove_directory(&below).await, Error::NotFound);
        assert_error!(
            tree.rename(&below, &path("/stolen"), true).await,
            Error::NotFound
        );
        assert_error!(tree.set_mode(&below, 0o777).await, Error::NotFound);
        let now = SystemTime::now();
        assert_error!(tree.set_times(&below, now, None).await, Error::NotFound);
        assert_error!(tree.available(&link).await, Error::NotFound);
        assert_error!(tree.set_mode(&link, 0o777).await, Error::DanglingLink);
        assert_error!(tree.make_directory(&link).await, Error::Exists);
        // The link itself can be renamed, and leads nowhere under its new name.
        let moved = path(&format!("/moved {name}"));
        tree.rename(&link, &moved, false).await.unwrap();
        assert_error!(tree.read(&moved).await, Error::DanglingLink);
        tree.rename(&moved, &link, false).await.unwrap();
        let mut part = fixture.stage("/new", StartAt::Start, "x").await;
        assert_error!(part.publish(&below, true).await, Error::NotFound);
    }
    assert_error!(
        fixture.tree.set_mode(&path("/secret"), 0o777).await,
        Error::DanglingLink
    );
    let times = fixture
        .tree
        .set_times(&path("/secret"), SystemTime::now(), None)
        .await;
    assert_error!(times, Error::DanglingLink);
    for from in [StartAt::Start, StartAt::Offset(1), StartAt::End] {
        let staged = fixture.tree.stage(&path("/secret"), from).await;
        assert_error!(staged, Error::DanglingLink);
    }
    let mut part = fixture.stage("/new", StartAt::End, "mine").await;
    assert_error!(part.publish(&path("/secret"), false).await, Error::Exists);
    let published = part.publish(&path("/secret"), true).await;
    assert_error!(published, Error::DanglingLink);
    fixture.assert_outside_untouched();
}

/// The link goes, and never its target, whatever that is and whether it is there.
#[tokio::test]
async fn regression_links_are_removed_themselves() {
    let fixture = Fixture::new().await;
    let tree = &fixture.tree;
    fs::create_dir(fixture.home().join("directory")).unwrap();
    fixture.write("directory/file", "content");
    for target in [
        "nowhere",
        "link",
        "nowhere/deeper",
        "directory/file/deeper",
        "../../outside",
        "../../secret",
        "/proc/self/root",
        "directory",
        "directory/file",
    ] {
        symlink(target, fixture.home().join("link")).unwrap();
        tree.rename(&path("/link"), &path("/other"), false)
            .await
            .unwrap();
        tree.remove_file(&path("/other")).await.unwrap();
        assert_eq!(fixture.names("/").await, ["directory"], "{target}");
        // A client that took it for a directory removes the link as well.
        symlink(target, fixture.home().join("link")).unwrap();
        let removed = tree.remove_directory(&path("/link")).await;
        if target == "directory/file" {
            assert_error!(removed, Error::NotDirectory);
            tree.remove_file(&path("/link")).await.unwrap();
        } else {
            removed.unwrap();
        }
        assert_eq!(fixture.names("/").await, ["directory"], "{target}");
    }
    assert_eq!(fixture.content("directory/file"), "content");
    fixture.assert_outside_untouched();
}

#[tokio::test]
async fn links_within_the_tree_work() {
    let fixture = Fixture::new().await;
    fs::create_dir_all(fixture.home().join("a/b")).unwrap();
    fixture.write("a/file", "content");
    let link = |to: &str, name: &str| symlink(to, fixture.home().join(name)).unwrap();
    link("../file", "a/b/up");
    link("a/b", "down");
    link("../home/a", "out and in again");
    assert_eq!(fixture.get("/a/b/up").await.unwrap(), "content");
    assert_eq!(fixture.get("/down/up").await.unwrap(), "content");
    assert_error!(fixture.get("/out and in again/file").await, Error::NotFound);
    fixture.put("/down/new", "new").await.unwrap();
    assert_eq!(fixture.content("a/b/new"), "new");
    assert_error!(fixture.put("/down", "x").await, Error::IsDirectory);
    assert_error!(
        fixture.tree.set_mode(&path("/down"), 0o700).await,
        Error::Unsupported
    );
    let times = fixture
        .tree
        .set_times(&path("/down"), SystemTime::now(), None)
        .await;
    assert_error!(times, Error::Unsupported);
    // The link itself is renamed and removed.
    fixture
        .tree
        .rename(&path("/a/b/up"), &path("/a/b/other"), false)
        .await
        .unwrap();
    fixture.tree.remove_file(&path("/a/b/other")).await.unwrap();
    fixture.tree.remove_file(&path("/down")).await.unwrap();
    assert_eq!(fixture.content("a/file"), "content");
    assert_eq!(fixture.content("a/b/new"), "new");
}

#[tokio::test]
async fn homes_are_told_apart_by_the_kernel() {
    let fixture = Fixture::new().await;
    fixture
        .local
        .open(&path("/home2"), &"eve".into())
        .await
        .unwrap();
    fs::write(fixture.config.root.join("home2/secret"), "eve's").unwrap();
    symlink("../home2", fixture.home().join("link")).unwrap();
    assert_error!(fixture.get("/link/secret").await, Error::NotFound);
    let above = fixture
        .local
        .open(&path("/"), &"admin".into())
        .await
        .unwrap();
    assert!(above.read(&path("/home/link/secret")).await.is_ok());
}

/// A directory and a link to outside change places all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn regression_no_race_leads_outside() {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let fixture = Fixture::new().await;
    let home = fixture.home();
    fs::create_dir(home.join("swap")).unwrap();
    fixture.write("swap/secret", "inside");
    fixture.write("mine", "mine");
    symlink(fixture.outside(), home.join("link")).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let swapping = std::thread::spawn({
        let (stop, home) = (stop.clone(), home.clone());
        move || {
            let (one, other) = (home.join("swap"), home.join("link"));
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).unwrap();
                count += 1;
            }
            count
        }
    });
    let tree = &fixture.tree;
    let secret = path("/swap/secret");
    let (mut inside, mut refused) = (0, 0);
    let mut count = |worked: bool| if worked { inside += 1 } else { refused += 1 };
    for round in 0..3000 {
        match fixture.get("/swap/secret").await {
            Ok(content) => assert_eq!(content, "inside"),
            Err(error) => assert!(matches!(error, Error::NotFound | Error::Busy), "{error:?}"),
        }
        if let Ok(mut part) = tree.stage(&path("/swap/new"), StartAt::Start).await {
            append(&mut part, "written").await;
            let published = part.publish(&path("/swap/new"), true).await;
            count(published.is_ok());
        }
        count(
            tree.rename(&path("/mine"), &path("/swap/mine"), true)
                .await
                .is_ok(),
        );
        count(
            tree.rename(&path("/swap/mine"), &path("/mine"), true)
                .await
                .is_ok(),
        );
        count(tree.make_directory(&path("/swap/directory")).await.is_ok());
        count(
            tree.remove_directory(&path("/swap/directory"))
                .await
                .is_ok(),
        );
        count(tree.set_mode(&secret, 0o600 | (round % 8)).await.is_ok());
        count(
            tree.set_times(&secret, SystemTime::UNIX_EPOCH, None)
                .await
                .is_ok(),
        );
        if let Ok(entries) = fixture.list_with("/swap", Wanted::Facts).await {
            // Outside there is one alone.
            let found = entries.iter().find(|entry| entry.name == "secret").unwrap();
            assert_eq!(found.metadata.size, 6);
        }
        count(tree.remove_file(&path("/swap/new")).await.is_ok());
    }
    stop.store(true, Ordering::Relaxed);
    assert!(swapping.join().unwrap() > 1000);
    assert!(
        inside > 0 && refused > 0,
        "{inside} worked, {refused} refused"
    );
    fixture.assert_outside_untouched();
    let outside = fs::metadata(fixture.outside().join("secret")).unwrap();
    assert!(outside.modified().unwrap() > SystemTime::UNIX_EPOCH);
}
