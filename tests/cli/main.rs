//! The command line, the first start, and the end.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs
)]

#[path = "../support/mod.rs"]
mod support;

mod bans;
mod check;
mod config;
mod container;
mod end;
mod import;
mod log;
mod manual;
mod messages;
mod plugin;
mod sessions;
mod start;
mod top;
mod trial;
mod users;
