//! Path guards that fail. Their faults go by words in the last component of a path.

use std::{fs, io::Read};

use crate::{
    LIMITS, built,
    support::{Server, Setup, content},
    with,
};

const FAULTS: &[&str] = &[
    "trap", "loop", "memory", "short", "long", "stack", "internal",
];
/// The log's names for them.
const KINDS: &[&str] = &[
    "trap", "late", "too big", "nonsense", "nonsense", "trap", "internal",
];

fn server() -> Server {
    let server = with("guard").start();
    fs::write(server.home().join("file"), "content").unwrap();
    server
}

#[test]
fn a_fault_is_451() {
    let mut server = server();
    let mut client = server.login();
    for (fault, kind) in FAULTS.iter().zip(KINDS) {
        fs::write(server.home().join(fault), "content").unwrap();
        for command in [
            "DELE",
            "SIZE",
            "RNFR",
            "MFMT 20200101000000",
            "SITE CHMOD 600",
            "HASH",
        ] {
            client.send(&format!("{command} {fault}")).expect(451);
        }
        client.send(&format!("MKD new-{fault}")).expect(451);
        for command in ["RETR", "STOR", "APPE"] {
            let stream = client.open();
            client.send(&format!("{command} {fault}")).expect(451);
            drop(stream);
        }
        assert_eq!(fs::read(server.home().join(fault)).unwrap(), b"content");
        server.wait_for_line(|line| line.contains("faulty-guard") && line.contains(kind));
        fs::remove_file(server.home().join(fault)).unwrap();
        // The same session goes on, with a new instance.
        assert_eq!(client.retrieve("RETR file"), b"content");
    }
}

#[test]
fn a_listing_that_cannot_be_decided_shows_nothing() {
    let server = server();
    let mut client = server.login();
    for fault in ["trap", "short", "long", "internal"] {
        let path = server.home().join(fault);
        fs::write(&path, "content").unwrap();
        for command in ["MLSD", "LIST", "NLST"] {
            let stream = client.open();
            let reply = client.send(command);
            if reply.code < 200 {
                // It must not end like a whole listing, so an end without close_notify is right.
                let mut shown = Vec::new();
                let _ = client.protect(stream).read_to_end(&mut shown);
                let shown = String::from_utf8_lossy(&shown);
                assert!(
                    !shown.contains(fault) && !shown.contains("file"),
                    "{fault}: {shown}"
                );
                client.reply().expect(451);
            } else {
                reply.expect(451);
            }
        }
        fs::remove_file(path).unwrap();
        assert!(client.listing("NLST").contains("file"));
    }
}

#[test]
fn what_is_hidden_is_not_there() {
    let server = server();
    let mut client = server.login();
    fs::write(server.home().join("hide"), "content").unwrap();
    fs::create_dir(server.home().join("hide-directory")).unwrap();
    for command in ["NLST", "LIST", "MLSD", "NLST *"] {
        assert!(!client.listing(command).contains("hide"), "{command}");
    }
    let missing = client
        .send("SIZE none")
        .expect(550)
        .text()
        .replace("none", "NAME");
    let hidden = client
        .send("SIZE hide")
        .expect(550)
        .text()
        .replace("hide", "NAME");
    assert_eq!(missing, hidden);
    for command in ["DELE", "MLST", "MDTM", "RNFR", "HASH", "STAT"] {
        client
            .send(&format!("{command} hide"))
            .expect_one_of(&[450, 550]);
    }
    client.send("CWD hide-directory").expect(550);
    let stream = client.open();
    client.send("RETR hide").expect(550);
    drop(stream);
    assert_eq!(fs::read(server.home().join("hide")).unwrap(), b"content");
}

#[test]
fn a_denial_is_550_with_its_reason() {
    let server = server();
    let mut client = server.login();
    fs::write(server.home().join("deny"), "content").unwrap();
    for command in ["DELE", "RNFR"] {
        client.send(&format!("{command} deny")).expect(550);
    }
    client.send("RNFR file").expect(350);
    client.send("RNTO deny-it").expect_one_of(&[550, 553]);
    client.send("MKD deny-directory").expect(550);
    let stream = client.open();
    client.send("STOR deny").expect_one_of(&[550, 553]);
    drop(stream);
    assert_eq!(fs::read(server.home().join("deny")).unwrap(), b"content");
    assert!(server.home().join("file").exists());
}

#[test]
fn a_fault_passes_where_configured_and_is_logged() {
    let faulty = built("faulty-guard");
    let mut server = Setup::new()
        .users_plugin()
        .plugin(
            "faulty",
            &faulty,
            &format!("on-failure = \"allow\"\n{LIMITS}"),
        )
        .start();
    fs::write(server.home().join("trap"), "content").unwrap();
    fs::write(server.home().join("deny"), "content").unwrap();
    let mut client = server.login();
    assert_eq!(client.retrieve("RETR trap"), b"content");
    client.send("DELE trap").expect(250);
    client.send("DELE deny").expect(550);
    server.wait_for_line(|line| line.contains("faulty") && line.contains("trap"));
}

#[test]
fn no_other_session_notices() {
    let server = server();
    for fault in FAULTS {
        fs::write(server.home().join(fault), "content").unwrap();
    }
    std::thread::scope(|scope| {
        for fault in FAULTS {
            let server = &server;
            scope.spawn(move || {
                let mut client = server.login();
                for _ in 0..3 {
                    client.send(&format!("SIZE {fault}")).expect(451);
                }
            });
        }
        for number in 0..3 {
            let server = &server;
            scope.spawn(move || {
                let bytes = content(300_000, number);
                let mut client = server.login();
                for _ in 0..5 {
                    client
                        .store(&format!("STOR new{number}"), &bytes)
                        .expect(226);
                    assert!(client.retrieve(&format!("RETR new{number}")) == bytes);
                }
            });
        }
    });
}
