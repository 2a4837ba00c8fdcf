//! The memory of a session.

use crate::support::{Client, Server};

/// An idle logged-in TLS session costs at most 24 KiB.
#[test]
fn idle_sessions_are_small() {
    const SESSIONS: usize = 200;
    let server = Server::start();
    // Memory that is taken once, and by the first sessions alone.
    let first: Vec<Client> = (0..20).map(|_| server.login()).collect();
    let before = server.resident();
    let idle: Vec<Client> = (0..SESSIONS).map(|_| server.login()).collect();
    let each = server.resident().saturating_sub(before) / SESSIONS as u64;
    eprintln!("{} KiB for each idle session", each >> 10);
    assert!(
        each < (24 << 10),
        "{} KiB for each idle session",
        each >> 10
    );
    drop((first, idle));
}
