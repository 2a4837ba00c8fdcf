//! Broken uploads: who sees them, and for how long they are kept.

use super::*;
use crate::config::PartialListing;

async fn keep(fixture: &Fixture, name: &str, content: &str) {
    let part = fixture.stage(name, StartAt::Start, content).await;
    part.keep().await.unwrap();
}

fn labels(local: &Local) -> Vec<Option<(UserId, String)>> {
    let waiting = local.waiting().into_iter();
    let mut labels: Vec<_> = waiting.map(|waiting| waiting.label).collect();
    labels.sort();
    labels
}

fn label(path: &str) -> Option<(UserId, String)> {
    Some(("bob".into(), path.to_owned()))
}

#[tokio::test]
async fn its_owner_alone_sees_it_in_listings() {
    let fixture = Fixture::new().await;
    fs::create_dir(fixture.home().join("in")).unwrap();
    fixture.write("in/old", "the old one");
    keep(&fixture, "/in/new", "0123").await;
    keep(&fixture, "/in/old", "01").await;
    keep(&fixture, "/elsewhere", "0").await;
    let sizes = |entries: Vec<Entry>| -> Vec<(String, u64, Option<u64>)> {
        let sizes = entries.into_iter().map(|entry| {
            let metadata = entry.metadata;
            let partial = metadata.partial.map(|part| part.size);
            (entry.name, metadata.size, partial)
        });
        sizes.collect()
    };
    let owners = [
        ("new".to_owned(), 4, Some(4)),
        ("old".to_owned(), 11, Some(2)),
    ];
    assert_eq!(sizes(fixture.list("/in").await.unwrap()), owners);
    assert_eq!(fixture.content("in/old"), "the old one");

    let alice = fixture
        .local
        .open(&path("/home"), &"alice".into())
        .await
        .unwrap();
    let mut listing = alice.list(&path("/in"), Wanted::Facts).await.unwrap();
    let entries = sizes(listing.next().await.unwrap().unwrap());
    assert_eq!(entries, [("old".to_owned(), 11, None)]);
    assert!(listing.next().await.unwrap().is_none());
    // Its owner from another home does.
    let above = fixture.local.open(&path("/"), &"bob".into()).await.unwrap();
    let mut listing = above.list(&path("/home/in"), Wanted::Facts).await.unwrap();
    let mut all = Vec::new();
    while let Some(entries) = listing.next().await.unwrap() {
        all.extend(sizes(entries));
    }
    all.sort();
    assert_eq!(all, owners);
}

#[tokio::test]
async fn each_is_another_file() {
    let fixture = Fixture::new().await;
    keep(&fixture, "/one", "1").await;
    keep(&fixture, "/two", "22").await;
    let unique = |entry: &Entry| entry.metadata.unique;
    let entries = fixture.list("/").await.unwrap();
    assert_ne!(unique(&entries[0]), unique(&entries[1]));
    let fixture = fixture.restart().await;
    assert_eq!(fixture.list("/").await.unwrap(), entries);
}

#[tokio::test]
async fn listings_can_hide_it() {
    let hide = |config: &mut config::Storage| config.partial_listing = PartialListing::Hide;
    let fixture = Fixture::with(hide).await;
    keep(&fixture, "/file", "0123").await;
    assert_eq!(fixture.names("/").await, [""; 0]);
    let part = fixture.tree.partial(&path("/file")).await.unwrap();
    assert_eq!(part.map(|part| part.size), Some(4));
}

#[tokio::test]
async fn whose_it_is_outlives_a_restart() {
    let fixture = Fixture::new().await;
    keep(&fixture, "/one", "1").await;
    keep(&fixture, "/two", "22").await;
    assert_eq!(
        labels(&fixture.local),
        [label("/home/one"), label("/home/two")]
    );
    let fixture = fixture.restart().await;
    assert_eq!(
        labels(&fixture.local),
        [label("/home/one"), label("/home/two")]
    );
    assert_eq!(fixture.names("/").await, ["one", "two"]);
    // A label of another upload, or a damaged one, is none.
    for name in fixture.all_staged() {
        if name.ends_with(".label") {
            fs::write(
                fixture.local.staging().join(name),
                "{\"owner\":\"bob\",\"path\":\"/x\"}",
            )
            .unwrap();
        }
    }
    let fixture = fixture.restart().await;
    assert_eq!(labels(&fixture.local), [None, None]);
    let part = fixture.tree.partial(&path("/two")).await.unwrap();
    assert_eq!(part.map(|part| part.size), Some(2));
    // An upload that is gone leaves no label behind.
    fixture.tree.remove_file(&path("/one")).await.unwrap();
    let mut part = fixture.stage("/two", StartAt::Offset(2), "2").await;
    part.publish(&path("/two"), true).await.unwrap();
    drop(part);
    assert_eq!(fixture.all_staged(), [""; 0]);
}

/// A server that is killed in the middle of an upload has told by then whose it is.
#[tokio::test]
async fn a_large_upload_is_labelled_while_it_arrives() {
    let fixture = Fixture::new().await;
    let content = "0123456789abcdef".repeat(1 << 16);
    let part = fixture.stage("/large", StartAt::Start, &content).await;
    let small = fixture.stage("/small", StartAt::Start, "01").await;
    let names = fixture.all_staged();
    let saved: Vec<_> = names
        .iter()
        .map(|name| (name, fs::read(fixture.local.staging().join(name)).unwrap()))
        .collect();
    drop((part, small));
    assert_eq!(fixture.all_staged(), [""; 0]);
    // As a killed server leaves it.
    for (name, content) in saved {
        fs::write(fixture.local.staging().join(name), content).unwrap();
    }
    let fixture = fixture.restart().await;
    assert_eq!(labels(&fixture.local), [None, label("/home/large")]);
    assert_eq!(fixture.names("/").await, ["large"]);
}

#[tokio::test]
async fn the_oldest_go_when_one_user_has_too_many() {
    let fixture = Fixture::with(|config| config.partial_count = 2).await;
    let alice = fixture
        .local
        .open(&path("/home"), &"alice".into())
        .await
        .unwrap();
    let mut part = alice.stage(&path("/hers"), StartAt::Start).await.unwrap();
    append(&mut part, "a").await;
    part.keep().await.unwrap();
    for name in ["/one", "/two", "/three"] {
        keep(&fixture, name, "x").await;
    }
    assert_eq!(fixture.names("/").await, ["three", "two"]);
    assert!(alice.partial(&path("/hers")).await.unwrap().is_some());
}

#[tokio::test]
async fn the_oldest_go_when_all_are_too_large() {
    let fixture = Fixture::with(|config| config.partial_size = Some(10)).await;
    for (name, content) in [("/one", "1111"), ("/two", "2222"), ("/three", "33")] {
        keep(&fixture, name, content).await;
    }
    assert_eq!(fixture.names("/").await, ["one", "three", "two"]);
    keep(&fixture, "/four", "4").await;
    assert_eq!(fixture.names("/").await, ["four", "three", "two"]);
    keep(&fixture, "/five", "12345678901").await;
    assert_eq!(fixture.names("/").await, [""; 0]);
    assert_eq!(fixture.all_staged(), [""; 0]);
}

/// The user with most waiting makes room, and not the first who came.
#[tokio::test]
async fn one_user_does_not_take_the_room_of_another() {
    let fixture = Fixture::with(|config| config.partial_size = Some(10)).await;
    let alice = fixture
        .local
        .open(&path("/home"), &"alice".into())
        .await
        .unwrap();
    let mut part = alice.stage(&path("/hers"), StartAt::Start).await.unwrap();
    append(&mut part, "aaaa").await;
    part.keep().await.unwrap();
    for name in ["/one", "/two", "/three", "/four"] {
        keep(&fixture, name, "xxx").await;
    }
    assert_eq!(fixture.names("/").await, ["four", "three"]);
    assert!(alice.partial(&path("/hers")).await.unwrap().is_some());
}

/// Two hosts can have one storage, and users of one name.
#[tokio::test]
async fn users_of_two_hosts_are_two_users() {
    let fixture = Fixture::new().await;
    keep(&fixture, "/file", "0123").await;
    let other = UserId {
        host: HostId::named("other"),
        ..UserId::from("bob")
    };
    let tree = fixture.local.open(&path("/home"), &other).await.unwrap();
    let part = async |tree: &Tree| tree.partial(&path("/file")).await.unwrap();
    assert!(part(&tree).await.is_none());
    let mut own = tree.stage(&path("/file"), StartAt::Start).await.unwrap();
    append(&mut own, "ab").await;
    own.keep().await.unwrap();
    assert_eq!(part(&tree).await.unwrap().size, 2);
    drop(tree);
    let fixture = fixture.restart().await;
    assert_eq!(part(&fixture.tree).await.unwrap().size, 4);
    let tree = fixture.local.open(&path("/home"), &other).await.unwrap();
    assert_eq!(part(&tree).await.unwrap().size, 2);
    assert_eq!(tree.usage().await.unwrap().bytes, 2);
    assert_eq!(fixture.tree.usage().await.unwrap().bytes, 4);
}
