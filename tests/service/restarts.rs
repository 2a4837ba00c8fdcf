//! Restarts behind addresses that the manager keeps: clients wait, and nobody is refused.

use std::{
    net::{SocketAddr, TcpListener},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    load::{Load, free, tables},
    manager::Manager,
    support::{Client, Server, Setup, Tls, USER, content, eventually},
};

fn name(address: SocketAddr) -> String {
    format!("portcullis-listener-127.0.0.1_{}", address.port())
}

fn setup(manager: &Manager, tables: &str) -> Setup {
    Setup::new()
        .environment("NOTIFY_SOCKET", &manager.name)
        .unset("server.listen")
        .unset("server.listen-implicit")
        .tables(tables)
}

fn keeps(manager: &Manager, addresses: &[SocketAddr]) {
    let mut wanted: Vec<_> = addresses.iter().map(|one| name(*one)).collect();
    wanted.sort();
    eventually(&format!("{wanted:?}"), || manager.names() == wanted);
}

/// A thousand clients come while the server is restarted twice, with a transfer under way each time.
#[test]
fn nobody_is_refused_while_the_server_is_restarted() {
    let manager = Manager::at_a_path();
    let [explicit, implicit] = free();
    let first = setup(&manager, &tables(&[explicit], &[implicit])).start();
    keeps(&manager, &[explicit, implicit]);
    let bytes = content(300_000, 1);
    let server = Load::during(explicit, |load| {
        let mut server = first;
        for round in 0..2 {
            load.goes_on();
            let process = server.id();
            let mut upload = server.login();
            let mut data = upload.begin(&format!("STOR file{round}"));
            data.send(&bytes[..100_000]).unwrap();
            server.terminate();
            manager.hears(&["STOPPING=1"]);
            manager.clear();
            data.send(&bytes[100_000..]).unwrap();
            data.finish().unwrap();
            upload.reply().expect(226);
            server.wait();
            // They are served by the next one, for certain.
            let waiting: Vec<_> = (0..20)
                .map(|_| thread::spawn(move || log_in(explicit)))
                .collect();
            server = restart_ended(server, &manager);
            for client in waiting {
                client.join().unwrap();
            }
            assert_ne!(server.id(), process);
            let mut client = server.login();
            assert_eq!(client.retrieve(&format!("RETR file{round}")), bytes);
        }
        load.goes_on();
        server
    });
    let (_, status) = server.setup().run(&["status"]);
    assert!(status.contains(&server.id().to_string()), "{status}");
}

fn log_in(address: SocketAddr) {
    let mut client = Client::connect(address);
    client.auth_tls(&Tls::new());
    client.login(USER);
}

/// Waits for the end, and starts another one with what the manager keeps.
fn restart_ended(mut server: Server, manager: &Manager) -> Server {
    server.wait();
    server.setup().pass(manager.kept());
    let server = server.revive();
    server.setup().pass(Vec::new());
    server
}

/// A client that comes while nobody serves is served by the next.
#[test]
fn clients_wait_for_a_server_that_was_killed() {
    let manager = Manager::at_an_abstract_name();
    let [explicit, implicit] = free();
    let mut server = setup(&manager, &tables(&[explicit], &[implicit])).start();
    keeps(&manager, &[explicit, implicit]);
    let id = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    kill_process(id, Signal::KILL).unwrap();
    server.wait();
    let begun = Instant::now();
    let waiting = thread::spawn(move || {
        log_in(explicit);
        begun.elapsed()
    });
    let waited = Duration::from_millis(300);
    thread::sleep(waited);
    let _server = restart_ended(server, &manager);
    assert!(waiting.join().unwrap() > waited);
}

/// The manager keeps what the configuration names, and no more.
#[test]
fn the_manager_keeps_what_is_listened_on() {
    let manager = Manager::at_a_path();
    let [one, two, three, admin] = free();
    let server = setup(&manager, &tables(&[one], &[two]))
        .set("admin.listen", &format!("\"{admin}\""))
        .start();
    keeps(&manager, &[one, two, admin]);
    let reload = |server: &Server, listen: &[SocketAddr], implicit: &[SocketAddr]| {
        let mut command = server.setup().command(&["reload"]);
        server.setup().file("config.toml", tables(listen, implicit));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    reload(&server, &[one], &[three]);
    keeps(&manager, &[one, three, admin]);
    // The same address with the other kind of TLS has to be let go of by both.
    reload(&server, &[], &[one]);
    keeps(&manager, &[one, admin]);
    Client::implicit(one, &Tls::new()).login(USER);
    // Addresses that are gone after a restart are free.
    server.terminate();
    let mut server = restart_ended(server.with_tables(&tables(&[two], &[three])), &manager);
    keeps(&manager, &[two, three, admin]);
    assert!(TcpListener::bind(one).is_ok());
    // An end for good.
    let output = server.setup().command(&["drain"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(server.wait().success());
    keeps(&manager, &[]);
    assert!(TcpListener::bind(two).is_ok());
}
