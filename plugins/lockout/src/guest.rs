//! The plugin as the server sees it.

use crate::event::Ended;
use crate::guard::{self, Attempt, Server};
use crate::settings::Settings;
use bindings::exports::portcullis::plugin::{authentication, events};
use sdk::log::{self, Level};
use sdk::settings_check::{self, Problem};
use sdk::types::{Failure, Session};
use sdk::{settings, state};
use std::time::Duration;

#[expect(unsafe_code, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        world: "authenticator-listener",
        path: "../../wit",
        with: {
            "portcullis:plugin/log@0.1.0": sdk::log,
            "portcullis:plugin/passwords@0.1.0": sdk::passwords,
            "portcullis:plugin/settings@0.1.0": sdk::settings,
            "portcullis:plugin/state@0.1.0": sdk::state,
            "portcullis:plugin/types@0.1.0": sdk::types,
        },
    });

    export!(Lockout with_types_in self);
    use super::Lockout;
}

const PAUSE: Duration = Duration::from_millis(50);

struct Lockout;
settings_check::export!(Lockout);

impl authentication::Guest for Lockout {
    fn authenticate(
        session: Session,
        credentials: authentication::Credentials,
    ) -> Result<authentication::Outcome, Failure> {
        sdk::log_panics();
        // A certificate cannot be guessed.
        if credentials.password.is_none() {
            return Ok(authentication::Outcome::Abstain);
        }
        let settings = Settings::parse(&settings::all()).map_err(Failure::Internal)?;
        let attempt = Attempt {
            user: &credentials.user,
            address: &session.client_address(),
            session: &session.id(),
        };
        // The answer to a challenge belongs to an attempt that was counted with its password.
        let counted = credentials.one_time_code.is_none();
        Ok(match guard::admit(&settings, &State, attempt, counted) {
            Ok(()) => authentication::Outcome::Abstain,
            Err(reason) => authentication::Outcome::Deny(reason),
        })
    }
}

impl settings_check::Guest for Lockout {
    fn check() -> Result<(), Vec<Problem>> {
        sdk::log_panics();
        settings_check::checked(Settings::parse(&settings::all()))
    }
}

impl events::Guest for Lockout {
    fn notify(events: Vec<events::Event>) -> Result<(), Failure> {
        sdk::log_panics();
        let settings = Settings::parse(&settings::all()).map_err(Failure::Internal)?;
        for event in events.iter().filter_map(|event| Ended::parse(event)) {
            for line in guard::ended(&settings, &State, &event) {
                log::write(Level::Warn, &line);
            }
        }
        Ok(())
    }
}

struct State;

impl Server for State {
    fn count(&self, key: &str) -> i64 {
        let text = state::get(key).and_then(|value| String::from_utf8(value).ok());
        text.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    fn add(&self, key: &str, delta: i64, seconds: u32) -> i64 {
        state::count(key, delta, Some(seconds))
    }

    fn add_lasting(&self, key: &str, delta: i64, seconds: u32) -> i64 {
        state::add(key, delta, Some(seconds))
    }

    fn delete(&self, key: &str) {
        state::delete(key);
    }

    fn pause(&self) {
        net::sleep(PAUSE);
    }
}
