//! `webhook`.

use aws_lc_rs::hmac;

use crate::{
    early::{self, Then},
    installed,
    service::{Service, body},
    support::{Server, Setup, tls::hex},
};

fn server(service: &Service, path: &str, more: &str) -> Server {
    let origin = service.origin();
    let lines = format!("settings.url = \"{origin}{path}\"\ngrants.http = [\"{origin}\"]\n{more}");
    Setup::new()
        .users_plugin()
        .plugin("webhook", "builtin:webhook", &lines)
        .start()
}

#[test]
fn tells_what_happened() {
    if !installed("python3", "python3") {
        return;
    }
    let service = Service::start();
    let more = "settings.secret = \"Jefe\"\nsettings.events = [\"login\", \"upload\"]\n";
    let server = server(&service, "/hook", more);
    let mut client = server.login();
    client.store("STOR file", b"content").expect(226);
    client.send("DELE file").expect(250);
    crate::support::eventually("both events have come", || events(&service).len() >= 2);
    client.send("QUIT").expect(221);

    let events = events(&service);
    assert_eq!(
        (&events[0]["event"], &events[1]["event"]),
        (&"login".into(), &"upload".into())
    );
    assert_eq!(events[1]["path"], "/file");
    assert_eq!(events[1]["user"], "alice");
    let request = &service.seen()[0];
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
    let tag = hmac::sign(&key, request["body"].as_str().unwrap().as_bytes());
    let signature = format!("sha256={}", hex(tag.as_ref()));
    assert_eq!(request["headers"]["x-portcullis-signature"], signature);
}

fn events(service: &Service) -> Vec<serde_json::Value> {
    let seen = service.seen();
    let lists = seen.iter().map(|request| body(request)["events"].clone());
    lists
        .flat_map(|list| list.as_array().unwrap().clone())
        .collect()
}

#[test]
fn tries_again() {
    if !installed("python3", "python3") {
        return;
    }
    let service = Service::start();
    let server = server(&service, "/fail/2/503", "settings.events = [\"login\"]\n");
    let _client = server.login();
    let seen = service.wait_for(3);
    let id = |request: &serde_json::Value| request["headers"]["x-portcullis-delivery"].clone();
    assert_eq!(id(&seen[0]), id(&seen[2]));
    assert!(id(&seen[0]).is_string());
    assert_eq!(seen[0]["body"], seen[2]["body"]);
}

#[test]
fn says_when_it_gives_up() {
    if !installed("python3", "python3") {
        return;
    }
    let service = Service::start();
    let mut server = server(
        &service,
        "/fail/1000/404",
        "settings.events = [\"login\"]\n",
    );
    let _client = server.login();
    server.wait_for_line(|line| line.contains("webhook") && line.contains("answers 404"));
    assert!(server.is_running());
}

/// RFC 9112 §9.5: the status is the answer, whatever becomes of the rest.
#[test]
fn regression_an_answer_counts_though_the_events_were_not_read() {
    for then in [Then::Closes, Then::Stays] {
        let origin = early::start("", then);
        let lines = format!(
            "settings.url = \"{origin}/\"\ngrants.http = [\"{origin}\"]\n\
             settings.give-up-after = 1\n"
        );
        let mut server = Setup::new()
            .users_plugin()
            .plugin("webhook", "builtin:webhook", &lines)
            .start();
        for _ in 0..30 {
            let mut client = server.login();
            client.send("QUIT").expect(221);
        }
        let plugin = || {
            let (code, said) = server.setup().run(&["status", "--json"]);
            assert_eq!(code, 0, "{said}");
            let status: serde_json::Value = serde_json::from_str(&said).unwrap();
            let plugins = status["plugins"].as_array().unwrap();
            let webhook = plugins.iter().find(|plugin| plugin["name"] == "webhook");
            webhook.unwrap().clone()
        };
        crate::support::eventually("it has delivered", || plugin()["calls"].as_u64() > Some(0));
        server.terminate();
        server.wait();
        assert!(!server.log().contains("unavailable"), "{}", server.log());
    }
}
