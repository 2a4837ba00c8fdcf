//! The services that plugins reach outside of their sandbox, and those that they do not: over real
//! connections to servers on this machine.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs
)]

#[path = "../support/mod.rs"]
mod support;

mod files;
mod network;
mod plugin;
mod secure;
mod services;
mod start;
mod web;

use std::path::PathBuf;

/// A component of the tests.
fn built(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/components/built")
        .join(name)
        .with_extension("wasm");
    assert!(
        path.exists(),
        "tests/components/built/{name}.wasm is missing"
    );
    path.to_str().unwrap().to_owned()
}
