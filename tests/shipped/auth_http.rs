//! `auth-http`.

use crate::{
    attempt,
    early::{self, Then},
    installed,
    service::{Service, body},
    support::{Server, Setup, Tls, tls::Identity},
};

fn server(service: &Service, more: &str) -> Server {
    server_at(&service.origin(), more)
}

fn server_at(origin: &str, more: &str) -> Server {
    let lines = format!(
        "settings.url = \"{origin}/login\"\n\
         settings.headers = {{ Authorization = \"Bearer token\" }}\n\
         settings.timeout = 1\n\
         grants.http = [\"{origin}\"]\n{more}"
    );
    Setup::new()
        .user("unknown", "")
        .plugin("auth-http", "builtin:auth-http", &lines)
        .users_plugin()
        .start()
}

#[test]
fn a_service_decides() {
    if !installed("python3", "python3") {
        return;
    }
    let service = Service::start();
    let server = server(&service, "");
    attempt(&server, "bob", "bob")
        .expect(230)
        .saying("Hello from afar");
    attempt(&server, "bob", "wrong").expect(530);
    attempt(&server, "late", "late").expect(530);
    // The next plugin knows this one.
    attempt(&server, "unknown", "unknown").expect(230);

    let seen = service.wait_for(1);
    let request = &seen[0];
    assert_eq!(request["headers"]["authorization"], "Bearer token");
    assert_eq!(request["headers"]["content-type"], "application/json");
    let question = body(request);
    assert_eq!(
        (&question["user"], &question["password"]),
        (&"bob".into(), &"bob".into())
    );
    assert_eq!(question["client-address"], "127.0.0.1");
    assert_eq!(question["tls-version"], "TLSv1.3");
    assert!(question["one-time-code"].is_null());
    crate::support::eventually("it is in the log", || {
        server.log().contains("not at this hour")
    });
    assert!(!server.log().contains("token"), "the token is in the log");
}

#[test]
fn the_account_is_the_services() {
    if !installed("python3", "python3") {
        return;
    }
    let service = Service::start();
    let server = server(&service, "");
    let mut client = server.login_as("reader", &Tls::new());
    client.send("MKD new").expect(550);
    std::fs::write(server.home().join("file"), "content").unwrap();
    assert_eq!(client.retrieve("RETR file"), b"content");
}

#[test]
fn a_challenge_of_the_services() {
    if !installed("python3", "python3") {
        return;
    }
    let service = Service::start();
    let server = server(&service, "");
    for (code, reply) in [("314159", 230), ("271828", 530)] {
        let mut client = server.secure(&Tls::new());
        client.send("USER coded").expect(331);
        client
            .send("PASS coded")
            .expect(332)
            .saying("The number, please");
        client.send(&format!("ACCT {code}")).expect(reply);
    }
}

/// How often a login is tried that came to nothing once in a hundred times.
fn rounds() -> u32 {
    let rounds = std::env::var("PORTCULLIS_ROUNDS").ok();
    rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(200)
}

#[test]
fn regression_every_answer_counts() {
    if !installed("python3", "python3") {
        return;
    }
    let service = Service::start();
    let server = server(&service, "");
    for round in 0..rounds() {
        let reply = attempt(&server, "bob", "bob");
        assert_eq!(reply.code, 230, "login {round}:\n{}", server.log());
    }
}

/// RFC 9112 §9.5
#[test]
fn regression_an_answer_counts_though_the_question_was_not_read() {
    let accept = r#"{"outcome": "accept", "account": {"home": "/alice"}}"#;
    for then in [Then::Closes, Then::Stays] {
        let origin = early::start(accept, then);
        let server = server_at(&origin, "");
        for round in 0..rounds() / 2 {
            let reply = attempt(&server, "bob", "bob");
            assert_eq!(reply.code, 230, "login {round}:\n{}", server.log());
        }
    }
}

#[test]
fn a_service_that_fails_lets_nobody_in() {
    if !installed("python3", "python3") {
        return;
    }
    let service = Service::start();
    let mut server = server(&service, "");
    for (user, part) in [
        ("error", "answers 500"),
        ("moved", "answers 302"),
        ("nonsense", "expected a table"),
        ("outside", "not a plain path"),
        ("silent", "timed out"),
    ] {
        attempt(&server, user, user).expect(421);
        server.wait_for_line(|line| line.contains("unavailable") && line.contains(part));
    }
    drop(service);
    attempt(&server, "bob", "bob").expect(421);
}

#[test]
fn answers_are_remembered_for_a_while() {
    if !installed("python3", "python3") {
        return;
    }
    let service = Service::start();
    let server = server(&service, "settings.cache-seconds = 60\n");
    for _ in 0..3 {
        attempt(&server, "bob", "bob").expect(230);
    }
    assert_eq!(service.wait_for(1).len(), 1);
    attempt(&server, "bob", "wrong").expect(530);
    attempt(&server, "bob", "wrong").expect(530);
    assert_eq!(service.wait_for(3).len(), 3);
    drop(service);
    attempt(&server, "bob", "bob").expect(230);
    attempt(&server, "bob", "other").expect(421);
}

#[test]
fn by_https_and_not_to_strangers() {
    if !installed("python3", "python3") {
        return;
    }
    let identity = Identity::server("127.0.0.1");
    let service = Service::secure(&identity);
    let trusting = format!("grants.authorities = {:?}\n", service.certificate());
    attempt(&server(&service, &trusting), "bob", "bob").expect(230);

    let other = Service::secure(&Identity::server("127.0.0.1"));
    let trusting = format!("grants.authorities = {:?}\n", service.certificate());
    attempt(&server(&other, &trusting), "bob", "bob").expect(421);
    assert!(other.seen().is_empty());
}

/// The service cannot be asked again; its settings can be compared.
#[test]
fn sessions_end_with_the_settings_that_let_them_in() {
    if !installed("python3", "python3") {
        return;
    }
    let service = Service::start();
    let server = server(&service, "");
    let mut far = server.login_as("bob", &Tls::new());
    let mut near = server.login_as("unknown", &Tls::new());
    let (status, said) = server.setup().run(&["reload"]);
    assert_eq!(status, 0, "{said}");
    far.send("NOOP").expect(200);
    let config = server.state().with_file_name("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let other = text.replace("settings.timeout = 1", "settings.timeout = 2");
    assert_ne!(text, other);
    std::fs::write(&config, other).unwrap();
    let id = rustix::process::Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::HUP).unwrap();
    far.reply().expect(421).saying("account has changed");
    near.send("NOOP").expect(200);
}
