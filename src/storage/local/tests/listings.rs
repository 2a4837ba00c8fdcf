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
            ("directory", Kind::Directory, 0),
            ("file", Kind::File, 5),
            ("inside", Kind::Directory, 0),
        ]
    );
    for entry in &entries {
        let alone = fixture.tree.metadata(&path(&entry.name)).await.unwrap();
        assert_eq!(alone, entry.metadata);
    }
    assert_eq!(fixture.names("/directory/below").await, ["up"]);
    assert_eq!(fixture.names("/inside").await, ["below", "file"]);
    assert_eq!(fixture.names("/inside/below").await, ["up"]);
}

#[tokio::test]
async fn what_cannot_be_listed() {
    let fixture = Fixture::new().await;
    fixture.write("file", "");
    symlink("../../outside", fixture.home().join("outside")).unwrap();
    assert_error!(fixture.list("/file").await, Error::NotDirectory);
    assert_error!(fixture.list("/none").await, Error::NotFound);
    assert_error!(fixture.list("/outside").await, Error::NotFound);
    // A directory that is removed meanwhile just ends.
    fs::create_dir(fixture.home().join("gone")).unwrap();
    let mut listing = fixture.tree.list(&path("/gone")).await.unwrap();
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
    let mut listing = fixture.tree.list(&path("/")).await.unwrap();
    let mut seen = std::collections::HashSet::new();
    while let Some(batch) = listing.next().await.unwrap() {
        assert!(!batch.is_empty() && batch.len() < 2500, "{}", batch.len());
        seen.extend(batch.into_iter().map(|entry| entry.name));
    }
    assert_eq!(seen.len(), COUNT);
    // A reader that goes away leaves nothing running but one batch.
    let mut listing = fixture.tree.list(&path("/")).await.unwrap();
    listing.next().await.unwrap();
    drop(listing);
}
