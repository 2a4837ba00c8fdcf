//! Listings, and the requests that they cost.

use std::{collections::BTreeSet, fs};

use crate::{engine::Engine, support::USER};

#[test]
fn a_directory_is_listed_whole_in_as_few_requests_as_can_be() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let server = engine.start_server();
    let mut client = server.login();
    client.send("MKD d").expect(257);
    let place = engine.home_of(USER).join("d");
    let names: BTreeSet<_> = (0..2500).map(|number| format!("file {number}")).collect();
    let mut names = names.into_iter();
    let mut there = BTreeSet::new();
    for (files, requests) in [(999, 1), (1, 2), (1500, 3)] {
        for name in names.by_ref().take(files) {
            fs::write(place.join(&name), &name).unwrap();
            there.insert(name);
        }
        client.send("CWD d").expect(250);
        engine.requests();
        let listed = client.listing("MLSD");
        let made = engine.requests();
        let listed: BTreeSet<_> = listed
            .lines()
            .filter(|line| line.contains("type=file"))
            .map(|line| line.split_once(' ').unwrap().1.to_owned())
            .collect();
        assert_eq!(listed, there);
        assert_eq!(made.len(), requests, "{made:#?}");
        client.send("CWD /").expect(250);
    }
}

/// The engine has names that no path of FTP has: one of them must not hide the others.
#[test]
fn odd_keys_hide_nothing_but_themselves() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let server = engine.start_server();
    let mut client = server.login();
    client.store("STOR file", b"").expect(226);
    let home = engine.home_of(USER);
    for name in [
        "a\nb", "a\tb", "\u{7f}", "a\\b", "+", "a b", "%41", "<&>\"'",
    ] {
        fs::write(home.join(name), name).unwrap();
    }
    let listed = client.listing("NLST");
    let mut listed: Vec<_> = listed.lines().collect();
    listed.sort_unstable();
    for name in ["%41", "+", "<&>\"'", "a b", "a\\b", "file"] {
        assert!(listed.contains(&name), "{name}: {listed:?}");
        let bytes = client.retrieve(&format!("RETR {name}"));
        assert!(name == "file" || bytes == name.as_bytes(), "{name}");
    }
}

#[test]
fn an_upload_and_a_download_cost_few_requests() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let server = engine.start_server();
    let mut client = server.login();
    client.send("MKD d").expect(257);
    client.send("CWD d").expect(250);
    engine.requests();
    for (command, requests) in [
        ("STOR new", ["GET", "PUT"].as_slice()),
        // Looked at when it begins, and replaced as the version that it is at the end.
        ("STOR new", &["GET", "GET", "HEAD", "PUT"]),
        ("RETR new", &["GET"]),
    ] {
        match command.starts_with("STOR") {
            true => drop(client.store(command, b"content").expect(226)),
            false => drop(client.retrieve(command)),
        }
        let made = engine.requests();
        let methods: Vec<_> = made
            .iter()
            .map(|request| request.split(' ').next().unwrap())
            .collect();
        assert_eq!(methods, requests, "{command}: {made:#?}");
    }
}
