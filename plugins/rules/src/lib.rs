//! Allows, denies and hides by an ordered list of rules, of which the first that matches decides:
//!
//! ```toml
//! [path-guards.settings]
//! default = "deny"                        # where no rule matches; "allow" unless it is there
//! rules = [
//!     { effect = "hide", paths = ["**/.*", "**/.*/**"] },
//!     { effect = "allow", groups = ["staff"] },
//!     { effect = "allow", operations = ["read"] },
//!     { effect = "allow", operations = ["create"], paths = ["/incoming/{user}/**"] },
//!     { effect = "deny", operations = ["write"], reason = "Only new files in your own folder" },
//! ]
//! ```
//!
//! The forms of a path's pattern are in `sdk::pattern`, what a rule may say in `rule.rs`, and how a
//! path is decided in `decide.rs`.

pub mod decide;
pub mod operation;
pub mod rule;

// Clippy reads it on any target; elsewhere it could not be linked.
#[cfg(any(target_arch = "wasm32", clippy))]
mod guest;
