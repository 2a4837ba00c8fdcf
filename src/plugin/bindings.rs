//! The contract of `wit/` as Rust types: the one edge with generated code.
//!
//! What plugins import is generated once, in [`imports`]; each world refers to it, so that one
//! implementation serves all of them and a session is the same type everywhere.

#![allow(
    missing_docs,
    reason = "the contract in wit/ documents what is generated from it"
)]

pub mod imports {
    wasmtime::component::bindgen!({
        inline: "
            package portcullis:embedding;
            world imports {
                include portcullis:plugin/host@0.1.0;
                import portcullis:plugin/types@0.1.0;
                import portcullis:plugin/uploads@0.1.0;
            }
        ",
        path: "wit",
        imports: {
            // The only calls that wait. To the guest they are ordinary ones: its fiber is parked.
            "portcullis:plugin/uploads.[method]upload.read": async | trappable,
            "portcullis:plugin/uploads.[method]upload.drain": async | trappable,
            "portcullis:plugin/uploads.[method]upload.sha256": async | trappable,
            "portcullis:plugin/passwords.verify": async | trappable,
            // A handle that is not in the table is a trap, not a panic.
            default: trappable,
        },
        with: {
            "portcullis:plugin/types.session": crate::plugin::resources::Session,
            "portcullis:plugin/types.account": crate::plugin::resources::Account,
            "portcullis:plugin/uploads.upload": crate::gate::upload::Upload,
        },
    });
}

pub mod authenticator {
    wasmtime::component::bindgen!({
        world: "portcullis:plugin/authenticator",
        path: "wit",
        exports: { default: async },
        ownership: Borrowing { duplicate_if_necessary: false },
        with: { "portcullis:plugin": crate::plugin::bindings::imports::portcullis::plugin },
    });
}

pub mod path_guard {
    wasmtime::component::bindgen!({
        world: "portcullis:plugin/path-guard",
        path: "wit",
        exports: { default: async },
        ownership: Borrowing { duplicate_if_necessary: false },
        with: { "portcullis:plugin": crate::plugin::bindings::imports::portcullis::plugin },
    });
}

pub mod upload_inspector {
    wasmtime::component::bindgen!({
        world: "portcullis:plugin/upload-inspector",
        path: "wit",
        exports: { default: async },
        ownership: Borrowing { duplicate_if_necessary: false },
        with: { "portcullis:plugin": crate::plugin::bindings::imports::portcullis::plugin },
    });
}

pub mod event_listener {
    wasmtime::component::bindgen!({
        world: "portcullis:plugin/event-listener",
        path: "wit",
        exports: { default: async },
        ownership: Borrowing { duplicate_if_necessary: false },
        with: { "portcullis:plugin": crate::plugin::bindings::imports::portcullis::plugin },
    });
}

/// What a component says of its settings, whatever else it is.
pub mod settings_checker {
    wasmtime::component::bindgen!({
        world: "portcullis:plugin/settings-checker",
        path: "wit",
        exports: { default: async },
    });
}

use imports::portcullis::plugin::types::Failure;

/// `bindgen` does this only where a world returns it as an error, and [`imports`] has no such call.
impl std::error::Error for Failure {}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unavailable(why) => write!(formatter, "unavailable: {why}"),
            Self::Internal(why) => write!(formatter, "internal: {why}"),
        }
    }
}
