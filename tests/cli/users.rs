//! `user add|passwd|list|remove`.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

use crate::support::{Setup, Tls, eventually};

/// Runs a command with a password on its standard input.
fn run(setup: &Setup, words: &[&str], input: &str) -> (i32, String) {
    let mut command: Command = setup.command(words);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn users_come_and_go_while_the_server_runs() {
    let server = Setup::new().start();
    let setup = server.setup();
    let login = |name: &str, password: &str| {
        let mut client = server.secure(&Tls::new());
        client.send(&format!("USER {name}")).expect(331);
        client.send(&format!("PASS {password}")).code == 230
    };
    let add = [
        "user",
        "add",
        "bob",
        "--password-stdin",
        "--home",
        "/bobs-home",
    ];
    let (status, said) = run(setup, &add, "first secret\n");
    assert_eq!(status, 0, "{said}");
    assert!(!said.contains("first secret"), "{said}");
    eventually("bob may log in", || login("bob", "first secret"));
    assert!(server.state().join("files/bobs-home").is_dir());
    assert!(login("alice", "alice"), "the others are still there");
    let file = server.state().join("users.toml");
    let users = fs::read_to_string(&file).unwrap();
    assert!(
        users.contains("$argon2id$") && !users.contains("first secret"),
        "{users}"
    );
    let (status, said) = run(setup, &add, "another\n");
    assert_ne!(status, 0, "bob is there already: {said}");
    assert!(said.contains("bob"), "{said}");
    let (status, said) = run(setup, &["user", "list"], "");
    assert_eq!(status, 0);
    assert!(
        said.contains("alice") && said.contains("bob") && !said.contains("$argon2"),
        "{said}"
    );
    let (status, said) = run(
        setup,
        &["user", "passwd", "bob", "--password-stdin"],
        "second secret\n",
    );
    assert_eq!(status, 0, "{said}");
    eventually("the new password holds", || login("bob", "second secret"));
    assert!(!login("bob", "first secret"));
    let (status, said) = run(setup, &["user", "remove", "bob"], "");
    assert_eq!(status, 0, "{said}");
    eventually("bob is gone", || !login("bob", "second secret"));
    for words in [
        &["user", "remove", "bob"][..],
        &["user", "passwd", "bob", "--password-stdin"],
    ] {
        let (status, said) = run(setup, words, "x\n");
        assert_ne!(status, 0, "{said}");
        assert!(said.contains("bob"), "{said}");
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}

/// Comments of people beside the entries stay.
#[test]
fn comments_and_order_are_kept() {
    let setup = Setup::new();
    fs::create_dir_all(setup.state()).unwrap();
    let file = setup.state().join("users.toml");
    fs::write(
        &file,
        "# by hand\n[zoe]\ngreeting = \"Hi\" # friendly\npassword = \"$x$\"\n",
    )
    .unwrap();
    let (status, said) = run(
        &setup,
        &["user", "add", "bob", "--password-stdin", "--home", "/b"],
        "secret\n",
    );
    assert_eq!(status, 0, "{said}");
    let users = fs::read_to_string(&file).unwrap();
    assert!(
        users.starts_with("# by hand\n[zoe]\ngreeting = \"Hi\" # friendly\n"),
        "{users}"
    );
}

#[test]
fn names_that_are_none_are_refused() {
    let setup = Setup::new();
    for name in ["", "a\nb", "a/../b"] {
        let (status, said) = run(
            &setup,
            &["user", "add", name, "--password-stdin"],
            "secret\n",
        );
        assert_ne!(status, 0, "{name:?}: {said}");
    }
    let (status, _) = run(
        &setup,
        &["user", "add", "bob", "--password-stdin", "--home", "/b"],
        "",
    );
    assert_ne!(status, 0, "no password at all");
    let (status, _) = run(
        &setup,
        &["user", "add", "bob", "--password-stdin", "--home", "../x"],
        "secret\n",
    );
    assert_ne!(status, 0, "a home that is no path");
}

/// A running server knows it at once, and the file stays as people wrote it.
#[test]
fn keys_of_a_user_are_set_and_hold() {
    let server = Setup::new()
        .set("server.account-change", "\"keep\"")
        .user("bob", "")
        .start();
    let file = server.state().join("users.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("# ours\n{text}")).unwrap();
    let ask = |words: &[&str]| server.setup().run(words);
    let set = |pairs: &[&str]| {
        let words = [&["user", "set", "alice"], pairs].concat();
        let (status, said) = ask(&words);
        assert_eq!(status, 0, "{said}");
    };
    set(&[
        "quota=1000",
        "upload-rate=2MiB/s",
        "max-sessions=1",
        "permissions=list,upload,delete",
    ]);
    let mut client = server.login();
    client.store("STOR file", &[7; 1000]).expect(226);
    let _data = client.open();
    client.send("STOR other").expect(552);
    client.send("MKD d").expect(550);
    let mut second = server.secure(&Tls::new());
    second.send("USER alice").expect(331);
    second.send("PASS alice").expect(421);
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        text.starts_with("# ours\n") && text.contains("[\"bob\"]"),
        "{text}"
    );
    let (_, shown) = ask(&["user", "show", "alice"]);
    assert!(
        shown.contains("upload-rate") && shown.contains("2MiB"),
        "{shown}"
    );
    assert!(!shown.contains("$argon2"), "{shown}");
    client.send("QUIT").expect(221);
    // An account that has expired is like one with a wrong password; the log says why.
    set(&["expires=2020-01-01", "max-sessions="]);
    let mut client = server.secure(&Tls::new());
    client.send("USER alice").expect(331);
    client
        .send("PASS alice")
        .expect(530)
        .saying("Login incorrect");
    eventually("the log says why", || {
        server.log().contains("the account has expired")
    });
    set(&["expires=+1d", "quota="]);
    server.login().store("STOR other", &[7; 10]).expect(226);
    for (pair, says) in [
        ("quota=much", "a size such as"),
        ("quota=0", "more than 0"),
        ("expires=soon", "a date such as 2026-12-31"),
        ("storage=nowhere", "one of the storages default"),
        ("home=../x", "plain path"),
        ("permissions=raed", "some of all, read"),
        ("disabled=yes", "true or false"),
        ("qouta=1GB", "did you mean quota"),
        ("password=x", "user passwd"),
        ("quota", "KEY=VALUE"),
    ] {
        let before = fs::read_to_string(&file).unwrap();
        let (status, said) = ask(&["user", "set", "alice", "greeting=hello", pair]);
        assert_eq!(status, 1, "{pair}: {said}");
        assert!(said.contains(says), "{pair}: {said}");
        assert_eq!(fs::read_to_string(&file).unwrap(), before, "{pair}");
    }
    let (_, said) = ask(&["user", "list", "--filter", "BOB"]);
    assert!(said.contains("bob") && !said.contains("alice"), "{said}");
    assert!(said.contains("1 to 1 of 1, 2 in all"), "{said}");
    let (_, said) = ask(&["user", "list", "--limit", "1", "--json"]);
    assert!(said.contains("alice") && !said.contains("bob"), "{said}");
    let (status, said) = ask(&["user", "set", "nobody", "quota=1GB"]);
    assert_eq!(status, 1);
    assert!(said.contains("there is no user \"nobody\""), "{said}");
}
