//! The plugins that ship, against the real thing: an HTTP server, a directory, clocks. The
//! decisions of each are tested beside its sources.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs
)]

#[path = "../support/mod.rs"]
mod support;

mod auth_http;
mod auth_ldap;
mod auth_sql;
mod auth_totp;
mod clamd;
mod databases;
mod directory;
mod early;
mod lockout;
mod service;
mod upload_clamav;
mod upload_content;
mod webhook;

use std::process::Command;

use support::{Reply, Server, Tls};

/// Whether a program is there. Without it a test is left out, but never where CI runs.
fn installed(program: &str, package: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", "command -v \"$0\" >/dev/null", program])
        .env("PATH", path())
        .status();
    if found.is_ok_and(|status| status.success()) {
        return true;
    }
    assert_ne!(
        std::env::var("CI").as_deref(),
        Ok("true"),
        "{program} is missing: run tests/setup"
    );
    eprintln!("left out: {program} is missing (package {package})");
    false
}

/// Where programs are, those of the administrator included.
fn path() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/sbin:/usr/local/sbin")
}

/// USER and PASS on a connection of their own: the last reply.
#[track_caller]
fn attempt(server: &Server, user: &str, password: &str) -> Reply {
    let mut client = server.secure(&Tls::new());
    client.send(&format!("USER {user}")).expect(331);
    client.send(&format!("PASS {password}"))
}
