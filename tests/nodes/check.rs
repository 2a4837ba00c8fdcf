//! Mistakes that `portcullis check` finds.

use std::{io::Write, net::TcpListener, path::Path, thread};

use crate::{
    ask, attempt,
    engine::Engine,
    support::{Authority, Setup, USER, free_port},
    with_lockout,
};

#[track_caller]
fn refused(setup: &Setup, key: &str, words: &str) {
    let (status, said) = setup.run(&["check"]);
    assert_ne!(status, 0, "{said}");
    assert!(said.contains(words), "{words}: {said}");
    assert!(said.contains(key), "{key}: {said}");
    assert!(!said.contains("a-secret"), "{said}");
}

#[test]
fn mistakes_are_told_with_their_key() {
    let Some(redis) = Engine::start() else { return };
    let (status, said) = redis.setup().run(&["check"]);
    assert_eq!(status, 0, "{said}");
    let url = |text: &str| Setup::new().set("state.url", &format!("{text:?}"));
    let here = redis.address;
    for (text, words) in [
        (format!("redis://127.0.0.1:{}", free_port()), "refused"),
        (format!("rediss://{here}"), "does it speak TLS?"),
        (format!("http://{here}"), "expected \"redis://"),
        (
            format!("redis://u:a-secret@{here}/?db=1"),
            "without parameters",
        ),
        (
            format!("redis://:a-secret@{here}"),
            "does not take this user",
        ),
        (format!("redis://{here}/name"), "expected \"redis://"),
    ] {
        refused(&url(&text), "state.url", words);
    }
    for (key, value, words) in [
        ("state.file", "\"state.redb\"", "of no use"),
        ("state.authorities", "\"ca.pem\"", "without TLS"),
        ("state.password-file", "\"nowhere\"", "No such file"),
        ("state.prefix", "\"\"", "sets this service apart"),
        ("state.timeout", "\"1h\"", "expected 10ms to 1m"),
    ] {
        refused(&redis.setup().set(key, value), key, words);
    }
    refused(
        &Setup::new().set("state.password-file", "\"x\""),
        "state.password-file",
        "without state.url",
    );
}

#[test]
fn others_than_redis_are_told_to_be_none() {
    let Some(mut redis) = Engine::start() else {
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let stranger = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"220 mail.example ESMTP\r\n").unwrap();
        thread::park();
    });
    let setup = Setup::new().set("state.url", &format!("\"redis://{address}\""));
    refused(&setup, "state.url", "is it a Redis");
    stranger.thread().unpark();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let setup = Setup::new().set("state.url", &format!("\"redis://{address}\""));
    refused(&setup, "state.url", "no answer within 1s");
    // One that follows another cannot be written to.
    let replica = Engine::with(&[
        "--replicaof",
        "127.0.0.1",
        &redis.address.port().to_string(),
    ]);
    refused(&replica.unwrap().setup(), "state.url", "replica");
    redis.kill();
}

#[test]
fn passwords_are_read_from_their_file() {
    let Some(redis) = Engine::with(&["--requirepass", "a-secret"]) else {
        return;
    };
    refused(&redis.setup(), "state.url", "it wants a password");
    let setup = redis.setup();
    let file = setup.file("password", "a-secret\n");
    let setup = setup.set(
        "state.password-file",
        &format!("{:?}", file.display().to_string()),
    );
    let (status, said) = setup.run(&["check"]);
    assert_eq!(status, 0, "{said}");
    setup.file("password", "another");
    refused(&setup, "state.url", "does not take this user");
    setup.file("password", "a-secret");
    let server = setup.start();
    attempt(&server, USER, USER).expect(230);
    assert!(!server.log().contains("a-secret"));
}

/// The commands that docs/operating.md names are all that is needed.
#[test]
fn a_user_with_few_rights_will_do() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operating.md");
    let page = std::fs::read_to_string(page).unwrap();
    let line = page
        .lines()
        .find(|line| line.starts_with("ACL SETUSER portcullis"));
    let Some(redis) = Engine::start() else { return };
    let words: Vec<_> = line.unwrap().split_whitespace().collect();
    redis.ask::<()>(&words);
    let url = format!("\"redis://portcullis@{}\"", redis.address);
    let setup = redis.setup().set("limits.sessions-per-user", "1");
    let setup = with_lockout(setup.set("state.url", &url), "");
    let file = setup.file("password", "PASSWORD");
    let file = format!("{:?}", file.display().to_string());
    let server = setup.set("state.password-file", &file).start();
    attempt(&server, USER, "wrong").expect(530);
    drop(attempt(&server, USER, USER).expect(230));
    ask(&server, &["ban", "127.0.0.2"]);
    ask(&server, &["unban", "127.0.0.2"]);
    ask(&server, &["state", "clear", "lockout"]);
    let said = ask(&server, &["status"]);
    assert!(said.contains(" 0 failed"), "{said}\n{}", server.log());
    let other = redis
        .setup()
        .set("state.url", &url)
        .set("state.prefix", "\"other:\"");
    let other = other.set("state.password-file", &file);
    refused(&other, "state.url", "may not do all that is needed");
}

/// Behind all walls: with Landlock, and as a user who may nothing.
#[test]
fn tls_is_spoken_to_one_whose_certificate_is_trusted() {
    let authority = Authority::new();
    let identity = authority.server("localhost", &rcgen::PKCS_ECDSA_P256_SHA256);
    let files = Setup::new();
    let path = |name: &str, text: &str| files.file(name, text).display().to_string();
    let certificate = path("redis.pem", &identity.certificate_pem);
    let key = path("redis-key.pem", &identity.key_pem);
    let port = free_port().to_string();
    let options = ["--tls-port", &port, "--tls-cert-file", &certificate];
    let more = ["--tls-key-file", &key, "--tls-auth-clients", "no"];
    let Some(_redis) = Engine::with(&[&options[..], &more[..]].concat()) else {
        return;
    };
    let url = |host: &str| Setup::new().set("state.url", &format!("\"rediss://{host}:{port}\""));
    refused(&url("localhost"), "state.url", "UnknownIssuer");
    let trusting = |host: &str| {
        let setup = url(host);
        let file = setup.file("ca.pem", &authority.pem).display().to_string();
        setup.set("state.authorities", &format!("{file:?}"))
    };
    refused(&trusting("127.0.0.1"), "state.url", "not valid for name");
    let empty = trusting("localhost");
    empty.file("ca.pem", "nothing");
    refused(&empty, "state.authorities", "no certificate");
    let server = with_lockout(trusting("localhost"), "")
        .unprivileged()
        .start();
    attempt(&server, USER, USER).expect(230);
    let said = ask(&server, &["status"]);
    assert!(
        said.contains("localhost") && !said.contains("AWAY"),
        "{said}"
    );
}
