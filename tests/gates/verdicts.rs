//! From the last byte of an upload to its verdict.

use std::{fs, time::Duration};

use serde_json::Value;

use crate::{
    built,
    support::{Server, Setup, content, eventually},
};

/// An inspector that computes for some time after the last byte of a file that is called so, and a
/// listener.
fn late(verdict: &str, more: &[(&str, &str)]) -> Server {
    let limits = "limits.cpu-time = \"60s\"\nlimits.wall-time = \"60s\"";
    let mut setup = Setup::new()
        .plugin("slow", &built("faulty-inspector"), limits)
        .plugin("listens", &built("listens"), "")
        .users_plugin()
        .set("uploads.verdict-after", "10ms")
        .set("uploads.verdict-late", verdict);
    for (key, value) in more {
        setup = setup.set(key, value);
    }
    setup.start()
}

fn heard(server: &mut Server, event: &str) -> Value {
    let start = format!("heard {{\"event\":\"{event}\"");
    let line = server.wait_for_line(|line| line.contains(&start));
    let (_, event) = line.split_once("heard ").unwrap();
    serde_json::from_str(&event[..=event.rfind('}').unwrap()]).unwrap()
}

#[test]
fn a_late_verdict_is_waited_for() {
    let mut server = late("wait", &[]);
    let mut client = server.login();
    client.store("STOR late", b"content").expect(226);
    server.wait_for_line(|line| line.contains("the verdict is late") && line.contains("slow"));
    client.store("STOR late-reject", b"content").expect(550);
    assert!(!server.home().join("late-reject").exists());
    // An upload whose verdict is not late is as ever.
    client.store("STOR other", b"content").expect(226);
}

#[test]
fn a_late_verdict_can_mean_quarantine() {
    let mut server = late("quarantine", &[]);
    let mut client = server.login();
    client.store("STOR late", b"content").expect(550);
    assert!(!server.home().join("late").exists());
    client.send("SIZE late").expect(550);
    let event = heard(&mut server, "upload-quarantined");
    assert_eq!(
        (&event["plugin"], &event["path"]),
        (&"slow".into(), &"/late".into())
    );
    let (status, said) = server.setup().run(&["quarantine", "list", "--json"]);
    assert_eq!(status, 0, "{said}");
    assert!(
        said.contains("\"path\": \"/late\"") && said.contains("too long"),
        "{said}"
    );
    // On a busy machine any verdict may be late.
    eventually("what is in time is published", || {
        client.store("STOR other", b"content").code == 226
    });
}

#[test]
fn a_late_verdict_can_come_after_the_file_is_published() {
    let mut server = late("accept", &[]);
    let mut client = server.login();
    client
        .store("STOR late-reject", b"content")
        .expect(226)
        .saying("not inspected");
    assert_eq!(
        fs::read(server.home().join("late-reject")).unwrap(),
        b"content"
    );
    let event = heard(&mut server, "upload");
    assert_eq!(event["reason"], "its verdict was late");
    let event = heard(&mut server, "upload-refused-late");
    assert_eq!(event["plugin"], "slow");
    assert_eq!(event["reason"], "Rejected on purpose, late");
    assert_eq!(
        (&event["path"], &event["size"]),
        (&"/late-reject".into(), &7.into())
    );
    client.store("STOR late", b"content").expect(226);
    server.wait_for_line(|line| line.contains("the late verdict is: accepted"));
}

#[test]
fn stat_tells_that_a_verdict_is_waited_for_and_abor_ends_that() {
    let limits = "limits.cpu-time = \"5s\"\nlimits.wall-time = \"60s\"";
    let setup = Setup::new().plugin("slow", &built("faulty-inspector"), limits);
    let server = setup.users_plugin().start();
    let mut client = server.login();
    // It computes until its limit ends that.
    let mut data = client.begin("STOR loop");
    data.send(b"content").unwrap();
    data.finish().unwrap();
    eventually("all has come", || {
        let reply = client.send("STAT").expect(213);
        reply.text().contains("complete and being inspected")
    });
    client.send("ABOR").expect(426);
    client.reply().expect(226);
    // The bytes that came can be sent to their end; were all of them told, clients would send
    // nothing.
    client.send("SIZE loop").expect(213).saying("6");
    assert!(!server.home().join("loop").exists());
}

/// RFC 959 allows any number of preliminary replies.
#[test]
fn a_client_that_waits_can_be_told_so() {
    let server = late("wait", &[("uploads.keep-alive", "20ms")]);
    let mut client = server.login();
    let mut last = client.store("STOR late", b"content");
    let mut told = 0;
    while last.code == 150 {
        last.saying("being inspected");
        told += 1;
        last = client.reply();
    }
    last.expect(226);
    assert!(told > 0);
    // Nothing is told while bytes are to come.
    let mut data = client.begin("STOR other");
    data.send(b"content").unwrap();
    client.expect_silence(Duration::from_millis(100));
    data.finish().unwrap();
    while client.reply().expect_one_of(&[150, 226]).code == 150 {}
}

#[test]
fn a_digest_is_told_by_226_by_events_and_by_hash() {
    let mut server = Setup::new()
        .plugin("listens", &built("listens"), "")
        .users_plugin()
        .set("uploads.digest", "sha256")
        .start();
    let mut client = server.login();
    let bytes = content(3 << 20, 5);
    let sha256 = |bytes: &[u8]| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        crate::support::tls::hex(digest.as_ref())
    };
    let digest = sha256(&bytes);
    client
        .store("STOR file", &bytes)
        .expect(226)
        .saying(&digest);
    assert_eq!(heard(&mut server, "upload")["sha256"], *digest);
    let path = server.home().join("file");
    client.send("HASH file").expect(213).saying(&digest);

    // Changed in place, with the same length: the record is not believed.
    let other = content(3 << 20, 6);
    fs::write(&path, &other).unwrap();
    client.send("HASH file").expect(213).saying(&sha256(&other));

    // Resumed and appended to, it is of the whole.
    client.store("STOR whole", &bytes[..1000]).expect(226);
    client
        .store("APPE whole", &bytes[1000..])
        .expect(226)
        .saying(&digest);
    client.send("HASH whole").expect(213).saying(&digest);
    client
        .store("STOR empty", b"")
        .expect(226)
        .saying(&sha256(b""));
}

/// That HASH answers from the record shows where the record is wrong and nothing else tells so.
#[test]
fn hash_of_an_unchanged_file_reads_nothing() {
    let server = Setup::new().set("uploads.digest", "sha256").start();
    let mut client = server.login();
    let bytes = content(100_000, 5);
    let reply = client.store("STOR file", &bytes).expect(226);
    let (_, digest) = reply.text().rsplit_once(' ').unwrap();
    let digest = digest.to_owned();
    let file = fs::File::options()
        .write(true)
        .open(server.home().join("file"))
        .unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    std::os::unix::fs::FileExt::write_at(&file, b"other", 10).unwrap();
    file.set_modified(modified).unwrap();
    let reply = client.send("HASH file").expect(213);
    if !reply.text().contains(&digest) {
        eprintln!("Left out: the file system keeps no extended attributes");
    }
    // A part of it is read.
    client.send("RANG 0 99").expect(350);
    let reply = client.send("HASH file").expect(213);
    assert!(!reply.text().contains(&digest), "{reply:?}");
}
