//! Bytes that are added to a file that is there: beside a copy of it, which costs nobody any
//! waiting.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::fs::{FileExt, MetadataExt},
};

use crate::{
    lose, setup,
    support::{Server, content, eventually, server::walk},
};

/// Bytes on the disk of what is in staging.
fn staged(server: &Server) -> Vec<u64> {
    let mut found = Vec::new();
    walk(&server.state().join("staging"), &mut |path| {
        let suffix = path.extension().unwrap_or_default();
        if !["", "label", "spare"].map(OsStr::new).contains(&suffix) {
            found.extend(fs::metadata(path).map(|found| found.blocks() * 512));
        }
    });
    found
}

#[test]
fn a_sparse_file_stays_one() {
    let server = setup().start();
    let path = server.home().join("file");
    let file = File::create(&path).unwrap();
    let (length, middle) = (1_u64 << 25, 10_000_000);
    file.set_len(length).unwrap();
    file.write_all_at(b"in the middle", middle).unwrap();
    file.sync_all().unwrap();
    let mut client = server.login();
    client.store("APPE file", b"the end").expect(226);
    client.send(&format!("REST {}", length - 2)).expect(350);
    client.store("STOR file", b"another end").expect(226);
    let found = fs::metadata(&path).unwrap();
    assert_eq!(found.len(), length + 9);
    assert!(found.blocks() * 512 < 1 << 20, "{}", found.blocks());
    let file = File::open(&path).unwrap();
    let mut bytes = [0; 15];
    file.read_exact_at(&mut bytes, middle - 1).unwrap();
    assert_eq!(&bytes, b"\0in the middle\0");
    file.read_exact_at(&mut bytes, length - 6).unwrap();
    assert_eq!(&bytes, b"\0\0\0\0another end");
}

/// The transfer begins at once, and goes on beside the copy.
#[test]
fn a_large_file() {
    let server = setup().start();
    let path = server.home().join("file");
    let (old, new) = (content(60_000_000, 1), content(3_000_000, 2));
    fs::write(&path, &old).unwrap();
    let mut client = server.login();
    client.store("APPE file", &new).expect(226);
    assert!(fs::read(&path).unwrap() == [&old[..], &new].concat());
    client.send("REST 50000000").expect(350);
    client.store("STOR file", &new).expect(226);
    assert!(fs::read(&path).unwrap() == [&old[..50_000_000], &new].concat());
    let server = server.restart(|| {});
    assert!(fs::read(server.home().join("file")).unwrap().len() == 53_000_000);
}

/// The copy ends with the transfer, and nothing is left of it; the name is free at once.
#[test]
fn a_client_that_leaves_stops_the_copy() {
    let server = setup().start();
    let path = server.home().join("file");
    let old = content(80_000_000, 1);
    fs::write(&path, &old).unwrap();
    for by_abor in [true, false] {
        let mut client = server.login();
        let mut data = client.begin("APPE file");
        data.send(b"begun").unwrap();
        if by_abor {
            client.send("ABOR").expect(426);
            client.reply().expect(226);
        } else {
            lose(client);
            data.cut();
        }
        let mut client = server.login();
        eventually("the name is free", || {
            let stream = client.open();
            if client.send("APPE file").code == 450 {
                return false;
            }
            client.protect(stream).finish().unwrap();
            client.reply().expect(226);
            true
        });
        eventually("nothing is left in staging", || staged(&server).is_empty());
        assert_eq!(fs::metadata(&path).unwrap().len(), 80_000_000);
    }
}
