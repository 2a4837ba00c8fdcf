//! Counts the events that the setting "events" names, in the plugin's own state, and notes each in
//! the log.

wit_bindgen::generate!({ world: "checked-event-listener", path: "wit" });

use exports::portcullis::plugin::events::{Event, Failure, Guest};
use exports::portcullis::plugin::settings_check::{Guest as SettingsCheck, Problem};
use portcullis::plugin::log::{self, Level};
use portcullis::plugin::{settings, state};
use serde::Deserialize;

/// What matters here of an event; it has more.
#[derive(Deserialize)]
struct Happened {
    event: String,
    client: Option<String>,
}

struct Counter;
export!(Counter);

impl Guest for Counter {
    fn notify(events: Vec<Event>) -> Result<(), Failure> {
        log_panics();
        let wanted: Vec<String> = match settings::get("events") {
            Some(names) => serde_json::from_str(&names).map_err(internal)?,
            None => Vec::new(),
        };
        // First all, then the rest: a broken event counts nothing.
        let happened: Result<Vec<Happened>, _> = events
            .iter()
            .map(|event| serde_json::from_str(event))
            .collect();
        for Happened { event, client } in happened.map_err(internal)? {
            if !wanted.contains(&event) {
                continue;
            }
            state::add(&event, 1, None);
            match client {
                Some(client) => log::write(Level::Info, &format!("{event} from {client}")),
                None => log::write(Level::Info, &event),
            }
        }
        Ok(())
    }
}

/// Asked when the plugin is loaded, so that a wrong setting is found by `portcullis check`.
impl SettingsCheck for Counter {
    fn check() -> Result<(), Vec<Problem>> {
        let problem = |key: &str, reason: &str| Problem {
            key: key.into(),
            reason: reason.into(),
        };
        let mut problems = Vec::new();
        for key in settings::keys("").unwrap_or_default() {
            if key != "events" {
                problems.push(problem(&key, "there is no such setting"));
            }
        }
        let names = settings::get("events").unwrap_or_else(|| "[]".into());
        if serde_json::from_str::<Vec<String>>(&names).is_err() {
            problems.push(problem("events", "expected a list of names"));
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(problems),
        }
    }
}

fn internal(error: serde_json::Error) -> Failure {
    Failure::Internal(error.to_string())
}

/// There is no standard error here: without this a panic is a trap without a word.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        log::write(Level::Error, &panic.to_string())
    }));
}
