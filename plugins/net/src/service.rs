//! A service, as operators name it.

use crate::url::{Url, header};
use sdk::{Error, Table};
use std::time::Duration;

/// Where requests go and what goes with each.
#[derive(Clone, Debug)]
pub struct Service {
    /// The key `url`.
    pub url: Url,
    /// The table `headers`.
    pub headers: Vec<(String, String)>,
    /// The key `timeout`.
    pub timeout: Duration,
}

impl Service {
    /// Takes the keys from `table`; `timeout` are seconds for where it says nothing.
    pub fn take(table: &mut Table, timeout: u32) -> Result<Self, Error> {
        let text = table.text("url")?;
        let text = text.ok_or_else(|| table.wrong("url", "needed"))?;
        let url = Url::parse(&text).ok_or_else(|| {
            let what = format!("expected a URL such as \"https://a.example/x\", found {text:?}");
            table.wrong("url", &what)
        })?;
        let timeout = table.seconds("timeout")?.unwrap_or(timeout);
        Ok(Self {
            url,
            headers: headers(table)?,
            timeout: Duration::from_secs(timeout.into()),
        })
    }
}

fn headers(table: &mut Table) -> Result<Vec<(String, String)>, Error> {
    let Some(mut table) = table.table("headers")? else {
        return Ok(Vec::new());
    };
    let mut headers = Vec::new();
    for name in table.names() {
        let value = table.text(&name)?.unwrap_or_default();
        if !header(&name, &value) {
            // What is wrong with the value, but not the value: a token, say.
            return Err(table.wrong(&name, "cannot be a header of its own"));
        }
        headers.push((name, value));
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_keys() {
        let json = r#"{"url": "https://a.example/x", "headers": {"Authorization": "Bearer x"}}"#;
        let mut table = Table::parse("", json).unwrap();
        let service = Service::take(&mut table, 4).unwrap();
        table.finish().unwrap();
        assert_eq!(service.timeout, Duration::from_secs(4));
        assert_eq!(service.headers.len(), 1);
        for (json, error) in [
            ("{}", "url: needed"),
            (r#"{"url": "a.example"}"#, "url: expected a URL"),
            (
                r#"{"url": "http://a", "headers": {"Host": "b"}}"#,
                "headers: Host: cannot be a header of its own",
            ),
        ] {
            let mut table = Table::parse("", json).unwrap();
            let found = Service::take(&mut table, 4).unwrap_err();
            assert!(found.starts_with(error), "{found}");
        }
    }
}
