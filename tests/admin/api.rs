//! The API itself.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
};

use serde_json::Value;

use crate::{
    address,
    http::{Answer, bearer, request},
    setup,
    support::{Server, eventually, read_all},
    token,
};

struct Admin {
    server: Server,
    at: SocketAddr,
    token: String,
}

impl Admin {
    fn start() -> Self {
        let mut server = setup().start();
        let at = address(&mut server);
        let token = token(&server, "acts", "act");
        Self { server, at, token }
    }

    fn ask(&self, line: &str, body: &str) -> Answer {
        request(self.at, line, &bearer(&self.token), body)
    }
}

#[test]
fn sessions_are_listed_in_parts_and_ended() {
    let admin = Admin::start();
    let mut clients: Vec<_> = (0..5).map(|_| admin.server.login()).collect();
    let all = admin.ask("GET /api/v1/sessions", "").expect(200).json();
    assert_eq!(all["total"], 5);
    let ids: Vec<_> = all["sessions"].as_array().unwrap().iter().collect();
    let part = admin
        .ask("GET /api/v1/sessions?offset=1&limit=2", "")
        .json();
    assert_eq!(part["sessions"].as_array().unwrap().len(), 2);
    assert_eq!(part["sessions"][0]["session"], ids[1]["session"]);
    let none = admin.ask("GET /api/v1/sessions?filter=nobody", "").json();
    assert_eq!((&none["matching"], &none["total"]), (&0.into(), &5.into()));
    let body = serde_json::json!({ "session": ids[1]["session"], "reason": "a test" });
    let done = admin.ask("POST /api/v1/sessions/end", &body.to_string());
    done.expect(200).saying("1 session is ended");
    clients[1].reply().expect(421);
    clients[0].send("NOOP").expect(200);
    let before = all["moved"].as_u64().unwrap();
    clients[0].store("STOR file", &[7; 100_000]);
    let moved = || admin.ask("GET /api/v1/sessions?limit=0", "").json()["moved"].as_u64();
    eventually("it is counted", || moved().unwrap() >= before + 100_000);
}

/// A request that is not understood is refused, and says why.
#[test]
fn requests_that_are_wrong_are_told_so() {
    let admin = Admin::start();
    for (line, body, status, says) in [
        ("GET /api/v1/nonsense", "", 404, "no such path"),
        ("GET /nonsense", "", 404, "no such path"),
        ("DELETE /api/v1/status", "", 405, "does not take"),
        ("POST /api/v1/sessions/end", "{}", 422, "say a session"),
        (
            "POST /api/v1/sessions/end",
            r#"{"sesion":"1"}"#,
            422,
            "sesion",
        ),
        ("POST /api/v1/sessions/end", "{", 400, "error"),
        (
            "POST /api/v1/sessions/end",
            r#"{"session":"zz"}"#,
            404,
            "no session zz",
        ),
        ("POST /api/v1/bans", r#"{"network":"here"}"#, 422, "network"),
        (
            "POST /api/v1/bans",
            r#"{"network":"10.0.0.0/8","seconds":0}"#,
            422,
            "a second",
        ),
        (
            "POST /api/v1/bans",
            r#"{"network":"10.0.0.0/8","seconds":-1}"#,
            422,
            "seconds",
        ),
        ("GET /api/v1/bans?limit=many", "", 400, "limit"),
        ("GET /api/v1/bans?lmit=1", "", 400, "lmit"),
        (
            "DELETE /api/v1/bans?network=10.0.0.0/8",
            "",
            404,
            "nothing is banned",
        ),
        ("DELETE /api/v1/state/nobody", "", 404, "no plugin"),
        (
            "DELETE /api/v1/quarantine/nothing",
            "",
            404,
            "nothing in quarantine",
        ),
        (
            "POST /api/v1/quarantine/..%2F..%2Fx/release",
            "{}",
            404,
            "nothing in quarantine",
        ),
    ] {
        let answer = admin.ask(line, body).expect(status).saying(says);
        assert!(answer.json()["error"].is_string(), "{answer:?}");
    }
    let long = format!("{{\"reason\":\"{}\"}}", "x".repeat(100_000));
    admin.ask("POST /api/v1/bans", &long).expect(413);
    let headers = format!("{}\nContent-Type: text/plain", bearer(&admin.token));
    request(admin.at, "POST /api/v1/bans", &headers, "{}").expect(415);
    // The server goes on.
    admin.server.login().send("NOOP").expect(200);
}

/// A client that says nothing, or not all of it, does not keep its place for long.
#[test]
fn slow_requests_end() {
    let admin = Admin::start();
    let mut head = TcpStream::connect(admin.at).unwrap();
    head.write_all(b"GET /api/v1/status HTTP/1.1\r\nHost: x\r\n")
        .unwrap();
    let mut body = TcpStream::connect(admin.at).unwrap();
    let request = format!(
        "POST /api/v1/bans HTTP/1.1\r\nHost: x\r\n{}\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{{",
        bearer(&admin.token)
    );
    body.write_all(request.as_bytes()).unwrap();
    let (head, body) = (read_all(head), read_all(body));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(!text(&head).contains(" 200 "), "{}", text(&head));
    assert!(text(&body).contains(" 408 "), "{}", text(&body));
}

#[test]
fn the_description_names_each_path_and_what_it_takes() {
    let admin = Admin::start();
    let document = admin.ask("GET /api/v1/openapi.json", "").expect(200).json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys() {
            let line = format!("{} {}", method.to_uppercase(), path.replace("{id}", "x"));
            // The path is there and takes the method, though the body is empty.
            if !path.ends_with("/drain") {
                let status = admin.ask(&line.replace("{plugin}", "x"), "").status;
                assert_ne!(status, 405, "{line}");
            }
        }
    }
    let ban = &document["paths"]["/api/v1/bans"]["post"]["requestBody"]["content"];
    let members = &ban["application/json"]["schema"]["properties"];
    for member in ["network", "seconds", "reason", "keep-sessions"] {
        assert!(members[member].is_object(), "{member}: {ban}");
    }
    let end = &document["paths"]["/api/v1/bans"]["delete"]["parameters"];
    let network = end
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "network");
    assert_eq!(network.unwrap()["required"], Value::Bool(true));
}

#[test]
fn a_server_is_ended() {
    let mut admin = Admin::start();
    let mut client = admin.server.login();
    admin.ask("POST /api/v1/drain", "").expect(200);
    client.reply().expect(421).saying("shutting down");
    assert!(admin.server.wait().success());
}
