//! What the service may answer.
//!
//! With status 200 a JSON object: `outcome` is "accept", with an `account`, or "deny", with a
//! `reason` for the server's log, or "challenge", with a `prompt` for the client, or "abstain". An
//! account has the keys that a user of the plugin `users` has, from `home` on, as far as they say
//! what the user may do. Status 401 and 403 deny, 404 abstains.

use sdk::{Grant, Table};

/// What becomes of a login.
#[derive(Debug)]
pub enum Answer {
    /// The user is in.
    Accept(Box<Grant>),
    /// The user stays out, and why.
    Deny(String),
    /// The client is asked this.
    Challenge(String),
    /// Another plugin may know the user.
    Abstain,
}

impl Answer {
    /// Reads an answer about `user`. An error is the service's.
    pub fn parse(status: u16, body: &[u8], user: &str) -> Result<Self, String> {
        match status {
            200 => Self::read(body, user).map_err(|what| format!("the answer: {what}")),
            401 | 403 => Ok(Self::Deny(format!("the service answers {status}"))),
            404 => Ok(Self::Abstain),
            // A redirect, too: passwords go where the settings say, and nowhere else.
            other => Err(format!("the service answers {other}")),
        }
    }

    fn read(body: &[u8], user: &str) -> Result<Self, String> {
        let body = std::str::from_utf8(body).map_err(|_| "not UTF-8")?;
        let mut table = Table::parse("", body)?;
        let outcome = table.text("outcome")?;
        let reason = table.text("reason")?;
        let prompt = table.text("prompt")?;
        let account = table.table("account")?;
        table.finish()?;
        match (outcome.as_deref(), account) {
            (Some("accept"), Some(mut account)) => {
                let grant = Grant::take(&mut account, Some(user), &["all"])?;
                account.finish()?;
                Ok(Self::Accept(Box::new(grant)))
            }
            (Some("accept"), None) => Err(table.wrong("account", "needed")),
            (Some("deny"), _) => Ok(Self::Deny(
                reason.unwrap_or_else(|| "the service denies".into()),
            )),
            (Some("challenge"), _) => Ok(Self::Challenge(
                prompt.unwrap_or_else(|| "One-time code".into()),
            )),
            (Some("abstain"), _) => Ok(Self::Abstain),
            (other, _) => {
                let expected = "expected \"accept\", \"deny\", \"challenge\" or \"abstain\"";
                let found = other.map_or("nothing".into(), |other| format!("{other:?}"));
                Err(table.wrong("outcome", &format!("{expected}, found {found}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Result<Answer, String> {
        Answer::parse(status, body.as_bytes(), "bob")
    }

    #[test]
    fn reads_every_outcome() {
        let Answer::Accept(grant) =
            read(200, r#"{"outcome": "accept", "account": {"quota": 5}}"#).unwrap()
        else {
            panic!()
        };
        assert_eq!((grant.home.as_str(), grant.quota), ("/bob", Some(5)));
        for (status, body, word) in [
            (
                200,
                r#"{"outcome": "deny", "reason": "late"}"#,
                "Deny(\"late\")",
            ),
            (
                200,
                r#"{"outcome": "challenge", "prompt": "PIN"}"#,
                "Challenge(\"PIN\")",
            ),
            (200, r#"{"outcome": "abstain"}"#, "Abstain"),
            (401, "", "Deny(\"the service answers 401\")"),
            (403, "<html>", "Deny(\"the service answers 403\")"),
            (404, "", "Abstain"),
        ] {
            assert_eq!(format!("{:?}", read(status, body).unwrap()), word);
        }
    }

    #[test]
    fn anything_else_lets_nobody_in() {
        for (status, body, error) in [
            (200, "", "the answer: expected a table"),
            (200, "true", "the answer: expected a table, found true"),
            (200, "{}", "the answer: outcome: expected"),
            (200, r#"{"outcome": "ok"}"#, "the answer: outcome: expected"),
            (
                200,
                r#"{"outcome": "accept"}"#,
                "the answer: account: needed",
            ),
            (
                200,
                r#"{"outcome": "accept", "account": {"home": "../.."}}"#,
                "the answer: account: home: expected a path",
            ),
            (
                200,
                r#"{"outcome": "accept", "account": {"permission": ["read"]}}"#,
                "the answer: account: permission: there is no such key",
            ),
            (204, "", "the service answers 204"),
            (302, "", "the service answers 302"),
            (500, r#"{"outcome": "accept"}"#, "the service answers 500"),
        ] {
            let found = read(status, body).unwrap_err();
            assert!(found.starts_with(error), "{found}");
        }
        assert!(Answer::parse(200, b"\xff", "bob").is_err());
    }
}
