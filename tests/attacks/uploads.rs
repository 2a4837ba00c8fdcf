//! Those who are logged in, and take what they can.

use std::time::{Duration, Instant};

use crate::{
    scale,
    support::{Client, Data, Server, Setup, Tls, USER, eventually},
    waiting,
};

/// All three gates, each with a component; `limits` are the inspector's.
fn setup(instances: u32, limits: &str) -> Setup {
    // A busy machine is no reason for a plugin to be late.
    let slow = "limits.cpu-time = \"20s\"\nlimits.wall-time = \"30s\"";
    let guard = format!("limits.pool-wait = \"300ms\"\n{slow}\n{limits}");
    let rules = format!("settings = {{ default = \"allow\" }}\nlimits.pool-wait = \"60s\"\n{slow}");
    Setup::new()
        .users_plugin()
        .plugin("rules", "builtin:rules", &rules)
        .plugin("guard", "builtin:upload-guard", &guard)
        .set("plugin-host.instances", &instances.to_string())
        .set("limits.sessions-per-address", "0")
}

/// Sessions of a user, each in the middle of an upload that goes on for ever.
fn stall(server: &Server, user: &str, uploads: usize) -> Vec<(Client, Data)> {
    let begin = |number: usize| {
        let mut client = server.login_as(user, &Tls::new());
        let mut data = client.begin(&format!("STOR slow-{number}"));
        let _ = data.send(b"x");
        (client, data)
    };
    (0..uploads).map(begin).collect()
}

/// All that somebody may want of the server.
fn work(server: &Server, user: &str) -> Duration {
    let begun = Instant::now();
    let mut client = server.login_as(user, &Tls::new());
    client.store("STOR file", b"honest").expect(226);
    assert!(client.listing("LIST").contains("file"));
    assert_eq!(client.retrieve("RETR file"), b"honest");
    client.send("DELE file").expect(250);
    begun.elapsed()
}

/// As many slow uploads as fit, and more that wait, of one account and of three.
#[test]
fn slow_uploads_hold_up_nobody_else() {
    let greedy = ["mallory", "mallet", "eve"];
    let mut setup = setup(40, "");
    for user in greedy {
        setup = setup.user(user, "");
    }
    let server = setup.start();
    let mut held = Vec::new();
    for user in greedy {
        held.extend(stall(&server, user, 50 * scale()));
        let (clients, data): (Vec<_>, Vec<_>) = held.into_iter().unzip();
        let slow = waiting(&clients);
        assert!(slow >= 10, "{slow} uploads go on");
        held = clients.into_iter().zip(data).collect();
        for _ in 0..3 {
            // Nothing waits for one of the uploads to end; a busy machine may take its time.
            let took = work(&server, USER);
            assert!(took < Duration::from_secs(20), "{took:?}");
        }
        // The greedy may log in and is answered; there is room again where one of the slow ones failed,
        // as on a busy machine it may.
        let mut client = server.login_as(user, &Tls::new());
        let reply = client.store("STOR one-more", b"x");
        reply.expect_one_of(&[226, 451]);
    }
    let line = "no instance became free in 300ms: see plugin-host.instances; this user has ";
    eventually("it is in the log", || server.log().contains(line));
    drop(held);
    work(&server, USER);
}

/// A plugin's own instances are shared like those of all plugins.
#[test]
fn slow_uploads_leave_some_of_a_plugins_own_instances() {
    let server = setup(100, "limits.instances = 10")
        .user("mallory", "")
        .start();
    let held = stall(&server, "mallory", 12);
    let (clients, _data): (Vec<_>, Vec<_>) = held.into_iter().unzip();
    eventually("the last ones are refused", || waiting(&clients) == 8);
    work(&server, USER);
}

/// A configuration can be loaded while all instances are taken.
#[test]
fn a_reload_needs_no_free_instance() {
    let server = setup(16, "").user("mallory", "").start();
    let _held = stall(&server, "mallory", 20);
    let (code, text) = server.setup().run(&["reload"]);
    assert_eq!(code, 0, "{text}");
    work(&server, USER);
}

/// A transfer that takes long gives the path guards of its session back.
#[test]
fn a_lasting_transfer_keeps_no_path_guard() {
    let server = setup(100, "").start();
    let _held = stall(&server, USER, 5);
    eventually("one instance for each upload is left", || {
        let (code, text) = server.setup().run(&["status", "--json"]);
        assert_eq!(code, 0, "{text}");
        let status: serde_json::Value = serde_json::from_str(&text).unwrap();
        let taken = &status["instances"];
        taken["uploads"] == 5 && taken["paths"] == 0
    });
}
