//! `user add|passwd|set|show|list|remove`.

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
        said
    };
    let said = set(&["quota=1GB", "expires=+2d"]);
    assert!(said.contains(": quota = \"1GB\", expires = \"20"), "{said}");
    let said = set(&["expires="]);
    assert!(said.ends_with(": expires is unset\n"), "{said}");
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

/// A wrong change leaves the file as it is, as does one that nobody could log in by.
#[test]
fn a_change_that_is_wrong_is_refused() {
    let setup = Setup::new();
    let add = ["user", "add", "bob", "--password-stdin"];
    assert_eq!(run(&setup, &add, "secret\n").0, 0);
    let file = setup.state().join("users.toml");
    let set = ["user", "set", "bob", "attributes.department=sales"];
    assert_eq!(run(&setup, &set, "").0, 0);
    let before = fs::read_to_string(&file).unwrap();
    assert!(
        before.contains("[bob.attributes]\ndepartment = \"sales\"\n"),
        "{before}"
    );
    for (change, says) in [
        ("password=", "neither a password nor certificates"),
        ("require-certificate=true", "no certificates"),
        ("certificates=bob", "CN=alice"),
        ("addresses=here", "192.0.2.0/24"),
        ("idle-timeout=0s", "a second at least"),
        ("attributes.=x", "there is no such key"),
        ("groups=a", "groups is given twice"),
    ] {
        let (status, said) = run(&setup, &["user", "set", "bob", "groups=b", change], "");
        assert_eq!(status, 1, "{change}: {said}");
        assert!(said.contains(says), "{change}: {said}");
        assert_eq!(fs::read_to_string(&file).unwrap(), before, "{change}");
    }
    // A certificate does in place of the password, and a user who is kept out needs neither.
    let set = ["user", "set", "bob", "password=", "certificates=CN=bob,O=x"];
    let (status, said) = run(&setup, &set, "");
    assert_eq!(status, 0, "{said}");
    let set = ["user", "set", "bob", "certificates=", "disabled=true"];
    let (status, said) = run(&setup, &set, "");
    assert_eq!(status, 0, "{said}");
}

/// The users plugin with a group that has defaults, and one that has others.
fn with_groups(setup: Setup) -> Setup {
    setup.plugin(
        "users",
        "builtin:users",
        r#"[plugin.settings]
users = { file = "users.toml" }
[plugin.settings.groups.staff]
home = "/staff/{user}"
quota = "1000B"
permissions = ["list", "upload"]
attributes = { department = "sales" }
[plugin.settings.groups.night]
quota = "5GB"
max-sessions = 1
"#,
    )
}

/// Each value holds, and is told with its place.
#[test]
fn groups_say_what_their_users_leave_out() {
    let server = with_groups(Setup::new()).start();
    let setup = server.setup();
    let add = [
        "user",
        "add",
        "bob",
        "--password-stdin",
        "--group",
        "label",
        "--group",
        "staff",
        "--group",
        "night",
    ];
    let (status, said) = run(setup, &add, "bob\n");
    assert_eq!(status, 0, "{said}");
    let add = ["user", "add", "staff", "--password-stdin"];
    assert_eq!(run(setup, &add, "staff\n").0, 0);
    let login = |name: &str| {
        let mut client = server.secure(&Tls::new());
        client.send(&format!("USER {name}")).expect(331);
        client.send(&format!("PASS {name}")).code
    };
    eventually("staff may log in", || login("staff") == 230);
    let mut client = server.login_as("bob", &Tls::new());
    assert!(server.state().join("files/staff/bob").is_dir());
    client.send("EPSV").expect(229);
    client.send("RETR x").expect(550);
    client.store("STOR file", &[7; 1000]).expect(226);
    client.send("SITE QUOTA").expect(200).saying("1000/1000");
    assert_eq!(login("bob"), 421, "one session at a time");
    // A user of the group's name is another matter.
    let mut other = server.login_as("staff", &Tls::new());
    other.send("MKD directory").expect(257);

    let (_, said) = run(setup, &["user", "list", "--filter", "bob"], "");
    assert!(
        said.contains("/staff/bob") && said.contains("list,upload"),
        "{said}"
    );

    let set = ["user", "set", "bob", "quota=2GB", "attributes.floor=3"];
    assert_eq!(run(setup, &set, "").0, 0);
    client.reply().expect(421).saying("account has changed");
    let (status, said) = run(setup, &["user", "show", "bob"], "");
    assert_eq!(status, 0, "{said}");
    for (key, value, from) in [
        ("password", "argon2id", "users.toml"),
        ("home", "/staff/bob", "group staff"),
        ("quota", "2GB", "users.toml"),
        ("permissions", "list, upload", "group staff"),
        ("max-sessions", "1", "group night"),
        ("attributes.department", "sales", "group staff"),
        ("attributes.floor", "3", "users.toml"),
        ("expires", "never", "default"),
        ("idle-timeout", "", "limits.idle-timeout"),
    ] {
        let mut lines = said.lines();
        let line = lines.find(|line| line.split_whitespace().next() == Some(key));
        let line = line.unwrap_or_else(|| panic!("{key}: {said}"));
        assert!(line.contains(value) && line.ends_with(from), "{line}");
    }
    assert!(!said.contains("$argon2"), "{said}");
    let (status, said) = run(setup, &["user", "show", "bob", "--json"], "");
    assert_eq!(status, 0, "{said}");
    let shown: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        shown.pointer("/keys/max-sessions/from").unwrap(),
        "group night"
    );
    assert!(!said.contains("$argon2"), "{said}");
}

/// A typing error is told at the start, with the group and the key.
#[test]
fn groups_with_unknown_keys_are_refused() {
    for (line, says) in [
        (
            "groups.staff = { qouta = \"1GB\" }",
            "group \"staff\": qouta: no key of a group; there are addresses",
        ),
        (
            "groups.staff = { home = \"/{name}\" }",
            "has braces that are not \"{user}\"",
        ),
        ("groups = [\"staff\"]", "expected a table of groups"),
    ] {
        let setup = Setup::new().plugin(
            "users",
            "builtin:users",
            &format!("[plugin.settings]\nusers = {{ file = \"users.toml\" }}\n{line}\n"),
        );
        let (status, said) = setup.run(&["check"]);
        assert_ne!(status, 0, "{line}: {said}");
        assert!(said.contains(says), "{line}: {said}");
    }
}
