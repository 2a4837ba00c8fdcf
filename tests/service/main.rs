//! Messages to a service manager, and the sockets that it passes: the test is the manager.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs
)]

#[path = "../support/mod.rs"]
mod support;

mod load;
mod manager;
mod notified;
mod restarts;
mod sockets;
mod taken_over;
