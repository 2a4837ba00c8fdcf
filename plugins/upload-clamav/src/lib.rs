//! Has clamd look at every upload while it arrives:
//!
//! ```toml
//! address = "127.0.0.1:3310"          # or a list: the first that takes the connection
//! max-size = "25MiB"                  # no more is scanned; "unlimited" leaves it to clamd
//! too-large = "reject"                # or "quarantine", or "accept" after a look at the beginning
//! action = "reject"                   # or "quarantine" what is infected
//! connect-timeout = 2                 # seconds for one address
//! timeout = 60                        # seconds for clamd to take a piece, and to answer at the end
//! ```
//!
//! Each address has to be granted to the plugin, too. A file goes to clamd by its command INSTREAM;
//! no copy is made for it. What clamd was not asked about, or did not answer, is never accepted.

pub mod clamd;
pub mod scan;
pub mod settings;
#[cfg(test)]
mod stand_in;

// Clippy reads it on any target; elsewhere it could not be linked.
#[cfg(any(target_arch = "wasm32", clippy))]
mod guest;
