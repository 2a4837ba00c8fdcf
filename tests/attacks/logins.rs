//! Those who are not logged in.

use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, SaltString},
};

use crate::{
    scale,
    support::{Client, Server, Setup, Tls, USER},
    waiting,
};

/// A client that comes from some address: the server takes that from a PROXY header.
fn from(server: &Server, address: &str) -> Client {
    let mut client = Client::dial(server.address);
    client.write(format!("PROXY TCP4 {address} 127.0.0.1 4711 21\r\n"));
    client.reply().expect(220);
    client.auth_tls(&Tls::new());
    client
}

fn setup() -> Setup {
    Setup::new()
        .set("server.proxy-networks", r#"["127.0.0.0/8"]"#)
        .set("limits.sessions-per-address", "0")
        .set("limits.login-timeout", r#""300s""#)
}

/// The line of a user whose hash takes a tenth of a second or so: the tests' own are cheap.
fn costly() -> String {
    let params = Params::new(64 << 10, 4, 1, None).unwrap();
    let costly = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let salt = SaltString::encode_b64(b"of no importance").unwrap();
    let hash = costly.hash_password(b"guessed", &salt).unwrap();
    format!("password = \"{hash}\"")
}

/// Many guess at one name, from three networks; somebody else logs in.
#[test]
fn wrong_passwords_hold_up_nobody_else() {
    let attackers = 60 * scale();
    let server = setup().user_without_password("guessed", &costly()).start();
    let mut guessing: Vec<Client> = (0..attackers)
        .map(|number| {
            let address = format!("198.51.{}.1", 100 + number % 3);
            let mut client = from(&server, &address);
            client.send("USER guessed").expect(331);
            client
        })
        .collect();
    for client in &mut guessing {
        client.write("PASS wrong\r\n");
    }
    let mut honest = from(&server, "192.0.2.7");
    honest.login(USER);
    let silent = waiting(&guessing);
    assert!(silent > attackers / 2, "{silent}");
    // All that was asked for is answered.
    for client in &mut guessing {
        client.reply().expect_one_of(&[530, 421]);
    }
}

/// When too many wait, it is the address with the most of them that hears so.
#[test]
fn who_wants_most_is_refused() {
    let server = setup()
        .set("limits.concurrent-logins", "1")
        .set("limits.waiting-logins", "5")
        .set("limits.login-delay", r#""0s""#)
        .user_without_password("guessed", &costly())
        .start();
    let mut guessing: Vec<Client> = (0..30)
        .map(|_| {
            let mut client = from(&server, "198.51.100.1");
            client.send("USER guessed").expect(331);
            client
        })
        .collect();
    for client in &mut guessing {
        client.write("PASS wrong\r\n");
    }
    let mut honest = from(&server, "192.0.2.7");
    honest.login(USER);
    let replies = guessing.iter_mut().map(|client| client.reply());
    let codes: Vec<u16> = replies.map(|reply| reply.code).collect();
    assert!(codes.contains(&421) && codes.contains(&530), "{codes:?}");
}

/// Nothing that a client does before its login gives it more time for that.
#[test]
fn the_time_to_log_in_is_one() {
    let server = Setup::new()
        .set("limits.login-timeout", r#""2s""#)
        .set("tls.required", "false")
        .start();
    for command in ["REIN", "NOOP", "USER somebody", "FEAT"] {
        let mut client = server.connect();
        let begun = Instant::now();
        let last = loop {
            let reply = client.send(command);
            if reply.code == 421 {
                break reply;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{command}");
        };
        last.saying("login");
    }
    // In one breath, too: those that wait for their turn are not looked at any more.
    let mut client = server.connect();
    let commands = "NOOP\r\n".repeat(1_000_000);
    let stream: TcpStream = client.socket().try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        let mut stream = stream;
        let _ = std::io::Write::write_all(&mut stream, commands.as_bytes());
    });
    let begun = Instant::now();
    while client.try_reply().is_ok_and(|reply| reply.code != 421) {
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
    drop(client);
    writer.join().unwrap();
    // Somebody who was logged in gets the time anew.
    let mut client = server.secure(&Tls::new());
    client.login(USER);
    std::thread::sleep(Duration::from_millis(2500));
    client.send("NOOP").expect(200);
    client.write("REIN\r\n");
    client.reply().expect(220);
}
