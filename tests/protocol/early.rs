//! Clients that begin TLS on the data connection before they send the command.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use rustls::ClientConnection;

use crate::support::{
    Client, Data, PATIENCE, Server, Setup, Tls, USER, Version, client, content, tls::VERSIONS,
};

fn server(binding: &str) -> Server {
    let server = Setup::new()
        .set("tls.data-binding", &format!("{binding:?}"))
        .set("limits.data-timeout", r#""3s""#)
        .user("mallory", "")
        .start();
    std::fs::write(server.home().join("file"), "content").unwrap();
    server
}

/// EPSV, the connection and the whole handshake.
#[track_caller]
fn shake_hands(client: &mut Client) -> Data {
    let stream = client.open();
    client.protect(stream)
}

#[test]
fn the_handshake_goes_on_without_the_command() {
    for binding in ["off", "prefer", "require"] {
        let server = server(binding);
        for version in VERSIONS {
            let mut client = server.login_as(USER, &Tls::version(version));
            for command in ["RETR file", "LIST", "MLSD"] {
                let data = shake_hands(&mut client);
                assert!(data.is_resumed());
                client.send(command).expect_one_of(&[125, 150]);
                let bytes = data.receive();
                assert!(
                    bytes
                        .windows(4)
                        .any(|four| four == b"file" || four == b"cont")
                );
                client.reply().expect(226);
            }
            let bytes = content(300_000, 5);
            let mut data = shake_hands(&mut client);
            client.send("STOR new").expect_one_of(&[125, 150]);
            data.send(&bytes).unwrap();
            data.finish().unwrap();
            client.reply().expect(226);
            assert!(std::fs::read(server.home().join("new")).unwrap() == bytes);
        }
    }
}

#[test]
fn a_whole_upload_may_come_before_its_command() {
    let server = server("prefer");
    for version in VERSIONS {
        let mut client = server.login_as(USER, &Tls::version(version));
        let mut data = shake_hands(&mut client);
        data.send(b"sent before").unwrap();
        data.finish().unwrap();
        client.send("NOOP").expect(200);
        client.send("TYPE I").expect(200);
        client.send("STOR new").expect_one_of(&[125, 150]);
        client.reply().expect(226);
        let stored = std::fs::read(server.home().join("new")).unwrap();
        assert_eq!(stored, b"sent before");
    }
}

/// The hello is there, and the rest of the handshake comes with the command.
#[test]
fn a_handshake_that_has_begun_goes_on_behind_the_command() {
    let server = server("require");
    for version in VERSIONS {
        let mut client = server.login_as(USER, &Tls::version(version));
        for late in [false, true] {
            let mut stream = client.open();
            let mut tls = hello(&client, &mut stream);
            if late {
                // The server's flight comes without the command.
                tls.read_tls(&mut stream).unwrap();
                tls.process_new_packets().unwrap();
            }
            client.write("RETR file\r\n");
            while tls.is_handshaking() {
                tls.complete_io(&mut stream).unwrap();
            }
            client.reply().expect_one_of(&[125, 150]);
            let mut bytes = Vec::new();
            rustls::Stream::new(&mut tls, &mut stream)
                .read_to_end(&mut bytes)
                .unwrap();
            assert_eq!(bytes, b"content");
            client.reply().expect(226);
        }
    }
}

/// Sends the first flight of a handshake.
fn hello(client: &Client, stream: &mut TcpStream) -> ClientConnection {
    let tls = client.tls.as_ref().unwrap();
    let mut connection = ClientConnection::new(tls.config.clone(), tls.name.clone()).unwrap();
    while connection.wants_write() {
        connection.write_tls(stream).unwrap();
    }
    connection
}

/// Some clients end an empty file as soon as they hear 150, and with it their part of the handshake:
/// where they have begun it, it is waited for, though not for long.
#[test]
fn a_handshake_that_has_begun_is_done_before_150() {
    let server = server("prefer");
    let mut client = server.login();
    let mut stream = client.open();
    let mut tls = hello(&client, &mut stream);
    let begun = Instant::now();
    client.send("STOR new").expect_one_of(&[125, 150]);
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_millis(150), "{waited:?}");
    while tls.is_handshaking() {
        tls.complete_io(&mut stream).unwrap();
    }
    tls.send_close_notify();
    while tls.wants_write() {
        tls.write_tls(&mut stream).unwrap();
    }
    client.reply().expect(226);
    // A client that has not begun it is not waited for: twenty transfers would take four seconds.
    let begun = Instant::now();
    for _ in 0..20 {
        client.retrieve("RETR file");
    }
    assert!(begun.elapsed() < Duration::from_secs(4));
}

/// The terms of the moment when the handshake began hold for the transfer, or the connection is dropped.
#[test]
fn another_protection_drops_what_has_begun() {
    let server = Setup::new()
        .set("tls.data-required", "false")
        .set("limits.data-timeout", r#""500ms""#)
        .start();
    std::fs::write(server.home().join("file"), "content").unwrap();
    for version in VERSIONS {
        let mut client = server.login_as(USER, &Tls::version(version));
        let mut data = shake_hands(&mut client);
        client.send("PROT C").expect(200);
        client.send("RETR file").expect_one_of(&[125, 150]);
        client.reply().expect(425);
        let mut bytes = Vec::new();
        let _ = data.read_to_end(&mut bytes);
        assert_eq!(bytes, b"");
        // There and back again is the same protection.
        client.send("PROT P").expect(200);
        let data = shake_hands(&mut client);
        client.send("PROT C").expect(200);
        client.send("PROT P").expect(200);
        client.send("RETR file").expect_one_of(&[125, 150]);
        assert_eq!(data.receive(), b"content");
        client.reply().expect(226);
        // A new EPSV drops it, and so does REIN.
        let mut old = shake_hands(&mut client);
        assert_eq!(client.retrieve("RETR file"), b"content");
        assert_eq!(old.read(&mut [0; 8]).unwrap_or(0), 0);
        let mut old = shake_hands(&mut client);
        client.send("REIN").expect(220);
        assert_eq!(old.read(&mut [0; 8]).unwrap_or(0), 0);
    }
}

#[test]
fn in_the_clear_nothing_is_begun() {
    let server = Setup::new().set("tls.data-required", "false").start();
    let mut client = server.login();
    client.send("PROT C").expect(200);
    client.tls = None;
    let mut stream = client.open();
    stream.write_all(b"sent before").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    client.send("NOOP").expect(200);
    client.send("STOR new").expect_one_of(&[125, 150]);
    client.reply().expect(226);
    let stored = std::fs::read(server.home().join("new")).unwrap();
    assert_eq!(stored, b"sent before");
}

/// Strangers at the same address, more than there is room for, that say nothing.
#[test]
fn silent_strangers_give_way() {
    let server = server("require");
    let mut client = server.login();
    let address = client.epsv();
    let strangers: Vec<TcpStream> = (0..8).map(|_| client::connect(address)).collect();
    let data = client.protect(client::connect(address));
    client.send("RETR file").expect_one_of(&[125, 150]);
    assert_eq!(data.receive(), b"content");
    client.reply().expect(226);
    drop(strangers);
}

/// Strangers that shake hands before the right client does, and before the command.
#[test]
fn early_strangers_win_nothing() {
    for binding in ["prefer", "require"] {
        let server = server(binding);
        for version in VERSIONS {
            let mut client = server.login_as(USER, &Tls::version(version));
            let address = client.epsv();
            let mut strangers = Vec::new();
            for _ in 0..6 {
                let stranger = Tls::version(version);
                if let Ok(data) = Data::tls(client::connect(address), &stranger) {
                    strangers.push(data);
                }
            }
            let data = client.protect(client::connect(address));
            client.send("RETR file").expect_one_of(&[125, 150]);
            assert_eq!(data.receive(), b"content", "{binding}");
            client.reply().expect(226);
            for mut stranger in strangers {
                let mut bytes = Vec::new();
                let _ = stranger.read_to_end(&mut bytes);
                assert_eq!(bytes, b"", "{binding}");
            }
        }
    }
}

#[test]
fn an_early_full_handshake_is_522_where_resumption_is_required() {
    let server = server("require");
    for version in VERSIONS {
        let mut client = server.login_as(USER, &Tls::version(version));
        let address = client.epsv();
        let stranger = Tls::version(version);
        let data = Data::tls(client::connect(address), &stranger);
        client.write("RETR file\r\n");
        client.reply().expect_one_of(&[125, 150]);
        client.reply().expect(522);
        if let Ok(mut data) = data {
            let mut bytes = Vec::new();
            let _ = data.read_to_end(&mut bytes);
            assert_eq!(bytes, b"");
        }
    }
}

#[test]
fn another_address_gets_no_early_handshake() {
    use socket2::{Domain, Socket, Type};
    let server = server("prefer");
    let mut client = server.login();
    let address = client.epsv();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let elsewhere = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0));
    socket.bind(&elsewhere.into()).unwrap();
    socket.connect_timeout(&address.into(), PATIENCE).unwrap();
    assert!(Data::tls(TcpStream::from(socket), client.tls.as_ref().unwrap()).is_err());
    let data = client.protect(client::connect(address));
    client.send("RETR file").expect_one_of(&[125, 150]);
    assert_eq!(data.receive(), b"content");
    client.reply().expect(226);
}

/// No tickets are handed out before it is known which way the bytes go: behind an upload they would
/// lie unread, and cost it its end.
#[test]
fn an_early_upload_loses_nothing() {
    let server = server("prefer");
    let bytes = content(300_000, 7);
    for round in 0..5 {
        let mut client = server.login_as(USER, &Tls::version(Version::V13));
        client.tls = client.tls.map(|tls| tls.without_resumption());
        let mut data = shake_hands(&mut client);
        client.send("STOR new").expect_one_of(&[125, 150]);
        data.send(&bytes).unwrap();
        data.finish().unwrap();
        client.reply().expect(226);
        let stored = std::fs::read(server.home().join("new")).unwrap();
        assert!(stored == bytes, "{round}");
    }
}
