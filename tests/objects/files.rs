//! Files and directories, as clients use them.

use std::fs;

use crate::{
    engine::{Engine, holds},
    support::{USER, content},
};

#[test]
fn files_are_stored_read_renamed_and_removed() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let server = engine.start_server();
    let mut client = server.login();
    let home = engine.home_of(USER);
    for (name, length) in [
        ("empty", 0),
        ("small", 1),
        ("one part", 5 << 20),
        ("more", (5 << 20) + 1),
        ("three parts", 12_345_678),
        ("100% + ä #?&=", 1000),
    ] {
        let bytes = content(length, 1);
        client.store(&format!("STOR {name}"), &bytes).expect(226);
        assert!(holds(&home.join(name), &bytes), "{name}");
        assert_eq!(client.retrieve(&format!("RETR {name}")), bytes, "{name}");
        client
            .send(&format!("SIZE {name}"))
            .expect(213)
            .saying(&length.to_string());
        client.send(&format!("MDTM {name}")).expect(213);
    }
    let bytes = content(12_345_678, 1);
    for offset in [1, 4 << 20, 12_345_677, 12_345_678] {
        client.send(&format!("REST {offset}")).expect(350);
        assert_eq!(client.retrieve("RETR three parts"), bytes[offset..]);
    }
    // Over a file that is there.
    let newer = content(20_000, 2);
    client.store("STOR three parts", &newer).expect(226);
    assert!(holds(&home.join("three parts"), &newer));
    client.store("APPE three parts", b"more").expect(226);
    assert!(holds(
        &home.join("three parts"),
        &[&*newer, b"more"].concat()
    ));
    client.send("RNFR small").expect(350);
    client.send("RNTO other").expect(250);
    assert!(!home.join("small").exists() && holds(&home.join("other"), &content(1, 1)));
    client.send("RNFR other").expect(350);
    client.send("RNTO empty").expect(250);
    client.send("SIZE empty").expect(213).saying("1");
    client.send("DELE empty").expect(250);
    client.send("SIZE empty").expect(550);
    client.send("DELE empty").expect(550);
    assert!(!home.join("empty").exists());
    assert!(engine.parts().is_empty(), "{:?}", engine.parts());
}

#[test]
fn directories_are_there_as_clients_expect() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let server = engine.start_server();
    let mut client = server.login();
    client.send("EPSV").expect(229);
    client.send("STOR nowhere/file").expect(550);
    client.send("CWD nowhere").expect(550);
    client.listing("NLST");
    client.send("MKD a").expect(257);
    client.send("MKD a").expect(550);
    client.send("MKD a/b").expect(257);
    client.send("MKD x/y").expect(550);
    client.store("STOR a/b/file", b"content").expect(226);
    // A file is no directory, and a directory no file.
    client.send("EPSV").expect(229);
    client.send("STOR a/b").expect(553);
    client.send("MKD a/b/file").expect(550);
    client.send("CWD a/b/file").expect(550);
    client.send("RMD a/b/file").expect(550);
    client.send("DELE a/b").expect(550);
    client.send("RMD a").expect(550);
    client.send("RMD a/b").expect(550);
    client.send("CWD a/b").expect(250);
    assert_eq!(client.listing("NLST"), "file\r\n");
    client.send("CWD /").expect(250);
    client.send("RNFR a").expect(350);
    client.send("RNTO a/b/c").expect(553);
    client.send("RNFR a").expect(350);
    client.send("RNTO c").expect(250);
    client.send("CWD a").expect(550);
    assert_eq!(client.retrieve("RETR c/b/file"), b"content");
    assert_eq!(client.listing("NLST"), "c\r\n");
    client.send("DELE c/b/file").expect(250);
    // A directory that was made stays without its files.
    assert_eq!(client.listing("NLST c"), "c/b\r\n");
    client.send("RMD c/b").expect(250);
    client.send("RMD c").expect(250);
    client.send("CWD c").expect(550);
    client.send("RMD /").expect(550);
}

/// Files that others have put into the bucket, in their way.
#[test]
fn what_others_have_put_there_is_seen() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let server = engine.start_server();
    let mut client = server.login();
    let home = engine.home_of(USER);
    fs::create_dir_all(home.join("made/by/others")).unwrap();
    fs::write(home.join("made/by/others/file"), "content").unwrap();
    assert_eq!(client.listing("NLST"), "made\r\n");
    assert_eq!(client.retrieve("RETR made/by/others/file"), b"content");
    client.send("CWD made/by").expect(250);
    client.send("DELE others/file").expect(250);
    assert!(!home.join("made/by/others/file").exists());
}

/// No time can be set and no mode.
#[test]
fn times_and_modes_are_the_engines() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let server = engine.start_server();
    let mut client = server.login();
    client.store("STOR file", b"content").expect(226);
    client
        .send("MFMT 20200101000000 file")
        .expect_one_of(&[502, 504, 550]);
    client
        .send("SITE CHMOD 600 file")
        .expect_one_of(&[502, 504, 550]);
}

#[test]
fn a_bucket_has_no_end() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let server = engine.start_server();
    let mut client = server.login();
    client.send("SITE QUOTA").expect(200).saying("No quota");
}
