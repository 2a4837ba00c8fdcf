//! Lines that no client should send.

use std::{
    fs,
    io::{Read, Write},
    time::{Duration, Instant},
};

use crate::support::{PATIENCE, Server, Setup, Tls, USER};

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

/// More lines than may wait, by number, by bytes, or NOOPs without end; and how many are executed.
fn floods() -> [(&'static str, Vec<String>, usize); 3] {
    [
        ("lines", (0..500).map(|n| format!("MKD {n}")).collect(), 8),
        ("bytes", vec![format!("CWD {}", "x".repeat(4000)); 100], 8),
        ("NOOPs", vec!["NOOP".to_owned(); 20_000], 20_000),
    ]
}

/// A server on which few commands may wait.
fn with_a_short_queue() -> Server {
    Setup::new().set("limits.queued-commands", "8").start()
}

#[test]
fn abor_and_stat_are_noticed_behind_any_number_of_commands() {
    let server = with_a_short_queue();
    for (name, lines, executed) in floods() {
        for abor in [&b"ABOR\r\n"[..], b"\xff\xf4\xff\xf2ABOR\r\n", b"abor \r\n"] {
            let mut client = server.login();
            let _data = client.begin("STOR file");
            client.write(lines.join("\r\n") + "\r\n");
            client.send("STAT").expect(213).saying("under way");
            client.write(abor);
            client.reply().expect(426);
            client.reply().expect(226);
            // Each line is answered in its turn, also the ones that were not executed.
            for (at, line) in lines.iter().enumerate() {
                let reply = client.reply();
                assert_eq!(
                    reply.code == 503,
                    at >= executed,
                    "{name} {at} {line:.9}: {reply:?}"
                );
            }
            client.send("PWD").expect(257);
        }
        for number in 0..8 {
            let _ = fs::remove_dir(server.home().join(number.to_string()));
        }
        assert_eq!(fs::read_dir(server.home()).unwrap().count(), 0, "{name}");
    }
}

#[test]
fn a_lost_connection_is_noticed_behind_any_number_of_commands() {
    let server = with_a_short_queue();
    fs::write(server.home().join("large"), vec![b'x'; 64 << 20]).unwrap();
    for (name, lines, _) in floods() {
        for command in ["STOR file", "RETR large"] {
            let mut client = server.login();
            let mut data = client.begin(command);
            client.write(lines.join("\r\n") + "\r\n");
            drop(client);
            // The end of the data connection is not waited for, and comes.
            let mut buffer = vec![0; 1 << 20];
            while data.read(&mut buffer).is_ok_and(|length| length > 0) {}
            assert!(!server.home().join("file").exists(), "{name} {command}");
        }
    }
}

#[test]
fn quit_behind_any_number_of_commands_lets_an_upload_end() {
    let server = with_a_short_queue();
    for (name, lines, _) in floods() {
        let mut client = server.login();
        let mut data = client.begin("STOR file");
        client.write(lines.join("\r\n") + "\r\nQUIT\r\nDELE file\r\n");
        drop(client);
        data.send(name.as_bytes()).unwrap();
        data.finish().unwrap();
        let begun = Instant::now();
        while fs::read(server.home().join("file")).ok().as_deref() != Some(name.as_bytes()) {
            assert!(begun.elapsed() < PATIENCE, "{name}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn what_finds_no_room_changes_nothing_that_comes_after() {
    let server = with_a_short_queue();
    let mut client = server.login();
    fs::write(server.home().join("old"), "content").unwrap();
    let mut data = client.begin("STOR file");
    client.write("PWD\r\n".repeat(6) + "REST 3\r\nRNFR old\r\nRNTO new\r\nMKD a\r\nNOOP\r\n");
    data.send(b"content").unwrap();
    data.finish().unwrap();
    client.reply().expect(226);
    for code in [257, 257, 257, 257, 257, 257, 350, 350, 503, 503, 503] {
        client.reply().expect(code);
    }
    // The rename is off, and so is the offset; and there is room again.
    client.send("RNTO new").expect(503);
    assert_eq!(client.retrieve("RETR old"), b"content");
    assert!(!server.home().join("a").exists() && !server.home().join("new").exists());
    let data = client.begin("STOR file");
    client.write("MKD a\r\n");
    data.finish().unwrap();
    client.reply().expect(226);
    client.reply().expect(257);
}

#[test]
fn a_flood_of_commands_takes_no_memory_and_does_not_stop_its_transfer() {
    let server = with_a_short_queue();
    let mut client = server.login();
    let mut data = client.begin("STOR file");
    let before = server.resident();
    for _ in 0..100 {
        client.write("MKD x\r\nNOOP\r\n".repeat(5000));
        data.send(&[b'x'; 1000]).unwrap();
    }
    client.send("STAT").expect(213);
    assert!(server.resident() < before + (8 << 20));
    data.finish().unwrap();
    client.reply().expect(226);
    assert_eq!(
        fs::metadata(server.home().join("file")).unwrap().len(),
        100_000
    );
    drop(client);
    server.login().send("NOOP").expect(200);
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
        // Bytes that look like telnet may have swallowed the QUIT.
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
