//! Turns away uploads by name, size and content:
//!
//! ```toml
//! [upload-inspectors.settings]
//! max-size = "2GiB"                   # none unless it is there
//! deny-extensions = ["exe", "com"]    # in any case
//! allow-extensions = ["pdf", "png"]   # when it is there, no other; "" is for names without one
//! all-extensions = false              # look at "exe" in x.exe.txt, too
//! deny-names = ["~$*", "*.tmp"]       # patterns of the name alone, in any case
//! content = true                      # a PNG image has to be one, a text no program
//! eicar = true                        # the harmless test file that virus scanners find
//! action = "reject"                   # or "quarantine", for what the content gives away
//! ```
//!
//! Names and sizes are always turned away: there is nothing in them for a person to look at.

pub mod eicar;
pub mod kind;
pub mod name;
pub mod scan;
pub mod settings;

// Clippy reads it on any target; elsewhere it could not be linked.
#[cfg(any(target_arch = "wasm32", clippy))]
mod guest;
