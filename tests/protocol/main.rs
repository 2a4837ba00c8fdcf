//! The protocol, case by case, on the real server over real sockets.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs
)]

#[path = "../support/mod.rs"]
mod support;

mod acme;
mod binding;
mod certificates;
mod close;
mod connections;
mod digests;
mod early;
mod files;
mod hostile;
mod limits;
mod link_local;
mod listings;
mod login;
mod memory;
mod one_port;
mod proxy;
mod publication;
mod renewal;
mod revocation;
mod side_by_side;
mod stapling;
mod tls;
mod tls_scan;
mod transfers;
mod upload_only;
