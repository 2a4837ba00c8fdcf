//! A Redis that is away, hangs, or comes back.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::{
    ask, attempt,
    engine::Engine,
    log_in,
    support::{Reply, Server, Setup, USER, eventually},
    with_lockout,
};

/// `state.timeout` of these tests, and how much longer a login may take on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(1);
const BUSY: Duration = Duration::from_secs(3);

fn setup(redis: &Engine) -> Setup {
    let setup = redis.setup().set("limits.sessions-per-user", "1");
    with_lockout(setup, "")
}

#[track_caller]
fn attempt_soon(server: &Server, user: &str, password: &str) -> Reply {
    let begun = Instant::now();
    let reply = attempt(server, user, password);
    assert!(begun.elapsed() < TIMEOUT + BUSY, "{:?}", begun.elapsed());
    reply
}

fn is_away(server: &Server) -> bool {
    ask(server, &["status"]).contains("AWAY")
}

#[test]
fn a_redis_that_was_killed_refuses_logins_until_it_is_back() {
    let Some(mut redis) = Engine::start() else {
        return;
    };
    let mut server = setup(&redis).start();
    let (mut client, reply) = log_in(&server, USER, USER);
    reply.expect(230);
    redis.kill();
    attempt_soon(&server, "bob", "bob")
        .expect(421)
        .saying("not possible at the moment");
    server.wait_for_line(|line| line.contains("shared state is away"));
    assert!(is_away(&server));
    // Those who are there go on.
    client.send("NOOP").expect(200);
    client.send("CWD /").expect(250);
    redis.revive();
    eventually("logins go on", || {
        attempt_soon(&server, "bob", "bob").code == 230
    });
    server.wait_for_line(|line| line.contains("shared state is back"));
    let said = ask(&server, &["status"]);
    assert!(!said.contains("AWAY") && said.contains("failed"), "{said}");
}

#[test]
fn a_redis_that_hangs_holds_up_no_login_for_longer_than_its_timeout() {
    let Some(redis) = Engine::start() else { return };
    let server = setup(&redis).start();
    attempt(&server, "bob", "bob").expect(230);
    redis.signal(Signal::STOP);
    for _ in 0..3 {
        attempt_soon(&server, "bob", "bob").expect(421);
    }
    let begun = Instant::now();
    attempt(&server, "bob", "bob").expect(421);
    assert!(begun.elapsed() < TIMEOUT, "it is known to be away");
    redis.signal(Signal::CONT);
    eventually("logins go on", || {
        attempt_soon(&server, "bob", "bob").code == 230
    });
}

/// With `away = "allow"` each server goes on with its own counts.
#[test]
fn limits_hold_at_each_server_while_redis_is_away() {
    let Some(mut redis) = Engine::start() else {
        return;
    };
    let allow = || setup(&redis).set("state.away", "\"allow\"").start();
    let servers = [(); 2].map(|()| allow());
    redis.signal(Signal::STOP);
    for server in &servers {
        let begun = Instant::now();
        let (_first, reply) = log_in(server, "bob", "bob");
        reply.expect(230);
        assert!(begun.elapsed() < 2 * TIMEOUT + BUSY);
        attempt_soon(server, "bob", "bob")
            .expect(421)
            .saying("too many sessions");
    }
    for _ in 0..3 {
        attempt_soon(&servers[0], USER, "wrong").expect(530);
    }
    eventually("the user is locked out", || {
        ask(&servers[0], &["locks"]).contains(USER)
    });
    attempt_soon(&servers[0], USER, USER).expect(530);
    attempt_soon(&servers[1], USER, USER).expect(230);
    redis.kill();
    redis.revive();
    eventually("they share again", || {
        servers.iter().all(|one| !is_away(one))
    });
    for _ in 0..3 {
        attempt(&servers[0], USER, "wrong").expect(530);
    }
    eventually("the other has the lock", || {
        ask(&servers[1], &["locks"]).contains(USER)
    });
    attempt(&servers[1], USER, USER).expect(530);
}

#[test]
fn a_server_starts_without_redis_and_takes_it_when_it_comes() {
    let Some(mut redis) = Engine::start() else {
        return;
    };
    redis.kill();
    let server = setup(&redis).start();
    attempt_soon(&server, USER, USER).expect(421);
    redis.revive();
    eventually("logins go on", || {
        attempt_soon(&server, USER, USER).code == 230
    });
}
