//! `portcullis who` and `kick`.

use serde_json::Value;

use crate::support::{Server, Setup, content, eventually};

/// A command that is to succeed: what it printed.
#[track_caller]
fn ask(server: &Server, words: &[&str]) -> String {
    let (status, said) = server.setup().run(words);
    assert_eq!(status, 0, "{words:?}: {said}");
    said
}

fn who(server: &Server) -> Vec<Value> {
    serde_json::from_str(&ask(server, &["who", "--json"])).unwrap()
}

#[test]
fn who_tells_users_and_what_they_do() {
    let server = Setup::new().user("bob", "").start();
    assert_eq!(ask(&server, &["who"]), "Nobody is there.\n");
    let alice = server.login();
    let mut bob = server.login_as("bob", &crate::support::Tls::new());
    let stranger = server.connect();
    let mut data = bob.begin("STOR a\u{202e}file");
    data.send(&content(100_000, 1)).unwrap();
    eventually("the transfer is told", || {
        who(&server)
            .iter()
            .any(|one| one["transfer"]["bytes"].as_u64() > Some(100_000))
    });
    let told = who(&server);
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(told[0]["user"], "alice");
    assert_eq!(told[0]["tls"], "TLSv1.3");
    assert_eq!(told[0]["transfer"], Value::Null);
    assert_eq!(told[0]["client"], alice.local().to_string());
    assert_eq!(told[1]["transfer"]["direction"], "upload");
    assert_eq!(told[1]["transfer"]["path"], "/a\u{202e}file");
    assert_eq!(told[2]["user"], Value::Null);
    assert_eq!(told[2]["logged-in"], false);
    let shown = ask(&server, &["who"]);
    assert!(!shown.contains('\u{202e}'), "{shown}");
    let line = shown.lines().find(|line| line.contains("bob")).unwrap();
    assert!(line.contains("upload /a\\u{202e}file: "), "{line}");
    let shown = ask(&server, &["who", "--filter", "ALICE"]);
    assert!(shown.contains("alice") && !shown.contains("bob"), "{shown}");
    assert!(shown.contains("1 to 1 of 1, 3 in all"), "{shown}");
    let shown = ask(&server, &["who", "--limit", "1", "--offset", "1"]);
    assert!(
        shown.contains("bob") && shown.contains("2 to 2 of 3"),
        "{shown}"
    );
    data.finish().unwrap();
    bob.reply().expect(226);
    drop((alice, bob, stranger));
    eventually("all are gone", || who(&server).is_empty());
}

/// The one that is meant ends, at whatever it is, and no other.
#[test]
fn sessions_are_ended_by_name_user_and_network() {
    let server = Setup::new().user("bob", "").start();
    let tls = crate::support::Tls::new();
    let mut alice = server.login();
    let (mut first, mut second) = (server.login_as("bob", &tls), server.login_as("bob", &tls));
    let mut stranger = server.connect();
    let mut data = second.begin("STOR file");
    data.send(&content(100_000, 1)).unwrap();
    eventually("it has arrived", || {
        who(&server)
            .iter()
            .any(|one| one["transfer"]["bytes"].as_u64() > Some(100_000))
    });
    let ended = ask(&server, &["kick", "--user", "bob", "--reason", "a test"]);
    assert_eq!(ended, "2 sessions are ended\n");
    first.reply().expect(421).saying("operator");
    assert_eq!(first.rest(), "");
    second.reply().expect(426);
    second.reply().expect(421).saying("operator");
    eventually("the log says why", || server.log().contains("a test"));
    // A cut like any other.
    let mut again = server.login_as("bob", &tls);
    again.send("SIZE file").expect(213).saying("100000");
    let id = who(&server)
        .iter()
        .find(|one| one["logged-in"] == false)
        .map(|one| one["session"].as_str().unwrap().to_owned());
    ask(&server, &["kick", &id.unwrap()]);
    stranger.reply().expect(421);
    alice.send("NOOP").expect(200);
    ask(&server, &["kick", "--network", "127.0.0.0/8"]);
    alice.reply().expect(421);
    again.reply().expect(421);
    let (status, said) = server.setup().run(&["kick", "nobody"]);
    assert_eq!(status, 1);
    assert!(said.contains("there is no session nobody"), "{said}");
    let (status, said) = server.setup().run(&["kick"]);
    assert_eq!(status, 2, "{said}");
}
