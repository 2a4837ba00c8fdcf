//! basic-ftp for Node, which begins TLS as soon as it is connected, and ends an empty file as soon as
//! its cipher is known: in TLS 1.3 that is before its handshake is done.

use std::{path::Path, process::Command};

use crate::{
    expect,
    support::{Server, Setup, USER, Version, program, tls::VERSIONS},
};

#[test]
fn empty_files_arrive() {
    let modules = program::clients().join("node_modules");
    if !modules.join("basic-ftp").exists() || !program::installed("node") {
        program::works("basic-ftp", &mut Command::new("false"));
        return;
    }
    for mode in ["require", "prefer"] {
        for version in VERSIONS {
            let server: Server = Setup::new()
                .set("tls.close-notify", &format!("{mode:?}"))
                .start();
            let script =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/basic_ftp_session.mjs");
            let mut command = Command::new("node");
            command
                .arg(script)
                .arg(&modules)
                .arg(server.address.port().to_string())
                .arg(match version {
                    Version::V12 => "TLSv1.2",
                    Version::V13 => "TLSv1.3",
                })
                .args([USER, USER, "50"]);
            expect(&mut command);
            let stored = std::fs::read(server.home().join("file")).unwrap();
            assert!(stored == vec![b'x'; 300_000]);
        }
    }
}
