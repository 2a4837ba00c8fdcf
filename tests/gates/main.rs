//! Plugins that fail, and what the server makes of it: the one call is refused, it is logged, and
//! no other session notices.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs
)]

#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod authenticators;
mod earlier;
mod events;
mod guards;
mod hung;
mod inspectors;
mod instances;
mod loading;
mod quarantine;
mod refusals;
mod reload;
mod secrets;
mod settings;
mod shipped;
mod verdicts;

use std::path::PathBuf;

use support::Setup;

/// A component that is made to fail.
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

/// Limits that are soon reached.
const LIMITS: &str =
    "[plugin.limits]\ncpu-time = \"200ms\"\nwall-time = \"1s\"\nmemory = \"16MiB\"\n";

/// The users plugin, behind the component that is made to fail.
fn with(kind: &str) -> Setup {
    let name = format!("faulty-{kind}");
    let setup = Setup::new().plugin(&name, &built(&name), LIMITS);
    setup.users_plugin()
}
