//! `upload-clamav`.

use std::{
    fs,
    io::Read,
    net::TcpListener,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{
    clamd::{BAD, Clamd, LIMITS, Limits, bad_by_digest},
    installed,
    support::{Client, Reply, Server, Setup, content, eicar, eventually},
};

fn there() -> bool {
    installed("clamd", "clamav-daemon")
}

fn setup_at(port: u16, more: &str) -> Setup {
    let lines = format!(
        "settings.address = \"127.0.0.1:{port}\"\ngrants.tcp = [\"127.0.0.1:{port}\"]\n{more}"
    );
    Setup::new()
        .users_plugin()
        .plugin("clamav", "builtin:upload-clamav", &lines)
}

fn start(clamd: &Clamd, more: &str) -> Server {
    setup_at(clamd.port, more).start()
}

/// Refused for good, and nowhere to be found.
#[track_caller]
fn refused(server: &Server, client: &mut Client, name: &str, bytes: &[u8], why: &str) {
    client
        .store(&format!("STOR {name}"), bytes)
        .expect(550)
        .saying(why);
    assert!(!server.home().join(name).exists(), "{name} is there");
    client.send(&format!("SIZE {name}")).expect(550);
}

#[track_caller]
fn published(server: &Server, client: &mut Client, name: &str, bytes: &[u8]) {
    client.store(&format!("STOR {name}"), bytes).expect(226);
    assert!(
        fs::read(server.home().join(name)).unwrap() == bytes,
        "{name}"
    );
}

/// Sends a part and vanishes. How much of it the server has.
#[track_caller]
fn interrupted(client: &mut Client, name: &str, bytes: &[u8]) -> usize {
    let mut data = client.begin(&format!("STOR {name}"));
    data.send(bytes).unwrap();
    data.cut();
    client.reply().expect_one_of(&[426, 451]);
    size(client, name)
}

#[track_caller]
fn size(client: &mut Client, name: &str) -> usize {
    let reply = client.send(&format!("SIZE {name}")).expect(213);
    reply.text().parse().unwrap()
}

#[track_caller]
fn resumed(client: &mut Client, name: &str, bytes: &[u8], from: usize) -> Reply {
    client.send(&format!("REST {from}")).expect(350);
    client.store(&format!("STOR {name}"), &bytes[from..])
}

/// The status of the plugin by `portcullis status`.
fn status(server: &Server) -> serde_json::Value {
    let (code, said) = server.setup().run(&["status", "--json"]);
    assert_eq!(code, 0, "{said}");
    let status: serde_json::Value = serde_json::from_str(&said).unwrap();
    let plugins = status["plugins"].as_array().unwrap();
    let clamav = plugins.iter().find(|plugin| plugin["name"] == "clamav");
    clamav.unwrap().clone()
}

#[test]
fn clean_files_are_taken_and_infected_ones_never_seen() {
    if !there() {
        return;
    }
    let clamd = Clamd::start();
    let server = start(&clamd, "");
    let mut client = server.login();
    published(&server, &mut client, "empty", b"");
    published(&server, &mut client, "few", b"content");
    published(&server, &mut client, "many", &content(7_000_000, 3));

    let eicar_inside = [&content(300_000, 4), eicar().as_slice(), b"more"].concat();
    for (name, bytes, why) in [
        ("eicar.com", eicar(), "Infected: Tests.EICAR"),
        ("inside", eicar_inside, "Infected: Tests.EICAR.Anywhere"),
        ("digest", bad_by_digest(), "Infected: Tests.ByDigest"),
    ] {
        refused(&server, &mut client, name, &bytes, why);
        assert!(
            server.files_with(&bytes).is_empty(),
            "{name} lies somewhere"
        );
    }
    // One byte off is another digest.
    published(&server, &mut client, "other", &bad_by_digest()[1..]);
    // The file that was there stays.
    client.store("STOR few", &eicar()).expect(550);
    assert_eq!(fs::read(server.home().join("few")).unwrap(), b"content");
    assert_eq!(status(&server)["faults"], 0);
}

/// Pieces have 256 KiB, and those of the network any size.
#[test]
fn wherever_a_piece_ends() {
    if !there() {
        return;
    }
    let clamd = Clamd::start();
    let server = start(&clamd, "");
    let mut client = server.login();
    for border in [16 << 10, 64 << 10, 256 << 10, 512 << 10] {
        for before in [border - 1, border - 10, border - BAD.len() + 1] {
            let bytes = [&content(before, 5), BAD, b"after"].concat();
            let name = format!("at-{before}");
            refused(&server, &mut client, &name, &bytes, "Tests.ByContent");
        }
    }
    // In many small ones.
    let mut data = client.begin("STOR slowly");
    for byte in [b"before ", BAD, b" after"].concat() {
        data.send(&[byte]).unwrap();
    }
    data.finish().unwrap();
    client.reply().expect(550).saying("Tests.ByContent");
}

#[test]
fn cut_where_an_upload_was_resumed() {
    if !there() {
        return;
    }
    let clamd = Clamd::start();
    let server = start(&clamd, "");
    let mut client = server.login();
    let bytes = [&content(100_000, 6), BAD, b"after"].concat();
    for seam in [100_001, 100_000 + BAD.len() / 2, 100_000 + BAD.len() - 1] {
        let name = format!("cut-{seam}");
        let there = interrupted(&mut client, &name, &bytes[..seam]);
        assert_eq!(there, seam);
        let reply = resumed(&mut client, &name, &bytes, there);
        reply.expect(550).saying("Tests.ByContent");
        client.send(&format!("SIZE {name}")).expect(550);
        // Appended to what was clean by itself.
        let name = format!("appended-{seam}");
        published(&server, &mut client, &name, &bytes[..seam]);
        let reply = client.store(&format!("APPE {name}"), &bytes[seam..]);
        reply.expect(550).saying("Tests.ByContent");
        assert!(fs::read(server.home().join(&name)).unwrap() == bytes[..seam]);
    }
}

/// clamd takes no more than StreamMaxLength: that is the operator's mistake, not the client's.
#[test]
fn more_than_clamd_takes() {
    if !there() {
        return;
    }
    let clamd = Clamd::with(Limits {
        stream: "1M",
        ..LIMITS
    });
    let mut server = start(&clamd, "");
    let mut client = server.login();
    client
        .store("STOR large", &content(3_000_000, 7))
        .expect(451);
    assert!(!server.home().join("large").exists());
    server.wait_for_line(|line| line.contains("internal") && line.contains("StreamMaxLength"));
    published(&server, &mut client, "small", &content(1_000_000, 8));
    // Told of it, the plugin refuses for good.
    let server = start(&clamd, "settings.max-size = \"1MiB\"\n");
    let mut client = server.login();
    let why = "more than 1048576 bytes cannot be scanned";
    refused(&server, &mut client, "large", &content(3_000_000, 7), why);
    published(&server, &mut client, "exactly", &content(1 << 20, 8));
}

/// Without `AlertExceedsMax` clamd says that all is well of what it has not looked at.
#[test]
fn what_clamd_did_not_look_at() {
    if !there() {
        return;
    }
    let large = [BAD, &content(2_000_000, 9)].concat();
    for (file, scan) in [("1M", "32M"), ("8M", "1M")] {
        let limits = Limits {
            file,
            scan,
            ..LIMITS
        };
        let clamd = Clamd::with(limits);
        let server = start(&clamd, "");
        let mut client = server.login();
        let why = "Cannot be scanned: Heuristics.Limits.Exceeded.";
        refused(&server, &mut client, "large", &large, why);
        // The plugin's own limit holds where nobody has told clamd to tell.
        let clamd = Clamd::with(Limits { more: "", ..limits });
        let server = start(&clamd, "settings.max-size = \"1MiB\"\n");
        let mut client = server.login();
        let why = "more than 1048576 bytes cannot be scanned";
        refused(&server, &mut client, "large", &large, why);
        let infected = &large[..1_000_000];
        refused(&server, &mut client, "small", infected, "Tests.ByContent");
    }
}

#[test]
fn what_is_too_large_goes_where_the_settings_say() {
    if !there() {
        return;
    }
    let clamd = Clamd::start();
    let large = content(500_000, 10);
    let infected = [BAD, &large].concat();
    let why = "more than 100000 bytes cannot be scanned";

    let server = start(&clamd, "settings.max-size = 100_000\n");
    let mut client = server.login();
    refused(&server, &mut client, "large", &large, why);
    client.send("ALLO 500000").expect_one_of(&[200, 202]);
    refused(&server, &mut client, "announced", &large, why);
    assert!(server.files_with(&large[..1000]).is_empty());

    let quarantine = "settings.max-size = 100_000\nsettings.too-large = \"quarantine\"\n";
    let server = start(&clamd, quarantine);
    let mut client = server.login();
    refused(&server, &mut client, "large", &large, why);
    eventually("all of it is kept", || server.files_with(&large).len() == 1);

    let accept = "settings.max-size = 100_000\nsettings.too-large = \"accept\"\n";
    let server = start(&clamd, accept);
    let mut client = server.login();
    published(&server, &mut client, "large", &large);
    refused(
        &server,
        &mut client,
        "infected",
        &infected,
        "Tests.ByContent",
    );

    let keep = "settings.action = \"quarantine\"\n";
    let server = start(&clamd, keep);
    let mut client = server.login();
    refused(
        &server,
        &mut client,
        "infected",
        &infected,
        "Tests.ByContent",
    );
    let kept = || server.files_with(&infected);
    eventually("it is kept aside", || kept().len() == 1);
    assert!(!kept()[0].starts_with(server.state().join("files")));
}

#[test]
fn while_clamd_is_down_nothing_is_lost() {
    if !there() {
        return;
    }
    let mut clamd = Clamd::start();
    let mut server = start(&clamd, "");
    let mut client = server.login();
    published(&server, &mut client, "before", b"content");
    clamd.end();

    let bytes = content(400_000, 11);
    client.store("STOR file", &bytes).expect(451);
    assert!(!server.home().join("file").exists());
    server.wait_for_line(|line| line.contains("a plugin failed") && line.contains("unavailable"));
    let clamav = status(&server);
    assert_eq!(clamav["faults"], 1, "{clamav}");
    let last = clamav["last-fault"].as_str().unwrap();
    assert!(last.starts_with("unavailable: clamd: 127.0.0.1:"), "{last}");

    assert!(clamd.revive(), "clamd starts again at its port");
    let there = size(&mut client, "file");
    assert!(there <= bytes.len());
    resumed(&mut client, "file", &bytes, there).expect(226);
    assert!(fs::read(server.home().join("file")).unwrap() == bytes);

    // It ends while a file comes.
    let mut data = client.begin("STOR half");
    data.send(&bytes[..300_000]).unwrap();
    clamd.end();
    let _ = data.send(&bytes[300_000..]);
    let _ = data.finish();
    client.reply().expect(451);
    assert!(!server.home().join("half").exists());
    assert!(clamd.revive());
    let there = size(&mut client, "half");
    resumed(&mut client, "half", &bytes, there).expect(226);
    assert!(fs::read(server.home().join("half")).unwrap() == bytes);
    // The scanner sees it from its first byte, also what came while it was down.
    clamd.end();
    let infected = [&content(1000, 12), BAD, &bytes].concat();
    client.store("STOR infected", &infected).expect(451);
    assert!(clamd.revive());
    let there = size(&mut client, "infected");
    let reply = resumed(&mut client, "infected", &infected, there);
    reply.expect(550).saying("Tests.ByContent");
}

/// It takes the connection, and everything else, and says nothing.
#[test]
fn a_scanner_that_is_silent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || std::io::copy(&mut stream.by_ref(), &mut std::io::sink()));
        }
    });
    let mut server = setup_at(port, "settings.timeout = 1\n").start();
    let mut client = server.login();
    client.store("STOR file", b"content").expect(451);
    server.wait_for_line(|line| line.contains("unavailable") && line.contains("timed out"));
    // All but the last byte is told to be there: else the client would send nothing.
    client.send("SIZE file").expect(213).saying("6");
    // Where the plugin would wait for longer than it may, the server does not.
    let lines = "settings.timeout = 60\n[plugin.limits]\nwall-time = \"500ms\"\n";
    let mut server = setup_at(port, lines).start();
    let mut client = server.login();
    client.store("STOR file", b"content").expect(451);
    server.wait_for_line(|line| line.contains("late"));
    client.send("NOOP").expect(200);
}

#[test]
fn an_address_that_was_not_granted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut server = Setup::new()
        .users_plugin()
        .plugin(
            "clamav",
            "builtin:upload-clamav",
            &format!("settings.address = \"127.0.0.1:{port}\"\ngrants.tcp = [\"127.0.0.1:1\"]\n"),
        )
        .start();
    let mut client = server.login();
    client.store("STOR file", b"content").expect(451);
    server.wait_for_line(|line| line.contains("grants.tcp does not have"));
}

#[test]
fn the_next_scanner_where_one_is_down() {
    if !there() {
        return;
    }
    let clamd = Clamd::start();
    let down = crate::support::free_port();
    let (down, up) = (
        format!("127.0.0.1:{down}"),
        format!("127.0.0.1:{}", clamd.port),
    );
    let addresses = [down, up];
    let server = Setup::new()
        .users_plugin()
        .plugin(
            "clamav",
            "builtin:upload-clamav",
            &format!("settings.address = {addresses:?}\ngrants.tcp = {addresses:?}\n"),
        )
        .start();
    let mut client = server.login();
    published(&server, &mut client, "clean", b"content");
    refused(&server, &mut client, "bad", BAD, "Tests.ByContent");
}

#[test]
fn many_at_once() {
    if !there() {
        return;
    }
    // Fewer threads than uploads: the others wait for their turn.
    let more = "AlertExceedsMax yes\nMaxThreads 4\n";
    let clamd = Clamd::with(Limits { more, ..LIMITS });
    let server = start(&clamd, "[plugin.limits]\nwall-time = \"20s\"\n");
    let found = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for number in 0..12_u64 {
            let (server, found) = (&server, &found);
            scope.spawn(move || {
                let mut client = server.login();
                for round in 0..4 {
                    let name = format!("{number}-{round}");
                    let clean = content(200_000, number * 10 + round);
                    if (number + round) % 2 == 0 {
                        published(server, &mut client, &name, &clean);
                    } else {
                        let bytes = [&clean, BAD, &clean].concat();
                        refused(server, &mut client, &name, &bytes, "Tests.ByContent");
                        found.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(found.into_inner(), 24);
    assert_eq!(fs::read_dir(server.home()).unwrap().count(), 24);
    assert_eq!(status(&server)["faults"], 0);
}

/// It says "size limit exceeded" while it is still sent to, and reads no more of it.
#[test]
fn regression_clamd_is_heard_while_it_does_not_read() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for scanner in listener.incoming() {
            let mut scanner = scanner.unwrap();
            let mut begun = [0; 1000];
            scanner.read_exact(&mut begun).unwrap();
            let said = b"INSTREAM size limit exceeded. ERROR\0";
            std::io::Write::write_all(&mut scanner, said).unwrap();
            open.push(scanner);
        }
    });
    let more = "settings.timeout = \"5m\"\nsettings.max-size = \"60MiB\"\n";
    let mut server = setup_at(port, more).start();
    let mut client = server.login();
    // More than the network holds.
    let reply = client.store("STOR large", &content(48 << 20, 3));
    reply.expect_one_of(&[451, 426]);
    server.wait_for_line(|line| line.contains("StreamMaxLength"));
}
