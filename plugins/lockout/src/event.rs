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
    /// What became of it.
    pub end: End,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The user is in.
    Accepted,
    /// The user is not.
    Failed,
    /// A plugin has failed, and nobody knows.
    Undecided,
}

impl Ended {
    /// Reads an event; none where it is about something else.
    pub fn parse(event: &str) -> Option<Self> {
        let event: Value = serde_json::from_str(event).ok()?;
        let text = |key: &str| event.get(key)?.as_str().map(str::to_owned);
        let end = match event.get("event")?.as_str()? {
            "login" => End::Accepted,
            "login-failed" => End::Failed,
            "fault" if event.get("operation")?.as_str()? == "login" => End::Undecided,
            _ => return None,
        };
        Some(Self {
            user: text("user")?,
            address: text("client")?,
            session: text("session")?,
            end,
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
            (ended.user.as_str(), ended.address.as_str(), ended.end),
            ("bob", "192.0.2.1", End::Failed)
        );
        let read = |event: String| Ended::parse(&event).unwrap().end;
        assert_eq!(read(event.replace("login-failed", "login")), End::Accepted);
        let fault = event
            .replace("login-failed", "fault")
            .replace("reason", "operation");
        assert_eq!(Ended::parse(&fault), None);
        assert_eq!(read(fault.replace("\"x\"", "\"login\"")), End::Undecided);
        for other in ["", "[]", r#"{"event": "upload"}"#, r#"{"event": "login"}"#] {
            assert_eq!(Ended::parse(other), None, "{other}");
        }
    }
}
