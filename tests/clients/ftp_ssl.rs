//! Debian's ftp-ssl, which never sends close_notify.

use std::{fs, process::Command};

use tempfile::TempDir;

use crate::support::{Server, Setup, USER, content, program};

fn session(server: &Server, local: &TempDir, commands: &str) -> String {
    let port = server.address.port();
    let script = format!("open 127.0.0.1 {port}\nuser {USER} {USER}\nbinary\n{commands}quit\n");
    let file = local.path().join("script");
    fs::write(&file, script).unwrap();
    let mut command = Command::new("ftp-ssl");
    command
        .args(["-n", "-v", "-p", "-z", "secure", "-z", "verify=0"])
        .current_dir(local.path())
        .stdin(fs::File::open(file).unwrap());
    program::run_reading(&mut command).1
}

fn there() -> bool {
    let found = Command::new("sh")
        .args(["-c", "command -v ftp-ssl"])
        .output();
    let found = found.is_ok_and(|output| output.status.success());
    let status = if found { "true" } else { "false" };
    program::works("ftp-ssl", &mut Command::new(status))
}

#[test]
fn uploads_that_end_without_close_notify() {
    if !there() {
        return;
    }
    let server = Server::start();
    let local = TempDir::new().unwrap();
    let bytes = content(300_000, 4);
    fs::write(local.path().join("file"), &bytes).unwrap();
    fs::write(local.path().join("empty"), "").unwrap();
    let commands = "put file\nput empty\nls\nget file back\nput file again\n";
    let said = session(&server, &local, commands);
    for name in ["file", "again"] {
        let stored = fs::read(server.home().join(name)).unwrap_or_default();
        assert!(stored == bytes, "{name}: {said}");
    }
    assert_eq!(fs::read(server.home().join("empty")).unwrap(), b"");
    assert!(fs::read(local.path().join("back")).unwrap() == bytes);
    assert!(said.contains("without TLS close_notify"), "{said}");
}

#[test]
fn where_close_notify_is_required_it_hears_why_not() {
    if !there() {
        return;
    }
    let server = Setup::new().set("tls.close-notify", "\"require\"").start();
    let local = TempDir::new().unwrap();
    fs::write(local.path().join("file"), "content").unwrap();
    let said = session(&server, &local, "put file\n");
    assert!(
        said.contains("426") && said.contains("tls.close-notify"),
        "{said}"
    );
    assert!(!server.home().join("file").exists());
}
