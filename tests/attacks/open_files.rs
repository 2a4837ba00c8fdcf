//! Fewer files than clients would have open.

use std::fs;

use crate::support::{Client, Reply, Server, Setup, Tls, USER, eventually};

/// The text for clients, which must not tell of sessions.
const TEXT: &str = "too many files open";

fn server() -> Server {
    Setup::new().open_files(96).start()
}

/// Connects until it is refused: those that were let in, and the refusal.
fn fill(server: &Server) -> (Vec<Client>, Reply) {
    let mut inside = Vec::new();
    loop {
        let mut client = Client::dial(server.address);
        let reply = client.reply();
        if reply.code != 220 {
            return (inside, reply);
        }
        inside.push(client);
        assert!(inside.len() < 96, "all were let in");
    }
}

fn complaints(server: &Server) -> usize {
    server.log().matches("too many open files").count()
}

#[test]
fn who_comes_when_no_file_is_left_is_told_and_the_others_go_on() {
    let server = server();
    fs::write(server.home().join("file"), "content").unwrap();
    let mut early = server.login();
    let (inside, refusal) = fill(&server);
    let refusal = refusal.expect(421).saying(TEXT);
    assert!(!refusal.text().contains("sessions"), "{}", refusal.text());
    for _ in 0..20 {
        let reply = Client::dial(server.address).reply();
        reply.expect(421).saying(TEXT);
    }
    // One line for all of them, which names the limit.
    let log = server.log();
    assert_eq!(complaints(&server), 1, "{log}");
    assert!(
        log.contains("RLIMIT_NOFILE") && log.contains("limit=96"),
        "{log}"
    );
    assert!(!log.contains("limits.sessions\""), "{log}");
    // Some were kept back for those that are there.
    assert_eq!(early.retrieve("RETR file"), b"content");
    early.store("STOR new", b"new").expect(226);
    drop(inside);
    eventually("there is room again", || {
        Client::dial(server.address).reply().code == 220
    });
    server.login();
}

/// The sessions that are there use up what was kept back.
#[test]
fn sessions_in_progress_hear_what_is_wrong() {
    let server = server();
    fs::write(server.home().join("file"), "content").unwrap();
    let tls = Tls::new();
    let mut early = server.login();
    let mut sessions: Vec<Client> = (0..22).map(|_| server.login_as(USER, &tls)).collect();
    let (_inside, _) = fill(&server);
    let mut listening = 0;
    let refused = sessions.iter_mut().find_map(|client| {
        let reply = client.send("EPSV");
        listening += usize::from(reply.code == 229);
        (reply.code != 229).then_some(reply)
    });
    assert!(listening > 8, "{listening}");
    refused.expect("there is no end").expect(425).saying(TEXT);
    early.send("SIZE file").expect(451).saying(TEXT);
    sessions[0].send("RETR file").expect(451).saying(TEXT);
    // Also those who come now: one descriptor is there to tell them.
    for _ in 0..3 {
        Client::dial(server.address)
            .reply()
            .expect(421)
            .saying(TEXT);
    }
    assert_eq!(complaints(&server), 1, "{}", server.log());
    assert!(
        !server.log().contains("the storage failed"),
        "{}",
        server.log()
    );
    drop(sessions);
    eventually("there is room again", || {
        early.send("SIZE file").code == 213
    });
    assert_eq!(early.retrieve("RETR file"), b"content");
}
