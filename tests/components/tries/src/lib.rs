//! An authenticator that tries to reach outside of its sandbox, in the way that the user's name
//! says, and denies with what came of it.

#![cfg(target_arch = "wasm32")]

mod files;
mod network;
mod secure;
mod web;

wit_bindgen::generate!({ world: "authenticator", path: "../../../wit" });

use exports::portcullis::plugin::authentication::{Credentials, Failure, Guest, Outcome};
use portcullis::plugin::log::{self, Level};
use portcullis::plugin::settings;
use portcullis::plugin::types::Session;

struct Tries;
export!(Tries);

/// What an action comes to, as a text.
type Told = Result<String, String>;

impl Guest for Tries {
    fn authenticate(_session: Session, credentials: Credentials) -> Result<Outcome, Failure> {
        std::panic::set_hook(Box::new(|panic| {
            log::write(Level::Error, &panic.to_string())
        }));
        let action = settings::get("action").unwrap_or(credentials.user);
        let words: Vec<&str> = action.split(' ').collect();
        let told = match words.as_slice() {
            ["tcp", address] => network::tcp(address),
            ["name", name] => network::name(name),
            ["bind", address] => network::bind(address),
            ["listen", address] => network::listen(address),
            ["udp"] => network::udp(),
            ["lookup", name] => network::lookup(name),
            ["tls", address, name] => secure::tls(address, name),
            ["http", url] => web::ask(url, 0),
            ["http", url, length] => web::ask(url, length.parse().unwrap_or(0)),
            ["hurry", url] => web::hurry(url),
            ["many", url] => web::many(url),
            ["read", path] => files::read(path),
            ["write", path] => files::write(path),
            ["delete", path] => files::delete(path),
            ["list", path] => files::list(path),
            ["variables"] => files::variables(),
            _ => return Ok(Outcome::Abstain),
        };
        Ok(Outcome::Deny(
            told.unwrap_or_else(|error| format!("error: {error}")),
        ))
    }
}
