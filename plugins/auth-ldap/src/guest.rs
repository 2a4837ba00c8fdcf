//! The plugin as the server sees it.

use crate::client::{Client, Error, Stream};
use crate::login::{self, Directory, Network};
use crate::message::{self, Entry, Search};
use crate::settings::{Security, Server, Settings};
use net::{Deadline, tcp, tls};
use sdk::authenticator::{Credentials, Failure, Guest, Outcome, Session};
use sdk::settings;
use sdk::settings_check::{self, Problem};

struct Ldap;
sdk::authenticator::export!(Ldap);
settings_check::export!(Ldap);

impl Guest for Ldap {
    fn authenticate(_: Session, credentials: Credentials) -> Result<Outcome, Failure> {
        sdk::log_panics();
        let settings = Settings::parse(&settings::all()).map_err(Failure::Internal)?;
        let network = Granted {
            settings: &settings,
            deadline: Deadline::after(settings.timeout),
        };
        let password = credentials.password.as_deref();
        match login::authenticate(&settings, &network, &credentials.user, password) {
            Ok(login::Outcome::Accept(grant)) => Ok(Outcome::Accept(grant.account())),
            Ok(login::Outcome::Deny(reason)) => Ok(Outcome::Deny(reason)),
            Ok(login::Outcome::Abstain) => Ok(Outcome::Abstain),
            Err(login::Failure::Unavailable(what)) => Err(Failure::Unavailable(what)),
            Err(login::Failure::Internal(what)) => Err(Failure::Internal(what)),
        }
    }
}

impl settings_check::Guest for Ldap {
    fn check() -> Result<(), Vec<Problem>> {
        sdk::log_panics();
        settings_check::checked(Settings::parse(&settings::all()))
    }
}

struct Granted<'a> {
    settings: &'a Settings,
    deadline: Deadline,
}

impl Network for Granted<'_> {
    type Directory = Client<Box<dyn Stream>>;

    fn connect(&self, server: &Server, left: u32) -> Result<Self::Directory, Error> {
        // What is left of the time is for the others, too.
        let share = self.deadline.left() / left.saturating_add(1);
        let plain = tcp::connect(&server.host, server.port, Deadline::after(share))?;
        let name = self.settings.tls_name.as_deref().unwrap_or(&server.host);
        let stream: Box<dyn Stream> = match server.security {
            Security::None => Box::new(plain),
            Security::Tls => Box::new(tls::connect(plain, name)?),
            Security::StartTls => {
                let plain = Client::new(plain).start_tls()?;
                Box::new(tls::connect(plain, name)?)
            }
        };
        Ok(Client::new(stream))
    }
}

impl Directory for Client<Box<dyn Stream>> {
    fn bind(&mut self, dn: &str, password: &str) -> Result<Option<message::Outcome>, Error> {
        self.bind(dn, password)
    }

    fn search(&mut self, search: &Search) -> Result<Vec<Entry>, Error> {
        self.search(search)
    }

    fn end(self) {
        self.end();
    }
}
