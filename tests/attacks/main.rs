//! One address or one account that tries to shut out the others.
//!
//! Small here; `PORTCULLIS_ATTACK=10 cargo test --test attacks` makes it so many times as large.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs
)]

#[path = "../support/mod.rs"]
mod support;

mod compiling;
mod logins;
mod memory;
mod open_files;
mod plugins;
mod uploads;
mod walls;

use support::Client;

/// How many times as large as usual.
fn scale() -> usize {
    std::env::var("PORTCULLIS_ATTACK").map_or(1, |scale| scale.parse().unwrap())
}

/// How many of them have not been answered yet.
fn waiting(clients: &[Client]) -> usize {
    let silent = |client: &&Client| {
        let socket = client.socket();
        socket.set_nonblocking(true).unwrap();
        let silent = socket.peek(&mut [0]).is_err();
        socket.set_nonblocking(false).unwrap();
        silent
    };
    clients.iter().filter(silent).count()
}
