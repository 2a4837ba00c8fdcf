//! Nothing is seen of an upload before its verdict, and nothing ever of one that is refused.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use crate::{
    engine::{Engine, holds},
    support::{USER, content, eicar, eventually, server::walk},
};

/// The guard looks for this.
fn bad() -> Vec<u8> {
    [eicar(), content(100, 9)].concat()
}

#[test]
fn a_refused_upload_is_never_visible() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let server = engine.start_server();
    let home = engine.home_of(USER);
    let mut client = server.login();
    client.store("STOR good", b"content").expect(226);
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        // A second client, and the bucket itself.
        let watcher = scope.spawn(|| {
            let mut other = server.login();
            while !ended.load(Relaxed) {
                let listed = other.listing("NLST");
                assert!(!listed.contains("bad"), "{listed}");
                other.send("SIZE bad").expect(550);
                let mut seen = Vec::new();
                walk(&home, &mut |path| seen.push(path.to_owned()));
                assert!(!seen.iter().any(|path| path.ends_with("bad")), "{seen:?}");
                assert!(holds(&home.join("good"), b"content"));
            }
        });
        for (name, before, after) in [
            ("bad", 0, 0),
            ("bad", (5 << 20) - 40, 8 << 20),
            ("bad", 17 << 20, 10),
            ("good", 11 << 20, 6 << 20),
        ] {
            let bytes = [content(before, 3), bad(), content(after, 4)].concat();
            let reply = client.store(&format!("STOR {name}"), &bytes);
            reply.expect_one_of(&[550, 552, 553, 554]);
        }
        ended.store(true, Relaxed);
        watcher.join().unwrap();
    });
    eventually("nothing of them is left", || engine.parts().is_empty());
}

/// An upload that is resumed is inspected from its first byte on.
#[test]
fn a_resumed_upload_is_inspected_whole() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let server = engine.start_server();
    let home = engine.home_of(USER);
    let good = content(16 << 20, 5);
    let bad = [content(6 << 20, 6), bad(), content(9 << 20, 7)].concat();
    let halves = (6 << 20) + 30;
    for (name, bytes, replies) in [
        ("good", &good, [226].as_slice()),
        ("bad", &bad, &[550, 552, 553, 554]),
    ] {
        let mut client = server.login();
        let mut data = client.begin(&format!("STOR {name}"));
        data.send(&bytes[..halves]).unwrap();
        data.cut();
        client
            .reply()
            .expect_one_of(&[426, 451, 550, 552, 553, 554]);
        let mut client = server.login();
        let there = client.send(&format!("SIZE {name}"));
        let offset = match there.code {
            213 => there.text().trim().parse().unwrap(),
            _ => 0,
        };
        assert!(name == "bad" || offset > 5 << 20, "{offset}");
        assert!(!home.join(name).exists());
        client.send(&format!("REST {offset}")).expect(350);
        let reply = client.store(&format!("STOR {name}"), &bytes[offset..]);
        reply.expect_one_of(replies);
    }
    assert!(holds(&home.join("good"), &good));
    assert!(!home.join("bad").exists());
    eventually("nothing of them is left", || engine.parts().is_empty());
}

/// The engine forgets the parts of an upload that has no end, and the spool keeps what the client may go on from.
#[test]
fn a_broken_upload_leaves_nothing_in_the_bucket() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let server = engine.start_server();
    let mut client = server.login();
    let bytes = content(20 << 20, 8);
    let mut data = client.begin("STOR file");
    data.send(&bytes).unwrap();
    eventually("parts are there before the end", || {
        let parts = engine.parts();
        let bytes = parts.iter().filter_map(|path| fs::metadata(path).ok());
        bytes.map(|found| found.len()).sum::<u64>() >= 10 << 20
    });
    data.cut();
    client.reply().expect_one_of(&[426, 451]);
    eventually("nothing of it is left", || engine.parts().is_empty());
    assert!(!engine.home_of(USER).join("file").exists());
}
