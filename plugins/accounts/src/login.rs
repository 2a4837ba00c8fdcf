//! Who is let in.

use crate::certificate::Shown;
use crate::entry::{Admission, Entry};
use sdk::Grant;

/// A valid hash of no password, at the cost that `portcullis passwd` takes.
pub const DUMMY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What the server knows.
pub trait Server {
    /// One entry of the table of users.
    fn user(&self, name: &str) -> Option<String>;
    /// One entry of the table of groups.
    fn group(&self, name: &str) -> Option<String>;
    /// The setting `anonymous`.
    fn anonymous(&self) -> Option<String>;
    /// Whether the hash is this password's.
    fn verify(&self, password: &str, hash: &str) -> Result<bool, String>;
    /// The certificate that the client has shown.
    fn certificate(&self) -> Shown;
    /// Where the client is.
    fn address(&self) -> String;
    /// Seconds since 1970.
    fn now(&self) -> u64;
    /// Whether the caller asks users who have a second factor for it.
    fn has_second_factors(&self) -> bool {
        false
    }
}

/// What becomes of a login.
#[derive(Debug)]
pub enum Outcome {
    /// The user is in.
    Accept(Box<Grant>),
    /// The user stays out, and why.
    Deny(&'static str),
    /// Another plugin may know the user.
    Abstain,
}

/// Decides about one try. An error is the operator's: a broken entry, say.
///
/// Without a password (before PASS, when a certificate was shown) only a certificate can do, and
/// nothing is hashed. With one, exactly one hash is computed whoever is asked for, so that the time
/// tells nobody which users there are.
pub fn authenticate(
    server: &impl Server,
    user: &str,
    password: Option<&str>,
) -> Result<Outcome, String> {
    match server.user(user) {
        Some(entry) => {
            let entry = Entry::parse(user, &entry, |group| server.group(group))?;
            known(server, entry, user, password)
        }
        None if matches!(user, "anonymous" | "ftp") => guest(server, password),
        None => {
            if let Some(password) = password {
                server.verify(password, DUMMY)?;
            }
            Ok(Outcome::Abstain)
        }
    }
}

fn known(
    server: &impl Server,
    entry: Entry,
    user: &str,
    password: Option<&str>,
) -> Result<Outcome, String> {
    if entry.totp.is_some() && !server.has_second_factors() {
        return Err(format!(
            "user {user:?}: totp: the plugin auth-totp is needed"
        ));
    }
    let certified = !entry.certificates.is_empty() && {
        let shown = server.certificate();
        entry
            .certificates
            .iter()
            .any(|pattern| pattern.matches(&shown))
    };
    match (password, &entry.password) {
        (None, Some(_)) if entry.require_certificate => return Ok(Outcome::Abstain),
        (None, _) if certified => {}
        (None, _) => return Ok(Outcome::Abstain),
        (Some(password), Some(hash)) => {
            let verified = server.verify(password, hash);
            // What is wrong with the hash, but not the hash.
            if !verified.map_err(|what| format!("user {user:?}: password: {what}"))? {
                return Ok(Outcome::Deny("wrong password"));
            }
            if entry.require_certificate && !certified {
                return Ok(Outcome::Deny("no certificate of this user's"));
            }
        }
        (Some(password), None) => {
            server.verify(password, DUMMY)?;
            if !certified {
                return Ok(Outcome::Deny("no certificate of this user's"));
            }
        }
    }
    Ok(admit(server, entry.admission))
}

fn guest(server: &impl Server, password: Option<&str>) -> Result<Outcome, String> {
    let Some(setting) = server.anonymous() else {
        if let Some(password) = password {
            server.verify(password, DUMMY)?;
        }
        return Ok(Outcome::Abstain);
    };
    // Any password will do, but it has to be asked for: clients expect that.
    match password {
        None => Ok(Outcome::Abstain),
        Some(_) => Ok(admit(server, Admission::anonymous(&setting)?)),
    }
}

fn admit(server: &impl Server, admission: Admission) -> Outcome {
    if admission.disabled {
        Outcome::Deny("disabled")
    } else if admission
        .grant
        .expires
        .is_some_and(|end| server.now() >= end)
    {
        Outcome::Deny("the account has expired")
    } else if !admission.admits(&server.address()) {
        Outcome::Deny("not from this address")
    } else {
        Outcome::Accept(Box::new(admission.grant))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A hash is its password with a "$" before it.
    #[derive(Default)]
    struct Fake {
        entry: Option<&'static str>,
        anonymous: Option<&'static str>,
        subject: Option<&'static str>,
        hashed: Cell<u32>,
    }

    impl Server for Fake {
        fn user(&self, name: &str) -> Option<String> {
            self.entry.filter(|_| name != "nobody").map(Into::into)
        }
        fn group(&self, name: &str) -> Option<String> {
            (name == "staff").then(|| r#"{"expires": "2026-11-27"}"#.into())
        }
        fn anonymous(&self) -> Option<String> {
            self.anonymous.map(Into::into)
        }
        fn verify(&self, password: &str, hash: &str) -> Result<bool, String> {
            self.hashed.set(self.hashed.get() + 1);
            let known = hash.strip_prefix('$').ok_or("unknown kind of hash")?;
            Ok(known == password)
        }
        fn certificate(&self) -> Shown {
            Shown {
                subject: self.subject.map(Into::into),
                sha256: None,
            }
        }
        fn address(&self) -> String {
            "192.0.2.1".into()
        }
        fn now(&self) -> u64 {
            1_795_824_000
        }
    }

    #[test]
    fn an_account_ends_with_its_day() {
        for (entry, expected) in [
            (
                r#"{"password": "$right", "expires": "2026-11-28"}"#,
                "accept",
            ),
            (
                r#"{"password": "$right", "expires": "2026-11-28T00:00:01Z"}"#,
                "accept",
            ),
            (
                r#"{"password": "$right", "expires": "2026-11-28T00:00:00Z"}"#,
                "deny",
            ),
            (r#"{"password": "$right", "expires": "2026-11-27"}"#, "deny"),
            (r#"{"password": "$right", "groups": ["staff"]}"#, "deny"),
            (r#"{"password": "$right", "groups": ["other"]}"#, "accept"),
        ] {
            let server = Fake {
                entry: Some(entry),
                ..Fake::default()
            };
            // As many hashes as for anybody else, so that nothing tells.
            assert_eq!(
                login(&server, "bob", Some("right")),
                (expected, 1),
                "{entry}"
            );
        }
    }

    /// The outcome as a word, and how many hashes it took.
    fn login(server: &Fake, user: &str, password: Option<&str>) -> (&'static str, u32) {
        server.hashed.set(0);
        let outcome = match authenticate(server, user, password).unwrap() {
            Outcome::Accept(_) => "accept",
            Outcome::Deny(_) => "deny",
            Outcome::Abstain => "abstain",
        };
        (outcome, server.hashed.get())
    }

    #[test]
    fn the_dummy_costs_what_a_hash_costs() {
        use argon2::{Argon2, Params, PasswordHash, PasswordVerifier};
        let hash = PasswordHash::new(DUMMY).unwrap();
        let params = Params::try_from(&hash).unwrap();
        assert_eq!(
            (params.m_cost(), params.t_cost(), params.p_cost()),
            (19456, 2, 1)
        );
        let error = Argon2::default().verify_password(b"", &hash).unwrap_err();
        assert_eq!(error, argon2::password_hash::Error::Password);
    }

    #[test]
    fn by_password() {
        let server = Fake {
            entry: Some(r#"{"password": "$right"}"#),
            ..Fake::default()
        };
        assert_eq!(login(&server, "bob", Some("right")), ("accept", 1));
        assert_eq!(login(&server, "bob", Some("wrong")), ("deny", 1));
        assert_eq!(login(&server, "bob", None), ("abstain", 0));
        assert_eq!(login(&server, "nobody", Some("right")), ("abstain", 1));
        assert_eq!(login(&server, "nobody", None), ("abstain", 0));
    }

    #[test]
    fn by_certificate_alone() {
        let mut server = Fake {
            entry: Some(r#"{"certificates": ["CN=bob"]}"#),
            subject: Some("CN=bob"),
            ..Fake::default()
        };
        assert_eq!(login(&server, "bob", None), ("accept", 0));
        assert_eq!(login(&server, "bob", Some("any")), ("accept", 1));
        for subject in [None, Some("CN=eve")] {
            server.subject = subject;
            assert_eq!(login(&server, "bob", None), ("abstain", 0));
            assert_eq!(login(&server, "bob", Some("any")), ("deny", 1));
        }
    }

    #[test]
    fn by_certificate_or_password() {
        let mut server = Fake {
            entry: Some(r#"{"password": "$right", "certificates": ["CN=bob"]}"#),
            subject: Some("CN=bob"),
            ..Fake::default()
        };
        assert_eq!(login(&server, "bob", None), ("accept", 0));
        assert_eq!(login(&server, "bob", Some("wrong")), ("deny", 1));
        server.subject = None;
        assert_eq!(login(&server, "bob", Some("right")), ("accept", 1));
    }

    #[test]
    fn by_certificate_and_password() {
        let mut server = Fake {
            entry: Some(
                r#"{"password": "$right", "certificates": ["CN=bob"], "require-certificate": true}"#,
            ),
            subject: Some("CN=bob"),
            ..Fake::default()
        };
        assert_eq!(login(&server, "bob", None), ("abstain", 0));
        assert_eq!(login(&server, "bob", Some("wrong")), ("deny", 1));
        assert_eq!(login(&server, "bob", Some("right")), ("accept", 1));
        server.subject = None;
        assert_eq!(login(&server, "bob", Some("right")), ("deny", 1));
    }

    #[test]
    fn not_when_disabled_or_elsewhere() {
        for entry in [
            r#"{"password": "$right", "disabled": true}"#,
            r#"{"password": "$right", "addresses": ["198.51.100.0/24"]}"#,
        ] {
            let server = Fake {
                entry: Some(entry),
                ..Fake::default()
            };
            assert_eq!(login(&server, "bob", Some("right")), ("deny", 1));
        }
    }

    #[test]
    fn anonymous_where_it_is_on() {
        let mut server = Fake::default();
        assert_eq!(login(&server, "anonymous", Some("x")), ("abstain", 1));
        server.anonymous = Some(r#"{"home": "/public"}"#);
        assert_eq!(
            login(&server, "anonymous", Some("me@example.org")),
            ("accept", 0)
        );
        assert_eq!(login(&server, "ftp", Some("")), ("accept", 0));
        assert_eq!(login(&server, "ftp", None), ("abstain", 0));
        assert_eq!(login(&server, "bob", Some("x")), ("abstain", 1));
        // A user of that name comes first.
        server.entry = Some(r#"{"password": "$right"}"#);
        assert_eq!(login(&server, "ftp", Some("x")), ("deny", 1));
    }

    #[test]
    fn a_broken_entry_is_no_denial() {
        for (entry, error) in [
            (
                r#"{"password": "plain"}"#,
                "user \"bob\": password: unknown kind of hash",
            ),
            (
                r#"{"password": "$x", "totp": "JBSWY3DPEHPK3PXP"}"#,
                "user \"bob\": totp: the plugin auth-totp is needed",
            ),
            (
                r#"{"passwort": "$x"}"#,
                "user \"bob\": passwort: there is no such key",
            ),
        ] {
            let server = Fake {
                entry: Some(entry),
                ..Fake::default()
            };
            assert_eq!(authenticate(&server, "bob", Some("x")).unwrap_err(), error);
        }
    }
}
