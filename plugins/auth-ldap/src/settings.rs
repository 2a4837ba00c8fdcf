//! What an operator can say.

use crate::escape;
use crate::filter;
use sdk::{Error, Grant, Table, Value};
use std::time::Duration;

/// The plugin's settings.
#[derive(Debug)]
pub struct Settings {
    /// In this order.
    pub servers: Vec<Server>,
    /// What the certificate has to be made out to, if not to the server's name.
    pub tls_name: Option<String>,
    /// For all servers together.
    pub timeout: Duration,
    /// Where a user's name stands in the entry.
    pub user_attribute: String,
    /// How a user's entry is found.
    pub find: Find,
    /// Where groups are looked for.
    pub groups: Option<Groups>,
    /// Where the home is.
    pub home_attribute: Option<String>,
    /// For other plugins: their name, and the directory's.
    pub attributes: Vec<(String, String)>,
    /// What all users have.
    account: Value,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Name or address.
    pub host: String,
    /// 389 and 636 if nothing else is said.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte.
    Tls,
    /// TLS after asking for it.
    StartTls,
    /// Not at all.
    None,
}

/// How a user's entry is found.
#[derive(Debug)]
pub enum Find {
    /// By its name, `{user}` in it.
    Name(String),
    /// By looking for it.
    Search {
        /// From where on.
        base: String,
        /// With `{user}` in it.
        filter: String,
        /// Who looks: a name and a password. None: nobody in particular.
        account: Option<(String, String)>,
    },
}

/// Where groups are looked for.
#[derive(Debug)]
pub struct Groups {
    /// From where on.
    pub base: String,
    /// With `{user}` and `{dn}` in it.
    pub filter: String,
    /// What a group is called.
    pub attribute: String,
}

impl Settings {
    /// Reads them.
    pub fn parse(json: &str) -> Result<Self, Error> {
        let mut table = Table::parse("", json)?;
        let timeout = table.seconds("timeout")?.unwrap_or(4);
        let settings = Self {
            servers: servers(&mut table)?,
            tls_name: table.text("tls-name")?,
            timeout: Duration::from_secs(timeout.into()),
            user_attribute: attribute(&mut table, "user-attribute")?.unwrap_or("uid".into()),
            find: find(&mut table)?,
            groups: groups(&mut table)?,
            home_attribute: attribute(&mut table, "home-attribute")?,
            attributes: attributes(&mut table)?,
            account: table
                .any("account")
                .unwrap_or_else(|| Value::Object(Default::default())),
        };
        table.finish()?;
        settings.grant("user", None)?;
        Ok(settings)
    }

    /// What a user has: what all have, in a home of their own.
    pub fn grant(&self, user: &str, home: Option<&str>) -> Result<Grant, Error> {
        let mut account = self.account.clone();
        if let (Some(home), Some(account)) = (home, account.as_object_mut()) {
            account.insert("home".to_owned(), Value::String(home.to_owned()));
        }
        let mut table = Table::new("account", account)?;
        let grant = Grant::take(&mut table, Some(user), &["all"])?;
        table.finish()?;
        Ok(grant)
    }
}

fn servers(table: &mut Table) -> Result<Vec<Server>, Error> {
    let start_tls = table.switch("start-tls")?.unwrap_or(true);
    let texts = table.texts("servers")?.unwrap_or_default();
    if texts.is_empty() {
        return Err(table.wrong("servers", "needed: [\"ldaps://ldap.example.org\"]"));
    }
    let server = |text: &String| {
        Server::parse(text, start_tls).ok_or_else(|| {
            let what = format!("expected \"ldaps://HOST\" or \"ldap://HOST:PORT\", found {text:?}");
            table.wrong("servers", &what)
        })
    };
    texts.iter().map(server).collect()
}

impl Server {
    fn parse(text: &str, start_tls: bool) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (security, usual) = match (scheme, start_tls) {
            ("ldaps", _) => (Security::Tls, 636),
            ("ldap", true) => (Security::StartTls, 389),
            ("ldap", false) => (Security::None, 389),
            _ => return None,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(inside) => inside.split_once(']')?,
            None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().ok().filter(|port| *port > 0)?,
            None if port.is_empty() => usual,
            None => return None,
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        (!host.is_empty() && host.chars().all(fits)).then(|| Self {
            host: host.to_owned(),
            port,
            security,
        })
    }
}

fn find(table: &mut Table) -> Result<Find, Error> {
    let name = table.text("bind-dn")?;
    let base = table.text("base")?;
    let filter = table.text("filter")?;
    let account = (table.text("bind-user")?, table.text("bind-password")?);
    match (name, base) {
        (Some(name), None) if filter.is_none() && account == (None, None) => {
            if !name.contains("{user}") {
                return Err(table.wrong("bind-dn", "expected \"{user}\" in it"));
            }
            Ok(Find::Name(name))
        }
        (None, Some(base)) => {
            let filter = filter.unwrap_or_else(|| "(uid={user})".into());
            if !filter.contains("{user}") {
                return Err(table.wrong("filter", "expected \"{user}\" in it"));
            }
            check_filter(table, "filter", &filter)?;
            let account = match account {
                (None, None) => None,
                (Some(user), Some(password)) if !password.is_empty() => Some((user, password)),
                _ => return Err(table.wrong("bind-password", "needed with bind-user, and with it")),
            };
            Ok(Find::Search {
                base,
                filter,
                account,
            })
        }
        _ => Err(table.wrong(
            "bind-dn",
            "either this, or base with filter, bind-user and bind-password",
        )),
    }
}

fn groups(table: &mut Table) -> Result<Option<Groups>, Error> {
    let base = table.text("group-base")?;
    let filter = table.text("group-filter")?;
    let name = attribute(table, "group-attribute")?;
    match base {
        Some(base) => {
            let filter = filter.unwrap_or_else(|| "(member={dn})".into());
            check_filter(table, "group-filter", &filter)?;
            Ok(Some(Groups {
                base,
                filter,
                attribute: name.unwrap_or_else(|| "cn".into()),
            }))
        }
        None if filter.is_none() && name.is_none() => Ok(None),
        None => Err(table.wrong("group-base", "needed")),
    }
}

fn check_filter(table: &Table, key: &str, filter: &str) -> Result<(), Error> {
    let compiled = filter::compile(&fill(filter, "x", "cn=x", escape::filter));
    compiled.map(drop).map_err(|what| table.wrong(key, &what))
}

/// Puts a user's name and that of the entry into a template.
pub fn fill(template: &str, user: &str, dn: &str, escape: fn(&str) -> String) -> String {
    // At once: what is put in may look like a place itself.
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(place) = rest.find('{') {
        let (before, place) = rest.split_at(place);
        filled.push_str(before);
        (rest, _) = if let Some(after) = place.strip_prefix("{user}") {
            (after, filled.push_str(&escape(user)))
        } else if let Some(after) = place.strip_prefix("{dn}") {
            (after, filled.push_str(&escape(dn)))
        } else {
            let (brace, after) = place.split_at(1);
            (after, filled.push_str(brace))
        };
    }
    filled + rest
}

fn attribute(table: &mut Table, key: &str) -> Result<Option<String>, Error> {
    let name = table.text(key)?;
    if name.as_deref().is_some_and(|name| !is_attribute(name)) {
        return Err(table.wrong(key, "expected the name of an attribute"));
    }
    Ok(name)
}

fn attributes(table: &mut Table) -> Result<Vec<(String, String)>, Error> {
    let Some(mut table) = table.table("attributes")? else {
        return Ok(Vec::new());
    };
    let mut attributes = Vec::new();
    for name in table.names() {
        if let Some(other) = attribute(&mut table, &name)? {
            attributes.push((name, other));
        }
    }
    Ok(attributes)
}

fn is_attribute(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-.;".contains(&byte);
    !name.is_empty() && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_by_url() {
        for (text, host, port, security) in [
            ("ldaps://a.example", "a.example", 636, Security::Tls),
            ("ldap://a.example/", "a.example", 389, Security::StartTls),
            ("ldap://10.0.0.5:1389", "10.0.0.5", 1389, Security::StartTls),
            (
                "ldaps://[2001:db8::1]:7636",
                "2001:db8::1",
                7636,
                Security::Tls,
            ),
            ("ldaps://[::1]", "::1", 636, Security::Tls),
        ] {
            let server = Server::parse(text, true).unwrap();
            assert_eq!((server.host.as_str(), server.port), (host, port));
            assert_eq!(server.security, security);
        }
        let plain = Server::parse("ldap://a", false).unwrap();
        assert_eq!(plain.security, Security::None);
        for text in [
            "",
            "a.example",
            "http://a",
            "ldap://",
            "ldap://a:0",
            "ldap://a:x",
            "ldap://a/dc=x",
            "ldap://me@a",
            "ldap://[::1",
            "ldap://[::1]x",
        ] {
            assert_eq!(Server::parse(text, true), None, "{text}");
        }
    }

    #[test]
    fn names_what_is_wrong() {
        for (json, error) in [
            ("", "servers: needed"),
            (r#""servers": ["a"]"#, "servers: expected \"ldaps://HOST\""),
            (
                r#""servers": ["ldap://a"]"#,
                "bind-dn: either this, or base",
            ),
            (
                r#""servers": ["ldap://a"], "bind-dn": "uid={user}", "base": "dc=a""#,
                "bind-dn: either this, or base",
            ),
            (
                r#""servers": ["ldap://a"], "bind-dn": "uid=bob""#,
                "bind-dn: expected \"{user}\" in it",
            ),
            (
                r#""servers": ["ldap://a"], "base": "dc=a", "filter": "(uid=bob)""#,
                "filter: expected \"{user}\" in it",
            ),
            (
                r#""servers": ["ldap://a"], "base": "dc=a", "filter": "(uid={user}""#,
                "filter: the filter \"(uid=x\": a \")\" is missing",
            ),
            (
                r#""servers": ["ldap://a"], "base": "dc=a", "bind-user": "cn=a""#,
                "bind-password: needed",
            ),
            (
                r#""servers": ["ldap://a"], "base": "dc=a", "bind-user": "cn=a", "bind-password": """#,
                "bind-password: needed",
            ),
            (
                r#""servers": ["ldap://a"], "base": "dc=a", "group-filter": "(a=b)""#,
                "group-base: needed",
            ),
            (
                r#""servers": ["ldap://a"], "base": "dc=a", "user-attribute": "a b""#,
                "user-attribute: expected the name",
            ),
            (
                r#""servers": ["ldap://a"], "base": "dc=a", "account": {"homes": "/"}"#,
                "account: homes: there is no such key",
            ),
            (
                r#""servers": ["ldap://a"], "base": "dc=a", "tls": true"#,
                "tls: there is no such key",
            ),
        ] {
            let found = Settings::parse(&format!("{{{json}}}")).unwrap_err();
            assert!(found.starts_with(error), "{found}");
        }
    }

    #[test]
    fn templates_are_filled_once() {
        let filled = fill(
            "(&(a={user})(m={dn})(x={y}))",
            "{dn}",
            "cn={user}",
            escape::filter,
        );
        assert_eq!(filled, "(&(a={dn})(m=cn={user})(x={y}))");
        let filled = fill("uid={user},dc=a", "b,c=d", "", escape::dn);
        assert_eq!(filled, "uid=b\\,c\\=d,dc=a");
    }
}
