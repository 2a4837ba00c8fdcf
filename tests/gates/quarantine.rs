//! Uploads that a person has to look at, by `portcullis quarantine`.

use std::fs;

use serde_json::Value;

use crate::{
    built,
    support::{Server, Setup, content, eventually},
};

/// An inspector that puts into quarantine what is called so.
fn server(more: impl FnOnce(Setup) -> Setup) -> Server {
    let setup = Setup::new()
        .plugin("inspector", &built("faulty-inspector"), "")
        .plugin("listens", &built("listens"), "")
        .users_plugin();
    more(setup).start()
}

fn ask(server: &Server, words: &[&str]) -> (i32, String) {
    let words: Vec<&str> = ["quarantine"].iter().chain(words).copied().collect();
    server.setup().run(&words)
}

fn listed(server: &Server) -> Vec<Value> {
    let (status, said) = ask(server, &["list", "--json"]);
    assert_eq!(status, 0, "{said}");
    let said = said.trim();
    serde_json::from_str(said).unwrap()
}

/// Names that would steer a terminal, or turn text around, and JSON that means the same.
#[test]
fn names_are_escaped_in_json_too() {
    let server = server(|setup| setup);
    let mut client = server.login();
    let name = "quarantine-\u{202e}gpj.exe\u{2066}\u{200b}é";
    client.store(&format!("STOR {name}"), b"one").expect(550);
    let mut data = client.begin(&format!("STOR broken-{}", &name[11..]));
    data.send(&content(1 << 20, 1)).unwrap();
    // A session that ends before any of it has arrived has nothing to keep. The handshake counts, too.
    eventually("it has arrived", || {
        let status = client.send("STAT").expect(213);
        let mut words = status.text().split(' ');
        let moved = words.find_map(|word| word.parse::<u64>().ok());
        moved.is_some_and(|moved| moved > 100_000)
    });
    drop(client);
    drop(data);
    for (words, key) in [
        (&["quarantine", "list", "--json"][..], "path"),
        (&["status", "--json"], "path"),
        (&["state", "list", "--json"], ""),
        (&["quarantine", "list"], ""),
        (&["status"], ""),
    ] {
        let found = || {
            let (status, said) = server.setup().run(words);
            assert_eq!(status, 0, "{said}");
            said
        };
        eventually("it is told", || {
            key.is_empty() || found().contains("u202egpj.exe")
        });
        let said = found();
        assert!(
            !said.contains(['\u{202e}', '\u{2066}', '\u{200b}']),
            "{said}"
        );
        if key.is_empty() {
            continue;
        }
        let told: Value = serde_json::from_str(said.trim()).unwrap();
        let list = told.get("uploads").unwrap_or(&told);
        let path = list[0]["path"].as_str().unwrap();
        assert!(path.ends_with(&name[11..]), "{said}");
    }
}

#[test]
fn it_is_listed_released_and_deleted() {
    let mut server = server(|setup| setup);
    let (status, said) = ask(&server, &["list"]);
    assert_eq!((status, said.trim()), (0, "Nothing is in quarantine."));
    let mut client = server.login();
    for (name, content) in [("quarantine-1", "one"), ("quarantine-2", "two")] {
        client
            .store(&format!("STOR {name}"), content.as_bytes())
            .expect(550);
        client.send(&format!("SIZE {name}")).expect(550);
        assert!(!client.listing("LIST").contains(name));
    }
    let all = listed(&server);
    let first = &all[0];
    for (key, value) in [
        ("path", "/quarantine-1"),
        ("user", "alice"),
        ("home", "/alice"),
        ("storage", "default"),
        ("mode", "create"),
        ("plugin", "inspector"),
        ("reason", "Quarantined on purpose"),
        (
            "sha256",
            "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
        ),
    ] {
        assert_eq!(first[key], *value, "{first}");
    }
    assert_eq!(first["size"], 3);
    assert!(first["client"].as_str().unwrap().starts_with("127.0.0.1:"));
    let ids: Vec<&str> = all
        .iter()
        .map(|held| held["id"].as_str().unwrap())
        .collect();
    let (_, said) = ask(&server, &["list"]);
    for part in [
        ids[0],
        ids[1],
        "/quarantine-1 of alice",
        "Quarantined on purpose",
    ] {
        assert!(said.contains(part), "{said}");
    }

    let (status, said) = ask(&server, &["release", ids[0]]);
    assert_eq!(status, 0, "{said}");
    assert_eq!(
        fs::read(server.home().join("quarantine-1")).unwrap(),
        b"one"
    );
    assert_eq!(client.retrieve("RETR quarantine-1"), b"one");
    let line = server.wait_for_line(|line| line.contains("heard {\"event\":\"upload\""));
    for part in [
        "\"operation\":\"release\"",
        "\"path\":\"/quarantine-1\"",
        "\"user\":\"alice\"",
    ] {
        assert!(line.contains(part), "{line}");
    }

    let (status, said) = ask(&server, &["delete", ids[1]]);
    assert_eq!(status, 0, "{said}");
    assert!(!server.home().join("quarantine-2").exists());
    assert!(listed(&server).is_empty());
    assert!(server.files_with(b"two").is_empty());
    for word in ["release", "delete"] {
        let (status, said) = ask(&server, &[word, ids[1]]);
        assert_eq!(status, 1, "{said}");
        assert!(said.contains("nothing in quarantine is called"), "{said}");
    }
}

/// The upload guard sees at the beginning what it wants a person to look at, and waits for the rest.
#[test]
fn all_of_it_is_kept() {
    let server = Setup::new()
        .users_plugin()
        .plugin(
            "guard",
            "builtin:upload-guard",
            "settings.action = \"quarantine\"",
        )
        .start();
    let mut client = server.login();
    let mut content = crate::support::eicar();
    content.extend(crate::support::content(3 << 20, 7));
    client.store("STOR picture", &content).expect(550);
    let all = listed(&server);
    assert_eq!(
        (&all[0]["size"], &all[0]["whole"]),
        (&content.len().into(), &true.into())
    );
    let (status, said) = ask(&server, &["release", all[0]["id"].as_str().unwrap()]);
    assert_eq!(status, 0, "{said}");
    assert!(fs::read(server.home().join("picture")).unwrap() == content);
}

#[test]
fn what_took_its_name_is_replaced_only_on_demand() {
    let server = server(|setup| setup);
    let mut client = server.login();
    client.store("STOR quarantine", b"held").expect(550);
    fs::write(server.home().join("quarantine"), "newer").unwrap();
    let all = listed(&server);
    let id = all[0]["id"].as_str().unwrap();
    let (status, said) = ask(&server, &["release", id]);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("--replace"), "{said}");
    assert_eq!(
        fs::read(server.home().join("quarantine")).unwrap(),
        b"newer"
    );
    let (status, said) = ask(&server, &["release", id, "--replace"]);
    assert_eq!(status, 0, "{said}");
    assert_eq!(fs::read(server.home().join("quarantine")).unwrap(), b"held");
}

#[test]
fn what_was_to_replace_a_file_replaces_it_when_it_is_released() {
    let server = server(|setup| setup);
    let mut client = server.login();
    fs::write(server.home().join("quarantine"), "old").unwrap();
    client.store("STOR quarantine", b"held").expect(550);
    assert_eq!(fs::read(server.home().join("quarantine")).unwrap(), b"old");
    let all = listed(&server);
    assert_eq!(all[0]["mode"], "overwrite");
    let (status, said) = ask(&server, &["release", all[0]["id"].as_str().unwrap()]);
    assert_eq!(status, 0, "{said}");
    assert_eq!(fs::read(server.home().join("quarantine")).unwrap(), b"held");
}

#[test]
fn it_has_a_directory_of_its_own_and_outlives_a_restart() {
    let mut server = server(|setup| setup.set("storage.default.quarantine", "suspects"));
    server.login().store("STOR quarantine", b"held").expect(550);
    let suspects = server.state().join("suspects");
    assert_eq!(fs::read_dir(&suspects).unwrap().count(), 2);
    server = server.restart(|| {});
    let all = listed(&server);
    assert_eq!(all.len(), 1);
    let (status, said) = ask(&server, &["release", all[0]["id"].as_str().unwrap()]);
    assert_eq!(status, 0, "{said}");
    assert_eq!(fs::read(server.home().join("quarantine")).unwrap(), b"held");
    assert_eq!(fs::read_dir(&suspects).unwrap().count(), 0);
}

#[test]
fn status_tells_which_uploads_wait_to_be_resumed() {
    let server = server(|setup| setup);
    let mut client = server.login();
    let mut data = client.begin("STOR half");
    data.send(b"0123456789").unwrap();
    data.cut();
    client.reply().expect_one_of(&[426, 451]);
    let (status, said) = server.setup().run(&["status"]);
    assert_eq!(status, 0, "{said}");
    assert!(
        said.contains("/alice/half of alice, storage default: 10 bytes"),
        "{said}"
    );
    let (_, said) = server.setup().run(&["status", "--json"]);
    let status: Value = serde_json::from_str(said.trim()).unwrap();
    assert_eq!(status["uploads"][0]["path"], "/alice/half");
    assert_eq!(status["uploads"][0]["size"], 10);
}

#[test]
fn an_upload_that_does_not_fit_is_refused_and_gone() {
    let server = server(|setup| setup.set("storage.default.quarantine-size", "10"));
    let mut client = server.login();
    for name in ["quarantine-1", "quarantine-2"] {
        client
            .store(&format!("STOR {name}"), b"7 bytes")
            .expect(550);
        assert!(!server.home().join(name).exists());
        client.send(&format!("SIZE {name}")).expect(550);
    }
    let all = listed(&server);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["path"], "/quarantine-1");
    eventually("the log says so", || {
        server
            .log()
            .contains("`quarantine-size` of the storage is reached")
    });
    let (status, said) = ask(&server, &["delete", all[0]["id"].as_str().unwrap()]);
    assert_eq!(status, 0, "{said}");
    client.store("STOR quarantine-3", b"7 bytes").expect(550);
    assert_eq!(listed(&server).len(), 1);
}
