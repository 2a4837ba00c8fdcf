//! What an operator can say.

use sdk::{Error, Table, Value};
use std::time::Duration;

/// StreamMaxLength in the file that Debian makes.
const MAX_SIZE: u64 = 25 << 20;

/// The plugin's settings.
#[derive(Debug)]
pub struct Settings {
    /// In this order.
    pub addresses: Vec<Address>,
    /// The most bytes that are scanned; none leaves it to clamd.
    pub max_size: Option<u64>,
    /// What becomes of larger files.
    pub too_large: TooLarge,
    /// Whether what is infected is kept for a person to look at.
    pub quarantine: bool,
    /// For one address.
    pub connect_timeout: Duration,
    /// For clamd to take a piece, and to answer at the end.
    pub timeout: Duration,
}

/// Where clamd is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// An address, or a name, which takes the grant to look it up.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// What becomes of files that are larger than what is scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooLarge {
    /// Nothing is kept.
    Reject,
    /// They are kept for a person to look at.
    Quarantine,
    /// They are taken where nothing is found in the part that is scanned.
    Accept,
}

impl Settings {
    /// Reads them.
    pub fn parse(json: &str) -> Result<Self, Error> {
        let mut table = Table::parse("", json)?;
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let max_size = max_size(&mut table)?;
        let settings = Self {
            addresses: addresses(&mut table)?,
            max_size,
            too_large: too_large(&mut table, max_size)?,
            quarantine: quarantine(&mut table)?,
            connect_timeout: seconds(table.seconds("connect-timeout")?.unwrap_or(2)),
            timeout: seconds(table.seconds("timeout")?.unwrap_or(60)),
        };
        table.finish()?;
        Ok(settings)
    }
}

fn addresses(table: &mut Table) -> Result<Vec<Address>, Error> {
    let texts = match table.any("address") {
        Some(Value::String(text)) => vec![Value::String(text)],
        Some(Value::Array(list)) if !list.is_empty() => list,
        _ => return Err(table.wrong("address", "needed: \"127.0.0.1:3310\", or a list of such")),
    };
    let address = |value: &Value| {
        value.as_str().and_then(Address::parse).ok_or_else(|| {
            table.wrong("address", &format!("expected \"HOST:PORT\", found {value}"))
        })
    };
    texts.iter().map(address).collect()
}

impl Address {
    fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = match host.strip_prefix('[') {
            Some(inside) => inside.strip_suffix(']')?,
            None if host.contains(':') => return None,
            None => host,
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| *port > 0 && digits)?;
        (!host.is_empty() && host.chars().all(fits)).then(|| Self {
            host: host.to_owned(),
            port,
        })
    }
}

fn max_size(table: &mut Table) -> Result<Option<u64>, Error> {
    let value = match table.any("max-size") {
        None => return Ok(Some(MAX_SIZE)),
        Some(Value::String(text)) if text == "unlimited" => return Ok(None),
        Some(value) => value,
    };
    let mut only = Table::new(
        "",
        Value::Object([("max-size".to_owned(), value)].into_iter().collect()),
    )?;
    match only.bytes("max-size")? {
        Some(size) if size > 0 => Ok(Some(size)),
        _ => Err(table.wrong(
            "max-size",
            "expected more than 0; \"unlimited\" is no limit",
        )),
    }
}

fn too_large(table: &mut Table, max_size: Option<u64>) -> Result<TooLarge, Error> {
    let text = table.text("too-large")?;
    if text.is_some() && max_size.is_none() {
        return Err(table.wrong("too-large", "nothing is, where max-size is \"unlimited\""));
    }
    match text.as_deref() {
        None | Some("reject") => Ok(TooLarge::Reject),
        Some("quarantine") => Ok(TooLarge::Quarantine),
        Some("accept") => Ok(TooLarge::Accept),
        Some(other) => Err(table.wrong(
            "too-large",
            &format!("expected \"reject\", \"quarantine\" or \"accept\", found {other:?}"),
        )),
    }
}

fn quarantine(table: &mut Table) -> Result<bool, Error> {
    match table.text("action")?.as_deref() {
        None | Some("reject") => Ok(false),
        Some("quarantine") => Ok(true),
        Some(other) => Err(table.wrong(
            "action",
            &format!("expected \"reject\" or \"quarantine\", found {other:?}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_enough() {
        let settings = Settings::parse(r#"{"address": "127.0.0.1:3310"}"#).unwrap();
        assert_eq!(settings.max_size, Some(25 << 20));
        assert_eq!(settings.too_large, TooLarge::Reject);
        assert!(!settings.quarantine);
        let several = r#"{"address": ["[::1]:3310", "clamd.example:1"], "max-size": "unlimited"}"#;
        let settings = Settings::parse(several).unwrap();
        assert_eq!(settings.max_size, None);
        let hosts: Vec<_> = settings.addresses.iter().map(|one| &one.host).collect();
        assert_eq!(hosts, ["::1", "clamd.example"]);
    }

    #[test]
    fn names_the_key() {
        for (more, error) in [
            ("\"max-size\": 0", "max-size: expected more than 0"),
            ("\"max-size\": \"0\"", "max-size: expected more than 0"),
            (
                "\"max-size\": \"all\"",
                "max-size: expected a number of bytes",
            ),
            ("\"too-large\": \"skip\"", "too-large: expected \"reject\""),
            (
                "\"too-large\": \"accept\", \"max-size\": \"unlimited\"",
                "too-large: nothing is",
            ),
            ("\"action\": \"delete\"", "action: expected \"reject\" or"),
            ("\"timeout\": 0", "timeout: expected a number of seconds"),
            ("\"maxsize\": 1", "maxsize: there is no such key"),
        ] {
            let json = format!(r#"{{"address": "127.0.0.1:3310", {more}}}"#);
            let found = Settings::parse(&json).unwrap_err();
            assert!(found.starts_with(error), "{found}");
        }
        for address in [
            "",
            "1",
            "[]",
            "\"a\"",
            "\"a:0\"",
            "\"::1:1\"",
            "\"a:+1\"",
            "[\"a:1\", 2]",
        ] {
            let json = format!(r#"{{"address": {address}}}"#);
            assert!(Settings::parse(&json).is_err(), "{address}");
        }
        assert!(
            Settings::parse("{}")
                .unwrap_err()
                .starts_with("address: needed")
        );
    }
}
