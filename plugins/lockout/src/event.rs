//! The events that say what became of an attempt.

use sdk::Value;

/// The end of one attempt.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    /// Whose.
    pub user: String,
    /// From where.
    pub address: String,
    /// In which session.
    pub session: String,
    /// Whether the user is in.
    pub accepted: bool,
}

impl Ended {
    /// Reads an event; none where it is about something else.
    pub fn parse(event: &str) -> Option<Self> {
        let event: Value = serde_json::from_str(event).ok()?;
        let text = |key: &str| event.get(key)?.as_str().map(str::to_owned);
        let accepted = match event.get("event")?.as_str()? {
            "login" => true,
            "login-failed" => false,
            _ => return None,
        };
        Some(Self {
            user: text("user")?,
            address: text("client")?,
            session: text("session")?,
            accepted,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_logins_alone() {
        let event = r#"{"event": "login-failed", "session": "s1", "client": "192.0.2.1", "user": "bob", "reason": "x"}"#;
        let ended = Ended::parse(event).unwrap();
        assert_eq!(
            (ended.user.as_str(), ended.address.as_str(), ended.accepted),
            ("bob", "192.0.2.1", false)
        );
        assert!(
            Ended::parse(&event.replace("-failed", ""))
                .unwrap()
                .accepted
        );
        for other in ["", "[]", r#"{"event": "upload"}"#, r#"{"event": "login"}"#] {
            assert_eq!(Ended::parse(other), None, "{other}");
        }
    }
}
