//! Real clients against the real server. Each lists, uploads, downloads, resumes both ways, renames,
//! deletes, and mirrors a tree, in TLS 1.2 and 1.3.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs
)]

#[path = "../support/mod.rs"]
mod support;

mod curl;
mod ftplib;
mod lftp;
mod suppaftp;

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use support::content;

/// Whether a client is there. Where CI runs it must be; elsewhere the test is left out, and says so.
fn installed(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
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

/// Runs a client to its end: whether it succeeded, and what it said.
fn run(command: &mut Command) -> (bool, String) {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
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
fn expect(command: &mut Command) -> String {
    let (success, said) = run(command);
    assert!(success, "{command:?}\n{said}");
    said
}

/// Names that break what does not quote, encode or trim with care.
const TREE: &[(&str, usize)] = &[
    ("plain.txt", 1000),
    ("empty", 0),
    ("with blanks  in it.bin", 70_000),
    ("größe ☃.txt", 10),
    ("a directory/inner file.dat", 300_000),
    ("a directory/üben/Ж/deep", 5),
    ("quote's and #hash & 100%.txt", 20),
];

/// Makes the tree below a directory.
fn make_tree(directory: &Path) {
    for (name, length) in TREE {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content(*length, *length as u64)).unwrap();
    }
}

/// All files below a directory and the digests of what they hold.
fn digests(directory: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    support::server::walk(directory, &mut |path| {
        let name = path
            .strip_prefix(directory)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let bytes = fs::read(path).unwrap();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
        found.insert(name, support::tls::hex(digest.as_ref()));
    });
    found
}

#[track_caller]
fn same(one: &Path, other: &Path) {
    assert_eq!(digests(one), digests(other));
}
