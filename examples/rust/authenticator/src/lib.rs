//! Lets one user in: "demo", with the password whose hash is in the settings, and with a one-time
//! code on top where the settings have one.

wit_bindgen::generate!({ world: "checked-authenticator", path: "wit" });

use exports::portcullis::plugin::authentication::{Credentials, Failure, Guest, Outcome};
use exports::portcullis::plugin::settings_check::{Guest as SettingsCheck, Problem};
use portcullis::plugin::log::{self, Level};
use portcullis::plugin::types::{Account, Permissions, Session};
use portcullis::plugin::{passwords, settings};

struct Demo;
export!(Demo);

impl Guest for Demo {
    fn authenticate(session: Session, credentials: Credentials) -> Result<Outcome, Failure> {
        log_panics();
        if credentials.user != "demo" {
            return Ok(Outcome::Abstain); // not ours: the next plugin may know the user
        }
        let Some(password) = credentials.password else {
            return Ok(Outcome::Deny("no password".into()));
        };

        // A failure is not a denial: it says that nobody can tell, and the client may try again.
        let hash = settings::get("password-hash")
            .ok_or_else(|| Failure::Internal("the setting password-hash is missing".into()))?;
        if !passwords::verify(&password, &hash).map_err(Failure::Internal)? {
            return Ok(Outcome::Deny("wrong password".into()));
        }

        if let Some(code) = settings::get("code") {
            match credentials.one_time_code {
                None => return Ok(Outcome::Challenge("One-time code, please".into())),
                Some(given) if given != code => return Ok(Outcome::Deny("wrong code".into())),
                Some(_) => {}
            }
        }

        let address = session.client_address();
        log::write(Level::Info, &format!("demo logs in from {address}"));

        let account = Account::new("/demo");
        account.set_permissions(Permissions::LIST | Permissions::DOWNLOAD | Permissions::UPLOAD);
        account.set_groups(&["users".into()]);
        account.set_greeting("Welcome to the demonstration");
        Ok(Outcome::Accept(account))
    }
}

/// Asked when the plugin is loaded, so that a wrong setting is found by `portcullis check`.
impl SettingsCheck for Demo {
    fn check() -> Result<(), Vec<Problem>> {
        let problem = |key: &str, reason: &str| Problem {
            key: key.into(),
            reason: reason.into(),
        };
        let mut problems = Vec::new();
        for key in settings::keys("").unwrap_or_default() {
            if !["password-hash", "code"].contains(&key.as_str()) {
                problems.push(problem(&key, "there is no such setting"));
            }
        }
        if settings::get("password-hash").is_none() {
            problems.push(problem("password-hash", "needed"));
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(problems),
        }
    }
}

/// There is no standard error here: without this a panic is a trap without a word.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        log::write(Level::Error, &panic.to_string())
    }));
}
