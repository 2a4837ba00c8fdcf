//! Mistakes that `portcullis check` finds.

use std::{io::Write, net::TcpListener, thread};

use crate::{
    attempt,
    engine::Engine,
    support::{Setup, USER, free_port},
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
        ("state.timeout", "\"1h\"", "60"),
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
