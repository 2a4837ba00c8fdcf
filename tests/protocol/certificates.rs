//! Client certificates: off, optional, required, and as a login.

use crate::support::{Authority, Client, Data, Server, Setup, Tls, USER, Version, tls::VERSIONS};

fn with(mode: &str, authority: &Authority) -> Setup {
    let setup = Setup::new();
    let file = setup.file("authorities.pem", &authority.pem);
    setup
        .set("tls.client-certificates", &format!("{mode:?}"))
        .set("tls.client-authorities", &format!("{file:?}"))
}

/// Whether a session comes about; in TLS 1.3 the client hears of a refusal after its handshake.
fn works(server: &Server, tls: &Tls) -> bool {
    let mut client = server.connect();
    client.send("AUTH TLS").expect(234);
    client.handshake(tls).is_ok()
        && client.try_write("NOOP\r\n").is_ok()
        && client.try_reply().is_ok_and(|reply| reply.code == 200)
}

#[test]
fn optional_ones_must_verify() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = with("optional", &authority).start();
    for version in VERSIONS {
        assert!(works(&server, &Tls::version(version)));
        assert!(works(
            &server,
            &Tls::certificate(version, &authority.client("alice"))
        ));
        assert!(!works(
            &server,
            &Tls::certificate(version, &stranger.client("alice"))
        ));
    }
}

#[test]
fn without_a_required_one_there_is_no_session() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = with("required", &authority).start();
    for version in VERSIONS {
        assert!(!works(&server, &Tls::version(version)));
        assert!(works(
            &server,
            &Tls::certificate(version, &authority.client("alice"))
        ));
        assert!(!works(
            &server,
            &Tls::certificate(version, &stranger.client("alice"))
        ));
    }
}

#[test]
fn by_default_they_are_not_asked_for() {
    let server = Server::start();
    let identity = Authority::new().client("alice");
    assert!(works(&server, &Tls::certificate(Version::V13, &identity)));
}

#[test]
fn a_certificate_logs_in() {
    let authority = Authority::new();
    let (bob, carol) = (authority.client("bob"), authority.client("someone"));
    let server = with("optional", &authority)
        .user_without_password("bob", "certificates = [\"CN=bob\"]\n")
        .user_without_password(
            "carol",
            &format!("certificates = [\"sha256:{}\"]\n", carol.fingerprint()),
        )
        .user(
            "both",
            "certificates = [\"CN=bob\"]\nrequire-certificate = true\n",
        )
        .start();
    for version in VERSIONS {
        for (name, identity) in [("bob", &bob), ("carol", &carol)] {
            let mut client = server.secure(&Tls::certificate(version, identity));
            // RFC 4217 §10: with a certificate that will do, no password is asked for.
            client.send(&format!("USER {name}")).expect(232);
            client.send("PWD").expect(257);
            transfers(&mut client);
        }
        // The other's certificate, and none.
        let mut client = server.secure(&Tls::certificate(version, &bob));
        client.send("USER carol").expect(331);
        client.send("PASS x").expect(530);
        let mut client = server.secure(&Tls::version(version));
        client.send("USER bob").expect(331);
        client.send("PASS bob").expect(530);
        // Both, or nothing.
        let mut client = server.secure(&Tls::certificate(version, &bob));
        client.send("USER both").expect(331);
        client.send("PASS wrong").expect(530);
        client.login("both");
        let mut client = server.secure(&Tls::version(version));
        client.send("USER both").expect(331);
        client.send("PASS both").expect(530);
        client.login(USER);
    }
}

/// The certificate goes with TLS, also where CCC had ended that on the control connection.
#[test]
fn regression_a_certificate_does_not_outlive_tls() {
    let authority = Authority::new();
    let server = with("optional", &authority)
        .set("tls.allow-ccc", "true")
        .set("tls.required", "false")
        .user_without_password("bob", "certificates = [\"CN=bob\"]\n")
        .start();
    let tls = Tls::certificate(Version::V13, &authority.client("bob"));
    for cleared in [false, true] {
        let mut client = server.secure(&tls);
        client.send("USER bob").expect(232);
        if cleared {
            client.send("CCC").expect(200);
            client.clear();
            client.send("REIN").expect(220);
        } else {
            client.send("REIN").expect(220);
            client.clear();
        }
        client.send("USER bob").expect(331);
        client.send("PASS x").expect(530);
    }
}

/// A certificate asks for few names, as a password does.
#[test]
fn names_tried_with_a_certificate_are_counted() {
    let authority = Authority::new();
    let server = with("optional", &authority)
        .user_without_password("bob", "certificates = [\"CN=bob\"]\n")
        .start();
    let tls = Tls::certificate(Version::V13, &authority.client("carol"));
    let mut client = server.secure(&tls);
    for name in ["bob", "dave", "erin"] {
        client.send(&format!("USER {name}")).expect(331);
    }
    client.send("USER frank").expect(421);
    // A password after a certificate that did not do is no attempt too many.
    let mut client = server.secure(&tls);
    client.login(USER);
}

fn transfers(client: &mut Client) {
    client.send("PBSZ 0").expect(200);
    client.send("PROT P").expect(200);
    client.send("TYPE I").expect(200);
    client.store("STOR file", b"content").expect(226);
    assert_eq!(client.retrieve("RETR file"), b"content");
}

/// RFC 4217 §10.2: the data connection's certificate is the control connection's.
#[test]
fn another_certificate_on_the_data_connection_is_refused() {
    let authority = Authority::new();
    let server = with("required", &authority)
        .set("limits.data-timeout", r#""1s""#)
        .start();
    for version in VERSIONS {
        let mut client =
            server.login_as(USER, &Tls::certificate(version, &authority.client("alice")));
        transfers(&mut client);
        let other = Tls::certificate(version, &authority.client("mallory"));
        let stream = client.open();
        client.send("LIST").expect_one_of(&[125, 150]);
        let received = Data::tls(stream, &other).map(|mut data| {
            let mut bytes = Vec::new();
            let _ = std::io::Read::read_to_end(&mut data, &mut bytes);
            bytes
        });
        assert!(received.is_err() || received.is_ok_and(|bytes| bytes.is_empty()));
        client.reply().expect_one_of(&[425, 522]);
        transfers(&mut client);
    }
}
