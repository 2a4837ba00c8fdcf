//! Grants in a server: what its start says, and what its sessions notice.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use crate::{
    built,
    support::{Setup, Tls},
};

const LIMITS: &str = "limits.wall-time = \"1s\"\n";

#[test]
fn what_is_missing_is_told_as_lines_to_add() {
    for (grants, lines) in [
        (
            "",
            "    [plugin.grants]\n    http = [\"https://HOST\"]\n    tcp = [\"HOST:PORT\"]\n",
        ),
        (
            "grants.http = [\"https://auth.example.org\"]\n",
            "    [plugin.grants]\n    tcp = [\"HOST:PORT\"]\n",
        ),
        (
            "grants.tcp = [\"10.0.0.5:389\"]\n",
            "    [plugin.grants]\n    http = [\"https://HOST\"]\n",
        ),
    ] {
        let setup = Setup::new().plugin("tries", &built("tries"), grants);
        for words in [&["check"][..], &[]] {
            let (status, said) = setup.run(words);
            assert_eq!(status, 2, "{said}");
            assert!(said.contains("plugin tries: it imports wasi:"), "{said}");
            assert!(said.contains(lines), "{said}");
        }
    }
}

#[test]
fn a_silent_peer_costs_one_call_and_no_other_session() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let grants = format!(
        "{LIMITS}[plugin.grants]\ntcp = [\"{address}\"]\nhttp = [\"https://auth.example.org\"]\n"
    );
    let setup = Setup::new()
        .plugin("tries", &built("tries"), &grants)
        .users_plugin();
    let (status, said) = setup.run(&["check"]);
    assert_eq!(status, 0, "{said}");
    assert!(
        said.contains(&format!("granted tcp {address}; http")),
        "{said}"
    );
    let mut server = setup.start();
    server.wait_for_line(|line| {
        let grants = format!("tcp {address}; http https://auth.example.org");
        line.contains("the plugin is loaded") && line.contains(&grants)
    });
    let mut before = server.login();
    let begun = Instant::now();
    let mut waiting = server.secure(&Tls::new());
    waiting.send(&format!("USER tcp {address}")).expect(331);
    waiting.write("PASS x\r\n");
    // While that one waits, others come and go.
    before.store("STOR file", b"content").expect(226);
    let mut meanwhile = server.login();
    assert_eq!(meanwhile.retrieve("RETR file"), b"content");
    waiting.reply().expect_one_of(&[421, 530]);
    assert!(begun.elapsed() < Duration::from_secs(10));
    server.wait_for_line(|line| line.contains("no answer within limits.wall-time"));
    before.send("NOOP").expect(200);

    let mut refused = server.secure(&Tls::new());
    refused.send("USER tcp 127.0.0.1:9").expect(331);
    refused.send("PASS x").expect(530);
    let line = server.wait_for_line(|line| line.contains("refused: a connection to 127.0.0.1:9"));
    assert!(
        line.contains("plugin=\"tries\"") || line.contains("plugin=tries"),
        "{line}"
    );
    assert!(line.contains("session="), "{line}");
}

/// A pipe that nobody writes to is waited for within the wall time, and not at the end either.
#[test]
fn a_pipe_in_a_directory_holds_up_nobody() {
    let setup = Setup::new();
    let lists = setup.state().join("lists");
    std::fs::create_dir_all(&lists).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, lists.join("pipe"), fifo, mode, 0).unwrap();
    let grants = format!(
        "{LIMITS}[plugin.grants]\ntcp = [\"192.0.2.1:9\"]\nhttp = [\"http://192.0.2.1\"]\n\
        directories = [{{ host = {lists:?}, guest = \"/lists\" }}]\n"
    );
    let mut server = setup
        .plugin("tries", &built("tries"), &grants)
        .users_plugin()
        .start();
    let mut waiting = server.secure(&Tls::new());
    waiting.send("USER read /lists/pipe").expect(331);
    waiting.send("PASS x").expect_one_of(&[421, 530]);
    server.login().send("NOOP").expect(200);
    server.terminate();
    assert!(server.wait().success());
}
