//! PROXY protocol headers on data connections: balancers in front of the passive ports.

use std::{
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpStream},
};

use socket2::{Domain, Socket, Type};

use crate::support::{Client, Data, PATIENCE, Server, Setup, Tls, USER, free_port};

/// The client that the balancer tells of on the control connection.
const CLIENT: &str = "192.0.2.7";

/// A server behind a balancer at 127.0.0.2.
fn server() -> Server {
    let server = Setup::new()
        .set("server.proxy-networks", "['127.0.0.2/32']")
        .set("data.proxy-networks", "['127.0.0.2/32']")
        .set("limits.data-timeout", "'2s'")
        .start();
    std::fs::write(server.home().join("file"), "content").unwrap();
    server
}

/// A connection from this address.
fn from(address: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
    socket.connect_timeout(&to.into(), PATIENCE).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// One from the balancer, which begins with these bytes.
fn balanced(to: SocketAddr, header: &[u8]) -> TcpStream {
    let mut stream = from(Ipv4Addr::new(127, 0, 0, 2), to);
    stream.write_all(header).unwrap();
    stream
}

fn v1(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 127.0.0.1 4711 2121\r\n").into_bytes()
}

fn v2(client: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    header.extend_from_slice(&client);
    header.extend_from_slice(&[127, 0, 0, 1, 0x12, 0x67, 0x08, 0x49]);
    header
}

/// Logged in through the balancer.
fn login(server: &Server) -> Client {
    let mut client = Client::over(balanced(server.address, &v1(CLIENT)));
    client.reply().expect(220);
    client.auth_tls(&Tls::new());
    client.login(USER);
    for command in ["PBSZ 0", "PROT P", "TYPE I"] {
        client.send(command).expect(200);
    }
    client
}

/// The passive port, at the server's own address.
fn port(client: &mut Client) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, client.epsv().port()))
}

#[test]
fn a_data_connection_is_the_clients_whom_the_header_names() {
    let server = server();
    let mut client = login(&server);
    for header in [v1(CLIENT), v2([192, 0, 2, 7])] {
        let at = port(&mut client);
        let stream = balanced(at, &header);
        client.send("RETR file").expect_one_of(&[125, 150]);
        assert_eq!(client.protect(stream).receive(), b"content");
        client.reply().expect(226);
    }
    let at = port(&mut client);
    let stream = balanced(at, &v1(CLIENT));
    client.send("STOR other").expect_one_of(&[125, 150]);
    let mut data = client.protect(stream);
    data.send(b"uploaded").unwrap();
    data.finish().unwrap();
    client.reply().expect(226);
    assert_eq!(
        std::fs::read(server.home().join("other")).unwrap(),
        b"uploaded"
    );
}

#[test]
fn a_client_may_begin_tls_before_the_command() {
    let server = server();
    let mut client = login(&server);
    let at = port(&mut client);
    let stream = balanced(at, &v1(CLIENT));
    let data = client.protect(stream);
    client.send("RETR file").expect_one_of(&[125, 150]);
    assert_eq!(data.receive(), b"content");
    client.reply().expect(226);
}

#[test]
fn others_are_dropped_and_the_right_one_is_waited_for() {
    let mut server = server();
    let mut client = login(&server);
    let at = port(&mut client);
    let _another = balanced(at, &v1("192.0.2.8"));
    let _itself = balanced(at, b"PROXY UNKNOWN\r\n");
    let _nothing = balanced(at, &[b'x'; 200]);
    // The balancer's own address is not the client's, header or not.
    let _forged = {
        let mut stream = from(Ipv4Addr::new(127, 0, 0, 3), at);
        stream.write_all(&v1(CLIENT)).unwrap();
        stream
    };
    client.send("RETR file").expect_one_of(&[125, 150]);
    let stream = balanced(at, &v1(CLIENT));
    assert_eq!(client.protect(stream).receive(), b"content");
    client.reply().expect(226);
    for (address, text) in [
        ("192.0.2.8", "It came from another address"),
        ("127.0.0.3", "It came from another address"),
        ("127.0.0.2", "names no client"),
        ("127.0.0.2", "it began with no PROXY protocol header"),
    ] {
        server.wait_for_line(|line| line.contains(address) && line.contains(text));
    }
}

#[test]
fn a_balancer_that_says_nothing_is_told_to_the_client() {
    let server = server();
    let mut client = login(&server);
    let at = port(&mut client);
    client.send("RETR file").expect_one_of(&[125, 150]);
    // TLS begins where the header has to be.
    let stream = from(Ipv4Addr::new(127, 0, 0, 2), at);
    assert!(Data::tls(stream, &Tls::new()).is_err());
    client
        .reply()
        .expect(425)
        .saying("without saying for whom: it began with no PROXY protocol header");
    client.send("NOOP").expect(200);
}

#[test]
fn a_header_from_elsewhere_is_none() {
    // The client's own address is no balancer's.
    let server = Setup::new().set("limits.data-timeout", "'2s'").start();
    std::fs::write(server.home().join("file"), "content").unwrap();
    let mut client = server.login();
    let at = port(&mut client);
    client.send("RETR file").expect_one_of(&[125, 150]);
    let mut stream = from(Ipv4Addr::LOCALHOST, at);
    stream.write_all(&v1("127.0.0.1")).unwrap();
    client
        .reply()
        .expect(522)
        .saying("a PROXY protocol header came from an address");
}

#[test]
fn it_is_said_for_a_listener_alone() {
    let table = "[[listener]]\naddress = '127.0.0.4:0'\ndata-proxy-networks = ['127.0.0.0/8']\n";
    let mut server = Setup::new().tables(table).start();
    std::fs::write(server.home().join("file"), "content").unwrap();
    let line = server.wait_for_line(|line| line.contains("address=127.0.0.4:"));
    let address = line
        .split("address=")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    let mut client = Client::connect(address.parse().unwrap());
    client.auth_tls(&Tls::new());
    client.login(USER);
    for command in ["PBSZ 0", "PROT P", "TYPE I"] {
        client.send(command).expect(200);
    }
    let at = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 4), client.epsv().port()));
    let stream = balanced(at, &v1("127.0.0.1"));
    client.send("RETR file").expect_one_of(&[125, 150]);
    assert_eq!(client.protect(stream).receive(), b"content");
    client.reply().expect(226);
    assert_eq!(server.login().retrieve("RETR file"), b"content");
}

/// The header decides whose a connection is, and the session checks it as any other.
#[test]
fn one_port_of_all_sessions_is_served_behind_a_balancer_too() {
    let port = free_port();
    let mut server = Setup::new()
        .set("server.proxy-networks", "['127.0.0.2/32']")
        .set("data.proxy-networks", "['127.0.0.2/32']")
        .set("data.passive-ports", &format!("{port}"))
        .set("limits.data-timeout", "'2s'")
        .start();
    let home = server.home();
    let mut clients = ["192.0.2.7", "192.0.2.8"].map(|address| {
        std::fs::write(home.join(address), address).unwrap();
        let mut client = Client::over(balanced(server.address, &v1(address)));
        client.reply().expect(220);
        client.auth_tls(&Tls::new());
        client.login(USER);
        for command in ["PBSZ 0", "PROT P", "TYPE I"] {
            client.send(command).expect(200);
        }
        assert_eq!(client.epsv().port(), port);
        (client, address)
    });
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let _nobody = balanced(at, &v1("192.0.2.9"));
    let _nothing = balanced(at, &[b'x'; 200]);
    server.wait_for_line(|line| line.contains("it began with no PROXY protocol header"));
    for (client, address) in clients.iter_mut().rev() {
        let stream = balanced(at, &v1(address));
        client
            .send(&format!("RETR {address}"))
            .expect_one_of(&[125, 150]);
        assert_eq!(client.protect(stream).receive(), address.as_bytes());
        client.reply().expect(226);
    }
    // Without a header it is nobody's.
    let (client, address) = &mut clients[0];
    client.epsv();
    client
        .send(&format!("RETR {address}"))
        .expect_one_of(&[125, 150]);
    let stream = from(Ipv4Addr::new(127, 0, 0, 2), at);
    assert!(Data::tls(stream, &Tls::new()).is_err());
    client.reply().expect(425);
}
