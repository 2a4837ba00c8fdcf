//! The audit: `[audit]`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

use serde_json::Value;

use crate::{
    built,
    support::{
        Server, Setup, eventually,
        program::{expect, installed},
    },
};

fn setup() -> Setup {
    Setup::new()
        .set("audit.file", "\"audit.jsonl\"")
        .set("audit.xferlog", "\"xferlog\"")
}

fn file(server: &Server) -> PathBuf {
    server.state().join("log/audit.jsonl")
}

fn events(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

fn ask(server: &Server, words: &[&str]) -> String {
    let (status, said) = server.setup().run(words);
    assert_eq!(status, 0, "{words:?}: {said}");
    said
}

/// Everything that a person may be asked about is a line, with who, from where, and what came of it.
#[test]
fn all_that_happens_is_a_line() {
    let setup = setup()
        .plugin("inspector", &built("faulty-inspector"), "")
        .plugin(
            "rules",
            "builtin:rules",
            "settings.rules = [{ effect = \"deny\", operations = [\"delete\"], paths = [\"/kept\"] }]",
        )
        .users_plugin();
    let server = setup.start();
    let mut client = server.secure(&crate::support::Tls::new());
    client.send("USER secret typed here").expect(331);
    client.send("PASS wrong").expect(530);
    client.login("alice");
    client.send("PBSZ 0").expect(200);
    client.send("PROT P").expect(200);
    client.send("TYPE I").expect(200);
    client.store("STOR kept", b"0123456789").expect(226);
    client.retrieve("RETR kept");
    client
        .store("STOR quarantine-\u{202e}it", b"bad")
        .expect(550);
    client.send("DELE kept").expect(550);
    client.send("MKD d").expect(257);
    client.send("RNFR d").expect(350);
    client.send("RNTO e").expect(250);
    client.send("RMD e").expect(250);
    let mut data = client.begin("STOR cut");
    data.send(b"half").unwrap();
    data.cut();
    client.reply().expect_one_of(&[426, 451]);
    client.send("QUIT").expect(221);
    client.rest();
    ask(&server, &["ban", "192.0.2.0/24", "--reason", "scans"]);
    server.setup().run(&["unban", "198.51.100.0/24"]);
    ask(&server, &["ban", "127.0.0.1"]);
    crate::support::Client::dial(server.address)
        .reply()
        .expect(421);
    let found = || events(&file(&server));
    eventually("the last is written", || {
        found()
            .iter()
            .any(|one| one["event"] == "connection-refused")
    });
    let all = found();
    let of = |kind: &str| {
        let of: Vec<&Value> = all.iter().filter(|one| one["event"] == kind).collect();
        assert!(!of.is_empty(), "{kind}: {all:#?}");
        of[0].clone()
    };
    for event in &all {
        assert!(event["time"].as_str().unwrap().ends_with('Z'), "{event}");
    }
    let session = of("connect")["session"].clone();
    for kind in [
        "connect",
        "login-failed",
        "login",
        "upload",
        "download",
        "upload-quarantined",
        "denied",
        "make-directory",
        "rename",
        "remove-directory",
        "transfer-failed",
        "logout",
        "disconnect",
    ] {
        let event = of(kind);
        assert_eq!(event["session"], session, "{event}");
        assert_eq!(event["client"], "127.0.0.1", "{event}");
    }
    // A name that nobody has may be a password.
    assert_eq!(of("login-failed")["user"], Value::Null);
    assert!(of("login-failed")["reason"].is_string());
    let upload = of("upload");
    assert_eq!(
        (&upload["user"], &upload["path"]),
        (&"alice".into(), &"/kept".into())
    );
    assert_eq!(upload["size"], 10);
    assert!(upload["seconds"].as_f64().unwrap() < 30.0, "{upload}");
    assert_eq!(of("download")["size"], 10);
    assert_eq!(of("denied")["operation"], "delete");
    let held = of("upload-quarantined");
    assert_eq!(held["plugin"], "inspector");
    assert_eq!(held["path"], "/quarantine-\u{202e}it");
    let failed = of("transfer-failed");
    assert_eq!(
        (&failed["path"], &failed["size"]),
        (&"/cut".into(), &4.into())
    );
    let done: Vec<&Value> = all
        .iter()
        .filter(|one| one["event"] == "administration")
        .collect();
    assert_eq!(done.len(), 3, "{done:?}");
    assert_eq!(done[0]["by"], "the control socket");
    assert_eq!(done[0]["outcome"], "done");
    assert!(
        done[0]["reason"]
            .as_str()
            .unwrap()
            .contains("192.0.2.0/24 is banned")
    );
    assert_eq!(done[1]["outcome"], "refused");
    let text = fs::read_to_string(file(&server)).unwrap();
    assert!(
        !text.contains("secret typed here") && !text.contains('\u{202e}'),
        "{text}"
    );
    // And the transfers alone, as analysers of other servers' logs have them.
    let transfers = || fs::read_to_string(server.state().join("log/xferlog")).unwrap();
    eventually("the transfers are told", || transfers().contains("/cut"));
    let transfers = transfers();
    let fields: Vec<Vec<&str>> = transfers
        .lines()
        .map(|line| line.split(' ').collect())
        .collect();
    let found: Vec<_> = fields
        .iter()
        .map(|line| {
            let end = line.len();
            (line[end - 9 - 1], line[end - 7], line[end - 1])
        })
        .collect();
    assert_eq!(
        found,
        [
            ("/kept", "i", "c"),
            ("/kept", "o", "c"),
            ("/quarantine-_it", "i", "i"),
            ("/cut", "i", "i"),
        ],
        "{transfers}"
    );
}

/// An inspector that fails and is let pass has decided nothing: that is told, and counted.
#[test]
fn what_is_let_pass_is_a_line() {
    let setup = setup()
        .plugin(
            "inspector",
            &built("faulty-inspector"),
            "on-failure = \"allow\"",
        )
        .users_plugin();
    let server = setup.start();
    let mut client = server.login();
    client.store("STOR trap-after", b"0123456789").expect(226);
    let passed = || {
        let all = events(&file(&server));
        all.into_iter().find(|one| one["event"] == "fault-passed")
    };
    eventually("it is told", || passed().is_some());
    let passed = passed().unwrap();
    assert_eq!(passed["plugin"], "inspector");
    assert_eq!(passed["path"], "/trap-after");
    assert_eq!(passed["user"], "alice");
}

/// logrotate moves the file away and has it opened anew, while sessions go on: no line is lost.
#[test]
fn files_are_rotated_and_no_line_is_lost() {
    if !installed("logrotate") {
        return;
    }
    let server = setup().start();
    let log = file(&server);
    let config = server.setup().file("logrotate.conf", "");
    let mut reload = server.setup().command(&["reload"]);
    let words: Vec<String> = std::iter::once(reload.get_program())
        .chain(reload.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    fs::write(
        &config,
        format!(
            "{} {{\n  rotate 20\n  create\n  compress\n  su root root\n  postrotate\n    {}\n  endscript\n}}\n",
            log.display(),
            words.join(" ")
        ),
    )
    .unwrap();
    assert!(reload.status().unwrap().success());
    let over = AtomicBool::new(false);
    let uploads = std::thread::scope(|scope| {
        let uploading = scope.spawn(|| {
            let mut client = server.login();
            let mut uploads = 0;
            while !over.load(Ordering::Relaxed) {
                client.store("STOR file", b"content").expect(226);
                uploads += 1;
            }
            uploads
        });
        for _ in 0..5 {
            let status = server.setup().file("logrotate.status", "");
            let mut rotate = Command::new("logrotate");
            expect(
                rotate
                    .arg("--force")
                    .arg("--state")
                    .arg(status)
                    .arg(&config),
            );
        }
        over.store(true, Ordering::Relaxed);
        uploading.join().unwrap()
    });
    let all = || {
        let mut all = events(&log);
        for number in 1..=5 {
            let packed = format!("{}.{number}.gz", log.display());
            let text = expect(Command::new("zcat").arg(packed));
            all.extend(
                text.lines()
                    .map(|line| serde_json::from_str::<Value>(line).expect(line)),
            );
        }
        all.iter().filter(|one| one["event"] == "upload").count()
    };
    eventually("all are there", || all() == uploads);
}

/// SIGHUP has it opened anew, as a reload by command does.
#[test]
fn a_signal_opens_it_anew() {
    use rustix::process::{Pid, Signal, kill_process};
    let server = setup().start();
    let (log, moved) = (file(&server), file(&server).with_extension("moved"));
    fs::rename(&log, &moved).unwrap();
    let pid = Pid::from_raw(server.id().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    eventually("it is there again", || {
        log.exists() && events(&log).iter().any(|one| one["by"] == "SIGHUP")
    });
    assert!(events(&moved).iter().all(|one| one["by"] != "SIGHUP"));
}

/// A disk that is full holds nobody up, and is told of.
#[test]
fn a_full_disk_holds_nobody_up() {
    let server = Setup::new().set("audit.file", "\"/dev/full\"").start();
    let mut client = server.login();
    for _ in 0..20 {
        client.store("STOR file", b"content").expect(226);
    }
    eventually("it is told", || {
        ask(&server, &["status"]).contains("NOT WRITTEN: No space left")
    });
    eventually("the log says so", || server.log().contains("/dev/full"));
}

#[test]
fn files_that_cannot_be_are_named() {
    let run = |file: &str| Setup::new().set("audit.file", file).run(&[]);
    let setup = Setup::new();
    let own = format!("{:?}", setup.state().join("audit.jsonl"));
    let (status, said) = setup.set("audit.file", &own).run(&[]);
    assert_eq!(status, 2);
    assert!(
        said.contains("audit.file") && said.contains("a directory of its own"),
        "{said}"
    );
    let (status, said) = run("\"/nonexistent/audit\"");
    assert_eq!(status, 2);
    assert!(
        said.contains("audit.file") && said.contains("/nonexistent"),
        "{said}"
    );
}
