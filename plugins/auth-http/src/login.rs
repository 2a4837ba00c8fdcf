//! Asking, and remembering what was answered.

use crate::answer::Answer;
use crate::question::Question;
use crate::settings::Settings;
use data_encoding::HEXLOWER;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Where the key is kept that answers are remembered under.
const KEY: &str = "key";
/// Longer answers are not remembered.
const LONGEST: usize = 16 * 1024;

/// What the server keeps and does.
pub trait Server {
    /// Sends the question; status and body of the answer.
    fn ask(&self, body: &str) -> Result<(u16, Vec<u8>), String>;
    /// A value that is remembered.
    fn get(&self, key: &str) -> Option<Vec<u8>>;
    /// Remembers a value, for so many seconds if there is a number.
    fn set(&self, key: &str, value: &[u8], seconds: Option<u32>);
    /// Bytes that nobody can guess.
    fn random(&self) -> Vec<u8>;
}

/// Decides about one try. An error is the service's.
///
/// An answer is remembered by a keyed digest of the whole question. With codes nothing is: each is
/// good for one time.
pub fn authenticate(
    settings: &Settings,
    server: &impl Server,
    question: &Question,
) -> Result<Answer, String> {
    let body = question.json();
    let caches = settings.cache > 0 || settings.cache_denials > 0;
    let name = (caches && question.one_time_code.is_none()).then(|| name(settings, server, &body));
    let known = name.as_deref().and_then(|name| server.get(name));
    if let Some(known) = known.as_deref().and_then(<[u8]>::split_first_chunk) {
        let (status, body) = known;
        return Answer::parse(u16::from_be_bytes(*status), body, &question.user);
    }

    let (status, body) = server.ask(&body)?;
    let answer = Answer::parse(status, &body, &question.user)?;
    let seconds = match answer {
        Answer::Accept(_) => settings.cache,
        Answer::Deny(_) => settings.cache_denials,
        Answer::Challenge(_) | Answer::Abstain => 0,
    };
    if let Some(name) = name.filter(|_| seconds > 0 && body.len() <= LONGEST) {
        let value = [&status.to_be_bytes(), body.as_slice()].concat();
        server.set(&name, &value, Some(seconds));
    }
    Ok(answer)
}

fn name(settings: &Settings, server: &impl Server, body: &str) -> String {
    let key = server.get(KEY).unwrap_or_else(|| {
        // Where two calls do this at the same time, one of them remembers nothing: no harm done.
        let key = server.random();
        server.set(KEY, &key, None);
        key
    });
    // An HMAC takes keys of any length.
    let Ok(mut mac) = <Hmac<Sha256> as Mac>::new_from_slice(&key) else {
        return String::new();
    };
    // Another service, after a reload, may answer otherwise.
    let url = &settings.service.url;
    mac.update(format!("{}{}\0", url.authority, url.path).as_bytes());
    mac.update(body.as_bytes());
    format!("answer {}", HEXLOWER.encode(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};
    use std::collections::HashMap;

    #[derive(Default)]
    struct Fake {
        answer: RefCell<(u16, &'static str)>,
        asked: Cell<u32>,
        values: RefCell<HashMap<String, Vec<u8>>>,
    }

    impl Server for Fake {
        fn ask(&self, _: &str) -> Result<(u16, Vec<u8>), String> {
            self.asked.set(self.asked.get() + 1);
            let (status, body) = *self.answer.borrow();
            Ok((status, body.into()))
        }
        fn get(&self, key: &str) -> Option<Vec<u8>> {
            self.values.borrow().get(key).cloned()
        }
        fn set(&self, key: &str, value: &[u8], _: Option<u32>) {
            self.values.borrow_mut().insert(key.into(), value.into());
        }
        fn random(&self) -> Vec<u8> {
            vec![7; 32]
        }
    }

    const ACCEPT: &str = r#"{"outcome": "accept", "account": {"home": "/b"}}"#;

    fn settings(more: &str) -> Settings {
        Settings::parse(&format!(r#"{{"url": "https://a.example/"{more}}}"#)).unwrap()
    }

    fn question(password: &str) -> Question {
        Question {
            user: "bob".into(),
            password: Some(password.into()),
            ..Question::default()
        }
    }

    /// How often the service is asked when these come one after the other.
    fn asked(settings: &Settings, server: &Fake, questions: &[Question]) -> u32 {
        server.asked.set(0);
        for question in questions {
            authenticate(settings, server, question).unwrap();
        }
        server.asked.get()
    }

    #[test]
    fn remembers_nothing_unless_told() {
        let server = Fake::default();
        server.answer.replace((200, ACCEPT));
        let twice = [question("x"), question("x")];
        assert_eq!(asked(&settings(""), &server, &twice), 2);
        assert!(server.values.borrow().is_empty());
    }

    #[test]
    fn remembers_acceptances_of_the_same_question() {
        let server = Fake::default();
        server.answer.replace((200, ACCEPT));
        let settings = settings(r#", "cache-seconds": 60"#);
        let same = [question("x"), question("x"), question("x")];
        assert_eq!(asked(&settings, &server, &same), 1);
        server.answer.replace((401, ""));
        let Ok(Answer::Accept(grant)) = authenticate(&settings, &server, &question("x")) else {
            panic!()
        };
        assert_eq!(grant.home, "/b");
        // Another password, address, certificate: another question.
        let mut others = vec![question("y"), question("x"), question("x")];
        others[1].client_address = "192.0.2.1".into();
        others[2].certificate_sha256 = Some("00".into());
        assert_eq!(asked(&settings, &server, &others), 3);
        let values = server.values.borrow();
        assert!(
            values
                .keys()
                .all(|key| !key.contains('x') && !key.contains("bob"))
        );
    }

    #[test]
    fn remembers_denials_only_if_told() {
        let server = Fake::default();
        server.answer.replace((200, r#"{"outcome": "deny"}"#));
        let twice = [question("x"), question("x")];
        let accepting = settings(r#", "cache-seconds": 60"#);
        assert_eq!(asked(&accepting, &server, &twice), 2);
        let denying = settings(r#", "cache-denials-seconds": 60"#);
        assert_eq!(asked(&denying, &server, &twice), 1);
    }

    #[test]
    fn remembers_nothing_about_codes() {
        let server = Fake::default();
        let settings = settings(r#", "cache-seconds": 60, "cache-denials-seconds": 60"#);
        server.answer.replace((200, r#"{"outcome": "challenge"}"#));
        assert_eq!(
            asked(&settings, &server, &[question("x"), question("x")]),
            2
        );
        let mut coded = question("x");
        coded.one_time_code = Some("1".into());
        server.answer.replace((200, ACCEPT));
        assert_eq!(asked(&settings, &server, &[coded.clone(), coded]), 2);
        assert_eq!(asked(&settings, &server, &[question("x")]), 1);
    }

    #[test]
    fn no_answer_is_no_denial() {
        let server = Fake::default();
        let settings = settings(r#", "cache-seconds": 60, "cache-denials-seconds": 60"#);
        for answer in [(500, ""), (200, "?"), (302, "")] {
            server.answer.replace(answer);
            assert!(authenticate(&settings, &server, &question("x")).is_err());
        }
        assert_eq!(server.values.borrow().len(), 1);
    }
}
