//! From the spool to the place.

use std::sync::Mutex;

use super::*;

for_all! {
    what_is_published_is_there_whole,
    nothing_is_replaced_that_is_not_to_be,
    where_nothing_can_be_published,
    a_condition_holds_in_the_instant_of_publication,
    additions_at_once_lose_nothing_that_was_acknowledged,
    an_identity_tells_versions_apart,
    room_is_asked_for_before,
    what_is_being_read_stays,
}

async fn what_is_published_is_there_whole(subject: Subject) {
    let publication = subject.publication("content", Unlimited);
    assert_error!(subject.get("/file").await, Error::NotFound);
    subject
        .home
        .publish(&path("/file"), publication)
        .await
        .unwrap();
    assert_eq!(subject.get("/file").await.unwrap(), "content");
    assert_eq!(subject.names("/").await, ["file"]);
    assert_eq!(subject.spooled(), 0);
    let found = subject.home.stat(&path("/file")).await.unwrap();
    assert_eq!((found.kind, found.size), (Kind::File, 7));
    assert!(found.modified.elapsed().unwrap().as_secs() < 60);
    let file = subject.home.open(&path("/file")).await.unwrap();
    assert_eq!(file.metadata().size, 7);
    // Not every file system keeps it.
    assert!(file.sha256().is_none_or(|digest| digest == DIGEST));
    let mut buffer = [0; 4];
    if let Some(length) = file.try_read_at(&mut buffer, 5).unwrap() {
        assert_eq!(&buffer[..length], b"nt");
    }
    assert_eq!(file.read_at(vec![0; 4], 7).await.unwrap().1, 0);
    subject.put("/file", "").await;
    assert_eq!(subject.get("/file").await.unwrap(), "");
}

async fn nothing_is_replaced_that_is_not_to_be(subject: Subject) {
    subject.put("/file", "old").await;
    let refused = subject.publication("new", Unlimited);
    let refused = subject.home.publish(&path("/file"), refused).await;
    assert_error!(refused, Unpublished::Refused(Error::Exists));
    assert_eq!(subject.get("/file").await.unwrap(), "old");
    assert_eq!(subject.spooled(), 1, "it can be published again");
    // One that has come meanwhile is replaced like one that was known.
    let mut unknown = subject.replacing("new");
    unknown.replaces = false;
    subject.home.publish(&path("/file"), unknown).await.unwrap();
    assert_eq!(subject.get("/file").await.unwrap(), "new");
}

async fn where_nothing_can_be_published(subject: Subject) {
    subject.put("/file", "").await;
    subject
        .home
        .make_directory(&path("/directory"))
        .await
        .unwrap();
    let publish = async |name: &str, publication| {
        let published = subject.home.publish(&path(name), publication).await;
        published.map(drop).map_err(|failed| match failed {
            Unpublished::Refused(error) => error,
            failed => panic!("{failed:?}"),
        })
    };
    for name in ["/", "/directory"] {
        let published = publish(name, subject.replacing("x")).await;
        assert_error!(published, Error::IsDirectory);
    }
    let published = publish("/directory", subject.publication("x", Unlimited)).await;
    assert_error!(published, Error::Exists);
    for (name, is_below_file) in [
        ("/none/file", false),
        ("/file/x", true),
        ("/file/x/y", true),
    ] {
        for published in [
            publish(name, subject.replacing("x")).await,
            subject.home.find(&path(name)).await.map(drop),
        ] {
            match is_below_file {
                true => assert_error!(published, Error::NotDirectory),
                false => assert_error!(published, Error::NotFound),
            }
        }
    }
}

async fn a_condition_holds_in_the_instant_of_publication(subject: Subject) {
    subject.put("/file", "old").await;
    let over = subject.identity("/file").await;
    let conditional = |content| subject.conditional(content, over);
    let late = conditional("late");
    subject
        .home
        .publish(&path("/file"), conditional("new"))
        .await
        .unwrap();
    let published = subject.home.publish(&path("/file"), late).await;
    assert_error!(published, Unpublished::Refused(Error::Changed));
    assert_eq!(subject.get("/file").await.unwrap(), "new");
    // That nothing lies there is a condition, too.
    let nothing = subject.identity("/other").await;
    let other = |content| subject.conditional(content, nothing);
    let late = other("late");
    subject
        .home
        .publish(&path("/other"), other("first"))
        .await
        .unwrap();
    let published = subject.home.publish(&path("/other"), late).await;
    assert_error!(published, Unpublished::Refused(Error::Changed));
    subject.home.remove_file(&path("/file")).await.unwrap();
    let published = subject
        .home
        .publish(&path("/file"), conditional("back"))
        .await;
    assert_error!(published, Unpublished::Refused(Error::Changed));
    assert_error!(subject.get("/file").await, Error::NotFound);
}

async fn additions_at_once_lose_nothing_that_was_acknowledged(subject: Subject) {
    subject.put("/file", "").await;
    let subject = Arc::new(subject);
    let mut tasks = tokio::task::JoinSet::new();
    for letter in ["a", "b", "c", "d"] {
        let subject = subject.clone();
        tasks.spawn(async move {
            let mut acknowledged = 0;
            for _ in 0..25 {
                let over = subject.identity("/file").await;
                let old = subject.get("/file").await.unwrap();
                let publication = subject.conditional(&format!("{old}{letter}"), over);
                match subject.home.publish(&path("/file"), publication).await {
                    Ok(_) => acknowledged += 1,
                    Err(Unpublished::Refused(Error::Changed)) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            (letter, acknowledged)
        });
    }
    let acknowledged = tasks.join_all().await;
    let content = subject.get("/file").await.unwrap();
    for (letter, count) in acknowledged {
        assert_eq!(content.matches(letter).count(), count, "{letter}");
    }
}

async fn an_identity_tells_versions_apart(subject: Subject) {
    let none = subject.identity("/file").await;
    subject.put("/file", "same").await;
    subject.put("/other", "same").await;
    let first = subject.identity("/file").await;
    assert_ne!(none, first);
    assert_eq!(subject.identity("/file").await, first);
    assert_eq!(subject.get("/file").await.unwrap(), "same");
    assert_eq!(subject.identity("/file").await, first);
    subject.put("/file", "same").await;
    let second = subject.identity("/file").await;
    assert_ne!(first, second);
    let (from, to) = (path("/other"), path("/file"));
    subject.home.rename(&from, &to, true).await.unwrap();
    let third = subject.identity("/file").await;
    assert!(third != first && third != second);
    subject.home.remove_file(&path("/file")).await.unwrap();
    assert_eq!(subject.identity("/file").await, none);
    let found = subject.home.find(&path("/file")).await.unwrap();
    assert!(found.entry.is_none());
    // Nothing in another directory is another nothing.
    subject.home.make_directory(&path("/in")).await.unwrap();
    assert_ne!(subject.identity("/in/file").await, none);
    let directory = subject.home.find(&path("/in")).await.unwrap();
    assert_error!(directory.file(), Error::IsDirectory);
}

/// The requests for room, and the count of publications.
#[derive(Default)]
struct Asked {
    replaced: Vec<Option<u64>>,
    published: usize,
}

/// Room for files that take the place of others.
struct Replacing(Arc<Mutex<Asked>>);

impl Admission for Replacing {
    fn admit(&mut self, replaced: Option<u64>) -> Result<()> {
        self.0.lock().unwrap().replaced.push(replaced);
        match replaced {
            None => Err(Error::Quota),
            Some(_) => Ok(()),
        }
    }

    fn published(&mut self) {
        self.0.lock().unwrap().published += 1;
    }
}

async fn room_is_asked_for_before(subject: Subject) {
    let asked = Arc::new(Mutex::new(Asked::default()));
    let publication = || {
        let mut publication = subject.publication("content", Replacing(asked.clone()));
        (publication.replace, publication.replaces) = (true, true);
        publication
    };
    let published = subject.home.publish(&path("/file"), publication()).await;
    assert_error!(published, Unpublished::Refused(Error::Quota));
    assert_error!(subject.get("/file").await, Error::NotFound);
    assert_eq!(subject.spooled(), 1);
    assert_eq!(asked.lock().unwrap().published, 0);
    subject.put("/file", "old").await;
    subject
        .home
        .publish(&path("/file"), publication())
        .await
        .unwrap();
    let asked = asked.lock().unwrap();
    assert_eq!(
        (&asked.replaced[..], asked.published),
        (&[None, Some(3)][..], 1)
    );
}

async fn what_is_being_read_stays(subject: Subject) {
    subject.put("/file", "the old one").await;
    let reading = subject.home.open(&path("/file")).await.unwrap();
    subject.put("/file", "another").await;
    assert_eq!(content(&*reading).await.unwrap(), "the old one");
    subject.home.remove_file(&path("/file")).await.unwrap();
    assert_eq!(content(&*reading).await.unwrap(), "the old one");
}
