//! The real server with all four plugins of a language: the same logins have the same answers, and
//! the same uploads the same refusals, whatever the language.

use std::fs;

use crate::{
    built::{KINDS, PATIENT, compile, components},
    support::{Setup, Tls, content, eicar},
};

/// "secret"
pub const SETTINGS: &str = "settings.password-hash = \"$6$portcullis$mO9ys7okpXYvIIaYj9pTZnY2AuNScmD/EDMofIng74lJkf7KOJBbjX2LmzubWVVnUokz0Me4vS.1E/BjmEg0X.\"\n";

fn serves(language: &str) {
    let Some(components) = components(language) else {
        return;
    };
    for (kind, component) in KINDS.iter().zip(&components) {
        compile(language, kind, component);
    }
    let [authenticator, guard, inspector, listener] =
        components.map(|component| component.display().to_string());
    let with_code = format!("{SETTINGS}settings.code = \"123456\"\n{PATIENT}");
    let mut server = Setup::new()
        .plugin("demo", &authenticator, &with_code)
        .users_plugin()
        .plugin("drop-box", &guard, PATIENT)
        .plugin("eicar", &inspector, PATIENT)
        .plugin(
            "counter",
            &listener,
            &format!("settings.events = [\"login\", \"upload\"]\n{PATIENT}"),
        )
        .start();

    let tls = Tls::new();
    let mut client = server.secure(&tls);
    client.send("USER demo").expect(331);
    client.send("PASS guess").expect(530);
    client.send("USER demo").expect(331);
    client
        .send("PASS secret")
        .expect(332)
        .saying("One-time code, please");
    client.send("ACCT 000000").expect(530);
    client.send("USER demo").expect(331);
    client.send("PASS secret").expect(332);
    client.send("ACCT 123456").expect(230);
    // Left to the next plugin.
    server.secure(&tls).login("alice");
    server.wait_for_line(|line| line.contains("login from 127.0.0.1"));

    client.send("PBSZ 0").expect(200);
    client.send("PROT P").expect(200);
    client.send("TYPE I").expect(200);
    let home = server.home_of("demo");
    fs::create_dir_all(home.join("incoming")).unwrap();
    fs::write(home.join("readme.txt"), "read me").unwrap();
    fs::write(home.join(".profile"), "nobody sees this").unwrap();

    let clean = content(300_000, 7);
    client.store("STOR incoming/clean", &clean).expect(226);
    assert!(fs::read(home.join("incoming/clean")).unwrap() == clean);
    server.wait_for_line(|line| line.contains("upload from 127.0.0.1"));

    // In pieces, behind much else, across the borders of what the inspector reads.
    let mut data = client.begin("STOR incoming/eicar");
    let mut refused = data.send(&content((64 << 10) - 30, 8)).is_err();
    for piece in eicar().chunks(7) {
        refused = refused || data.send(piece).is_err();
    }
    let _ = data.finish();
    client.reply().expect_one_of(&[550, 552, 553]);
    assert!(!home.join("incoming/eicar").exists());

    for (command, code) in [
        ("STOR outside", 550),
        ("STOR incoming/.hidden", 550),
        ("STOR incoming/clean", 550),
    ] {
        client.open();
        client.send(command).expect_one_of(&[code, 553]);
    }
    client.send("DELE incoming/clean").expect(550);
    client.send("MKD directory").expect(550);
    client.send("SIZE .profile").expect(550);
    assert_eq!(client.retrieve("RETR readme.txt"), b"read me");
    let listing = client.listing("MLSD");
    assert!(listing.contains("readme.txt"), "{listing}");
    assert!(!listing.contains(".profile"), "{listing}");
    assert!(server.is_running());
}

#[test]
fn rust() {
    serves("rust");
}

#[test]
fn c() {
    serves("c");
}

#[test]
fn go() {
    serves("go");
}

#[test]
fn python() {
    serves("python");
}

#[test]
fn javascript() {
    serves("javascript");
}
