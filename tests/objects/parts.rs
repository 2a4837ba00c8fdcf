//! Uploads in an engine whose server was killed.

use std::{fs, time::Duration};

use crate::{
    engine::Engine,
    support::{USER, content, eventually},
};

/// Any server removes it when it is old, and leaves alone what is not.
#[test]
fn parts_of_a_server_that_was_killed_are_removed_when_they_are_old() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let setup = |age: &str| {
        let setup = engine.setup();
        setup.set("storage.default.partial-age", &format!("{age:?}"))
    };
    let server = setup("1h").start();
    let mut client = server.login();
    let mut data = client.begin("STOR file");
    data.send(&content(12 << 20, 1)).unwrap();
    let bytes = || {
        let parts = engine.parts();
        let parts = parts.iter().filter_map(|path| fs::metadata(path).ok());
        parts.map(|found| found.len()).sum::<u64>()
    };
    eventually("parts are there", || bytes() >= 10 << 20);
    drop(server);
    data.cut();
    assert!(bytes() >= 10 << 20);
    let server = setup("1h").start();
    std::thread::sleep(Duration::from_secs(2));
    assert!(bytes() >= 10 << 20);
    drop(server);
    let server = setup("1s").start();
    eventually("they are removed", || bytes() == 0);
    assert!(!engine.home_of(USER).join("file").exists());
    drop(server);
}
