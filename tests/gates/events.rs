//! The listeners of events.

use serde_json::Value;

use crate::{
    built,
    support::{Server, Setup, Tls, USER},
    with,
};

/// A listener behind which the users plugin stands.
fn listening(more: &str) -> Setup {
    let setup = Setup::new().plugin("listens", &built("listens"), more);
    setup.users_plugin()
}

/// The events that the listener has logged so far.
fn heard(server: &Server) -> Vec<Value> {
    let log = server.log();
    let events = log
        .lines()
        .filter_map(|line| line.split_once("heard ").map(|(_, event)| event));
    events
        .map(|event| {
            let end = event.rfind('}').unwrap();
            serde_json::from_str(&event[..=end]).unwrap()
        })
        .collect()
}

/// Waits until it has heard of a logout, and says what it heard.
fn all(server: &mut Server) -> Vec<Value> {
    server.wait_for_line(|line| line.contains(r#"heard {"event":"logout""#));
    heard(server)
}

#[test]
fn a_listener_hears_what_a_session_does_in_its_order() {
    let guard = "builtin:upload-guard";
    let mut server = listening("")
        .plugin("upload-guard", guard, "settings.eicar = true")
        .plugin(
            "rules",
            "builtin:rules",
            "settings.default = \"allow\"\nsettings.rules = [{ effect = \"deny\", \
             paths = [\"/secret/**\"], operations = [\"all\"], reason = \"not yours\" }]",
        )
        .start();
    let mut client = server.secure(&Tls::new());
    client.send(&format!("USER {USER}")).expect(331);
    client.send("PASS wrong").expect(530);
    client.login(USER);
    client.send("PBSZ 0").expect(200);
    client.send("PROT P").expect(200);
    client.store("STOR a", b"hello").expect(226);
    assert_eq!(client.retrieve("RETR a"), b"hello");
    let eicar: String = r"*H+H$!ELIF-TSET-SURIVITNA-DRADNATS-RACIE$}7)CC7)^P(45XZP\4[PA@%P!O5X"
        .chars()
        .rev()
        .collect();
    client.store("STOR virus", eicar.as_bytes()).expect(550);
    client.send("MKD d").expect(257);
    client.send("RNFR a").expect(350);
    client.send("RNTO b").expect(250);
    client.send("DELE b").expect(250);
    client.send("RMD d").expect(250);
    client.send("MKD /secret/x").expect(550);
    client.send("QUIT").expect(221);

    let events = all(&mut server);
    let names: Vec<&str> = events
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    let expected = [
        "login-failed",
        "login",
        "upload",
        "download",
        "upload-refused",
        "make-directory",
        "rename",
        "delete",
        "remove-directory",
        "denied",
        "logout",
    ];
    assert_eq!(names, expected);
    for event in &events {
        assert_eq!(event["client"], "127.0.0.1", "{event}");
        assert_eq!(event["user"], USER, "{event}");
        assert_eq!(event["session"], events[0]["session"], "{event}");
        let time = event["time"].as_str().unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{event}");
    }
    let [upload, download, refused] = [&events[2], &events[3], &events[4]];
    assert_eq!(
        (&upload["path"], &upload["size"]),
        (&"/a".into(), &5.into())
    );
    assert_eq!(
        (&download["path"], &download["size"]),
        (&"/a".into(), &5.into())
    );
    assert_eq!(refused["plugin"], "upload-guard");
    assert!(
        refused["reason"].as_str().unwrap().contains("EICAR"),
        "{refused}"
    );
    let rename = &events[6];
    assert_eq!(
        (&rename["path"], &rename["to"]),
        (&"/a".into(), &"/b".into())
    );
    let denied = &events[9];
    assert_eq!(denied["operation"], "make-directory");
    assert_eq!(denied["reason"], "not yours");
}

#[test]
fn one_component_can_decide_and_listen_with_one_state() {
    let server = listening("settings.failures = 3").start();
    let attempt = |password: &str| {
        let mut client = server.secure(&Tls::new());
        client.send(&format!("USER {USER}")).expect(331);
        client.send(&format!("PASS {password}")).code
    };
    for _ in 0..2 {
        assert_eq!(attempt("wrong"), 530);
    }
    crate::support::eventually("two failures are heard", || heard(&server).len() == 2);
    assert_eq!(attempt(USER), 230);
    assert_eq!(attempt("wrong"), 530);
    crate::support::eventually("the third failure is heard", || {
        let events = heard(&server);
        let failed = events
            .iter()
            .filter(|event| event["event"] == "login-failed");
        failed.count() == 3
    });
    assert_eq!(attempt(USER), 530, "it knows of three failures");
    crate::support::eventually("it is in the log", || server.log().contains("3 failures"));
}

#[test]
fn a_listener_that_fails_holds_nobody_up() {
    for (fault, word) in [("trap", "trap"), ("loop", "late"), ("unavailable", "again")] {
        let more = format!("settings.notify = {fault:?}\n[plugin.limits]\ncpu-time = \"100ms\"\n");
        let mut server = listening(&more).start();
        for _ in 0..3 {
            let mut client = server.login();
            client.store("STOR a", b"x").expect(226);
            client.send("QUIT").expect(221);
        }
        server.wait_for_line(|line| line.contains("\"listens\"") && line.contains(word));
        server.terminate();
        assert!(server.wait().success());
    }
}

#[test]
fn what_happened_is_told_before_the_server_ends() {
    let mut server = listening("").start();
    let client = server.login();
    server.terminate();
    assert!(server.wait().success());
    drop(client);
    let events = heard(&server);
    assert_eq!(events.last().unwrap()["event"], "logout", "{events:?}");
}

#[test]
fn listeners_hear_of_faults() {
    let mut server = with("authenticator")
        .plugin("listens", &built("listens"), "")
        .start();
    let mut client = server.secure(&Tls::new());
    client.send("USER trap").expect(331);
    client.send("PASS x").expect(421);
    server.wait_for_line(|line| line.contains(r#"heard {"event":"fault""#));
    let events = heard(&server);
    assert_eq!(events[0]["plugin"], "faulty-authenticator");
    assert_eq!(events[0]["operation"], "login");
    let reason = events[0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("trap: "), "{reason}");
}

/// The upload is accepted all the same: who reads events may look at it again.
#[test]
fn an_upload_that_ended_without_close_notify_says_so() {
    let mut server = listening("").start();
    let mut client = server.login();
    let mut data = client.begin("STOR a");
    data.send(b"hello").unwrap();
    data.fin().unwrap();
    client.reply().expect(226);
    client.store("STOR b", b"hello").expect(226);
    client.send("QUIT").expect(221);
    let events = all(&mut server);
    let uploads: Vec<&Value> = events
        .iter()
        .filter(|event| event["event"] == "upload")
        .collect();
    assert_eq!(uploads[0]["reason"], "it ended without TLS close_notify");
    assert_eq!(uploads[0]["size"], 5);
    assert_eq!(uploads[1]["reason"], Value::Null);
}
