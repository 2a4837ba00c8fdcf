//! ABOR, STAT and QUIT while a transfer runs, and connections that break.

use std::{fs, io::Read, time::Duration};

use crate::support::{Data, Server, Setup, content, eventually};

/// More than the buffers of two sockets and a TLS connection hold.
const LARGE: u64 = 64 << 20;

fn with_large_file() -> Server {
    let server = Server::start();
    fs::File::create(server.home().join("large"))
        .unwrap()
        .set_len(LARGE)
        .unwrap();
    server
}

#[test]
fn abor_ends_a_download() {
    let server = with_large_file();
    let mut client = server.login();
    for command in ["ABOR\r\n".as_bytes(), b"\xff\xf4\xff\xf2ABOR\r\n"] {
        let mut data = client.begin("RETR large");
        data.read_exact(&mut [0; 1000]).unwrap();
        client.write(command);
        client.reply().expect(426);
        client.reply().expect_one_of(&[225, 226]);
        let mut rest = Vec::new();
        let _ = data.read_to_end(&mut rest);
        assert!((rest.len() as u64) < LARGE);
        client.send("NOOP").expect(200);
    }
    fs::write(server.home().join("small"), "content").unwrap();
    assert_eq!(client.retrieve("RETR small"), b"content");
}

#[test]
fn abor_ends_an_upload() {
    let server = Server::start();
    let mut client = server.login();
    let mut data = client.begin("STOR new");
    data.send(b"half").unwrap();
    client.send("ABOR").expect(426);
    client.reply().expect_one_of(&[225, 226]);
    drop(data);
    assert!(!server.home().join("new").exists());
    client.store("STOR new", b"whole").expect(226);
    assert_eq!(fs::read(server.home().join("new")).unwrap(), b"whole");
}

#[test]
fn abor_while_the_data_connection_is_awaited() {
    let server = with_large_file();
    let mut client = server.login();
    client.epsv();
    client.write("RETR large\r\nABOR\r\n");
    let mut reply = client.reply();
    if reply.code == 150 {
        reply = client.reply();
    }
    reply.expect_one_of(&[425, 426]);
    client.reply().expect_one_of(&[225, 226]);
    client.send("NOOP").expect(200);
}

#[test]
fn abor_with_nothing_to_abort() {
    let server = Server::start();
    let mut client = server.login();
    client.send("ABOR").expect_one_of(&[225, 226]);
    client.epsv();
    client.send("ABOR").expect_one_of(&[225, 226]);
    client.send("NOOP").expect(200);
}

/// CVE-2020-9273: an abort at any point leaves nothing behind that a later one trips over.
#[test]
fn abor_at_any_time() {
    let mut server = with_large_file();
    let mut client = server.login();
    for round in 0..12 {
        let command = if round % 2 == 0 {
            "RETR large"
        } else {
            "STOR new"
        };
        let stream = client.open();
        client.write(format!("{command}\r\n"));
        std::thread::sleep(Duration::from_millis(round / 2));
        client.write("ABOR\r\n");
        // 150 or not, 426 or 425 or not, and the answer to ABOR.
        let mut last = client.reply();
        while !(225..=226).contains(&last.code) {
            last = client.reply();
        }
        drop(stream);
        client.send("NOOP").expect(200);
    }
    assert!(server.is_running());
    assert_eq!(fs::read_dir(server.home()).unwrap().count(), 1);
}

#[test]
fn stat_in_a_transfer_is_answered_at_once() {
    let server = with_large_file();
    let mut client = server.login();
    let mut data = client.begin("RETR large");
    data.read_exact(&mut [0; 1000]).unwrap();
    client.send("STAT").expect_one_of(&[211, 213]);
    client.send("STAT").expect_one_of(&[211, 213]);
    let mut rest = Vec::new();
    data.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len() as u64, LARGE - 1000);
    client.reply().expect(226);
}

/// RFC 959 §4.1.1.
#[test]
fn quit_in_a_transfer_waits_for_its_end() {
    let server = Server::start();
    let mut client = server.login();
    let mut data = client.begin("STOR file");
    data.send(b"first,").unwrap();
    client.write("QUIT\r\n");
    client.expect_silence(Duration::from_millis(100));
    data.send(b"second").unwrap();
    data.finish().unwrap();
    client.reply().expect(226);
    client.reply().expect(221);
    assert_eq!(client.rest(), "");
    assert_eq!(
        fs::read(server.home().join("file")).unwrap(),
        b"first,second"
    );
}

#[test]
fn a_control_connection_that_ends_takes_the_transfer_along() {
    let server = with_large_file();
    let mut client = server.login();
    let mut data = client.begin("RETR large");
    data.read_exact(&mut [0; 1000]).unwrap();
    client.socket().shutdown(std::net::Shutdown::Both).unwrap();
    drop(client);
    let mut rest = Vec::new();
    let _ = data.read_to_end(&mut rest);
    assert!((rest.len() as u64) < LARGE, "it went on to the end");
}

#[test]
fn a_download_that_the_client_breaks_is_426() {
    let server = with_large_file();
    let mut client = server.login();
    let mut data = client.begin("RETR large");
    data.read_exact(&mut [0; 1000]).unwrap();
    data.cut();
    client.reply().expect_one_of(&[426, 451]);
    client.send("NOOP").expect(200);
    let mut data = client.begin("RETR large");
    data.read_exact(&mut [0; 1000]).unwrap();
    data.reset();
    client.reply().expect_one_of(&[426, 451]);
    client.send("NOOP").expect(200);
}

/// Without close_notify the end of an upload is not proven: anybody can send a FIN.
#[test]
fn an_upload_that_is_cut_is_not_published() {
    let server = Server::start();
    let mut client = server.login();
    let mut data = client.begin("STOR new");
    data.send(&content(100_000, 1)).unwrap();
    data.cut();
    client.reply().expect_one_of(&[426, 451]);
    assert!(!server.home().join("new").exists());
    client.send("NOOP").expect(200);
}

#[test]
fn a_stalled_transfer_is_ended() {
    let server = Setup::new()
        .set("limits.stall-timeout", r#""300ms""#)
        .start();
    fs::File::create(server.home().join("large"))
        .unwrap()
        .set_len(LARGE)
        .unwrap();
    let mut client = server.login();
    // Zero window: the client takes nothing.
    let data = client.begin("RETR large");
    client.reply().expect_one_of(&[421, 426, 451]);
    drop(data);
    let mut client = server.login();
    let mut data = client.begin("STOR new");
    data.send(b"half").unwrap();
    client.reply().expect_one_of(&[421, 426, 451]);
    drop(data);
    assert!(!server.home().join("new").exists());
}

#[test]
fn two_sessions_and_the_same_name() {
    let server = Server::start();
    let (mut one, mut two) = (server.login(), server.login());
    let mut first = one.begin("STOR file");
    first.send(b"first").unwrap();
    let stream = two.open();
    let reply = two.send("STOR file");
    if reply.code < 200 {
        let mut second = two.protect(stream);
        second.send(b"second").unwrap();
        second.finish().unwrap();
        two.reply().expect_one_of(&[226, 450]);
    } else {
        reply.expect_one_of(&[450, 550]);
    }
    first.finish().unwrap();
    one.reply().expect(226);
    assert_eq!(fs::read(server.home().join("file")).unwrap(), b"first");
}

#[test]
fn a_download_goes_on_with_the_old_content() {
    let server = Server::start();
    let old = content(8 << 20, 1);
    fs::write(server.home().join("file"), &old).unwrap();
    let (mut reader, mut writer) = (server.login(), server.login());
    let mut data = reader.begin("RETR file");
    let mut got = vec![0; 1000];
    data.read_exact(&mut got).unwrap();
    writer.store("STOR file", b"new").expect(226);
    writer.send("DELE file").expect(250);
    data.read_to_end(&mut got).unwrap();
    reader.reply().expect(226);
    assert!(got == old);
}

#[test]
fn files_and_sockets_are_given_back() {
    let server = with_large_file();
    let open = || {
        fs::read_dir(format!("/proc/{}/fd", server.id()))
            .unwrap()
            .count()
    };
    let round = || {
        let mut client = server.login();
        let mut data: Data = client.begin("RETR large");
        data.read_exact(&mut [0; 10]).unwrap();
        let mut other = server.login();
        let mut upload = other.begin("STOR new");
        upload.send(b"x").unwrap();
    };
    round();
    eventually("the first round is over", || !server.log().is_empty());
    std::thread::sleep(Duration::from_millis(200));
    let before = open();
    for _ in 0..10 {
        round();
    }
    eventually("descriptors are closed", || open() <= before + 4);
}
