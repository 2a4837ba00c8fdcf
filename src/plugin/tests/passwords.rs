//! Passwords that are remembered.

use super::*;
use crate::config::PluginHost;

/// Of "password", and of "differentpassword".
const HASHES: [&str; 2] = [
    "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
    "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$C4TWUs9rDEvq7w3+J4umqA32aWKB1+DSiRuBfYxFj94",
];

/// A host, and the users that its plugin "test" knows.
struct Users {
    fixture: Fixture,
    gates: Gates,
}

impl Users {
    async fn new(remember: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = PluginHost {
            instances: 64,
            remember_passwords: remember,
            ..Default::default()
        };
        let host = Host::new(&config, &directory.path().join("cache"), None).unwrap();
        let fixture = Fixture { directory, host };
        let gates = fixture.gates(&[plugin("test", HASHES[0], "")]).await;
        Self { fixture, gates }
    }

    /// As a reload does, but that it forgets no passwords.
    async fn change(&mut self, name: &str, hash: &str, more: &str) {
        self.gates = self.fixture.gates(&[plugin(name, hash, more)]).await;
    }

    /// Logs in; whether that went well, and how many hashes were computed.
    async fn login(&self, user: &str, password: &str) -> (bool, u64) {
        let verifier = &self.fixture.host.shared.verifier;
        let before = verifier.computed();
        let outcome = login(&*self.gates.authenticators[0].gate, user, password).await;
        let accepted = matches!(outcome.unwrap(), Outcome::Accept(_));
        (accepted, verifier.computed() - before)
    }
}

fn plugin(name: &str, hash: &str, more: &str) -> config::Plugin {
    let settings = format!("users.bob = {{ password = {hash:?}{more} }}");
    config::Plugin {
        name: name.into(),
        ..configured("builtin:users".into(), &settings)
    }
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_right_password_is_hashed_once_and_a_wrong_one_each_time() {
    let users = Users::new(HOUR).await;
    assert_eq!(users.login("bob", "wrong").await, (false, 1));
    assert_eq!(users.login("bob", "password").await, (true, 1));
    for _ in 0..3 {
        assert_eq!(users.login("bob", "password").await, (true, 0));
        assert_eq!(users.login("bob", "wrong").await, (false, 1));
        assert_eq!(users.login("bob", "").await, (false, 1));
        assert_eq!(users.login("nobody", "password").await, (false, 1));
    }
}

#[tokio::test]
async fn what_the_plugin_decides_is_decided_each_time() {
    let mut users = Users::new(HOUR).await;
    assert_eq!(users.login("bob", "password").await, (true, 1));
    // A user who stays out for another reason waits as long as with a wrong password.
    for more in [
        ", disabled = true",
        ", expires = \"2001-01-01\"",
        ", addresses = [\"198.51.100.0/24\"]",
        ", require-certificate = true, certificates = [\"CN=bob\"]",
    ] {
        users.change("test", HASHES[0], more).await;
        assert_eq!(users.login("bob", "password").await, (false, 1), "{more}");
        assert_eq!(users.login("bob", "wrong").await, (false, 1), "{more}");
    }
    // Another hash, of another password.
    users.change("test", HASHES[1], "").await;
    assert_eq!(users.login("bob", "password").await, (false, 1));
    assert_eq!(users.login("bob", "differentpassword").await, (true, 1));
    assert_eq!(users.login("bob", "differentpassword").await, (true, 0));
}

#[tokio::test]
async fn a_plugin_learns_nothing_of_what_another_one_has_verified() {
    let mut users = Users::new(HOUR).await;
    assert_eq!(users.login("bob", "password").await, (true, 1));
    users.change("other", HASHES[0], "").await;
    assert_eq!(users.login("bob", "password").await, (true, 1));
    users.change("test", HASHES[0], "").await;
    assert_eq!(users.login("bob", "password").await, (true, 0));
}

#[tokio::test]
async fn a_reload_forgets_and_no_time_remembers_nothing() {
    let users = Users::new(HOUR).await;
    assert_eq!(users.login("bob", "password").await, (true, 1));
    users.fixture.host.retain(std::iter::empty());
    assert_eq!(users.login("bob", "password").await, (true, 1));
    let users = Users::new(Duration::ZERO).await;
    assert_eq!(users.login("bob", "password").await, (true, 1));
    assert_eq!(users.login("bob", "password").await, (true, 1));
}

/// The time counts from the whole hash on, however often the password is used.
#[tokio::test]
async fn it_is_forgotten_after_its_time() {
    let users = Users::new(Duration::from_secs(2)).await;
    assert_eq!(users.login("bob", "password").await, (true, 1));
    let mut hashed = 0;
    for _ in 0..300 {
        hashed += users.login("bob", "password").await.1;
        if hashed > 0 {
            break;
        }
        tokio::time::sleep(millis(100)).await;
    }
    assert_eq!(hashed, 1);
}
