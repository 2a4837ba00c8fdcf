//! The effects of the verbs on files and directories.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    time::{Duration, SystemTime},
};

use crate::support::{Client, Server, Setup, content};

#[test]
fn store_and_retrieve() {
    let server = Server::start();
    let mut client = server.login();
    for (name, length) in [
        ("empty", 0),
        ("one", 1),
        ("some", 65_537),
        ("more", 3_000_001),
        ("größe ☃ .txt", 10),
    ] {
        let bytes = content(length, length as u64);
        client.store(&format!("STOR {name}"), &bytes).expect(226);
        assert!(
            fs::read(server.home().join(name)).unwrap() == bytes,
            "{name}"
        );
        assert!(client.retrieve(&format!("RETR {name}")) == bytes, "{name}");
        client
            .send(&format!("SIZE {name}"))
            .expect(213)
            .saying(&length.to_string());
    }
}

#[test]
fn append() {
    let server = Server::start();
    let mut client = server.login();
    client.store("APPE file", b"one,").expect(226);
    client.store("APPE file", b"two").expect(226);
    assert_eq!(fs::read(server.home().join("file")).unwrap(), b"one,two");
}

#[test]
fn store_unique_tells_the_name() {
    let server = Server::start();
    let mut client = server.login();
    let mut names = Vec::new();
    for round in 0..3 {
        let stream = client.open();
        let command = if round == 0 { "STOU" } else { "STOU wanted" };
        // RFC 1123 §4.1.2.9.
        let reply = client.send(command).expect_one_of(&[125, 150]);
        let name = reply
            .text()
            .split("FILE: ")
            .nth(1)
            .expect("FILE: name")
            .trim()
            .to_owned();
        let mut data = client.protect(stream);
        data.send(name.as_bytes()).unwrap();
        data.finish().unwrap();
        client.reply().expect_one_of(&[226, 250]);
        let path = server.home().join(name.trim_start_matches('/'));
        assert_eq!(fs::read(path).unwrap(), name.as_bytes());
        assert!(!names.contains(&name), "{name} twice");
        names.push(name);
    }
}

#[test]
fn restart_both_ways() {
    let server = Server::start();
    let mut client = server.login();
    let bytes = content(200_000, 3);
    fs::write(server.home().join("file"), &bytes).unwrap();
    for offset in [0, 1, 65_536, 199_999, 200_000] {
        client.send(&format!("REST {offset}")).expect(350);
        assert!(client.retrieve("RETR file") == bytes[offset..], "{offset}");
    }
    // The offset holds for the next transfer alone.
    assert_eq!(client.retrieve("RETR file").len(), 200_000);
    client.send("REST 100000").expect(350);
    client.send("NOOP").expect(200);
    let got = client.retrieve("RETR file").len();
    assert!(got == 100_000 || got == 200_000, "{got}");
    client.send("REST 200001").expect(350);
    let stream = client.open();
    client.send("RETR file").expect_one_of(&[550, 551, 554]);
    drop(stream);
    // The file stays up to the offset, and the new bytes replace the rest.
    client.send("REST 150000").expect(350);
    client.store("STOR file", &bytes[150_000..]).expect(226);
    assert!(fs::read(server.home().join("file")).unwrap() == bytes);
    client.send("REST 100").expect(350);
    client.store("STOR file", b"tail").expect(226);
    assert!(fs::read(server.home().join("file")).unwrap() == [&bytes[..100], b"tail"].concat());
    client.send("REST 500").expect(350);
    let stream = client.open();
    client.send("STOR file").expect_one_of(&[550, 551, 554]);
    drop(stream);
    assert_eq!(fs::metadata(server.home().join("file")).unwrap().len(), 104);
}

#[test]
fn restart_beyond_four_gigabytes() {
    let server = Server::start();
    let mut client = server.login();
    let file = fs::File::create(server.home().join("sparse")).unwrap();
    let size = (5_u64 << 30) + 7;
    file.set_len(size).unwrap();
    client
        .send("SIZE sparse")
        .expect(213)
        .saying(&size.to_string());
    client.send(&format!("REST {}", size - 7)).expect(350);
    assert_eq!(client.retrieve("RETR sparse"), [0; 7]);
}

#[test]
fn type_a_converts_both_ways() {
    let server = Server::start();
    let mut client = server.login();
    client.send("TYPE A").expect(200);
    for (sent, stored) in [
        (&b"a\r\nb\r\n"[..], &b"a\nb\n"[..]),
        (b"\r\n\r\n", b"\n\n"),
        (b"no end", b"no end"),
        (b"a lone \r stays\r\n", b"a lone \r stays\n"),
        (b"ends in \r", b"ends in \r"),
        (b"", b""),
    ] {
        client.store("STOR text", sent).expect(226);
        assert_eq!(fs::read(server.home().join("text")).unwrap(), stored);
        assert_eq!(client.retrieve("RETR text"), sent);
    }
    // CR and LF on two sides of every boundary that a buffer may have.
    let line = "0123456789\r\n".repeat(30_000);
    client.store("STOR text", line.as_bytes()).expect(226);
    assert_eq!(
        fs::read(server.home().join("text")).unwrap(),
        line.replace('\r', "").as_bytes()
    );
    assert!(client.retrieve("RETR text") == line.as_bytes());
    fs::write(server.home().join("unix"), "a\nb\n").unwrap();
    // SIZE depends on the type: what would go over the wire, or 550, and never an estimate.
    let reply = client.send("SIZE unix").expect_one_of(&[213, 550]);
    assert!(reply.code == 550 || reply.text() == "6", "{reply:?}");
    client.send("TYPE I").expect(200);
    client.send("SIZE unix").expect(213).saying("4");
}

#[test]
fn the_default_type_is_a() {
    let server = Server::start();
    fs::write(server.home().join("unix"), "a\nb\n").unwrap();
    let mut client = server.secure(&crate::support::Tls::new());
    client.login("alice");
    client.send("PBSZ 0").expect(200);
    client.send("PROT P").expect(200);
    assert_eq!(client.retrieve("RETR unix"), b"a\r\nb\r\n");
    client.send("TYPE L 8").expect(200);
    assert_eq!(client.retrieve("RETR unix"), b"a\nb\n");
}

#[test]
fn directories() {
    let server = Server::start();
    let mut client = server.login();
    client.send("MKD a").expect(257).saying("\"/a\"");
    client.send("MKD a").expect_one_of(&[521, 550]);
    client.send("MKD a/b").expect(257).saying("\"/a/b\"");
    client.send("CWD a/b").expect(250);
    client.send("PWD").expect(257).saying("\"/a/b\"");
    client.send("CDUP").expect_one_of(&[200, 250]);
    client.send("PWD").expect(257).saying("\"/a\"");
    client.send("RMD /a").expect(550);
    client.send("RMD b").expect(250);
    client.send("CWD b").expect(550);
    client.send("PWD").expect(257).saying("\"/a\"");
    client.send("CWD ../../..").expect(250);
    client.send("PWD").expect(257).saying("\"/\"");
    client.send("DELE a").expect(550);
    fs::write(server.home().join("file"), "x").unwrap();
    client.send("CWD file").expect(550);
    client.send("RMD file").expect(550);
    client.send("MKD file").expect_one_of(&[521, 550]);
    client.send("RMD a").expect(250);
}

#[test]
fn rename() {
    let server = Server::start();
    let mut client = server.login();
    let home = server.home();
    fs::write(home.join("one"), "1").unwrap();
    fs::write(home.join("two"), "2").unwrap();
    fs::create_dir(home.join("directory")).unwrap();
    client.send("RNFR one").expect(350);
    client.send("RNTO three").expect(250);
    assert_eq!(fs::read(home.join("three")).unwrap(), b"1");
    client.send("RNTO four").expect(503);
    // Something between the two breaks the pair.
    client.send("RNFR three").expect(350);
    client.send("NOOP").expect(200);
    client.send("RNTO four").expect_one_of(&[250, 503]);
    client.send("RNFR two").expect(350);
    client.send("RNTO none/two").expect(550);
    client.send("RNFR two").expect(350);
    client.send("RNTO directory").expect_one_of(&[550, 553]);
    client.send("RNFR directory").expect(350);
    client
        .send("RNTO directory/within")
        .expect_one_of(&[550, 553]);
    client.send("RNFR directory").expect(350);
    client.send("RNTO moved").expect(250);
    client.send("RNFR two").expect(350);
    client.send("RNTO moved/two").expect(250);
    assert_eq!(fs::read(home.join("moved/two")).unwrap(), b"2");
    client.send("RNFR /").expect_one_of(&[350, 550]);
}

#[test]
fn delete() {
    let server = Server::start();
    let mut client = server.login();
    fs::write(server.home().join("file"), "x").unwrap();
    client.send("DELE file").expect(250);
    client.send("DELE file").expect(550);
    assert!(!server.home().join("file").exists());
}

#[test]
fn times() {
    let server = Server::start();
    let mut client = server.login();
    let path = server.home().join("file");
    fs::write(&path, "x").unwrap();
    fs::create_dir(server.home().join("directory")).unwrap();
    let reply = client.send("MFMT 20200229123456 file").expect(213);
    assert_eq!(reply.text().to_lowercase(), "modify=20200229123456; file");
    let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(1_582_979_696);
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), expected);
    let reply = client.send("MDTM file").expect(213);
    assert_eq!(reply.text(), "20200229123456");
    client
        .send("MFMT 20210101000000.5 file")
        .expect_one_of(&[213]);
    client
        .send("MDTM file")
        .expect(213)
        .saying("20210101000000");
    client
        .send("SITE UTIME 20190101000000 file")
        .expect_one_of(&[200, 213, 250]);
    client
        .send("MDTM file")
        .expect(213)
        .saying("20190101000000");
    client
        .send("SITE UTIME file 20180101000000 20180102000000 20180103000000 UTC")
        .expect_one_of(&[200, 213, 250]);
    client
        .send("MDTM file")
        .expect(213)
        .saying("20180102000000");
    for wrong in [
        "20200230000000",
        "2020",
        "20200101000000x",
        "20201301000000",
        "-0200101000000",
    ] {
        client.send(&format!("MFMT {wrong} file")).expect(501);
    }
    client
        .send("MDTM file")
        .expect(213)
        .saying("20180102000000");
}

#[test]
fn modes() {
    let server = Server::start();
    let mut client = server.login();
    let path = server.home().join("file");
    client.store("STOR file", b"x").expect(226);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o644);
    client
        .send("SITE CHMOD 600 file")
        .expect_one_of(&[200, 250]);
    assert_eq!(mode(&path), 0o600);
    client
        .send("SITE CHMOD 0640 file")
        .expect_one_of(&[200, 250]);
    assert_eq!(mode(&path), 0o640);
    for wrong in ["888", "x", "rwx", "-1", "77777"] {
        client
            .send(&format!("SITE CHMOD {wrong} file"))
            .expect_one_of(&[501, 504, 550]);
    }
    assert_eq!(mode(&path), 0o640);
    // Nobody gets a program that runs as the server.
    client
        .send("SITE CHMOD 4755 file")
        .expect_one_of(&[501, 504, 550]);
    assert_eq!(mode(&path), 0o640);
    client
        .send("site chmod 644 file")
        .expect_one_of(&[200, 250]);
    client.send("MKD directory").expect(257);
    assert_eq!(mode(&server.home().join("directory")), 0o755);
}

#[test]
fn avbl_tells_bytes() {
    let server = Server::start();
    let mut client = server.login();
    let reply = client.send("AVBL").expect(213);
    assert!(reply.text().parse::<u64>().unwrap() > 0);
    client.send("AVBL /").expect(213);
    fs::write(server.home().join("file"), "x").unwrap();
    client.send("AVBL file").expect_one_of(&[213, 550]);
}

#[test]
fn what_is_no_regular_file_is_not_served() {
    let server = Server::start();
    let mut client = server.login();
    let pipe = server.home().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o644),
        0,
    )
    .unwrap();
    fs::create_dir(server.home().join("directory")).unwrap();
    // It is an entry all the same, and can be removed.
    assert!(client.listing("LIST").contains(" pipe\r\n"));
    fs::hard_link(&pipe, server.home().join("other")).unwrap();
    client.send("DELE other").expect(250);
    for name in ["pipe", "directory", "/"] {
        let stream = client.open();
        client.send(&format!("RETR {name}")).expect(550);
        drop(stream);
        let stream = client.open();
        client
            .send(&format!("STOR {name}"))
            .expect_one_of(&[550, 553]);
        drop(stream);
    }
}

/// Nothing outside of the tree is there, by whatever way.
#[test]
fn the_tree_has_no_way_out() {
    let server = Setup::new().user("bob", "").start();
    let home = server.home();
    let outside = server.state().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    fs::write(server.home_of("bob").join("secret"), "bob's").unwrap();
    symlink(&outside, home.join("absolute")).unwrap();
    symlink("../../outside", home.join("relative")).unwrap();
    symlink("../bob", home.join("neighbour")).unwrap();
    symlink(outside.join("secret"), home.join("link")).unwrap();
    symlink("/proc/self/root", home.join("root")).unwrap();
    symlink(outside.join("new"), home.join("dangling")).unwrap();
    fs::create_dir(home.join("real")).unwrap();
    fs::write(home.join("real/inside"), "inside").unwrap();
    symlink("real", home.join("within")).unwrap();
    let mut client = server.login();
    let missing = client.send("SIZE none").expect(550).text().to_owned();
    // Nothing tells whether there is something outside.
    let nowhere = client.send("SIZE dangling").expect(550).text().to_owned();
    for path in [
        "absolute/secret",
        "relative/secret",
        "neighbour/secret",
        "../bob/secret",
        "/../../outside/secret",
        "root/etc/passwd",
        "within/../../bob/secret",
        "..//./..//bob/secret",
    ] {
        for verb in [
            "SIZE",
            "MDTM",
            "MLST",
            "HASH",
            "XMD5",
            "RNFR",
            "STAT",
            "MFMT 20200101000000",
            "SITE CHMOD 777",
        ] {
            let reply = client
                .send(&format!("{verb} {path}"))
                .expect_one_of(&[450, 550]);
            if verb == "SIZE" {
                assert_eq!(reply.text(), missing);
            }
        }
        client.send(&format!("CWD {path}")).expect(550);
        let stream = client.open();
        client.send(&format!("RETR {path}")).expect(550);
        drop(stream);
    }
    for verb in ["SIZE", "MDTM", "HASH", "STAT", "CWD", "SITE CHMOD 777"] {
        let reply = client.send(&format!("{verb} link")).expect(550);
        assert_eq!(reply.text(), nowhere, "{verb}");
    }
    let stream = client.open();
    assert_eq!(client.send("RETR link").expect(550).text(), nowhere);
    drop(stream);
    for path in ["absolute", "relative", "neighbour", "root"] {
        client.send(&format!("CWD {path}")).expect(550);
        client.send(&format!("MKD {path}/new")).expect(550);
        let stream = client.open();
        client
            .send(&format!("STOR {path}/planted"))
            .expect_one_of(&[550, 553]);
        drop(stream);
    }
    // An upload over a link replaces the link, or is refused; it never follows it out.
    let stream = client.open();
    if client.send("STOR dangling").code < 200 {
        let mut data = client.protect(stream);
        data.send(b"planted").unwrap();
        data.finish().unwrap();
        client.reply();
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read(outside.join("secret")).unwrap(), b"secret");
    assert_eq!(
        fs::metadata(outside.join("secret"))
            .unwrap()
            .permissions()
            .mode()
            & 0o111,
        0
    );
    // Links within the tree work.
    assert_eq!(client.retrieve("RETR within/inside"), b"inside");
    client.send("CWD within").expect(250);
}

/// A home that begins like another one is not it.
#[test]
fn homes_are_compared_by_component() {
    let server = Setup::new().user("al", "home = \"/ali\"").start();
    fs::write(server.home().join("file"), "alice's").unwrap();
    let mut client: Client = server.login_as("al", &crate::support::Tls::new());
    client.send("SIZE ../alice/file").expect(550);
    client.send("SIZE ce/file").expect(550);
    client.send("CWD ..").expect(250);
    client.send("PWD").expect(257).saying("\"/\"");
}

/// A link that is swapped while verbs follow it.
#[test]
fn races_lead_nowhere() {
    let server = Server::start();
    let home = server.home();
    let outside = server.state().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "secret").unwrap();
    fs::create_dir(home.join("real")).unwrap();
    fs::write(home.join("real/file"), "public").unwrap();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let swapping = {
        let (stop, home, outside) = (stop.clone(), home.clone(), outside.clone());
        std::thread::spawn(move || {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for to in [outside.as_path(), std::path::Path::new("real")] {
                    let _ = symlink(to, home.join("next"));
                    let _ = fs::rename(home.join("next"), home.join("swap"));
                }
            }
        })
    };
    let mut client = server.login();
    for _ in 0..60 {
        let stream = client.open();
        if client
            .send("RETR swap/file")
            .expect_one_of(&[125, 150, 550])
            .code
            < 200
        {
            assert_eq!(client.protect(stream).receive(), b"public");
            client.reply().expect(226);
        }
        let stream = client.open();
        if client.send("STOR swap/new").code < 200 {
            let mut data = client.protect(stream);
            data.send(b"planted").unwrap();
            data.finish().unwrap();
            client.reply();
        }
        client.send("RNFR real/file").expect(350);
        if client.send("RNTO swap/moved").code == 250 {
            client.send("RNFR real/moved").expect(350);
            client.send("RNTO real/file").expect(250);
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    swapping.join().unwrap();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}
