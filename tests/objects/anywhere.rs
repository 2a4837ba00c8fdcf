//! Uploads that break at one server and go on at another.

use std::{path::PathBuf, time::Duration};

use crate::{
    engine::{BUCKET, Engine, PREFIX, holds},
    support::{Client, Server, USER, content, eicar, eventually, server::walk},
};

fn start(engine: &Engine) -> Server {
    let setup = engine.setup();
    setup.set("storage.default.resume", "\"anywhere\"").start()
}

/// The objects that are kept of uploads.
fn kept(engine: &Engine) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let place = engine.bucket().join(PREFIX).join(".portcullis");
    if place.exists() {
        walk(&place, &mut |path| found.push(path.to_owned()));
    }
    assert!(engine.bucket().ends_with(BUCKET));
    found
}

fn told(client: &mut Client, name: &str) -> usize {
    let size = client.send(&format!("SIZE {name}")).expect(213);
    size.text().trim().parse().unwrap()
}

#[test]
fn a_broken_upload_goes_on_at_another_server() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let (one, other) = (start(&engine), start(&engine));
    let path = engine.home_of(USER).join("file");
    let bytes = content(23 << 20, 1);
    // Again and again, at the one and at the other, and of a few bytes as well.
    let mut offset = 0;
    for (round, end) in [100, 17 << 20, (17 << 20) + 5, 19 << 20]
        .into_iter()
        .enumerate()
    {
        let server = if round % 2 == 0 { &one } else { &other };
        let mut client = server.login();
        if offset > 0 {
            assert_eq!(told(&mut client, "file"), offset);
            client.send(&format!("REST {offset}")).expect(350);
        }
        let mut data = client.begin("STOR file");
        data.send(&bytes[offset..end]).unwrap();
        data.cut();
        client.reply().expect_one_of(&[426, 451]);
        offset = told(&mut client, "file");
        assert!(offset <= end && offset + 1000 > end, "{offset} {end}");
        assert!(!path.exists());
    }
    let mut client = other.login();
    assert_eq!(client.listing("NLST"), "");
    client.send(&format!("REST {offset}")).expect(350);
    client.store("STOR file", &bytes[offset..]).expect(226);
    assert!(holds(&path, &bytes));
    eventually("nothing else is left", || kept(&engine).is_empty());
    assert!(engine.parts().is_empty());
    one.login()
        .send("SIZE file")
        .expect(213)
        .saying(&bytes.len().to_string());
}

#[test]
fn an_upload_to_a_server_that_is_killed_goes_on_at_another() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let (one, other) = (start(&engine), start(&engine));
    let bytes = content(23 << 20, 2);
    let mut client = one.login();
    let mut data = client.begin("STOR file");
    data.send(&bytes[..18 << 20]).unwrap();
    let chunks = || kept(&engine).len();
    eventually("three chunks and their manifest are there", || {
        chunks() >= 4
    });
    drop(one);
    data.cut();
    let mut client = other.login();
    let offset = told(&mut client, "file");
    assert!(offset >= (15 << 20) - 1, "{offset}");
    client.send(&format!("REST {offset}")).expect(350);
    client.store("STOR file", &bytes[offset..]).expect(226);
    assert!(holds(&engine.home_of(USER).join("file"), &bytes));
    eventually("nothing else is left", || kept(&engine).is_empty());
}

/// An upload that goes on from less than is there is made of what its client sends.
#[test]
fn other_bytes_than_before_take_the_place_of_those() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let (one, other) = (start(&engine), start(&engine));
    let (first, second) = (content(17 << 20, 3), content(17 << 20, 4));
    for offset in [7 << 20, (5 << 20) + 1, 5 << 20, 3] {
        let mut client = one.login();
        let mut data = client.begin("STOR file");
        data.send(&first).unwrap();
        data.cut();
        client.reply().expect_one_of(&[426, 451]);
        let mut client = other.login();
        client.send(&format!("REST {offset}")).expect(350);
        client.store("STOR file", &second[offset..]).expect(226);
        let whole = [&first[..offset], &second[offset..]].concat();
        assert!(
            holds(&engine.home_of(USER).join("file"), &whole),
            "{offset}"
        );
        client.send("DELE file").expect(250);
    }
}

#[test]
fn what_another_server_took_is_inspected_here() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let (one, other) = (start(&engine), start(&engine));
    // The guard looks for this, which the first server has whole and the second half of.
    for before in [100, (12 << 20) - 20] {
        let bytes = [content(before, 5), eicar(), content(8 << 20, 6)].concat();
        let end = before + 34;
        let mut client = one.login();
        let mut data = client.begin("STOR file");
        data.send(&bytes[..end]).unwrap();
        data.cut();
        client.reply().expect_one_of(&[426, 451, 550]);
        let mut client = other.login();
        let offset = told(&mut client, "file");
        assert!(offset > 0 && offset <= end);
        client.send(&format!("REST {offset}")).expect(350);
        let reply = client.store("STOR file", &bytes[offset..]);
        reply.expect_one_of(&[550, 552, 553, 554]);
        assert!(!engine.home_of(USER).join("file").exists());
        eventually("nothing is left", || kept(&engine).is_empty());
        client.send("SIZE file").expect(550);
    }
}

#[test]
fn a_broken_upload_is_removed_by_its_owner_or_by_its_age() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let (one, other) = (start(&engine), start(&engine));
    let broken = || {
        let mut client = one.login();
        let mut data = client.begin("STOR file");
        data.send(&content(12 << 20, 7)).unwrap();
        data.cut();
        client.reply().expect_one_of(&[426, 451]);
        assert!(!kept(&engine).is_empty());
    };
    broken();
    let mut client = other.login();
    client.send("DELE file").expect(250);
    assert!(kept(&engine).is_empty());
    client.send("SIZE file").expect(550);
    // An upload that begins anew has nothing of the older one.
    broken();
    client.store("STOR file", b"short").expect(226);
    assert_eq!(told(&mut client, "file"), 5);
    client.send("DELE file").expect(250);
    broken();
    std::thread::sleep(Duration::from_millis(1500));
    let setup = engine.setup().set("storage.default.resume", "\"anywhere\"");
    let young = setup.set("storage.default.partial-age", "\"1s\"").start();
    eventually("it is too old", || kept(&engine).is_empty());
    drop(young);
}

/// The place of what is kept is nobody's to look into, not even where the home is the whole storage.
#[test]
fn nobody_sees_what_is_kept() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let setup = engine.setup().set("storage.default.resume", "\"anywhere\"");
    let server = setup.user("root", "home = \"/\"").start();
    let mut client = server.login();
    let mut data = client.begin("STOR file");
    data.send(&content(12 << 20, 8)).unwrap();
    data.cut();
    client.reply().expect_one_of(&[426, 451]);
    assert!(!kept(&engine).is_empty());
    let mut root = server.login_as("root", &crate::support::Tls::new());
    assert_eq!(root.listing("NLST"), format!("{USER}\r\n"));
    root.send("CWD .portcullis").expect(550);
    root.send("SIZE .portcullis/uploads").expect(550);
    root.send("EPSV").expect(229);
    root.send("STOR .portcullis/x").expect_one_of(&[550, 553]);
    root.send("RNFR .portcullis").expect(550);
}
