//! Who is let in.

use crate::settings::Settings;
use accounts::entry::Entry;
use accounts::login::{self, Server};
use sdk::Grant;

/// The codes that were used.
pub trait Codes {
    /// Remembers for so many seconds that the user's code of this period was taken; false where it
    /// was before.
    fn take(&self, user: &str, period: u64, seconds: u32) -> Result<bool, String>;
}

/// What becomes of a login.
#[derive(Debug)]
pub enum Outcome {
    /// The user is in.
    Accept(Box<Grant>),
    /// The user stays out, and why.
    Deny(&'static str),
    /// The password is right, and a code is wanted.
    Challenge,
    /// Another plugin may know the user.
    Abstain,
}

/// Decides about one try. The code comes in answer to a challenge, or at the end of the password;
/// exactly one hash is computed either way. A code is taken only with a right password, so that
/// nobody else can use it up.
pub fn authenticate(
    settings: &Settings,
    server: &(impl Server + Codes),
    user: &str,
    password: Option<&str>,
    code: Option<&str>,
) -> Result<Outcome, String> {
    let entry = server
        .user(user)
        .map(|json| Entry::parse(user, &json, |group| server.group(group)));
    let totp = entry.transpose()?.and_then(|entry| entry.totp);
    let Some(totp) = totp else {
        return Ok(match login::authenticate(server, user, password)? {
            login::Outcome::Accept(_) if settings.required => Outcome::Deny("has no second factor"),
            login::Outcome::Accept(grant) => Outcome::Accept(grant),
            login::Outcome::Deny(reason) => Outcome::Deny(reason),
            login::Outcome::Abstain => Outcome::Abstain,
        });
    };
    let generator = settings.generator(user, totp)?;
    // A certificate alone is one factor: the password, or the code in its place, has to be asked for.
    let Some(typed) = password else {
        return Ok(Outcome::Abstain);
    };
    let now = server.now();
    let (password, code) = match code {
        Some(code) => (typed, Some(code.trim())),
        None => generator.split(typed, now),
    };
    let grant = match login::authenticate(server, user, Some(password))? {
        login::Outcome::Accept(grant) => grant,
        login::Outcome::Deny(reason) => return Ok(Outcome::Deny(reason)),
        login::Outcome::Abstain => return Ok(Outcome::Abstain),
    };
    let Some(code) = code else {
        return Ok(match settings.ask {
            true => Outcome::Challenge,
            false => Outcome::Deny("no code, or a wrong one, after the password"),
        });
    };
    let Some(period) = generator.period_of(code, now) else {
        return Ok(Outcome::Deny("wrong code"));
    };
    let form = generator.form;
    let remembered = form.period.saturating_mul(2 * form.skew + 2);
    Ok(match server.take(user, period, remembered)? {
        true => Outcome::Accept(grant),
        false => Outcome::Deny("the code was used before"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use accounts::certificate::Shown;
    use std::cell::{Cell, RefCell};

    const ENTRY: &str = r#"{"password": "$right", "totp": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"}"#;
    /// RFC 6238, appendix B: at 59 s.
    const CODE: &str = "287082";

    /// A hash is its password with a "$" before it.
    struct Fake {
        entry: Option<&'static str>,
        subject: Option<&'static str>,
        hashed: Cell<u32>,
        taken: RefCell<Vec<(String, u64)>>,
    }

    impl Server for Fake {
        fn user(&self, _: &str) -> Option<String> {
            self.entry.map(Into::into)
        }
        fn group(&self, _: &str) -> Option<String> {
            None
        }
        fn anonymous(&self) -> Option<String> {
            None
        }
        fn verify(&self, password: &str, hash: &str) -> Result<bool, String> {
            self.hashed.set(self.hashed.get() + 1);
            Ok(hash.strip_prefix('$') == Some(password))
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
            59
        }
        fn has_second_factors(&self) -> bool {
            true
        }
    }

    impl Codes for Fake {
        fn take(&self, user: &str, period: u64, _: u32) -> Result<bool, String> {
            let taken = (user.to_owned(), period);
            let new = !self.taken.borrow().contains(&taken);
            self.taken.borrow_mut().push(taken);
            Ok(new)
        }
    }

    fn server(entry: Option<&'static str>) -> Fake {
        Fake {
            entry,
            subject: None,
            hashed: Cell::new(0),
            taken: RefCell::default(),
        }
    }

    fn settings(key: &str, value: &str) -> Settings {
        Settings::parse(|asked| (asked == key).then(|| value.into())).unwrap()
    }

    /// The outcome as a word, and how many hashes it took.
    fn login(server: &Fake, password: Option<&str>, code: Option<&str>) -> (&'static str, u32) {
        told(&settings("", ""), server, password, code)
    }

    fn told(
        settings: &Settings,
        server: &Fake,
        password: Option<&str>,
        code: Option<&str>,
    ) -> (&'static str, u32) {
        server.hashed.set(0);
        let word = match authenticate(settings, server, "bob", password, code).unwrap() {
            Outcome::Accept(_) => "accept",
            Outcome::Deny(reason) => reason,
            Outcome::Challenge => "challenge",
            Outcome::Abstain => "abstain",
        };
        (word, server.hashed.get())
    }

    #[test]
    fn asks_for_the_code() {
        let server = server(Some(ENTRY));
        assert_eq!(login(&server, Some("right"), None), ("challenge", 1));
        assert_eq!(login(&server, Some("wrong"), None), ("wrong password", 1));
        assert_eq!(
            login(&server, Some("right"), Some("000000")),
            ("wrong code", 1)
        );
        assert_eq!(
            login(&server, Some("wrong"), Some(CODE)),
            ("wrong password", 1)
        );
        assert!(server.taken.borrow().is_empty());
        assert_eq!(login(&server, Some("right"), Some(CODE)), ("accept", 1));
    }

    #[test]
    fn takes_a_code_once() {
        let server = server(Some(ENTRY));
        assert_eq!(login(&server, Some("right287082"), None), ("accept", 1));
        let again = ("the code was used before", 1);
        assert_eq!(login(&server, Some("right287082"), None), again);
        assert_eq!(login(&server, Some("right"), Some(CODE)), again);
    }

    #[test]
    fn does_not_ask_where_it_should_not() {
        let server = server(Some(ENTRY));
        let silent = settings("ask", "false");
        for password in ["right", "right000000"] {
            let (word, hashes) = told(&silent, &server, Some(password), None);
            assert!(word.starts_with("no code") || word == "wrong password");
            assert_eq!(hashes, 1);
        }
        assert_eq!(
            told(&silent, &server, Some("right287082"), None),
            ("accept", 1)
        );
    }

    #[test]
    fn a_certificate_is_one_factor() {
        let entry = r#"{"certificates": ["CN=bob"], "totp": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"}"#;
        let mut server = server(Some(entry));
        server.subject = Some("CN=bob");
        assert_eq!(login(&server, None, None), ("abstain", 0));
        assert_eq!(login(&server, Some("any"), None), ("challenge", 1));
        assert_eq!(login(&server, Some(CODE), None), ("accept", 1));
        server.subject = None;
        assert_eq!(login(&server, Some("any"), Some(CODE)).1, 1);
        assert!(server.taken.borrow().len() == 1);
    }

    #[test]
    fn users_without_codes() {
        let plain = server(Some(r#"{"password": "$right"}"#));
        assert_eq!(login(&plain, Some("right"), None), ("accept", 1));
        let required = settings("required", "true");
        let word = told(&required, &plain, Some("right"), None);
        assert_eq!(word, ("has no second factor", 1));
        assert_eq!(login(&server(None), Some("right"), None), ("abstain", 1));
    }

    #[test]
    fn a_broken_entry_is_no_denial() {
        let server = server(Some(r#"{"password": "$x", "totp": "x"}"#));
        let error = authenticate(&settings("", ""), &server, "bob", Some("x"), None).unwrap_err();
        assert!(error.starts_with("user \"bob\": totp: expected"), "{error}");
    }
}
