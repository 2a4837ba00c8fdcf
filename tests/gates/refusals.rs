//! Refusals, and transfers that come to nothing: each has one line in the log, which says whose it is
//! and why, and one event.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::{
    built,
    support::{Client, Server, Setup, Tls, eventually},
};

/// Bob may do all but make directories, and has a quota; a rule hides and denies some of it.
fn start(more: &[(&str, &str)]) -> Server {
    let rules = "settings.rules = [\
        { effect = \"hide\", paths = [\"/hidden/**\"] },\
        { effect = \"deny\", paths = [\"/closed\"], operations = [\"list\"] },\
        { effect = \"deny\", paths = [\"/kept/**\"], operations = [\"write\"], reason = \"it is kept\" }]";
    let all = "permissions = [\"list\", \"download\", \"upload\", \"overwrite\", \"append\", \"delete\", \
        \"rename\"]\nquota = 100000\nmax-upload-size = 60000";
    let mut setup = Setup::new()
        .user("bob", all)
        .user("blind", "permissions = [\"upload\"]")
        .plugin("listens", &built("listens"), "")
        .users_plugin()
        .plugin("rules", "builtin:rules", rules);
    for (key, value) in more {
        setup = setup.set(key, value);
    }
    setup.start()
}

/// The events of a kind that were heard, as JSON.
fn events(server: &Server, kind: &str) -> Vec<Value> {
    let start = format!("heard {{\"event\":\"{kind}\"");
    let log = server.log();
    let lines = log.lines().filter(|line| line.contains(&start));
    lines
        .map(|line| {
            let (_, event) = line.split_once("heard ").unwrap();
            serde_json::from_str(&event[..=event.rfind('}').unwrap()]).unwrap()
        })
        .collect()
}

/// The lines of the log with this text, but for what listeners say.
fn lines(server: &Server, text: &str) -> Vec<String> {
    let log = server.log();
    let lines = log.lines().filter(|line| !line.contains("heard {"));
    let lines = lines.filter(|line| line.contains(text));
    lines.map(str::to_owned).collect()
}

/// One line, with bob and these parts, and one event with this operation, path and reason.
#[track_caller]
fn told(
    server: &Server,
    (text, parts): (&str, &[&str]),
    (kind, operation, path, reason): (&str, &str, &str, &str),
) {
    eventually("a line and an event", || {
        !lines(server, text).is_empty() && !events(server, kind).is_empty()
    });
    let found = lines(server, text);
    let [line] = &found[..] else {
        panic!("{found:?}")
    };
    let who = ["session=\"", "user=\"bob\"", "client=127.0.0.1:"];
    for part in who.iter().chain(parts) {
        assert!(line.contains(part), "{part}: {line}");
    }
    let found = events(server, kind);
    let [event] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(event["user"], "bob", "{event}");
    assert_eq!(event["client"], "127.0.0.1", "{event}");
    assert!(event["session"].is_string(), "{event}");
    assert_eq!(event["operation"], operation, "{event}");
    match path {
        "" => assert_eq!(event["path"], Value::Null, "{event}"),
        path => assert_eq!(event["path"], path, "{event}"),
    }
    let why = event["reason"].as_str().unwrap_or_default();
    assert!(why.contains(reason), "{reason}: {event}");
}

fn bob(server: &Server) -> Client {
    server.login_as("bob", &Tls::new())
}

#[test]
fn refusals_by_rights() {
    for (command, operation, path, line, reason) in [
        (
            "MKD new",
            "make-directory",
            "/new",
            "Permission denied",
            "Permission denied",
        ),
        (
            "DELE kept/file",
            "delete",
            "/kept/file",
            "it is kept",
            "it is kept",
        ),
        (
            "RETR hidden/file",
            "download",
            "/hidden/file",
            "it is hidden",
            "",
        ),
        (
            "SIZE hidden/file",
            "see",
            "/hidden/file",
            "it is hidden",
            "",
        ),
        (
            "STOR kept/new",
            "upload",
            "/kept/new",
            "it is kept",
            "it is kept",
        ),
        (
            "RNFR hidden/file",
            "see",
            "/hidden/file",
            "it is hidden",
            "",
        ),
        (
            "MFMT 20200101000000 file",
            "change-metadata",
            "/file",
            "Permission denied",
            "",
        ),
    ] {
        let server = start(&[]);
        let mut client = bob(&server);
        for directory in ["hidden", "kept", "closed"] {
            fs::create_dir(server.home_of("bob").join(directory)).unwrap();
            fs::write(server.home_of("bob").join(directory).join("file"), "x").unwrap();
        }
        fs::write(server.home_of("bob").join("file"), "x").unwrap();
        client.epsv();
        client.send(command).expect(550);
        let parts = [
            &*format!("path={path:?}"),
            &*format!("operation={operation:?}"),
            &*format!("cause={line:?}"),
        ];
        told(
            &server,
            (": denied", &parts),
            ("denied", operation, path, reason),
        );
        // Entries that a listing leaves out were not asked for.
        client.listing("LIST");
        client.listing("LIST */*");
        client.send("NOOP").expect(200);
        assert_eq!(lines(&server, ": denied").len(), 1);
    }
}

#[test]
fn refusals_by_the_file_system() {
    let server = start(&[]);
    let mut client = bob(&server);
    fs::write(server.home_of("bob").join("file"), "x").unwrap();
    // Root may do everything but this.
    let status = std::process::Command::new("chattr")
        .arg("+i")
        .arg(server.home_of("bob").join("file"))
        .status();
    let Ok(true) = status.map(|status| status.success()) else {
        assert!(std::env::var_os("CI").is_none(), "chattr is needed");
        eprintln!("left out: chattr does not work here");
        return;
    };
    let reply = client.send("DELE file");
    let _ = std::process::Command::new("chattr")
        .arg("-i")
        .arg(server.home_of("bob").join("file"))
        .status();
    reply.expect(550);
    told(
        &server,
        (
            ": refused",
            &["WARN", "path=\"/file\"", "the server's user may not"],
        ),
        ("denied", "delete", "/file", "the server's user may not"),
    );
}

#[test]
fn refusals_by_quota_and_size() {
    let quota = "The quota of 100000 bytes is exceeded";
    let size = "Uploads have 60000 bytes at most";
    // Announced.
    for (bytes, path, cause) in [(70_000, "", size), (50_000, "/second", quota)] {
        let server = start(&[]);
        let mut client = bob(&server);
        client.store("STOR first", &vec![1; 55_000]).expect(226);
        let reply = client.send(&format!("ALLO {bytes}"));
        if path.is_empty() {
            reply.expect(552);
        } else {
            reply.expect(202);
            client.epsv();
            client.send("STOR second").expect(552);
        }
        told(
            &server,
            (": refused", &[path, &format!("bytes={bytes}"), cause]),
            ("denied", "upload", path, cause),
        );
    }
    // Found out.
    for (first, bytes, cause) in [(10, 70_000, size), (55_000, 50_000, quota)] {
        let server = start(&[]);
        let mut client = bob(&server);
        client.store("STOR first", &vec![1; first]).expect(226);
        let mut data = client.begin("STOR second");
        let _ = data.send(&vec![1; bytes]);
        let _ = data.finish();
        client.reply().expect(552);
        told(
            &server,
            (": refused", &["path=\"/second\"", cause]),
            ("denied", "upload", "/second", cause),
        );
        assert!(lines(&server, "broken off").is_empty());
    }
}

#[test]
fn transfers_that_break() {
    let server = start(&[("limits.stall-timeout", r#""1s""#)]);
    let content = vec![7; 30_000];
    for (how, cause) in [
        ("cut", "the data connection broke"),
        ("stall", "nothing has moved for too long"),
        ("abort", "the client sent ABOR"),
        ("gone", "the control connection was lost"),
    ] {
        for (operation, text) in [
            ("upload", ": upload broken off"),
            ("download", ": download broken off"),
        ] {
            let large = server.home().join("large");
            let file = fs::File::create(large).unwrap();
            file.set_len(1 << 30).unwrap();
            let before = lines(&server, text).len();
            let heard = events(&server, "transfer-failed").len();
            let mut client = server.login();
            let (path, mut data) = match operation {
                "upload" => ("/file", client.begin("STOR file")),
                _ => ("/large", client.begin("RETR large")),
            };
            match operation {
                "upload" => {
                    data.send(&content).unwrap();
                    eventually("it has arrived", || {
                        let reply = client.send("STAT").expect(213);
                        let mut words = reply.text().split(' ');
                        words.any(|word| word.parse().is_ok_and(|moved: usize| moved > 30_000))
                    });
                }
                _ => data.read_exact(&mut [0; 1000]).unwrap(),
            }
            match how {
                "cut" => {
                    data.reset();
                    client.reply().expect(426);
                }
                "abort" => {
                    client.send("ABOR").expect(426);
                    client.reply().expect(226);
                }
                "gone" => drop(client),
                _ => {
                    client.reply().expect(426);
                }
            }
            eventually("a line and an event", || {
                lines(&server, text).len() > before
                    && events(&server, "transfer-failed").len() > heard
            });
            let found = lines(&server, text);
            assert_eq!(found.len(), before + 1, "{found:?}");
            let line = found.last().unwrap();
            let path_part = format!("path={path:?}");
            let cause = match (how, operation) {
                // The end of an upload's data connection is told in other words.
                ("cut", "upload") => "",
                _ => cause,
            };
            for part in [
                "INFO",
                "user=\"alice\"",
                "client=127.0.0.1:",
                &path_part,
                cause,
            ] {
                assert!(line.contains(part), "{part}: {line}");
            }
            let found = events(&server, "transfer-failed");
            assert_eq!(found.len(), heard + 1, "{found:?}");
            let event = found.last().unwrap();
            assert_eq!(event["operation"], operation, "{event}");
            assert_eq!(event["path"], path, "{event}");
            assert!(event["reason"].as_str().unwrap().contains(cause), "{event}");
        }
    }
}

#[test]
fn transfers_without_a_data_connection() {
    for how in ["nobody", "clear", "unbound", "closed"] {
        let binding = if how == "unbound" {
            "require"
        } else {
            "prefer"
        };
        let server = start(&[
            ("limits.data-timeout", r#""1s""#),
            ("data.active", "true"),
            ("tls.data-binding", &format!("{binding:?}")),
        ]);
        let mut client = bob(&server);
        let address = match how {
            // Nobody listens there any more.
            "closed" => client.eprt().local_addr().unwrap(),
            _ => client.epsv(),
        };
        let (code, cause) = match how {
            "closed" => {
                client.send("STOR file").expect(150);
                (425, "Connection refused")
            }
            "nobody" => {
                client.send("STOR file").expect(150);
                (425, "No data connection was made in time")
            }
            "clear" => {
                let mut stream = TcpStream::connect(address).unwrap();
                client.send("STOR file").expect(150);
                stream.write_all(b"plain text").unwrap();
                (522, "in the clear")
            }
            _ => {
                client.send("STOR file").expect(150);
                let stranger = Tls::new();
                let stream = TcpStream::connect(address).unwrap();
                stream
                    .set_read_timeout(Some(Duration::from_secs(5)))
                    .unwrap();
                // The server may have closed it by the time that this ends.
                let _ = crate::support::Data::tls(stream, &stranger);
                (522, "must resume the TLS session")
            }
        };
        client.reply().expect(code);
        told(
            &server,
            (
                ": no data connection",
                &[
                    "path=\"/file\"",
                    "operation=\"upload\"",
                    &format!("code={code}"),
                    cause,
                ],
            ),
            ("transfer-failed", "upload", "/file", cause),
        );
        assert!(lines(&server, "was dropped").is_empty());
        assert!(lines(&server, "broken off").is_empty());
    }
}

/// From another address of this machine.
fn stranger(to: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let from: SocketAddr = "127.0.0.9:0".parse().unwrap();
    socket.bind(&from.into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket
}

#[test]
fn data_connections_of_strangers() {
    let server = start(&[]);
    let mut client = bob(&server);
    let address = client.epsv();
    client.send("STOR file").expect(150);
    let _stranger = stranger(address);
    let cause = "from another address";
    told(
        &server,
        (
            ": a data connection was dropped",
            &["WARN", "from=127.0.0.9:", "path=\"/file\"", cause],
        ),
        ("denied", "data-connection", "/file", cause),
    );
    // The right one comes all the same.
    let mut data = client.protect(TcpStream::connect(address).unwrap());
    data.send(b"content").unwrap();
    data.finish().unwrap();
    client.reply().expect(226);
    assert!(events(&server, "transfer-failed").is_empty());
}

#[test]
fn one_client_causes_few_lines_and_names_are_short() {
    let mut server = start(&[]);
    let mut client = bob(&server);
    let name = "n".repeat(200) + "\u{202e}/";
    let name = name.repeat(8);
    for _ in 0..200 {
        client.send(&format!("MKD {name}")).expect(550);
    }
    server.wait_for_line(|line| line.contains("more operations were denied"));
    let denied = lines(&server, ": denied");
    assert!(denied.len() < 150, "{}", denied.len());
    for line in denied {
        assert!(line.len() < 600 && line.contains('…'), "{line}");
    }
    // So do failed logins, and TLS that begins without AUTH.
    for _ in 0..20 {
        let mut client = server.secure(&Tls::new());
        client.send(&format!("USER {name}\u{9b}")).expect(331);
        client.send("PASS x").expect(530);
        let mut other = server.connect();
        other.write([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3]);
        other.rest();
    }
    server.wait_for_line(|line| line.contains("more logins failed"));
    for line in lines(&server, "login failed") {
        assert!(line.len() < 600, "{line}");
    }
    server.wait_for_line(|line| line.contains("more connections spoke something else"));
    let log = server.log();
    let ours = log.lines().filter(|line| !line.contains("heard {"));
    for line in ours {
        assert!(!line.contains(['\u{202e}', '\u{9b}']), "{line}");
    }
}
