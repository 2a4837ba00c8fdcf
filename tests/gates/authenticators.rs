//! Authenticators that fail.

use std::time::{Duration, Instant};

use crate::{
    LIMITS, built,
    support::{Server, Setup, Tls, USER},
    with,
};

/// The faults, by user name.
const FAULTS: &[&str] = &["trap", "loop", "memory", "stack", "unavailable", "internal"];

/// USER and PASS: the last reply's code.
fn attempt(server: &Server, name: &str) -> u16 {
    let mut client = server.secure(&Tls::new());
    client.send(&format!("USER {name}")).expect(331);
    client.send(&format!("PASS {name}")).code
}

#[test]
fn a_fault_is_a_refusal_and_is_logged() {
    // The users of the next plugin have the same names: a fault must not let them through.
    let mut setup = with("authenticator");
    for name in FAULTS {
        setup = setup.user(name, "");
    }
    let mut server = setup.start();
    for name in FAULTS {
        let begun = Instant::now();
        let code = attempt(&server, name);
        assert!([421, 530].contains(&code), "{name}: {code}");
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{name}: {:?}",
            begun.elapsed()
        );
        server.wait_for_line(|line| {
            line.contains("faulty-authenticator")
                && (line.contains("ERROR") || line.contains("WARN"))
        });
    }
    // The next call is a new one.
    assert_eq!(attempt(&server, USER), 230);
    assert_eq!(attempt(&server, "okay"), 230);
    assert_eq!(attempt(&server, "deny"), 530);
    assert_eq!(attempt(&server, "nobody"), 530);
    assert!(server.is_running());
    let log = server.log();
    for word in ["trap", "late", "too big", "unavailable", "internal"] {
        assert!(
            log.to_lowercase().contains(word),
            "{word} is not in the log"
        );
    }
}

#[test]
fn a_flood_of_log_lines_is_cut() {
    let server = with("authenticator").start();
    let code = attempt(&server, "flood");
    assert!([230, 421, 530].contains(&code), "{code}");
    assert_eq!(attempt(&server, USER), 230);
    // 64 KiB of lines for a call, and the plugin's name and the session before each.
    assert!(
        server.log().len() < (2 << 20),
        "{} bytes of log",
        server.log().len()
    );
}

#[test]
fn a_challenge_is_a_second_factor() {
    let server = with("authenticator").start();
    let mut client = server.secure(&Tls::new());
    client.send("USER challenge").expect(331);
    client.send("PASS x").expect(332);
    client.send("PWD").expect_one_of(&[332, 503, 530]);
    client.send("USER challenge").expect(331);
    client.send("PASS x").expect(332);
    client.send("ACCT 123456").expect(230);
    client.send("PWD").expect(257);
    let mut client = server.secure(&Tls::new());
    client.send("USER challenge").expect(331);
    client.send("PASS x").expect(332);
    client.send("ACCT 000000").expect(530);
    client.send("PWD").expect(530);
    client.send("ACCT 123456").expect_one_of(&[503, 530]);
    client.send("PWD").expect(530);
    assert!(!server.log().contains("123456"), "the code is in the log");
}

#[test]
fn failed_second_factors_are_counted() {
    let server = with("authenticator")
        .set("limits.login-attempts", "2")
        .start();
    let mut client = server.secure(&Tls::new());
    client.send("USER challenge").expect(331);
    client.send("PASS x").expect(332);
    client.send("ACCT 000000").expect(530);
    client.send("USER challenge").expect(331);
    client.send("PASS x").expect(332);
    client.send("ACCT 000000").expect(421);
    client.rest();
}

/// A home outside of the tree, or one that is no path, is nonsense.
#[test]
fn an_account_that_makes_no_sense_is_refused() {
    let server = with("authenticator").start();
    for name in ["home", "list"] {
        let mut client = server.secure(&Tls::new());
        client.send(&format!("USER {name}")).expect(331);
        let reply = client.send("PASS x");
        assert!([230, 421, 530].contains(&reply.code), "{reply:?}");
        if reply.code == 230 {
            client.send("CWD ..").expect(250);
            client.send("PWD").expect(257).saying("\"/\"");
            client.send("SIZE ../../users.toml").expect(550);
            client.send("SIZE ../users.toml").expect(550);
        }
    }
}

#[test]
fn more_handles_than_allowed_are_a_fault() {
    let mut server = with("authenticator").start();
    let code = attempt(&server, "accounts");
    assert!([421, 530].contains(&code), "{code}");
    assert_eq!(attempt(&server, USER), 230);
    assert!(server.is_running());
}

/// Each fault, again and again, while others log in and transfer.
#[test]
fn no_other_session_notices() {
    let server = with("authenticator").start();
    let before = server.resident();
    std::thread::scope(|scope| {
        for name in ["trap", "loop", "memory", "stack", "flood"] {
            let server = &server;
            scope.spawn(move || {
                for _ in 0..4 {
                    attempt(server, name);
                }
            });
        }
        for _ in 0..3 {
            scope.spawn(|| {
                let content = crate::support::content(300_000, 9);
                for round in 0..5 {
                    let mut client = server.login();
                    let name = format!("{:?}-{round}", std::thread::current().id());
                    client.store(&format!("STOR {name}"), &content).expect(226);
                    assert!(client.retrieve(&format!("RETR {name}")) == content);
                }
            });
        }
    });
    let grown = server.resident().saturating_sub(before);
    assert!(grown < (200 << 20), "{} MiB more", grown >> 20);
}

/// The order of the chain: a denial ends it, an abstention does not.
#[test]
fn the_chain_is_asked_in_order() {
    let faulty = built("faulty-authenticator");
    let server = Setup::new()
        .user("deny", "")
        .user("trap", "")
        .users_plugin()
        .plugin("second", &faulty, LIMITS)
        .start();
    // The users plugin comes first here, and knows them.
    assert_eq!(attempt(&server, "deny"), 230);
    assert_eq!(attempt(&server, "trap"), 230);
    // It abstains from these.
    assert_eq!(attempt(&server, "okay"), 230);
    assert!([421, 530].contains(&attempt(&server, "loop")));
    // A wrong password is a denial: nobody is asked after that.
    let mut client = server.secure(&Tls::new());
    client.send(&format!("USER {USER}")).expect(331);
    client.send("PASS wrong").expect(530);
}

/// Failing open is no choice for a login.
#[test]
fn on_failure_allow_does_not_let_in() {
    let faulty = built("faulty-authenticator");
    let setup = Setup::new().plugin(
        "faulty",
        &faulty,
        &format!("on-failure = \"allow\"\n{LIMITS}"),
    );
    let (status, said) = setup.run(&["check"]);
    if status == 0 {
        let server = setup.start();
        for name in ["trap", "loop", "unavailable"] {
            let code = attempt(&server, name);
            assert!([421, 530].contains(&code), "{name}: {code}");
        }
    } else {
        assert!(said.contains("on-failure"), "{said}");
    }
}
