//! An engine that is away, hangs, or comes back.

use std::{
    fs,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    engine::{Engine, holds},
    support::{USER, content, eventually},
};

/// A client is told within this, whatever the engine does.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn an_engine_that_is_away_is_told_soon_and_used_again_when_it_is_back() {
    let Some(mut engine) = Engine::start() else {
        return;
    };
    let server = engine.start_server();
    let bytes = content(11 << 20, 1);
    let mut client = server.login();
    client.store("STOR file", &bytes).expect(226);
    engine.kill();
    for command in ["SIZE file", "RETR file", "DELE file", "MKD d", "NLST"] {
        let begun = Instant::now();
        if matches!(command, "RETR file" | "NLST") {
            client.send("EPSV").expect(229);
        }
        client.send(command).expect(451);
        assert!(begun.elapsed() < SOON / 2, "{command}");
    }
    let begun = Instant::now();
    let reply = client.send("STOR other");
    reply.expect_one_of(&[425, 451]);
    assert!(begun.elapsed() < SOON / 2);
    engine.revive();
    client.send("SIZE file").expect(213);
    assert_eq!(client.retrieve("RETR file"), bytes);
    client.store("STOR other", b"content").expect(226);
}

/// Bytes that were sent while the engine was away wait: the client goes on from there.
#[test]
fn an_upload_at_whose_end_the_engine_is_away_is_not_lost() {
    let Some(mut engine) = Engine::start() else {
        return;
    };
    let server = engine.start_server();
    let bytes = content(16 << 20, 2);
    let mut client = server.login();
    let mut data = client.begin("STOR file");
    data.send(&bytes[..9 << 20]).unwrap();
    engine.kill();
    data.send(&bytes[9 << 20..]).unwrap();
    data.finish().unwrap();
    client.reply().expect(451);
    engine.revive();
    assert!(!engine.home_of(USER).join("file").exists());
    let mut client = server.login();
    let offset: usize = client.send("SIZE file").expect(213).text().parse().unwrap();
    assert!(offset > 15 << 20, "{offset}");
    client.send(&format!("REST {offset}")).expect(350);
    client.store("STOR file", &bytes[offset..]).expect(226);
    assert!(holds(&engine.home_of(USER).join("file"), &bytes));
}

/// An engine that goes away for a moment in the middle of an upload is not noticed.
#[test]
fn an_engine_that_was_away_in_between_is_not_noticed() {
    let Some(mut engine) = Engine::start() else {
        return;
    };
    let server = engine.start_server();
    let bytes = content(22 << 20, 3);
    let mut client = server.login();
    let mut data = client.begin("STOR file");
    data.send(&bytes[..12 << 20]).unwrap();
    engine.kill();
    data.send(&bytes[12 << 20..14 << 20]).unwrap();
    engine.revive();
    data.send(&bytes[14 << 20..]).unwrap();
    data.finish().unwrap();
    client.reply().expect(226);
    assert!(holds(&engine.home_of(USER).join("file"), &bytes));
}

#[test]
fn an_engine_that_hangs_holds_up_nobody_for_long() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let server = engine.start_server();
    let mut client = server.login();
    client.store("STOR file", b"content").expect(226);
    let process = Pid::from_raw(i32::try_from(engine.id()).unwrap()).unwrap();
    kill_process(process, Signal::STOP).unwrap();
    let state = format!("/proc/{}/stat", engine.id());
    eventually("it hangs", || {
        fs::read_to_string(&state).unwrap().contains(") T ")
    });
    let begun = Instant::now();
    client.send("SIZE file").expect(451);
    assert!(begun.elapsed() < SOON);
    // The rest of the server goes on.
    let mut other = server.connect();
    other.send("NOOP").expect_one_of(&[200, 530]);
    kill_process(process, Signal::CONT).unwrap();
    client.send("SIZE file").expect(213).saying("7");
}

/// The service may come up before its engine does.
#[test]
fn a_server_starts_without_its_engine() {
    let Some(mut engine) = Engine::start() else {
        return;
    };
    engine.kill();
    let mut server = engine.start_server();
    server.wait_for_line(|line| line.contains("engine cannot be used now"));
    engine.revive();
    let mut client = server.login();
    client.store("STOR file", b"content").expect(226);
    assert_eq!(
        fs::read(engine.home_of(USER).join("file")).unwrap(),
        b"content"
    );
}
