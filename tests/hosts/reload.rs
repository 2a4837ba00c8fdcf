//! Hosts that a reload brings, changes and takes away.

use std::fs;

use rcgen::PKCS_ECDSA_P256_SHA256;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    HOST, Two, at, inside, login,
    support::{Authority, Server, Setup, USER, eventually},
};

/// Gives a running server another configuration.
fn reload(server: &mut Server, text: &str, done: &str) {
    let config = server.state().with_file_name("config.toml");
    fs::write(config, text).unwrap();
    let before = server.log().matches(done).count();
    let id = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    kill_process(id, Signal::HUP).unwrap();
    eventually("the reload is done", || {
        server.log().matches(done).count() > before
    });
}

fn configured(server: &Server) -> String {
    fs::read_to_string(server.state().with_file_name("config.toml")).unwrap()
}

#[test]
fn hosts_come_change_and_go() {
    let two = Two::new("");
    let mut server = two.setup.start();
    let with = configured(&server);
    let (mut here, mut there) = (server.login(), inside(&server, USER));
    there.store("STOR file", b"content").expect(226);

    let changed = with.replace("Files of all kinds", "Files no more");
    reload(
        &mut server,
        &changed,
        "reloaded: 2 hosts, 5 plugins, 2 storages",
    );
    let mut client = server.connect();
    client
        .send(&format!("HOST {HOST}"))
        .expect(220)
        .saying("no more");
    there.send("NOOP").expect(200);

    // It is gone: its sessions end, and its name is nobody's.
    reload(&mut server, "", "reloaded: 3 plugins, 1 storage");
    there.reply().expect(421).saying("This account has changed");
    server.wait_for_line(|line| line.contains("the host is not served any more"));
    let mut client = at(&server, HOST);
    assert_eq!(login(&mut client, "bob", "of files"), 530);
    assert_eq!(
        login(&mut client, USER, USER),
        230,
        "the default host answers"
    );
    here.send("NOOP").expect(200);

    // It comes back, with what it had.
    reload(
        &mut server,
        &with,
        "reloaded: 2 hosts, 5 plugins, 2 storages",
    );
    assert_eq!(inside(&server, USER).retrieve("RETR file"), b"content");
    here.send("NOOP").expect(200);
}

#[test]
fn a_session_that_is_not_logged_in_yet_does_not_come_to_a_host_that_is_gone() {
    let mut server = Two::new("").setup.start();
    let mut client = at(&server, HOST);
    client.send("USER bob").expect(331);
    reload(&mut server, "", "reloaded: 3 plugins");
    client.send("PASS of files").expect(421);
}

#[test]
fn a_host_that_fails_leaves_all_as_it_was() {
    let mut server = Two::new("").setup.start();
    let broken = configured(&server).replace("files.key", "nowhere.key");
    reload(
        &mut server,
        &broken,
        "the reload failed, and all stays as it was",
    );
    let line = server.wait_for_line(|line| line.contains("nowhere.key"));
    assert!(line.contains("config.toml:5: host[0].tls.key: "), "{line}");
    inside(&server, "bob").send("NOOP").expect(200);
}

#[test]
fn a_host_beyond_the_walls_takes_a_restart() {
    let mut server = Setup::new().start();
    let elsewhere = tempfile::tempdir().unwrap();
    let text = format!(
        "[[host]]\nname = {HOST:?}\nstorage.default.root = {:?}\n",
        elsewhere.path().join("files")
    );
    reload(&mut server, &text, "the reload failed");
    let line = server.wait_for_line(|line| line.contains("restart the server"));
    assert!(
        line.contains("config.toml:3: host[0].storage.default.root: "),
        "{line}"
    );
}

#[test]
fn a_renewed_certificate_of_a_host_takes_effect_without_a_reload() {
    let two = Two::new("");
    let server = two.setup.start();
    let shown = || {
        let client = at(&server, HOST);
        client.connection().peer_certificates().unwrap()[0].to_vec()
    };
    assert_eq!(shown(), two.certificate.certificate.to_vec());
    let renewed = Authority::new().server(HOST, &PKCS_ECDSA_P256_SHA256);
    server.setup().file("files.pem", &renewed.certificate_pem);
    server.setup().file("files.key", &renewed.key_pem);
    eventually("the new one is shown", || {
        shown() == renewed.certificate.to_vec()
    });
    inside(&server, "bob").send("NOOP").expect(200);
}
