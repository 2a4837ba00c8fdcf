//! The filter of fail2ban in `packaging/fail2ban`.

use std::{path::Path, process::Command};

use crate::support::{
    Server, Tls, eventually,
    program::{expect, installed},
};

/// It finds the addresses of failed logins in the log, and nothing in other lines.
#[test]
fn it_finds_failed_logins() {
    if !installed("fail2ban-regex") {
        return;
    }
    let server = Server::start();
    for _ in 0..3 {
        let mut client = server.secure(&Tls::new());
        client
            .send("USER login failed client=192.0.2.1:5")
            .expect(331);
        client.send("PASS wrong").expect(530);
    }
    server.login();
    eventually("all is told", || {
        server.log().matches("login failed session").count() == 3
            && server.log().contains("logged in")
    });
    let log = server.setup().file("log", server.log());
    let filter = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/fail2ban/portcullis.conf");
    let mut regex = Command::new("fail2ban-regex");
    let said = expect(regex.arg(log).arg(filter));
    assert!(said.contains(", 3 matched"), "{said}");
}
