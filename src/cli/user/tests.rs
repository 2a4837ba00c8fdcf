use super::{
    add::{add_with, passwd},
    list::{list, row},
    *,
};
use crate::{config::Config, ftp::secret::Secret, passwords};

fn loaded(state: &Path) -> Loaded {
    let mut config = Config::default();
    config.server.state = state.to_owned();
    config.into()
}

fn new(name: &str) -> Add {
    let (groups, permissions) = (vec!["staff".to_owned()], vec!["read".to_owned()]);
    let name = name.to_owned();
    Add {
        name,
        password_stdin: true,
        home: None,
        groups,
        permissions,
        storage: None,
    }
}

fn secret() -> Result<Secret, String> {
    Ok(Secret::new("secret"))
}

#[test]
fn users_come_change_and_go() {
    let directory = tempfile::tempdir().unwrap();
    let loaded = loaded(&directory.path().join("state"));
    assert_eq!(
        list(&loaded, &PageOptions::default(), false)
            .unwrap()
            .lines()
            .count(),
        1
    );
    add_with(&loaded, new("alice"), secret).unwrap();
    add_with(
        &loaded,
        Add {
            home: Some("/".into()),
            ..new("bob")
        },
        secret,
    )
    .unwrap();
    let again = add_with(&loaded, new("alice"), secret).unwrap_err();
    assert!(again.to_string().contains("user passwd"), "{again}");

    let hash = |name: &str| {
        let users = users_file::read(&file(&loaded).unwrap()).unwrap();
        users
            .get(name)
            .unwrap()
            .get("password")
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(passwords::verify("secret", &hash("alice")), Ok(true));
    passwd(&loaded, "alice", || Ok(Secret::new("other"))).unwrap();
    assert_eq!(passwords::verify("other", &hash("alice")), Ok(true));

    let table = list(&loaded, &PageOptions::default(), false).unwrap();
    let lines: Vec<_> = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .collect();
    assert_eq!(lines[1], ["alice", "/alice", "staff", "read", "argon2id"]);
    assert_eq!(lines[2], ["bob", "/", "staff", "read", "argon2id"]);
    assert!(
        !list(&loaded, &PageOptions::default(), true)
            .unwrap()
            .contains("$argon2id$")
    );

    remove(&loaded, "alice").unwrap();
    let gone = remove(&loaded, "alice").unwrap_err();
    assert!(
        gone.to_string().starts_with("there is no user \"alice\""),
        "{gone}"
    );
    assert!(passwd(&loaded, "alice", secret).is_err());
}

#[test]
fn what_cannot_be_a_user_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let loaded = loaded(directory.path());
    for name in ["", ".", "..", "a/b", "a\nb", &"x".repeat(129)] {
        assert!(add_with(&loaded, new(name), secret).is_err(), "{name:?}");
    }
    for home in ["", "a", "/..", "/a/../b", "/a//b", "/\u{7}"] {
        let home = Some(home.to_owned());
        assert!(add_with(&loaded, Add { home, ..new("a") }, secret).is_err());
    }
    for password in ["", "a\nb", "a\0"] {
        assert!(add_with(&loaded, new("a"), || Ok(Secret::new(password))).is_err());
    }
    let storage = Some("nowhere".to_owned());
    assert!(
        add_with(
            &loaded,
            Add {
                storage,
                ..new("a")
            },
            secret
        )
        .is_err()
    );
    assert!(!directory.path().join("users.toml").exists());
}

#[test]
fn no_control_character_reaches_the_terminal() {
    let user =
        serde_json::json!({ "home": "/\u{1b}[2J", "certificates": ["CN=x"], "disabled": true });
    let row = row("a\u{7}", &user);
    assert_eq!(row[0], "a\\u{7}");
    assert_eq!(row[1], "/\\u{1b}[2J");
    assert_eq!(row[4], "certificate (disabled)");
}

#[test]
fn without_a_file_of_users_there_is_nothing_to_edit() {
    let mut config = Config::default();
    config.plugin.clear();
    assert!(file(&config.clone().into()).is_err());
    config.plugin = crate::config::Config::default().plugin;
    config
        .plugin
        .iter_mut()
        .for_each(|plugin| plugin.settings.clear());
    assert!(
        file(&config.into())
            .unwrap_err()
            .to_string()
            .contains("users = { file")
    );
}
