//! Messages to the manager.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    manager::Manager,
    support::{Server, Setup, eventually},
};

fn signal(server: &Server, signal: Signal) {
    let id = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    kill_process(id, signal).unwrap();
}

/// The place of the first message with this line.
fn place(told: &[String], line: &str) -> Option<usize> {
    told.iter().position(|one| one.lines().any(|of| of == line))
}

/// From the first to the last, within the walls.
#[test]
fn a_life_is_told() {
    for manager in [Manager::at_a_path(), Manager::at_an_abstract_name()] {
        let mut server = Setup::new()
            .environment("NOTIFY_SOCKET", &manager.name)
            .start();
        let pid = format!("MAINPID={}", server.id());
        let address = server.address.to_string();
        manager.hears(&["READY=1", &pid, "STATUS=0 sessions", &address]);
        let (_, status) = server.setup().run(&["status"]);
        assert!(status.contains("system calls: 1"), "{status}");
        let mut client = server.login();
        manager.hears(&["STATUS=1 session; listening on", &address]);

        manager.clear();
        signal(&server, Signal::HUP);
        let begun = manager.hears(&["RELOADING=1", "MONOTONIC_USEC="]);
        let time = begun.split("MONOTONIC_USEC=").nth(1).unwrap().trim();
        assert!(time.parse::<u64>().unwrap() > 0, "{begun}");
        manager.hears(&["READY=1"]);
        let told = manager.told();
        assert!(place(&told, "RELOADING=1") < place(&told, "READY=1"));

        // One that fails is over, too.
        manager.clear();
        server.setup().file("config.toml", "nonsense = 1");
        signal(&server, Signal::HUP);
        manager.hears(&["RELOADING=1"]);
        manager.hears(&["READY=1"]);
        eventually("the log says so", || {
            server.log().contains("the reload failed")
        });

        let mut data = client.begin("STOR file");
        data.send(b"first,").unwrap();
        manager.clear();
        server.terminate();
        manager.hears(&["STOPPING=1"]);
        manager.hears(&["EXTEND_TIMEOUT_USEC="]);
        assert!(server.is_running());
        data.finish().unwrap();
        client.reply().expect(226);
        assert!(server.wait().success());
        let told = manager.told();
        assert_eq!(place(&told, "READY=1"), None, "{told:?}");
    }
}

#[test]
fn the_watchdog_hears_of_it_in_time() {
    let manager = Manager::at_a_path();
    let server = Setup::new()
        .environment("NOTIFY_SOCKET", &manager.name)
        .environment("WATCHDOG_USEC", "400000")
        .start();
    manager.hears(&["READY=1"]);
    let before = manager.signs_of_life();
    eventually("it lives", || manager.signs_of_life() > before + 3);
    // A process that stands still does not.
    signal(&server, Signal::STOP);
    let mut silent = 0;
    eventually("it is silent", || {
        let before = manager.signs_of_life();
        std::thread::sleep(Duration::from_millis(300));
        silent = if manager.signs_of_life() == before {
            silent + 1
        } else {
            0
        };
        silent == 3
    });
    signal(&server, Signal::CONT);
    let before = manager.signs_of_life();
    eventually("it lives again", || manager.signs_of_life() > before);
}

/// The variables are another process's.
#[test]
fn nobody_is_told_where_nobody_listens() {
    let manager = Manager::at_a_path();
    let mut server = Setup::new()
        .environment("WATCHDOG_USEC", "400000")
        .environment("LISTEN_FDS", "1")
        .environment("LISTEN_PID", "1")
        .start();
    server.login().send("NOOP").expect(200);
    server.terminate();
    assert!(server.wait().success());
    assert_eq!(manager.told(), Vec::<String>::new());
}

#[test]
fn a_manager_that_cannot_be_told_is_an_error_of_the_start() {
    for (name, why) in [
        ("/nowhere/notify", "No such file"),
        ("vsock:2:1", "neither a path nor an abstract name"),
    ] {
        let setup = Setup::new().environment("NOTIFY_SOCKET", name);
        let (status, said) = setup.run(&["serve"]);
        assert_ne!(status, 0, "{said}");
        for words in ["NOTIFY_SOCKET", name, why] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
}
