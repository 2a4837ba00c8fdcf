//! What an operator can say.

use net::Service;
use sdk::{Error, Table};

/// The plugin's settings.
#[derive(Debug)]
pub struct Settings {
    /// Who is asked.
    pub service: Service,
    /// Seconds for which an acceptance is remembered; 0: not at all.
    pub cache: u32,
    /// Seconds for which a denial is remembered; 0: not at all.
    pub cache_denials: u32,
}

impl Settings {
    /// Reads them.
    pub fn parse(json: &str) -> Result<Self, Error> {
        let mut table = Table::parse("", json)?;
        let settings = Self {
            service: Service::take(&mut table, 4)?,
            cache: table.number("cache-seconds")?.unwrap_or(0),
            cache_denials: table.number("cache-denials-seconds")?.unwrap_or(0),
        };
        table.finish()?;
        Ok(settings)
    }
}
