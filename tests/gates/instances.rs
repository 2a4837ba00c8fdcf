//! How long instances live, and how many there are.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    built,
    support::{Server, Setup, Tls, USER, eventually},
};

fn calls(more: &str) -> Setup {
    let setup = Setup::new().plugin("listens", &built("listens"), more);
    setup.users_plugin()
}

/// Asks so often, and says how often the instance had been asked each time.
fn asked(server: &Server, times: usize) -> Vec<u32> {
    for _ in 0..times {
        let mut client = server.secure(&Tls::new());
        client.send("USER calls").expect(331);
        client.send("PASS x").expect(530);
    }
    let mut answers = Vec::new();
    eventually("all answers are in the log", || {
        let log = server.log();
        let lines = log.lines().filter(|line| line.contains("login failed"));
        let counts =
            lines.filter_map(|line| line.split_once("call ")?.1.split_once(" of this instance"));
        answers = counts.map(|(count, _)| count.parse().unwrap()).collect();
        answers.len() >= times
    });
    answers
}

#[test]
fn an_authenticator_is_fresh_for_every_call_unless_it_is_pooled() {
    assert_eq!(asked(&calls("").start(), 4), [1, 1, 1, 1]);
    let pool = "instances = \"pool\"";
    assert_eq!(asked(&calls(pool).start(), 4), [1, 2, 3, 4]);
}

#[test]
fn a_pooled_instance_is_retired_after_its_calls_or_its_time() {
    let few = "instances = \"pool\"\nlimits.pool-calls = 2";
    assert_eq!(asked(&calls(few).start(), 5), [1, 2, 1, 2, 1]);

    let short = "instances = \"pool\"\nlimits.pool-age = \"300ms\"";
    let server = calls(short).start();
    asked(&server, 1);
    thread::sleep(Duration::from_millis(400));
    let mut client = server.secure(&Tls::new());
    client.send("USER calls").expect(331);
    client.send("PASS x").expect(530);
    eventually("the next instance is asked for the first time", || {
        server.log().matches("call 1 of this instance").count() > 2
    });
    assert!(!server.log().contains("call 2 of this instance"));
}

#[test]
fn an_instance_that_failed_is_not_pooled() {
    let more = "instances = \"pool\"\n[plugin.limits]\ncpu-time = \"200ms\"\n";
    let server = Setup::new()
        .plugin("faulty", &built("faulty-authenticator"), more)
        .users_plugin()
        .start();
    let attempt = |user: &str| {
        let mut client = server.secure(&Tls::new());
        client.send(&format!("USER {user}")).expect(331);
        client.send("PASS x").code
    };
    for fault in ["trap", "loop", "memory"] {
        assert_eq!(attempt("okay"), 230);
        assert_eq!(attempt(fault), 421, "{fault}");
    }
    assert_eq!(attempt("okay"), 230);
}

#[test]
fn so_many_at_once_and_the_others_wait() {
    // A login takes the one instance for its computing time; the others come one after the other.
    let more = "[plugin.limits]\ninstances = 1\ncpu-time = \"300ms\"\npool-wait = \"20s\"\n";
    let server = Setup::new()
        .plugin("faulty", &built("faulty-authenticator"), more)
        .users_plugin()
        .start();
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = server.secure(&Tls::new());
                client.send("USER loop").expect(331);
                client.send("PASS x").expect(421);
            });
        }
    });
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1200), "{took:?}");
    assert!(!server.log().contains("no instance became free"));
}

#[test]
fn who_waits_too_long_is_refused_for_now() {
    let more = "[plugin.limits]\ninstances = 1\ncpu-time = \"3s\"\npool-wait = \"100ms\"\n";
    let mut server = Setup::new()
        .plugin("faulty", &built("faulty-authenticator"), more)
        .users_plugin()
        .start();
    let mut busy = server.secure(&Tls::new());
    busy.send("USER loop").expect(331);
    busy.write("PASS x\r\n");
    eventually("refused for now", || {
        let mut client = server.secure(&Tls::new());
        client.send(&format!("USER {USER}")).expect(331);
        client.send(&format!("PASS {USER}")).code == 421
    });
    server.wait_for_line(|line| line.contains("see limits.instances"));
    busy.reply().expect(421);
    server.login();
}

#[test]
fn waiting_for_a_pooled_instance_ends_when_one_is_put_back() {
    let more = "instances = \"pool\"\n[plugin.limits]\ninstances = 2\n";
    let server = calls(more).start();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..8 {
                    server.login().send("QUIT").expect(221);
                }
            });
        }
    });
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

#[test]
fn only_path_guards_are_kept_by_sessions() {
    let setup = calls("instances = \"per-session\"");
    let (status, said) = setup.run(&["check"]);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("plugin[0].instances"), "{said}");
    assert!(said.contains("config.toml:4"), "{said}");

    for instances in ["per-call", "per-session", "pool"] {
        let server = Setup::new()
            .users_plugin()
            .plugin(
                "rules",
                "builtin:rules",
                &format!(
                    "instances = {instances:?}\nsettings.default = \"allow\"\nsettings.rules = []"
                ),
            )
            .start();
        let mut client = server.login();
        for _ in 0..3 {
            client.store("STOR a", b"x").expect(226);
            client.send("DELE a").expect(250);
        }
    }
}
