//! Which host serves a session, and what it has of its own.

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{
    HOST, Two, at, host, inside, login,
    support::{
        Authority, Client, Setup, Tls, USER, Version, content, eventually,
        program::{installed, run},
        server::entry,
    },
    with_users,
};

#[test]
fn the_server_name_chooses_certificate_greeting_and_users() {
    let two = Two::new("");
    let server = two.setup.start();
    for name in [HOST, "alias.example"] {
        let mut client = Client::dial(server.implicit);
        client.handshake(&Tls::new().host(name)).unwrap();
        client.reply().expect(220).saying("Files of all kinds");
        assert_eq!(login(&mut client, "bob", "of files"), 230);
        let shown = client.connection().peer_certificates().unwrap()[0].to_vec();
        assert_eq!(shown, two.certificate.certificate.to_vec(), "{name}");
    }
    let mut client = at(&server, HOST);
    assert_eq!(login(&mut client, "bob", "of files"), 230);

    for name in ["localhost", "nobody.example", "127.0.0.1"] {
        let mut client = at(&server, name);
        let shown = client.connection().peer_certificates().unwrap()[0].to_vec();
        assert_ne!(shown, two.certificate.certificate.to_vec(), "{name}");
        assert_eq!(login(&mut client, "bob", "of files"), 530, "{name}");
        assert_eq!(login(&mut client, USER, USER), 230, "{name}");
    }
}

#[test]
fn curl_comes_to_the_host_of_its_url() {
    if !installed("curl") {
        return;
    }
    let two = Two::new("");
    let server = two.setup.start();
    fs::write(server.home().join("file"), "here").unwrap();
    let files = server.state().join("files-of-host/alice");
    fs::create_dir_all(&files).unwrap();
    fs::write(files.join("file"), "there").unwrap();
    for (scheme, address) in [("ftp", server.address), ("ftps", server.implicit)] {
        let port = address.port();
        let get = |name: &str, authority: &Path, password: &str| {
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--show-error", "--disable", "--max-time", "60"]);
            curl.args([
                "--ssl-reqd",
                "--resolve",
                &format!("{name}:{port}:127.0.0.1"),
            ]);
            curl.arg("--cacert").arg(authority);
            curl.args(["--user", &format!("alice:{password}")]);
            curl.arg(format!("{scheme}://{name}:{port}/file"));
            run(&mut curl)
        };
        // It verifies the name, too.
        let there = get(HOST, &two.authority, "of files");
        assert_eq!(there, (true, "there".to_owned()), "{scheme}");
        let here = get("localhost", &server.certificate(), USER);
        assert_eq!(here, (true, "here".to_owned()), "{scheme}");
        assert!(!get("localhost", &server.certificate(), "of files").0);
    }
}

#[test]
fn host_chooses_before_the_login_alone() {
    let server = Two::new("").setup.start();
    let mut client = server.connect();
    client
        .send("HOST FILES.example")
        .expect(220)
        .saying("Files of all kinds");
    // The handshake names no host (it is an address), and HOST holds.
    client.auth_tls(&Tls::new().host("127.0.0.1"));
    assert_eq!(login(&mut client, "bob", "of files"), 230);
    client.send("HOST localhost").expect(503);

    // Behind a handshake for another host it is too late: the certificate was another one.
    let mut client = at(&server, "localhost");
    client.send(&format!("HOST {HOST}")).expect(504);
    assert_eq!(login(&mut client, "bob", "of files"), 530);
}

#[test]
fn users_of_one_host_are_strangers_at_the_other() {
    let server = Two::new("").setup.user("carol", "").start();
    let mut there = at(&server, HOST);
    assert_eq!(login(&mut there, "carol", "carol"), 530);
    assert_eq!(
        login(&mut there, USER, USER),
        530,
        "alice's password is another one"
    );
    assert_eq!(login(&mut there, USER, "of files"), 230);
    let mut here = server.secure(&Tls::new());
    assert_eq!(login(&mut here, USER, "of files"), 530);
    assert_eq!(login(&mut here, "bob", "of files"), 530);
    assert_eq!(login(&mut here, USER, USER), 230);
}

#[test]
fn users_of_one_name_have_separate_homes_and_uploads() {
    let server = Two::new("").setup.start();
    let (mut here, mut there) = (server.login(), inside(&server, USER));
    here.store("STOR file", b"here").expect(226);
    there.send("SIZE file").expect(550);
    there.store("STOR file", b"there, and longer").expect(226);
    assert_eq!(here.retrieve("RETR file"), b"here");
    let files = server.state().join("files-of-host");
    assert_eq!(
        fs::read(files.join("alice/file")).unwrap(),
        b"there, and longer"
    );
    assert_eq!(fs::read(server.home().join("file")).unwrap(), b"here");

    // An upload breaks here; the other alice neither sees it nor goes on with it.
    let mut data = here.begin("STOR part");
    data.send(&[b'x'; 4000]).unwrap();
    data.cut();
    here.reply().expect(426);
    here.send("SIZE part").expect(213);
    there.send("SIZE part").expect(550);
    let mut data = there.begin("STOR part");
    data.send(b"whole").unwrap();
    data.finish().unwrap();
    there.reply().expect(226);
    assert_eq!(there.retrieve("RETR part"), b"whole");
    here.send("SIZE part").expect(213);
    let (status, said) = server.setup().run(&["status"]);
    assert_eq!(status, 0, "{said}");
    assert!(
        said.contains("/alice/part of alice, storage default"),
        "{said}"
    );
}

#[test]
fn a_host_has_plugins_of_its_own() {
    let server = Two::new("").setup.start();
    let (mut here, mut there) = (server.login(), inside(&server, USER));
    for client in [&mut here, &mut there] {
        client.store("STOR file", b"content").expect(226);
    }
    there
        .send("DELE file")
        .expect(550)
        .saying("Nothing goes here");
    here.send("DELE file").expect(250);
}

#[test]
fn a_host_has_limits_of_its_own_and_for_all_its_sessions() {
    let limits = "limits = { sessions-per-user = 2, sessions = 3, upload-size = 10 }";
    let server = Two::new(limits).setup.start();
    let mut first = inside(&server, USER);
    let second = inside(&server, USER);
    let mut third = at(&server, HOST);
    assert_eq!(login(&mut third, USER, "of files"), 421);
    let _of_bob = inside(&server, "bob");
    let mut fourth = at(&server, HOST);
    assert_eq!(login(&mut fourth, "bob", "of files"), 421);
    drop(second);
    eventually("a place is free", || {
        login(&mut at(&server, HOST), "bob", "of files") == 230
    });
    let reply = first.store("STOR file", b"more than ten bytes");
    reply.expect(552);
    // None of it holds elsewhere.
    let mut others: Vec<_> = (0..4).map(|_| server.login()).collect();
    others[0]
        .store("STOR file", b"more than ten bytes")
        .expect(226);
}

/// Of two users of the host, and of nobody else.
#[test]
fn the_rate_of_a_host_is_shared_by_all_its_sessions() {
    let server = Two::new("limits.total-download-rate = '256KiB'")
        .setup
        .start();
    let bytes = content(256 << 10, 1);
    for user in [USER, "bob"] {
        inside(&server, user).store("STOR file", &bytes).expect(226);
    }
    let begun = Instant::now();
    thread::scope(|scope| {
        for user in [USER, "bob", "bob"] {
            let server = &server;
            scope.spawn(move || {
                let taken = inside(server, user).retrieve("RETR file");
                assert_eq!(taken.len(), 256 << 10);
            });
        }
    });
    let taken = begun.elapsed();
    assert!(
        taken > Duration::from_millis(1500),
        "{taken:?} for 768 KiB at 256 KiB/s"
    );
    // That would take more than a minute there.
    let large = fs::File::create(server.home().join("large")).unwrap();
    large.set_len(16 << 20).unwrap();
    let begun = Instant::now();
    assert_eq!(server.login().retrieve("RETR large").len(), 16 << 20);
    let taken = begun.elapsed();
    assert!(taken < Duration::from_secs(40), "16 MiB took {taken:?}");
}

#[test]
fn a_policy_of_certificates_and_versions_is_one_hosts() {
    let clients = Authority::new();
    let own = clients.client("bob");
    let two = Two::new("");
    let authority = two.setup.file("clients.pem", &clients.pem);
    let (pem, key) = (
        two.setup.file("f.pem", &two.certificate.certificate_pem),
        two.setup.file("f.key", &two.certificate.key_pem),
    );
    let tls = format!(
        "tls = {{ certificate = {pem:?}, key = {key:?}, client-certificates = 'required', \
         client-authorities = {authority:?}, minimum-version = '1.3' }}\n"
    );
    let setup = Setup::new().tables(&host("", &tls));
    with_users(&setup, &[]);
    let users = entry(
        "bob",
        &format!("certificates = [\"sha256:{}\"]\n", own.fingerprint()),
    );
    fs::write(setup.state().join("users-of-host.toml"), users).unwrap();
    let server = setup.start();

    let with = Tls::certificate(Version::V13, &own);
    let mut client = server.secure(&with.host(HOST));
    client.send("USER bob").expect(232);
    // Without a certificate, or with an older version, there is no session at that host ...
    for tls in [Tls::new(), Tls::certificate(Version::V12, &own)] {
        let mut client = server.connect();
        client.send("AUTH TLS").expect(234);
        let shaken = client.handshake(&tls.host(HOST));
        assert!(shaken.is_err() || client.try_reply().is_err());
    }
    // ... not by HOST either, and the other one asks for nothing.
    let mut client = server.secure(&Tls::new().host("127.0.0.1"));
    client.send(&format!("HOST {HOST}")).expect(504);
    assert_eq!(login(&mut client, USER, USER), 230);
    let mut client = server.secure(&Tls::version(Version::V12));
    assert_eq!(login(&mut client, USER, USER), 230);
    // A certificate that was shown for one host is none at another.
    let mut client = server.secure(&with);
    assert_eq!(client.send("USER bob").code, 331);
}

#[test]
fn a_host_that_says_nothing_is_the_top_level_by_another_name() {
    let setup = Setup::new().tables("[[host]]\nname = 'plain.example'\n");
    let server = setup.start();
    let mut there = at(&server, "plain.example");
    assert_eq!(login(&mut there, USER, USER), 230);
    for command in ["PBSZ 0", "PROT P", "TYPE I"] {
        there.send(command).expect(200);
    }
    there.store("STOR file", b"content").expect(226);
    assert_eq!(server.login().retrieve("RETR file"), b"content");
}
