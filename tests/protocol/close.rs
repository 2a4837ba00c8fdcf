//! How protected uploads end: by `close_notify`, and by less than that.

use crate::support::{
    Client, Server, Setup, Tls, USER, Version, content, eventually, tls::VERSIONS,
};

fn server(mode: &str) -> Server {
    Setup::new()
        .set("tls.close-notify", &format!("{mode:?}"))
        .start()
}

/// Sends bytes and FIN, and nothing of TLS in between.
fn by_fin(client: &mut Client, command: &str, bytes: &[u8]) -> crate::support::Reply {
    let mut data = client.begin(command);
    data.send(bytes).unwrap();
    data.fin().unwrap();
    client.reply()
}

#[test]
fn fin_alone_is_taken_from_a_client_that_never_sends_close_notify() {
    let server = Server::start();
    for version in VERSIONS {
        let mut client = server.login_as(USER, &Tls::version(version));
        for length in [0, 1, 300_000] {
            let bytes = content(length, 3);
            by_fin(&mut client, "STOR file", &bytes)
                .expect(226)
                .saying("without TLS close_notify");
            assert!(std::fs::read(server.home().join("file")).unwrap() == bytes);
        }
        by_fin(&mut client, "APPE file", b"more").expect(226);
        client.send("REST 2").expect(350);
        by_fin(&mut client, "STOR file", b"end").expect(226);
        client.send("TYPE A").expect(200);
        by_fin(&mut client, "STOR text", b"one\r\ntwo\r\n").expect(226);
        assert_eq!(
            std::fs::read(server.home().join("text")).unwrap(),
            b"one\ntwo\n"
        );
    }
    let log = server.log();
    let stored = log.lines().find(|line| line.contains("stored")).unwrap();
    assert!(stored.contains("close_notify=false"), "{stored}");
}

#[test]
fn a_client_that_has_sent_close_notify_is_held_to_it() {
    let server = Server::start();
    for version in VERSIONS {
        let mut client = server.login_as(USER, &Tls::version(version));
        let reply = client.store("STOR whole", b"content").expect(226);
        assert!(!reply.text().contains("close_notify"), "{reply:?}");
        by_fin(&mut client, "STOR cut", b"content")
            .expect(426)
            .saying("close_notify");
        assert!(!server.home().join("cut").exists());
        // Another session's client is another one.
        let mut other = server.login_as(USER, &Tls::version(version));
        by_fin(&mut other, "STOR other", b"content").expect(226);
    }
}

/// A download tells as much of a client as an upload.
#[test]
fn close_notify_behind_a_download_or_a_listing_counts() {
    let server = Server::start();
    std::fs::write(server.home().join("file"), "content").unwrap();
    for version in VERSIONS {
        for command in ["RETR file", "MLSD"] {
            let mut client = server.login_as(USER, &Tls::version(version));
            eventually("the server knows that the client ends TLS", || {
                let mut data = client.begin(command);
                std::io::Read::read_to_end(&mut data, &mut Vec::new()).unwrap();
                data.finish().unwrap();
                client.reply().expect(226);
                by_fin(&mut client, "STOR cut", b"content").code == 426
            });
        }
    }
}

#[test]
fn the_426_of_require_names_the_reason_and_the_key() {
    let server = server("require");
    for version in VERSIONS {
        let mut client = server.login_as(USER, &Tls::version(version));
        by_fin(&mut client, "STOR file", b"content")
            .expect(426)
            .saying("close_notify")
            .saying("tls.close-notify");
        assert!(!server.home().join("file").exists());
        client.store("STOR file", b"content").expect(226);
        std::fs::remove_file(server.home().join("file")).unwrap();
    }
    let log = server.log();
    assert!(!log.contains("http"), "{log}");
}

#[test]
fn fin_alone_is_as_good_where_close_notify_is_ignored() {
    let server = server("ignore");
    for version in VERSIONS {
        let mut client = server.login_as(USER, &Tls::version(version));
        client.store("STOR file", b"content").expect(226);
        by_fin(&mut client, "STOR file", b"other").expect(226);
        assert_eq!(std::fs::read(server.home().join("file")).unwrap(), b"other");
    }
}

/// A record that is there in part, a reset: no mode takes that for an end.
#[test]
fn a_cut_is_no_end_in_any_mode() {
    for mode in ["require", "prefer", "ignore"] {
        let server = server(mode);
        for version in VERSIONS {
            for within in [1, 4, 5, 6, 20] {
                let mut client = server.login_as(USER, &Tls::version(version));
                let mut data = client.begin("STOR file");
                data.send(&content(100_000, 1)).unwrap();
                data.cut_within_a_record(within).unwrap();
                client.reply().expect(426).saying("record");
            }
            let mut client = server.login_as(USER, &Tls::version(version));
            let mut data = client.begin("STOR file");
            data.send(&content(100_000, 1)).unwrap();
            data.reset();
            client.reply().expect(426);
            assert!(!server.home().join("file").exists(), "{mode}");
        }
    }
}

#[test]
fn the_size_that_allo_announced_has_to_fit() {
    for mode in ["prefer", "ignore"] {
        let server = server(mode);
        let mut client = server.login();
        client.send("ALLO 8").expect_one_of(&[200, 202]);
        by_fin(&mut client, "STOR file", b"content")
            .expect(426)
            .saying("7 bytes")
            .saying("ALLO");
        assert!(!server.home().join("file").exists());
        client.send("ALLO 7").expect_one_of(&[200, 202]);
        by_fin(&mut client, "STOR file", b"content").expect(226);
        // The bytes that are sent, or those that they become.
        for announced in [5, 7] {
            client.send("REST 2").expect(350);
            client
                .send(&format!("ALLO {announced}"))
                .expect_one_of(&[200, 202]);
            by_fin(&mut client, "STOR file", b"ntent").expect(226);
        }
        client.send("REST 2").expect(350);
        client.send("ALLO 6").expect_one_of(&[200, 202]);
        by_fin(&mut client, "STOR file", b"ntent").expect(426);
        client.send("TYPE A").expect(200);
        for announced in [10, 8] {
            client
                .send(&format!("ALLO {announced}"))
                .expect_one_of(&[200, 202]);
            by_fin(&mut client, "STOR text", b"one\r\ntwo\r\n").expect(226);
        }
        // With close_notify nothing is missing, whatever was announced.
        client.send("ALLO 3").expect_one_of(&[200, 202]);
        client.store("STOR text", b"content").expect(226);
    }
}

#[test]
fn abor_behind_fin_is_no_end() {
    for mode in ["prefer", "ignore"] {
        let server = server(mode);
        let mut client = server.login();
        let mut data = client.begin("STOR file");
        data.send(b"content").unwrap();
        let socket = data.socket().try_clone().unwrap();
        data.fin().unwrap();
        client.write("ABOR\r\n");
        client.reply().expect(426);
        client.reply().expect(226);
        drop(socket);
        assert!(!server.home().join("file").exists());
    }
}

/// The system ends all connections of a client that is killed, each by FIN.
#[test]
fn a_client_that_is_killed_has_not_ended_its_upload() {
    for mode in ["prefer", "ignore"] {
        let mut server = server(mode);
        let mut client = server.login();
        let mut data = client.begin("STOR file");
        data.send(b"content").unwrap();
        data.fin().unwrap();
        client.cut();
        server.wait_for_line(|line| line.contains("upload broken off"));
        assert!(!server.home().join("file").exists());
    }
}

#[test]
fn in_the_clear_fin_is_the_end() {
    let server = Setup::new()
        .set("tls.close-notify", r#""require""#)
        .set("tls.data-required", "false")
        .start();
    let mut client = server.login_as(USER, &Tls::version(Version::V13));
    client.send("PROT C").expect(200);
    client.tls = None;
    let reply = client.store("STOR file", b"content").expect(226);
    assert!(!reply.text().contains("close_notify"), "{reply:?}");
}
