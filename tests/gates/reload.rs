//! Configuration, certificates and components anew, without a session that notices.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    built,
    support::{Client, Server, Setup, Tls, USER, eventually},
};

fn hang_up(server: &Server) {
    let id = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    kill_process(id, Signal::HUP).unwrap();
}

/// `portcullis WORDS` beside the server: its status, and what it said.
fn ask(server: &Server, words: &[&str]) -> (i32, String) {
    server.setup().run(words)
}

/// A server whose first authenticator is this file, which can be replaced.
fn with_component(content: &str) -> (Setup, std::path::PathBuf) {
    let setup = Setup::new();
    let file = setup.file("plugin.wasm", fs::read(built(content)).unwrap());
    let setup = setup.plugin("first", file.to_str().unwrap(), "");
    (setup.users_plugin(), file)
}

fn replace(file: &Path, component: &str) {
    let new = file.with_extension("new");
    fs::copy(built(component), &new).unwrap();
    fs::rename(new, file).unwrap();
}

fn attempt(server: &Server, user: &str) -> u16 {
    let mut client = server.secure(&Tls::new());
    client.send(&format!("USER {user}")).expect(331);
    client.send(&format!("PASS {user}")).code
}

#[test]
fn a_component_that_is_replaced_on_disk_takes_effect_with_a_reload_alone() {
    let (setup, file) = with_component("faulty-authenticator");
    let mut server = setup.start();
    assert_eq!(attempt(&server, "okay"), 230);
    replace(&file, "listens");
    assert_eq!(attempt(&server, "okay"), 230, "it is what it was");
    let (status, said) = ask(&server, &["reload"]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("reloaded: 2 plugins"), "{said}");
    assert_eq!(attempt(&server, "okay"), 530);
    assert_eq!(attempt(&server, USER), 230);

    replace(&file, "faulty-authenticator");
    hang_up(&server);
    server.wait_for_line(|line| line.contains("SIGHUP"));
    eventually("the reload is done", || attempt(&server, "okay") == 230);
}

#[test]
fn a_reload_that_fails_changes_nothing_and_says_why() {
    let (setup, file) = with_component("faulty-authenticator");
    let mut server = setup.start();
    replace(&file, "wrong-version");
    let (status, said) = ask(&server, &["reload"]);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("plugin first"), "{said}");
    assert!(said.contains("config.toml:3"), "{said}");
    assert!(said.contains("the server goes on as it was"), "{said}");
    assert_eq!(attempt(&server, "okay"), 230);

    let config = file.with_file_name("config.toml");
    let good = fs::read_to_string(&config).unwrap();
    let broken = good.replace("[[plugin]]", "[[plugn]]");
    fs::write(&config, broken).unwrap();
    hang_up(&server);
    server.wait_for_line(|line| line.contains("plugn"));
    assert_eq!(attempt(&server, "okay"), 230);
}

#[test]
fn a_hundred_running_sessions_keep_what_they_have() {
    let (setup, file) = with_component("faulty-authenticator");
    let server = setup.set("limits.login-attempts", "9").start();
    let tls = Tls::new();
    let mut sessions: Vec<_> = (0..100).map(|_| server.login_as(USER, &tls)).collect();
    let (halves, whole): (Vec<u8>, Vec<u8>) = (vec![b'a'; 50_000], vec![b'a'; 100_000]);
    let mut transfers: Vec<_> = sessions
        .iter_mut()
        .enumerate()
        .map(|(number, session)| {
            let mut data = session.begin(&format!("STOR {number}"));
            data.send(&halves).unwrap();
            data
        })
        .collect();
    for round in 0..3 {
        let component = ["listens", "faulty-authenticator"][round % 2];
        replace(&file, component);
        let (status, said) = ask(&server, &["reload"]);
        assert_eq!(status, 0, "{said}");
        // New sessions come in meanwhile, and have the new component.
        let expected = if component == "listens" { 530 } else { 230 };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(attempt(&server, "okay"), expected));
            }
        });
    }
    for transfer in &mut transfers {
        transfer.send(&halves).unwrap();
    }
    for (session, data) in sessions.iter_mut().zip(transfers) {
        data.finish().unwrap();
        session.reply().expect(226);
    }
    for (number, session) in sessions.iter_mut().enumerate() {
        assert_eq!(session.retrieve(&format!("RETR {number}")), whole);
        session.send("PWD").expect(257);
    }
    // A session asks the component that it began with.
    sessions[0].send("REIN").expect(220);
    sessions[0].clear();
    sessions[0].auth_tls(&tls);
    sessions[0].send("USER okay").expect(331);
    sessions[0].send("PASS okay").expect(230);
}

#[test]
fn settings_of_the_server_are_read_anew() {
    let setup = Setup::new()
        .unset("server.listen")
        .set("server.listen-implicit", r#"["127.0.0.1:0"]"#)
        .tables("[server]\nlisten = [\"127.0.0.1:0\"]\ngreeting = \"one\"\n[storage.default]\nfile-mode = \"0640\"\n[[plugin]]\nname = \"users\"\ncomponent = \"builtin:users\"\nsettings.users = { file = \"users.toml\" }\n");
    let server = setup.start();
    let mut before = server.login();
    let mut data = before.begin("STOR old");
    data.send(b"half").unwrap();

    let config = server.state().with_file_name("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    let text = text
        .replace("\"one\"", "\"two\"")
        .replace("0640", "0600")
        .replace("[\"127.0.0.1:0\"]", "[\"127.0.0.1:0\", \"127.0.0.2:0\"]");
    fs::write(&config, text + "[limits]\nupload-size = 6\n").unwrap();
    // Beside the server's own, the command must not write the configuration: it is asked by hand.
    hang_up(&server);
    eventually("the reload is done", || server.log().contains("reloaded: "));
    let mut after = Client::dial(server.address);
    after.reply().expect(220).saying("two");
    eventually("the address is told", || {
        server.log().contains("127.0.0.2:")
    });

    data.send(b" a file").unwrap();
    data.finish().unwrap();
    before.reply().expect(226);
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt;
        let facts = fs::metadata(server.home().join(name)).unwrap();
        facts.permissions().mode() & 0o777
    };
    assert_eq!(mode("old"), 0o640);
    let mut client = server.login();
    client.store("STOR new", b"short").expect(226);
    assert_eq!(mode("new"), 0o600);
    client.store("STOR long", b"too long").expect(552);
}

#[test]
fn state_survives_a_reload() {
    let server = Setup::new()
        .plugin("listens", &built("listens"), "settings.failures = 2")
        .users_plugin()
        .start();
    for _ in 0..2 {
        let mut client = server.secure(&Tls::new());
        client.send(&format!("USER {USER}")).expect(331);
        client.send("PASS wrong").expect(530);
    }
    eventually("both failures are heard", || {
        server.log().matches("heard ").count() == 2
    });
    assert_eq!(attempt(&server, USER), 530);
    assert_eq!(ask(&server, &["reload"]).0, 0);
    assert_eq!(attempt(&server, USER), 530);
}

#[test]
fn state_survives_a_restart_where_there_is_a_file() {
    for kept in [true, false] {
        let mut setup = Setup::new();
        if kept {
            setup = setup.set("state.file", "\"state.redb\"");
        }
        let server = setup
            .plugin("listens", &built("listens"), "settings.failures = 2")
            .users_plugin()
            .start();
        for _ in 0..2 {
            let mut client = server.secure(&Tls::new());
            client.send(&format!("USER {USER}")).expect(331);
            client.send("PASS wrong").expect(530);
        }
        // Attempts of the last moment count, too.
        let server = server.restart(|| {});
        assert_eq!(attempt(&server, USER), if kept { 530 } else { 230 });
        if kept {
            let id = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
            kill_process(id, Signal::KILL).unwrap();
            let server = server.revive();
            assert_eq!(attempt(&server, USER), 530, "also after a kill");
        }
    }
}

#[test]
fn status_tells_how_plugins_fare() {
    let mut server = Setup::new()
        .plugin("faulty", &built("faulty-authenticator"), "")
        .users_plugin()
        .start();
    let (status, said) = ask(&server, &["status"]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("faulty: healthy, 0 calls"), "{said}");
    for _ in 0..5 {
        attempt(&server, "trap");
    }
    let (_, said) = ask(&server, &["status"]);
    assert!(
        said.contains("faulty: UNHEALTHY, 5 calls, 5 faults"),
        "{said}"
    );
    assert!(said.contains("trap: "), "{said}");
    server.wait_for_line(|line| line.contains("the plugin is unhealthy"));

    let _one = server.login();
    let (_, said) = ask(&server, &["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(status["sessions"], 1, "{said}");
    assert_eq!(status["plugins"][0]["healthy"], false, "{said}");
    assert_eq!(status["plugins"][1]["name"], "users", "{said}");
    for _ in 0..8 {
        attempt(&server, "okay");
    }
    server.wait_for_line(|line| line.contains("the plugin is healthy again"));
    let (_, said) = ask(&server, &["status"]);
    assert!(said.contains("faulty: healthy"), "{said}");
}

#[test]
fn without_a_server_the_commands_say_so() {
    for command in ["reload", "status"] {
        let (status, said) = Setup::new().run(&[command]);
        assert_eq!(status, 1, "{said}");
        assert!(said.contains("no server answers in"), "{said}");
    }
}

#[test]
fn two_servers_do_not_share_a_state_directory() {
    let server = Setup::new().users_plugin().start();
    let (status, said) = ask(&server, &[]);
    assert_eq!(status, 2, "{said}");
    assert!(
        said.contains("another server runs with this state directory"),
        "{said}"
    );
    server.login();
}

#[test]
fn the_control_socket_is_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let mut server = Server::start();
    let socket = server.state().join("control.sock");
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    server.terminate();
    assert!(server.wait().success());
    assert!(!socket.exists());
}

#[test]
fn regression_a_reload_with_a_wrong_setting_changes_nothing() {
    let setup = Setup::new()
        .users_plugin()
        .plugin(
            "rules",
            "builtin:rules",
            "settings.rules = [{ effect = \"deny\", operations = [\"make-directory\"] }]",
        )
        .plugin(
            "guard",
            "builtin:upload-guard",
            "settings.deny-extensions = [\"exe\"]",
        );
    let server = setup.start();
    // It writes the configuration that it is given, which is then changed.
    let config = server.state().with_file_name("config.toml");
    let told = |words: &[&str], text: &str| {
        let mut command = server.setup().command(words);
        fs::write(&config, text).unwrap();
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let good = fs::read_to_string(&config).unwrap();
    for (right, wrong, key) in [
        ("\"deny\"", "\"forbid\"", "settings.rules[0].effect"),
        (
            "deny-extensions",
            "deny-extensoins",
            "settings.deny-extensoins",
        ),
        ("settings.rules", "settings.rulse", "settings.rulse"),
    ] {
        let text = good.replace(right, wrong);
        let (status, said) = told(&["reload"], &text);
        assert_eq!(status, Some(2), "{wrong}: {said}");
        assert!(
            said.contains(key) && said.contains("config.toml:"),
            "{said}"
        );
        let (status, checked) = told(&["check"], &text);
        assert_eq!(status, Some(2), "{wrong}: {checked}");
        let mut client = server.login();
        client.send("MKD new").expect(550);
        client.store("STOR a.exe", b"x").expect_one_of(&[550, 553]);
        client.store("STOR a.txt", b"x").expect(226);
    }
}

#[test]
fn an_address_may_give_way_to_a_wider_one_and_back() {
    let free = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let listen = |lines: &str| {
        format!(
            "[server]\nallow-root = true\n{lines}\n[[plugin]]\nname = \"users\"\ncomponent = \"builtin:users\"\n\
            settings = {{ users = {{ file = \"users.toml\" }} }}\n"
        )
    };
    let first = format!("listen = [\"0.0.0.0:{port}\"]\nlisten-implicit = []");
    let setup = Setup::new()
        .unset("server.listen")
        .unset("server.listen-implicit")
        .tables(&listen(&first));
    let server = setup.start_with(|line| line.contains("listening"));
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let config = server.state().with_file_name("config.toml");
    let reload = |lines: &str| {
        let mut command = server.setup().command(&["reload"]);
        // Now, since making the command writes the file that the setup knows.
        fs::write(&config, listen(lines)).unwrap();
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap(), said)
    };
    let mut before = Client::connect(address);
    for lines in [
        format!("listen = [\"127.0.0.1:{port}\"]\nlisten-implicit = []"),
        first.clone(),
        format!("listen = []\nlisten-implicit = [\"127.0.0.1:{port}\"]"),
        format!("listen = [\"127.0.0.1:{port}\", \"127.0.0.2:{port}\"]\nlisten-implicit = []"),
    ] {
        let (status, said) = reload(&lines);
        assert_eq!(status, 0, "{lines}: {said}");
        match lines.contains("listen = []") {
            true => drop(Client::implicit(address, &Tls::new())),
            false => drop(Client::connect(address)),
        }
    }
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        for ip in ["::1", "::", "::1"] {
            let lines = format!("listen = [\"[{ip}]:{port}\"]\nlisten-implicit = []");
            let (status, said) = reload(&lines);
            assert_eq!(status, 0, "{lines}: {said}");
            drop(Client::connect(format!("[::1]:{port}").parse().unwrap()));
        }
    }
    // One of two that shall take the place of one is another's: all stays.
    assert_eq!(reload(&first).0, 0);
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    for lines in [
        format!("listen = [\"127.0.0.1:{port}\", \"{taken}\"]\nlisten-implicit = []"),
        // Documentation's, which no machine has.
        format!("listen = [\"127.0.0.1:{port}\", \"192.0.2.1:{port}\"]\nlisten-implicit = []"),
    ] {
        let (status, said) = reload(&lines);
        assert_eq!(status, 2, "{said}");
        assert!(said.contains("server.listen"), "{said}");
        drop(Client::connect(address));
        drop(Client::connect(([127, 0, 0, 3], port).into()));
    }
    before.send("NOOP").expect_one_of(&[200, 530]);
}

#[test]
fn a_reload_makes_no_first_user() {
    let mut server = Server::start();
    let users = server.state().join("users.toml");
    let reload = server.setup().command(&["reload"]);
    fs::remove_file(&users).unwrap();
    let output = { reload }.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("users.toml is gone"), "{said}");
    assert!(!users.exists() && !server.state().join("first-user.txt").exists());

    fs::rename(server.state(), server.state().with_extension("away")).unwrap();
    hang_up(&server);
    server.wait_for_line(|line| line.contains("SIGHUP"));
    eventually("it fails, too", || {
        server.log().matches("the reload failed").count() == 2
    });
    assert!(!server.state().exists());
}

/// Puts a pipe that nobody writes to in the place of a file.
fn replace_by_pipe(file: &Path) {
    let _ = fs::remove_file(file);
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, file, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

#[test]
fn a_pipe_in_the_place_of_a_file_fails_the_reload_soon() {
    let (setup, component) = with_component("faulty-authenticator");
    let (certificate, key) = (setup.file("cert.pem", ""), setup.file("key.pem", ""));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let server = setup
        .set("tls.certificate", &format!("{certificate:?}"))
        .set("tls.key", &format!("{key:?}"))
        .start();
    for (file, name) in [
        (&certificate, "tls.certificate"),
        (&key, "tls.key"),
        (&component, "plugin first"),
    ] {
        let good = fs::read(file).unwrap();
        replace_by_pipe(file);
        let begun = Instant::now();
        let (status, said) = ask(&server, &["reload"]);
        assert_eq!(status, 2, "{said}");
        assert!(said.contains(name), "{said}");
        assert!(said.contains(file.to_str().unwrap()), "{said}");
        assert!(said.contains("not a regular file"), "{said}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{said}");
        assert_eq!(attempt(&server, "okay"), 230);
        fs::remove_file(file).unwrap();
        fs::write(file, good).unwrap();
    }
    let (status, said) = ask(&server, &["reload"]);
    assert_eq!(status, 0, "{said}");
}

/// The configuration itself, too: neither a reload nor the start waits for it.
#[test]
fn regression_a_configuration_that_is_a_pipe_is_no_wait() {
    let (setup, file) = with_component("faulty-authenticator");
    let mut server = setup.start();
    replace_by_pipe(&file.with_file_name("config.toml"));
    let begun = Instant::now();
    hang_up(&server);
    server.wait_for_line(|line| line.contains("cannot be read: not a regular file"));
    server.wait_for_line(|line| line.contains("the reload failed"));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(attempt(&server, "okay"), 230);
}
