//! Uploads that a person has to look at.

use super::*;
use data_encoding::HEXLOWER;

#[tokio::test]
async fn it_is_out_of_sight_with_a_note_beside_it() {
    let fixture = Fixture::new().await;
    let part = fixture.stage("/evil", StartAt::Start, "virus").await;
    let id = part.quarantine(note("/evil")).await.unwrap();
    let directory = fixture.local.staging().join("quarantine");
    let file = directory.join(&id);
    assert_eq!(fs::read_to_string(&file).unwrap(), "virus");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
    let beside = fs::read_to_string(directory.join(format!("{id}.json"))).unwrap();
    let beside: serde_json::Value = serde_json::from_str(&beside).unwrap();
    for (key, value) in [
        ("storage", "test"),
        ("home", "/home"),
        ("path", "/evil"),
        ("user", "bob"),
        ("mode", "create"),
        ("client", "192.0.2.1:1234"),
        ("plugin", "guard"),
        ("reason", "it \"looks\" bad"),
    ] {
        assert_eq!(beside[key], *value, "{key}");
    }
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"virus");
    assert_eq!(beside["sha256"], *HEXLOWER.encode(digest.as_ref()));
    assert_eq!(beside["size"], 5);
    assert_eq!(fixture.staged(), [""; 0]);
    assert_eq!(fixture.names("/").await, [""; 0]);
    // A second one beside it, also after a restart.
    let fixture = fixture.restart().await;
    let part = fixture.stage("/evil", StartAt::Start, "virus").await;
    let second = part.quarantine(note("/evil")).await.unwrap();
    let held = fixture.local.quarantined().await.unwrap();
    let ids: Vec<_> = held.iter().map(|held| held.id.clone()).collect();
    assert_eq!(ids, [id, second]);
}

#[tokio::test]
async fn released_it_is_published_as_if_accepted_now() {
    let fixture = Fixture::new().await;
    let part = fixture.stage("/report", StartAt::Start, "fine").await;
    let id = part.quarantine(note("/report")).await.unwrap();
    // Somebody took the name meanwhile.
    fixture.write("report", "another");
    assert_error!(fixture.local.release(&id, false).await, Error::Exists);
    assert_eq!(fixture.content("report"), "another");
    assert_eq!(fixture.staged(), [""; 0]);
    assert_eq!(fixture.local.quarantined().await.unwrap().len(), 1);

    let held = fixture.local.release(&id, true).await.unwrap();
    assert_eq!(held.note.path, "/report");
    assert_eq!(fixture.content("report"), "fine");
    assert_eq!(fixture.mode("report"), 0o644);
    assert_eq!(fixture.staged(), [""; 0]);
    assert_eq!(fixture.local.quarantined().await.unwrap(), []);
    let left = fs::read_dir(fixture.local.staging().join("quarantine")).unwrap();
    assert_eq!(left.count(), 0);
    assert_error!(fixture.local.release(&id, true).await, Error::NotFound);
}

#[tokio::test]
async fn where_the_directory_is_gone_it_stays() {
    let fixture = Fixture::new().await;
    fs::create_dir(fixture.home().join("in")).unwrap();
    let part = fixture.stage("/in/report", StartAt::Start, "fine").await;
    let id = part.quarantine(note("/in/report")).await.unwrap();
    fs::remove_dir(fixture.home().join("in")).unwrap();
    assert_error!(fixture.local.release(&id, false).await, Error::NotFound);
    assert_eq!(fixture.local.quarantined().await.unwrap().len(), 1);
    assert_eq!(fixture.staged(), [""; 0]);
    // A link that leads out of the home leads nowhere.
    symlink(fixture.outside(), fixture.home().join("in")).unwrap();
    assert!(fixture.local.release(&id, false).await.is_err());
    fixture.assert_outside_untouched();
    assert_eq!(fixture.staged(), [""; 0]);
    // Nor is there a home.
    fs::rename(fixture.home(), fixture.outside().with_file_name("gone")).unwrap();
    assert_error!(fixture.local.release(&id, false).await, Error::NotFound);
    assert_eq!(fixture.all_staged(), ["quarantine"]);
    assert_eq!(fixture.local.quarantined().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_not_whole_is_not_published() {
    let fixture = Fixture::new().await;
    let part = fixture.stage("/report", StartAt::Start, "half").await;
    let half = QuarantineInfo {
        whole: false,
        ..note("/report")
    };
    let id = part.quarantine(half).await.unwrap();
    assert_error!(fixture.local.release(&id, true).await, Error::Unsupported);
    assert_eq!(fixture.names("/").await, [""; 0]);
    assert_eq!(fixture.local.quarantined().await.unwrap().len(), 1);
}

#[tokio::test]
async fn deleted_it_is_gone() {
    let fixture = Fixture::new().await;
    let part = fixture.stage("/evil", StartAt::Start, "virus").await;
    let id = part.quarantine(note("/evil")).await.unwrap();
    for wrong in ["", ".", "..", "../lock", "lock", "x"] {
        assert_error!(fixture.local.discard(wrong).await, Error::NotFound);
        assert_error!(fixture.local.release(wrong, false).await, Error::NotFound);
    }
    assert_eq!(fixture.local.discard(&id).await.unwrap().id, id);
    assert_eq!(fixture.local.quarantined().await.unwrap(), []);
    assert!(fixture.local.staging().join("lock").exists());
}

/// Quarantine on another file system, where there is one at hand.
#[tokio::test]
async fn it_may_be_on_another_file_system() {
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("Left out: there is no /dev/shm");
        return;
    };
    let path = other.path().join("quarantine");
    let fixture = Fixture::with(|config| config.quarantine = Some(path.clone())).await;
    let part = fixture.stage("/report", StartAt::Start, "fine").await;
    let id = part.quarantine(note("/report")).await.unwrap();
    assert_eq!(fs::read_to_string(path.join(&id)).unwrap(), "fine");
    assert_eq!(fs::read_dir(&path).unwrap().count(), 2);
    assert_eq!(fixture.staged(), [""; 0]);
    fixture.local.release(&id, false).await.unwrap();
    assert_eq!(fixture.content("report"), "fine");
    assert_eq!(fixture.staged(), [""; 0]);
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
}

#[tokio::test]
async fn where_others_see_it_nothing_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let open = directory.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
    let mut config = config::Storage {
        root: directory.path().join("files"),
        quarantine: Some(open),
        ..config::Storage::default()
    };
    let state = directory.path().join("state");
    fs::create_dir(&state).unwrap();
    let error = Local::open_at("test", &config, &state, &Startup::real())
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("storage.test.quarantine"),
        "{error}"
    );
    config.quarantine = Some(config.root.join("below"));
    let error = Local::open_at("test", &config, &state, &Startup::real())
        .err()
        .unwrap();
    assert!(error.to_string().contains("outside"), "{error}");
}
