//! What an operator can say.

use net::Service;
use sdk::{Error, Table};
use std::time::Duration;

/// The plugin's settings.
#[derive(Debug)]
pub struct Settings {
    /// Who is told.
    pub service: Service,
    /// Which events; none is all.
    pub events: Option<Vec<String>>,
    /// What signs requests.
    pub secret: Option<String>,
    /// How long a batch is tried to deliver.
    pub give_up_after: Duration,
}

impl Settings {
    /// Reads them.
    pub fn parse(json: &str) -> Result<Self, Error> {
        let mut table = Table::parse("", json)?;
        let settings = Self {
            service: Service::take(&mut table, 2)?,
            events: table.texts("events")?,
            secret: table.text("secret")?,
            give_up_after: Duration::from_secs(table.seconds("give-up-after")?.unwrap_or(4).into()),
        };
        table.finish()?;
        if settings.secret.as_deref() == Some("") {
            return Err(table.wrong("secret", "expected something that nobody guesses"));
        }
        Ok(settings)
    }
}
