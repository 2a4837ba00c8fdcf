use super::*;
use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

#[tokio::test]
async fn entries_are_what_they_lead_to() {
    let fixture = Fixture::new().await;
    fs::create_dir_all(fixture.home().join("directory/below")).unwrap();
    fixture.write(".hidden", "12");
    fixture.write("directory/file", "12345");
    let link = |to: &str, name: &str| symlink(to, fixture.home().join(name)).unwrap();
    link("../file", "directory/below/up");
    link("../../../file", "directory/below/too far up");
    link("../../outside", "outside");
    link("../../secret", "directory/secret");
    link("/", "root");
    link("/proc/self/root", "magic");
    link("nowhere", "dangling");
    link("circle", "circle");
    link("directory", "inside");
    link("directory/file", "file");
    let name = OsStr::from_bytes(b"not \xff utf-8");
    fs::write(fixture.home().join(name), "").unwrap();
    fs::write(fixture.home().join("two\r\nlines"), "").unwrap();

    let entries = fixture.list("/").await.unwrap();
    let shown: Vec<_> = entries
        .iter()
        .map(|entry| {
            (
                entry.name.as_str(),
                entry.metadata.kind,
                entry.metadata.size,
            )
        })
        .map(|(name, kind, size)| (name, kind, if kind == Kind::File { size } else { 0 }))
        .collect();
    assert_eq!(
        shown,
        [
            (".hidden", Kind::File, 2),
            ("circle", Kind::Link, 0),
            ("dangling", Kind::Link, 0),
            ("directory", Kind::Directory, 0),
            ("file", Kind::File, 5),
            ("inside", Kind::Directory, 0),
            ("magic", Kind::Link, 0),
            ("outside", Kind::Link, 0),
            ("root", Kind::Link, 0),
        ]
    );
    for entry in &entries {
        let alone = fixture.tree.metadata(&path(&entry.name)).await.unwrap();
        assert_eq!(alone, entry.metadata);
        // The length of a target is not told either.
        assert!(entry.metadata.kind != Kind::Link || entry.metadata.size == 0);
    }
    assert_eq!(
        fixture.names("/directory/below").await,
        ["too far up", "up"]
    );
    assert_eq!(fixture.names("/inside").await, ["below", "file", "secret"]);
    assert_eq!(fixture.names("/inside/below").await, ["too far up", "up"]);
}

#[tokio::test]
async fn what_cannot_be_listed() {
    let fixture = Fixture::new().await;
    fixture.write("file", "");
    symlink("../../outside", fixture.home().join("outside")).unwrap();
    assert_error!(fixture.list("/file").await, Error::NotDirectory);
    assert_error!(fixture.list("/none").await, Error::NotFound);
    assert_error!(fixture.list("/outside").await, Error::DanglingLink);
    // A directory that is removed meanwhile just ends.
    fs::create_dir(fixture.home().join("gone")).unwrap();
    let mut listing = fixture
        .tree
        .list(&path("/gone"), Wanted::Facts)
        .await
        .unwrap();
    fs::remove_dir(fixture.home().join("gone")).unwrap();
    assert!(listing.next().await.unwrap().is_none());
    assert!(listing.next().await.unwrap().is_none());
}

#[tokio::test]
async fn fifty_thousand_entries_come_in_small_batches() {
    const COUNT: usize = 50_000;
    let fixture = Fixture::new().await;
    for number in 0..COUNT {
        // Hard links to a few files: much quicker to make.
        let name = fixture.home().join(format!("{number}"));
        match number % 1000 {
            0 => drop(fs::File::create(name).unwrap()),
            rest => fs::hard_link(fixture.home().join(format!("{}", number - rest)), name).unwrap(),
        }
    }
    let mut listing = fixture.tree.list(&path("/"), Wanted::Facts).await.unwrap();
    let mut seen = std::collections::HashSet::new();
    while let Some(batch) = listing.next().await.unwrap() {
        assert!(!batch.is_empty() && batch.len() < 2500, "{}", batch.len());
        seen.extend(batch.into_iter().map(|entry| entry.name));
    }
    assert_eq!(seen.len(), COUNT);
    // A reader that goes away leaves nothing running but one batch.
    let mut listing = fixture.tree.list(&path("/"), Wanted::Facts).await.unwrap();
    listing.next().await.unwrap();
    drop(listing);
}

/// Names that no path can have, in a directory that holds nothing else.
fn odd_directory(fixture: &Fixture) {
    let directory = fixture.home().join("directory");
    fs::create_dir(&directory).unwrap();
    for name in [&b"not \xff utf-8"[..], b"two\nlines", b"\xfe%25"] {
        let content = String::from_utf8_lossy(name).replace('\u{fffd}', "");
        fs::write(directory.join(OsStr::from_bytes(name)), content).unwrap();
    }
    fs::create_dir_all(directory.join(OsStr::from_bytes(b"\xe9/below"))).unwrap();
    fs::write(directory.join(OsStr::from_bytes(b"\xe9/below/file")), "").unwrap();
    symlink("nowhere", directory.join(OsStr::from_bytes(b"\x01"))).unwrap();
}

#[tokio::test]
async fn regression_a_directory_says_why_it_is_not_empty() {
    let fixture = Fixture::new().await;
    odd_directory(&fixture);
    assert_eq!(fixture.names("/directory").await, [""; 0]);
    let removed = fixture.tree.remove_directory(&path("/directory")).await;
    assert_error!(removed, Error::NotShown { count: 5 });
    // A name like an escape is a name like any other.
    fixture.write("odd-name%x", "content");
    assert_eq!(fixture.get("/odd-name%x").await.unwrap(), "content");
    assert_error!(
        fixture
            .tree
            .metadata(&path("/directory/odd-name%two%0Alines"))
            .await,
        Error::NotFound
    );
}

#[tokio::test]
async fn odd_names_can_be_shown_and_done_away_with() {
    let fixture = Fixture::with(|config| config.odd_names = config::OddNames::Escape).await;
    let tree = &fixture.tree;
    odd_directory(&fixture);
    fixture.write("directory/odd-name%two%0Alines", "a real name");
    assert_eq!(
        fixture.names("/directory").await,
        [
            "odd-name%%01",
            "odd-name%%E9",
            "odd-name%%FE%2525",
            "odd-name%not %FF utf-8",
            "odd-name%odd-name%25two%250Alines",
            "odd-name%two%0Alines",
        ]
    );
    // Each name leads to its own entry.
    let get = async |name: &str| fixture.get(&format!("/directory/{name}")).await.unwrap();
    assert_eq!(get("odd-name%two%0Alines").await, "two\nlines");
    assert_eq!(
        get("odd-name%odd-name%25two%250Alines").await,
        "a real name"
    );
    fixture.write("file", "content");
    // Nothing new gets such a name, and nothing is made behind one.
    for name in [
        "/odd-name%a%FF",
        "/odd-name%a",
        "/directory/odd-name%%E9/new",
    ] {
        let name = path(name);
        assert_error!(tree.stage(&name, StartAt::Start).await, Error::Reserved);
        assert_error!(tree.make_directory(&name).await, Error::Reserved);
        let renamed = tree.rename(&path("/file"), &name, false).await;
        assert_error!(renamed, Error::Reserved);
    }
    let removed = tree.remove_directory(&path("/directory")).await;
    assert_error!(removed, Error::NotEmpty);
    // All of it can be renamed and removed.
    tree.rename(
        &path("/directory/odd-name%not %FF utf-8"),
        &path("/named"),
        false,
    )
    .await
    .unwrap();
    assert_eq!(fixture.get("/named").await.unwrap(), "not  utf-8");
    let below = "/directory/odd-name%%E9/below";
    assert_eq!(fixture.names(below).await, ["file"]);
    tree.remove_file(&path(&format!("{below}/file")))
        .await
        .unwrap();
    for directory in [below, "/directory/odd-name%%E9"] {
        tree.remove_directory(&path(directory)).await.unwrap();
    }
    for name in fixture.names("/directory").await {
        tree.remove_file(&path(&format!("/directory/{name}")))
            .await
            .unwrap();
    }
    tree.remove_directory(&path("/directory")).await.unwrap();
}
