//! The contract of `wit/` as Rust types: the one edge with generated code.
//!
//! The imports of plugins are generated once, in [`imports`]; the bindings of each world refer to it,
//! so that one implementation serves all of them and a session is the same type everywhere.

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
            // These wait where several servers share what is kept.
            "portcullis:plugin/state": async | trappable,
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
