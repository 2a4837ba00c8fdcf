//! Files in a bucket: the server over S3 engines that people run, and over one that fails.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs
)]

#[path = "../support/mod.rs"]
mod support;

mod anywhere;
mod azure;
mod check;
mod conditions;
mod engine;
mod faults;
mod faulty;
mod files;
mod listings;
mod outages;
mod parts;
mod uploads;
