//! Lets in the users of a table, or of a file that the server reads for it:
//!
//! ```toml
//! [authenticators.settings]
//! users = { file = "users.toml" }
//! anonymous = { home = "/public" }    # off unless it is there
//! ```
//!
//! What can be said of a user is in `entry.rs`, who is let in is decided in `login.rs`.

pub mod certificate;
pub mod entry;
pub mod login;

// Clippy reads it on any target; elsewhere it could not be linked.
#[cfg(any(target_arch = "wasm32", clippy))]
mod guest;
