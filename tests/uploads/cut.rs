//! A virus in two pieces, cut at each of its positions, in every way in which one file can come in
//! several transfers: the whole is refused each time, and what was there stays as it was.

use std::{collections::BTreeMap, fs};

use crate::{
    broken, lose, setup,
    support::{Client, Server, content, eicar, eventually, server::walk},
};

/// A power failure is not part of this: so it need not wait for the disk.
fn server() -> Server {
    setup()
        .set("storage.default.durability", r#""none""#)
        .start()
}

/// One position: what comes first, what comes then, and what it is about.
struct Cut {
    name: String,
    first: Vec<u8>,
    then: Vec<u8>,
}

/// Each position, the ends included.
fn cuts() -> impl Iterator<Item = Cut> {
    let eicar = eicar();
    (0..=eicar.len()).map(move |at| Cut {
        name: format!("file{at}.com"),
        first: eicar[..at].to_vec(),
        then: eicar[at..].to_vec(),
    })
}

/// Those that leave something of it on either side.
fn inner_cuts() -> impl Iterator<Item = Cut> {
    cuts().filter(|cut| !cut.first.is_empty() && !cut.then.is_empty())
}

/// All that is published, by name.
fn published(server: &Server) -> BTreeMap<String, Vec<u8>> {
    let (home, mut found) = (server.home(), BTreeMap::new());
    walk(&home, &mut |path| {
        let name = path.strip_prefix(&home).unwrap().to_str().unwrap();
        found.insert(name.to_owned(), fs::read(path).unwrap());
    });
    found
}

/// Asserts that exactly this is there, and the whole virus nowhere: not even in staging.
#[track_caller]
fn assert_published(server: &Server, expected: &BTreeMap<String, Vec<u8>>) {
    assert!(&published(server) == expected, "something else is there");
    assert!(server.files_with(&eicar()).is_empty(), "it lies somewhere");
}

/// How much of a broken upload the server has.
#[track_caller]
fn size(client: &mut Client, name: &str) -> usize {
    let reply = client.send(&format!("SIZE {name}")).expect(213);
    reply.text().parse().unwrap()
}

/// The second piece, to where the first one ended.
#[track_caller]
fn go_on(client: &mut Client, by: &str, cut: &Cut) {
    if by == "STOR" {
        client
            .send(&format!("REST {}", cut.first.len()))
            .expect(350);
    }
    client
        .store(&format!("{by} {}", cut.name), &cut.then)
        .expect(550);
    client.send(&format!("SIZE {}", cut.name)).expect(550);
}

fn after_a_broken_transfer(by: &str, kind: &str) {
    let server = server();
    let mut client = server.login();
    client.send(kind).expect(200);
    for cut in cuts() {
        let reply = broken(&mut client, &format!("STOR {}", cut.name), &cut.first);
        if cut.then.is_empty() && reply.code == 550 {
            // All of it has come, and the refusal was faster than the end.
            client.send(&format!("SIZE {}", cut.name)).expect(550);
        } else {
            reply.expect(426);
            go_on(&mut client, by, &cut);
        }
    }
    assert_published(&server, &BTreeMap::new());
}

#[test]
fn a_broken_transfer_and_rest() {
    after_a_broken_transfer("STOR", "TYPE I");
}

#[test]
fn a_broken_transfer_and_appe() {
    after_a_broken_transfer("APPE", "TYPE I");
}

#[test]
fn a_broken_transfer_in_ascii() {
    after_a_broken_transfer("STOR", "TYPE A");
    after_a_broken_transfer("APPE", "TYPE A");
}

/// The first piece is more than what the server reads again at a time, or just that.
#[test]
fn behind_a_long_beginning() {
    let server = server();
    let mut client = server.login();
    for (index, mut cut) in inner_cuts().enumerate() {
        // The cut is where the second read begins, one before, or one behind.
        let length = (64 << 10) + index % 3 - 1 - cut.first.len();
        cut.first.splice(0..0, content(length, index as u64));
        broken(&mut client, &format!("STOR {}", cut.name), &cut.first).expect(426);
        assert_eq!(size(&mut client, &cut.name), cut.first.len());
        go_on(&mut client, ["STOR", "APPE"][index % 2], &cut);
    }
    assert_published(&server, &BTreeMap::new());
}

/// Three pieces, each in a session of its own, of which both connections are lost.
#[test]
fn a_lost_session_and_a_new_one() {
    let server = server();
    for (index, cut) in inner_cuts().enumerate() {
        let mut client = server.login();
        broken(&mut client, &format!("STOR {}", cut.name), &cut.first).expect(426);
        lose(client);
        let mut client = server.login();
        assert_eq!(size(&mut client, &cut.name), cut.first.len());
        let (second, third) = cut.then.split_at(cut.then.len() / 2);
        client
            .send(&format!("REST {}", cut.first.len()))
            .expect(350);
        broken(&mut client, &format!("STOR {}", cut.name), second).expect(426);
        lose(client);
        let mut client = server.login();
        let third = Cut {
            name: cut.name,
            first: [&cut.first[..], second].concat(),
            then: third.to_vec(),
        };
        assert_eq!(size(&mut client, &third.name), third.first.len());
        go_on(&mut client, ["STOR", "APPE"][index % 2], &third);
    }
    assert_published(&server, &BTreeMap::new());
}

/// Both connections go in the middle of the transfer, the control connection first: what was kept
/// is what SIZE says.
#[test]
fn a_session_lost_in_mid_transfer() {
    let server = setup()
        .set("storage.default.durability", r#""none""#)
        .set("audit.file", r#""audit.jsonl""#)
        .start();
    for cut in inner_cuts() {
        let mut client = server.login();
        let mut data = client.begin(&format!("STOR {}", cut.name));
        data.send(&cut.first).unwrap();
        lose(client);
        data.cut();
        // Lines of the log are bounded within a second, and those of the audit are not.
        eventually("the upload is broken off", || {
            let audit = fs::read_to_string(server.state().join("log/audit.jsonl"));
            let audit = audit.unwrap_or_default();
            let mut lines = audit.lines();
            lines.any(|line| {
                line.contains("transfer-failed") && line.contains(&format!("/{}\"", cut.name))
            })
        });
        let mut client = server.login();
        let reply = client.send(&format!("SIZE {}", cut.name));
        let kept: usize = match reply.code {
            213 => reply.text().parse().unwrap(),
            _ => 0,
        };
        assert!(kept <= cut.first.len(), "{kept}");
        let whole = eicar();
        let rest = Cut {
            name: cut.name,
            first: whole[..kept].to_vec(),
            then: whole[kept..].to_vec(),
        };
        go_on(&mut client, "STOR", &rest);
    }
    assert_published(&server, &BTreeMap::new());
}

/// The first half is published, as a file of its own; by what follows it would become the virus.
fn into_a_published_file(by: &str, kind: &str, tail: &[u8]) {
    let server = server();
    let mut client = server.login();
    client.send(kind).expect(200);
    let mut expected = BTreeMap::new();
    for cut in inner_cuts() {
        let old = [&cut.first, tail].concat();
        client
            .store(&format!("STOR {}", cut.name), &old)
            .expect(226);
        if by == "STOR" {
            client
                .send(&format!("REST {}", cut.first.len()))
                .expect(350);
        }
        let reply = client.store(&format!("{by} {}", cut.name), &cut.then);
        reply.expect(550);
        assert_eq!(size(&mut client, &cut.name), old.len());
        assert!(fs::read(server.home().join(&cut.name)).unwrap() == old);
        assert!(client.retrieve(&format!("RETR {}", cut.name)) == old);
        expected.insert(cut.name, old);
    }
    assert_published(&server, &expected);
}

#[test]
fn appended_to_a_published_file() {
    into_a_published_file("APPE", "TYPE I", b"");
    into_a_published_file("APPE", "TYPE A", b"");
}

#[test]
fn written_at_an_offset_of_a_published_file() {
    into_a_published_file("STOR", "TYPE I", b"");
    into_a_published_file("STOR", "TYPE A", b"");
    // There is more behind the offset: it does not stay.
    into_a_published_file(
        "STOR",
        "TYPE I",
        b"what stood there before, and is longer than the whole",
    );
}

/// An append that breaks, too, and goes on in another session: by its offset. Another append begins
/// where the file ends.
#[test]
fn appended_to_a_published_file_in_two_transfers() {
    let server = server();
    let mut expected = BTreeMap::new();
    for cut in inner_cuts() {
        let mut client = server.login();
        client
            .store(&format!("STOR {}", cut.name), &cut.first)
            .expect(226);
        let (second, third) = cut.then.split_at(cut.then.len() / 2);
        broken(&mut client, &format!("APPE {}", cut.name), second).expect(426);
        assert!(fs::read(server.home().join(&cut.name)).unwrap() == cut.first);
        lose(client);
        let mut client = server.login();
        assert_eq!(size(&mut client, &cut.name), cut.first.len());
        let came = cut.first.len() + second.len();
        client.send(&format!("REST {came}")).expect(350);
        client
            .store(&format!("STOR {}", cut.name), third)
            .expect(550);
        assert_eq!(size(&mut client, &cut.name), cut.first.len());
        client
            .store(&format!("APPE {}", cut.name), &cut.then)
            .expect(550);
        expected.insert(cut.name, cut.first);
    }
    assert_published(&server, &expected);
}

/// Over what is there: the new file is refused, the old one stays.
#[test]
fn over_an_old_file() {
    let server = server();
    let mut client = server.login();
    let (old, mut expected) = (content(1000, 9), BTreeMap::new());
    for cut in cuts() {
        client
            .store(&format!("STOR {}", cut.name), &old)
            .expect(226);
        let reply = broken(&mut client, &format!("STOR {}", cut.name), &cut.first);
        if reply.code == 426 {
            client
                .send(&format!("REST {}", cut.first.len()))
                .expect(350);
            let reply = client.store(&format!("STOR {}", cut.name), &cut.then);
            reply.expect(550);
        } else {
            assert!(cut.then.is_empty(), "{reply:?}");
            reply.expect(550);
        }
        assert_eq!(size(&mut client, &cut.name), old.len());
        assert!(fs::read(server.home().join(&cut.name)).unwrap() == old);
        expected.insert(cut.name, old.clone());
    }
    assert_published(&server, &expected);
}

/// In one transfer, cut into two TLS records: as it is, and in ASCII mode with what that takes away.
#[test]
fn in_one_transfer() {
    let server = server();
    let mut client = server.login();
    for kind in ["TYPE I", "TYPE A"] {
        client.send(kind).expect(200);
        for cut in cuts() {
            let mut data = client.begin(&format!("STOR {}", cut.name));
            let _ = data.send(&cut.first);
            let _ = data.send(&cut.then);
            let _ = data.finish();
            client.reply().expect(550);
            client.send(&format!("SIZE {}", cut.name)).expect(550);
        }
    }
    assert_published(&server, &BTreeMap::new());
}
