//! Lets in the users of a table, or of a file that the server reads for it:
//!
//! ```toml
//! [authenticators.settings]
//! users = { file = "users.toml" }
//! groups.staff = { quota = "10GiB" }  # of users in that group who have none of their own
//! anonymous = { home = "/public" }    # off unless it is there
//! ```
//!
//! What can be said of a user, and who is let in, is in the crate `accounts`.

// Clippy reads it on any target; elsewhere it could not be linked.
#[cfg(any(target_arch = "wasm32", clippy))]
mod guest;
