//! Asks an HTTP service who a client is:
//!
//! ```toml
//! url = "https://auth.example.org/login"          # has to be granted to the plugin, too
//! headers = { Authorization = "Bearer …" }        # with each request
//! timeout = 4                                     # seconds; less than the call's wall time
//! cache-seconds = 0                               # for which an acceptance is remembered
//! cache-denials-seconds = 0                       # for which a denial is
//! ```
//!
//! What is asked is in `question.rs`, what may be answered in `answer.rs`.

pub mod answer;
pub mod login;
pub mod question;
pub mod settings;

// Clippy reads it on any target; elsewhere it could not be linked.
#[cfg(any(target_arch = "wasm32", clippy))]
mod guest;
