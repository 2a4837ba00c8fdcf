//! An upload is invisible until it is accepted, and then it is whole.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::support::{
    Server, Setup, Tls, Version, client, content, eicar, read_all, tls::VERSIONS,
};

#[test]
fn nothing_is_seen_before_226() {
    let server = Setup::new().user("bob", "home = \"/alice\"").start();
    let (mut writer, mut reader) = (server.login(), server.login_as("bob", &Tls::new()));
    let mut data = writer.begin("STOR new");
    data.send(&content(200_000, 1)).unwrap();
    reader.send("SIZE new").expect(550);
    reader.send("MLST new").expect(550);
    assert_eq!(reader.listing("NLST -a"), "");
    assert_eq!(fs::read_dir(server.home()).unwrap().count(), 0);
    data.finish().unwrap();
    writer.reply().expect(226);
    reader.send("SIZE new").expect(213).saying("200000");
}

#[test]
fn the_old_file_is_whole_until_the_new_one_is() {
    let server = Server::start();
    let old = content(100_000, 1);
    fs::write(server.home().join("file"), &old).unwrap();
    let (mut writer, mut reader) = (server.login(), server.login());
    let mut data = writer.begin("STOR file");
    data.send(&content(200_000, 2)).unwrap();
    assert!(reader.retrieve("RETR file") == old);
    data.cut();
    writer.reply().expect_one_of(&[426, 451]);
    assert!(fs::read(server.home().join("file")).unwrap() == old);
    // Seen by a stranger to FTP: at any time one or the other, whole.
    let new = content(300_000, 3);
    let stop = Arc::new(AtomicBool::new(false));
    let watching = {
        let (stop, path, old, new) = (
            stop.clone(),
            server.home().join("file"),
            old.clone(),
            new.clone(),
        );
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let seen = fs::read(&path).unwrap();
                assert!(seen == old || seen == new, "{} bytes", seen.len());
            }
        })
    };
    for _ in 0..10 {
        writer.store("STOR file", &new).expect(226);
        writer.store("STOR file", &old).expect(226);
    }
    stop.store(true, Ordering::Relaxed);
    watching.join().unwrap();
}

/// A handshake that fails must not touch the file (some servers truncate it first).
#[test]
fn a_broken_data_handshake_leaves_the_old_file() {
    let server = Setup::new()
        .set("limits.handshake-timeout", r#""500ms""#)
        .start();
    fs::write(server.home().join("file"), "old").unwrap();
    let mut client = server.login();
    for broken in [&b""[..], b"\x16\x03\x01\x00", b"GET / HTTP/1.1\r\n\r\n"] {
        for command in ["STOR file", "APPE file"] {
            let mut stream = client.open();
            client.send(command).expect_one_of(&[125, 150]);
            let _ = std::io::Write::write_all(&mut stream, broken);
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            client.reply().expect_one_of(&[425, 426, 522]);
            read_all(stream);
            assert_eq!(fs::read(server.home().join("file")).unwrap(), b"old");
        }
    }
    assert_eq!(client.retrieve("RETR file"), b"old");
}

#[test]
fn a_broken_upload_is_resumed_by_its_owner_only() {
    let server = Setup::new().user("bob", "home = \"/alice\"").start();
    let bytes = content(500_000, 5);
    for version in VERSIONS {
        for with_rest in [true, false] {
            let name = format!("file-{version:?}-{with_rest}");
            let mut owner = server.login_as("alice", &Tls::version(version));
            let mut data = owner.begin(&format!("STOR {name}"));
            data.send(&bytes[..300_000]).unwrap();
            data.cut();
            owner.reply().expect_one_of(&[426, 451]);
            drop(owner);
            let mut other = server.login_as("bob", &Tls::version(version));
            other.send(&format!("SIZE {name}")).expect(550);
            other.send(&format!("MLST {name}")).expect(550);
            let stream = other.open();
            other.send(&format!("RETR {name}")).expect(550);
            drop(stream);
            // Another session of the same user.
            let mut owner = server.login_as("alice", &Tls::version(version));
            let size = owner.send(&format!("SIZE {name}")).expect(213);
            let size: usize = size.text().parse().unwrap();
            assert!(size > 0 && size <= 300_000, "{size}");
            owner
                .send(&format!("MLST {name}"))
                .expect(250)
                .saying(&format!("size={size};"));
            assert!(!server.home().join(&name).exists());
            let reply = if with_rest {
                owner.send(&format!("REST {size}")).expect(350);
                owner.store(&format!("STOR {name}"), &bytes[size..])
            } else {
                owner.store(&format!("APPE {name}"), &bytes[size..])
            };
            reply.expect(226);
            assert!(
                fs::read(server.home().join(&name)).unwrap() == bytes,
                "{name}"
            );
            other
                .send(&format!("SIZE {name}"))
                .expect(213)
                .saying("500000");
        }
    }
}

#[test]
fn a_new_upload_forgets_the_broken_one() {
    let server = Server::start();
    let mut client = server.login();
    let mut data = client.begin("STOR file");
    data.send(b"broken, and longer than what follows").unwrap();
    data.cut();
    client.reply().expect_one_of(&[426, 451]);
    client.store("STOR file", b"whole").expect(226);
    assert_eq!(fs::read(server.home().join("file")).unwrap(), b"whole");
    client.send("SIZE file").expect(213).saying("5");
    let mut data = client.begin("STOR gone");
    data.send(b"broken").unwrap();
    data.cut();
    client.reply().expect_one_of(&[426, 451]);
    client.send("DELE gone").expect(250);
    client.send("SIZE gone").expect(550);
}

#[test]
fn eicar_is_refused_in_one_piece() {
    let server = Server::start();
    for version in VERSIONS {
        let mut client = server.login_as("alice", &Tls::version(version));
        for command in ["STOR file", "APPE file", "STOU", "STOR file.txt"] {
            client
                .store(command, &eicar())
                .expect_one_of(&[550, 552, 553]);
        }
        client.send("SIZE file").expect(550);
    }
    assert_eq!(fs::read_dir(server.home()).unwrap().count(), 0);
    assert!(server.files_with(&eicar()).is_empty(), "it lies somewhere");
}

/// Split over two transfers, by REST and by APPE.
#[test]
fn eicar_is_refused_however_it_is_split() {
    let server = Server::start();
    let mut client = server.login_as("alice", &Tls::version(Version::V13));
    let eicar = eicar();
    for split in (1..eicar.len()).step_by(7) {
        for verb in ["APPE", "STOR"] {
            let name = format!("{verb}-{split}.com");
            client
                .store(&format!("STOR {name}"), &eicar[..split])
                .expect(226);
            if verb == "STOR" {
                client.send(&format!("REST {split}")).expect(350);
            }
            client
                .store(&format!("{verb} {name}"), &eicar[split..])
                .expect_one_of(&[550, 552, 553]);
            // The innocent half stays as it was.
            assert_eq!(
                fs::read(server.home().join(&name)).unwrap(),
                &eicar[..split]
            );
        }
        // Broken, and resumed.
        let name = format!("broken-{split}.com");
        let mut data = client.begin(&format!("STOR {name}"));
        data.send(&eicar[..split]).unwrap();
        data.cut();
        client.reply().expect_one_of(&[426, 451]);
        client
            .send(&format!("SIZE {name}"))
            .expect(213)
            .saying(&split.to_string());
        client.send(&format!("REST {split}")).expect(350);
        client
            .store(&format!("STOR {name}"), &eicar[split..])
            .expect_one_of(&[550, 552, 553]);
        client.send(&format!("SIZE {name}")).expect(550);
    }
    assert!(server.files_with(&eicar).is_empty(), "it lies somewhere");
}

/// Never seen, not for a moment.
#[test]
fn a_refused_file_is_never_visible() {
    let server = Server::start();
    let home = server.home();
    let stop = Arc::new(AtomicBool::new(false));
    let watching = {
        let (stop, path) = (stop.clone(), home.join("file.com"));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                assert!(!path.exists(), "it was there");
            }
        })
    };
    let mut client = server.login();
    for _ in 0..30 {
        client
            .store("STOR file.com", &eicar())
            .expect_one_of(&[550, 552, 553]);
    }
    stop.store(true, Ordering::Relaxed);
    watching.join().unwrap();
}

#[test]
fn a_deleted_directory_is_no_place_to_publish() {
    let server = Server::start();
    let mut client = server.login();
    client.send("MKD directory").expect(257);
    let mut data = client.begin("STOR directory/file");
    data.send(b"content").unwrap();
    fs::remove_dir(server.home().join("directory")).unwrap();
    data.finish().unwrap();
    client.reply().expect_one_of(&[450, 451, 550, 553]);
    client.send("NOOP").expect(200);
}

#[test]
fn staging_is_left_clean() {
    let server = Server::start();
    let marker = b"a text that lies nowhere else";
    let mut client = server.login();
    client.store("STOR file", marker).expect(226);
    client.store("STOR file", marker).expect(226);
    client.store("APPE file", b", and more").expect(226);
    client.send("DELE file").expect(250);
    assert_eq!(server.files_with(marker), Vec::<std::path::PathBuf>::new());
    let stream = client::connect(client.epsv());
    client.send("STOR none/file").expect_one_of(&[550, 553]);
    drop(stream);
}
