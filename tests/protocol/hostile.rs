//! Lines that no client should send.

use std::{fs, io::Write, time::Duration};

use crate::support::{Server, Setup, Tls, USER};

#[test]
fn a_line_that_is_too_long_ends_the_session() {
    let server = Setup::new().set("limits.line-length", "1000").start();
    let mut client = server.login();
    client
        .send(&format!("MKD {}", "x".repeat(900)))
        .expect_one_of(&[501, 550, 553]);
    client.write(format!("MKD {}\r\n", "x".repeat(1100)));
    let rest = client.rest();
    assert!(rest.starts_with("500 "), "{rest}");
    assert_eq!(rest.matches("\r\n").count(), 1, "{rest}");
}

#[test]
fn a_line_without_an_end_is_cut_off() {
    let server = Server::start();
    for secure in [false, true] {
        let mut client = if secure {
            server.secure(&Tls::new())
        } else {
            server.connect()
        };
        let chunk = "x".repeat(64 << 10);
        let mut sent = 0;
        while sent < (8 << 20) && client.try_write(&chunk).is_ok() {
            sent += chunk.len();
        }
        assert!(sent < (8 << 20), "8 MiB of one line were read");
    }
    assert!(server.resident() < (512 << 20));
    server.login().send("NOOP").expect(200);
}

#[test]
fn control_bytes_in_paths_are_501() {
    let server = Server::start();
    let mut client = server.login();
    for verb in ["MKD", "CWD", "DELE", "RETR", "STOR", "RNFR", "SIZE", "MLST"] {
        client
            .send(&format!("{verb} a\0b"))
            .expect_one_of(&[501, 550, 553]);
    }
    client.send("MKD a\rb").expect_one_of(&[501, 550, 553]);
    client.write(b"MKD \xfe\xff\xff\r\n");
    client.reply().expect_one_of(&[501, 550, 553]);
    client.write(b"MKD \xc3\x28\r\n");
    client.reply().expect_one_of(&[501, 550, 553]);
    assert_eq!(fs::read_dir(server.home()).unwrap().count(), 0);
}

#[test]
fn a_line_feed_alone_ends_a_line_too() {
    let server = Server::start();
    let mut client = server.login();
    client.write("NOOP\nPWD\n");
    client.reply().expect(200);
    client.reply().expect(257);
}

#[test]
fn telnet_sequences_are_skipped_and_not_answered() {
    let server = Server::start();
    let mut client = server.login();
    // IAC IP, IAC DM before ABOR (RFC 959 §4.1.3).
    client.write(b"\xff\xf4\xff\xf2ABOR\r\n");
    client.reply().expect_one_of(&[225, 226]);
    client.write(b"\xff\xf4\xf2ABOR\r\n");
    client.reply().expect_one_of(&[225, 226]);
    // Options, negotiated by nobody (RFC 1123 §4.1.2.12).
    client.write(b"\xff\xfd\x01NO\xff\xfb\x03OP\r\n");
    client.reply().expect(200);
    client.expect_silence(Duration::from_millis(100));
}

#[test]
fn urgent_data_before_abor() {
    let server = Setup::new()
        .set("tls.required", "false")
        .set("tls.data-required", "false")
        .start();
    let mut client = server.connect();
    client.login(USER);
    // A read ends at the urgent byte although more has come: no reason to wait for still more.
    for _ in 0..50 {
        client.write(b"\xff\xf4\xff");
        socket2::SockRef::from(client.socket())
            .send_out_of_band(b"\xf2")
            .unwrap();
        client.write("ABOR\r\n");
        client.reply().expect_one_of(&[225, 226]);
    }
    client.send("NOOP").expect(200);
}

#[test]
fn pipelined_commands_are_answered_in_order() {
    let server = Server::start();
    let mut client = server.login();
    client.write("NOOP\r\nPWD\r\nSYST\r\nMKD a\r\nCWD a\r\nPWD\r\nSIZE none\r\nTYPE I\r\n");
    for code in [200, 257, 215, 257, 250, 257, 550, 200] {
        client.reply().expect(code);
    }
    // In pieces of one byte.
    for byte in b"NOOP\r\nPWD\r\n" {
        client.write([*byte]);
    }
    client.reply().expect(200);
    client.reply().expect(257).saying("\"/a\"");
}

#[test]
fn commands_are_queued_while_a_transfer_runs() {
    let server = Server::start();
    let mut client = server.login();
    let mut data = client.begin("STOR file");
    client.write("MKD one\r\nMKD two\r\nPWD\r\n");
    client.expect_silence(Duration::from_millis(100));
    data.send(b"content").unwrap();
    data.finish().unwrap();
    for code in [226, 257, 257, 257] {
        client.reply().expect(code);
    }
}

#[test]
fn the_queue_is_bounded() {
    let server = Setup::new().set("limits.queued-commands", "8").start();
    let mut client = server.login();
    let data = client.begin("STOR file");
    let flood = "NOOP\r\n".repeat(10_000);
    // Whether it stops to read or ends the session: it must not take everything.
    let _ = client
        .socket()
        .set_write_timeout(Some(Duration::from_millis(300)));
    let _ = client.try_write(flood);
    data.finish().unwrap();
    let mut other = server.login();
    other.send("NOOP").expect(200);
}

#[test]
fn random_bytes_end_in_order() {
    let mut server = Server::start();
    for seed in 1..30 {
        let mut client = if seed % 2 == 0 {
            server.secure(&Tls::new())
        } else {
            server.connect()
        };
        let _ = client.try_write(crate::support::content(3000, seed));
        let _ = client.try_write("\r\nQUIT\r\n");
        // What looks like telnet may have swallowed the QUIT.
        let _ = client.socket().shutdown(std::net::Shutdown::Write);
        client.rest();
    }
    assert!(server.is_running());
    server.login().send("NOOP").expect(200);
    assert!(!server.log().contains("panicked"), "a panic");
}

#[test]
fn a_connection_that_resets_is_no_trouble() {
    let mut server = Server::start();
    for _ in 0..20 {
        let client = server.login();
        socket2::SockRef::from(client.socket())
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
    for _ in 0..20 {
        let stream = std::net::TcpStream::connect(server.address).unwrap();
        let _ = (&stream).write_all(b"AUTH TLS\r\n");
    }
    assert!(server.is_running());
    server.login().send("NOOP").expect(200);
}
