//! The tools of every test: the real server in a directory of its own, and a small FTP client that
//! does just what it is told, also what no good client would do.
#![allow(dead_code, unused_imports)]

pub mod client;
pub mod component;
pub mod data;
pub mod hello;
pub mod port;
pub mod program;
pub mod server;
pub mod tls;

pub use client::{Client, Reply};
pub use component::slow_component;
pub use data::{Data, read_all};
pub use port::free_port;
pub use server::{Server, Setup, USER};
pub use tls::{Authority, Tls, Version};

use std::time::{Duration, Instant};

/// Nothing in these tests takes this long on any machine: whoever waits longer hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The EICAR test string, in two halves, so that no scanner takes this file for a find.
pub fn eicar() -> Vec<u8> {
    [
        r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-",
        "STANDARD-ANTIVIRUS-TEST-FILE!$H+H*",
    ]
    .concat()
    .into_bytes()
}

/// Bytes without a pattern that a wrong offset would repeat.
pub fn content(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Waits until `condition` holds.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
