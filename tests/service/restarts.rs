//! Restarts behind addresses that the manager keeps: clients wait, and nobody is refused.

use std::{
    net::{SocketAddr, TcpListener},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    manager::Manager,
    support::{Client, Server, Setup, Tls, USER, content, eventually},
};

/// Addresses that were free just now: those that the system chooses are others after a restart.
fn free<const N: usize>() -> [SocketAddr; N] {
    let all = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    all.map(|one| one.local_addr().unwrap())
}

fn name(address: SocketAddr) -> String {
    format!("portcullis-listener-127.0.0.1_{}", address.port())
}

fn tables(listen: &[SocketAddr], implicit: &[SocketAddr]) -> String {
    let list = |all: &[SocketAddr]| {
        let all: Vec<_> = all.iter().map(|one| format!("\"{one}\"")).collect();
        all.join(", ")
    };
    format!(
        "[server]\nlisten = [{}]\nlisten-implicit = [{}]\n",
        list(listen),
        list(implicit)
    )
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

/// Ends the load, also where the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A thousand clients come while the server is restarted twice, with a transfer under way each time.
#[test]
fn nobody_is_refused_while_the_server_is_restarted() {
    const CLIENTS: usize = 1000;
    let manager = Manager::at_a_path();
    let [explicit, implicit] = free();
    let first = setup(&manager, &tables(&[explicit], &[implicit])).start();
    keeps(&manager, &[explicit, implicit]);
    let (next, over) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let restarted = AtomicBool::new(false);
    let bytes = content(300_000, 1);
    let server = thread::scope(|scope| {
        let _end = End(&restarted);
        let mut server = first;
        for _ in 0..20 {
            scope.spawn(|| {
                let tls = Tls::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= CLIENTS && restarted.load(Ordering::Relaxed) {
                        return;
                    }
                    // None is refused, reset or left without a word; one that came just before the end is
                    // told so.
                    let mut client = Client::over(std::net::TcpStream::connect(explicit).unwrap());
                    let greeted = client.try_reply().unwrap().expect_one_of(&[220, 421]);
                    // The others are not to keep the load off the time of the restarts.
                    if number % 25 == 0
                        && greeted.code == 220
                        && client.try_write("NOOP\r\n").is_ok()
                        && let Ok(reply) = client.try_reply()
                    {
                        reply.expect_one_of(&[200, 421, 530]);
                    }
                    if number % 100 == 0 {
                        let mut client = Client::implicit(implicit, &tls);
                        let _ = client.try_write("NOOP\r\n");
                    }
                    over.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(10));
                }
            });
        }
        for round in 0..2 {
            let before = over.load(Ordering::Relaxed);
            eventually("clients come", || {
                over.load(Ordering::Relaxed) > before + 50
            });
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
            for _ in 0..20 {
                scope.spawn(|| {
                    let mut client = Client::connect(explicit);
                    client.auth_tls(&Tls::new());
                    client.login(USER);
                });
            }
            server = restart_ended(server, &manager);
            assert_ne!(server.id(), process);
            let mut client = server.login();
            assert_eq!(client.retrieve(&format!("RETR file{round}")), bytes);
        }
        let before = over.load(Ordering::Relaxed);
        eventually("clients come", || {
            over.load(Ordering::Relaxed) > before + 50
        });
        server
    });
    assert!(over.load(Ordering::Relaxed) >= CLIENTS);
    let (_, status) = server.setup().run(&["status"]);
    assert!(status.contains(&server.id().to_string()), "{status}");
}

/// Waits for the end, and starts another one with what the manager keeps.
fn restart_ended(mut server: Server, manager: &Manager) -> Server {
    server.wait();
    server.setup().pass(manager.kept());
    let server = server.revive();
    server.setup().pass(Vec::new());
    server
}

/// Who comes while nobody serves is served by the next.
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
        let mut client = Client::connect(explicit);
        client.auth_tls(&Tls::new());
        client.login(USER);
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
