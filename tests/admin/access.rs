//! Access: tokens, roles, and their ends.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use rustls::{ClientConnection, StreamOwned};

use crate::{
    address,
    http::{bearer, exchange, request},
    setup,
    support::Tls,
    token,
};

const BAN: &str = r#"{"network": "192.0.2.1/32", "seconds": 60}"#;

#[test]
fn tokens_let_in_as_far_as_their_role_goes() {
    let mut server = setup().start();
    let at = address(&mut server);
    let (look, act) = (
        token(&server, "looks", "look"),
        token(&server, "acts", "act"),
    );
    request(at, "GET /api/v1/status", "", "").expect(401);
    for wrong in ["", "pct_wrong", &look[..look.len() - 1]] {
        request(at, "GET /api/v1/status", &bearer(wrong), "").expect(401);
    }
    request(at, "GET /api/v1/status", &bearer(&look), "")
        .expect(200)
        .saying("\"version\"");
    request(at, "POST /api/v1/bans", &bearer(&look), BAN)
        .expect(403)
        .saying("may look");
    request(
        at,
        "DELETE /api/v1/bans?network=0.0.0.0/0",
        &bearer(&look),
        "",
    )
    .expect(403);
    request(at, "POST /api/v1/bans", &bearer(&act), BAN).expect(200);
    // It is told who did it, and no token is.
    server.wait_for_line(|line| line.contains("was refused"));
    server.wait_for_line(|line| line.contains("by=the token acts"));
    let log = server.log();
    assert!(
        !log.contains(&act[4..]) && !log.contains(&look[4..]),
        "{log}"
    );
    // Nor does the file have them.
    let file = std::fs::read_to_string(server.state().join("tokens.toml")).unwrap();
    assert!(!file.contains(&act[4..]), "{file}");
    let (status, said) = server.setup().run(&["token", "list"]);
    assert_eq!(status, 0);
    assert!(
        said.contains("looks") && !said.contains(&look[4..]),
        "{said}"
    );
    // One that is removed is of no use at once.
    server.setup().run(&["token", "remove", "acts"]);
    request(at, "POST /api/v1/bans", &bearer(&act), BAN).expect(401);
    let (status, said) = server.setup().run(&["token", "add", "looks"]);
    assert_eq!(status, 1, "{said}");
}

/// A browser has a cookie that scripts do not see and other sites do not send; what changes something takes
/// a second token, which only the page knows.
#[test]
fn a_browser_logs_in_and_no_other_site_can_use_it() {
    let mut server = setup().start();
    let at = address(&mut server);
    let act = token(&server, "acts", "act");
    let login = |token: &str| {
        let body = serde_json::json!({ "token": token }).to_string();
        request(at, "POST /login", "", &body)
    };
    login("pct_wrong").expect(401);
    // A form of another site can send neither JSON nor a cookie.
    request(
        at,
        "POST /login",
        "Content-Type: text/plain",
        &format!("{{\"token\":\"{act}\"}}"),
    )
    .expect(415);
    let answer = login(&act).expect(200);
    let flags = answer.header("set-cookie").unwrap().to_owned();
    for flag in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(flags.contains(flag), "{flags}");
    }
    let (cookie, csrf) = (format!("Cookie: {}", answer.cookie()), answer.json());
    let csrf = csrf["csrf"].as_str().unwrap();
    request(at, "GET /api/v1/status", &cookie, "").expect(200);
    request(at, "GET /login", &cookie, "")
        .expect(200)
        .saying(csrf);
    request(at, "POST /api/v1/bans", &cookie, BAN).expect(403);
    let forged = format!("{cookie}\nX-CSRF-Token: {}", &csrf[1..]);
    request(at, "POST /api/v1/bans", &forged, BAN).expect(403);
    let own = format!("{cookie}\nX-CSRF-Token: {csrf}");
    request(at, "POST /api/v1/bans", &own, BAN).expect(200);
    request(at, "DELETE /login", &own, "").expect(204);
    request(at, "GET /api/v1/status", &cookie, "").expect(401);
    // A session of a person ends with its token.
    let cookie = format!("Cookie: {}", login(&act).expect(200).cookie());
    request(at, "GET /api/v1/status", &cookie, "").expect(200);
    server.setup().run(&["token", "remove", "acts"]);
    request(at, "GET /api/v1/status", &cookie, "").expect(401);
}

#[test]
fn a_browser_that_asks_nothing_is_logged_out() {
    let mut server = setup().set("admin.session-timeout", "\"4s\"").start();
    let at = address(&mut server);
    let act = token(&server, "acts", "act");
    let body = serde_json::json!({ "token": act }).to_string();
    let cookie = request(at, "POST /login", "", &body).expect(200).cookie();
    let cookie = format!("Cookie: {cookie}");
    request(at, "GET /api/v1/status", &cookie, "").expect(200);
    std::thread::sleep(std::time::Duration::from_millis(4100));
    request(at, "GET /api/v1/status", &cookie, "").expect(401);
}

/// Other addresses than loopback ones speak HTTPS, with the server's certificate.
#[test]
fn other_addresses_speak_https() {
    let mut server = setup()
        .set("admin.listen", "\"0.0.0.0:0\"")
        .set("server.allow-root", "true")
        .start();
    let port = address(&mut server).port();
    server.wait_for_line(|line| line.contains("https://0.0.0.0"));
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let act = token(&server, "acts", "act");
    let tls = Tls::new();
    let secure = || {
        let mut config = (*tls.config).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let client = ClientConnection::new(config.into(), tls.name.clone()).unwrap();
        StreamOwned::new(client, TcpStream::connect(at).unwrap())
    };
    exchange(secure(), "GET /api/v1/status", &bearer(&act), "").expect(200);
    let body = serde_json::json!({ "token": act }).to_string();
    let answer = exchange(secure(), "POST /login", "", &body).expect(200);
    let flags = answer.header("set-cookie").unwrap();
    assert!(
        flags.starts_with("__Host-") && flags.contains("Secure"),
        "{flags}"
    );
    // In the clear there is nothing.
    let mut plain = TcpStream::connect(at).unwrap();
    std::io::Write::write_all(&mut plain, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let said = crate::support::read_all(plain);
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
}

#[test]
fn addresses_that_cannot_be_had_are_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("\"{}\"", taken.local_addr().unwrap());
    let (status, said) = setup().set("admin.listen", &address).run(&[]);
    assert_eq!(status, 2);
    assert!(
        said.contains("admin.listen") && said.contains("another process"),
        "{said}"
    );
    let (status, said) = setup()
        .set("server.listen", "[\"127.0.0.1:2121\"]")
        .set("admin.listen", "\"127.0.0.1:2121\"")
        .run(&["check"]);
    assert_eq!(status, 2);
    assert!(
        said.contains("admin.listen") && said.contains("server.listen[0]"),
        "{said}"
    );
}
