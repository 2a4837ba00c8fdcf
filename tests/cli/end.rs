//! SIGTERM and Ctrl-C.

use std::{
    fs,
    net::TcpStream,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Client, Server, Setup, eventually};

#[test]
fn an_idle_server_ends_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start();
        let client = server.login();
        let begun = Instant::now();
        let id = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
        kill_process(id, signal).unwrap();
        assert_eq!(server.wait().code(), Some(0));
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{:?}",
            begun.elapsed()
        );
        drop(client);
    }
}

/// Whether nobody is let in any more.
fn closed(server: &Server) -> bool {
    let Ok(stream) = TcpStream::connect(server.address) else {
        return true;
    };
    Client::over(stream)
        .try_reply()
        .map_or(true, |reply| reply.code == 421)
}

#[test]
fn a_running_transfer_is_finished() {
    let mut server = Server::start();
    let mut idle = server.login();
    let mut client = server.login();
    let mut data = client.begin("STOR file");
    data.send(b"first,").unwrap();
    server.terminate();
    eventually("no new sessions", || closed(&server));
    idle.reply().expect(421);
    assert!(server.is_running());
    data.send(b"second").unwrap();
    data.finish().unwrap();
    client.reply().expect(226);
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(
        fs::read(server.home().join("file")).unwrap(),
        b"first,second"
    );
}

#[test]
fn a_transfer_that_takes_too_long_is_ended() {
    let mut server = Setup::new()
        .set("server.drain-timeout", r#""300ms""#)
        .start();
    let mut client = server.login();
    let mut data = client.begin("STOR file");
    data.send(b"first").unwrap();
    let begun = Instant::now();
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    assert!(!server.home().join("file").exists());
}

/// The end is a cut like any other: what has arrived is kept.
#[test]
fn uploads_that_the_end_cuts_can_be_resumed() {
    for second_signal in [false, true] {
        let drain = if second_signal { "60s" } else { "300ms" };
        let server = Setup::new()
            .set("server.drain-timeout", &format!("{drain:?}"))
            .start();
        let sent = [100, 50_000, 1_000_000_usize];
        let mut uploads: Vec<_> = sent
            .iter()
            .map(|length| {
                let mut client = server.login();
                let mut data = client.begin(&format!("STOR file{length}"));
                let mut moved = || {
                    let reply = client.send("STAT").expect(213);
                    let mut numbers = reply.text().split(|c: char| !c.is_ascii_digit());
                    numbers
                        .find_map(|number| number.parse::<usize>().ok())
                        .unwrap()
                };
                // The handshake counts, too.
                let before = moved();
                data.send(&crate::support::content(*length, 1)).unwrap();
                eventually("it has arrived", || moved() >= before + length);
                (client, data)
            })
            .collect();
        if second_signal {
            server.terminate();
            eventually("the first is heard", || closed(&server));
        }
        let server = server.restart(|| ());
        for (client, _) in &mut uploads {
            client.reply().expect(426);
            client.reply().expect(421);
        }
        let mut client = server.login();
        for length in sent {
            let reply = client.send(&format!("SIZE file{length}")).expect(213);
            assert_eq!(reply.text(), length.to_string());
        }
    }
}

/// An upload that was broken by the end is there to be resumed after the next start.
#[test]
fn a_broken_upload_outlives_the_server() {
    let server = Setup::new()
        .set("server.drain-timeout", r#""100ms""#)
        .start();
    let mut client = server.login();
    let mut data = client.begin("STOR file");
    data.send(b"first,").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    data.cut();
    client.reply().expect_one_of(&[426, 451]);
    let server = server.restart(|| {});
    let mut client = server.login();
    client.send("SIZE file").expect(213).saying("6");
    client.send("REST 6").expect(350);
    client.store("STOR file", b"second").expect(226);
    assert_eq!(
        fs::read(server.home().join("file")).unwrap(),
        b"first,second"
    );
}

/// Killed without a word: the old file is whole, and the next start works.
#[test]
fn a_crash_leaves_whole_files() {
    let server = Server::start();
    fs::write(server.home().join("file"), "old").unwrap();
    let mut client = server.login();
    let mut data = client.begin("STOR file");
    data.send(&crate::support::content(1 << 20, 1)).unwrap();
    let id = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    kill_process(id, Signal::KILL).unwrap();
    let server = server.revive();
    assert_eq!(fs::read(server.home().join("file")).unwrap(), b"old");
    let mut client = server.login();
    assert_eq!(client.retrieve("RETR file"), b"old");
    client.store("STOR file", b"new").expect(226);
}
