//! An authenticator that hears of events: it logs each, and lets nobody in once so many logins have
//! failed. The setting `notify` makes it fail at that, the user `calls` tells how often this
//! instance was called.

#![cfg(target_arch = "wasm32")]

wit_bindgen::generate!({ world: "authenticator-listener", path: "../../../wit" });

use exports::portcullis::plugin::authentication::{
    Credentials, Failure, Guest as Authentication, Outcome,
};
use exports::portcullis::plugin::events::Guest as Events;
use portcullis::plugin::log::{self, Level};
use portcullis::plugin::types::Session;
use portcullis::plugin::{settings, state};
use std::cell::Cell;

thread_local! {
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

struct Listens;
export!(Listens);

impl Authentication for Listens {
    fn authenticate(_session: Session, credentials: Credentials) -> Result<Outcome, Failure> {
        if credentials.user == "calls" {
            let calls = CALLS.get() + 1;
            CALLS.set(calls);
            return Ok(Outcome::Deny(format!("call {calls} of this instance")));
        }
        let failed = state::get("login-failed").and_then(|count| String::from_utf8(count).ok());
        let failed = failed
            .and_then(|count| count.parse().ok())
            .unwrap_or(0_u32);
        let limit = settings::get("failures").and_then(|limit| limit.parse().ok());
        Ok(match limit {
            Some(limit) if failed >= limit => Outcome::Deny(format!("{failed} failures")),
            _ => Outcome::Abstain,
        })
    }
}

impl Events for Listens {
    fn notify(events: Vec<String>) -> Result<(), Failure> {
        match settings::get("notify").as_deref() {
            Some("trap") => panic!("a trap on purpose"),
            Some("unavailable") => return Err(Failure::Unavailable("on purpose".into())),
            Some("loop") => loop {
                CALLS.set(CALLS.get().wrapping_add(1));
            },
            _ => {}
        }
        for event in events {
            log::write(Level::Info, &format!("heard {event}"));
            if event.contains(r#""event":"login-failed""#) {
                state::add("login-failed", 1, None);
            }
        }
        Ok(())
    }
}
