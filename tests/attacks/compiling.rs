//! Components that keep the compiler busy: the server bounds that, from beside it.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Server, Setup, slow_component};

const USERS: &str = "[[plugin]]\nname = \"users\"\ncomponent = \"builtin:users\"\n\
                     settings = { users = { file = \"users.toml\" } }\n";

/// The processes that this server has started, and those that they have.
fn children(of: u32) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        let read = |name: &str| fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        let status = read("status");
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        if parent.is_some_and(|parent| parent.trim() == of.to_string()) {
            found.push((id, read("cmdline").replace('\0', " ")));
            found.extend(children(id));
        }
    }
    found
}

/// The status of a reload with one more plugin, and what it said.
fn reload_with(server: &Server, component: &std::path::Path) -> (i32, String) {
    let mut command = server.setup().command(&["reload"]);
    let text = format!("{USERS}[[plugin]]\nname = \"slow\"\ncomponent = {component:?}\n");
    fs::write(server.state().with_file_name("config.toml"), text).unwrap();
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap(), said)
}

/// Compiling is ended when it takes too long; sessions go on meanwhile and afterwards, and so do reloads.
#[test]
fn a_component_that_compiles_slowly_is_given_up() {
    // On a busy machine the plugin of its users takes more than a second, too: here it is compiled
    // before.
    drop(Setup::new().tables(USERS).start());
    let setup = Setup::new().set("plugin-host.compile-timeout", "\"1s\"");
    let slow = setup.file("slow.wasm", slow_component(300, 20_000));
    let server = setup.tables(USERS).start();
    let mut client = server.login();
    let begun = Instant::now();
    let (status, said) = std::thread::scope(|scope| {
        let reload = scope.spawn(|| reload_with(&server, &slow));
        while !reload.is_finished() {
            client.store("STOR file", b"content");
            assert_eq!(client.retrieve("RETR file"), b"content");
        }
        reload.join().unwrap()
    });
    assert_eq!(status, 2, "{said}");
    for words in [
        "plugin slow",
        "not compiled within 1 s",
        "plugin-host.compile-timeout",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "{:?}",
        begun.elapsed()
    );
    let left: Vec<_> = children(server.id());
    assert!(
        left.iter()
            .all(|(_, line)| !line.contains("compile-component")),
        "{left:?}"
    );
    fs::write(server.state().with_file_name("config.toml"), USERS).unwrap();
    let small = server.setup().file("small.wasm", slow_component(1, 16));
    // It is none of the kinds, which only its code tells.
    let (_, said) = reload_with(&server, &small);
    assert!(
        !said.contains("compile-timeout") && said.contains("slow"),
        "{said}"
    );
    assert_eq!(client.retrieve("RETR file"), b"content");
}

/// The processes beside the server have neither rights nor network, and go with it, however it ends.
#[test]
fn the_supervisor_is_within_walls_and_goes_with_the_server() {
    let mut server = Server::start();
    server.login();
    let all = children(server.id());
    let [(id, line)] = all.as_slice() else {
        panic!("{all:?}");
    };
    assert!(line.contains("supervise-compiling"), "{line}");
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let line = format!("{set}:\t0000000000000000");
        assert!(status.contains(&line), "{set}: {status}");
    }
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    // Nothing of the server but the socket between them; whoever runs the tests may leave it more.
    let files = fs::read_dir(format!("/proc/{id}/fd")).unwrap().flatten();
    let files: BTreeSet<_> = files
        .filter_map(|file| fs::read_link(file.path()).ok())
        .collect();
    let own = |start: &str| {
        let count = |file: &&PathBuf| file.to_string_lossy().starts_with(start);
        files.iter().filter(count).count()
    };
    assert_eq!(own("socket:"), 1, "{files:?}");
    assert_eq!(own(server.state().to_str().unwrap()), 0, "{files:?}");
    let pid = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    server.wait();
    let gone = || {
        !fs::exists(format!("/proc/{id}/cmdline")).unwrap()
            || fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|line| line.is_empty())
    };
    crate::support::eventually("the supervisor ends", gone);
}
