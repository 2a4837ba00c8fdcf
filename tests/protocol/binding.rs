//! Data connections belong to the session that asked for them.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
};

use rustls::HandshakeKind;

use crate::support::{
    Client, Data, PATIENCE, Server, Setup, Tls, USER, Version, client,
    tls::{Identity, VERSIONS},
};

fn server(binding: &str) -> Server {
    let server = Setup::new()
        .set("tls.data-binding", &format!("{binding:?}"))
        .set("limits.data-timeout", r#""2s""#)
        .user("mallory", "")
        .start();
    std::fs::write(server.home().join("file"), "content").unwrap();
    server
}

/// A connection from another address of this machine.
fn from_elsewhere(to: SocketAddr) -> TcpStream {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0)).into())
        .unwrap();
    socket.connect_timeout(&to.into(), PATIENCE).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The bytes that a connection gets that should get none.
fn loot(stream: TcpStream, tls: Option<&Tls>) -> Vec<u8> {
    let mut bytes = Vec::new();
    match tls {
        Some(tls) => {
            if let Ok(mut data) = Data::tls(stream, tls) {
                let _ = data.read_to_end(&mut bytes);
            }
        }
        None => {
            let mut stream = stream;
            let _ = stream.read_to_end(&mut bytes);
        }
    }
    bytes
}

#[test]
fn every_binding_serves_a_client_that_resumes() {
    for binding in ["off", "prefer", "require"] {
        let server = server(binding);
        for version in VERSIONS {
            let mut client = server.login_as(USER, &Tls::version(version));
            // TLS 1.2: one session for all. TLS 1.3: rustls uses each ticket once.
            for _ in 0..3 {
                let data = client.begin("RETR file");
                assert!(data.is_resumed(), "{binding} {version:?}");
                assert_eq!(data.receive(), b"content");
                client.reply().expect(226);
            }
        }
    }
}

/// In TLS 1.3 rustls uses each ticket once, so that they run out unless there are new ones.
#[test]
fn tickets_do_not_run_out() {
    let server = server("require");
    for version in VERSIONS {
        let mut client = server.login_as(USER, &Tls::version(version));
        for round in 0..40 {
            let data = client.begin("RETR file");
            assert!(data.is_resumed(), "{version:?}: round {round}");
            assert_eq!(data.receive(), b"content");
            client.reply().expect(226);
        }
    }
}

#[test]
fn a_client_that_uses_each_ticket_once_can_upload_and_download_in_turn() {
    let server = server("require");
    let mut client = server.login_as(USER, &Tls::version(Version::V13));
    for round in 0..10 {
        client
            .store(&format!("STOR {round}"), b"content")
            .expect(226);
        assert_eq!(client.retrieve(&format!("RETR {round}")), b"content");
    }
}

/// Behind its end an upload brings a ticket to clients that wait for the server's.
#[test]
fn uploads_bring_tickets_to_clients_that_wait_for_their_end() {
    let server = server("require");
    for early in [false, true] {
        let mut client = server.login_as(USER, &Tls::version(Version::V13));
        for round in 0..20 {
            let mut data = match early {
                false => client.begin("STOR new"),
                true => {
                    let stream = client.open();
                    let data = client.protect(stream);
                    client.send("STOR new").expect_one_of(&[125, 150]);
                    data
                }
            };
            assert!(data.is_resumed(), "{round}");
            data.send(b"content").unwrap();
            let Data::Tls(stream) = &mut data else {
                panic!("there is no TLS");
            };
            stream.conn.send_close_notify();
            stream.flush().unwrap();
            assert_eq!(data.receive(), b"");
            client.reply().expect(226);
        }
    }
}

/// A client may speak another version on data connections: what it gets is a full handshake.
#[test]
fn another_version_on_data_connections_is_served() {
    let server = server("prefer");
    for (control, data) in [(Version::V13, Version::V12), (Version::V12, Version::V13)] {
        let mut client = server.login_as(USER, &Tls::version(control));
        client.tls = Some(Tls::version(data).apart());
        for early in [false, true] {
            for _ in 0..2 {
                client.store("STOR new", b"content").expect(226);
                assert_eq!(client.retrieve("RETR new"), b"content");
                if early {
                    let stream = client.open();
                    let data = client.protect(stream);
                    client.send("RETR new").expect_one_of(&[125, 150]);
                    assert_eq!(data.receive(), b"content");
                    client.reply().expect(226);
                }
            }
        }
    }
}

#[test]
fn full_handshakes_do_unless_resumption_is_required() {
    for binding in ["off", "prefer"] {
        let server = server(binding);
        for version in VERSIONS {
            let mut client = server.login_as(USER, &Tls::version(version));
            client.tls = client.tls.map(|tls| tls.without_resumption());
            for _ in 0..3 {
                let data = client.begin("RETR file");
                assert!(!data.is_resumed());
                assert_eq!(data.receive(), b"content");
                client.reply().expect(226);
            }
            client.store("STOR new", b"content").expect(226);
        }
    }
}

#[test]
fn full_handshakes_are_522_where_resumption_is_required() {
    let server = server("require");
    for version in VERSIONS {
        let mut client = server.login_as(USER, &Tls::version(version));
        let own = client.tls.clone();
        client.tls = own.as_ref().map(Tls::without_resumption);
        let stream = client.open();
        client.send("RETR file").expect_one_of(&[125, 150]);
        assert_eq!(loot(stream, client.tls.as_ref()), b"");
        client.reply().expect(522);
        let stream = client.open();
        client.send("STOR stolen").expect_one_of(&[125, 150]);
        if let Ok(mut data) = Data::tls(stream, client.tls.as_ref().unwrap()) {
            let _ = data.send(b"planted");
            let _ = data.finish();
        }
        client.reply().expect(522);
        assert!(!server.home().join("stolen").exists());
        assert!(server.files_with(b"planted").is_empty());
        client.tls = own;
        assert_eq!(client.retrieve("RETR file"), b"content");
    }
}

/// The ticket of another session proves nothing, not even that of the same user.
#[test]
fn a_foreign_ticket_is_no_proof() {
    let server = server("require");
    for version in VERSIONS {
        for other in [USER, "mallory"] {
            let mut client = server.login_as(USER, &Tls::version(version));
            let mut foreign = server.login_as(other, &Tls::version(version));
            foreign.send("NOOP").expect(200);
            let stream = client.open();
            client.send("RETR file").expect_one_of(&[125, 150]);
            assert_eq!(loot(stream, foreign.tls.as_ref()), b"", "{version:?}");
            client.reply().expect(522);
        }
    }
}

/// Another client of the same address, behind the same NAT, is first at the port.
#[test]
fn the_right_client_is_served_although_another_one_was_first() {
    let server = server("require");
    for version in VERSIONS {
        for command in ["RETR file", "STOR new"] {
            let mut client = server.login_as(USER, &Tls::version(version));
            let mut foreign = server.login_as("mallory", &Tls::version(version));
            foreign.send("NOOP").expect(200);
            let address = client.epsv();
            let thief = client::connect(address);
            client.write(format!("{command}\r\n"));
            client.reply().expect_one_of(&[125, 150]);
            let tls = foreign.tls.clone();
            let thief = std::thread::spawn(move || loot(thief, tls.as_ref()));
            assert_eq!(thief.join().unwrap(), b"");
            let mut data = client.protect(client::connect(address));
            if command.starts_with("RETR") {
                assert_eq!(data.receive(), b"content");
            } else {
                data.send(b"mine").unwrap();
                data.finish().unwrap();
            }
            client.reply().expect(226);
        }
        assert_eq!(std::fs::read(server.home().join("new")).unwrap(), b"mine");
        std::fs::remove_file(server.home().join("new")).unwrap();
    }
}

/// A full handshake brings a ticket before it can be refused: always in TLS 1.2, and in TLS 1.3
/// where the server sends.
#[test]
fn regression_a_stranger_does_not_come_back_with_the_ticket_it_was_given() {
    let server = server("require");
    for version in VERSIONS {
        let mut client = server.login_as(USER, &Tls::version(version));
        let address = client.epsv();
        let (first, second) = (client::connect(address), client::connect(address));
        client.write("RETR file\r\n");
        client.reply().expect_one_of(&[125, 150]);
        let stranger = Tls::version(version);
        assert_eq!(loot(first, Some(&stranger)), b"", "{version:?}");
        assert_eq!(loot(second, Some(&stranger)), b"", "{version:?}");
        client.reply().expect(522);
    }
}

#[test]
fn another_address_is_dropped_and_the_right_one_still_served() {
    for binding in ["off", "prefer", "require"] {
        let server = server(binding);
        let mut client = server.login();
        let address = client.epsv();
        let thief = from_elsewhere(address);
        let right = client::connect(address);
        client.send("RETR file").expect_one_of(&[125, 150]);
        assert_eq!(loot(thief, None), b"");
        let data = client.protect(right);
        assert_eq!(data.receive(), b"content");
        client.reply().expect(226);
        // Also while the transfer waits already.
        let address = client.epsv();
        client.write("RETR file\r\n");
        let thief = from_elsewhere(address);
        let tls = client.tls.clone();
        assert_eq!(loot(thief, tls.as_ref()), b"");
        let right = client::connect(address);
        client.reply().expect_one_of(&[125, 150]);
        assert_eq!(client.protect(right).receive(), b"content");
        client.reply().expect(226);
    }
}

/// RST would take the end of the file with it, if tickets lay unread (rclone, Perl, ftp-ssl).
#[test]
fn a_client_that_never_reads_tickets_loses_nothing_of_an_upload() {
    let content = crate::support::content(300_000, 7);
    for binding in ["prefer", "require"] {
        let server = server(binding);
        for version in VERSIONS {
            let mut client: Client = server.login_as(USER, &Tls::version(version));
            for round in 0..5 {
                if binding == "prefer" {
                    client.tls = client.tls.map(|tls| tls.without_resumption());
                }
                client.store("STOR upload", &content).expect(226);
                let stored = std::fs::read(server.home().join("upload")).unwrap();
                assert!(stored == content, "{version:?}: round {round}");
            }
        }
    }
}

/// OpenSSL gives up the session that it resumes when a new ticket comes, and programs that wait to be
/// told of the new one never resume again.
#[test]
fn regression_data_connections_of_tls_1_2_hand_out_no_tickets() {
    const NEW_SESSION_TICKET: u8 = 4;
    for binding in ["off", "prefer", "require"] {
        let server = server(binding);
        let mut client = server.login_as(USER, &Tls::version(Version::V12));
        for command in ["RETR file", "RETR file", "STOR new", "LIST"] {
            let tls = client.tls.clone().unwrap();
            let mut stream = client.open();
            client.send(command).expect_one_of(&[125, 150]);
            let mut connection = rustls::ClientConnection::new(tls.config, tls.name).unwrap();
            let mut came = Vec::new();
            while connection.is_handshaking() {
                while connection.wants_write() {
                    connection.write_tls(&mut stream).unwrap();
                }
                if !connection.is_handshaking() {
                    break;
                }
                let mut bytes = [0; 4096];
                let length = stream.read(&mut bytes).unwrap();
                came.extend_from_slice(&bytes[..length]);
                let mut bytes = &bytes[..length];
                while !bytes.is_empty() {
                    connection.read_tls(&mut bytes).unwrap();
                    connection.process_new_packets().unwrap();
                }
            }
            assert_eq!(
                connection.handshake_kind(),
                Some(rustls::HandshakeKind::Resumed)
            );
            let mut kinds = Vec::new();
            let mut records = &came[..];
            // Handshake messages before ChangeCipherSpec, each in a record of its own.
            while let [0x16, _, _, high, low, rest @ ..] = records {
                kinds.push(rest[0]);
                records = &rest[usize::from(u16::from_be_bytes([*high, *low]))..];
            }
            assert!(
                !kinds.is_empty() && !kinds.contains(&NEW_SESSION_TICKET),
                "{kinds:?}"
            );
            drop(stream);
            client.reply();
        }
    }
}

/// A control connection begins anew, whatever ticket its client has, and a data connection takes no ticket
/// of another run or of a session under another name.
#[test]
fn tickets_lead_into_no_other_session_run_or_host() {
    let names = ["one.example", "two.example"];
    let identities = names.map(Identity::server);
    let setup = Setup::new();
    let [first, second] = [0, 1].map(|index| {
        let identity = &identities[index];
        let certificate = setup.file(&format!("{index}.pem"), &identity.certificate_pem);
        let key = setup.file(&format!("{index}.key"), &identity.key_pem);
        (certificate, key)
    });
    let host = format!(
        "[[tls.host]]\ncertificate = {:?}\nkey = {:?}\n",
        second.0, second.1
    );
    let mut server = setup
        .set("tls.certificate", &format!("{:?}", first.0))
        .set("tls.key", &format!("{:?}", first.1))
        .set("tls.data-binding", r#""require""#)
        .set("limits.data-timeout", r#""2s""#)
        .tables(&host)
        .start();
    std::fs::write(server.home().join("file"), "content").unwrap();
    let begin = |server: &Server, tls: &Tls| {
        let mut client = server.connect();
        client.send("AUTH TLS").expect(234);
        client.handshake(tls).unwrap();
        // With it come the tickets.
        client.send("NOOP").expect(200);
        let kind = client.connection().handshake_kind();
        assert_ne!(kind, Some(HandshakeKind::Resumed));
        client
    };
    let steals = |client: &mut Client, tls: &Tls| {
        let stream = client.open();
        client.send("RETR file").expect_one_of(&[125, 150]);
        let mut loot = Vec::new();
        if let Ok(mut data) = Data::tls(stream, tls) {
            assert!(!data.is_resumed());
            let _ = data.read_to_end(&mut loot);
        }
        assert_eq!(loot, b"");
        client.reply().expect(522);
    };
    for version in VERSIONS {
        let tls = Tls::version(version).apart();
        for _ in 0..3 {
            drop(begin(&server, &tls));
        }
        let [one, two] = names.map(|name| tls.apart().host(name));
        let mut session = server.login_as(USER, &one);
        drop(begin(&server, &two));
        // By the other's ticket under its own name, and under the name of the one.
        steals(&mut session, &two);
        steals(&mut session, &two.host(names[0]));
        assert_eq!(session.retrieve("RETR file"), b"content");

        let before = tls.apart().host(names[0]);
        drop(begin(&server, &before));
        server = server.restart(|| {});
        let mut session = server.login_as(USER, &one);
        steals(&mut session, &before);
        assert_eq!(session.retrieve("RETR file"), b"content");
        drop(begin(&server, &before));
    }
}
