//! One port for the data connections of all sessions: `data.passive-ports` of one port.

use std::{
    io::Read,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use socket2::{Domain, Socket, Type};

use crate::support::{
    Client, Data, PATIENCE, Server, Setup, Tls, USER, Version, client, eventually, free_port,
    read_all, tls::VERSIONS,
};

const SESSIONS: usize = 500;

fn setup(port: u16) -> Setup {
    Setup::new()
        .set("data.passive-ports", &format!("\"{port}\""))
        .set("limits.data-timeout", "\"20s\"")
}

/// A connection from another address of this machine.
fn from(host: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let own = SocketAddr::from((Ipv4Addr::from(host), 0));
    socket.bind(&own.into()).unwrap();
    socket.connect_timeout(&to.into(), PATIENCE).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn clear(server: &Server) -> Client {
    let mut client = server.connect();
    client.login(USER);
    client.send("TYPE I").expect(200);
    client
}

fn optional(port: u16) -> Setup {
    setup(port)
        .set("tls.required", "false")
        .set("tls.data-required", "false")
}

/// All of them wait at the same time, and all come from one address: each gets what is its own.
#[test]
fn five_hundred_sessions_share_a_port() {
    let port = free_port();
    let server = setup(port).set("tls.data-binding", "\"require\"").start();
    for number in 0..SESSIONS {
        std::fs::write(
            server.home().join(format!("{number}")),
            format!("of {number}"),
        )
        .unwrap();
    }
    let (server, wait) = (Arc::new(server), Arc::new(Barrier::new(SESSIONS)));
    let sessions: Vec<_> = (0..SESSIONS)
        .map(|number| {
            let (server, wait) = (server.clone(), wait.clone());
            let work = move || {
                let version = VERSIONS[number % VERSIONS.len()];
                let mut client = server.login_as(USER, &Tls::version(version));
                let at = client.epsv();
                assert_eq!(at.port(), port);
                // Everybody waits before anybody connects.
                wait.wait();
                let tcp = client::connect(at);
                wait.wait();
                client.send(&format!("RETR {number}")).expect(150);
                let data = client.protect(tcp);
                assert!(data.is_resumed());
                assert_eq!(data.receive(), format!("of {number}").into_bytes());
                client.reply().expect(226);
                wait.wait();
                let content = format!("upload of {number}");
                client
                    .store(&format!("STOR new{number}"), content.as_bytes())
                    .expect(226);
            };
            thread::Builder::new().stack_size(512 << 10).spawn(work)
        })
        .collect();
    for session in sessions {
        session.unwrap().join().unwrap();
    }
    for number in 0..SESSIONS {
        let found = std::fs::read_to_string(server.home().join(format!("new{number}"))).unwrap();
        assert_eq!(found, format!("upload of {number}"));
    }
}

/// Clients that begin TLS before they send the command find their session, too.
#[test]
fn a_handshake_may_come_before_the_command() {
    let server = setup(free_port()).start();
    std::fs::write(server.home().join("file"), "content").unwrap();
    let _other = {
        let mut other = server.login();
        other.epsv();
        other
    };
    for version in VERSIONS {
        let mut client = server.login_as(USER, &Tls::version(version));
        let at = client.epsv();
        let data = client.protect(client::connect(at));
        assert!(data.is_resumed());
        client.send("RETR file").expect(150);
        assert_eq!(data.receive(), b"content");
        client.reply().expect(226);
    }
}

/// A session whose address nobody else waits from needs no ticket.
#[test]
fn alone_at_its_address_a_session_needs_no_ticket() {
    let server = optional(free_port()).start();
    std::fs::write(server.home().join("file"), "content").unwrap();
    let mut plain = clear(&server);
    assert_eq!(plain.retrieve("RETR file"), b"content");
    plain.store("STOR in the clear", b"bytes").expect(226);
    let tls = Tls::version(Version::V13);
    let mut client = server.login_as(USER, &tls.without_resumption());
    for _ in 0..2 {
        assert_eq!(client.retrieve("RETR file"), b"content");
    }
    // And so do sessions of several addresses.
    let mut elsewhere = Client::over(from([127, 0, 0, 2], server.address));
    elsewhere.reply().expect(220);
    elsewhere.login(USER);
    let at = elsewhere.epsv();
    let own = plain.open();
    let other = from([127, 0, 0, 2], at);
    plain.send("RETR file").expect(150);
    elsewhere.send("RETR file").expect(150);
    assert_eq!(read_all(own), b"content");
    assert_eq!(read_all(other), b"content");
    plain.reply().expect(226);
    elsewhere.reply().expect(226);
}

/// Two that cannot be told apart get nothing of each other's, hear why without a long wait, and can go on.
#[test]
fn who_cannot_be_told_apart_is_told_so() {
    let server = optional(free_port()).start();
    std::fs::write(server.home().join("file"), "content").unwrap();
    let (mut one, mut other) = (clear(&server), clear(&server));
    let at = one.epsv();
    other.epsv();
    let begun = Instant::now();
    let mut data = client::connect(at);
    one.send("RETR file").expect(150);
    one.reply().expect(425).saying("Several sessions");
    assert!(begun.elapsed() < Duration::from_secs(10));
    let mut bytes = Vec::new();
    let _ = data.read_to_end(&mut bytes);
    assert!(bytes.is_empty());
    // The other one has its port still, and nobody else's connection.
    other.send("STOR stolen").expect(150);
    other.reply().expect(425);
    assert!(!server.home().join("stolen").exists());
    assert_eq!(one.retrieve("RETR file"), b"content");
    // Under TLS without resumption it is the same.
    let tls = Tls::new();
    let mut pair = [
        server.login_as(USER, &tls.without_resumption()),
        server.login_as(USER, &tls.without_resumption()),
    ];
    let at = pair.each_mut().map(Client::epsv)[0];
    let tcp = client::connect(at);
    pair[0].send("RETR file").expect(150);
    let _ = Data::tls(tcp, &tls.without_resumption());
    pair[0].reply().expect(425).saying("Several sessions");
}

/// One in the clear and one under TLS are told apart by how they begin.
#[test]
fn upload_in_the_clear_beside_a_session_under_tls() {
    let server = optional(free_port()).start();
    std::fs::write(server.home().join("file"), "content").unwrap();
    let (mut plain, mut client) = (clear(&server), server.login());
    let at = client.epsv();
    let (own, other) = (plain.open(), client::connect(at));
    client.send("RETR file").expect(150);
    plain.send("STOR new").expect(150);
    std::io::Write::write_all(&mut &own, b"bytes").unwrap();
    drop(own);
    plain.reply().expect(226);
    assert_eq!(client.protect(other).receive(), b"content");
    client.reply().expect(226);
    assert_eq!(std::fs::read(server.home().join("new")).unwrap(), b"bytes");
}

/// A stranger who connects first gets nothing, from whatever address; and silence of others holds nobody up.
#[test]
fn strangers_at_the_port_get_nothing() {
    let port = free_port();
    let server = setup(port).start();
    std::fs::write(server.home().join("file"), "content").unwrap();
    let (mut client, mut other) = (server.login(), server.login());
    let at = client.epsv();
    other.epsv();
    let mut strangers: Vec<TcpStream> = (0..50).map(|_| client::connect(at)).collect();
    strangers.extend((0..5).map(|_| from([127, 0, 0, 3], at)));
    for _ in 0..3 {
        assert_eq!(client.retrieve("RETR file"), b"content");
        client.store("STOR up", b"bytes").expect(226);
    }
    drop(client);
    drop(other);
    for mut stranger in strangers {
        let mut bytes = Vec::new();
        let _ = stranger.read_to_end(&mut bytes);
        assert!(bytes.is_empty());
    }
}

/// A reload with other ports closes this one, once nobody waits there; sessions that are there go on with it.
#[test]
fn the_port_goes_with_the_configuration() {
    let port = free_port();
    let ports = |ports: &str| format!("[data]\npassive-ports = \"{ports}\"\n");
    let mut server = Setup::new()
        .unset("data.passive-ports")
        // Else it takes a restart: the ports are within the walls.
        .set("server.landlock", "\"off\"")
        .tables(&ports(&port.to_string()))
        .start();
    std::fs::write(server.home().join("file"), "content").unwrap();
    let at = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let mut client = server.login();
    assert_eq!(client.epsv(), at);
    assert!(TcpStream::connect(at).is_ok());
    server.setup().file("config.toml", ports("0-0"));
    let id = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    kill_process(id, Signal::HUP).unwrap();
    server.wait_for_line(|line| line.contains("reloaded"));
    assert_ne!(server.login().epsv(), at);
    assert_eq!(client.retrieve("RETR file"), b"content");
    assert_eq!(client.epsv(), at);
    drop(client);
    server.setup().file("config.toml", ports("0-0"));
    eventually("it is closed", || {
        kill_process(id, Signal::HUP).unwrap();
        TcpStream::connect(at).is_err()
    });
}
