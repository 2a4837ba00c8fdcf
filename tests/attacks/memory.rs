//! Memory that was used comes back.

use std::time::{Duration, Instant};

use crate::{
    scale,
    support::{Client, Data, Server, Setup, Tls, USER, content},
};

const MIB: u64 = 1 << 20;

/// All gates, as they are configured by default.
fn server() -> Server {
    let setup = Setup::new()
        .users_plugin()
        .plugin(
            "rules",
            "builtin:rules",
            "settings = { default = \"allow\" }",
        )
        .plugin("guard", "builtin:upload-guard", "")
        .set("limits.sessions-per-address", "0");
    let server = setup.start();
    // The first of each kind makes what stays.
    server
        .login()
        .store("STOR file", &content(MIB as usize, 1))
        .expect(226);
    server
}

/// Waits until no more than so much is resident. Free memory goes back to the system after some
/// seconds.
#[track_caller]
fn comes_back(server: &Server, most: u64, when: &str) {
    let begun = Instant::now();
    while server.resident() > most {
        let left = (server.resident() / MIB, most / MIB);
        assert!(
            begun.elapsed() < Duration::from_secs(90),
            "{left:?} MiB {when}"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn logins_downloads_and_uploads_leave_nothing_behind() {
    let server = server();
    let before = server.resident();
    for _ in 0..20 * scale() {
        server.login();
    }
    comes_back(&server, 2 * before, "after the logins");

    let stalled = |_| {
        let mut client = server.login_as(USER, &Tls::new());
        let data = client.begin("RETR file");
        (client, data)
    };
    let all: Vec<(Client, Data)> = (0..20 * scale()).map(stalled).collect();
    drop(all);
    comes_back(&server, 2 * before, "after the downloads");

    let upload = |number: usize| {
        let mut client = server.login_as(USER, &Tls::new());
        let mut data = client.begin(&format!("STOR upload-{number}"));
        data.send(&content(MIB as usize, 2)).unwrap();
        (client, data)
    };
    let all: Vec<(Client, Data)> = (0..20 * scale()).map(upload).collect();
    drop(all);
    comes_back(&server, 2 * before, "after the uploads");
}

/// A session keeps the configuration that it began with, and one more of them costs what differs.
#[test]
fn reloads_cost_what_differs() {
    let server = server();
    let before = server.resident();
    let reloads = 25 * scale();
    let mut stay = Vec::new();
    for _ in 0..reloads {
        let mut client = server.login();
        client.listing("LIST");
        stay.push(client);
        let (code, text) = server.setup().run(&["reload"]);
        assert_eq!(code, 0, "{text}");
    }
    let more = server.resident().saturating_sub(before);
    assert!(more < 40 * MIB + reloads as u64 * MIB, "{} MiB", more / MIB);
    let status = || {
        let (_, text) = server.setup().run(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&text).unwrap();
        let generations = status["generations"].as_array().unwrap().clone();
        let sessions = generations
            .iter()
            .map(|one| one["sessions"].as_u64().unwrap());
        sessions.collect::<Vec<_>>()
    };
    let sessions = status();
    assert_eq!(sessions.len(), reloads + 1);
    assert_eq!((sessions[0], sessions[1]), (0, 1));
    for client in &mut stay {
        client.send("NOOP").expect(200);
    }
    // Those that nobody uses are gone.
    for mut client in stay.drain(1..) {
        client.send("QUIT").expect(221);
    }
    crate::support::eventually("two are left", || status() == [0, 1]);
    comes_back(&server, 2 * before, "after the sessions");
}
