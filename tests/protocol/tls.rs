//! AUTH, PBSZ, PROT, CCC, implicit TLS, and what other protocols try.

use std::time::Duration;

use rustls::{NamedGroup, ProtocolVersion};

use crate::support::{
    Client, Data, Server, Setup, Tls, USER, Version, client, read_all,
    tls::{Identity, VERSIONS},
};

#[test]
fn every_name_of_auth_tls_works() {
    let server = Server::start();
    for name in ["TLS", "TLS-C", "SSL", "TLS-P", "tls"] {
        let mut client = server.connect();
        client.send(&format!("AUTH {name}")).expect(234);
        client.handshake(&Tls::new()).unwrap();
        client.login(USER);
        client.send("PWD").expect(257);
    }
}

#[test]
fn auth_tls_p_and_ssl_may_protect_data_from_the_start() {
    let server = Server::start();
    std::fs::write(server.home().join("file"), "content").unwrap();
    let mut client = server.connect();
    let tls = Tls::new().apart();
    client.send("AUTH TLS-P").expect(234);
    client.handshake(&tls).unwrap();
    client.tls = Some(tls);
    client.login(USER);
    client.send("TYPE I").expect(200);
    assert_eq!(client.retrieve("RETR file"), b"content");
}

#[test]
fn both_versions_and_no_older_ones() {
    let server = Server::start();
    for (version, expected) in [
        (Version::V12, ProtocolVersion::TLSv1_2),
        (Version::V13, ProtocolVersion::TLSv1_3),
    ] {
        let mut client = server.secure(&Tls::version(version));
        assert_eq!(client.connection().protocol_version(), Some(expected));
        client.login(USER);
    }
    let mut client = server.connect();
    client.send("AUTH TLS").expect(234);
    client.write(old_hello(2));
    let rest = client.rest();
    assert!(!rest.contains("220") && rest.len() < 64, "{rest:?}");
}

/// A ClientHello of an older version: the field of the version counts without the extension.
fn old_hello(minor: u8) -> Vec<u8> {
    let mut hello = vec![0x16, 3, 1, 0, 47, 1, 0, 0, 43, 3, minor];
    hello.extend_from_slice(&[7; 32]);
    hello.extend_from_slice(&[0, 0, 4, 0xc0, 0x14, 0, 0x2f, 1, 0]);
    hello
}

/// A client that is too old, that does not trust the certificate, that is no TLS client: the log says
/// so in words, and none of them are a library's.
#[test]
fn why_a_handshake_failed_is_told_in_words() {
    let mut server = Server::start();
    let foreign = [
        "SignatureAlgorithms",
        "PeerIncompatible",
        "Custom {",
        "InvalidContentType",
        "http",
    ];
    for (sent, expected) in [
        (old_hello(1), "TLS 1.0 at most"),
        (old_hello(2), "TLS 1.1 at most"),
        (b"USER alice\r\nPASS alice\r\n".to_vec(), "in the clear"),
        (
            vec![0x15, 3, 3, 0, 2, 2, 48],
            "does not trust the server's certificate (unknown_ca)",
        ),
    ] {
        let mut client = server.connect();
        client.send("AUTH TLS").expect(234);
        client.write(&sent);
        client.rest();
        server.wait_for_line(|line| line.contains("handshake failed") && line.contains(expected));

        let mut client = server.login();
        let mut stream = client.open();
        client.send("STOR new").expect_one_of(&[125, 150]);
        std::io::Write::write_all(&mut stream, &sent).unwrap();
        client.reply().expect(522).saying(expected);
        server.wait_for_line(|line| line.contains("no data connection") && line.contains(expected));
    }
    let mut client = server.login();
    let stream = client.open();
    client.send("STOR new").expect_one_of(&[125, 150]);
    stream.shutdown(std::net::Shutdown::Both).unwrap();
    client.reply().expect(522).saying("ended the connection");
    for word in foreign {
        assert!(!server.log().contains(word), "{word}");
    }
}

#[test]
fn the_oldest_version_is_configured() {
    let mut server = Setup::new().set("tls.minimum-version", r#""1.3""#).start();
    let mut client = server.connect();
    client.send("AUTH TLS").expect(234);
    assert!(client.handshake(&Tls::version(Version::V12)).is_err());
    server.wait_for_line(|line| {
        line.contains("TLS 1.2 at most") && line.contains("tls.minimum-version")
    });
    server.secure(&Tls::version(Version::V13)).login(USER);
}

#[test]
fn the_key_exchange_is_post_quantum_where_the_client_can() {
    let server = Server::start();
    let client = server.secure(&Tls::post_quantum());
    let group = client.connection().negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
}

#[test]
fn implicit_tls() {
    let server = Server::start();
    for version in VERSIONS {
        let mut client = Client::implicit(server.implicit, &Tls::version(version).apart());
        client.login(USER);
        client.send("AUTH TLS").expect_one_of(&[503, 534]);
        client.send("PBSZ 0").expect(200);
        client.send("PROT P").expect(200);
        client.send("TYPE I").expect(200);
        client
            .store(&format!("STOR {version:?}"), b"content")
            .expect(226);
        assert_eq!(client.retrieve(&format!("RETR {version:?}")), b"content");
    }
    let mut client = Client::dial(server.implicit);
    client.write("USER alice\r\n");
    let rest = client.rest();
    assert!(!rest.contains("331") && !rest.contains("220"), "{rest:?}");
}

/// Bytes behind AUTH TLS in the same segment (CVE-2011-1575).
#[test]
fn nothing_injected_behind_auth_tls_is_executed() {
    let server = Server::start();
    for injected in ["NOOP\r\n", "USER alice\r\n", "N", "\u{16}\u{3}\u{1}"] {
        let mut client = server.connect();
        client.write(format!("AUTH TLS\r\n{injected}"));
        let rest = client.rest();
        assert!(
            !rest.contains("200 ") && !rest.contains("331 ") && !rest.contains("530 "),
            "{rest:?}"
        );
        assert!(
            rest.is_empty()
                || rest.starts_with("234 ")
                || rest.starts_with("4")
                || rest.starts_with("5"),
            "{rest:?}"
        );
    }
}

#[test]
fn a_handshake_that_fails_ends_the_session_alone() {
    let server = Server::start();
    let mut client = server.connect();
    client.send("AUTH TLS").expect(234);
    client.write("this is no ClientHello, whatever else it may be\r\n");
    client.rest();
    server.secure(&Tls::new()).login(USER);
}

#[test]
fn a_handshake_that_never_ends_is_ended() {
    let server = Setup::new()
        .set("limits.handshake-timeout", r#""300ms""#)
        .start();
    let mut client = server.connect();
    client.send("AUTH TLS").expect(234);
    client.write([0x16, 3, 1]);
    client.rest();
    let mut silent = Client::dial(server.implicit);
    silent.rest();
}

#[test]
fn alpn_is_ftp_or_nothing() {
    let server = Server::start();
    let mut client = server.secure(&Tls::new());
    assert_eq!(client.connection().alpn_protocol(), None);
    client.login(USER);
    let client = server.secure(&Tls::new().alpn(&["ftp"]));
    assert_eq!(client.connection().alpn_protocol(), Some(&b"ftp"[..]));
    let client = server.secure(&Tls::new().alpn(&["h2", "ftp"]));
    assert_eq!(client.connection().alpn_protocol(), Some(&b"ftp"[..]));
    for foreign in ["http/1.1", "h2", "imap"] {
        let mut client = server.connect();
        client.send("AUTH TLS").expect(234);
        assert!(
            client.handshake(&Tls::new().alpn(&[foreign])).is_err(),
            "{foreign}"
        );
    }
}

/// ALPACA: a browser that is led here must not get far (CVE-2021-3618).
#[test]
fn verbs_of_other_protocols_end_the_session() {
    let server = Server::start();
    for line in [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nUSER alice\r\n",
        "HEAD / HTTP/1.0\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "EHLO example.com\r\n",
        "HELO example.com\r\n",
        "MAIL FROM:<a@example.com>\r\n",
    ] {
        for secure in [false, true] {
            let mut client = if secure {
                server.secure(&Tls::new())
            } else {
                server.connect()
            };
            client.write(line);
            let rest = client.rest();
            assert!(!rest.contains("331 "), "{line}: {rest}");
            assert!(!rest.contains(line.trim_end()), "{line}: {rest}");
        }
    }
}

#[test]
fn pbsz_comes_before_prot() {
    let server = Server::start();
    let mut client = server.secure(&Tls::new());
    client.send("PROT P").expect(503);
    client.send("PBSZ 0").expect(200);
    client.send("PROT P").expect(200);
    client.login(USER);
    let mut client = server.secure(&Tls::new());
    client.login(USER);
    client.send("PROT P").expect(503);
    client.send("PBSZ 4096").expect(200).saying("PBSZ=0");
    client.send("PROT P").expect(200);
}

#[test]
fn data_must_be_protected_by_default() {
    let server = Server::start();
    std::fs::write(server.home().join("file"), "content").unwrap();
    let mut client = server.secure(&Tls::new());
    client.login(USER);
    client.send("TYPE I").expect(200);
    // RFC 4217 §9: the level begins Clear, and the refusal comes with the transfer.
    let address = client.epsv();
    let stream = client::connect(address);
    for command in [
        "RETR file",
        "LIST",
        "NLST",
        "MLSD",
        "STOR new",
        "APPE new",
        "STOU",
    ] {
        client.send(command).expect(521);
    }
    drop(stream);
    client.send("PBSZ 0").expect(200);
    client.send("PROT C").expect_one_of(&[200, 534]);
    client.send("PROT P").expect(200);
    assert_eq!(client.retrieve("RETR file"), b"content");
}

#[test]
fn data_may_be_in_the_clear_where_configured() {
    let server = Setup::new().set("tls.data-required", "false").start();
    std::fs::write(server.home().join("file"), "content").unwrap();
    let mut client = server.login();
    assert_eq!(client.retrieve("RETR file"), b"content");
    client.send("PROT C").expect(200);
    let tls = client.tls.take();
    assert_eq!(client.retrieve("RETR file"), b"content");
    client.store("STOR new", b"in the clear").expect(226);
    client.tls = tls;
    client.send("PROT P").expect(200);
    assert_eq!(client.retrieve("RETR new"), b"in the clear");
}

#[test]
fn no_tls_at_all_where_configured() {
    let server = Setup::new()
        .set("tls.required", "false")
        .set("tls.data-required", "false")
        .start();
    let mut client = server.connect();
    client.login(USER);
    client.send("TYPE I").expect(200);
    client.store("STOR file", b"in the clear").expect(226);
    assert_eq!(client.retrieve("RETR file"), b"in the clear");
    client.send("PROT P").expect(503);
    client.send("PBSZ 0").expect(503);
    // RFC 4217 §4.2: AUTH resets the login.
    client.auth_tls(&Tls::new());
    client.send("PWD").expect(530);
}

#[test]
fn ccc_is_refused_by_default() {
    let server = Server::start();
    let mut client = server.login();
    client.send("CCC").expect_one_of(&[533, 534]);
    client.send("PWD").expect(257);
}

#[test]
fn ccc_where_configured() {
    let server = Setup::new().set("tls.allow-ccc", "true").start();
    std::fs::write(server.home().join("file"), "content").unwrap();
    let mut client = server.login();
    client.send("CCC").expect(200);
    client.clear();
    client.send("PWD").expect(257);
    client.send("PBSZ 0").expect_one_of(&[503, 533, 534]);
    client.send("PROT C").expect_one_of(&[503, 533, 534]);
    assert_eq!(client.retrieve("RETR file"), b"content");
}

/// After REIN nothing is left of TLS, also where CCC had ended it on the control connection.
#[test]
fn regression_rein_after_ccc_leaves_no_tls_behind() {
    let server = Setup::new()
        .set("tls.allow-ccc", "true")
        .set("tls.required", "false")
        .start();
    let mut client = server.login();
    client.send("CCC").expect(200);
    client.clear();
    client.send("REIN").expect(220);
    client.send("PBSZ 0").expect(503);
    client.send("PROT P").expect(503);
    client.login(USER);
    let status = client.send("STAT").expect(211);
    let in_the_clear = " Control connection: in the clear".to_owned();
    assert!(status.lines.contains(&in_the_clear), "{status:?}");
}

/// TLS that begins again after CCC is as good as the first.
#[test]
fn regression_tls_begins_again_after_ccc() {
    let server = Setup::new().set("tls.allow-ccc", "true").start();
    let tls = Tls::new();
    std::fs::write(server.home().join("file"), "content").unwrap();
    let mut client = server.secure(&tls);
    client.login(USER);
    client.send("CCC").expect(200);
    client.clear();
    client.auth_tls(&tls);
    client.send("PBSZ 0").expect(200);
    client.send("PROT P").expect(200);
    client.login(USER);
    assert_eq!(client.retrieve("RETR file"), b"content");
}

/// Some just go on in the clear: the session may end, yet nothing may panic.
#[test]
fn who_ends_tls_without_a_word_is_no_trouble() {
    let mut server = Setup::new().set("tls.allow-ccc", "true").start();
    for command in ["REIN", "CCC"] {
        let mut client = server.login();
        client.send(command).expect_one_of(&[200, 220]);
        client.clear_at_once();
        let _ = client.try_write("NOOP\r\n");
        let _ = client.socket().shutdown(std::net::Shutdown::Write);
        client.rest();
    }
    assert!(server.is_running());
    assert!(!server.log().contains("panicked"), "a panic");
}

#[test]
fn a_plain_data_connection_where_tls_is_told_fails() {
    let server = Setup::new()
        .set("limits.handshake-timeout", r#""1s""#)
        .start();
    std::fs::write(server.home().join("file"), "content").unwrap();
    let mut client = server.login();
    let mut stream = client.open();
    client.send("STOR new").expect_one_of(&[125, 150]);
    std::io::Write::write_all(&mut stream, b"not a ClientHello").unwrap();
    client
        .reply()
        .expect(522)
        .saying("in the clear")
        .saying("PROT P");
    drop(stream);
    assert!(!server.home().join("new").exists());
    client.send("NOOP").expect(200);
    assert_eq!(client.retrieve("RETR file"), b"content");
}

#[test]
fn nothing_of_a_file_goes_out_before_the_data_handshake() {
    let server = Server::start();
    std::fs::write(server.home().join("file"), "content").unwrap();
    let mut client = server.login();
    let stream = client.open();
    client.send("RETR file").expect_one_of(&[125, 150]);
    stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    assert_eq!(read_all(stream), b"");
    client.reply().expect_one_of(&[425, 426, 522]);
    client.send("NOOP").expect(200);
}

#[test]
fn sni_chooses_the_certificate() {
    let (first, second) = (
        Identity::server("one.example"),
        Identity::server("two.example"),
    );
    let setup = Setup::new();
    let path = |name: &str, text: &str| setup.file(name, text).to_str().unwrap().to_owned();
    let certificate = path("one.pem", &first.certificate_pem);
    let key = path("one.key", &first.key_pem);
    let host = format!(
        "[[tls.host]]\ncertificate = {:?}\nkey = {:?}\n",
        path("two.pem", &second.certificate_pem),
        path("two.key", &second.key_pem),
    );
    let server = setup
        .set("tls.certificate", &format!("{certificate:?}"))
        .set("tls.key", &format!("{key:?}"))
        .tables(&host)
        .start();
    for (name, identity) in [
        ("one.example", &first),
        ("two.example", &second),
        ("three.example", &first),
    ] {
        let mut client = server.secure(&Tls::new().host(name));
        let shown = client.connection().peer_certificates().unwrap()[0].clone();
        assert_eq!(shown, identity.certificate, "{name}");
        client.login(USER);
        client.send("PBSZ 0").expect(200);
        client.send("PROT P").expect(200);
        let data = client.begin("LIST");
        if let Data::Tls(stream) = &data {
            let shown = stream.conn.peer_certificates().unwrap()[0].clone();
            assert_eq!(
                shown, identity.certificate,
                "the data connection for {name}"
            );
        }
        data.receive();
        client.reply().expect(226);
    }
    // RFC 7151 §3.2.2: HOST agrees with SNI.
    let mut client = server.secure(&Tls::new().host("one.example"));
    client.send("HOST one.example").expect(220);
    client.send("HOST two.example").expect(504);
}

/// A public mirror in the clear, and a device that knows no TLS, beside users who need it: these are refused
/// before they send a password.
#[test]
fn some_users_may_do_without_tls() {
    let lines = r#"settings = { users = { file = "users.toml" }, anonymous = { home = "/" } }"#;
    let server = Setup::new()
        .user("camera", "")
        .plugin("users", "builtin:users", lines)
        .set("tls.clear-users", r#"["anonymous", "camera"]"#)
        .start();
    let clear = |user: &str, password: &str| {
        let mut client = server.connect();
        client.send(&format!("USER {user}")).expect(331);
        client.send(&format!("PASS {password}")).expect(230);
        client.send("TYPE I").expect(200);
        client
    };
    let mut camera = clear("camera", "camera");
    camera.store("STOR picture", b"a picture").expect(226);
    for guest in ["anonymous", "ftp"] {
        let mut guest = clear(guest, "me@example.org");
        assert_eq!(guest.retrieve("RETR camera/picture"), b"a picture");
    }
    // All others hear of it at USER, also where somebody else's name came first.
    let mut client = server.connect();
    for name in [USER, "Camera", "nobody"] {
        client
            .send(&format!("USER {name}"))
            .expect(530)
            .saying("TLS comes first");
    }
    client.send(&format!("PASS {USER}")).expect(530);
    client.send("USER anonymous").expect(331);
    client.send(&format!("USER {USER}")).expect(530);
    let mut client = server.login();
    client.send("PROT C").expect(534);
    // Under TLS the device may choose.
    let mut camera = server.login_as("camera", &Tls::new());
    camera.send("PROT C").expect(200);
    let tls = camera.tls.take();
    assert_eq!(camera.retrieve("RETR picture"), b"a picture");
    camera.tls = tls;
    camera.send("QUIT").expect(221);
}
