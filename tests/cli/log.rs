//! The log, when nobody reads it, and when strangers cause it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{ChildStderr, Stdio},
    time::{Duration, Instant},
};

use crate::support::{Client, PATIENCE, Server, Setup, eventually};

/// Where the server listens, by its log, of which nothing more is read than that takes.
fn listening(log: &mut BufReader<ChildStderr>) -> SocketAddr {
    loop {
        let mut line = String::new();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended");
        let plain = line.replace('"', "");
        if plain.contains("listening") && plain.contains("tls=explicit") {
            let address = plain.split("address=").nth(1).unwrap();
            let address = address.split_whitespace().next().unwrap();
            return address.parse().unwrap();
        }
    }
}

/// Sends commands until their log is many times what a pipe holds.
fn talk(client: &mut Client) {
    let noise = format!("NOOP {}\r\n", "x".repeat(200));
    for _ in 0..100 {
        client.write(noise.repeat(50));
        for _ in 0..50 {
            client.reply();
        }
    }
}

#[test]
fn sessions_go_on_when_nobody_reads_the_log() {
    let setup = Setup::new().set("log.level", r#""trace""#);
    let mut child = setup
        .command(&[])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::with_capacity(1, child.stderr.take().unwrap());
    let address = listening(&mut log);
    let mut clients: Vec<_> = (0..8).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        talk(client);
    }
    let mut other = Client::connect(address);
    other.send("NOOP").expect_one_of(&[200, 530]);

    // Read again, it says how much is missing.
    let reader = std::thread::spawn(move || {
        let mut said = String::new();
        while !said.contains("lines of the log were dropped") {
            said.clear();
            assert_ne!(log.read_line(&mut said).unwrap(), 0, "it ended");
        }
        (said, log)
    });
    eventually("the count is told", || reader.is_finished());
    let (said, _log) = reader.join().unwrap();
    let dropped = said.split("dropped=").nth(1).unwrap();
    let dropped: u64 = dropped.split_whitespace().next().unwrap().parse().unwrap();
    assert!(dropped > 1000, "{said}");

    // It is full once more, and the end comes all the same.
    talk(&mut other);
    let begun = Instant::now();
    let id = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    eventually("the end", || child.try_wait().unwrap().is_some());
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
}

#[test]
fn the_last_lines_are_written() {
    let mut server = Server::start();
    server.terminate();
    assert!(server.wait().success());
    eventually("the last line", || {
        server.log().contains("all sessions have ended")
    });
}

#[test]
fn refused_connections_of_one_client_have_a_few_lines_a_second() {
    let mut server = Setup::new().set("limits.sessions-per-address", "1").start();
    let _only = server.connect();
    let begun = Instant::now();
    let mut refused = 0;
    while begun.elapsed() < Duration::from_secs(2) {
        let mut stream = TcpStream::connect(server.address).unwrap();
        let _ = stream.write_all(b"NOOP\r\n");
        let mut said = String::new();
        let _ = stream.read_to_string(&mut said);
        refused += 1;
    }
    let seconds = begun.elapsed().as_secs_f64().ceil();
    server.wait_for_line(|line| line.contains("more connections were refused"));
    let counted = || {
        let log = server.log();
        let of = |text: &str| log.lines().filter(|line| line.contains(text)).count();
        let told = of("a connection was refused");
        let counts = log.lines().filter_map(|line| line.split_once("count="));
        let counts = counts.map(|(_, count)| count.split(' ').next().unwrap().trim());
        (
            told,
            counts
                .map(|count| count.parse::<usize>().unwrap())
                .sum::<usize>(),
        )
    };
    eventually("each is told or counted", || {
        let (told, left_out) = counted();
        told + left_out == refused
    });
    let (told, _) = counted();
    assert!(told as f64 <= (seconds + 1.0) * 5.0, "{told} of {refused}");
}

/// The level is another one at once, by module, and the configured one again after a reload.
#[test]
fn the_level_is_changed_while_the_server_runs() {
    let server = Setup::new().start();
    let ask = |words: &[&str]| {
        let (status, said) = server.setup().run(words);
        assert_eq!(status, 0, "{said}");
        said
    };
    assert_eq!(ask(&["log-level"]), "info\n");
    server.login();
    assert!(!server.log().contains("connected"), "{}", server.log());
    ask(&["log-level", "info,portcullis::session=debug"]);
    assert_eq!(ask(&["log-level"]), "info,portcullis::session=debug\n");
    server.login();
    crate::support::eventually("it is told", || server.log().contains("connected"));
    let (status, said) = server.setup().run(&["log-level", "loud=very"]);
    assert_eq!(status, 1);
    assert!(said.contains("expected error, warn"), "{said}");
    ask(&["reload"]);
    assert_eq!(ask(&["log-level"]), "info\n");
}
