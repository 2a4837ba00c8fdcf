//! What the operator says of one user.
//!
//! ```toml
//! [alice]
//! password = "$argon2id$..."       # by `portcullis passwd`; without one, certificates must do
//! certificates = ["CN=alice,O=Example", "sha256:<64 hexadecimal digits>"]
//! require-certificate = true       # password and certificate, not just one of them
//! addresses = ["192.0.2.0/24"]     # from nowhere else
//! disabled = false
//! expires = "2026-12-31"           # gone from the end of that day on, UTC; or an RFC 3339 time
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
//! quota-files = 1000               # directories are not counted
//! greeting = "Welcome"
//! totp = "JBSWY3DPEHPK3PXP"         # a second factor: for the plugin auth-totp alone
//! [alice.attributes]               # for other plugins
//! department = "sales"
//! ```

use crate::certificate::Pattern;
use crate::{expiry, group};
use sdk::{Error, Grant, Networks, Table, Value};

/// One user.
#[derive(Debug)]
pub struct Entry {
    /// The password's hash, in any form that the server verifies.
    pub password: Option<String>,
    /// Certificates that are as good as the password, or needed with it.
    pub certificates: Vec<Pattern>,
    /// Whether a certificate is needed with the password.
    pub require_certificate: bool,
    /// The key `totp`, which the plugin `auth-totp` reads.
    pub totp: Option<Value>,
    /// Who is let in, and what they may do.
    pub admission: Admission,
}

/// Whether a user gets in, and with what.
#[derive(Debug)]
pub struct Admission {
    /// What they may do.
    pub grant: Grant,
    /// Where they may come from; none is anywhere.
    addresses: Option<Networks>,
    /// Whether they are kept out for now.
    pub disabled: bool,
}

impl Entry {
    /// Reads what the table of users says of `user`; `groups` has what is said of each group.
    pub fn parse(
        user: &str,
        json: &str,
        groups: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let place = format!("user {user:?}");
        let mut keys = Table::parse(&place, json)?.into_keys();
        group::complete(user, &mut keys, groups)?;
        let mut table = Table::new(&place, Value::Object(keys))?;
        let certificates = certificates(&mut table)?;
        let entry = Self {
            password: table.text("password")?,
            require_certificate: table.switch("require-certificate")?.unwrap_or(false),
            totp: table.any("totp"),
            admission: Admission::take(&mut table, Some(user), &["all"])?,
            certificates,
        };
        table.finish()?;
        if entry.require_certificate && entry.certificates.is_empty() {
            return Err(table.wrong("require-certificate", "needs the key certificates"));
        }
        if entry.password.is_none() && entry.certificates.is_empty() && !entry.admission.disabled {
            return Err(table.wrong("password", "needed, unless certificates are given"));
        }
        Ok(entry)
    }
}

impl Admission {
    /// Reads the setting `anonymous`: what its guests may do is only to read, unless it says more,
    /// and it has to say where.
    pub fn anonymous(json: &str) -> Result<Self, Error> {
        let mut table = Table::parse("anonymous", json)?;
        let admission = Self::take(&mut table, None, &["read"])?;
        table.finish()?;
        Ok(admission)
    }

    /// Whether the user may come from `address`.
    pub fn admits(&self, address: &str) -> bool {
        self.addresses
            .as_ref()
            .is_none_or(|networks| networks.contain(address))
    }

    pub(crate) fn take(
        table: &mut Table,
        user: Option<&str>,
        permissions: &[&str],
    ) -> Result<Self, Error> {
        let mut grant = Grant::take(table, user, permissions)?;
        grant.expires = expires(table)?;
        Ok(Self {
            grant,
            addresses: Networks::take(table, "addresses")?,
            disabled: table.switch("disabled")?.unwrap_or(false),
        })
    }
}

fn expires(table: &mut Table) -> Result<Option<u64>, Error> {
    let Some(text) = table.text("expires")? else {
        return Ok(None);
    };
    let wrong = || {
        let expected =
            "expected a date such as \"2026-12-31\" or a time such as \"2026-12-31T18:00:00Z\"";
        table.wrong("expires", &format!("{expected}, found {text:?}"))
    };
    expiry::parse(&text).ok_or_else(wrong).map(Some)
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
    use sdk::Permission;

    fn parse(json: &str) -> Result<Entry, Error> {
        Entry::parse("bob", json, |_| None)
    }

    #[test]
    fn little_is_enough() {
        let entry = parse(r#"{"password": "$x$"}"#).unwrap();
        assert_eq!(entry.admission.grant.home, "/bob");
        assert_eq!(entry.admission.grant.permissions.len(), 10);
        assert!(entry.admission.admits("203.0.113.9"));
        assert!(!entry.admission.disabled && !entry.require_certificate);
    }

    #[test]
    fn reads_all_of_it() {
        let entry = parse(
            r#"{"password": "$x$", "home": "/b/c/", "storage": "s", "groups": ["g"],
                "permissions": ["read", "upload"], "max-sessions": 4, "idle-timeout": "10m",
                "upload-rate": "10MiB", "download-rate": 5, "max-upload-size": "2GiB",
                "quota": "10GB", "quota-files": 1000, "greeting": "Hi", "certificates": ["CN=bob"],
                "require-certificate": true, "addresses": ["192.0.2.0/24", "2001:db8::1"],
                "disabled": true, "attributes": {"department": "x"}}"#,
        )
        .unwrap();
        let grant = &entry.admission.grant;
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
        assert_eq!(grant.quota_files, Some(1000));
        assert_eq!(grant.attributes, [("department".into(), "x".into())]);
        assert!(entry.admission.disabled && entry.require_certificate);
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
                r#"{"password": "", "quota-files": 0}"#,
                "quota-files: expected a number from 1 on, found 0",
            ),
            (
                r#"{"password": "", "disabled": "yes"}"#,
                "disabled: expected true or false, found \"yes\"",
            ),
            (
                r#"{"password": "", "expires": "soon"}"#,
                "expires: expected a date such as \"2026-12-31\" or a time such as \"2026-12-31T18:00:00Z\", found \"soon\"",
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
                Entry::parse(name, r#"{"password": "$x$"}"#, |_| None).is_err(),
                "{name:?}"
            );
            assert!(
                Entry::parse(name, r#"{"password": "$x$", "home": "/x"}"#, |_| None).is_ok(),
                "{name:?}"
            );
        }
        assert_eq!(
            Entry::parse("...", r#"{"password": "$x$"}"#, |_| None)
                .unwrap()
                .admission
                .grant
                .home,
            "/..."
        );
        assert_eq!(
            parse(r#"{"password": "$x$", "home": "/"}"#)
                .unwrap()
                .admission
                .grant
                .home,
            "/"
        );
    }

    #[test]
    fn admits_by_network() {
        let entry = parse(r#"{"password": "", "addresses": ["192.0.2.7/24", "2001:db8::1"]}"#);
        let admission = entry.unwrap().admission;
        for address in ["192.0.2.200", "::ffff:192.0.2.1", "2001:db8::1"] {
            assert!(admission.admits(address), "{address}");
        }
        for address in ["192.0.3.1", "::192.0.2.1", "2001:db8::2", "", "unix"] {
            assert!(!admission.admits(address), "{address}");
        }
        let nowhere = parse(r#"{"password": "", "addresses": []}"#)
            .unwrap()
            .admission;
        assert!(!nowhere.admits("192.0.2.1"));
    }

    #[test]
    fn anonymous_reads_only_and_has_no_password() {
        let guest = Admission::anonymous(r#"{"home": "/public"}"#).unwrap();
        assert_eq!(
            guest.grant.permissions,
            [Permission::List, Permission::Download]
        );
        assert_eq!(
            Admission::anonymous("{}").unwrap_err(),
            "anonymous: home: needed"
        );
        let error = Admission::anonymous(r#"{"home": "/", "password": "$x$"}"#).unwrap_err();
        assert_eq!(error, "anonymous: password: there is no such key");
    }
}
