//! The bytes that staging and quarantine may hold.

use super::*;

/// Staging may hold a hundred bytes.
async fn bounded() -> Fixture {
    Fixture::with(|config| config.staging_size = 100).await
}

async fn write(part: &mut Part, bytes: usize) -> Result<()> {
    let content = vec![b'x'; bytes];
    part.write(&mut [IoSlice::new(&content)]).await
}

async fn begin(fixture: &Fixture, name: &str, from: StartAt) -> Box<Part> {
    fixture.tree.stage(&path(name), from).await.unwrap()
}

async fn waits(fixture: &Fixture, name: &str) -> bool {
    fixture.tree.partial(&path(name)).await.unwrap().is_some()
}

#[tokio::test]
async fn uploads_under_way_have_it_together() {
    let fixture = bounded().await;
    let mut one = begin(&fixture, "/one", StartAt::Start).await;
    let mut two = begin(&fixture, "/two", StartAt::Start).await;
    write(&mut one, 60).await.unwrap();
    write(&mut two, 40).await.unwrap();
    assert_error!(write(&mut two, 1).await, Error::Bound("staging-size"));
    assert_error!(write(&mut one, 1).await, Error::Bound("staging-size"));
    assert_eq!((one.length(), two.length()), (60, 40));
    // Published, it is on the server's account no more.
    one.publish(&path("/one"), true).await.unwrap();
    write(&mut two, 60).await.unwrap();
    drop(two);
    for number in 0..10 {
        let name = format!("/{number}");
        let mut part = begin(&fixture, &name, StartAt::Start).await;
        write(&mut part, 99).await.unwrap();
        part.publish(&path(&name), true).await.unwrap();
    }
}

#[tokio::test]
async fn broken_uploads_give_way() {
    let fixture = bounded().await;
    for name in ["/one", "/two"] {
        let mut part = begin(&fixture, name, StartAt::Start).await;
        write(&mut part, 30).await.unwrap();
        part.keep().await.unwrap();
    }
    let mut part = begin(&fixture, "/three", StartAt::Start).await;
    write(&mut part, 40).await.unwrap();
    assert!(waits(&fixture, "/one").await && waits(&fixture, "/two").await);
    write(&mut part, 1).await.unwrap();
    assert!(!waits(&fixture, "/one").await && waits(&fixture, "/two").await);
    // One that is gone on with gives way to nobody.
    let mut two = begin(&fixture, "/two", StartAt::Offset(30)).await;
    assert_error!(write(&mut part, 60).await, Error::Bound("staging-size"));
    write(&mut two, 29).await.unwrap();
    assert_error!(write(&mut two, 1).await, Error::Bound("staging-size"));
    // None of the one that did not fit is lost.
    part.keep().await.unwrap();
    assert!(waits(&fixture, "/three").await);
}

#[tokio::test]
async fn uploads_of_an_earlier_run_count() {
    let fixture = bounded().await;
    let mut part = begin(&fixture, "/one", StartAt::Start).await;
    write(&mut part, 60).await.unwrap();
    part.keep().await.unwrap();
    let fixture = fixture.restart().await;
    let mut one = begin(&fixture, "/one", StartAt::Offset(60)).await;
    let mut two = begin(&fixture, "/two", StartAt::Start).await;
    assert_error!(write(&mut two, 41).await, Error::Bound("staging-size"));
    write(&mut one, 40).await.unwrap();
}

#[tokio::test]
async fn copies_of_files_count() {
    let fixture = bounded().await;
    fixture.write("file", &"x".repeat(80));
    let mut part = begin(&fixture, "/file", StartAt::End).await;
    assert_error!(write(&mut part, 21).await, Error::Bound("staging-size"));
    write(&mut part, 20).await.unwrap();
    drop(part);
    fixture.write("large", &"x".repeat(101));
    let begun = fixture.tree.stage(&path("/large"), StartAt::End).await;
    assert_error!(begun.map(drop), Error::Bound("staging-size"));
    assert_eq!(fixture.staged(), [""; 0]);
}

#[tokio::test]
async fn another_limit_counts_at_once() {
    let fixture = bounded().await;
    let mut part = begin(&fixture, "/one", StartAt::Start).await;
    write(&mut part, 100).await.unwrap();
    let config = config::Storage {
        staging_size: 150,
        ..fixture.config.clone()
    };
    let _changed = fixture.local.with(&config).unwrap();
    write(&mut part, 50).await.unwrap();
    assert_error!(write(&mut part, 1).await, Error::Bound("staging-size"));
}

#[tokio::test]
async fn quarantine_keeps_no_more_than_it_may() {
    let fixture = Fixture::with(|config| config.quarantine_size = 8).await;
    let evil = async |content| {
        let part = fixture.stage("/evil", StartAt::Start, content).await;
        part.quarantine(note("/evil")).await
    };
    let first = evil("virus").await.unwrap();
    assert_error!(evil("virus").await, Error::Bound("quarantine-size"));
    assert_eq!(fixture.staged(), [""; 0]);
    assert_eq!(fixture.local.quarantined().await.unwrap().len(), 1);
    evil("bad").await.unwrap();
    fixture.local.discard(&first).await.unwrap();
    evil("virus").await.unwrap();
}
