//! The administration over TCP: who is let in, the API, and the page in a browser.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs
)]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod api;
mod audit;
mod fail2ban;
mod http;
mod metrics;
mod page;
mod traces;
mod webdriver;

use std::{net::SocketAddr, path::Path};

use support::{Server, Setup};

/// A server with the administration on loopback.
fn setup() -> Setup {
    Setup::new().set("admin.listen", "\"127.0.0.1:0\"")
}

/// Where it is served.
fn address(server: &mut Server) -> SocketAddr {
    let line = server.wait_for_line(|line| line.contains("administration at"));
    let address = line.split("address=").nth(1).unwrap();
    address.split_whitespace().next().unwrap().parse().unwrap()
}

/// A new token.
fn token(server: &Server, name: &str, role: &str) -> String {
    let (status, said) = server.setup().run(&["token", "add", name, "--role", role]);
    assert_eq!(status, 0, "{said}");
    said.trim().to_owned()
}

/// A component for tests, as the checkout has it.
fn built(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = root.join(format!("tests/components/built/{name}.wasm"));
    file.to_str().unwrap().to_owned()
}
