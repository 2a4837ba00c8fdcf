//! Delivering a batch.

use crate::settings::Settings;
use sdk::Value;
use std::time::Duration;

/// The first wait before a request is sent again; the next ones are twice as long each.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// What the server does.
pub trait Server {
    /// Sends a body, within `timeout`, and returns the status of the answer.
    fn post(&self, body: &str, timeout: Duration) -> Result<u16, String>;
    /// Waits.
    fn wait(&self, duration: Duration);
    /// What is left of the time until a batch is given up.
    fn left(&self) -> Duration;
}

/// Posts those of the events that are wanted. An error says why it was given up.
pub fn deliver(settings: &Settings, server: &impl Server, events: &[String]) -> Result<(), String> {
    let Some(body) = body(settings, events) else {
        return Ok(());
    };
    let mut wait = FIRST_WAIT;
    loop {
        let timeout = settings.service.timeout.min(server.left());
        let error = match server.post(&body, timeout) {
            Ok(200..=299) => return Ok(()),
            // Too early, too many, or the service's own trouble: it may pass.
            Ok(status @ (408 | 425 | 429 | 500..=599)) => format!("the service answers {status}"),
            Ok(status) => return Err(format!("the service answers {status}")),
            Err(error) => error,
        };
        if server.left() <= wait {
            return Err(error);
        }
        server.wait(wait);
        wait = wait.saturating_mul(2);
    }
}

/// None where no event is wanted. The events stay as they are, byte by byte.
fn body(settings: &Settings, events: &[String]) -> Option<String> {
    let wanted = |event: &&String| {
        let Some(names) = &settings.events else {
            return true;
        };
        let event: Option<Value> = serde_json::from_str(event).ok();
        let name = event
            .as_ref()
            .and_then(|event| event.get("event")?.as_str());
        name.is_some_and(|name| names.iter().any(|wanted| wanted == name))
    };
    let events: Vec<_> = events.iter().filter(wanted).map(String::as_str).collect();
    (!events.is_empty()).then(|| format!("{{\"events\":[{}]}}", events.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    struct Fake {
        /// The last one again and again.
        answers: RefCell<Vec<Result<u16, &'static str>>>,
        bodies: RefCell<Vec<String>>,
        waits: RefCell<Vec<u64>>,
    }

    impl Server for Fake {
        fn post(&self, body: &str, _: Duration) -> Result<u16, String> {
            self.bodies.borrow_mut().push(body.into());
            let mut answers = self.answers.borrow_mut();
            let answer = answers[0];
            if answers.len() > 1 {
                let _ = answers.remove(0);
            }
            answer.map_err(Into::into)
        }
        fn wait(&self, duration: Duration) {
            self.waits.borrow_mut().push(duration.as_millis() as u64);
        }
        fn left(&self) -> Duration {
            Duration::from_millis(1000 - self.waits.borrow().iter().sum::<u64>())
        }
    }

    fn fake(answers: &[Result<u16, &'static str>]) -> Fake {
        Fake {
            answers: RefCell::new(answers.into()),
            bodies: RefCell::default(),
            waits: RefCell::default(),
        }
    }

    fn settings(more: &str) -> Settings {
        Settings::parse(&format!(r#"{{"url": "https://a.example/"{more}}}"#)).unwrap()
    }

    fn events() -> Vec<String> {
        vec![
            r#"{"event":"login","user":"bob"}"#.into(),
            r#"{"event":"upload","path":"/a"}"#.into(),
        ]
    }

    #[test]
    fn one_body_for_a_batch() {
        let server = fake(&[Ok(204)]);
        deliver(&settings(""), &server, &events()).unwrap();
        let body = r#"{"events":[{"event":"login","user":"bob"},{"event":"upload","path":"/a"}]}"#;
        assert_eq!(server.bodies.take(), [body]);
    }

    #[test]
    fn only_what_is_wanted() {
        let server = fake(&[Ok(200)]);
        let uploads = settings(r#", "events": ["upload"]"#);
        deliver(&uploads, &server, &events()).unwrap();
        deliver(&uploads, &server, &events()[..1]).unwrap();
        let body = r#"{"events":[{"event":"upload","path":"/a"}]}"#;
        assert_eq!(server.bodies.take(), [body]);
    }

    #[test]
    fn tries_again_what_may_pass() {
        let server = fake(&[Err("refused"), Ok(503), Ok(200)]);
        deliver(&settings(""), &server, &events()).unwrap();
        assert_eq!(server.waits.take(), [100, 200]);
        assert_eq!(server.bodies.borrow().len(), 3);
    }

    #[test]
    fn gives_up_in_time() {
        let server = fake(&[Ok(500)]);
        let error = deliver(&settings(""), &server, &events()).unwrap_err();
        assert_eq!(error, "the service answers 500");
        assert_eq!(server.waits.take(), [100, 200, 400]);
    }

    #[test]
    fn does_not_repeat_what_will_not_pass() {
        for status in [302, 400, 401, 404] {
            let server = fake(&[Ok(status)]);
            deliver(&settings(""), &server, &events()).unwrap_err();
            assert_eq!(server.bodies.borrow().len(), 1);
        }
    }
}
