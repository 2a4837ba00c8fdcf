//! The plugin as the server sees it.

use accounts::certificate::Shown;
use accounts::check::{self, check};
use accounts::login::{self, Server};
use sdk::authenticator::{Credentials, Failure, Guest, Outcome, Session};
use sdk::settings_check::{self, Problem};
use sdk::{passwords, settings};

struct Users;
sdk::authenticator::export!(Users);
settings_check::export!(Users);

impl Guest for Users {
    fn authenticate(session: Session, credentials: Credentials) -> Result<Outcome, Failure> {
        sdk::log_panics();
        let server = Connected { session };
        let password = credentials.password.as_deref();
        match login::authenticate(&server, &credentials.user, password) {
            Ok(login::Outcome::Accept(grant)) => Ok(Outcome::Accept(grant.account())),
            Ok(login::Outcome::Deny(reason)) => Ok(Outcome::Deny(reason.into())),
            Ok(login::Outcome::Abstain) => Ok(Outcome::Abstain),
            Err(what) => Err(Failure::Internal(what)),
        }
    }
}

impl settings_check::Guest for Users {
    fn check() -> Result<(), Vec<Problem>> {
        sdk::log_panics();
        settings_check::found(&check(&All, &[], |_, _| Ok(())))
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
