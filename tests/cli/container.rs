//! The file system of a container, run without a container's engine.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, geteuid, kill_process_group};
use tempfile::TempDir;

use crate::support::{Client, Tls, server::walk};

/// As `nonroot` in other images.
const USER: u32 = 65532;

fn packaging(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("packaging/container")
        .join(name)
}

#[test]
fn it_has_no_shell_and_no_root_and_serves() {
    if !geteuid().is_root() {
        assert!(std::env::var("CI").is_err(), "root is missing");
        eprintln!("LEFT OUT: another root directory takes root");
        return;
    }
    let directory = TempDir::new().unwrap();
    let all = directory.path().join("rootfs");
    let made = Command::new(packaging("rootfs"))
        .arg(env!("CARGO_BIN_EXE_portcullis"))
        .arg(&all)
        .status();
    assert!(made.unwrap().success());
    let (root, state) = (all.join("system"), all.join("state"));
    let mut programs = Vec::new();
    walk(&root, &mut |path| {
        let facts = fs::metadata(path).unwrap();
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
        assert_eq!((facts.uid(), facts.mode() & 0o7022), (0, 0), "{name}");
        if facts.permissions().mode() & 0o111 != 0 && !name.contains(".so") {
            programs.push(name.to_owned());
        }
    });
    assert_eq!(programs, ["usr/bin/portcullis"]);
    // As the build of the image does, and a volume.
    fs::create_dir(root.join("var/lib/portcullis")).unwrap();
    std::os::unix::fs::chown(&state, Some(USER), Some(USER)).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child"]);
    command.arg("sh").arg("-c");
    command.arg(
        "mount --bind \"$1\" \"$2/var/lib/portcullis\" && mount -t proc proc \"$2/proc\" && \
         mount --bind /dev \"$2/dev\" && \
         exec chroot --userspec=65532:65532 \"$2\" /usr/bin/portcullis serve \
         --config /etc/portcullis/config.toml --set 'server.listen=[\"127.0.0.1:0\"]' \
         --set 'server.listen-implicit=[]' --set 'data.passive-ports=\"0-0\"'",
    );
    command.arg("sh").arg(&state).arg(&root);
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    let mut child = child.unwrap();
    let (mut address, mut password) = (None, None);
    let mut seen = String::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["explicit", "FTPS", url] => address = url.strip_prefix("ftp://").map(str::to_owned),
            ["password", text] => password = Some(text.to_owned()),
            _ => {}
        }
        seen.push_str(&line);
        if line.contains("curl ") {
            break;
        }
    }
    let (Some(address), Some(password)) = (address, password) else {
        panic!("it does not start: {seen}");
    };
    let mut client = Client::connect(address.parse().unwrap());
    client.auth_tls(&Tls::new());
    client.send("USER portcullis").expect(331);
    client.send(&format!("PASS {password}")).expect(230);
    client.send("PBSZ 0").expect(200);
    client.send("PROT P").expect(200);
    client.store("STOR file", b"content").expect(226);
    let file = state.join("files/portcullis/file");
    assert_eq!(fs::read(&file).unwrap(), b"content");
    assert_eq!(fs::metadata(&file).unwrap().uid(), USER);
    // The server has shed the signal that it would get with the end of its parent.
    kill_process_group(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
}
