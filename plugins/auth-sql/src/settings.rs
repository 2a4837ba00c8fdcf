//! The settings, as an operator writes them.

use sdk::{Error, Grant, Table, Value};
use std::time::Duration;

/// A longer query is a mistake.
const LONGEST_QUERY: usize = 16 * 1024;

/// The plugin's settings.
#[derive(Debug)]
pub struct Settings {
    /// In this order.
    pub servers: Vec<Server>,
    /// The protocol that all of them speak.
    pub kind: Kind,
    /// Whether TLS protects what is said to them.
    pub tls: bool,
    /// The name in the certificate, if it is not the server's.
    pub tls_name: Option<String>,
    /// For all servers together.
    pub timeout: Duration,
    /// The account at the database.
    pub user: String,
    /// Its password.
    pub password: String,
    /// With a parameter where the client's name belongs.
    pub query: String,
    /// The keys that all users have.
    pub account: Value,
}

/// The protocol of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Name or address.
    pub host: String,
    /// 5432 and 3306 if nothing else is said.
    pub port: u16,
    /// The database on it.
    pub database: String,
}

impl Settings {
    /// Reads them.
    pub fn parse(json: &str) -> Result<Self, Error> {
        let mut table = Table::parse("", json)?;
        let (kind, servers) = servers(&mut table)?;
        let timeout = table.seconds("timeout")?.unwrap_or(4);
        let settings = Self {
            servers,
            kind,
            tls: table.switch("tls")?.unwrap_or(true),
            tls_name: table.text("tls-name")?,
            timeout: Duration::from_secs(timeout.into()),
            user: needed(&mut table, "user", "the account at the database")?,
            password: needed(
                &mut table,
                "password",
                "that of the account at the database",
            )?,
            query: query(&mut table, kind)?,
            account: account(&mut table)?,
        };
        table.finish()?;
        Ok(settings)
    }
}

fn servers(table: &mut Table) -> Result<(Kind, Vec<Server>), Error> {
    let texts = table.texts("servers")?.unwrap_or_default();
    let (mut kinds, mut servers) = (Vec::new(), Vec::new());
    for text in &texts {
        let (kind, server) = Server::parse(text).ok_or_else(|| {
            // A password in it does not belong into the log.
            let shown = match text.contains('@') {
                true => "one with \"@\"; the keys user and password are for those".to_owned(),
                false => format!("{text:?}"),
            };
            let expected = "expected \"postgres://HOST[:PORT]/DATABASE\" or \
                            \"mysql://HOST[:PORT]/DATABASE\"";
            table.wrong("servers", &format!("{expected}, found {shown}"))
        })?;
        kinds.push(kind);
        servers.push(server);
    }
    kinds.dedup();
    match kinds.as_slice() {
        [kind] => Ok((*kind, servers)),
        [] => Err(table.wrong("servers", "needed: [\"postgres://db.example.org/ftp\"]")),
        _ => Err(table.wrong(
            "servers",
            "all have to be of one kind: the query is the same",
        )),
    }
}

impl Server {
    fn parse(text: &str) -> Option<(Kind, Self)> {
        let (scheme, rest) = text.split_once("://")?;
        let (kind, usual) = match scheme {
            "postgres" | "postgresql" => (Kind::Postgres, 5432),
            "mysql" | "mariadb" => (Kind::Mysql, 3306),
            _ => return None,
        };
        let (place, database) = rest.split_once('/')?;
        let (host, port) = match place.strip_prefix('[') {
            Some(inside) => inside.split_once(']')?,
            None => place.split_at(place.find(':').unwrap_or(place.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().ok().filter(|port| *port > 0)?,
            None if port.is_empty() => usual,
            None => return None,
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        let names = |c: char| !c.is_control() && !"/?#@%".contains(c);
        let good = !host.is_empty() && host.chars().all(fits);
        let named = !database.is_empty() && database.chars().all(names);
        let server = Self {
            host: host.to_owned(),
            port,
            database: database.to_owned(),
        };
        (good && named).then_some((kind, server))
    }
}

fn needed(table: &mut Table, key: &str, what: &str) -> Result<String, Error> {
    match table.text(key)? {
        Some(text) if text.contains('\0') => Err(table.wrong(key, "has a zero byte in it")),
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(table.wrong(key, &format!("needed: {what}"))),
    }
}

fn query(table: &mut Table, kind: Kind) -> Result<String, Error> {
    let (parameter, other) = match kind {
        Kind::Postgres => ("$1", "?"),
        Kind::Mysql => ("?", "$1"),
    };
    let example = format!("\"select name, password from users where name = {parameter}\"");
    let query = needed(table, "query", &example)?;
    if query.len() > LONGEST_QUERY {
        return Err(table.wrong("query", "is longer than 16 KiB"));
    }
    if query.contains(parameter) {
        return Ok(query);
    }
    let hint = match query.contains(other) {
        true => format!(", not {other}"),
        false => String::new(),
    };
    let what = format!("expected {parameter} where the client's name belongs{hint}: {example}");
    Err(table.wrong("query", &what))
}

/// The keys that all users have, of those that say what a user may do.
fn account(table: &mut Table) -> Result<Value, Error> {
    let account = table
        .any("account")
        .unwrap_or_else(|| Value::Object(Default::default()));
    let mut inner = Table::new("account", account.clone())?;
    Grant::take(&mut inner, Some("user"), &["all"])?;
    inner.finish()?;
    Ok(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_by_url() {
        for (text, kind, host, port) in [
            (
                "postgres://a.example/ftp",
                Kind::Postgres,
                "a.example",
                5432,
            ),
            ("postgresql://a:1/ftp", Kind::Postgres, "a", 1),
            ("mysql://10.0.0.5/ftp", Kind::Mysql, "10.0.0.5", 3306),
            ("mariadb://[::1]:13306/ftp", Kind::Mysql, "::1", 13306),
        ] {
            let (found, server) = Server::parse(text).unwrap();
            assert_eq!(found, kind);
            assert_eq!((server.host.as_str(), server.port), (host, port));
            assert_eq!(server.database, "ftp");
        }
        for text in [
            "",
            "a.example",
            "http://a/ftp",
            "postgres://a",
            "postgres://a/",
            "postgres:///ftp",
            "postgres://a:0/ftp",
            "postgres://a:x/ftp",
            "postgres://me:secret@a/ftp",
            "postgres://a/ftp?sslmode=disable",
            "mysql://[::1/ftp",
        ] {
            assert_eq!(Server::parse(text), None, "{text}");
        }
    }

    #[test]
    fn names_what_is_wrong() {
        let postgres = r#""servers": ["postgres://a/f"], "user": "u", "password": "p""#;
        for (json, error) in [
            (String::new(), "servers: needed"),
            (
                r#""servers": ["a"]"#.into(),
                "servers: expected \"postgres://",
            ),
            (
                r#""servers": ["postgres://me:secret@a/f"]"#.into(),
                "servers: expected \"postgres://HOST[:PORT]/DATABASE\" or \
                 \"mysql://HOST[:PORT]/DATABASE\", found one with",
            ),
            (
                r#""servers": ["postgres://a/f", "mysql://a/f"]"#.into(),
                "servers: all have to be of one kind",
            ),
            (r#""servers": ["mysql://a/f"]"#.into(), "user: needed"),
            (
                r#""servers": ["mysql://a/f"], "user": "u", "password": """#.into(),
                "password: needed",
            ),
            (postgres.into(), "query: needed"),
            (
                format!(r#"{postgres}, "query": "select 1 where a = ?""#),
                "query: expected $1 where the client's name belongs, not ?",
            ),
            (
                format!(r#"{postgres}, "query": "select 1 where a = '{{user}}'""#),
                "query: expected $1 where the client's name belongs: ",
            ),
            (
                format!(r#"{postgres}, "query": "select $1", "account": {{"homes": "/"}}"#),
                "account: homes: there is no such key",
            ),
            (
                format!(r#"{postgres}, "query": "select $1", "account": {{"disabled": true}}"#),
                "account: disabled: there is no such key",
            ),
            (
                format!(r#"{postgres}, "query": "select $1", "sslmode": "x""#),
                "sslmode: there is no such key",
            ),
        ] {
            let found = Settings::parse(&format!("{{{json}}}")).unwrap_err();
            assert!(found.starts_with(error), "{found}");
            assert!(!found.contains("secret"), "{found}");
        }
        let good = format!(r#"{{{postgres}, "query": "select $1"}}"#);
        let settings = Settings::parse(&good).unwrap();
        assert!(settings.tls && settings.timeout == Duration::from_secs(4));
    }
}
