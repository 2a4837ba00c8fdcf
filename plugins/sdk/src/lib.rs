//! What the plugins share: bindings for each world, settings with errors that name the key, accounts
//! and patterns as operators write them, and a panic hook.
//!
//! ```ignore
//! use sdk::authenticator::{Credentials, Failure, Guest, Outcome, Session};
//!
//! struct Users;
//! sdk::authenticator::export!(Users);
//!
//! impl Guest for Users {
//!     fn authenticate(session: Session, credentials: Credentials) -> Result<Outcome, Failure> {
//!         sdk::log_panics();
//!         …
//!     }
//! }
//!
//! // Besides, what is said of the settings when the plugin is loaded.
//! sdk::settings_check::export!(Users);
//!
//! impl sdk::settings_check::Guest for Users {
//!     fn check() -> Result<(), Vec<sdk::settings_check::Problem>> {
//!         sdk::settings_check::checked(Settings::parse(&sdk::settings::all()))
//!     }
//! }
//! ```

#[doc(hidden)]
pub mod bindings;
mod grant;
mod networks;
pub mod pattern;
pub mod settings_check;
mod table;
mod units;

pub use bindings::portcullis::plugin::{log, passwords, settings, state, types};
pub use grant::{Grant, Permission, is_file_name};
pub use networks::Networks;
pub use pattern::Pattern;
pub use table::{Error, Map, Table, Value};

/// Takes the memory that the instance has from its beginning before it asks for more: growing costs
/// the server a change of the page tables that all of its threads wait for, in each call.
#[cfg(target_family = "wasm")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// The world `authenticator`.
pub mod authenticator {
    pub use crate::bindings::authenticator::export;
    pub use crate::bindings::authenticator::exports::portcullis::plugin::authentication::*;
}

/// The world `event-listener`.
pub mod event_listener {
    pub use crate::bindings::event_listener::export;
    pub use crate::bindings::event_listener::exports::portcullis::plugin::events::*;
}

/// The world `path-guard`.
pub mod path_guard {
    pub use crate::bindings::path_guard::export;
    pub use crate::bindings::path_guard::exports::portcullis::plugin::path_policy::*;
}

/// The world `upload-inspector`.
pub mod upload_inspector {
    pub use crate::bindings::upload_inspector::export;
    pub use crate::bindings::upload_inspector::exports::portcullis::plugin::upload_inspection::*;
}

/// Has panics told to the server's log: there is no standard error, where they go otherwise.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        log::write(log::Level::Error, &panic.to_string());
    }));
}
