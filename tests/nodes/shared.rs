//! Facts that hold at all servers that share state.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use crate::{
    ask, attempt,
    engine::Engine,
    log_in,
    support::{Client, PATIENCE, Server, USER, eventually},
    with_lockout,
};

/// A lease lasts 30 seconds.
const LEASE: Duration = Duration::from_secs(30);

#[test]
fn failures_at_one_server_lock_out_at_the_other() {
    let Some(redis) = Engine::start() else { return };
    let servers = [(); 2].map(|()| with_lockout(redis.setup(), "").start());
    attempt(&servers[0], USER, "wrong").expect(530);
    attempt(&servers[1], USER, "wrong").expect(530);
    attempt(&servers[0], USER, "wrong").expect(530);
    for server in &servers {
        eventually("the user is locked out", || {
            ask(server, &["locks"]).contains(USER)
        });
        attempt(server, USER, USER).expect(530);
        attempt(server, "bob", "bob").expect(230);
    }
    ask(&servers[1], &["unlock", USER]);
    attempt(&servers[0], USER, USER).expect(230);
    let said = ask(&servers[0], &["state", "list"]);
    assert!(said.contains("lockout"), "{said}");
}

/// Six connections guess at once, at two servers: no more than three guesses are looked at.
#[test]
fn no_guess_is_lost_where_two_servers_count_at_once() {
    let Some(redis) = Engine::start() else { return };
    let servers = [(); 2].map(|()| with_lockout(redis.setup(), "").start());
    thread::scope(|scope| {
        for number in 0..6 {
            let server = &servers[number % 2];
            scope.spawn(move || attempt(server, USER, "wrong").expect(530));
        }
    });
    let looked_at = |server: &Server| server.log().matches("users: wrong password").count();
    assert_eq!(servers.iter().map(looked_at).sum::<usize>(), 3);
    attempt(&servers[0], USER, USER).expect(530);
    attempt(&servers[1], USER, USER).expect(530);
}

/// A client at another address of this machine.
fn from(server: &Server, last: u8) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
    socket.bind(&address.into()).unwrap();
    socket.connect(&server.address.into()).unwrap();
    Client::over(TcpStream::from(socket))
}

fn is_let_in(server: &Server, last: u8) -> bool {
    from(server, last).reply().code == 220
}

#[test]
fn a_ban_holds_at_all_servers_until_it_is_lifted_at_one() {
    let Some(mut redis) = Engine::start() else {
        return;
    };
    let setup = || redis.setup().set("bans.failed-logins", "2");
    let servers = [(); 2].map(|()| setup().start());
    ask(&servers[0], &["ban", "127.0.0.2", "--for", "1d"]);
    for _ in 0..2 {
        let mut client = from(&servers[0], 3);
        client.reply().expect(220);
        client.auth_tls(&crate::support::Tls::new());
        client.send("USER alice").expect(331);
        client.send("PASS wrong").expect(530);
    }
    for last in [2, 3] {
        eventually("it is banned at the other", || {
            !is_let_in(&servers[1], last)
        });
        assert!(!is_let_in(&servers[0], last));
    }
    assert!(is_let_in(&servers[1], 4));
    // One that comes later has them from its first client on.
    let third = setup().start();
    assert!(!is_let_in(&third, 2));
    let said = ask(&servers[1], &["unban", "127.0.0.2"]);
    assert!(said.contains("1 ban is lifted"), "{said}");
    assert!(is_let_in(&servers[1], 2));
    for server in [&servers[0], &third] {
        eventually("it is lifted at the others", || is_let_in(server, 2));
    }
    // A Redis that has lost everything is told what the servers know.
    redis.kill();
    ask(&servers[1], &["ban", "127.0.0.5"]);
    assert!(!is_let_in(&servers[1], 5) && !is_let_in(&servers[0], 3));
    redis.revive();
    eventually("the others hear of it", || !is_let_in(&servers[0], 5));
    for server in [&servers[0], &servers[1], &third] {
        assert!(!is_let_in(server, 3) && is_let_in(server, 2));
    }
    eventually("Redis has them again", || {
        redis.ask::<usize>(&["HLEN", "portcullis:bans"]) == 2
    });
}

#[test]
fn a_user_has_so_many_sessions_at_all_servers_together() {
    let Some(redis) = Engine::start() else { return };
    let setup = || redis.setup().set("limits.sessions-per-user", "2");
    let servers = [(); 2].map(|()| setup().user("bob", "").start());
    let (first, reply) = log_in(&servers[0], USER, USER);
    reply.expect(230);
    let (_second, reply) = log_in(&servers[1], USER, USER);
    reply.expect(230);
    for server in &servers {
        attempt(server, USER, USER)
            .expect(421)
            .saying("too many sessions");
        attempt(server, "bob", "bob").expect(230);
    }
    drop(first);
    eventually("the place is free at the other", || {
        attempt(&servers[1], USER, USER).code == 230
    });
}

#[test]
fn sessions_of_a_server_that_was_killed_end_with_their_lease() {
    let Some(redis) = Engine::start() else { return };
    let setup = || redis.setup().set("limits.sessions-per-user", "1");
    let (one, other) = (setup().start(), setup().start());
    let begun = Instant::now();
    let (_client, reply) = log_in(&one, USER, USER);
    reply.expect(230);
    drop(one);
    attempt(&other, USER, USER).expect(421);
    let mut killed = Duration::ZERO;
    while attempt(&other, USER, USER).code != 230 {
        killed = begun.elapsed();
        assert!(killed < LEASE + PATIENCE / 3, "the place is never free");
        thread::sleep(Duration::from_millis(200));
    }
    assert!(killed > LEASE - Duration::from_secs(5), "{killed:?}");
}

/// A lease is renewed for as long as its session lasts, and given back at the end of a server.
#[test]
fn leases_last_as_long_as_their_sessions() {
    let Some(redis) = Engine::start() else { return };
    let setup = || redis.setup().set("limits.sessions-per-user", "1");
    let (one, other) = (setup().start(), setup().start());
    let (mut client, reply) = log_in(&one, USER, USER);
    reply.expect(230);
    let key = "portcullis:sessions::alice";
    let left = || redis.ask::<i64>(&["PTTL", key]);
    assert!((1..=30_000).contains(&left()));
    eventually("it has been renewed", || {
        let before = left();
        thread::sleep(Duration::from_millis(100));
        left() > before
    });
    client.send("NOOP").expect(200);
    attempt(&other, USER, USER).expect(421);
    one.terminate();
    eventually("it was given back", || {
        attempt(&other, USER, USER).code == 230
    });
}

#[test]
fn services_with_different_prefixes_know_nothing_of_each_other() {
    let Some(redis) = Engine::start() else { return };
    let setup = |prefix: &str| {
        let setup = redis.setup().set("state.prefix", &format!("{prefix:?}"));
        with_lockout(setup, "")
            .set("limits.sessions-per-user", "1")
            .start()
    };
    let (one, other) = (setup("one:"), setup("other:"));
    for _ in 0..3 {
        attempt(&one, USER, "wrong").expect(530);
    }
    attempt(&one, USER, USER).expect(530);
    ask(&one, &["ban", "127.0.0.2"]);
    let (_bob, reply) = log_in(&one, "bob", "bob");
    reply.expect(230);
    attempt(&other, USER, USER).expect(230);
    attempt(&other, "bob", "bob").expect(230);
    let begins = |key: &String| key.starts_with("one:") || key.starts_with("other:");
    eventually("the ban is there", || {
        redis.keys().contains(&"one:bans".to_owned())
    });
    let keys = redis.keys();
    assert!(keys.iter().all(begins), "{keys:?}");
    assert!(is_let_in(&other, 2));
}

/// Keys that end by themselves do so in Redis, too, where nobody looks after them.
#[test]
fn keys_expire_by_themselves() {
    let Some(redis) = Engine::start() else { return };
    let setup = redis.setup().set("limits.sessions-per-user", "1");
    let server = with_lockout(setup, "settings.window = 60\n").start();
    for _ in 0..3 {
        attempt(&server, USER, "wrong").expect(530);
    }
    attempt(&server, USER, USER).expect(530);
    let (_bob, reply) = log_in(&server, "bob", "bob");
    reply.expect(230);
    ask(&server, &["ban", "127.0.0.2"]);
    eventually("the ban is there", || {
        redis.keys().contains(&"portcullis:bans".to_owned())
    });
    let mut kinds = Vec::new();
    for key in redis.keys() {
        let left: i64 = redis.ask(&["PTTL", &key]);
        // -2: it has gone meanwhile.
        let lives_on = key.starts_with("portcullis:bans");
        assert_eq!(left == -1, lives_on, "{key}: {left}");
        kinds.push(key.split(':').nth(1).unwrap().to_owned());
    }
    for kind in [
        "state",
        "state-expiry",
        "state-costs",
        "state-counters",
        "sessions",
    ] {
        assert!(kinds.iter().any(|found| found == kind), "{kind}: {kinds:?}");
    }
}

/// Requests cost time, one after the other: a login has so many of them, a transfer none.
#[test]
fn logins_ask_a_few_times_and_transfers_never() {
    let Some(redis) = Engine::start() else { return };
    let setup = redis.setup().set("limits.sessions-per-user", "5");
    let server = with_lockout(setup, "").start();
    attempt(&server, USER, USER).expect(230);
    // Bans are asked for once a second besides.
    let asked = |by: &mut dyn FnMut()| -> u64 {
        let requests = || -> u64 {
            let said = ask(&server, &["status", "--json"]);
            let status: serde_json::Value = serde_json::from_str(&said).unwrap();
            status["shared-state"]["requests"].as_u64().unwrap()
        };
        let (begun, before) = (Instant::now(), requests());
        by();
        let asked = requests() - before;
        asked.saturating_sub(begun.elapsed().as_secs() + 1)
    };
    let mut client = None;
    let login = asked(&mut || client = Some(server.login()));
    let mut client = client.unwrap();
    let transfers = asked(&mut || {
        client.store("STOR file", &[7; 100_000]).expect(226);
        client.retrieve("RETR file");
    });
    assert!((8..=20).contains(&login), "{login}");
    assert_eq!(transfers, 0);
}
