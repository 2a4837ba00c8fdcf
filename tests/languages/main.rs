//! One suite for all languages: the examples of `examples/`, built by `examples/build` into the
//! directory that the variable PORTCULLIS_EXAMPLES names.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs
)]

#[path = "../support/mod.rs"]
mod support;

mod built;
mod cases;
mod daemon;
mod from_nothing;
mod many;
mod settings;
