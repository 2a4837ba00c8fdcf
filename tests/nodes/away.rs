//! A Redis that is away, hangs, or comes back.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    ask, attempt,
    engine::Engine,
    log_in,
    support::{Reply, Server, Setup, USER, eventually, free_port},
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

/// The series of shared state, as a monitor reads them.
fn series(address: SocketAddr) -> Vec<(String, f64)> {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let lines = answer.lines();
    let found = lines.filter(|line| line.starts_with("portcullis_shared_state"));
    found
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let name = name.split('{').next().unwrap();
            (name.to_owned(), value.trim().parse().expect(line))
        })
        .collect()
}

#[test]
fn metrics_tell_whether_redis_is_away() {
    let Some(mut redis) = Engine::start() else {
        return;
    };
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let setup = setup(&redis).set("metrics.listen", &format!("\"{address}\""));
    let mut server = setup.start();
    server.wait_for_line(|line| line.contains("metrics at"));
    let value = |name: &str| {
        let all = series(address);
        let found = all.iter().find(|(series, _)| series.ends_with(name));
        found.unwrap_or_else(|| panic!("{name}: {all:?}")).1
    };
    attempt(&server, "bob", "bob").expect(230);
    assert!(value("shared_state_away") < 0.5);
    assert!(value("shared_state_requests_total") > 0.0);
    redis.kill();
    attempt(&server, "bob", "bob").expect(421);
    assert!(value("shared_state_away") > 0.5);
    assert!(value("shared_state_failed_requests_total") > 0.0);
}
