//! Several servers that share state in a Redis, which goes and comes back.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs
)]

#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code)]
#[path = "../objects/engine.rs"]
mod bucket;

mod away;
mod balanced;
mod check;
mod engine;
mod quotas;
mod shared;

use support::{Client, Reply, Server, Setup, Tls};

/// The same with `lockout` before the users, and a user "bob".
fn with_lockout(setup: Setup, lines: &str) -> Setup {
    let lines = format!("settings.max-failures-per-user = 3\n{lines}");
    setup
        .user("bob", "")
        .plugin("lockout", "builtin:lockout", &lines)
        .users_plugin()
}

/// USER and PASS on a connection of their own: the connection, and the last reply.
#[track_caller]
fn log_in(server: &Server, user: &str, password: &str) -> (Client, Reply) {
    let mut client = server.secure(&Tls::new());
    client.send(&format!("USER {user}")).expect(331);
    let reply = client.send(&format!("PASS {password}"));
    (client, reply)
}

#[track_caller]
fn attempt(server: &Server, user: &str, password: &str) -> Reply {
    log_in(server, user, password).1
}

/// The answer of a command to the server.
#[track_caller]
fn ask(server: &Server, words: &[&str]) -> String {
    let (status, said) = server.setup().run(words);
    assert_eq!(status, 0, "{words:?}: {said}");
    said
}
