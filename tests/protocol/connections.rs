//! PASV, EPSV, PORT and EPRT.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    time::{Duration, Instant},
};

use crate::support::{Client, Server, Setup, Tls, USER, client};

fn with_file(setup: Setup) -> Server {
    let server = setup.start();
    std::fs::write(server.home().join("file"), "content").unwrap();
    server
}

fn active() -> Server {
    with_file(
        Setup::new()
            .set("data.active", "true")
            .set("limits.data-timeout", r#""2s""#),
    )
}

#[test]
fn pasv_and_epsv() {
    let server = with_file(Setup::new());
    let mut client = server.login();
    let address = client.pasv();
    assert_eq!(address.ip(), IpAddr::from(Ipv4Addr::LOCALHOST));
    let stream = client::connect(address);
    client.send("RETR file").expect_one_of(&[125, 150]);
    assert_eq!(client.protect(stream).receive(), b"content");
    client.reply().expect(226);
    assert_eq!(client.retrieve("RETR file"), b"content");
    client.send("EPSV ALL").expect(200);
}

#[test]
fn the_form_of_229_and_227() {
    let server = Server::start();
    let mut client = server.login();
    let reply = client.send("EPSV").expect(229);
    let text = reply.text().to_owned();
    let inside = &text[text.find("(|||").expect("(|||")..];
    assert!(inside.trim_end_matches('.').ends_with("|)"), "{text}");
    client.send("PASV").expect(227).saying("(127,0,0,1,");
}

#[test]
fn epsv_all_blocks_the_rest() {
    let server = with_file(Setup::new().set("data.active", "true"));
    let mut client = server.login();
    client.send("EPSV ALL").expect(200);
    for command in ["PASV", "PORT 127,0,0,1,200,1", "EPRT |1|127.0.0.1|51201|"] {
        client.send(command).expect_one_of(&[501, 503, 522]);
    }
    assert_eq!(client.retrieve("RETR file"), b"content");
    client.send("PASV").expect_one_of(&[501, 503, 522]);
    client.send("EPSV ALL").expect(200);
}

#[test]
fn over_ipv6() {
    let Ok(probe) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
        assert!(std::env::var_os("CI").is_none(), "no IPv6 on this machine");
        eprintln!("left out: no IPv6 on this machine");
        return;
    };
    drop(probe);
    let server = Setup::new()
        .set("server.listen", r#"["[::1]:0"]"#)
        .set("data.active", "true")
        .start();
    std::fs::write(server.home().join("file"), "content").unwrap();
    assert!(server.address.is_ipv6());
    let mut client = server.login();
    // There is no IPv6 form of 227.
    let code = client.send("PASV").code;
    assert!((425..=522).contains(&code), "{code}");
    client.send("EPSV 2").expect(229);
    client.send("EPSV 1").expect(522).saying("(2)");
    assert_eq!(client.retrieve("RETR file"), b"content");
    let listener = client.eprt();
    client.send("RETR file").expect_one_of(&[125, 150]);
    let (stream, from) = listener.accept().unwrap();
    assert!(from.ip().is_loopback());
    assert_eq!(client.protect(stream).receive(), b"content");
    client.reply().expect(226);
}

#[test]
fn ports_come_from_the_configured_range() {
    let (low, high) = (21_100, 21_115);
    let server = with_file(Setup::new().set("data.passive-ports", &format!("\"{low}-{high}\"")));
    let mut client = server.login();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let port = client.epsv().port();
        assert!((low..=high).contains(&port), "{port}");
        seen.insert(port);
    }
    assert!(seen.len() > 1, "always port {seen:?}");
    assert_eq!(client.retrieve("RETR file"), b"content");
}

#[test]
fn a_range_that_is_used_up_is_425() {
    // Two that others do not have, below those from which the system chooses.
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let mut low = (21_000..22_000).step_by(2);
    let low = low.find(|low| is_free(low) && is_free(&(low + 1))).unwrap();
    let range = format!("\"{low}-{}\"", low + 1);
    let server = with_file(Setup::new().set("data.passive-ports", &range));
    let mut clients: Vec<Client> = (0..3).map(|_| server.login()).collect();
    let addresses: Vec<SocketAddr> = clients[..2].iter_mut().map(Client::epsv).collect();
    assert_ne!(addresses[0], addresses[1]);
    clients[2].send("EPSV").expect_one_of(&[421, 425]);
    clients[2].send("NOOP").expect(200);
    clients[0].send("QUIT").expect(221);
    assert_eq!(clients[2].retrieve("RETR file"), b"content");
}

#[test]
fn the_advertised_address_is_configured() {
    let server = Setup::new().set("data.advertise", r#""192.0.2.7""#).start();
    let mut client = server.login();
    assert_eq!(client.pasv().ip(), IpAddr::from([192, 0, 2, 7]));
    // EPSV names no address.
    client.retrieve("LIST");
    let server = Setup::new().set("data.advertise", r#""localhost""#).start();
    assert_eq!(server.login().pasv().ip(), IpAddr::from([127, 0, 0, 1]));
}

#[test]
fn nobody_comes() {
    let server = with_file(Setup::new().set("limits.data-timeout", r#""300ms""#));
    let mut client = server.login();
    client.epsv();
    let begun = Instant::now();
    client.write("RETR file\r\n");
    let mut reply = client.reply();
    if reply.code == 150 {
        reply = client.reply();
    }
    reply.expect(425);
    assert!(
        begun.elapsed() >= Duration::from_millis(250),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(client.retrieve("RETR file"), b"content");
}

#[test]
fn a_new_epsv_replaces_the_old_one() {
    let server = with_file(Setup::new());
    let mut client = server.login();
    let first = client.epsv();
    let second = client.epsv();
    assert_ne!(first, second);
    assert!(
        std::net::TcpStream::connect(first).is_err(),
        "the old port is still open"
    );
    let stream = client::connect(second);
    client.send("RETR file").expect_one_of(&[125, 150]);
    assert_eq!(client.protect(stream).receive(), b"content");
    client.reply().expect(226);
    // One connection, one transfer.
    client.send("RETR file").expect(425);
}

#[test]
fn active_mode_is_off_by_default() {
    let server = with_file(Setup::new());
    let mut client = server.login();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let command = format!("PORT 127,0,0,1,{},{}", port >> 8, port & 255);
    client.send(&command).expect_one_of(&[500, 501, 502]);
    client
        .send(&format!("EPRT |1|127.0.0.1|{port}|"))
        .expect_one_of(&[500, 501, 502]);
    client.send("RETR file").expect(425);
    nobody_connects(&listener);
}

#[test]
fn active_mode_where_configured() {
    let server = active();
    let mut client = server.login();
    for round in 0..2 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if round == 0 {
            client
                .send(&format!("PORT 127,0,0,1,{},{}", port >> 8, port & 255))
                .expect(200);
        } else {
            client
                .send(&format!("EPRT |1|127.0.0.1|{port}|"))
                .expect(200);
        }
        client.write("RETR file\r\n");
        let (stream, _) = listener.accept().unwrap();
        client.reply().expect_one_of(&[125, 150]);
        // RFC 4217 §7: the server is the TLS server here, too.
        assert_eq!(client.protect(stream).receive(), b"content");
        client.reply().expect(226);
    }
    let listener = client.eprt();
    client.write("STOR new\r\n");
    let (stream, _) = listener.accept().unwrap();
    client.reply().expect_one_of(&[125, 150]);
    let mut data = client.protect(stream);
    data.send(b"content").unwrap();
    data.finish().unwrap();
    client.reply().expect(226);
    assert_eq!(
        std::fs::read(server.home().join("new")).unwrap(),
        b"content"
    );
}

/// CVE-1999-0017: refused before any connection is tried.
#[test]
fn active_mode_goes_nowhere_else() {
    let server = active();
    let mut client = server.login();
    let elsewhere = TcpListener::bind("127.0.0.3:0").unwrap();
    let port = elsewhere.local_addr().unwrap().port();
    let (high, low) = (port >> 8, port & 255);
    for command in [
        format!("PORT 127,0,0,3,{high},{low}"),
        format!("EPRT |1|127.0.0.3|{port}|"),
        format!("EPRT |2|::ffff:127.0.0.3|{port}|"),
        "PORT 127,0,0,1,0,21".into(),
        "PORT 127,0,0,1,3,255".into(),
        "EPRT |1|127.0.0.1|22|".into(),
        "EPRT |1|127.0.0.1|1023|".into(),
    ] {
        client.send(&command).expect_one_of(&[500, 501, 504, 522]);
        client.send("RETR file").expect(425);
    }
    for command in [
        "PORT 127,0,0,1,256,1",
        "PORT 127,0,0,1,1",
        "PORT 127,0,0,1,1,2,3",
        "PORT a,b,c,d,e,f",
        "PORT 127.0.0.1,200,1",
        "EPRT",
        "EPRT |1|127.0.0.1|",
        "EPRT |1|127.0.0.1|70000|",
        "EPRT |1|localhost|50000|",
        "EPRT 1,127.0.0.1,50000",
    ] {
        client.send(command).expect_one_of(&[501]);
    }
    client
        .send("EPRT |3|127.0.0.1|50000|")
        .expect(522)
        .saying("(1");
    nobody_connects(&elsewhere);
    client.send("NOOP").expect(200);
}

#[test]
fn nobody_listens_for_an_active_connection() {
    let server = active();
    let mut client = server.login();
    let listener = client.eprt();
    drop(listener);
    client.write("RETR file\r\n");
    let mut reply = client.reply();
    if reply.code == 150 {
        reply = client.reply();
    }
    reply.expect_one_of(&[425, 426]);
    assert_eq!(client.retrieve("RETR file"), b"content");
}

fn nobody_connects(listener: &TcpListener) {
    listener.set_nonblocking(true).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert!(listener.accept().is_err(), "the server has connected");
}

#[test]
fn plain_data_connections_work_the_same() {
    let server = with_file(Setup::new().set("tls.data-required", "false"));
    let mut client = server.secure(&Tls::new());
    client.login(USER);
    client.tls = None;
    client.send("TYPE I").expect(200);
    assert_eq!(client.retrieve("RETR file"), b"content");
}
