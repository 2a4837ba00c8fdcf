//! aioftp, which begins TLS on the data connection before it sends the command, and sends the command
//! when the handshake is done.

use std::{path::Path, process::Command};

use crate::{
    expect,
    support::{Server, USER, Version, program, tls::VERSIONS},
};

#[test]
fn it_shakes_hands_before_the_command() {
    let python = program::clients().join("python/bin/python");
    if !program::works(
        "aioftp",
        Command::new(&python).args(["-c", "import aioftp"]),
    ) {
        return;
    }
    for version in VERSIONS {
        let server = Server::start();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/aioftp_session.py");
        let mut command = Command::new(&python);
        command
            .arg(script)
            .arg(server.address.port().to_string())
            .arg(server.certificate())
            .arg(match version {
                Version::V12 => "1.2",
                Version::V13 => "1.3",
            })
            .args([USER, USER]);
        expect(&mut command);
        let stored = std::fs::read(server.home().join("file300000")).unwrap();
        assert!(stored == vec![b'x'; 300_000]);
    }
}
