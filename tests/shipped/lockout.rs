//! `lockout`.

use std::time::Duration;

use crate::{
    attempt,
    support::{Server, Setup, Tls, USER, eventually},
};

fn server(more: &str) -> Server {
    let lines = format!(
        "settings.max-failures-per-user = 3\nsettings.max-failures-per-address = 6\n{more}"
    );
    Setup::new()
        .user("bob", "")
        .user("carol", "")
        .plugin("lockout", "builtin:lockout", &lines)
        .users_plugin()
        .start()
}

fn failures(server: &Server) -> usize {
    server
        .log()
        .matches("reason=\"users: wrong password\"")
        .count()
}

#[test]
fn locks_a_user_for_a_while() {
    let mut server = server("settings.lock-time = 2\n");
    for _ in 0..3 {
        attempt(&server, USER, "wrong").expect(530);
    }
    attempt(&server, USER, USER).expect(530);
    server.wait_for_line(|line| line.contains("is locked out for 2 s"));
    server.wait_for_line(|line| line.contains("locked out: \\\"alice\\\" from 127.0.0.1"));
    // Others are not.
    attempt(&server, "bob", "bob").expect(230);
    eventually("the lock ends", || attempt(&server, USER, USER).code == 230);
}

#[test]
fn a_success_forgives() {
    let server = server("");
    for _ in 0..2 {
        attempt(&server, USER, "wrong").expect(530);
    }
    attempt(&server, USER, USER).expect(230);
    for _ in 0..2 {
        attempt(&server, USER, "wrong").expect(530);
    }
    attempt(&server, USER, USER).expect(230);
}

#[test]
fn locks_an_address() {
    let mut server = server("");
    for user in ["bob", "carol", "nobody"] {
        for _ in 0..2 {
            attempt(&server, user, "wrong").expect(530);
        }
    }
    attempt(&server, USER, USER).expect(530);
    server.wait_for_line(|line| line.contains("6 failures: 127.0.0.1 is locked out"));
}

/// However many guess at once, no more than the limit are looked at.
#[test]
fn a_burst_of_guesses() {
    let server = server("");
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| attempt(&server, USER, "wrong").expect_one_of(&[530, 421]));
        }
    });
    assert_eq!(failures(&server), 3);
    attempt(&server, USER, USER).expect(530);
}

/// Many right logins at once are no attack.
#[test]
fn a_burst_of_logins() {
    let server = server("");
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| attempt(&server, USER, USER).expect(230));
        }
    });
    assert!(!server.log().contains("locked out"));
}

#[test]
fn exempt_networks() {
    let server = server("settings.exempt = [\"127.0.0.0/8\"]\n");
    for _ in 0..8 {
        attempt(&server, USER, "wrong").expect(530);
    }
    attempt(&server, USER, USER).expect(230);
}

#[test]
fn one_connection_has_its_own_limit_too() {
    let server = server("");
    let mut client = server.secure(&Tls::new());
    for code in [530, 530, 421] {
        client.send(&format!("USER {USER}")).expect(331);
        client.send("PASS wrong").expect(code);
    }
    std::thread::sleep(Duration::from_millis(200));
    attempt(&server, USER, USER).expect(530);
}

/// Strangers with more names than there is room for are counted, and lock out nobody else.
#[test]
fn regression_a_full_state_shuts_nobody_out() {
    let lines = "settings.max-failures-per-user = 3\nsettings.max-failures-per-address = 0\n\
                 limits.state = \"8KiB\"\n";
    let mut server = Setup::new()
        .plugin("lockout", "builtin:lockout", lines)
        .users_plugin()
        .start();
    for _ in 0..2 {
        attempt(&server, USER, "wrong").expect(530);
    }
    for stranger in 0..80 {
        attempt(&server, &format!("stranger-{stranger}"), "wrong").expect(530);
    }
    server.wait_for_line(|line| line.contains("state is full"));
    // A client that guesses more often than others does not give way to them.
    attempt(&server, USER, "wrong").expect(530);
    server.wait_for_line(|line| line.contains("is locked out for"));
    attempt(&server, USER, USER).expect(530);

    let (status, said) = server.setup().run(&["state", "list", "--json"]);
    assert_eq!(status, 0, "{said}");
    let listed: serde_json::Value = serde_json::from_str(&said).unwrap();
    let lockout = &listed[0];
    assert_eq!(lockout["plugin"], "lockout");
    assert!(lockout["gave-way"].as_u64() > Some(0), "{said}");
    assert_eq!(lockout["refused"], 0, "{said}");
    assert!(lockout["bytes"].as_u64() <= Some(8192), "{said}");
    let (status, said) = server.setup().run(&["state", "clear", "nobody"]);
    assert_eq!(status, 1, "{said}");
    let (status, said) = server.setup().run(&["state", "clear", "lockout"]);
    assert_eq!(status, 0, "{said}");
    attempt(&server, USER, USER).expect(230);
}

/// A lock can be seen, and be lifted: by name, by network, or both.
#[test]
fn locks_are_listed_and_lifted() {
    let server = server("");
    let ask = |words: &[&str]| server.setup().run(words);
    assert_eq!(ask(&["locks"]), (0, "Nobody is locked out.\n".to_owned()));
    let lock = |user: &str| {
        for _ in 0..3 {
            attempt(&server, user, "wrong").expect(530);
        }
    };
    lock(USER);
    // A name that nobody has may be a password, and is not told.
    lock("hunter2");
    attempt(&server, USER, USER).expect(530);
    eventually("all three locks are there", || {
        let (status, said) = ask(&["locks", "--json"]);
        assert_eq!(status, 0, "{said}");
        let locks: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap();
        locks.len() == 3
    });
    let (_, said) = ask(&["locks"]);
    assert!(said.contains(USER) && said.contains("127.0.0.1"), "{said}");
    assert!(
        said.contains("everybody") && said.contains("(unknown, digest f52fbd32"),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");
    let (_, said) = ask(&["locks", "--filter", "everyb", "--limit", "1"]);
    assert!(said.contains("of 0") || !said.contains(USER), "{said}");

    // The network is still locked.
    assert_eq!(ask(&["unlock", USER]), (0, "1 lock is lifted\n".to_owned()));
    attempt(&server, USER, USER).expect(530);
    let (status, said) = ask(&["unlock", "--network", "127.0.0.1"]);
    assert_eq!((status, said.as_str()), (0, "2 locks are lifted\n"));
    attempt(&server, USER, USER).expect(230);
    // The failures are forgotten as well: the next ones begin anew.
    for _ in 0..2 {
        attempt(&server, USER, "wrong").expect(530);
    }
    attempt(&server, USER, USER).expect(230);
    let (status, said) = ask(&["unlock", "carol", "--network", "127.0.0.0/8"]);
    assert_eq!(status, 1);
    assert!(
        said.contains("\"carol\" from 127.0.0.0/8 is not locked out"),
        "{said}"
    );
    assert_eq!(ask(&["unlock"]).0, 2);
}
