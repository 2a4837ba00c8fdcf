//! The server's own disk: uploads may have no more of it than they are given.

use std::fs;

use crate::{
    broken, partial, setup,
    support::{content, eventually},
};

#[test]
fn uploads_that_do_not_fit_into_staging_are_told() {
    let setup = setup().set("storage.default.staging-size", "\"2MiB\"");
    let server = setup.start();
    let mut client = server.login();
    let old = content(100_000, 1);
    client.store("STOR file", &old).expect(226);
    for command in ["APPE file", "STOR file", "STOR new"] {
        client.store(command, &content(3 << 20, 2)).expect(452);
        assert!(fs::read(server.home().join("file")).unwrap() == old);
        assert!(!server.home().join("new").exists());
    }
    let is_told = |line: &&str| line.contains("code=452") && line.contains("`staging-size`");
    eventually("the log says why", || {
        server.log().lines().filter(is_told).count() == 3
    });
    // Their rest gives way.
    assert!(partial(&mut client, "new").is_some());
    let whole = content(2 << 20, 3);
    client.store("STOR whole", &whole).expect(226);
    assert!(fs::read(server.home().join("whole")).unwrap() == whole);
    client.send("MLST new").expect(550);
    // So do the broken uploads of a client that comes and goes.
    for number in 0..4 {
        let name = format!("STOR broken{number}");
        broken(&mut client, &name, &content(900_000, number)).expect(426);
    }
    client.store("STOR whole", &whole).expect(226);
}
