use super::{
    add::{add_with, passwd},
    list::{list, row},
    *,
};
use crate::{config::Config, ftp::secret::Secret, passwords};

fn users(state: &Path) -> UsersOf {
    let mut config = Config::default();
    config.server.state = state.to_owned();
    of(config)
}

fn of(config: Config) -> UsersOf {
    UsersOf::new(&config.into(), None).unwrap()
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
    let users = users(&directory.path().join("state"));
    assert_eq!(
        list(&users, &PageOptions::default(), false)
            .unwrap()
            .lines()
            .count(),
        1
    );
    add_with(&users, new("alice"), secret).unwrap();
    add_with(
        &users,
        Add {
            home: Some("/".into()),
            ..new("bob")
        },
        secret,
    )
    .unwrap();
    let again = add_with(&users, new("alice"), secret).unwrap_err();
    assert!(again.to_string().contains("user passwd"), "{again}");

    let hash = |name: &str| {
        let users = users_file::read(&users.file().unwrap()).unwrap();
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
    passwd(&users, "alice", || Ok(Secret::new("other"))).unwrap();
    assert_eq!(passwords::verify("other", &hash("alice")), Ok(true));

    let table = list(&users, &PageOptions::default(), false).unwrap();
    let lines: Vec<_> = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .collect();
    assert_eq!(lines[1], ["alice", "/alice", "staff", "read", "argon2id"]);
    assert_eq!(lines[2], ["bob", "/", "staff", "read", "argon2id"]);
    assert!(
        !list(&users, &PageOptions::default(), true)
            .unwrap()
            .contains("$argon2id$")
    );

    remove(&users, "alice").unwrap();
    let gone = remove(&users, "alice").unwrap_err();
    assert!(
        gone.to_string().starts_with("there is no user \"alice\""),
        "{gone}"
    );
    assert!(passwd(&users, "alice", secret).is_err());
}

#[test]
fn what_cannot_be_a_user_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let users = users(directory.path());
    for name in ["", ".", "..", "a/b", "a\nb", &"x".repeat(129)] {
        assert!(add_with(&users, new(name), secret).is_err(), "{name:?}");
    }
    for home in ["", "a", "/..", "/a/../b", "/a//b", "/\u{7}"] {
        let home = Some(home.to_owned());
        assert!(add_with(&users, Add { home, ..new("a") }, secret).is_err());
    }
    for password in ["", "a\nb", "a\0"] {
        assert!(add_with(&users, new("a"), || Ok(Secret::new(password))).is_err());
    }
    let storage = Some("nowhere".to_owned());
    assert!(
        add_with(
            &users,
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
    assert!(of(config.clone()).file().is_err());
    config.plugin = crate::config::Config::default().plugin;
    config
        .plugin
        .iter_mut()
        .for_each(|plugin| plugin.settings.clear());
    assert!(
        of(config)
            .file()
            .unwrap_err()
            .to_string()
            .contains("users = { file")
    );
}
