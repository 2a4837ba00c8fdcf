//! Inspectors that fail. Their faults go by the name of the file.

use std::{fs, path::Path, time::Instant};

use crate::{
    LIMITS, built,
    support::{PATIENCE, Server, Setup, content},
    with,
};

fn server() -> Server {
    with("inspector").start()
}

/// More than all buffers between client and inspector.
fn large() -> Vec<u8> {
    content(4 << 20, 21)
}

#[test]
fn a_fault_is_451_and_nothing_is_seen() {
    let mut server = server();
    let mut client = server.login();
    for fault in ["trap-before", "trap-after", "loop", "memory"] {
        for bytes in [&large()[..], b"few"] {
            let reply = client.store(&format!("STOR {fault}"), bytes);
            assert_eq!(reply.code, 451, "{fault}: {reply:?}");
            assert!(!server.home().join(fault).exists(), "{fault}");
        }
        fs::write(server.home().join(fault), "old").unwrap();
        client.store(&format!("APPE {fault}"), b"new").expect(451);
        client.store(&format!("STOR {fault}"), b"new").expect(451);
        assert_eq!(fs::read(server.home().join(fault)).unwrap(), b"old");
        server.wait_for_line(|line| {
            line.contains("faulty-inspector") && (line.contains("WARN") || line.contains("ERROR"))
        });
        client.send("NOOP").expect(200);
    }
    client.store("STOR fine", b"content").expect(226);
    assert!(server.is_running());
}

#[test]
fn a_verdict_may_come_early() {
    let server = server();
    let mut client = server.login();
    let bytes = large();
    client.store("STOR early-accept", &bytes).expect(226);
    assert!(fs::read(server.home().join("early-accept")).unwrap() == bytes);
    client
        .store("STOR early-reject", &bytes)
        .expect_one_of(&[550, 552, 553]);
    assert!(!server.home().join("early-reject").exists());
    // It ends the transfer at once, while the client would go on for ever.
    let mut data = client.begin("STOR early-reject");
    let begun = Instant::now();
    while data.send(&bytes).is_ok() {
        assert!(
            begun.elapsed() < PATIENCE,
            "bytes are taken without end after the verdict"
        );
    }
    client.reply().expect_one_of(&[550, 552, 553]);
    client.send("NOOP").expect(200);
}

#[test]
fn a_verdict_that_is_late_is_a_fault() {
    // It computes for some hundred milliseconds, less on a quick machine.
    let limits = "[plugin.limits]\ncpu-time = \"20ms\"\n";
    let name = "faulty-inspector";
    let server = Setup::new()
        .plugin(name, &built(name), limits)
        .users_plugin()
        .start();
    let mut client = server.login();
    client.store("STOR late", b"content").expect(451);
    assert!(!server.home().join("late").exists());
    client.store("STOR fine", b"content").expect(226);
}

#[test]
fn accepted_under_another_name() {
    let server = server();
    let mut client = server.login();
    client.store("STOR accept-as", b"content").expect(226);
    assert!(!server.home().join("accept-as").exists());
    assert_eq!(
        fs::read(server.home().join("renamed-by-inspector")).unwrap(),
        b"content"
    );
    let reply = client.store("STOR accept-as-outside", b"planted");
    assert!([226, 451, 550, 553].contains(&reply.code), "{reply:?}");
    for path in server.files_with(b"planted") {
        assert!(
            reply.code == 226 && path.starts_with(server.home()),
            "{path:?}"
        );
    }
}

#[test]
fn what_is_in_quarantine_is_kept_and_not_seen() {
    let server = server();
    let mut client = server.login();
    client
        .store("STOR quarantine", b"a suspect")
        .expect_one_of(&[550, 552, 553]);
    client.send("SIZE quarantine").expect(550);
    assert!(!server.home().join("quarantine").exists());
    let kept = server.files_with(b"a suspect");
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(
        !kept[0].starts_with(server.state().join("files")),
        "{kept:?}"
    );
}

#[test]
fn the_digest_is_of_the_whole_file() {
    let server = server();
    let mut client = server.login();
    let bytes = large();
    client
        .store("STOR sha256", &bytes)
        .expect_one_of(&[226, 550]);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
    let digest = crate::support::tls::hex(digest.as_ref());
    crate::support::eventually("the digest is logged", || server.log().contains(&digest));
}

#[test]
fn a_fault_passes_where_configured() {
    let faulty = built("faulty-inspector");
    let mut server = Setup::new()
        .users_plugin()
        .plugin(
            "faulty",
            &faulty,
            &format!("on-failure = \"allow\"\n{LIMITS}"),
        )
        .start();
    let mut client = server.login();
    client.store("STOR trap-before", b"content").expect(226);
    client.store("STOR trap-after", &large()).expect(226);
    assert_eq!(
        fs::read(server.home().join("trap-before")).unwrap(),
        b"content"
    );
    server.wait_for_line(|line| line.contains("faulty") && line.contains("lets that pass"));
}

/// All have to accept, in whatever order they are.
#[test]
fn every_inspector_must_accept() {
    let faulty = built("faulty-inspector");
    let guard = "builtin:upload-guard";
    for (first, second) in [(faulty.as_str(), guard), (guard, faulty.as_str())] {
        let server = Setup::new()
            .users_plugin()
            .plugin("first", first, "")
            .plugin("second", second, "")
            .start();
        let mut client = server.login();
        client.store("STOR fine", b"content").expect(226);
        client
            .store("STOR eicar.com", &crate::support::eicar())
            .expect_one_of(&[550, 552, 553]);
        client
            .store("STOR early-accept", &crate::support::eicar())
            .expect_one_of(&[550, 552, 553]);
        client
            .store("STOR early-reject", b"content")
            .expect_one_of(&[550, 552, 553]);
        let names: Vec<_> = fs::read_dir(server.home()).unwrap().flatten().collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }
}

#[test]
fn no_other_session_notices() {
    let server = server();
    let bytes = large();
    std::thread::scope(|scope| {
        for fault in ["trap-before", "trap-after", "loop", "memory"] {
            let (server, bytes) = (&server, &bytes);
            scope.spawn(move || {
                let mut client = server.login();
                for _ in 0..3 {
                    client.store(&format!("STOR {fault}"), bytes).expect(451);
                }
            });
        }
        for number in 0..3 {
            let (server, bytes) = (&server, &bytes);
            scope.spawn(move || {
                let mut client = server.login();
                for _ in 0..3 {
                    client
                        .store(&format!("STOR new{number}"), bytes)
                        .expect(226);
                    assert!(&client.retrieve(&format!("RETR new{number}")) == bytes);
                }
            });
        }
    });
    assert!(!Path::new(&server.home()).join("loop").exists());
}

/// An inspector that is slow with what was there before does not hold up the client that resumes.
#[test]
fn what_was_there_is_shown_while_the_transfer_goes_on() {
    let limits = "limits.cpu-time = \"20s\"\nlimits.wall-time = \"60s\"";
    let setup = Setup::new().plugin("slow", &built("faulty-inspector"), limits);
    let server = setup.users_plugin().start();
    let mut client = server.login();
    // More than what waits for an inspector, which computes without reading for 20 s.
    fs::write(server.home().join("loop"), large()).unwrap();
    let mut data = client.begin("APPE loop");
    let started = std::time::Instant::now();
    data.send(&large()).unwrap();
    data.finish().unwrap();
    crate::support::eventually("all has come", || {
        let reply = client.send("STAT").expect(213);
        reply.text().contains("being inspected")
    });
    assert!(started.elapsed() < std::time::Duration::from_secs(15));
    client.send("ABOR").expect(426);
    client.reply().expect(226);
    let but_one = 2 * large().len() - 1;
    client
        .send("STAT loop")
        .expect(213)
        .saying(&but_one.to_string());
}
