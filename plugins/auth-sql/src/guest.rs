//! The plugin as the server sees it.

use crate::login::{self, Network};
use crate::settings::{Kind, Server, Settings};
use crate::wire::{Error, Found, Question, Stream};
use crate::{mysql, postgres};
use accounts::certificate::Shown;
use accounts::login::{Outcome as Decided, Server as Client};
use net::{Deadline, tcp, tls};
use sdk::authenticator::{Credentials, Failure, Guest, Outcome, Session};
use sdk::settings_check::{self, Problem};
use sdk::{passwords, settings};

struct Sql;
sdk::authenticator::export!(Sql);
settings_check::export!(Sql);

impl Guest for Sql {
    fn authenticate(session: Session, credentials: Credentials) -> Result<Outcome, Failure> {
        sdk::log_panics();
        let settings = Settings::parse(&settings::all()).map_err(Failure::Internal)?;
        let password = credentials.password.as_deref();
        // Without either there is nothing to compare with a row.
        if password.is_none() && session.client_certificate_sha256().is_none() {
            return Ok(Outcome::Abstain);
        }
        let network = Granted {
            settings: &settings,
            deadline: Deadline::after(settings.timeout),
        };
        let client = |entry| Connected { session, entry };
        match login::authenticate(&settings, &network, &credentials.user, password, client) {
            Ok(Decided::Accept(grant)) => Ok(Outcome::Accept(grant.account())),
            Ok(Decided::Deny(reason)) => Ok(Outcome::Deny(reason.into())),
            Ok(Decided::Abstain) => Ok(Outcome::Abstain),
            Err(login::Failure::Unavailable(what)) => Err(Failure::Unavailable(what)),
            Err(login::Failure::Internal(what)) => Err(Failure::Internal(what)),
        }
    }
}

impl settings_check::Guest for Sql {
    fn check() -> Result<(), Vec<Problem>> {
        sdk::log_panics();
        settings_check::checked(Settings::parse(&settings::all()))
    }
}

/// The client, and its row.
struct Connected {
    session: Session,
    entry: Option<String>,
}

impl Client for Connected {
    fn user(&self, _: &str) -> Option<String> {
        self.entry.clone()
    }

    /// The query can join what groups have.
    fn group(&self, _: &str) -> Option<String> {
        None
    }

    fn anonymous(&self) -> Option<String> {
        None
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

struct Granted<'a> {
    settings: &'a Settings,
    deadline: Deadline,
}

impl Network for Granted<'_> {
    fn look_up(&self, server: &Server, left: u32, name: &str) -> Result<Found, Error> {
        // The time that is left is for the others, too.
        let share = self.deadline.left() / left.saturating_add(1);
        let mut plain = tcp::connect(&server.host, server.port, Deadline::after(share))?;
        let settings = self.settings;
        let question = Question {
            database: &server.database,
            user: &settings.user,
            password: &settings.password,
            encrypted: settings.tls,
            query: &settings.query,
            name,
        };
        let tls_name = settings.tls_name.as_deref().unwrap_or(&server.host);
        match settings.kind {
            Kind::Postgres => {
                let mut stream: Box<dyn Stream> = match settings.tls {
                    true => Box::new(tls::connect(postgres::request_tls(plain)?, tls_name)?),
                    false => Box::new(plain),
                };
                let random = u64::try_from(postgres::RANDOM).unwrap_or_default();
                postgres::look_up(&mut stream, &question, &net::random(random))
            }
            Kind::Mysql => {
                let greeting = mysql::greet(&mut plain)?;
                let mut stream: Box<dyn Stream> = match settings.tls {
                    true => {
                        mysql::request_tls(&mut plain, &greeting)?;
                        Box::new(tls::connect(plain, tls_name)?)
                    }
                    false => Box::new(plain),
                };
                mysql::look_up(&mut stream, &greeting, &question)
            }
        }
    }
}
