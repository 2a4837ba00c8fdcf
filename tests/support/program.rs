//! Clients that are programs of their own.

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Whether a client is there. Where CI runs it must be; elsewhere the test is left out, and says so.
pub fn installed(program: &str) -> bool {
    // OpenSSL 3.0 knows no option before a command.
    let version = if program == "openssl" {
        "version"
    } else {
        "--version"
    };
    works(program, Command::new(program).arg(version))
}

/// The same of one that has no `--version`, or is a library: whether a command succeeds that needs it.
pub fn works(program: &str, command: &mut Command) -> bool {
    let found = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        assert!(
            std::env::var("CI").is_err(),
            "{program} is not installed; tests/setup installs it"
        );
        eprintln!("LEFT OUT: {program} is not installed; tests/setup installs it");
    }
    found
}

/// Where `tests/setup` puts the clients that come from the registries of Python and Node.
pub fn clients() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    target.join("toolchains/clients")
}

/// Runs a client to its end: whether it succeeded, and what it said.
pub fn run(command: &mut Command) -> (bool, String) {
    command.stdin(Stdio::null());
    run_reading(command)
}

/// The same of a client that reads its commands from a file.
pub fn run_reading(command: &mut Command) -> (bool, String) {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env("LC_ALL", "C.UTF-8");
    let mut child = command.spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut errors = child.stderr.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = errors.read_to_end(&mut bytes);
        bytes
    });
    let watch = std::thread::spawn(move || {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            match child.try_wait().unwrap() {
                Some(status) => return status.success(),
                None if Instant::now() > deadline => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return false;
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    });
    let mut said = Vec::new();
    let _ = output.read_to_end(&mut said);
    said.extend(reader.join().unwrap());
    (
        watch.join().unwrap(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// Runs a client that must succeed, and returns what it said.
#[track_caller]
pub fn expect(command: &mut Command) -> String {
    let (success, said) = run(command);
    assert!(success, "{command:?}\n{said}");
    said
}
