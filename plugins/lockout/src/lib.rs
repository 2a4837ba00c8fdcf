//! Keeps guessers out for a while:
//!
//! ```toml
//! max-failures-per-user = 10          # of one user from one address; 0 is no limit
//! max-failures-per-address = 50       # of all users from one address
//! max-failures-per-user-anywhere = 0  # of one user from all addresses
//! window = "10m"                      # in which they are counted
//! lock-time = "15m"                   # doubled with each lock within a day
//! longest-lock = "24h"
//! exempt = ["192.0.2.0/24"]           # nobody is counted who comes from there
//! ```
//!
//! It stands before the other authenticators and abstains, or denies; what became of an attempt it
//! hears as an event. How both are counted is in `guard.rs`.

pub mod event;
pub mod guard;
pub mod settings;

// Clippy reads it on any target; elsewhere it could not be linked.
#[cfg(any(target_arch = "wasm32", clippy))]
mod guest;
