//! The plugin as the server sees it.

use crate::login::{self, Codes};
use crate::settings::Settings;
use accounts::certificate::Shown;
use accounts::check::{self, check};
use accounts::login::Server;
use sdk::authenticator::{Credentials, Failure, Guest, Outcome, Session};
use sdk::settings_check::{self, Problem};
use sdk::{passwords, settings, state};

struct Totp;
sdk::authenticator::export!(Totp);
settings_check::export!(Totp);

impl Guest for Totp {
    fn authenticate(session: Session, credentials: Credentials) -> Result<Outcome, Failure> {
        sdk::log_panics();
        let settings = Settings::parse(settings::get).map_err(Failure::Internal)?;
        let outcome = login::authenticate(
            &settings,
            &Connected { session },
            &credentials.user,
            credentials.password.as_deref(),
            credentials.one_time_code.as_deref(),
        );
        Ok(match outcome.map_err(Failure::Internal)? {
            login::Outcome::Accept(grant) => Outcome::Accept(grant.account()),
            login::Outcome::Deny(reason) => Outcome::Deny(reason.into()),
            login::Outcome::Challenge => Outcome::Challenge(settings.prompt),
            login::Outcome::Abstain => Outcome::Abstain,
        })
    }
}

impl settings_check::Guest for Totp {
    fn check() -> Result<(), Vec<Problem>> {
        sdk::log_panics();
        let read = Settings::parse(settings::get);
        let others = Settings::KEYS;
        let errors = match &read {
            Err(error) => [vec![error.clone()], check(&All, others, |_, _| Ok(()))].concat(),
            Ok(settings) => check(&All, others, |user, entry| match entry.totp {
                Some(totp) => settings.generator(user, totp).map(drop),
                None => Ok(()),
            }),
        };
        settings_check::found(&errors)
    }
}

struct Connected {
    session: Session,
}

impl Server for Connected {
    fn user(&self, name: &str) -> Option<String> {
        settings::lookup("users", name)
    }

    fn group(&self, name: &str) -> Option<String> {
        settings::lookup("groups", name)
    }

    fn anonymous(&self) -> Option<String> {
        settings::get("anonymous")
    }

    fn verify(&self, password: &str, hash: &str) -> Result<bool, String> {
        passwords::verify(password, hash)
    }

    fn certificate(&self) -> Shown {
        Shown {
            subject: self.session.client_certificate_subject(),
            sha256: self.session.client_certificate_sha256(),
        }
    }

    fn address(&self) -> String {
        self.session.client_address()
    }

    fn now(&self) -> u64 {
        net::unix_time()
    }

    fn has_second_factors(&self) -> bool {
        true
    }
}

impl Codes for Connected {
    fn take(&self, user: &str, period: u64, seconds: u32) -> Result<bool, String> {
        // A use that cannot be remembered is none: the code would be good for another one.
        let uses = state::try_add(&format!("{period} {user}"), 1, Some(seconds));
        let uses = uses.map_err(|()| "no room to remember that the code was used")?;
        Ok(uses == 1)
    }
}

struct All;

impl check::Settings for All {
    fn keys(&self, table: &str) -> Option<Vec<String>> {
        settings::keys(table)
    }

    fn user(&self, name: &str) -> Option<String> {
        settings::lookup("users", name)
    }

    fn group(&self, name: &str) -> Option<String> {
        settings::lookup("groups", name)
    }

    fn anonymous(&self) -> Option<String> {
        settings::get("anonymous")
    }
}
