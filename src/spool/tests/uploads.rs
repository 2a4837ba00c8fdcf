use super::*;
use crate::types::Durability;

#[tokio::test]
async fn an_upload_is_seen_whole_or_not_at_all() {
    for durability in [
        Durability::None,
        Durability::File,
        Durability::FileAndDirectory,
    ] {
        let fixture = Fixture::with(|config| config.durability = durability).await;
        fs::create_dir(fixture.home().join("below")).unwrap();
        for name in ["/file", "/below/file"] {
            let mut part = fixture.stage(name, StartAt::Start, "new content").await;
            assert_eq!(part.length(), 11);
            assert_error!(fixture.get(name).await, Error::NotFound);
            let staged = part.staged();
            assert_eq!(staged.read_at(4, 100).await.unwrap(), "content");
            assert_eq!(staged.read_at(4, 3).await.unwrap(), "con");
            assert!(staged.read_at(11, 3).await.unwrap().is_empty());
            part.publish(&path(name), true).await.unwrap();
            assert_eq!(fixture.get(name).await.unwrap(), "new content");
            drop(part);

            let mut part = fixture.stage(name, StartAt::Start, "another").await;
            assert_eq!(fixture.get(name).await.unwrap(), "new content");
            assert_error!(part.publish(&path(name), false).await, Error::Exists);
            assert_eq!(fixture.get(name).await.unwrap(), "new content");
            part.publish(&path(name), true).await.unwrap();
            assert_eq!(fixture.get(name).await.unwrap(), "another");

            let part = fixture.stage(name, StartAt::Start, "dropped").await;
            assert_eq!(fixture.staged().len(), 1);
            drop(part);
            assert_eq!(fixture.get(name).await.unwrap(), "another");
            assert_eq!(fixture.staged(), [""; 0]);
        }
    }
}

#[tokio::test]
async fn it_can_be_published_elsewhere() {
    let fixture = Fixture::new().await;
    let mut part = fixture.stage("/a", StartAt::Start, "x").await;
    part.publish(&path("/b"), false).await.unwrap();
    assert_eq!(fixture.names("/").await, ["b"]);
}

#[tokio::test]
async fn where_nothing_can_be_published() {
    let fixture = Fixture::new().await;
    fs::create_dir(fixture.home().join("directory")).unwrap();
    fixture.write("file", "old");
    let stage = |name| {
        fixture
            .tree
            .stage(Box::leak(Box::new(path(name))), StartAt::Start)
    };
    assert_error!(stage("/directory").await, Error::IsDirectory);
    assert_error!(stage("/").await, Error::IsDirectory);
    assert_error!(stage("/none/file").await, Error::NotFound);
    assert_error!(stage("/file/file").await, Error::NotDirectory);

    let mut part = fixture.stage("/new", StartAt::Start, "x").await;
    assert_error!(
        part.publish(&path("/directory"), true).await,
        Error::IsDirectory
    );
    assert_error!(
        part.publish(&path("/directory"), false).await,
        Error::Exists
    );
    assert_error!(part.publish(&path("/"), true).await, Error::IsDirectory);
    assert_error!(
        part.publish(&path("/none/file"), true).await,
        Error::NotFound
    );
    // After all that it is as good as new.
    part.publish(&path("/directory/new"), true).await.unwrap();
    assert_eq!(fixture.content("directory/new"), "x");

    let mut part = fixture.stage("/directory/other", StartAt::Start, "x").await;
    fs::remove_dir_all(fixture.home().join("directory")).unwrap();
    assert_error!(
        part.publish(&path("/directory/other"), true).await,
        Error::NotFound
    );
    // The path means another directory now.
    fs::create_dir(fixture.home().join("directory")).unwrap();
    part.publish(&path("/directory/other"), true).await.unwrap();
    assert_eq!(fixture.content("directory/other"), "x");
}

#[tokio::test]
async fn modes_are_exact() {
    for file_mode in [0o600, 0o644, 0o666, 0o640] {
        let fixture = Fixture::with(|config| config.file_mode = file_mode).await;
        fixture.put("/file", "").await.unwrap();
        assert_eq!(fixture.mode("file"), file_mode);
        fs::set_permissions(
            fixture.home().join("file"),
            fs::Permissions::from_mode(0o4751),
        )
        .unwrap();
        fixture.put("/file", "new").await.unwrap();
        assert_eq!(fixture.mode("file"), 0o751);
        let part = fixture.stage("/other", StartAt::Start, "x").await;
        part.keep().await.unwrap();
        let mut part = fixture.stage("/other", StartAt::End, "x").await;
        part.publish(&path("/other"), false).await.unwrap();
        assert_eq!(fixture.mode("other"), file_mode);
    }
    for directory_mode in [0o700, 0o755, 0o777, 0o773] {
        let fixture = Fixture::with(|config| config.directory_mode = directory_mode).await;
        fixture
            .tree
            .make_directory(&path("/directory"))
            .await
            .unwrap();
        assert_eq!(fixture.mode("directory"), directory_mode);
        assert_eq!(fixture.mode(""), directory_mode);
    }
}

#[tokio::test]
async fn a_file_that_appears_meanwhile_keeps_its_mode_too() {
    for durability in [Durability::None, Durability::FileAndDirectory] {
        let fixture = Fixture::with(|config| config.durability = durability).await;
        let mut part = fixture.stage("/file", StartAt::Start, "new").await;
        fixture.write("file", "old");
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(fixture.home().join("file"), mode).unwrap();
        assert_error!(part.publish(&path("/file"), false).await, Error::Exists);
        part.publish(&path("/file"), true).await.unwrap();
        assert_eq!(
            (fixture.content("file"), fixture.mode("file")),
            ("new".into(), 0o600)
        );
        // And one that goes away is no hindrance.
        let mut part = fixture.stage("/file", StartAt::Start, "newer").await;
        fs::remove_file(fixture.home().join("file")).unwrap();
        part.publish(&path("/file"), true).await.unwrap();
        assert_eq!(
            (fixture.content("file"), fixture.mode("file")),
            ("newer".into(), 0o644)
        );
    }
}

#[tokio::test]
async fn a_part_that_cannot_be_written_to_the_disk_is_given_up() {
    let fixture = Fixture::new().await;
    let file = path("/file");
    let mut part = fixture.stage("/file", StartAt::Start, "content").await;
    assert_error!(
        part.publish(&path("/none/file"), true).await,
        Error::NotFound
    );
    let Part::Approved(approved) = *part else {
        panic!("it is not approved");
    };
    let mut upload = StagedUpload::from(approved);
    upload.lost = true;
    let part = Received::new(upload).approve(Approval::by_a_person(None));
    let failed = part.publish(&file, true).await.unwrap_err();
    assert!(matches!(failed.error, Error::Io(_)));
    failed.upload.unwrap().keep().await.unwrap();
    assert_eq!(fixture.staged(), [""; 0]);
    assert_eq!(fixture.names("/").await, [""; 0]);
}

#[tokio::test]
async fn a_directory_with_the_group_bit_gives_its_group() {
    let fixture = Fixture::new().await;
    let shared = fixture.home().join("shared");
    fs::create_dir(&shared).unwrap();
    if std::os::unix::fs::chown(&shared, None, Some(4321)).is_err() {
        return;
    }
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o2775)).unwrap();
    fixture.put("/shared/file", "x").await.unwrap();
    assert_eq!(fs::metadata(shared.join("file")).unwrap().gid(), 4321);
    std::os::unix::fs::chown(shared.join("file"), Some(1234), Some(5678)).unwrap();
    fixture.put("/shared/file", "y").await.unwrap();
    let found = fs::metadata(shared.join("file")).unwrap();
    assert_eq!(
        (found.uid(), found.gid(), found.mode() & 0o7777),
        (1234, 5678, 0o644)
    );
    fixture
        .tree
        .make_directory(&path("/shared/below"))
        .await
        .unwrap();
    assert_eq!(fixture.mode("shared/below"), 0o2755);
    fixture
        .tree
        .set_mode(&path("/shared/below"), 0o700)
        .await
        .unwrap();
    assert_eq!(fixture.mode("shared/below"), 0o2700);
}

#[tokio::test]
async fn a_broken_upload_is_resumed_by_its_owner_alone() {
    let fixture = Fixture::new().await;
    let file = path("/file");
    fixture
        .stage("/file", StartAt::Start, "0123456789")
        .await
        .keep()
        .await
        .unwrap();
    assert_eq!(
        fixture
            .tree
            .partial(&file)
            .await
            .unwrap()
            .map(|part| part.size),
        Some(10)
    );
    assert_eq!(fixture.tree.partial(&path("/other")).await.unwrap(), None);
    let alice = fixture
        .local
        .open(&path("/home"), &"alice".into())
        .await
        .unwrap();
    assert_eq!(alice.partial(&file).await.unwrap(), None);
    // The same file under the same owner's eyes from another home.
    let above = fixture.local.open(&path("/"), &"bob".into()).await.unwrap();
    assert_eq!(
        above
            .partial(&path("/home/file"))
            .await
            .unwrap()
            .map(|part| part.size),
        Some(10)
    );

    let beyond = fixture.tree.stage(&file, StartAt::Offset(11)).await;
    assert_error!(beyond, Error::Offset { available: 10 });
    let part = fixture.stage("/file", StartAt::Offset(4), "abc").await;
    assert_eq!(part.length(), 7);
    assert_eq!(part.staged().read_at(0, 100).await.unwrap(), "0123abc");
    assert_eq!(fixture.tree.partial(&file).await.unwrap(), None);
    part.keep().await.unwrap();
    assert_eq!(
        fixture
            .tree
            .partial(&file)
            .await
            .unwrap()
            .map(|part| part.size),
        Some(7)
    );

    let mut part = fixture.stage("/file", StartAt::End, "def").await;
    part.publish(&file, true).await.unwrap();
    assert_eq!(fixture.content("file"), "0123abcdef");
    assert_eq!(fixture.tree.partial(&file).await.unwrap(), None);
    assert_eq!(fixture.staged(), [""; 0]);
}

#[tokio::test]
async fn without_a_broken_upload_the_file_goes_on() {
    let fixture = Fixture::new().await;
    let file = path("/file");
    assert_error!(
        fixture.tree.stage(&file, StartAt::Offset(1)).await,
        Error::Offset { available: 0 }
    );
    let mut part = fixture.stage("/file", StartAt::End, "one ").await;
    part.publish(&file, false).await.unwrap();
    let mut part = fixture.stage("/file", StartAt::End, "two").await;
    assert_eq!(fixture.content("file"), "one ");
    part.publish(&file, true).await.unwrap();
    assert_eq!(fixture.content("file"), "one two");
    assert_error!(
        fixture.tree.stage(&file, StartAt::Offset(8)).await,
        Error::Offset { available: 7 }
    );
    drop(part);
    let mut part = fixture.stage("/file", StartAt::Offset(3), "+").await;
    part.publish(&file, true).await.unwrap();
    assert_eq!(fixture.content("file"), "one+");
    drop(part);
    // A big one, that takes several steps.
    let big = "0123456789abcdef".repeat(1 << 18);
    fixture.write("big", &big);
    let part = fixture
        .stage("/big", StartAt::Offset(big.len() as u64 - 1), "!")
        .await;
    assert_eq!(part.length(), big.len() as u64);
    let tail = part
        .staged()
        .read_at(big.len() as u64 - 4, 10)
        .await
        .unwrap();
    assert_eq!(tail, "cde!");
}

#[tokio::test]
async fn a_new_start_forgets() {
    let fixture = Fixture::new().await;
    for from in [StartAt::Start, StartAt::Offset(0)] {
        fixture
            .stage("/file", StartAt::Start, "0123456789")
            .await
            .keep()
            .await
            .unwrap();
        let part = fixture.tree.stage(&path("/file"), from).await.unwrap();
        assert_eq!(part.length(), 0);
        assert_eq!(fixture.tree.partial(&path("/file")).await.unwrap(), None);
        part.keep().await.unwrap();
        assert_eq!(fixture.staged(), [""; 0], "an empty one is not kept");
    }
    // So does a removal, which takes what the client sees.
    fixture
        .stage("/file", StartAt::Start, "012")
        .await
        .keep()
        .await
        .unwrap();
    fixture.tree.remove_file(&path("/file")).await.unwrap();
    assert_eq!(fixture.staged(), [""; 0]);
    assert_error!(
        fixture.tree.remove_file(&path("/file")).await,
        Error::NotFound
    );
}

#[tokio::test]
async fn two_uploads_to_one_path() {
    let fixture = Fixture::new().await;
    let file = path("/file");
    let mut one = fixture.stage("/file", StartAt::Start, "one").await;
    let mut two = fixture.stage("/file", StartAt::Start, "two").await;
    // The bytes that either has sent so far are no base for a third.
    assert_error!(fixture.tree.stage(&file, StartAt::End).await, Error::Busy);
    assert_error!(
        fixture.tree.stage(&file, StartAt::Offset(1)).await,
        Error::Busy
    );
    append(&mut one, " more").await;
    one.publish(&file, true).await.unwrap();
    assert_eq!(fixture.content("file"), "one more");
    two.publish(&file, true).await.unwrap();
    assert_eq!(fixture.content("file"), "two");
    drop((one, two));
    // Of two broken ones the one that began later stays, whichever breaks first.
    for later_first in [true, false] {
        let one = fixture.stage("/file", StartAt::Start, "first").await;
        let two = fixture.stage("/file", StartAt::Start, "second").await;
        let (one, two) = if later_first { (two, one) } else { (one, two) };
        one.keep().await.unwrap();
        two.keep().await.unwrap();
        let part = fixture.stage("/file", StartAt::Offset(6), "").await;
        assert_eq!(part.staged().read_at(0, 100).await.unwrap(), "second");
        // It is taken.
        assert_error!(fixture.tree.stage(&file, StartAt::End).await, Error::Busy);
        drop(part);
        assert_eq!(fixture.staged(), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn regression_many_uploads_to_one_path_leave_one_whole_file() {
    let fixture = Arc::new(Fixture::new().await);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..32 {
        let fixture = fixture.clone();
        tasks.spawn(async move {
            let content = char::from(b'a' + number % 26).to_string().repeat(5000);
            for from in [StartAt::Start, StartAt::End, StartAt::Start] {
                match fixture.tree.stage(&path("/file"), from).await {
                    Ok(mut part) => {
                        append(&mut part, &content).await;
                        match number % 3 {
                            0 => part.keep().await.unwrap(),
                            1 => drop(part),
                            _ => match part.publish(&path("/file"), true).await {
                                Ok(()) => {}
                                Err(Error::Changed) if from == StartAt::End => {}
                                Err(error) => panic!("{error:?}"),
                            },
                        }
                    }
                    Err(Error::PartialWaits { .. }) if from == StartAt::End => {}
                    Err(error) => assert!(matches!(error, Error::Busy), "{error:?}"),
                }
            }
        });
    }
    tasks.join_all().await;
    let content = fixture.content("file");
    assert!(!content.is_empty() && content.len() % 5000 == 0);
    for piece in content.as_bytes().chunks(5000) {
        assert!(piece.iter().all(|byte| *byte == piece[0]));
    }
    let left = fixture.staged();
    assert!(
        left.len() <= 1 && left.iter().all(|name| name.ends_with(".part")),
        "{left:?}"
    );
}

/// It is there already: nothing of it can be kept, and none of its bytes may go.
#[tokio::test]
async fn regression_a_published_upload_stays_whole_when_its_end_fails() {
    let fixture = Fixture::new().await;
    let (mut first, second) = (
        fixture
            .stage("/file", StartAt::Start, "the whole file")
            .await,
        fixture.stage("/file", StartAt::Start, "later").await,
    );
    second.keep().await.unwrap();
    let mut staged = fixture.staged().into_iter();
    let later = staged.find(|name| name.ends_with(".part")).unwrap();
    // The upload that waits there cannot be removed.
    let later = fixture.local.staging().join(later);
    fs::remove_file(&later).unwrap();
    fs::create_dir(&later).unwrap();
    assert!(first.publish(&path("/file"), true).await.is_err());
    assert!(matches!(*first, Part::Over), "it can be published once");
    assert_eq!(fixture.content("file"), "the whole file");
}
