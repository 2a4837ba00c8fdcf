//! The first start, and those after it.

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::support::{Client, Setup, Tls};

#[test]
fn the_first_start_makes_what_it_needs() {
    let mut server = Setup::first().start();
    let curl = server.wait_for_line(|line| line.contains("curl "));
    let certificate = fs::read_to_string(server.certificate()).unwrap();
    assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"));
    let users = fs::read_to_string(server.state().join("users.toml")).unwrap();
    assert!(users.contains("$argon2id$"), "{users}");
    private(&server.state().join("users.toml"));
    // The line is meant to be pasted.
    if Command::new("curl")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok()
    {
        let line = &curl[curl.find("curl ").unwrap()..];
        let output = Command::new("sh").arg("-c").arg(line).output().unwrap();
        assert!(
            output.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    // The next start makes nothing new, and says where things are.
    let mut server = server.restart(|| {});
    assert_eq!(
        fs::read_to_string(server.certificate()).unwrap(),
        certificate
    );
    assert_eq!(
        fs::read_to_string(server.state().join("users.toml")).unwrap(),
        users
    );
    let state = server.state();
    server.wait_for_line(|line| line.contains(state.to_str().unwrap()));
}

fn private(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{path:?}: {mode:o}");
}

#[test]
fn secrets_are_private() {
    let server = Setup::first().start();
    let mut seen = 0;
    crate::support::server::walk(&server.state(), &mut |path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.contains("key") || name.contains("password") || name == "users.toml" {
            private(path);
            seen += 1;
        }
    });
    assert!(seen >= 2, "{seen}");
}

/// The daemon starts without any option, in an empty directory, with the documented file.
#[test]
fn the_documented_configuration_starts_as_it_is() {
    let place = tempfile::tempdir().unwrap();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::copy(root.join("config.toml"), place.path().join("config.toml")).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["--set", r#"server.listen=["127.0.0.1:0"]"#])
        .args(["--set", r#"server.listen-implicit=["127.0.0.1:0"]"#])
        .current_dir(place.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    let address = lines.map_while(Result::ok).find_map(|line| {
        let line = line.replace('"', "");
        let explicit = line.contains("listening") && line.contains("tls=explicit");
        let rest = line.split("address=").nth(1)?;
        explicit.then(|| rest.split_whitespace().next().unwrap().to_owned())
    });
    let address = address
        .expect("a line that says listening")
        .parse()
        .unwrap();
    let mut client = Client::connect(address);
    client.auth_tls(&Tls::new());
    client.send("FEAT").expect(211);
    let _ = child.kill();
    let _ = child.wait();
    assert!(place.path().join("var").is_dir());
}

#[test]
fn an_address_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let setup = Setup::new().set("server.listen", &format!("[{address:?}]"));
    let (status, said) = setup.run(&[]);
    assert_ne!(status, 0);
    assert!(said.contains(&address), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn logs_for_machines() {
    let setup = Setup::new().set("log.format", r#""json""#);
    let server = setup.start_with(|line| line.contains("listening"));
    let lines: Vec<String> = server
        .log()
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(Into::into)
        .collect();
    assert!(!lines.is_empty(), "{}", server.log());
    for line in lines {
        serde_json::from_str::<serde_json::Value>(&line).unwrap_or_else(|_| panic!("{line}"));
    }
}
