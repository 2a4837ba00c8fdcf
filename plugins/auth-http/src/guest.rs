//! The plugin as the server sees it.

use crate::answer::Answer;
use crate::login::{self, Server};
use crate::question::Question;
use crate::settings::Settings;
use net::http::{self, Request};
use net::{Service, random};
use sdk::authenticator::{Credentials, Failure, Guest, Outcome, Session};
use sdk::settings_check::{self, Problem};
use sdk::{settings, state};

struct AuthHttp;
sdk::authenticator::export!(AuthHttp);
settings_check::export!(AuthHttp);

impl Guest for AuthHttp {
    fn authenticate(session: Session, credentials: Credentials) -> Result<Outcome, Failure> {
        sdk::log_panics();
        let settings = Settings::parse(&settings::all()).map_err(Failure::Internal)?;
        let question = Question {
            user: credentials.user,
            password: credentials.password,
            one_time_code: credentials.one_time_code,
            client_address: session.client_address(),
            host: session.host(),
            tls_version: session.tls_version(),
            certificate_subject: session.client_certificate_subject(),
            certificate_sha256: session.client_certificate_sha256(),
        };
        let server = Asking {
            service: &settings.service,
        };
        match login::authenticate(&settings, &server, &question) {
            Ok(Answer::Accept(grant)) => Ok(Outcome::Accept(grant.account())),
            Ok(Answer::Deny(reason)) => Ok(Outcome::Deny(reason)),
            Ok(Answer::Challenge(prompt)) => Ok(Outcome::Challenge(prompt)),
            Ok(Answer::Abstain) => Ok(Outcome::Abstain),
            Err(what) => Err(Failure::Unavailable(what)),
        }
    }
}

impl settings_check::Guest for AuthHttp {
    fn check() -> Result<(), Vec<Problem>> {
        sdk::log_panics();
        settings_check::checked(Settings::parse(&settings::all()))
    }
}

struct Asking<'a> {
    service: &'a Service,
}

impl Server for Asking<'_> {
    fn ask(&self, body: &str) -> Result<(u16, Vec<u8>), String> {
        let answer = http::post(&Request {
            url: &self.service.url,
            headers: &self.service.headers,
            body: body.as_bytes(),
            timeout: self.service.timeout,
        })?;
        Ok((answer.status, answer.body))
    }

    fn get(&self, key: &str) -> Option<Vec<u8>> {
        state::get(key)
    }

    fn set(&self, key: &str, value: &[u8], seconds: Option<u32>) {
        state::set(key, value, seconds);
    }

    fn random(&self) -> Vec<u8> {
        random(32)
    }
}
