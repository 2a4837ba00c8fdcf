//! A broken upload belongs to what lay at its name when it began.

use super::*;
use crate::types::Durability;

impl Fixture {
    async fn broken(&self, name: &str, from: StartAt, content: &str) {
        let part = self.stage(name, from, content).await;
        part.keep().await.unwrap();
    }

    async fn waits(&self, name: &str) -> Option<u64> {
        let part = self.tree.partial(&path(name)).await.unwrap();
        part.map(|part| part.size)
    }

    /// Nothing waits, nothing is left of it, and nothing goes on from it.
    #[track_caller]
    fn assert_nothing_left(&self) {
        assert_eq!(self.all_staged(), [""; 0]);
        assert_eq!(self.local.waiting(), []);
    }

    async fn add(&self, name: &str, content: &str) -> Result<()> {
        let mut part = self.tree.stage(&path(name), StartAt::End).await?;
        append(&mut part, content).await;
        part.publish(&path(name), true).await
    }
}

#[tokio::test]
async fn it_goes_when_another_session_publishes_before_it_breaks() {
    let fixture = Fixture::new().await;
    for old in [false, true] {
        if old {
            fixture.write("file", "older");
        }
        let hung = fixture.stage("/file", StartAt::Start, "hung").await;
        fixture.put("/file", "acknowledged").await.unwrap();
        hung.keep().await.unwrap();
        assert_eq!(fixture.waits("/file").await, None);
        fixture.assert_nothing_left();
        fixture.add("/file", "+").await.unwrap();
        assert_eq!(fixture.content("file"), "acknowledged+");
    }
}

/// Anything that comes to lie there, by anybody.
#[tokio::test]
async fn it_goes_when_something_else_lies_there() {
    type Change = fn(&Path);
    let changes: [(&str, Option<&str>, Change); 9] = [
        ("written by another process", None, |home| {
            fs::write(home.join("in/file"), "other").unwrap();
        }),
        ("renamed there", None, |home| {
            fs::write(home.join("in/another"), "other").unwrap();
            fs::rename(home.join("in/another"), home.join("in/file")).unwrap();
        }),
        ("written in place", Some("old"), |home| {
            fs::write(home.join("in/file"), "another").unwrap();
        }),
        (
            "written in place, as long and as old",
            Some("old"),
            |home| {
                let file = home.join("in/file");
                let time = fs::metadata(&file).unwrap().modified().unwrap();
                fs::write(&file, "new").unwrap();
                let file = fs::File::options().write(true).open(file).unwrap();
                file.set_modified(time).unwrap();
            },
        ),
        ("replaced", Some("old"), |home| {
            fs::write(home.join("in/another"), "old").unwrap();
            fs::rename(home.join("in/another"), home.join("in/file")).unwrap();
        }),
        ("removed", Some("old"), |home| {
            fs::remove_file(home.join("in/file")).unwrap();
        }),
        ("renamed away", Some("old"), |home| {
            fs::rename(home.join("in/file"), home.join("in/another")).unwrap();
        }),
        ("the directory is another", None, |home| {
            fs::rename(home.join("in"), home.join("away")).unwrap();
            fs::create_dir(home.join("in")).unwrap();
        }),
        ("the directory was removed and made again", None, |home| {
            fs::remove_dir(home.join("in")).unwrap();
            fs::create_dir(home.join("in")).unwrap();
        }),
    ];
    for restart in [false, true] {
        for (what, old, change) in &changes {
            let mut fixture = Fixture::new().await;
            fs::create_dir(fixture.home().join("in")).unwrap();
            if let Some(old) = old {
                fixture.write("in/file", old);
            }
            fixture
                .broken("/in/file", StartAt::Start, "0123456789")
                .await;
            assert_eq!(fixture.waits("/in/file").await, Some(10), "{what}");
            change(&fixture.home());
            if restart {
                fixture = fixture.restart().await;
            }
            let sizes: Vec<_> = fixture.list("/in").await.unwrap();
            assert!(
                sizes.iter().all(|entry| entry.metadata.partial.is_none()),
                "{what}"
            );
            assert_eq!(fixture.waits("/in/file").await, None, "{what}");
            fixture.assert_nothing_left();
            let there = fixture.get("/in/file").await.unwrap_or_default();
            fixture.add("/in/file", "+").await.unwrap();
            assert_eq!(fixture.content("in/file"), there + "+", "{what}");
        }
    }
}

#[tokio::test]
async fn it_goes_when_another_account_writes_there() {
    let fixture = Fixture::new().await;
    let alice = fixture
        .local
        .open(&path("/"), &"alice".into())
        .await
        .unwrap();
    fixture.broken("/file", StartAt::Start, "0123456789").await;
    let mut part = alice
        .stage(&path("/home/file"), StartAt::Start)
        .await
        .unwrap();
    append(&mut part, "alice").await;
    part.publish(&path("/home/file"), true).await.unwrap();
    assert_eq!(fixture.waits("/file").await, None);
    fixture.add("/file", "+").await.unwrap();
    assert_eq!(fixture.content("file"), "alice+");
}

#[tokio::test]
async fn a_rename_by_the_owner_makes_it_another_file() {
    let fixture = Fixture::new().await;
    fixture.broken("/file", StartAt::Start, "0123456789").await;
    fixture.put("/other", "acknowledged").await.unwrap();
    let (from, to) = (path("/other"), path("/file"));
    fixture.tree.rename(&from, &to, true).await.unwrap();
    fixture.add("/file", "+").await.unwrap();
    assert_eq!(fixture.content("file"), "acknowledged+");
    fixture.assert_nothing_left();
}

#[tokio::test]
async fn it_stays_while_the_same_lies_there() {
    for old in [None, Some("the old one")] {
        let mut fixture = Fixture::new().await;
        fs::create_dir(fixture.home().join("in")).unwrap();
        if let Some(old) = old {
            fixture.write("in/file", old);
        }
        fixture
            .broken("/in/file", StartAt::Start, "0123456789")
            .await;
        // Other names in the directory change, and it is away for a while.
        fixture.put("/in/other", "x").await.unwrap();
        fs::rename(fixture.home().join("in"), fixture.home().join("away")).unwrap();
        assert_eq!(fixture.waits("/in/file").await, None);
        fs::rename(fixture.home().join("away"), fixture.home().join("in")).unwrap();
        assert_eq!(fixture.waits("/in/file").await, Some(10));
        assert_eq!(fixture.local.expire().await.unwrap(), 0);
        fixture = fixture.restart().await;
        assert_eq!(fixture.waits("/in/file").await, Some(10));
        // The bytes beyond the offset are dropped; a greater one is told what there is.
        let beyond = fixture
            .tree
            .stage(&path("/in/file"), StartAt::Offset(11))
            .await;
        assert_error!(beyond, Error::Offset { available: 10 });
        assert_eq!(fixture.waits("/in/file").await, Some(10));
        let mut part = fixture.stage("/in/file", StartAt::Offset(4), "abc").await;
        part.publish(&path("/in/file"), true).await.unwrap();
        assert_eq!(fixture.content("in/file"), "0123abc");
        drop(part);
        fixture.assert_nothing_left();
    }
}

/// Told how much waited, a client goes on there: by then it may be another's file.
#[tokio::test]
async fn nothing_goes_on_from_a_file_that_took_its_place_unseen() {
    let fixture = Fixture::new().await;
    let file = path("/file");
    let alice = fixture
        .local
        .open(&path("/home"), &"alice".into())
        .await
        .unwrap();
    for by_alice in [true, false] {
        fixture.broken("/file", StartAt::Start, "0123456789").await;
        assert_eq!(fixture.waits("/file").await, Some(10));
        if by_alice {
            let mut part = alice.stage(&file, StartAt::Start).await.unwrap();
            append(&mut part, "acknowledged").await;
            part.publish(&file, true).await.unwrap();
        } else {
            fixture.write("file", "acknowledged");
        }
        for _ in 0..2 {
            let staged = fixture.tree.stage(&file, StartAt::Offset(10)).await;
            assert_error!(staged, Error::Changed);
        }
        // A client that asks knows the file that lies there, and can go on from that.
        assert_eq!(fixture.waits("/file").await, None);
        let mut part = fixture.stage("/file", StartAt::Offset(2), "!").await;
        part.publish(&file, true).await.unwrap();
        assert_eq!(fixture.content("file"), "ac!");
        fs::remove_file(fixture.home().join("file")).unwrap();
    }
    // One that broke off when the file was there already does not know either.
    let hung = fixture.stage("/file", StartAt::Start, "0123456789").await;
    fixture.put("/file", "acknowledged").await.unwrap();
    hung.keep().await.unwrap();
    let staged = fixture.tree.stage(&file, StartAt::Offset(10)).await;
    assert_error!(staged, Error::Changed);
    // To begin anew, or to add to what is there, is always possible.
    fixture.add("/file", "+").await.unwrap();
    assert_eq!(fixture.content("file"), "acknowledged+");
    fixture.put("/file", "new").await.unwrap();
    let mut part = fixture.stage("/file", StartAt::Offset(1), "!").await;
    part.publish(&file, true).await.unwrap();
    assert_eq!(fixture.content("file"), "n!");
}

/// Content of two attempts is never mixed.
#[tokio::test]
async fn nothing_is_added_to_a_file_while_another_attempt_waits() {
    let fixture = Fixture::new().await;
    fixture.write("file", "the old one");
    fixture.broken("/file", StartAt::Start, "0123").await;
    for _ in 0..2 {
        assert_error!(
            fixture.add("/file", "+").await,
            Error::PartialWaits { length: 4 }
        );
    }
    assert_eq!(fixture.waits("/file").await, Some(4));
    assert_eq!(fixture.content("file"), "the old one");
    // To begin anew is one way out, to remove both is another.
    fixture.put("/file", "new").await.unwrap();
    fixture.add("/file", "+").await.unwrap();
    assert_eq!(fixture.content("file"), "new+");
    fixture.broken("/file", StartAt::Start, "0123").await;
    fixture.tree.remove_file(&path("/file")).await.unwrap();
    fixture.assert_nothing_left();
    // Where nothing is published, it is what one goes on with.
    fixture.broken("/file", StartAt::Start, "0123").await;
    fixture.add("/file", "4").await.unwrap();
    assert_eq!(fixture.content("file"), "01234");
}

/// SIZE tells the file, and so the client sends all of it again.
#[tokio::test]
async fn an_addition_that_broke_begins_anew() {
    for restart in [false, true] {
        let mut fixture = Fixture::new().await;
        fixture.write("file", "one ");
        for _ in 0..2 {
            fixture.broken("/file", StartAt::End, "tw").await;
            assert_eq!(fixture.waits("/file").await, Some(6));
            if restart {
                fixture = fixture.restart().await;
            }
        }
        fixture.add("/file", "two").await.unwrap();
        assert_eq!(fixture.content("file"), "one two");
        // By its offset it can be gone on with as well.
        fixture.broken("/file", StartAt::End, "thr").await;
        let mut part = fixture.stage("/file", StartAt::Offset(9), "ree").await;
        part.publish(&path("/file"), true).await.unwrap();
        assert_eq!(fixture.content("file"), "one twothree");
        drop(part);
        fixture.assert_nothing_left();
        // An upload that sent nothing has nothing that is worth keeping.
        fixture.broken("/file", StartAt::End, "").await;
        fixture.broken("/file", StartAt::Offset(3), "").await;
        fixture.assert_nothing_left();
        // Some of the file's beginning with some of another's end is no addition to it.
        fixture.broken("/file", StartAt::Offset(3), "X").await;
        assert_error!(
            fixture.add("/file", "+").await,
            Error::PartialWaits { length: 4 }
        );
    }
}

/// Two accounts, or a client and a process of the machine: what is acknowledged stays.
#[tokio::test]
async fn an_addition_to_what_has_changed_is_not_published() {
    type Change = fn(&Path);
    let changes: [Change; 4] = [
        |home| fs::write(home.join("file"), "another").unwrap(),
        |home| fs::remove_file(home.join("file")).unwrap(),
        |home| {
            fs::write(home.join("new"), "old").unwrap();
            fs::rename(home.join("new"), home.join("file")).unwrap();
        },
        |home| {
            let mut file = fs::File::options().append(true).open(home.join("file"));
            std::io::Write::write_all(file.as_mut().unwrap(), b"more").unwrap();
        },
    ];
    for durability in [Durability::None, Durability::FileAndDirectory] {
        for change in changes {
            for (old, from) in [
                ("old", StartAt::End),
                ("old", StartAt::Offset(2)),
                ("", StartAt::End),
            ] {
                let fixture = Fixture::with(|config| config.durability = durability).await;
                fixture.write("file", old);
                let mut part = fixture.stage("/file", from, "+").await;
                change(&fixture.home());
                let there = fs::read(fixture.home().join("file")).ok();
                assert_error!(part.publish(&path("/file"), true).await, Error::Changed);
                assert_eq!(fs::read(fixture.home().join("file")).ok(), there);
                part.keep().await.unwrap();
                assert_eq!(fixture.waits("/file").await, None);
                fixture.assert_nothing_left();
            }
        }
    }
    // To add to nothing is to add to what has come to be there, too.
    let fixture = Fixture::new().await;
    let mut part = fixture.stage("/file", StartAt::End, "+").await;
    fixture.put("/file", "acknowledged").await.unwrap();
    for replace in [false, true] {
        let published = part.publish(&path("/file"), replace).await;
        assert_error!(published, Error::Changed);
    }
    // Under another name it takes nothing away.
    part.publish(&path("/other"), false).await.unwrap();
    assert_eq!(fixture.content("file"), "acknowledged");
    assert_eq!(fixture.content("other"), "+");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_additions_at_once_lose_nothing_that_was_acknowledged() {
    let fixture = Arc::new(Fixture::new().await);
    fixture.write("file", "");
    let mut tasks = tokio::task::JoinSet::new();
    for owner in 0..8_u8 {
        let fixture = fixture.clone();
        tasks.spawn(async move {
            let owner = char::from(b'a' + owner).to_string();
            let tree = fixture
                .local
                .open(&path("/home"), &owner.as_str().into())
                .await
                .unwrap();
            let mut acknowledged = 0;
            for _ in 0..20 {
                let mut part = tree.stage(&path("/file"), StartAt::End).await.unwrap();
                append(&mut part, &owner).await;
                match part.publish(&path("/file"), true).await {
                    Ok(()) => acknowledged += 1,
                    Err(error) => assert!(matches!(error, Error::Changed), "{error:?}"),
                }
            }
            (owner, acknowledged)
        });
    }
    let acknowledged = tasks.join_all().await;
    let content = fixture.content("file");
    for (owner, number) in &acknowledged {
        assert_eq!(content.matches(owner).count(), *number, "{content}");
    }
    assert!(!content.is_empty());
}

/// A version that did not note what an upload began over has left it.
#[tokio::test]
async fn what_an_older_version_left_goes_on_where_nothing_lies() {
    let fixture = Fixture::new().await;
    for name in ["/new", "/old"] {
        fixture.broken(name, StartAt::Start, "0123456789").await;
    }
    for (number, name) in fixture.all_staged().into_iter().enumerate() {
        let staging = fixture.local.staging();
        if let Some((key, _)) = name.split_once('.')
            && name.ends_with(".part")
        {
            let older = match number % 4 {
                0 | 1 => format!("{key}.part"),
                _ => format!("{key}.1f.new"),
            };
            fs::rename(staging.join(&name), staging.join(older)).unwrap();
        }
    }
    let fixture = fixture.restart().await;
    fixture.write("old", "published");
    // It was under way, and perhaps whole.
    assert_eq!(fixture.waits("/new").await, Some(9));
    assert_eq!(fixture.waits("/old").await, None);
    // From now on it is noted.
    fixture.broken("/new", StartAt::End, "ab").await;
    let fixture = fixture.restart().await;
    assert_eq!(fixture.waits("/new").await, Some(11));
    fixture.write("new", "published");
    assert_eq!(fixture.waits("/new").await, None);
    fixture.assert_nothing_left();
}

/// It would count for the quota although nobody can reach it.
#[tokio::test]
async fn what_belongs_nowhere_is_removed_in_time() {
    let fixture = Fixture::new().await;
    for name in ["in", "gone"] {
        fs::create_dir(fixture.home().join(name)).unwrap();
        fixture
            .broken(&format!("/{name}/file"), StartAt::Start, "0123")
            .await;
    }
    fixture.broken("/here", StartAt::Start, "01").await;
    fs::write(fixture.home().join("in/file"), "another").unwrap();
    fixture.tree.remove_directory(&path("/gone")).await.unwrap();
    let before = fixture.local.waiting().len();
    assert_eq!(before, 2, "with its directory, the one in it is gone");
    assert_eq!(fixture.local.expire().await.unwrap(), 1);
    assert_eq!(fixture.local.waiting().len(), 1);
    assert_eq!(fixture.waits("/here").await, Some(2));
}
