//! `check` and the start are one: they say the same of what is wrong, and `check` leaves nothing behind
//! and disturbs nobody.

use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::{Setup, content, free_port, tls::Identity};

/// All below a directory: modes, owners and content, of compiled plugins nothing.
fn snapshot(directory: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    look(directory, &mut found);
    found
}

fn look(directory: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, facts) = (entry.path(), entry.metadata().unwrap());
        if path.ends_with("cache") || path.ends_with("config.toml") {
            continue;
        }
        let mut text = format!("{:o} {} {}", facts.mode(), facts.uid(), facts.ino());
        if facts.is_dir() {
            look(&path, found);
        } else if facts.is_file() {
            let content = fs::read(&path).unwrap();
            text += &format!(" {} {content:?}", facts.len());
        }
        found.insert(path.display().to_string(), text);
    }
}

fn errors(said: &str) -> Vec<String> {
    let mut errors: Vec<String> = said
        .lines()
        .filter(|line| line.starts_with("error: "))
        .map(Into::into)
        .collect();
    // Standard error and standard output are read side by side.
    errors.sort();
    errors
}

/// `check` and the start fail with the same line, which has these words; `check` changes nothing.
#[track_caller]
fn fails_alike(setup: &Setup, key: &str, words: &[&str]) {
    // The files of the test's own set-up are no change.
    drop(setup.command(&[]));
    setup.warm_up();
    let place = setup.state();
    let place = place.parent().unwrap();
    let before = snapshot(place);
    let (status, said) = setup.run(&["check"]);
    let (checked, users) = (errors(&said), "users.toml");
    assert_eq!(status, 2, "{key}: {said}");
    assert!(!said.contains("configuration is fine"), "{said}");
    let mut after = snapshot(place);
    // The set-up writes it when a command runs.
    after.retain(|path, _| before.contains_key(path) || !path.ends_with(users));
    assert_eq!(before, after, "{key}");
    let (status, said) = setup.run(&[]);
    assert_eq!(status, 2, "{key}: {said}");
    assert_eq!(errors(&said), checked, "{key}");
    let line = checked.join("\n");
    assert!(line.contains(key), "{key}: {line}");
    for word in words {
        assert!(line.contains(word), "{key}: no {word} in {line}");
    }
    let place = ["config.toml:", "--set ", "the default"];
    assert!(place.iter().any(|word| line.contains(word)), "{line}");
}

fn quoted(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}

#[test]
fn storages_that_cannot_be_opened() {
    let setup = Setup::new();
    let file = setup.file("file", "");
    let place = file.parent().unwrap().to_owned();
    let root = |text: &str| setup_like(&setup).tables(&format!("[storage.default]\n{text}\n"));
    for (lines, key, words) in [
        (
            format!("root = {}", quoted(&place.join("no/such"))),
            "storage.default.root",
            &[
                "config.toml:2:",
                "no/such",
                "the directory above it is not there",
            ][..],
        ),
        (
            format!("root = {}", quoted(&file)),
            "storage.default.root",
            &["config.toml:2:", "it is not a directory"],
        ),
        (
            format!("\nstaging = {}", quoted(&file)),
            "storage.default.staging",
            &["config.toml:3:", "it is not a directory"],
        ),
        (
            format!("\nstaging = {}", quoted(&file.join("below"))),
            "storage.default.staging",
            &["config.toml:3:", "uploads cannot wait there"],
        ),
        (
            format!("quarantine = {}", quoted(&file)),
            "storage.default.quarantine",
            &["config.toml:2:", "it is not a directory"],
        ),
    ] {
        fails_alike(&root(&lines), key, words);
    }
    for key in ["staging", "quarantine"] {
        let open = place.join("open");
        fs::create_dir_all(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        let setup = root(&format!("{key} = {}", quoted(&open)));
        fails_alike(&setup, &format!("storage.default.{key}"), &["mode 755"]);
    }
}

/// A new set-up; the other one only lends its directory.
fn setup_like(_: &Setup) -> Setup {
    Setup::new()
}

#[test]
fn staging_on_another_file_system() {
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    let setup = Setup::new();
    let here = setup.file("file", "");
    assert_ne!(
        device(elsewhere.path()),
        device(&here),
        "no other file system"
    );
    let staging = elsewhere.path().join("staging");
    let setup = setup.tables(&format!(
        "[storage.default]\nstaging = {}",
        quoted(&staging)
    ));
    fails_alike(
        &setup,
        "storage.default.staging",
        &[
            "config.toml:2:",
            "it must be on the file system of the root",
        ],
    );
    assert!(!staging.exists());
}

#[test]
fn staging_that_another_server_has() {
    let server = Setup::new().start();
    let staging = server.state().join("staging/default");
    let root = server.state().join("files");
    let setup = Setup::new().tables(&format!(
        "[storage.default]\nroot = {}\nstaging = {}",
        quoted(&root),
        quoted(&staging)
    ));
    fails_alike(
        &setup,
        "storage.default.staging",
        &["another server is using it"],
    );
    let setup = Setup::new().set("server.state", &quoted(&server.state()));
    let (status, said) = setup.run(&["check"]);
    assert_eq!(status, 2, "{said}");
    assert!(
        said.contains("another server runs with this state directory"),
        "{said}"
    );
    assert!(said.contains(&format!("process {}", server.id())), "{said}");
    server.login();
}

#[test]
fn addresses_that_cannot_be_had() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap().to_string();
    let port = free_port();
    for (kind, list, index, words) in [
        (
            "listen",
            format!("[\"127.0.0.1:0\", {taken:?}]"),
            1,
            &[taken.as_str(), "another process has this address and port"][..],
        ),
        (
            "listen-implicit",
            format!("[{taken:?}]"),
            0,
            &[&taken, "another process has"],
        ),
        (
            "listen",
            "[\"192.0.2.1:2121\"]".to_owned(),
            0,
            &["192.0.2.1:2121", "this machine has no such address"],
        ),
        (
            "listen",
            format!("[\"0.0.0.0:{port}\", \"127.0.0.1:{port}\"]"),
            1,
            &["server.listen[0] takes it, as 0.0.0.0"],
        ),
    ] {
        let setup = Setup::new().unset(&format!("server.{kind}"));
        let setup = setup.tables(&format!("[server]\nallow-root = true\n{kind} = {list}"));
        fails_alike(&setup, &format!("server.{kind}[{index}]"), words);
    }
}

#[test]
fn state_that_cannot_be_kept() {
    let setup = Setup::new().set("state.file", "\"none/state.redb\"");
    fails_alike(&setup, "state.file", &["none/state.redb"]);
    let setup = Setup::new().set("state.file", "\"damaged.redb\"");
    fs::create_dir_all(setup.state()).unwrap();
    fs::write(setup.state().join("damaged.redb"), "this is no database").unwrap();
    fails_alike(&setup, "state.file", &["damaged.redb"]);

    let setup = Setup::new();
    fs::create_dir_all(setup.state().join("control.sock")).unwrap();
    fails_alike(&setup, "server.state", &["control.sock", "directory"]);

    let setup = Setup::new();
    let file = setup.file("file", "");
    let setup = setup.set("server.state", &quoted(&file));
    fails_alike(&setup, "server.state", &["it is not a directory"]);
    let setup = setup.set("server.state", &quoted(&file.join("below")));
    fails_alike(&setup, "server.state", &["below"]);
}

#[test]
fn certificates_that_do_not_do() {
    let (one, other) = (Identity::server("localhost"), Identity::server("localhost"));
    let setup = Setup::new();
    let certificate = setup.file("one.pem", &one.certificate_pem);
    let key = setup.file("other.key", &other.key_pem);
    let with = |certificate: &Path, key: &Path| {
        Setup::new().tables(&format!(
            "[tls]\ncertificate = {}\nkey = {}",
            quoted(certificate),
            quoted(key)
        ))
    };
    fails_alike(
        &with(&certificate, &key),
        "tls.key",
        &[
            "config.toml:3:",
            "one.pem",
            "other.key",
            "it is not the key of the certificate in",
        ],
    );
    let good = setup.file("one.key", &one.key_pem);
    let chain = setup.file(
        "chain.pem",
        format!("{}{}", other.certificate_pem, one.certificate_pem),
    );
    fails_alike(
        &with(&chain, &good),
        "tls.key",
        &["chain.pem", "certificate 2 in", "put that one first"],
    );
    let pipe = certificate.with_file_name("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    fails_alike(
        &with(&pipe, &good),
        "tls.certificate",
        &["not a regular file"],
    );
    fails_alike(
        &with(&certificate.with_file_name("none"), &good),
        "tls.certificate",
        &["none", "No such file"],
    );
    let half = Setup::new();
    fs::create_dir_all(half.state().join("tls")).unwrap();
    fs::write(
        half.state().join("tls/certificate.pem"),
        &one.certificate_pem,
    )
    .unwrap();
    fails_alike(&half, "tls.certificate", &["is there without"]);
}

#[test]
fn nobody_could_log_in() {
    let setup = Setup::new().plugin("rules", "builtin:rules", "");
    fails_alike(&setup, "plugin", &["no authentication plugin"]);
}

/// Each thing that the server's user may not do: who may not do what with which path, and which
/// directory refuses.
#[test]
fn permissions_that_the_servers_user_lacks() {
    let outside = tempfile::tempdir().unwrap();
    let private = outside.path().join("private");
    fs::create_dir(&private).unwrap();
    fs::create_dir(private.join("files")).unwrap();
    fs::write(private.join("file.pem"), "").unwrap();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    // Where the tests have no privileges, its mode keeps its own user out.
    let closed = match rustix::process::geteuid().is_root() {
        true => 0o700,
        false => 0o000,
    };
    mode(outside.path(), 0o755);
    let link = outside.path().join("link");
    std::os::unix::fs::symlink(private.join("files"), &link).unwrap();
    let may_not = |what: &str| format!("may not {what}");
    let refuses = format!("{} has mode", private.display());
    for (lines, key, what) in [
        (
            "[storage.default]\nroot = \"PRIVATE\"",
            "storage.default.root",
            "enter it",
        ),
        (
            "[storage.default]\nroot = \"PRIVATE/files\"",
            "storage.default.root",
            "enter it",
        ),
        (
            "[storage.default]\nroot = \"PRIVATE/new\"",
            "storage.default.root",
            "enter it",
        ),
        (
            "[storage.default]\nroot = \"LINK\"",
            "storage.default.root",
            "enter it",
        ),
        (
            "[storage.default]\nstaging = \"PRIVATE/staging\"",
            "storage.default.staging",
            "enter it",
        ),
        (
            "[storage.default]\nquarantine = \"PRIVATE/q\"",
            "storage.default.quarantine",
            "enter it",
        ),
        (
            "[tls]\ncertificate = \"PRIVATE/file.pem\"\nkey = \"PRIVATE/file.pem\"",
            "tls.certificate",
            "read it",
        ),
        (
            "[tls]\nclient-certificates = \"optional\"\nclient-authorities = \"PRIVATE/file.pem\"",
            "tls.client-authorities",
            "read it",
        ),
        (
            "[state]\nfile = \"PRIVATE/state.redb\"",
            "state.file",
            "make it",
        ),
        (
            "[[plugin]]\nname = \"x\"\ncomponent = \"PRIVATE/file.wasm\"",
            "plugin[0].component",
            "read it",
        ),
        (
            "[[plugin]]\nname = \"users\"\ncomponent = \"builtin:users\"\nsettings.users = { file = \"PRIVATE/users.toml\" }",
            "plugin[0].settings",
            "read it",
        ),
        (
            "[[plugin]]\nname = \"users\"\ncomponent = \"builtin:users\"\nsettings.users = { file = \"users.toml\" }\ngrants.directories = [{ host = \"PRIVATE/files\", guest = \"/x\" }]",
            "plugin[0].grants.directories",
            "list it",
        ),
    ] {
        let lines = lines.replace("PRIVATE", private.to_str().unwrap());
        let lines = lines.replace("LINK", link.to_str().unwrap());
        let mut setup = Setup::new().unprivileged().tables(&lines);
        // Each compiles its plugins itself: as few as there may be.
        if !lines.contains("[[plugin]]") {
            setup = setup.users_plugin();
        }
        mode(&private, closed);
        // Where it is the thing itself that refuses, it is not named again.
        let refuses = match lines.contains("private\"") {
            true => "its mode is",
            false => &refuses,
        };
        fails_alike(
            &setup,
            key,
            &["permission denied: user ", "(uid ", &may_not(what), refuses],
        );
        mode(&private, 0o700);
    }
    // The mode of the root itself.
    let root = outside.path().join("root");
    fs::create_dir(&root).unwrap();
    mode(&root, closed);
    let setup = Setup::new().unprivileged().users_plugin();
    let setup = setup.tables(&format!("[storage.default]\nroot = {}", quoted(&root)));
    fails_alike(
        &setup,
        "storage.default.root",
        &[
            "permission denied: user ",
            "may not enter it: its mode is",
            "its owner",
        ],
    );
    // A state directory that is not to be made, and one that is not to be written to.
    let closed = outside.path().join("closed");
    fs::create_dir(&closed).unwrap();
    mode(&closed, 0o555);
    let setup = Setup::new().unprivileged();
    let setup = setup.set("server.state", &quoted(&closed.join("state")));
    let refuses = format!("{} has mode 0555", closed.display());
    fails_alike(&setup, "server.state", &["may not make it", &refuses]);
    let setup = setup.set("server.state", &quoted(&closed));
    fails_alike(&setup, "tls.certificate", &["may not make it", &refuses]);
    if rustix::process::geteuid().is_root() {
        let setup = Setup::new().unprivileged().users_plugin();
        let setup = setup.set("server.listen", "[\"127.0.0.1:21\"]");
        let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
        let first: u32 = first.unwrap().trim().parse().unwrap();
        assert!(first > 21, "anybody may listen on port 21 here");
        fails_alike(
            &setup,
            "server.listen[0]",
            &[
                "user nobody (uid 65534) may not listen on port 21",
                "CAP_NET_BIND_SERVICE",
            ],
        );
    }
}

#[test]
fn the_configuration_itself() {
    let setup = Setup::new();
    drop(setup.command(&[]));
    let config = setup.state().with_file_name("config.toml");
    let run = |words: &[&str], setup: &Setup| {
        let mut command = setup.command(words);
        fs::remove_file(&config).unwrap();
        mknodat(CWD, &config, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let output = command.output().unwrap();
        fs::remove_file(&config).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("config.toml: cannot be read: not a regular file"),
            "{said}"
        );
        said
    };
    assert_eq!(run(&["check"], &setup), run(&[], &setup));
}

/// A trial by another user than the server's may find other things.
#[test]
fn a_check_by_another_user_is_told() {
    if !rustix::process::geteuid().is_root() {
        // Only root can be another user than the one that owns the state.
        return;
    }
    let setup = Setup::new().unprivileged();
    drop(setup.command(&[]));
    let (status, said) = setup.run(&["check"]);
    assert_eq!(status, 0, "{said}");
    assert!(!said.contains("belongs to user"), "{said}");
    let other = Setup::new().set("server.state", &quoted(&setup.state()));
    let (status, said) = other.run(&["check"]);
    assert_eq!(status, 0, "{said}");
    assert!(
        said.contains("belongs to user nobody (uid 65534)"),
        "{said}"
    );
    assert!(!setup.state().join("cache").exists() && !setup.state().join("tls").exists());
}

/// Compiled code that others could have written is not used, and that is told.
#[test]
fn a_cache_that_others_may_enter_is_told() {
    let setup = Setup::new();
    let cache = setup.state().join("cache");
    fs::create_dir_all(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o755)).unwrap();
    let (status, said) = setup.run(&["check"]);
    assert_eq!(status, 0, "{said}");
    assert!(
        said.contains("compiled plugins are not kept") && said.contains("should be 0700"),
        "{said}"
    );
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);
}

/// The commands, too, say who may not do what.
#[test]
fn commands_of_a_user_who_may_not() {
    let server = Setup::new().start();
    let other = Setup::new().unprivileged();
    if !rustix::process::geteuid().is_root() {
        // Nobody else can be asked to.
        return;
    }
    let state = server.state();
    let place = state.parent().unwrap();
    fs::set_permissions(place, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
    let other = other.set("server.state", &quoted(&state));
    for (words, what) in [
        (&["status"][..], "write to it: "),
        (&["reload"], "write to it: "),
        (
            &["user", "list"],
            "read it: its mode is 0600, its owner root",
        ),
    ] {
        let (status, said) = other.run(words);
        assert_ne!(status, 0, "{said}");
        let words = format!("permission denied: user nobody (uid 65534) may not {what}");
        assert!(said.contains(&words), "{said}");
    }
}

#[test]
fn nothing_is_left_behind_where_no_server_has_been() {
    let setup = Setup::first().set("state.file", "\"state.redb\"");
    let setup = setup.tables(
        "[storage.default]\nroot = \"a/b/c\"\nquarantine = \"q/r\"\n[storage.other]\nstaging = \"s\"",
    );
    let state = setup.state();
    let place = state.parent().unwrap();
    drop(setup.command(&[]));
    fs::remove_dir(&state).unwrap();
    let mut command = setup.command(&["check"]);
    fs::remove_dir(&state).unwrap();
    let before = snapshot(place);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(snapshot(place), before);
}

#[test]
fn a_running_server_is_not_disturbed() {
    let quarantine = tempfile::tempdir().unwrap();
    let setup = Setup::new().set("state.file", "\"state.redb\"");
    let setup = setup
        .tables(&format!(
            "[storage.default]\nquarantine = {}",
            quoted(&quarantine.path().join("q"))
        ))
        .unset("server.listen");
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let setup = setup.tables(&format!("[server]\nlisten = [\"{address}\"]"));
    let server = setup.start();
    let mut broken = server.login();
    let mut data = broken.begin("STOR broken");
    data.send(&content(70_000, 1)).unwrap();
    data.cut();
    broken.reply().expect_one_of(&[426, 451]);
    let mut busy = server.login();
    let mut upload = busy.begin("STOR file");
    let (first, second) = (content(100_000, 2), content(100_000, 3));
    upload.send(&first).unwrap();
    crate::support::eventually("it has arrived", || {
        let reply = busy.send("STAT").expect(213);
        let mut numbers = reply.text().split(|c: char| !c.is_ascii_digit());
        let moved = numbers.find_map(|number| number.parse::<usize>().ok());
        moved.is_some_and(|moved| moved >= first.len())
    });
    let before = snapshot(&server.state());
    for _ in 0..3 {
        let (status, said) = server.setup().run(&["check"]);
        assert_eq!(status, 0, "{said}");
        let process = format!("process {}, of this configuration", server.id());
        assert!(said.contains(&process), "{said}");
        let listener = format!("{address}, explicit TLS (the running server has it)");
        assert!(said.contains(&listener), "{said}");
        assert!(said.contains("files (the running server has it)"), "{said}");
        assert_eq!(before, snapshot(&server.state()));
    }
    // By another way to the same file, too.
    let mut command = server.setup().command(&["check"]);
    let (place, name) = (server.state(), "../config.toml");
    command.current_dir(&place).arg("--config").arg(name);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    upload.send(&second).unwrap();
    upload.finish().unwrap();
    busy.reply().expect(226);
    assert_eq!(busy.retrieve("RETR file"), [first, second].concat());
    let mut again = server.login();
    again.send("SIZE broken").expect(213).saying("70000");
    assert_eq!(server.setup().run(&["reload"]).0, 0);
    again.send("NOOP").expect(200);
    // As soon as it has ended, nothing of it is in the way.
    let server = server.restart(|| ());
    server.login();
}

/// A reload would do, as the listener gives way.
#[test]
fn an_address_that_the_running_server_gives_up_is_free() {
    let port = free_port();
    let setup = Setup::new().unset("server.listen").tables(&format!(
        "[server]\nallow-root = true\nlisten = [\"0.0.0.0:{port}\"]"
    ));
    let server = setup.start_with(|line| line.contains("Portcullis is ready"));
    let config = server.state().with_file_name("config.toml");
    let text = fs::read_to_string(&config)
        .unwrap()
        .replace("0.0.0.0", "127.0.0.1");
    let mut command = server.setup().command(&["check"]);
    fs::write(&config, text).unwrap();
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(
        said.contains(&format!("127.0.0.1:{port}, explicit TLS (the running")),
        "{said}"
    );
}

/// Logs go to a directory that the start makes; elsewhere it has to be there.
#[test]
fn logs_that_cannot_be_written() {
    let setup = Setup::first()
        .set("audit.file", "\"audit.jsonl\"")
        .set("log.output", "\"file\"");
    let (status, said) = setup.run(&["check"]);
    assert_eq!(status, 0, "{said}");
    for (key, value) in [
        ("audit.file", "/nonexistent/audit"),
        ("log.file", "/nonexistent/log"),
    ] {
        let setup = Setup::new().set("log.output", "\"file\"");
        fails_alike(&setup.set(key, &format!("{value:?}")), key, &[value]);
    }
    if !Path::new("/run/systemd/journal/socket").exists() {
        let setup = Setup::new().set("log.output", "\"journald\"");
        fails_alike(&setup, "log.output", &["/run/systemd/journal/socket"]);
    }
}
