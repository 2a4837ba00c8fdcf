//! Says what uploads may contain: types, archives, the form of texts.
//!
//! ```toml
//! allow = ["pdf", "image/*", "zip"]      # no other types, by what is in the file
//! deny = ["program"]                     # the default
//! action = "reject"                      # or "quarantine"
//! archives = { depth = 3, max-entries = 10_000, max-ratio = 200, max-unpacked = "1GiB" }
//!
//! [[rules]]                              # the first that fits; what it does not say is as above
//! paths = ["/orders/{user}/**"]
//! form = "csv"
//! csv = { delimiter = ";", header = ["id", "amount"] }
//! ```
//!
//! A file is looked at while it comes, and no more of it is in memory than a piece. Where something
//! can be read in more than one way, it is refused.

pub mod csv;
pub mod gzip;
pub mod inflate;
pub mod inspect;
pub mod json;
pub mod kind;
pub mod look;
pub mod name;
pub mod reader;
#[cfg(test)]
#[allow(missing_docs)]
pub mod samples;
pub mod settings;
pub mod tar;
pub mod utf8;
pub mod zip;

// Clippy reads it on any target; elsewhere it could not be linked.
#[cfg(any(target_arch = "wasm32", clippy))]
mod guest;
