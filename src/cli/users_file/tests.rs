use std::{fs, os::unix::fs::PermissionsExt};

use super::*;

const BY_HAND: &str = "\
# Our users.

# The boss.
[alice]
password = \"old\" # since May
home    = \"/a\"
[alice.attributes]
department = \"sales\"

# The assistant.
[bob]
password = \"b\"
# The end.
";

fn user(name: &str) -> NewUser {
    NewUser {
        name: name.to_owned(),
        hash: Some("$hash".to_owned()),
        home: Some(format!("/{name}")),
        ..NewUser::default()
    }
}

fn edited(text: &str, change: impl FnOnce(&mut Document)) -> String {
    let mut document = Document::Toml(text.parse().unwrap());
    change(&mut document);
    let text = document.text().unwrap();
    text.parse::<DocumentMut>().unwrap();
    text
}

#[test]
fn adding_leaves_the_rest_as_it_is() {
    let text = edited(BY_HAND, |document| {
        let groups = vec!["staff".to_owned(), "night".to_owned()];
        let permissions = vec!["read".to_owned()];
        let storage = Some("other".to_owned());
        document.add(&NewUser {
            groups,
            permissions,
            storage,
            ..user("carol d.")
        });
    });
    let expected = format!(
        "{BY_HAND}\n[\"carol d.\"]\npassword = \"$hash\"\nhome = \"/carol d.\"\nstorage = \"other\"\n\
         groups = [\"staff\", \"night\"]\npermissions = [\"read\"]\n"
    );
    assert_eq!(text, expected);
}

#[test]
fn a_new_password_leaves_the_comment_beside_it() {
    let text = edited(BY_HAND, |document| {
        document.set_password("alice", "new").unwrap()
    });
    assert_eq!(text, BY_HAND.replace("\"old\"", "\"new\""));
    let text = edited("eve = { home = \"/\" } # x\n", |document| {
        document.set_password("eve", "new").unwrap();
    });
    assert_eq!(text, "eve = { home = \"/\" , password = \"new\" } # x\n");
}

#[test]
fn removing_takes_the_comment_right_above_and_no_other() {
    let text = edited(BY_HAND, |document| document.remove("alice"));
    assert_eq!(
        text,
        "# Our users.\n\n# The assistant.\n[bob]\npassword = \"b\"\n# The end.\n"
    );
    let text = edited(&text, |document| document.remove("bob"));
    assert_eq!(text, "# Our users.\n# The end.\n");
    let text = edited(&text, |document| document.add(&user("new")));
    let expected = "# Our users.\n# The end.\n\n[new]\npassword = \"$hash\"\nhome = \"/new\"\n";
    assert_eq!(text, expected);
    let text = edited(BY_HAND, |document| document.remove("bob"));
    assert_eq!(
        text.trim_end(),
        BY_HAND
            .split("\n\n# The assistant")
            .next()
            .unwrap()
            .to_owned()
            + "\n# The end."
    );
}

#[test]
fn a_new_file_has_a_head_and_is_private() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state/users.toml");
    edit(&path, |document| {
        document.add(&user("a"));
        Ok(())
    })
    .unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("# The users of this server"), "{text}");
    assert!(
        text.ends_with("greeting\n\n[a]\npassword = \"$hash\"\nhome = \"/a\"\n"),
        "{text}"
    );
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    edit(&path, |document| {
        document.remove("a");
        Ok(())
    })
    .unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap().trim_end(),
        HEAD.trim_end()
    );
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o640
    );
    let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1);
}

#[test]
fn keys_come_change_and_go() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["users.toml", "users.json"] {
        let path = directory.path().join(name);
        let set = |key: &str, value: Option<toml_edit::Value>| {
            edit(&path, |document| document.set("alice", key, value)).unwrap();
            read(&path).unwrap().remove("alice").unwrap()
        };
        edit(&path, |document| {
            document.add(&user("alice"));
            Ok(())
        })
        .unwrap();
        let alice = set("disabled", Some(true.into()));
        assert_eq!(alice.get("disabled").unwrap(), true, "{name}");
        let list: toml_edit::Array = ["list", "upload"].iter().copied().collect();
        let alice = set("permissions", Some(list.into()));
        let told = alice.get("permissions").unwrap().as_array().unwrap();
        assert_eq!(told.len(), 2, "{name}");
        let alice = set("disabled", None);
        assert!(alice.get("disabled").is_none(), "{name}");
        let nobody = edit(&path, |document| document.set("nobody", "disabled", None));
        assert!(nobody.is_err(), "{name}");
    }
}

#[test]
fn concurrent_edits_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("users.json");
    std::thread::scope(|scope| {
        for number in 0..20 {
            let path = &path;
            scope.spawn(move || {
                edit(path, |document| {
                    document.add(&user(&format!("u{number}")));
                    Ok(())
                })
            });
        }
    });
    let users = read(&path).unwrap();
    assert_eq!(users.len(), 20);
    assert_eq!(users.get("u7").unwrap().get("home").unwrap(), "/u7");
}

#[test]
fn a_broken_file_is_left_alone_and_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("users.toml");
    fs::write(&path, "[a]\nhome = \n").unwrap();
    let error = edit(&path, |_| Ok(())).unwrap_err();
    assert!(error.contains("users.toml:2: "), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "[a]\nhome = \n");
}

#[test]
fn keys_and_attributes_come_and_go() {
    let text = edited(BY_HAND, |document| {
        document
            .set("alice", "max-sessions", Some(2.into()))
            .unwrap();
        document
            .set_attribute("alice", "department", Some("law".into()))
            .unwrap();
        document
            .set_attribute("bob", "floor", Some("3".into()))
            .unwrap();
        assert!(document.set_attribute("eve", "floor", None).is_err());
    });
    let expected = BY_HAND
        .replace("home    = \"/a\"\n", "home    = \"/a\"\nmax-sessions = 2\n")
        .replace("\"sales\"", "\"law\"")
        .replace("\"b\"\n", "\"b\"\n\n[bob.attributes]\nfloor = \"3\"\n");
    assert_eq!(text, expected);
    let text = edited(&text, |document| {
        document.set("alice", "max-sessions", None).unwrap();
        document.set_attribute("alice", "department", None).unwrap();
        document.set_attribute("bob", "floor", None).unwrap();
    });
    assert!(
        !text.contains("attributes") && !text.contains("max-sessions"),
        "{text}"
    );

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("users.json");
    edit(&path, |document| {
        document.add(&user("carol"));
        document.set("carol", "max-sessions", Some(2.into()))?;
        document.set_attribute("carol", "floor", Some("3".into()))
    })
    .unwrap();
    let carol = read(&path).unwrap().remove("carol").unwrap();
    assert_eq!(carol["max-sessions"], 2);
    assert_eq!(carol["attributes"]["floor"], "3");
}
