//! The PROXY protocol from trusted networks.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
};

use crate::support::{Client, Setup, Tls, USER, client};

fn v2(source: [u8; 4], port: u16) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    header.extend_from_slice(&source);
    header.extend_from_slice(&[127, 0, 0, 1]);
    header.extend_from_slice(&port.to_be_bytes());
    header.extend_from_slice(&21_u16.to_be_bytes());
    header
}

fn trusting() -> Setup {
    Setup::new().set("server.proxy-networks", r#"["127.0.0.0/8"]"#)
}

fn behind(server: &crate::support::Server, header: impl AsRef<[u8]>) -> Client {
    let mut client = Client::dial(server.address);
    client.write(header);
    client.reply().expect(220);
    client
}

#[test]
fn both_versions_tell_the_client() {
    let mut server = trusting()
        .user("far", "addresses = [\"192.0.2.7\"]")
        .start();
    for header in [
        b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 21\r\n".to_vec(),
        v2([192, 0, 2, 7], 4711),
    ] {
        let mut client = behind(&server, header);
        client.auth_tls(&Tls::new());
        client.login("far");
    }
    server.wait_for_line(|line| line.contains("192.0.2.7"));
    let mut client = behind(&server, "PROXY TCP4 192.0.2.8 127.0.0.1 4711 21\r\n");
    client.auth_tls(&Tls::new());
    client.send("USER far").expect(331);
    client.send("PASS far").expect(530);
}

#[test]
fn data_connections_come_from_the_told_address_or_the_proxy() {
    let server = trusting().start();
    fs::write(server.home().join("file"), "content").unwrap();
    // The client's address is this machine's, as the told one.
    let mut client = behind(&server, "PROXY TCP4 127.0.0.1 127.0.0.1 4711 21\r\n");
    client.auth_tls(&Tls::new());
    client.login(USER);
    for command in ["PBSZ 0", "PROT P", "TYPE I"] {
        client.send(command).expect(200);
    }
    let port = client.epsv().port();
    let stream = client::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    client.send("RETR file").expect_one_of(&[125, 150]);
    assert_eq!(client.protect(stream).receive(), b"content");
    client.reply().expect(226);
}

#[test]
fn a_local_health_check_and_an_unknown_client() {
    let server = trusting().start();
    behind(&server, b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00")
        .send("NOOP")
        .expect(200);
    behind(&server, "PROXY UNKNOWN\r\n")
        .send("NOOP")
        .expect(200);
}

#[test]
fn no_header_or_a_wrong_one_is_no_session() {
    let server = trusting()
        .set("limits.handshake-timeout", r#""500ms""#)
        .start();
    for header in [
        &b"USER alice\r\n"[..],
        b"PROXY TCP4 x y 1 2\r\n",
        b"PROXY TCP4 192.0.2.7 127.0.0.1 4711",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        b"",
    ] {
        let mut client = Client::dial(server.address);
        client.write(header);
        let rest = client.rest();
        assert!(
            !rest.contains("331 ") && !rest.starts_with("220 "),
            "{header:?}: {rest}"
        );
    }
}

#[test]
fn strangers_cannot_tell_an_address() {
    let server = Setup::new().start();
    let mut client = server.connect();
    client.write("PROXY TCP4 192.0.2.7 127.0.0.1 4711 21\r\n");
    let rest = client.try_reply();
    assert!(rest.is_err() || rest.is_ok_and(|reply| reply.code >= 400));
    assert!(!server.log().contains("client=192.0.2.7"));
}
