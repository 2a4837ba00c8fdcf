//! The plugin `users` with a second factor: codes that change with time, RFC 6238.
//!
//! ```toml
//! users = { file = "users.toml" }     # as for `users`; with totp = "BASE32" a user has codes
//! anonymous = { home = "/public" }    # as for `users`
//! required = false                    # whether users without codes stay out
//! ask = true                          # reply 332 to a right password without a code
//! prompt = "Code from your app"
//! algorithm = "SHA1"                  # or "SHA256", "SHA512"
//! digits = 6                          # 6 to 8
//! period = 30                         # seconds
//! skew = 1                            # periods that a clock may be wrong
//! ```

pub mod code;
pub mod login;
pub mod settings;

// Clippy reads it on any target; elsewhere it could not be linked.
#[cfg(any(target_arch = "wasm32", clippy))]
mod guest;
