//! What an operator can say.

use sdk::{Error, Networks, Table};

/// The plugin's settings; a limit of 0 is none.
#[derive(Debug)]
pub struct Settings {
    /// Failures of one user from one address.
    pub per_user: u32,
    /// Failures from one address.
    pub per_address: u32,
    /// Failures of one user from wherever.
    pub anywhere: u32,
    /// Seconds in which they are counted.
    pub window: u32,
    /// Seconds of the first lock.
    pub lock_time: u32,
    /// Seconds of the longest one.
    pub longest_lock: u32,
    /// Where nobody is counted.
    pub exempt: Networks,
}

impl Settings {
    /// Reads them.
    pub fn parse(json: &str) -> Result<Self, Error> {
        let mut table = Table::parse("", json)?;
        let settings = Self {
            per_user: table.number("max-failures-per-user")?.unwrap_or(10),
            per_address: table.number("max-failures-per-address")?.unwrap_or(50),
            anywhere: table.number("max-failures-per-user-anywhere")?.unwrap_or(0),
            window: table.seconds("window")?.unwrap_or(10 * 60),
            lock_time: table.seconds("lock-time")?.unwrap_or(15 * 60),
            longest_lock: table.seconds("longest-lock")?.unwrap_or(24 * 60 * 60),
            exempt: Networks::take(&mut table, "exempt")?.unwrap_or_default(),
        };
        table.finish()?;
        if settings.longest_lock < settings.lock_time {
            return Err(table.wrong("longest-lock", "shorter than lock-time"));
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_defaults_and_names_what_is_wrong() {
        let settings = Settings::parse("{}").unwrap();
        assert_eq!((settings.per_user, settings.per_address), (10, 50));
        assert_eq!((settings.anywhere, settings.lock_time), (0, 900));
        for (json, error) in [
            (
                r#"{"window": 0}"#,
                "window: expected a number of seconds from 1 on",
            ),
            (
                r#"{"max-failures": 3}"#,
                "max-failures: there is no such key",
            ),
            (
                r#"{"longest-lock": "1m"}"#,
                "longest-lock: shorter than lock-time",
            ),
            (r#"{"exempt": ["x"]}"#, "exempt: expected a network"),
        ] {
            let found = Settings::parse(json).unwrap_err();
            assert!(found.starts_with(error), "{found}");
        }
    }
}
