//! USER, PASS, ACCT, REIN, HOST, and what a failed login costs.

use std::time::Duration;

use crate::support::{Client, Server, Setup, Tls, USER, eventually, server};

#[test]
fn a_wrong_password_is_as_wrong_as_a_wrong_name() {
    let server = Server::start();
    let mut client = server.secure(&Tls::new());
    client.send(&format!("USER {USER}")).expect(331);
    let wrong = client.send("PASS secret-that-is-wrong").expect(530).lines;
    client.send("USER nobody").expect(331);
    assert_eq!(
        client.send("PASS secret-that-is-wrong").expect(530).lines,
        wrong
    );
    client.send("PWD").expect(530);
    client.login(USER);
    client.send("PWD").expect(257);
    assert!(
        !server.log().contains("secret-that-is-wrong"),
        "a password is in the log"
    );
}

#[test]
fn an_empty_password_is_a_wrong_one() {
    let server = Server::start();
    let mut client = server.secure(&Tls::new());
    client.send(&format!("USER {USER}")).expect(331);
    client.send("PASS ").expect_one_of(&[501, 530]);
    client.send(&format!("USER {USER}")).expect_one_of(&[331]);
    client.send("PASS").expect_one_of(&[501, 530]);
    client.send("PWD").expect(530);
}

#[test]
fn control_bytes_in_names_and_passwords_are_501() {
    let server = Server::start();
    let mut client = server.secure(&Tls::new());
    client.send("USER alice\0]]").expect(501);
    client.send("USER ali\x1bce").expect(501);
    client.send("USER ali\rce").expect(501);
    client.send(&format!("USER {USER}")).expect(331);
    client.send("PASS alice\0x").expect(501);
    client.send(&format!("USER {USER}")).expect(331);
    client.send("PASS alice").expect(230);
    let log = server.log();
    assert!(
        !log.contains('\0') && !log.contains('\x1b') && !log.contains('\r'),
        "{log:?}"
    );
}

#[test]
fn what_a_name_holds_is_escaped_in_the_log() {
    let mut server = Setup::new().set("log.unknown-users", "true").start();
    let mut client = server.secure(&Tls::new());
    client
        .send("USER %n%s listening address=1.2.3.4:5 tls=explicit")
        .expect(331);
    client.send("PASS x").expect(530);
    server.wait_for_line(|line| line.contains("login failed"));
    let log = server.log();
    let forged = log.lines().filter(|line| line.contains("1.2.3.4:5"));
    assert_ne!(forged.clone().count(), 0, "{log}");
    for line in forged {
        assert!(
            line.contains("\"%n%s") || line.contains("%n%s listening"),
            "{line}"
        );
        assert!(!line.trim_start().starts_with("listening"), "{line}");
    }
}

/// It may be a password.
#[test]
fn a_name_that_nobody_has_is_not_in_the_log() {
    let server = Server::start();
    let mut client = server.secure(&Tls::new());
    client.send("USER whom-nobody-knows").expect(331);
    client.send("PASS x").expect(530);
    client.send(&format!("USER {USER}")).expect(331);
    client.send("PASS whom-nobody-knows").expect(530);
    let failed = || server.log().matches("login failed").count();
    eventually("both are in the log", || failed() == 2);
    let log = server.log();
    assert!(!log.contains("nobody-knows"), "{log}");
    let known = format!("user=\"{USER}\"");
    let failed: Vec<bool> = log
        .lines()
        .filter(|line| line.contains("login failed"))
        .map(|line| line.contains(&known))
        .collect();
    assert_eq!(failed, [false, true], "{log}");
}

#[test]
fn rein_takes_the_login_and_tls_away() {
    let server = Server::start();
    let mut client = server.login();
    client.send("CWD /").expect(250);
    client.send("REIN").expect(220);
    // RFC 4217 §11: the reply is protected, what follows is not.
    client.clear();
    client
        .send(&format!("USER {USER}"))
        .expect_one_of(&[530, 534]);
    client.auth_tls(&Tls::new());
    client.send("PWD").expect(530);
    client.login(USER);
    client.send("PWD").expect(257);
}

#[test]
fn host_names_what_is_served() {
    let server = Setup::new()
        .set("server.hosts", r#"["files.example"]"#)
        .start();
    let mut client = server.secure(&Tls::new().host("files.example"));
    client.send("HOST files.example").expect(220);
    client.send("HOST FILES.EXAMPLE").expect(220);
    client.send("HOST other.example").expect(504);
    client.send("HOST [::1").expect_one_of(&[501]);
    client.login(USER);
    client.send("HOST files.example").expect(503);
    client.send("REIN").expect(220);
    client.clear();
    client.auth_tls(&Tls::new().host("files.example"));
    client.send("HOST files.example").expect(220);
    // It agrees with the TLS server name.
    let mut client = server.secure(&Tls::new().host("localhost"));
    client.send("HOST files.example").expect(504);
}

#[test]
fn the_users_file_may_change_while_the_server_runs() {
    let server = Server::start();
    let refused = |name: &str| {
        let mut client = server.secure(&Tls::new());
        client.send(&format!("USER {name}")).expect(331);
        client.send(&format!("PASS {name}")).code == 530
    };
    assert!(refused("carol"));
    let file = server.state().join("users.toml");
    let mut users = std::fs::read_to_string(&file).unwrap();
    users.push_str(&server::entry(
        "carol",
        &format!("password = {:?}", server::hash("carol")),
    ));
    std::fs::write(&file, users).unwrap();
    eventually("carol may log in", || !refused("carol"));
    // A removed user may not log in any more, and the session that is open ends.
    let mut running = server.login();
    let only = server::entry("carol", &format!("password = {:?}", server::hash("carol")));
    let fresh = server.state().join("users.new");
    std::fs::write(&fresh, &only).unwrap();
    std::fs::rename(&fresh, &file).unwrap();
    eventually("alice may not log in any more", || refused(USER));
    running.reply().expect(421).saying("account has changed");
    // A file that says nonsense changes nothing.
    std::fs::write(&file, "[carol\n").unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(!refused("carol"));
}

#[test]
fn what_the_users_file_says_of_a_user_holds() {
    let server = Setup::new()
        .user(
            "reader",
            "home = \"/alice\"\npermissions = [\"read\"]\ngreeting = \"Hello reader\"",
        )
        .user("gone", "disabled = true")
        .user("far", "addresses = [\"192.0.2.0/24\"]")
        .start();
    std::fs::write(server.home().join("file"), "content").unwrap();
    let mut client = server.secure(&Tls::new());
    client.send("USER reader").expect(331);
    client
        .send("PASS reader")
        .expect(230)
        .saying("Hello reader");
    for command in ["PBSZ 0", "PROT P", "TYPE I"] {
        client.send(command).expect(200);
    }
    assert_eq!(client.retrieve("RETR file"), b"content");
    for command in [
        "DELE file",
        "MKD d",
        "MFMT 20200101000000 file",
        "SITE CHMOD 600 file",
    ] {
        client.send(command).expect(550);
    }
    if client.send("RNFR file").expect_one_of(&[350, 550]).code == 350 {
        client.send("RNTO other").expect(550);
    }
    let stream = client.open();
    client.send("STOR new").expect_one_of(&[550, 553]);
    drop(stream);
    assert!(server.home().join("file").exists());
    assert_eq!(std::fs::read_dir(server.home()).unwrap().count(), 1);
    for name in ["gone", "far"] {
        let mut client = server.secure(&Tls::new());
        client.send(&format!("USER {name}")).expect(331);
        client.send(&format!("PASS {name}")).expect(530);
    }
}

#[test]
fn anonymous_only_where_configured() {
    let refusing = Server::start();
    let mut client = refusing.secure(&Tls::new());
    client.send("USER anonymous").expect(331);
    client.send("PASS guest@example.com").expect(530);
    drop(client);

    let settings =
        r#"settings = { users = { file = "users.toml" }, anonymous = { home = "/public" } }"#;
    let server = Setup::new()
        .plugin("users", "builtin:users", settings)
        .start();
    std::fs::write(server.home_of("public").join("file"), "for all").unwrap();
    for name in ["anonymous", "ftp"] {
        let mut client: Client = server.secure(&Tls::new());
        client.send(&format!("USER {name}")).expect(331);
        client.send("PASS guest@example.com").expect(230);
        for command in ["PBSZ 0", "PROT P", "TYPE I"] {
            client.send(command).expect(200);
        }
        assert_eq!(client.retrieve("RETR file"), b"for all");
        client.send("DELE file").expect(550);
        client.send("MKD d").expect(550);
    }
}
