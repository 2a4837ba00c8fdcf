//! An authenticator for a version of the contract that does not exist yet.

#![cfg(target_arch = "wasm32")]

wit_bindgen::generate!({ world: "authenticator", path: "wit" });

use exports::portcullis::plugin::authentication::{Credentials, Guest};

struct TooNew;
export!(TooNew);

impl Guest for TooNew {
    fn authenticate(credentials: Credentials) -> bool {
        credentials
            .password
            .is_some_and(|password| password == credentials.user)
    }
}
