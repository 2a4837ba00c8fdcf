use super::*;

fn refusal(config: &config::Storage, state: &Path) -> String {
    match Local::open_at("x", config, state, &Startup::real()) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn staging_is_in_the_state_directory() {
    let fixture = Fixture::new().await;
    let state = fixture.directory.path().join("state");
    assert_eq!(fixture.local.staging(), state.join("staging/test"));
    assert_eq!(fixture.local.root(), state.join("files"));
    let staging = fs::metadata(fixture.local.staging()).unwrap();
    assert_eq!(staging.mode() & 0o777, 0o700);
    assert_eq!(
        fs::read_dir(fixture.local.root()).unwrap().count(),
        1,
        "only the home"
    );
}

#[tokio::test]
async fn staging_is_beside_a_root_elsewhere() {
    let state = tempfile::tempdir_in("/dev/shm");
    let place = tempfile::tempdir().unwrap();
    let (Ok(state), config) = (
        state,
        config::Storage {
            root: place.path().join("files"),
            ..config::Storage::default()
        },
    ) else {
        return;
    };
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    if device(state.path()) == device(place.path()) {
        return;
    }
    let local = Local::open_at("x", &config, state.path(), &Startup::real()).unwrap();
    let beside = place.path().join(".files.portcullis-staging");
    assert_eq!(local.staging(), beside);
    assert_eq!(fs::metadata(&beside).unwrap().mode() & 0o777, 0o700);
    assert!(!state.path().join("staging/x").exists());
    // Not there, when the key says where.
    let staging = Some(state.path().join("staging"));
    let text = refusal(&config::Storage { staging, ..config }, state.path());
    assert!(text.starts_with("storage.x.staging: "), "{text}");
}

#[tokio::test]
async fn staging_is_never_in_reach_of_clients() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("root");
    fs::create_dir(&root).unwrap();
    let config = config::Storage {
        root: root.clone(),
        ..config::Storage::default()
    };
    for staging in [root.join("staging"), root.clone(), place.path().to_owned()] {
        let config = config::Storage {
            staging: Some(staging),
            ..config.clone()
        };
        let text = refusal(&config, &place.path().join("state"));
        assert!(text.starts_with("storage.x.staging: "), "{text}");
    }
    assert!(!root.join("staging").exists());
    // A state directory in the root: beside it, then.
    let local = Local::open_at("x", &config, &root.join("state"), &Startup::real()).unwrap();
    assert_eq!(
        local.staging(),
        place.path().join(".root.portcullis-staging")
    );
    // Others may look into it.
    let open = place.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
    let text = refusal(
        &config::Storage {
            staging: Some(open),
            ..config
        },
        place.path(),
    );
    assert!(text.contains("mode 755"), "{text}");
}

#[tokio::test]
async fn a_root_is_made_but_not_a_whole_path() {
    let place = tempfile::tempdir().unwrap();
    let state = place.path().join("state");
    let open = |root: PathBuf| {
        Local::open_at(
            "x",
            &config::Storage {
                root,
                ..config::Storage::default()
            },
            &state,
            &Startup::real(),
        )
    };
    open(place.path().join("new")).unwrap();
    open(state.join("a/b/c")).unwrap();
    let error = open(place.path().join("a/b")).err().unwrap().to_string();
    assert!(
        error.starts_with("storage.x.root: ") && error.contains("/a/b"),
        "{error}"
    );
    fs::write(place.path().join("file"), "").unwrap();
    let error = open(place.path().join("file")).err().unwrap().to_string();
    assert!(error.starts_with("storage.x.root: "), "{error}");
}

#[tokio::test]
async fn two_servers_do_not_share_staging() {
    let fixture = Fixture::new().await;
    let (staging, config) = (fixture.local.staging().to_owned(), fixture.config.clone());
    // The same server may, for a configuration that is read anew.
    let state = fixture.directory.path().join("state");
    let again = Local::open_at("test", &config, &state, &Startup::real()).unwrap();
    let part = fixture.stage("/file", StartAt::Start, "x").await;
    part.keep().await.unwrap();
    let tree = again.open(&path("/home"), &"bob".into()).await.unwrap();
    assert_eq!(
        tree.partial(&path("/file"))
            .await
            .unwrap()
            .map(|part| part.size),
        Some(1)
    );
    let Fixture {
        directory: _directory,
        local,
        tree: old,
        ..
    } = fixture;
    drop((local, old, tree, again));
    let other = fs::File::open(staging.join("lock")).unwrap();
    other.lock().unwrap();
    let text = refusal(
        &config::Storage {
            staging: Some(staging),
            ..config
        },
        &state,
    );
    assert!(text.contains("another server is using it"), "{text}");
}

#[tokio::test]
async fn a_crash_leaves_what_can_be_resumed() {
    let fixture = Fixture::new().await;
    let file = path("/file");
    let copy = |suffix: &str, content: &str, seconds| {
        let name = fixture
            .staged()
            .into_iter()
            .find(|name| name.ends_with(".new"))
            .unwrap();
        let leftover = fixture.local.staging().join(name.replace(".new", suffix));
        fs::write(&leftover, content).unwrap();
        age(&leftover, Duration::from_secs(seconds));
    };
    let part = fixture.stage("/file", StartAt::Start, "x").await;
    copy("1.new", "the newest", 10);
    copy("2.new", "older", 20);
    copy("3.new", "", 0);
    copy("4.copy", "half of what was to be appended to", 0);
    drop(part);
    let part = fixture.stage("/old", StartAt::Start, "x").await;
    copy("1.new", "too old", 25 * 3600);
    drop(part);
    fs::write(fixture.local.staging().join("README"), "an administrator's").unwrap();
    let fixture = fixture.restart().await;
    assert_eq!(
        fixture
            .tree
            .partial(&file)
            .await
            .unwrap()
            .map(|part| part.size),
        // Were it told as whole, its client would send nothing more.
        Some(9)
    );
    assert_eq!(fixture.tree.partial(&path("/old")).await.unwrap(), None);
    let left = fixture.staged();
    assert!(
        left.len() == 2 && left[0].ends_with(".part") && left[1] == "README",
        "{left:?}"
    );
    let mut part = fixture.stage("/file", StartAt::End, "t!").await;
    part.publish(&file, true).await.unwrap();
    assert_eq!(fixture.content("file"), "the newest!");
}

#[tokio::test]
async fn what_nobody_resumes_expires() {
    let fixture = Fixture::new().await;
    for name in ["/old", "/new"] {
        fixture
            .stage(name, StartAt::Start, "x")
            .await
            .keep()
            .await
            .unwrap();
        if name == "/old" {
            let part = fixture.local.staging().join(&fixture.staged()[0]);
            age(&part, Duration::from_secs(25 * 3600));
        }
    }
    let going_on = fixture.stage("/busy", StartAt::Start, "x").await;
    assert_eq!(fixture.local.expire().await.unwrap(), 1);
    assert_eq!(fixture.local.expire().await.unwrap(), 0);
    assert_eq!(fixture.tree.partial(&path("/old")).await.unwrap(), None);
    assert_eq!(
        fixture
            .tree
            .partial(&path("/new"))
            .await
            .unwrap()
            .map(|part| part.size),
        Some(1)
    );
    assert_eq!(fixture.staged().len(), 2);
    drop(going_on);
}

#[tokio::test]
async fn homes_are_made_if_the_configuration_says_so() {
    let fixture = Fixture::new().await;
    fixture
        .local
        .open(&path("/a/b/c"), &"bob".into())
        .await
        .unwrap();
    fixture
        .local
        .open(&path("/a/b/d"), &"bob".into())
        .await
        .unwrap();
    assert!(fixture.config.root.join("a/b/d").is_dir());
    fs::write(fixture.config.root.join("file"), "").unwrap();
    for home in ["/file", "/file/below"] {
        assert_error!(
            fixture.local.open(&path(home), &"bob".into()).await,
            Error::NotDirectory
        );
    }
    symlink(fixture.outside(), fixture.config.root.join("link")).unwrap();
    for home in ["/link", "/link/below"] {
        let opened = fixture.local.open(&path(home), &"bob".into()).await;
        assert_error!(opened, Error::NotFound);
    }
    fixture.assert_outside_untouched();
    let fixture = Fixture::with(|config| config.create_homes = true).await;
    let config = config::Storage {
        create_homes: false,
        ..fixture.config.clone()
    };
    let local = Local::open_at(
        "test",
        &config,
        &fixture.directory.path().join("state"),
        &Startup::real(),
    )
    .unwrap();
    assert_error!(
        local.open(&path("/none"), &"bob".into()).await,
        Error::NotFound
    );
    local.open(&path("/home"), &"bob".into()).await.unwrap();
    local.open(&path("/"), &"bob".into()).await.unwrap();
}
