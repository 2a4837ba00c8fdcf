//! Sockets that are passed.

use std::{
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::OwnedFd,
};

use crate::support::{Client, Server, Setup, Tls, USER, eventually};

fn listener() -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    (listener.local_addr().unwrap(), listener)
}

fn unit(socket: impl Into<OwnedFd>) -> (String, OwnedFd) {
    ("portcullis.socket".to_owned(), socket.into())
}

fn list(address: SocketAddr) -> String {
    format!("[\"{address}\"]")
}

/// Each by its address, whatever their order; those that are missing are bound.
#[test]
fn sockets_are_matched_by_their_address() {
    let [
        (acme, six),
        (explicit, one),
        (implicit, two),
        (more, three),
        (admin, four),
        (metrics, five),
    ] = [(); 6].map(|()| listener());
    let setup = Setup::new()
        .set(
            "server.listen",
            &format!("[\"{explicit}\", \"127.0.0.1:0\"]"),
        )
        .set("server.listen-implicit", &list(implicit))
        .set("admin.listen", &format!("\"{admin}\""))
        .set("metrics.listen", &format!("\"{metrics}\""))
        .set("acme.names", r#"["ftp.example.test"]"#)
        .set("acme.agree-to-terms", "true")
        .set("acme.directory", r#""https://127.0.0.1:1/dir""#)
        .set("acme.http-listen", &format!("\"{acme}\""))
        .tables(&format!(
            "[[listener]]\naddress = \"{more}\"\ntls = \"implicit\""
        ));
    setup.pass(vec![
        unit(five),
        unit(six),
        unit(three),
        unit(one),
        unit(four),
        unit(two),
    ]);
    let server = setup.start();
    let (_, status) = server.setup().run(&["status"]);
    let listeners = status.lines().filter(|line| line.starts_with("listener"));
    assert_eq!(listeners.count(), 4, "{status}");
    for word in [explicit, implicit, more].map(|one| one.to_string()) {
        assert!(status.contains(&word), "{status}");
    }
    let mut client = Client::connect(explicit);
    client.auth_tls(&Tls::new());
    client.login(USER);
    for address in [implicit, more] {
        Client::implicit(address, &Tls::new()).login(USER);
    }
    for address in [admin, metrics, acme] {
        let text = crate::support::read_all({
            use std::io::Write;
            let mut stream = TcpStream::connect(address).unwrap();
            let request = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
            stream.write_all(request.as_bytes()).unwrap();
            stream
        });
        assert!(text.starts_with(b"HTTP/1.1 "), "{address}");
    }
}

/// With walls, as a user that may nothing.
#[test]
fn a_server_without_capabilities_has_low_ports() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("LEFT OUT: it takes root to open low ports");
    }
    let mut low = (600..1000).filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    let [one, two] = [(); 2].map(|()| low.next().unwrap());
    let [explicit, implicit] = [&one, &two].map(|one| one.local_addr().unwrap());
    let setup = Setup::new()
        .unprivileged()
        .set("server.listen", &list(explicit))
        .set("server.listen-implicit", &list(implicit));
    setup.pass(vec![unit(one), unit(two)]);
    let server = setup.start();
    server.login().send("NOOP").expect(200);
    Client::implicit(implicit, &Tls::new()).login(USER);
    let id = server.id();
    let facts = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    assert!(facts.contains("CapEff:\t0000000000000000"), "{facts}");
    // The trial knows that the running server has them.
    server.setup().pass(Vec::new());
    let (status, said) = server.setup().run(&["check"]);
    assert_eq!(status, 0, "{said}");
    // So does a server that takes over.
    let (server, former) = server.take_over(|| ());
    assert!(former.wait().success());
    server.login().send("NOOP").expect(200);
}

#[test]
fn what_fits_nothing_is_an_error() {
    let (stranger, socket) = listener();
    let setup = Setup::new();
    setup.pass(vec![unit(socket)]);
    let (status, said) = setup.run(&["serve"]);
    assert_eq!(status, 2, "{said}");
    for words in ["server.listen", "portcullis.socket", &stranger.to_string()] {
        assert!(said.contains(words), "{words}: {said}");
    }

    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    let (address, socket) = listener();
    let connected = TcpStream::connect(address).unwrap();
    for (wrong, why) in [
        (OwnedFd::from(datagrams), "no TCP socket that listens"),
        (OwnedFd::from(connected), "no TCP socket that listens"),
        (OwnedFd::from(file), "socket operation"),
    ] {
        let setup = Setup::new();
        setup.pass(vec![unit(wrong)]);
        let (status, said) = setup.run(&["serve"]);
        assert_ne!(status, 0, "{said}");
        for words in ["portcullis.socket (descriptor 3)", why] {
            assert!(
                said.to_lowercase().contains(&words.to_lowercase()),
                "{words}: {said}"
            );
        }
    }
    drop(socket);
}

/// The manager goes on listening: what would take its address is refused, and nothing has changed.
#[test]
fn a_reload_leaves_the_managers_sockets_alone() {
    let (address, socket) = listener();
    let server: Server = {
        let setup = Setup::new()
            .unset("server.listen")
            .unset("server.listen-implicit");
        let setup = setup.tables(&format!(
            "[server]\nlisten = [\"{address}\"]\nlisten-implicit = [\"127.0.0.1:0\"]"
        ));
        setup.pass(vec![unit(socket)]);
        setup.start()
    };
    let change = format!("[server]\nlisten = []\nlisten-implicit = [\"{address}\"]");
    let reload = |text: &str| {
        server.setup().pass(Vec::new());
        let (status, said) = {
            let command = &mut server.setup().command(&["reload"]);
            server.setup().file("config.toml", text);
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            (
                output.status.code(),
                said + &String::from_utf8_lossy(&output.stdout),
            )
        };
        (status, said)
    };
    let (status, said) = reload(&change);
    assert_eq!(status, Some(2), "{said}");
    assert!(
        said.contains("a socket unit of the service manager"),
        "{said}"
    );
    server.login().send("NOOP").expect(200);
    let (status, said) = reload("[server]\nlisten = [\"127.0.0.1:0\"]\nlisten-implicit = []");
    assert_eq!(status, Some(0), "{said}");
    eventually("the log says so", || {
        server.log().contains("but the service manager does")
    });
}
