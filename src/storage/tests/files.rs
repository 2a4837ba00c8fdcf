//! Files and directories that are there.

use std::time::Duration;

use super::*;

for_all! {
    directories_are_made_listed_and_removed,
    files_are_removed,
    names_change,
    homes_are_apart,
    modes_and_times_are_set_where_there_are_any,
}

async fn directories_are_made_listed_and_removed(subject: Subject) {
    let home = &subject.home;
    assert_eq!(subject.names("/").await, [""; 0]);
    home.make_directory(&path("/in")).await.unwrap();
    home.make_directory(&path("/in/below")).await.unwrap();
    subject.put("/in/file", "x").await;
    assert_eq!(subject.names("/").await, ["in"]);
    assert_eq!(subject.names("/in").await, ["below", "file"]);
    let found = home.stat(&path("/in")).await.unwrap();
    assert_eq!(found.kind, Kind::Directory);
    for (name, again) in [
        ("/", true),
        ("/in", true),
        ("/in/file", true),
        ("/none/in", false),
    ] {
        let made = home.make_directory(&path(name)).await;
        match again {
            true => assert_error!(made, Error::Exists),
            false => assert_error!(made, Error::NotFound),
        }
    }
    assert_error!(
        home.list(&path("/none"), Wanted::Facts).await,
        Error::NotFound
    );
    assert_error!(
        home.list(&path("/in/file"), Wanted::Facts).await,
        Error::NotDirectory
    );
    assert_error!(home.open(&path("/in")).await, Error::IsDirectory);
    assert_error!(home.remove_directory(&path("/in")).await, Error::NotEmpty);
    assert_error!(home.remove_directory(&path("/")).await, Error::Denied);
    let removed = home.remove_directory(&path("/in/file")).await;
    assert_error!(removed, Error::NotDirectory);
    assert_error!(home.remove_directory(&path("/none")).await, Error::NotFound);
    home.remove_file(&path("/in/file")).await.unwrap();
    home.remove_directory(&path("/in/below")).await.unwrap();
    home.remove_directory(&path("/in")).await.unwrap();
    assert_eq!(subject.names("/").await, [""; 0]);
}

async fn files_are_removed(subject: Subject) {
    subject.put("/file", "12345").await;
    let removed = subject.home.remove_file(&path("/file")).await.unwrap();
    assert_eq!(removed, Amount::file(5));
    let again = subject.home.remove_file(&path("/file")).await;
    assert_error!(again, Error::NotFound);
    assert_error!(subject.home.stat(&path("/file")).await, Error::NotFound);
    subject.home.make_directory(&path("/in")).await.unwrap();
    for name in ["/", "/in"] {
        let removed = subject.home.remove_file(&path(name)).await;
        assert_error!(removed, Error::IsDirectory);
    }
}

async fn names_change(subject: Subject) {
    let rename = async |from: &str, to: &str, replace| {
        subject.home.rename(&path(from), &path(to), replace).await
    };
    subject.put("/one", "1").await;
    subject.put("/two", "2").await;
    subject.home.make_directory(&path("/in")).await.unwrap();
    subject
        .home
        .make_directory(&path("/in/below"))
        .await
        .unwrap();
    subject.put("/in/below/file", "deep").await;
    assert_error!(rename("/one", "/two", false).await, Error::Exists);
    assert_eq!(subject.get("/two").await.unwrap(), "2");
    rename("/one", "/two", true).await.unwrap();
    assert_eq!(subject.get("/two").await.unwrap(), "1");
    assert_error!(subject.get("/one").await, Error::NotFound);
    rename("/two", "/two", true).await.unwrap();
    // A directory goes with all that is in it, and replaces nothing.
    rename("/in", "/out", false).await.unwrap();
    assert_eq!(subject.get("/out/below/file").await.unwrap(), "deep");
    assert_error!(subject.get("/in/below/file").await, Error::NotFound);
    subject.home.make_directory(&path("/in")).await.unwrap();
    for to in ["/in", "/two"] {
        assert_error!(rename("/out", to, true).await, Error::Exists);
    }
    assert_error!(rename("/two", "/out", true).await, Error::IsDirectory);
    assert_error!(rename("/out", "/out/below/in", false).await, Error::Denied);
    assert_error!(rename("/", "/x", false).await, Error::Denied);
    assert_error!(rename("/two", "/", false).await, Error::Denied);
    assert_error!(rename("/none", "/x", false).await, Error::NotFound);
    assert_error!(rename("/two", "/none/x", false).await, Error::NotFound);
    assert_eq!(subject.names("/").await, ["in", "out", "two"]);
}

async fn homes_are_apart(subject: Subject) {
    let backend = &subject.backend;
    assert_error!(backend.home(&path("/a/b")).await, Error::NotFound);
    backend.make_home(&path("/a/b")).await.unwrap();
    backend.make_home(&path("/a/b")).await.unwrap();
    let other = backend.home(&path("/a/b")).await.unwrap();
    subject.put("/file", "12345").await;
    assert_error!(other.stat(&path("/file")).await, Error::NotFound);
    assert_error!(other.stat(&path("/../../home/file")).await, Error::NotFound);
    other.make_directory(&path("/in")).await.unwrap();
    assert_error!(subject.home.stat(&path("/in")).await, Error::NotFound);
    let publication = subject.publication("123", Unlimited);
    other.publish(&path("/in/file"), publication).await.unwrap();
    assert_eq!(other.usage().await.unwrap(), Amount::file(3));
    assert_eq!(subject.home.usage().await.unwrap(), Amount::file(5));
    let root = backend.home(&path("/")).await.unwrap();
    let both = Amount { bytes: 8, files: 2 };
    assert_eq!(root.usage().await.unwrap(), both);
    let above = root.stat(&path("/a/b/in/file")).await.unwrap();
    assert_eq!(above.size, 3);
    assert_error!(backend.home(&path("/home/file")).await, Error::NotDirectory);
}

async fn modes_and_times_are_set_where_there_are_any(subject: Subject) {
    let (home, file) = (&subject.home, path("/file"));
    let Capabilities {
        modes,
        times,
        free_space,
        ..
    } = subject.backend.capabilities();
    subject.put("/file", "x").await;
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let before = home.stat(&file).await.unwrap();
    let (set_mode, set_times) = (
        home.set_mode(&file, 0o604).await,
        home.set_times(&file, then, None).await,
    );
    let after = home.stat(&file).await.unwrap();
    match modes {
        true => assert_eq!((set_mode.is_ok(), after.mode), (true, 0o604)),
        false => {
            assert_error!(set_mode, Error::Unsupported);
            assert_eq!(after.mode, before.mode);
        }
    }
    match times {
        true => assert_eq!((set_times.is_ok(), after.modified), (true, then)),
        false => {
            assert_error!(set_times, Error::Unsupported);
            assert_eq!(after.modified, before.modified);
        }
    }
    let none = path("/none");
    assert_error!(home.set_mode(&none, 0o600).await, Error::NotFound);
    assert_error!(home.set_times(&none, then, None).await, Error::NotFound);
    let available = home.available(&VirtualPath::root()).await;
    match free_space {
        true => assert!(available.unwrap() > 0),
        false => assert_error!(available, Error::Unsupported),
    }
}

#[tokio::test]
async fn nothing_changes_where_nothing_may() {
    let writable = Subject::memory(ALL).await;
    writable.put("/file", "x").await;
    let subject = Subject::memory(Capabilities {
        writable: false,
        ..ALL
    });
    let subject = subject.await;
    let publication = subject.publication("x", Unlimited);
    let published = subject.home.publish(&path("/file"), publication).await;
    assert_error!(published, Unpublished::Refused(Error::ReadOnly));
    let made = subject.home.make_directory(&path("/in")).await;
    assert_error!(made, Error::ReadOnly);
}
