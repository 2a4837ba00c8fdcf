//! Listeners with terms of their own, and the address that PASV tells.

use std::net::{Ipv4Addr, SocketAddr};

use crate::{
    HOST, Two, login,
    support::{Client, Server, Setup, Tls, USER},
};

/// Where the server listens on this address.
fn listening(server: &mut Server, address: &str, tls: &str) -> SocketAddr {
    let (address, tls) = (format!("address={address}:"), format!("tls={tls}"));
    let line = server.wait_for_line(|line| {
        line.contains("listening") && line.contains(&address) && line.contains(&tls)
    });
    let address = line.split("address=").nth(1).unwrap();
    address.split(' ').next().unwrap().parse().unwrap()
}

/// Logged in, from the address that the PROXY protocol tells.
fn from(server: SocketAddr, client: &str) -> Client {
    let mut connection = Client::dial(server);
    connection.write(format!("PROXY TCP4 {client} 127.0.0.1 4711 21\r\n"));
    connection.reply().expect(220);
    connection.auth_tls(&Tls::new());
    connection.login(USER);
    connection
}

/// The address and the port of PASV's answer.
fn told(client: &mut Client) -> (Ipv4Addr, u16) {
    let reply = client.send("PASV").expect(227);
    let text = reply.text();
    let numbers = text.split(['(', ')']).nth(1).unwrap();
    let numbers: Vec<u8> = numbers.split(',').map(|one| one.parse().unwrap()).collect();
    let address = Ipv4Addr::new(numbers[0], numbers[1], numbers[2], numbers[3]);
    (address, u16::from_be_bytes([numbers[4], numbers[5]]))
}

#[test]
fn a_listener_has_terms_of_its_own() {
    let tables = "[[listener]]\naddress = '127.0.0.2:0'\npassive-ports = '21600-21650'\n\
        advertise = '203.0.113.5'\nproxy-networks = ['127.0.0.0/8']\n\
        [[listener]]\naddress = '127.0.0.3:0'\ntls = 'implicit'\nhost = 'files.example'\n";
    let mut server = Two::new("")
        .setup
        .tables(tables)
        .set("data.passive-ports", "'21500-21550'")
        .start();
    let second = listening(&mut server, "127.0.0.2", "explicit");
    let third = listening(&mut server, "127.0.0.3", "implicit");

    let mut here = server.login();
    let (address, port) = told(&mut here);
    assert_eq!(
        (address, (21_500..=21_550).contains(&port)),
        (Ipv4Addr::LOCALHOST, true)
    );
    let mut there = from(second, "192.0.2.7");
    let (address, port) = told(&mut there);
    assert_eq!(address, Ipv4Addr::new(203, 0, 113, 5));
    assert!((21_600..=21_650).contains(&port), "{port}");
    let port = there.epsv().port();
    assert!((21_600..=21_650).contains(&port), "{port}");
    // The header is for that listener alone.
    let mut client = server.connect();
    client.write("PROXY TCP4 192.0.2.7 127.0.0.1 4711 21\r\n");
    assert!(client.try_reply().is_ok_and(|reply| reply.code >= 500));

    // Clients that name no host are the listener's.
    let mut client = Client::dial(third);
    client.handshake(&Tls::new().host("127.0.0.1")).unwrap();
    client.reply().expect(220).saying("Files of all kinds");
    assert_eq!(login(&mut client, "bob", "of files"), 230);
    client.send("REIN").expect(220).saying("Files of all kinds");
    assert_eq!(login(&mut client, "bob", "of files"), 230);
    let mut client = Client::dial(third);
    client.handshake(&Tls::new().host(HOST)).unwrap();
    client.reply().expect(220);
    let (_, status) = server.setup().run(&["status"]);
    assert!(
        status.contains(&format!("{third}, implicit TLS")),
        "{status}"
    );
}

#[test]
fn where_there_is_a_listener_the_default_addresses_are_not_served() {
    let table = "[[listener]]\naddress = '127.0.0.2:0'\n[[listener]]\naddress = '127.0.0.2:0'\ntls = 'implicit'\n";
    let setup = Setup::new()
        .unset("server.listen")
        .unset("server.listen-implicit")
        .tables(table);
    let server = setup.start();
    let lines = server.log();
    let lines: Vec<_> = lines
        .lines()
        .filter(|line| line.contains(" listening "))
        .collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines.iter().all(|line| line.contains("127.0.0.2:")),
        "{lines:?}"
    );
    server.login().send("NOOP").expect(200);
}

#[test]
fn the_advertised_address_depends_on_the_clients_network() {
    let rules = "[{ clients = '10.0.0.0/8', address = '10.0.0.5' }, \
        { clients = ['192.0.2.0/25', '198.51.100.7'], address = 'localhost' }, \
        { clients = '192.0.2.0/24', address = '203.0.113.9' }]";
    let server = Setup::new()
        .set("server.proxy-networks", "['127.0.0.0/8']")
        .set("data.advertise", rules)
        .start();
    for (client, address) in [
        ("10.1.2.3", [10, 0, 0, 5]),
        ("192.0.2.7", [127, 0, 0, 1]),
        ("198.51.100.7", [127, 0, 0, 1]),
        ("192.0.2.200", [203, 0, 113, 9]),
    ] {
        let mut client = from(server.address, client);
        let (told, port) = told(&mut client);
        assert_eq!(told, Ipv4Addr::from(address));
        // EPSV names no address.
        assert_ne!(client.epsv().port(), port);
    }
    // No rule is for it: the address that it connected to, as the proxy tells it.
    assert_eq!(
        told(&mut from(server.address, "203.0.113.77")).0,
        Ipv4Addr::LOCALHOST
    );
}

#[test]
fn a_reload_changes_the_terms_of_a_listener_that_stays() {
    let server = Setup::new().set("server.listen", "['127.0.0.1:0']");
    let table = "[[listener]]\naddress = '127.0.0.2:0'\nadvertise = '203.0.113.5'\n";
    let mut server = server.tables(table).start();
    let second = listening(&mut server, "127.0.0.2", "explicit");
    let login = || {
        let mut client = Client::connect(second);
        client.auth_tls(&Tls::new());
        client.login(USER);
        client
    };
    let mut before = login();
    assert_eq!(told(&mut before).0, Ipv4Addr::new(203, 0, 113, 5));
    let config = server.state().with_file_name("config.toml");
    std::fs::write(&config, table.replace("203.0.113.5", "203.0.113.6")).unwrap();
    let id = rustix::process::Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::HUP).unwrap();
    server.wait_for_line(|line| line.contains("reloaded: "));
    assert_eq!(told(&mut login()).0, Ipv4Addr::new(203, 0, 113, 6));
    // A session that was there keeps its terms.
    assert_eq!(told(&mut before).0, Ipv4Addr::new(203, 0, 113, 5));
}
