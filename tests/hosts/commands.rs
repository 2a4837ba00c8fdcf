//! The command line, and what is written down of a session, where there are hosts.

use std::{
    fs,
    io::Write,
    os::unix::fs::symlink,
    process::{Command, Stdio},
};

use crate::{
    HOST, Two, at, inside, login,
    support::{Setup, Tls, USER, eventually},
};

/// Runs a command with a password on its standard input.
fn run(setup: &Setup, words: &[&str], input: &str) -> (i32, String) {
    let mut command: Command = setup.command(words);
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.code().unwrap_or(-1), said)
}

#[test]
fn the_users_of_a_host_are_named_by_it() {
    let server = Two::new("limits = { idle-timeout = '90s' }").setup.start();
    let setup = server.setup();
    let add = ["user", "add", "dora", "--password-stdin", "--host", HOST];
    let (status, said) = run(setup, &add, "of files\n");
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("users-of-host.toml"), "{said}");
    eventually("dora may log in there", || {
        login(&mut at(&server, HOST), "dora", "of files") == 230
    });
    let mut here = server.secure(&Tls::new());
    assert_eq!(login(&mut here, "dora", "of files"), 530);
    let (_, there) = setup.run(&["user", "list", "--host", HOST]);
    let (_, here) = setup.run(&["user", "list"]);
    assert!(
        there.contains("dora") && !here.contains("dora"),
        "{there}{here}"
    );
    let (_, shown) = setup.run(&["user", "show", "dora", "--host", "FILES.example"]);
    let limit = shown.lines().find(|line| line.starts_with("idle-timeout"));
    let words: Vec<_> = limit.unwrap().split_whitespace().collect();
    assert_eq!(
        words[words.len() - 1],
        "host[0].limits.idle-timeout",
        "{shown}"
    );
    let (status, said) = setup.run(&["user", "remove", "dora", "--host", "nobody.example"]);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("there are files.example"), "{said}");
}

#[test]
fn sessions_are_shown_and_ended_by_their_host() {
    let server = Two::new("")
        .setup
        .set("audit.file", "'audit.jsonl'")
        .start();
    let (mut here, mut there) = (server.login(), inside(&server, USER));
    there.store("STOR file", b"content").expect(226);
    let setup = server.setup();
    let (_, who) = setup.run(&["who"]);
    assert!(
        who.contains(&format!("alice@{HOST} ")) && who.contains("alice "),
        "{who}"
    );
    let (_, status) = setup.run(&["status"]);
    assert!(
        status.contains(&format!("{HOST}: 1 of the sessions")),
        "{status}"
    );
    assert!(
        status.contains(&format!("users@{HOST}: healthy")),
        "{status}"
    );
    let (_, json) = setup.run(&["status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["hosts"][0]["name"], HOST);
    assert_eq!(json["hosts"][0]["aliases"][0], "alias.example");

    let (code, said) = setup.run(&["kick", "--host", HOST]);
    assert_eq!((code, said.trim()), (0, "1 session is ended"));
    there.reply().expect(421);
    here.send("NOOP").expect(200);

    let audit = server.state().join("log/audit.jsonl");
    let mut records = Vec::new();
    eventually("the audit tells of both", || {
        let text = fs::read_to_string(&audit).unwrap_or_default();
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        records = lines.collect::<Vec<serde_json::Value>>();
        records.iter().filter(|one| one["event"] == "login").count() == 2
    });
    let hosts: Vec<_> = records
        .iter()
        .filter(|one| one["event"] == "login")
        .map(|one| one["host"].as_str())
        .collect();
    assert!(
        hosts.contains(&Some(HOST)) && hosts.contains(&None),
        "{records:#?}"
    );
}

#[test]
fn check_shows_hosts_and_names_lines() {
    let two = Two::new("");
    let (status, said) = two.setup.run(&["check"]);
    assert_eq!(status, 0, "{said}");
    for text in [
        "files.example, also alias.example; of its own: certificate, storages, plugins",
        "default@files.example: ",
        "users@files.example: ",
        "files.example: CN=",
    ] {
        assert!(said.contains(text), "{text}: {said}");
    }
    for (more, expected) in [
        (
            "limits = { idle-timeout = 'soon' }",
            ":7: host[0].limits.idle-timeout: expected a duration",
        ),
        (
            "uploads.digest = 'md5'",
            ":7: host[0].uploads.digest: expected \"none\" or",
        ),
        (
            "account-change = 'never'",
            ":7: host[0].account-change: expected \"end\"",
        ),
        (
            "storage.other.root = 'files-of-host'",
            ":7: host[0].storage.other.root: is the directory of",
        ),
    ] {
        let (status, said) = Two::new(more).setup.run(&["check"]);
        assert_eq!(status, 2, "{said}");
        assert!(said.contains(expected), "{expected}: {said}");
    }
    // A plugin that is none, and a certificate that is none, by the host's own keys.
    let own =
        "storage.default.root = 'own'\n[[host.plugin]]\nname = 'x'\ncomponent = 'builtin:none'\n";
    let (status, said) = Setup::new()
        .tables(&format!("[[host]]\nname = 'a.example'\n{own}"))
        .run(&["check"]);
    assert_eq!(status, 2, "{said}");
    assert!(
        said.contains(":6: host[0].plugin[0].component: plugin x: "),
        "{said}"
    );
    let tls = "tls = { certificate = 'none.pem', key = 'none.key' }\n";
    let (status, said) = Setup::new()
        .tables(&format!("[[host]]\nname = 'a.example'\n{tls}"))
        .run(&["check"]);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains(":3: host[0].tls.certificate: "), "{said}");
}

#[test]
fn check_leaves_a_server_with_hosts_alone() {
    let server = Two::new("").setup.start();
    let (status, said) = server.setup().run(&["check"]);
    assert_eq!(status, 0, "{said}");
    let line = said
        .lines()
        .find(|line| line.contains("default@files.example: "));
    assert!(
        line.unwrap().contains("(the running server has it)"),
        "{said}"
    );
    inside(&server, USER).send("NOOP").expect(200);
}

#[test]
fn a_host_without_a_certificate_for_its_name_is_a_warning() {
    let (status, said) = Setup::new()
        .tables("[[host]]\nname = 'plain.example'\n")
        .run(&["check"]);
    assert_eq!(status, 0, "{said}");
    assert!(
        said.contains(":2: host[0].name: no certificate is for plain.example"),
        "{said}"
    );
}

#[test]
fn storages_of_two_hosts_that_are_one_directory_behind_links_are_refused() {
    let setup = Setup::new();
    fs::create_dir_all(setup.state().join("files/deep")).unwrap();
    symlink("files/deep", setup.state().join("link")).unwrap();
    let text = "[[host]]\nname = 'a.example'\nstorage.default.root = 'link'\n";
    let (status, said) = setup.tables(text).run(&["check"]);
    assert_eq!(status, 2, "{said}");
    assert!(
        said.contains(":3: host[0].storage.default.root: it leads to "),
        "{said}"
    );
}
