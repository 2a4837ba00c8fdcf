//! The plugin as the server sees it.

use crate::deliver::{self, Server};
use crate::settings::Settings;
use crate::sign::{delivery, signature};
use net::http::{self, Request};
use net::{Deadline, sleep};
use sdk::event_listener::{Event, Failure, Guest};
use sdk::settings;
use sdk::settings_check::{self, Problem};
use std::time::Duration;

struct Webhook;
sdk::event_listener::export!(Webhook);
settings_check::export!(Webhook);

impl Guest for Webhook {
    fn notify(events: Vec<Event>) -> Result<(), Failure> {
        sdk::log_panics();
        let settings = Settings::parse(&settings::all()).map_err(Failure::Internal)?;
        let delivery = Delivery {
            settings: &settings,
            deadline: Deadline::after(settings.give_up_after),
        };
        deliver::deliver(&settings, &delivery, &events).map_err(Failure::Unavailable)
    }
}

impl settings_check::Guest for Webhook {
    fn check() -> Result<(), Vec<Problem>> {
        sdk::log_panics();
        settings_check::checked(Settings::parse(&settings::all()))
    }
}

struct Delivery<'a> {
    settings: &'a Settings,
    deadline: Deadline,
}

impl Server for Delivery<'_> {
    fn post(&self, body: &str, timeout: Duration) -> Result<u16, String> {
        let service = &self.settings.service;
        let mut headers = service.headers.clone();
        headers.push(("x-portcullis-delivery".into(), delivery(body.as_bytes())));
        if let Some(secret) = &self.settings.secret {
            let signature = signature(secret, body.as_bytes());
            headers.push(("x-portcullis-signature".into(), signature));
        }
        http::status(&Request {
            url: &service.url,
            headers: &headers,
            body: body.as_bytes(),
            timeout,
        })
    }

    fn wait(&self, duration: Duration) {
        sleep(duration);
    }

    fn left(&self) -> Duration {
        self.deadline.left()
    }
}
