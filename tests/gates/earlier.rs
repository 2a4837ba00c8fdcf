//! The files that an earlier version has left behind are taken over without loss.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::Path,
    time::UNIX_EPOCH,
};

use aws_lc_rs::digest;
use rustix::fs::{major, minor};

use crate::{built, support::Setup};

/// Uploads that wait and one in quarantine, their labels, and the state of plugins, as version 0.1.0 has
/// written them, before there were virtual hosts.
const LEFT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gates/earlier");

/// The name of an upload that waits says what it began over: here nothing, in this very directory.
fn origin_of_nothing(directory: &Path) -> String {
    let facts = fs::metadata(directory).unwrap();
    let born = facts.created().unwrap().duration_since(UNIX_EPOCH).unwrap();
    let numbers = [
        major(facts.dev()).into(),
        minor(facts.dev()).into(),
        facts.ino(),
        born.as_secs(),
        born.subsec_nanos().into(),
    ];
    let mut context = digest::Context::new(&digest::SHA256);
    for number in numbers {
        context.update(&u64::to_ne_bytes(number));
    }
    let half: [u8; 16] = context.finish().as_ref()[..16].try_into().unwrap();
    format!("{:032x}", u128::from_be_bytes(half))
}

#[test]
fn uploads_and_state_of_an_earlier_version_are_taken_over() {
    let setup = Setup::new()
        .set("state.file", "state.redb")
        .users_plugin()
        .plugin("listens", &built("listens"), "settings.failures = 3");
    let (state, staging) = (setup.state(), setup.state().join("staging/default"));
    let home = state.join("files/alice");
    fs::create_dir_all(&home).unwrap();
    // Nobody else may enter what the server has made.
    for made in [&staging, &staging.join("quarantine")] {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(made)
            .unwrap();
    }
    let origin = origin_of_nothing(&home);
    for entry in fs::read_dir(LEFT).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let to = match *name.split('.').collect::<Vec<_>>() {
            [key, _, base, "part"] => staging.join(format!("{key}.{origin}.{base}.part")),
            [_, "label"] => staging.join(name),
            _ if name == "state.redb" => state.join(name),
            _ => continue,
        };
        fs::copy(entry.path(), to).unwrap();
    }
    let held = Path::new(LEFT).join("quarantine");
    for entry in fs::read_dir(held).unwrap().map(Result::unwrap) {
        let to = staging.join("quarantine").join(entry.file_name());
        fs::copy(entry.path(), to).unwrap();
    }
    let server = setup.start();
    let mut client = server.secure(&crate::support::Tls::new());
    // Three had failed, which the plugin holds against everybody whom nobody else knows.
    client.send("USER nobody").expect(331);
    client.send("PASS wrong").expect(530);
    let (status, said) = server.setup().run(&["state", "list"]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("listens"), "{said}");
    crate::support::eventually("three failures are known", || {
        server.log().contains("3 failures")
    });
    let mut client = server.login();
    client.send("SIZE new").expect(213).saying("10");
    client.send("REST 10").expect(350);
    client.store("STOR new", b"abc").expect(226);
    assert_eq!(client.retrieve("RETR new"), b"0123456789abc");
    client.store("APPE added", b", second").expect(226);
    assert_eq!(client.retrieve("RETR added"), b"first part, second");
    let (status, said) = server.setup().run(&["quarantine", "list"]);
    assert_eq!(status, 0, "{said}");
    assert!(
        said.contains("/virus.txt") && said.contains("alice"),
        "{said}"
    );
    let id = "20261127T044153.716000832Z-d";
    let (status, said) = server.setup().run(&["quarantine", "release", id]);
    assert_eq!(status, 0, "{said}");
    assert!(home.join("virus.txt").exists());
}
