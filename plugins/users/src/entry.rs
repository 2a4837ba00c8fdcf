//! What the operator says of one user.
//!
//! ```toml
//! [alice]
//! password = "$argon2id$..."       # by `portcullis passwd`; without one, certificates must do
//! certificates = ["CN=alice,O=Example", "sha256:<64 hexadecimal digits>"]
//! require-certificate = true       # password and certificate, not just one of them
//! addresses = ["192.0.2.0/24"]     # from nowhere else
//! disabled = false
//!
//! home = "/alice"                  # default: "/" and the user's name
//! storage = "local"
//! groups = ["staff"]
//! permissions = ["read", "upload"] # by name, or "read", "write", "all"; default: all
//! max-sessions = 4
//! idle-timeout = "10m"
//! upload-rate = "10MiB"            # bytes a second
//! download-rate = "10MiB"
//! max-upload-size = "2GiB"
//! quota = "10GiB"
//! greeting = "Welcome"
//! [alice.attributes]               # for other plugins
//! department = "sales"
//! ```

use crate::certificate::Pattern;
use ipnet::IpNet;
use settings::{Error, Table};
use std::net::IpAddr;

/// One user.
#[derive(Debug)]
pub struct Entry {
    /// The password's hash, in any form that the server verifies.
    pub password: Option<String>,
    /// Certificates that are as good as the password, or needed with it.
    pub certificates: Vec<Pattern>,
    /// Whether a certificate is needed with the password.
    pub require_certificate: bool,
    /// Who is let in, and what they may do.
    pub grant: Grant,
}

/// What holds for a user however they prove who they are.
#[derive(Debug)]
pub struct Grant {
    /// The directory that the user sees as "/".
    pub home: String,
    /// The storage, by its name in the server's configuration.
    pub storage: Option<String>,
    /// For path policy and other plugins.
    pub groups: Vec<String>,
    /// The most that the user may do.
    pub permissions: Vec<Permission>,
    /// Sessions at the same time.
    pub max_sessions: Option<u32>,
    /// Seconds.
    pub idle_timeout: Option<u32>,
    /// Bytes a second.
    pub upload_rate: Option<u64>,
    /// Bytes a second.
    pub download_rate: Option<u64>,
    /// Bytes.
    pub max_upload_size: Option<u64>,
    /// Bytes.
    pub quota: Option<u64>,
    /// For the reply to the login.
    pub greeting: Option<String>,
    /// Facts for other plugins.
    pub attributes: Vec<(String, String)>,
    /// Where the user may come from; none is anywhere.
    pub addresses: Option<Vec<IpNet>>,
    /// Whether the user is kept out for now.
    pub disabled: bool,
}

/// One thing that a user may do, named as in the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Permission {
    List,
    Download,
    Upload,
    Overwrite,
    Append,
    Delete,
    Rename,
    MakeDirectory,
    RemoveDirectory,
    ChangeMetadata,
}

const READ: &[Permission] = &[Permission::List, Permission::Download];
const WRITE: &[Permission] = &[
    Permission::Upload,
    Permission::Overwrite,
    Permission::Append,
    Permission::Delete,
    Permission::Rename,
    Permission::MakeDirectory,
    Permission::RemoveDirectory,
    Permission::ChangeMetadata,
];

impl Entry {
    /// Reads what the table of users says of `user`.
    pub fn parse(user: &str, json: &str) -> Result<Self, Error> {
        let mut table = Table::parse(&format!("user {user:?}"), json)?;
        let certificates = certificates(&mut table)?;
        let entry = Self {
            password: table.text("password")?,
            require_certificate: table.switch("require-certificate")?.unwrap_or(false),
            grant: Grant::take(&mut table, Some(user), &["all"])?,
            certificates,
        };
        table.finish()?;
        if entry.require_certificate && entry.certificates.is_empty() {
            return Err(table.wrong("require-certificate", "needs the key certificates"));
        }
        if entry.password.is_none() && entry.certificates.is_empty() && !entry.grant.disabled {
            return Err(table.wrong("password", "needed, unless certificates are given"));
        }
        Ok(entry)
    }
}

impl Grant {
    /// Reads the setting `anonymous`: what its guests may do is only to read, unless it says more,
    /// and it has to say where.
    pub fn anonymous(json: &str) -> Result<Self, Error> {
        let mut table = Table::parse("anonymous", json)?;
        let grant = Self::take(&mut table, None, &["read"])?;
        table.finish()?;
        Ok(grant)
    }

    /// Whether the user may come from `address`.
    pub fn admits(&self, address: &str) -> bool {
        let Some(networks) = &self.addresses else {
            return true;
        };
        // ::ffff:192.0.2.1 is how a socket for both protocols writes 192.0.2.1.
        let address = address
            .parse::<IpAddr>()
            .map(|address| address.to_canonical());
        address.is_ok_and(|address| networks.iter().any(|network| network.contains(&address)))
    }

    fn take(table: &mut Table, user: Option<&str>, permissions: &[&str]) -> Result<Self, Error> {
        Ok(Self {
            home: home(table, user)?,
            storage: table.text("storage")?,
            groups: table.texts("groups")?.unwrap_or_default(),
            permissions: self::permissions(table, permissions)?,
            max_sessions: table.count("max-sessions")?,
            idle_timeout: table.seconds("idle-timeout")?,
            upload_rate: limit(table, "upload-rate")?,
            download_rate: limit(table, "download-rate")?,
            max_upload_size: limit(table, "max-upload-size")?,
            quota: limit(table, "quota")?,
            greeting: table.text("greeting")?,
            attributes: attributes(table)?,
            addresses: addresses(table)?,
            disabled: table.switch("disabled")?.unwrap_or(false),
        })
    }
}

fn home(table: &mut Table, user: Option<&str>) -> Result<String, Error> {
    let home = match (table.text("home")?, user) {
        (Some(home), _) => home,
        (None, Some(user)) if is_file_name(user) => return Ok(format!("/{user}")),
        (None, Some(_)) => return Err(table.wrong("home", "needed: the name is no directory's")),
        (None, None) => return Err(table.wrong("home", "needed")),
    };
    let Some(below) = home.strip_prefix('/') else {
        return Err(table.wrong(
            "home",
            &format!("expected a path from \"/\" on, found {home:?}"),
        ));
    };
    if !below.is_empty() && !below.trim_end_matches('/').split('/').all(is_file_name) {
        return Err(table.wrong("home", &format!("{home:?} is not a plain path")));
    }
    Ok(home)
}

fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(|c: char| c == '/' || c.is_control())
}

fn permissions(table: &mut Table, default: &[&str]) -> Result<Vec<Permission>, Error> {
    let mut permissions = Vec::new();
    let names = table.texts("permissions")?;
    let names = match &names {
        Some(names) => names.iter().map(String::as_str).collect(),
        None => default.to_vec(),
    };
    for name in names {
        match name {
            "read" => permissions.extend(READ),
            "write" => permissions.extend(WRITE),
            "all" => permissions.extend(READ.iter().chain(WRITE)),
            "list" => permissions.push(Permission::List),
            "download" => permissions.push(Permission::Download),
            "upload" => permissions.push(Permission::Upload),
            "overwrite" => permissions.push(Permission::Overwrite),
            "append" => permissions.push(Permission::Append),
            "delete" => permissions.push(Permission::Delete),
            "rename" => permissions.push(Permission::Rename),
            "make-directory" => permissions.push(Permission::MakeDirectory),
            "remove-directory" => permissions.push(Permission::RemoveDirectory),
            "change-metadata" => permissions.push(Permission::ChangeMetadata),
            _ => return Err(table.wrong("permissions", &format!("there is no {name:?}"))),
        }
    }
    Ok(permissions)
}

/// A limit of 0 would be read as "none at all" by some and as "no limit" by others.
fn limit(table: &mut Table, key: &str) -> Result<Option<u64>, Error> {
    match table.bytes(key)? {
        Some(0) => Err(table.wrong(key, "expected more than 0; leave the key out for no limit")),
        limit => Ok(limit),
    }
}

fn attributes(table: &mut Table) -> Result<Vec<(String, String)>, Error> {
    let Some(mut table) = table.table("attributes")? else {
        return Ok(Vec::new());
    };
    let mut attributes = Vec::new();
    for name in table.names() {
        if let Some(value) = table.text(&name)? {
            attributes.push((name, value));
        }
    }
    Ok(attributes)
}

fn addresses(table: &mut Table) -> Result<Option<Vec<IpNet>>, Error> {
    let Some(texts) = table.texts("addresses")? else {
        return Ok(None);
    };
    let network = |text: &String| {
        let network = text.parse::<IpNet>().ok();
        let network = network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        network.ok_or_else(|| {
            let what = format!("expected a network such as \"192.0.2.0/24\", found {text:?}");
            table.wrong("addresses", &what)
        })
    };
    texts
        .iter()
        .map(network)
        .collect::<Result<_, _>>()
        .map(Some)
}

fn certificates(table: &mut Table) -> Result<Vec<Pattern>, Error> {
    let texts = table.texts("certificates")?.unwrap_or_default();
    let pattern =
        |text: &String| Pattern::parse(text).map_err(|what| table.wrong("certificates", &what));
    texts.iter().map(pattern).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Entry, Error> {
        Entry::parse("bob", json)
    }

    #[test]
    fn little_is_enough() {
        let entry = parse(r#"{"password": "$x$"}"#).unwrap();
        assert_eq!(entry.grant.home, "/bob");
        assert_eq!(entry.grant.permissions.len(), 10);
        assert!(entry.grant.admits("203.0.113.9"));
        assert!(!entry.grant.disabled && !entry.require_certificate);
    }

    #[test]
    fn reads_all_of_it() {
        let entry = parse(
            r#"{"password": "$x$", "home": "/b/c/", "storage": "s", "groups": ["g"],
                "permissions": ["read", "upload"], "max-sessions": 4, "idle-timeout": "10m",
                "upload-rate": "10MiB", "download-rate": 5, "max-upload-size": "2GiB",
                "quota": "10GB", "greeting": "Hi", "certificates": ["CN=bob"],
                "require-certificate": true, "addresses": ["192.0.2.0/24", "2001:db8::1"],
                "disabled": true, "attributes": {"department": "x"}}"#,
        )
        .unwrap();
        let grant = &entry.grant;
        assert_eq!(grant.home, "/b/c/");
        assert_eq!(
            grant.permissions,
            [Permission::List, Permission::Download, Permission::Upload]
        );
        assert_eq!(
            (grant.max_sessions, grant.idle_timeout),
            (Some(4), Some(600))
        );
        assert_eq!(
            (grant.upload_rate, grant.download_rate),
            (Some(10 << 20), Some(5))
        );
        assert_eq!(
            (grant.max_upload_size, grant.quota),
            (Some(2 << 30), Some(10_000_000_000))
        );
        assert_eq!(grant.attributes, [("department".into(), "x".into())]);
        assert!(grant.disabled && entry.require_certificate);
    }

    #[test]
    fn names_the_user_and_the_key() {
        for (json, error) in [
            ("{}", "password: needed, unless certificates are given"),
            (r#"{"password": 5}"#, "password: expected a text, found 5"),
            (
                r#"{"pasword": "$x$", "password": "$x$"}"#,
                "pasword: there is no such key",
            ),
            (
                r#"{"password": "", "home": "bob"}"#,
                "home: expected a path from \"/\" on, found \"bob\"",
            ),
            (
                r#"{"password": "", "home": "/a/../b"}"#,
                "home: \"/a/../b\" is not a plain path",
            ),
            (
                r#"{"password": "", "permissions": ["raed"]}"#,
                "permissions: there is no \"raed\"",
            ),
            (
                r#"{"password": "", "permissions": "read"}"#,
                "permissions: expected a list of texts, found \"read\"",
            ),
            (
                r#"{"password": "", "quota": 0}"#,
                "quota: expected more than 0; leave the key out for no limit",
            ),
            (
                r#"{"password": "", "disabled": "yes"}"#,
                "disabled: expected true or false, found \"yes\"",
            ),
            (
                r#"{"password": "", "addresses": ["here"]}"#,
                "addresses: expected a network such as \"192.0.2.0/24\", found \"here\"",
            ),
            (
                r#"{"password": "", "certificates": ["bob"]}"#,
                "certificates: expected a subject such as \"CN=alice\" or \"sha256:\" and 64 hexadecimal digits, found \"bob\"",
            ),
            (
                r#"{"password": "", "require-certificate": true}"#,
                "require-certificate: needs the key certificates",
            ),
            (
                r#"{"password": "", "attributes": {"a": 1}}"#,
                "attributes: a: expected a text, found 1",
            ),
        ] {
            assert_eq!(parse(json).unwrap_err(), format!("user \"bob\": {error}"));
        }
        assert!(
            parse("$argon2id$")
                .unwrap_err()
                .starts_with("user \"bob\": expected a table")
        );
    }

    #[test]
    fn the_name_is_a_home_only_where_it_is_one_directory() {
        for name in ["", ".", "..", "a/b", "/", "a\0b", "a\nb"] {
            assert!(
                Entry::parse(name, r#"{"password": "$x$"}"#).is_err(),
                "{name:?}"
            );
            assert!(
                Entry::parse(name, r#"{"password": "$x$", "home": "/x"}"#).is_ok(),
                "{name:?}"
            );
        }
        assert_eq!(
            Entry::parse("...", r#"{"password": "$x$"}"#)
                .unwrap()
                .grant
                .home,
            "/..."
        );
        assert_eq!(
            parse(r#"{"password": "$x$", "home": "/"}"#)
                .unwrap()
                .grant
                .home,
            "/"
        );
    }

    #[test]
    fn admits_by_network() {
        let entry = parse(r#"{"password": "", "addresses": ["192.0.2.7/24", "2001:db8::1"]}"#);
        let grant = entry.unwrap().grant;
        for address in ["192.0.2.200", "::ffff:192.0.2.1", "2001:db8::1"] {
            assert!(grant.admits(address), "{address}");
        }
        for address in ["192.0.3.1", "::192.0.2.1", "2001:db8::2", "", "unix"] {
            assert!(!grant.admits(address), "{address}");
        }
        let nowhere = parse(r#"{"password": "", "addresses": []}"#).unwrap().grant;
        assert!(!nowhere.admits("192.0.2.1"));
    }

    #[test]
    fn anonymous_reads_only_and_has_no_password() {
        let grant = Grant::anonymous(r#"{"home": "/public"}"#).unwrap();
        assert_eq!(grant.permissions, READ);
        assert_eq!(
            Grant::anonymous("{}").unwrap_err(),
            "anonymous: home: needed"
        );
        let error = Grant::anonymous(r#"{"home": "/", "password": "$x$"}"#).unwrap_err();
        assert_eq!(error, "anonymous: password: there is no such key");
    }
}
