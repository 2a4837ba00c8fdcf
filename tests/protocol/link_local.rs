//! Clients whose address is link-local, which names nobody without its scope.

use std::process::Command;

use crate::support::{Setup, program::run};

/// A network of the test's own, in which the loopback interface has a link-local address.
const NETWORK: &str = r#"
    ip link set lo up && ip -6 addr add fe80::7/64 dev lo nodad && exec "$@"
"#;

#[test]
fn a_link_local_client_gets_its_data_connections() {
    let (there, said) = run(Command::new("unshare")
        .args(["--net", "--", "sh", "-c"])
        .args([NETWORK, "sh", "true"]));
    if !there {
        assert!(
            std::env::var("CI").is_err() || !rustix::process::geteuid().is_root(),
            "no network of its own: {said}"
        );
        eprintln!("LEFT OUT: no network of its own, which takes root, unshare and ip: {said}");
        return;
    }
    let itself = std::env::current_exe().unwrap();
    let (success, said) = run(Command::new("unshare")
        .args(["--net", "--", "sh", "-c", NETWORK, "sh"])
        .arg(itself)
        .args(["--ignored", "--exact", "--nocapture"])
        .arg("link_local::in_a_network_of_its_own"));
    assert!(success && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "run by a_link_local_client_gets_its_data_connections, in a network of its own"]
fn in_a_network_of_its_own() {
    let server = Setup::new()
        .set("server.allow-root", "true")
        .set("server.listen", r#"["[fe80::7%1]:0"]"#)
        .set("data.active", "true")
        .start();
    std::fs::write(server.home().join("file"), "content").unwrap();
    let mut client = server.login();
    assert_eq!(client.retrieve("RETR file"), b"content");
    client.send("EPSV 2").expect(229);
    client.store("STOR new", b"content").expect(226);
    let listener = client.eprt();
    client.send("RETR file").expect_one_of(&[125, 150]);
    let (stream, from) = listener.accept().unwrap();
    assert_eq!(from.ip(), client.local().ip());
    assert_eq!(client.protect(stream).receive(), b"content");
    client.reply().expect(226);
    let log = server.log();
    assert!(!log.contains("passive-ports"), "{log}");
}
