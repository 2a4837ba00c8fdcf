//! `serve --take-over`: a server takes the place of the one that runs, and nobody is refused.

use std::{
    fs,
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
};

use crate::{
    load::{Load, free, tables},
    support::{Client, PATIENCE, Server, Setup, Tls, USER, content, eventually, read_all},
};

fn setup(tables: &str) -> Setup {
    Setup::new()
        .unset("server.listen")
        .unset("server.listen-implicit")
        .tables(tables)
}

/// Two in a row, under load, with an upload and a download under way each time; the state file goes along.
#[test]
fn nobody_is_refused_while_another_server_takes_over() {
    let [explicit, implicit, admin] = free();
    let bytes = content(2_000_000, 1);
    let first = setup(&tables(&[explicit], &[implicit]))
        .set("state.file", r#""state.redb""#)
        .set("admin.listen", &format!("\"{admin}\""))
        .start();
    fs::write(first.home().join("there"), &bytes).unwrap();
    let server = Load::during(explicit, |load| {
        let mut server = first;
        for round in 0..2 {
            load.goes_on();
            let (mut up, mut down) = (server.login(), server.login());
            let mut upload = up.begin(&format!("STOR file{round}"));
            upload.send(&bytes[..100_000]).unwrap();
            let download = down.begin("RETR there");
            let mut idle = server.login();
            let (next, former) = server.take_over(|| {
                // It lets nobody in any more, and what is under way goes on.
                idle.reply().expect(421);
                upload.send(&bytes[100_000..]).unwrap();
                upload.finish().unwrap();
                up.reply().expect(226);
                assert_eq!(download.receive(), bytes);
                down.reply().expect(226);
            });
            server = next;
            let id = former.id();
            assert!(former.wait().success());
            assert_ne!(server.id(), id);
            let (_, status) = server.setup().run(&["status"]);
            assert!(status.contains(&server.id().to_string()), "{status}");
            let mut client = server.login();
            assert_eq!(client.retrieve(&format!("RETR file{round}")), bytes);
            Client::implicit(implicit, &Tls::new()).login(USER);
        }
        load.goes_on();
        server
    });
    assert_eq!(server.address, explicit);
    let mut stream = std::net::TcpStream::connect(admin).unwrap();
    let request = "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    assert!(read_all(stream).starts_with(b"HTTP/1.1 "));
}

/// An upload that the old one has cut goes on at the new one.
#[test]
fn a_broken_upload_is_resumed_at_the_next_server() {
    let [explicit, implicit] = free();
    let server = setup(&tables(&[explicit], &[implicit]))
        .set("server.drain-timeout", r#""300ms""#)
        .start();
    let bytes = content(1_000_000, 1);
    let (first, rest) = bytes.split_at(700_000);
    let mut client = server.login();
    let mut data = client.begin("STOR file");
    let mut moved = || {
        let reply = client.send("STAT").expect(213);
        let mut numbers = reply.text().split(|c: char| !c.is_ascii_digit());
        numbers
            .find_map(|number| number.parse::<usize>().ok())
            .unwrap()
    };
    // The handshake counts, too.
    let before = moved();
    data.send(first).unwrap();
    eventually("it has arrived", || moved() >= before + first.len());
    let (server, former) = server.take_over(|| {
        client.reply().expect(426);
        client.reply().expect(421);
    });
    assert!(former.wait().success());
    let mut client = server.login();
    client.send("SIZE file").expect(213).saying("700000");
    client.send("REST 700000").expect(350);
    client.store("STOR file", rest).expect(226);
    assert!(fs::read(server.home().join("file")).unwrap() == bytes);
}

/// The old one goes on as if nothing had happened, however the new one is wrong.
#[test]
fn a_server_that_could_not_serve_takes_nothing_over() {
    let [explicit, implicit] = free();
    let good = tables(&[explicit], &[implicit]);
    let mut server = setup(&good).start();
    let mut client = server.login();
    for (wrong, why) in [
        (format!("{good}nonsense = 1"), "nonsense"),
        (
            format!("{good}[tls]\ncertificate = [\"/nowhere\"]\nkey = [\"/nowhere\"]"),
            "/nowhere",
        ),
        (
            format!("{good}[[plugin]]\nname = \"none\"\ncomponent = \"none.wasm\""),
            "none.wasm",
        ),
    ] {
        server = server.with_tables(&wrong);
        let (status, said) = server.setup().run(&["serve", "--take-over"]);
        assert_eq!(status, 2, "{said}");
        assert!(said.contains(why), "{said}");
        assert!(server.is_running());
        client.send("NOOP").expect(200);
        server.login().send("NOOP").expect(200);
    }
    assert!(!server.log().contains("takes over"));
    let server = server.with_tables(&good);
    let (server, former) = server.take_over(|| ());
    assert!(former.wait().success());
    server.login().send("NOOP").expect(200);
}

#[test]
fn without_another_server_it_is_a_start_like_any_other() {
    let setup = Setup::new().unset("server.listen");
    let [address] = free();
    let mut server = setup
        .set("server.listen", &format!("[\"{address}\"]"))
        .start();
    server.terminate();
    assert!(server.wait().success());
    let (server, former) = server.take_over(|| ());
    drop(former);
    server.login().send("NOOP").expect(200);
}

/// Asks a server for its sockets, in these words, and ends as one that does not take them; the answer.
fn ask(server: &Server, question: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(server.state().join("handover.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // It may have been refused by now.
    let _ = stream.write_all(question);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[test]
fn another_user_takes_nothing_over() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("LEFT OUT: it takes root to be another user than the server's");
    }
    let server = Setup::new().unprivileged().start();
    assert_eq!(ask(&server, b"portcullis take-over 1\n"), b"");
    eventually("the log says so", || {
        server.log().contains("user 0 asked for it")
    });
    server.login().send("NOOP").expect(200);
}

/// A successor that speaks another language, or does not say that it has the sockets.
#[test]
fn a_take_over_that_breaks_off_changes_nothing() {
    let server = Server::start();
    assert_eq!(ask(&server, b"portcullis take-over 9\n"), b"");
    assert_eq!(ask(&server, b""), b"");
    assert_eq!(ask(&server, b"portcullis take-over 1\n"), b"[false,false]");
    eventually("the log says so", || {
        server.log().matches("nothing was taken over").count() == 3
    });
    server.login().send("NOOP").expect(200);
    Client::implicit(server.implicit, &Tls::new()).login(USER);
}
