//! Ruby's Net::FTP, which keeps the newest session that OpenSSL tells it of, and resumes that.

use std::{path::Path, process::Command};

use crate::{
    expect, installed,
    support::{Server, Setup, USER},
};

fn everything(server: &Server, version: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/net_ftp_session.rb");
    let mut command = Command::new("ruby");
    command
        .arg(script)
        .arg(server.address.port().to_string())
        .arg(server.certificate())
        .args([version, USER, USER]);
    expect(&mut command);
}

#[test]
fn in_both_versions() {
    if !installed("ruby") {
        return;
    }
    for version in ["1.2", "1.3"] {
        everything(&Server::start(), version);
    }
}

/// In TLS 1.3 OpenSSL keeps one ticket and uses it once: an upload brings no other.
#[test]
fn in_tls_1_2_where_resumption_is_required() {
    if !installed("ruby") {
        return;
    }
    let server = Setup::new().set("tls.data-binding", "\"require\"").start();
    everything(&server, "1.2");
}
