//! One address or one account that tries to shut out the others.
//!
//! Small here; `PORTCULLIS_ATTACK=30 cargo test --test attacks` makes it so many times as large.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs
)]

#[path = "../support/mod.rs"]
mod support;

mod logins;
mod open_files;

/// How many times as large as usual.
fn scale() -> usize {
    std::env::var("PORTCULLIS_ATTACK").map_or(1, |scale| scale.parse().unwrap())
}
