//! Bans: `[bans]`, `portcullis ban`, `unban` and `bans`.

use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpStream},
};

use socket2::{Domain, Socket, Type};

use crate::support::{Client, Server, Setup, Tls, eventually};

/// A client at another address of this machine.
fn from(server: &Server, last: u8) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
    socket.bind(&address.into()).unwrap();
    socket.connect(&server.address.into()).unwrap();
    Client::over(TcpStream::from(socket))
}

#[track_caller]
fn let_in(server: &Server, last: u8) -> Client {
    let mut client = from(server, last);
    client.reply().expect(220);
    client
}

#[track_caller]
fn refused(server: &Server, last: u8) {
    let mut client = from(server, last);
    client.reply().expect(421).saying("not let in");
    assert_eq!(client.rest(), "");
}

fn fail(server: &Server, last: u8) {
    let mut client = let_in(server, last);
    client.auth_tls(&Tls::new());
    client.send("USER alice").expect(331);
    client.send("PASS wrong").expect_one_of(&[530, 421]);
}

#[track_caller]
fn ask(server: &Server, words: &[&str]) -> String {
    let (status, said) = server.setup().run(words);
    assert_eq!(status, 0, "{words:?}: {said}");
    said
}

#[test]
fn an_operator_bans_and_lifts() {
    let server = Server::start();
    assert_eq!(ask(&server, &["bans"]), "Nobody is banned.\n");
    let (mut here, mut there) = (let_in(&server, 2), let_in(&server, 1));
    let words = ["ban", "127.0.0.2/31", "--for", "1d", "--reason", "rude"];
    let said = ask(&server, &words);
    assert_eq!(said, "127.0.0.2/31 is banned, and 1 session is ended\n");
    here.reply().expect(421);
    refused(&server, 2);
    refused(&server, 3);
    there.send("NOOP").expect(200);
    let shown = ask(&server, &["bans"]);
    assert!(
        shown.contains("127.0.0.2/31") && shown.contains("rude"),
        "{shown}"
    );
    ask(&server, &["ban", "127.0.0.9", "--keep-sessions"]);
    // It outlives the server, however that ends.
    let file = server.state().join("bans/bans.json");
    eventually("it is kept", || {
        fs::read_to_string(&file).is_ok_and(|text| text.contains("127.0.0.9"))
    });
    kill(&server);
    let server = server.revive();
    refused(&server, 2);
    refused(&server, 9);
    assert_eq!(
        ask(&server, &["unban", "127.0.0.0/8"]),
        "2 bans are lifted\n"
    );
    let_in(&server, 2);
    let (status, said) = server.setup().run(&["unban", "127.0.0.2"]);
    assert_eq!(status, 1);
    assert!(said.contains("nothing is banned"), "{said}");
    let (status, said) = server.setup().run(&["ban", "example.org"]);
    assert_eq!(status, 2);
    assert!(said.contains("192.0.2.0/24"), "{said}");
}

fn kill(server: &Server) {
    use rustix::process::{Pid, Signal, kill_process};
    let pid = Pid::from_raw(server.id().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

#[test]
fn failed_logins_ban_their_address_for_longer_each_time() {
    let server = Setup::new()
        .set("bans.failed-logins", "3")
        .set("bans.duration", "\"5s\"")
        .set("bans.allow", "[\"127.0.0.7/32\"]")
        .start();
    for _ in 0..3 {
        fail(&server, 2);
        fail(&server, 7);
    }
    refused(&server, 2);
    let_in(&server, 3);
    let_in(&server, 7);
    eventually("it is over", || {
        from(&server, 2).reply().text().contains("ready")
    });
    for _ in 0..3 {
        fail(&server, 2);
    }
    let bans: serde_json::Value = serde_json::from_str(&ask(&server, &["bans", "--json"])).unwrap();
    assert_eq!(bans[0]["times"], 2, "{bans}");
    let length = bans[0]["until"].as_u64().unwrap() - bans[0]["since"].as_u64().unwrap();
    assert_eq!(length, 10, "{bans}");
    assert_eq!(bans[0]["by"], "failed logins");
}

#[test]
fn a_deny_file_is_followed() {
    let setup = Setup::new();
    let file = setup.file("denied.txt", "127.0.0.2 # one\n");
    let server = setup.set("bans.deny-file", &format!("{file:?}")).start();
    refused(&server, 2);
    let_in(&server, 3);
    fs::write(&file, "127.0.0.3\n").unwrap();
    eventually("the change is seen", || {
        !from(&server, 3).reply().text().contains("ready")
    });
    let_in(&server, 2);
    fs::write(&file, "127.0.0.2\nnonsense\n").unwrap();
    eventually("the fault is told", || {
        server.log().contains("denied.txt:2: \\\"nonsense\\\"")
    });
    refused(&server, 3);
    let (status, said) = server.setup().run(&["reload"]);
    assert_eq!(status, 2);
    assert!(
        said.contains("bans.deny-file") && said.contains("denied.txt:2"),
        "{said}"
    );
    fs::remove_file(&file).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    refused(&server, 3);
}

#[test]
fn connections_of_an_address_are_not_too_many_a_minute() {
    let server = Setup::new().set("bans.connections-per-minute", "4").start();
    for _ in 0..4 {
        let_in(&server, 2);
    }
    from(&server, 2)
        .reply()
        .expect(421)
        .saying("Too many connections");
    let_in(&server, 3);
}

/// Behind a proxy it is the client that is banned.
#[test]
fn the_client_behind_a_proxy_is_banned() {
    let server = Setup::new()
        .set("server.proxy-networks", "[\"127.0.0.1/32\"]")
        .start();
    ask(&server, &["ban", "192.0.2.1"]);
    let ask = |client: &str| {
        let mut stream = TcpStream::connect(server.address).unwrap();
        let header = format!("PROXY TCP4 {client} 192.0.2.100 40000 21\r\n");
        stream.write_all(header.as_bytes()).unwrap();
        Client::over(stream).reply()
    };
    ask("192.0.2.1").expect(421);
    ask("192.0.2.2").expect(220);
}

#[test]
fn a_damaged_list_of_bans_is_told_and_not_forgotten() {
    let setup = Setup::new();
    fs::create_dir_all(setup.state().join("bans")).unwrap();
    let file = setup.state().join("bans/bans.json");
    fs::write(&file, "{ \"bans\": [").unwrap();
    let (status, said) = setup.run(&[]);
    assert_eq!(status, 2);
    assert!(
        said.contains("bans.json") && said.contains("lift all bans"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "{ \"bans\": [");
}
