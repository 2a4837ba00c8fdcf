//! The parts of the server that keep something of users: each host's is its own.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
};

use rcgen::{CertificateParams, DnType, KeyPair};

use crate::{
    HOST, at, login,
    support::{Server, Setup, Tls, USER, eicar, eventually},
    with_users,
};

/// Logs in with a wrong password three times.
fn guess(server: &Server, host: &str) {
    for _ in 0..3 {
        let mut client = server.secure(&Tls::new().host(host));
        assert_eq!(login(&mut client, USER, "wrong"), 530);
    }
}

fn lets_in(server: &Server, host: &str) -> bool {
    login(&mut at(server, host), USER, USER) == 230
}

#[test]
fn failures_are_counted_at_each_host_also_by_plugins_of_the_top_level() {
    let setup = Setup::new()
        .plugin(
            "lockout",
            "builtin:lockout",
            "settings.max-failures-per-user = 3\n",
        )
        .users_plugin()
        .set("state.file", "'state.redb'")
        .tables(&format!("[[host]]\nname = {HOST:?}\n"));
    let server = setup.start();
    guess(&server, HOST);
    assert!(!lets_in(&server, HOST));
    assert!(
        lets_in(&server, "localhost"),
        "the same name elsewhere is somebody else's"
    );
    let (_, said) = server.setup().run(&["locks"]);
    assert!(said.contains(&format!("lockout@{HOST}")), "{said}");
    let (_, said) = server.setup().run(&["state", "list"]);
    assert!(
        said.contains(&format!("lockout@{HOST}")) && said.contains("lockout "),
        "{said}"
    );

    // It outlives the server under the host's name.
    let server = server.restart(|| {});
    assert!(!lets_in(&server, HOST) && lets_in(&server, "localhost"));
    guess(&server, "localhost");
    assert!(!lets_in(&server, "localhost"));
    let (status, said) = server.setup().run(&["unlock", USER, "--host", HOST]);
    assert_eq!(status, 0, "{said}");
    assert!(lets_in(&server, HOST) && !lets_in(&server, "localhost"));
}

#[test]
fn quarantine_tells_the_host_and_gives_back_to_it() {
    let text = format!(
        "[[host]]\nname = {HOST:?}\nstorage.default.root = 'files-of-host'\n\
         [[host.plugin]]\nname = 'users'\ncomponent = 'builtin:users'\n\
         settings.users = {{ file = 'users-of-host.toml' }}\n\
         [[host.plugin]]\nname = 'guard'\ncomponent = 'builtin:upload-guard'\n\
         settings = {{ eicar = true, action = 'quarantine' }}\n"
    );
    let setup = Setup::new().tables(&text);
    with_users(&setup, &[(USER, USER)]);
    let server = setup.start();
    let mut client = server.login_as(USER, &Tls::new().host(HOST));
    client.store("STOR found", &eicar()).expect(550);
    let (_, said) = server.setup().run(&["quarantine", "list"]);
    let whose = format!("of {USER}@{HOST}, storage default@{HOST}");
    assert!(said.contains(&whose), "{said}");
    let (_, json) = server.setup().run(&["quarantine", "list", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["host"], HOST, "{json}");
    let (status, said) =
        server
            .setup()
            .run(&["quarantine", "release", json[0]["id"].as_str().unwrap()]);
    assert_eq!(status, 0, "{said}");
    let released = server.state().join("files-of-host/alice/found");
    assert_eq!(fs::read(released).unwrap(), eicar());
    assert!(!server.home().join("found").exists());
}

#[test]
fn an_upload_that_was_cut_waits_for_the_user_of_its_host() {
    let server = crate::Two::new("").setup.start();
    let mut there = crate::inside(&server, USER);
    let mut data = there.begin("STOR part");
    data.send(&[b'x'; 4000]).unwrap();
    data.cut();
    there.reply().expect(426);
    drop(there);
    // Over a restart, too.
    let server = server.restart(|| {});
    let (_, status) = server.setup().run(&["status"]);
    assert!(
        status.contains(&format!(
            "/alice/part of alice@{HOST}, storage default@{HOST}: 4000 bytes"
        )),
        "{status}"
    );
    server.login().send("SIZE part").expect(550);
    let mut there = crate::inside(&server, USER);
    there.send("SIZE part").expect(213).saying("4000");
    there.send("REST 4000").expect(350);
    there.store("STOR part", b"end").expect(226);
    assert_eq!(there.retrieve("RETR part").len(), 4003);
}

#[test]
fn a_certificate_that_ends_soon_is_told_by_its_hosts_key() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "ends soon");
    params.not_after =
        (std::time::SystemTime::now() + std::time::Duration::from_secs(5 * 86_400)).into();
    let certificate = params.self_signed(&key).unwrap();
    let setup = Setup::new().set("metrics.listen", "'127.0.0.1:0'");
    let (pem, key) = (
        setup.file("soon.pem", certificate.pem()),
        setup.file("soon.key", key.serialize_pem()),
    );
    let text =
        format!("[[host]]\nname = {HOST:?}\n[host.tls]\ncertificate = {pem:?}\nkey = {key:?}\n");
    let setup = setup.tables(&text);
    let (status, said) = setup.run(&["check"]);
    assert_eq!(status, 0, "{said}");
    assert!(
        said.contains("config.toml:4: host[0].tls.certificate: ")
            && said.contains("CN=ends soon expires on"),
        "{said}"
    );
    assert!(!said.contains("no certificate is for"), "{said}");

    let mut server = setup.start();
    server.wait_for_line(|line| line.contains("host[0].tls.certificate"));
    let line = server.wait_for_line(|line| line.contains("metrics at"));
    let address = line
        .split("address=")
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    let mut metrics = TcpStream::connect(address).unwrap();
    metrics
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    metrics.read_to_string(&mut text).unwrap();
    for line in [
        "certificate_expiry_time_seconds{key=\"host[0].tls.certificate\",subject=\"CN=ends soon\"}",
        &format!("plugin_healthy{{plugin=\"users@{HOST}\"}} 1"),
        "plugin_healthy{plugin=\"users\"} 1",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn the_file_of_users_of_a_host_is_not_made_by_the_start() {
    let setup = Setup::new().tables(&crate::host("", ""));
    let (status, said) = setup.run(&["check"]);
    assert_eq!(status, 2, "{said}");
    assert!(
        said.contains("host[0].plugin[0].settings") && said.contains("users-of-host.toml"),
        "{said}"
    );
    let mut command = setup.command(&["user", "add", "bob", "--host", HOST, "--password-stdin"]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"of files\n")
        .unwrap();
    assert!(child.wait().unwrap().success());
    let server = setup.start();
    eventually("bob may log in", || {
        login(&mut at(&server, HOST), "bob", "of files") == 230
    });
}
