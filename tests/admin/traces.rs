//! Traces: `[traces]`, with a collector that reads them as OpenTelemetry defines them.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value, trace::v1::Span,
};
use prost::Message;
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::{
    built,
    support::{Setup, Tls, eventually, tls::Identity},
};

/// The spans that have come, and the bytes that they came in.
#[derive(Default)]
struct Received {
    spans: Vec<Span>,
    heads: Vec<String>,
    bytes: Vec<u8>,
}

#[derive(Clone)]
struct Collector {
    address: SocketAddr,
    received: Arc<Mutex<Received>>,
    status: Arc<Mutex<&'static str>>,
}

impl Collector {
    fn start(tls: Option<&Identity>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let collector = Self {
            address: listener.local_addr().unwrap(),
            received: Arc::default(),
            status: Arc::new(Mutex::new("200 OK")),
        };
        let own = collector.clone();
        let tls = tls.map(|identity| {
            let certificate = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate.unwrap()], key);
            Arc::new(config.unwrap())
        });
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                match &tls {
                    None => own.answer(client),
                    Some(config) => {
                        let connection = ServerConnection::new(config.clone()).unwrap();
                        own.answer(StreamOwned::new(connection, client));
                    }
                }
            }
        });
        collector
    }

    fn answer<S: Read + Write>(&self, stream: S) {
        let mut stream = BufReader::new(stream);
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(number) = lower.strip_prefix("content-length:") {
                length = number.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        let status = *self.status.lock().unwrap();
        if status.starts_with("200") {
            let request = ExportTraceServiceRequest::decode(&*body).unwrap();
            let resources = request.resource_spans.into_iter();
            let scopes = resources.flat_map(|resource| {
                let named = resource.resource.unwrap().attributes;
                let named = named.iter().any(|pair| pair.key == "service.name");
                assert!(named);
                resource.scope_spans
            });
            let mut received = self.received.lock().unwrap();
            received.spans.extend(scopes.flat_map(|scope| scope.spans));
            received.heads.push(head);
            received.bytes.extend(&body);
        }
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let _ = stream.get_mut().write_all(answer.as_bytes());
    }

    fn endpoint(&self) -> String {
        format!("\"http://{}\"", self.address)
    }

    fn spans(&self) -> Vec<Span> {
        self.received.lock().unwrap().spans.clone()
    }

    fn wait(&self, name: &str) -> Span {
        eventually(&format!("the span {name}"), || {
            self.spans().iter().any(|span| span.name == name)
        });
        let spans = self.spans();
        spans.into_iter().find(|span| span.name == name).unwrap()
    }
}

fn attribute(span: &Span, key: &str) -> String {
    let pair = span.attributes.iter().find(|pair| pair.key == key);
    let value = pair.and_then(|pair| pair.value.clone()?.value);
    match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn setup(collector: &Collector) -> Setup {
    Setup::new()
        .set("traces.endpoint", &collector.endpoint())
        .plugin("inspector", &built("faulty-inspector"), "")
        .users_plugin()
}

/// Everything in a session that took time is a span beneath that of the session, and the end of the
/// server loses none.
#[test]
fn a_session_is_a_trace() {
    let collector = Collector::start(None);
    let mut server = setup(&collector).start();
    let mut client = server.secure(&Tls::new());
    client.login("alice");
    client.send("PBSZ 0").expect(200);
    client.send("PROT P").expect(200);
    client.send("TYPE I").expect(200);
    client.store("STOR kept", b"0123456789").expect(226);
    client.retrieve("RETR kept");
    client.store("STOR quarantine-it", b"bad").expect(550);
    let mut data = client.begin("STOR cut");
    data.send(b"half").unwrap();
    data.cut();
    client.reply().expect_one_of(&[426, 451]);
    client.send("QUIT").expect(221);
    client.rest();
    let mut wrong = server.secure(&Tls::new());
    wrong.send("USER alice").expect(331);
    wrong.send("PASS notthepassword").expect(530);
    server.terminate();
    assert!(server.wait().success());

    let spans = collector.spans();
    let session = spans
        .iter()
        .find(|span| span.name == "session" && attribute(span, "user.name") == "alice");
    let session = session.unwrap_or_else(|| panic!("{spans:#?}"));
    assert!(session.parent_span_id.is_empty());
    assert_eq!(session.trace_id.len(), 16);
    assert_eq!(attribute(session, "tls.protocol.version"), "1.3");
    assert_eq!(attribute(session, "client.address"), "127.0.0.1");
    let own: Vec<&Span> = spans
        .iter()
        .filter(|span| span.trace_id == session.trace_id)
        .collect();
    let of = |name: &str| -> Vec<&&Span> { own.iter().filter(|one| one.name == name).collect() };
    for (name, path, size, error) in [
        ("download", "/kept", "10", "None"),
        ("upload", "/kept", "10", "None"),
        ("upload", "/quarantine-it", "3", "quarantined"),
        ("upload", "/cut", "4", "426"),
    ] {
        let of = of(name);
        let found = of.iter().find(|one| attribute(one, "file.path") == path);
        let found = found.unwrap_or_else(|| panic!("{name} {path}: {own:#?}"));
        assert_eq!(attribute(found, "file.size"), size, "{found:?}");
        assert_eq!(attribute(found, "error.type"), error, "{found:?}");
        let failed = found.status.as_ref().is_some_and(|status| status.code == 2);
        assert_eq!(failed, error != "None", "{found:?}");
    }
    assert_eq!(of("login").len(), 1);
    let asked = of("authenticator users");
    assert_eq!(asked.len(), 1);
    assert_eq!(attribute(asked[0], "portcullis.answer"), "accept");
    let verdicts: Vec<String> = of("inspector inspector")
        .iter()
        .map(|span| attribute(span, "portcullis.answer"))
        .collect();
    assert!(verdicts.contains(&"accept".to_owned()), "{verdicts:?}");
    assert!(verdicts.contains(&"quarantine".to_owned()), "{verdicts:?}");
    for span in &own {
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
        assert!(span.start_time_unix_nano + 1_000_000 >= session.start_time_unix_nano);
        if span.name != "session" {
            assert_eq!(span.parent_span_id, session.span_id, "{span:?}");
        }
    }
    // The other session is another trace.
    let refused = spans
        .iter()
        .find(|span| attribute(span, "error.type") == "refused");
    let refused = refused.unwrap_or_else(|| panic!("{spans:#?}"));
    assert_eq!(refused.name, "login");
    assert_ne!(refused.trace_id, session.trace_id);
    let received = collector.received.lock().unwrap();
    let text = String::from_utf8_lossy(&received.bytes);
    assert!(!text.contains("notthepassword"));
    assert!(received.heads[0].starts_with("POST /v1/traces HTTP/1.1"));
}

/// A collector that is away, or refuses, costs nobody anything but spans: the log says so once, and when
/// it works again.
#[test]
fn without_a_collector_all_else_goes_on() {
    let collector = Collector::start(None);
    *collector.status.lock().unwrap() = "503 Service Unavailable";
    let mut server = setup(&collector).start();
    server.login().send("QUIT").expect(221);
    let line = server.wait_for_line(|line| line.contains("traces cannot be sent"));
    assert!(line.contains("503"), "{line}");
    for _ in 0..3 {
        server.login().send("QUIT").expect(221);
    }
    *collector.status.lock().unwrap() = "200 OK";
    eventually("spans are sent again", || {
        server.login().send("QUIT").expect(221);
        server.log().contains("traces are sent again")
    });
    let text = server.log();
    assert_eq!(text.matches("traces cannot be sent").count(), 1, "{text}");
}

/// The collector's certificate has to be one that is trusted.
#[test]
fn a_collector_behind_tls_has_to_be_trusted() {
    let identity = Identity::server("localhost");
    let collector = Collector::start(Some(&identity));
    let endpoint = format!("\"https://localhost:{}/spans\"", collector.address.port());
    let start = |trusted: bool| {
        let setup = Setup::new().set("traces.endpoint", &endpoint);
        let file = setup.file("collector.pem", &identity.certificate_pem);
        match trusted {
            true => setup.set("traces.authorities", &format!("{file:?}")),
            false => setup,
        }
        .start()
    };
    let mut server = start(false);
    server.login().send("QUIT").expect(221);
    let line = server.wait_for_line(|line| line.contains("traces cannot be sent"));
    assert!(line.contains("certificate"), "{line}");
    assert!(collector.spans().is_empty());
    let server = start(true);
    server.login().send("QUIT").expect(221);
    collector.wait("session");
    let received = collector.received.lock().unwrap();
    assert!(received.heads[0].starts_with("POST /spans HTTP/1.1"));
}

#[test]
fn a_collector_that_cannot_be_is_refused_with_its_key() {
    for (key, value, text) in [
        ("traces.endpoint", "\"127.0.0.1:4318\"", "expected a URL"),
        ("traces.endpoint", "\"ftp://host\"", "expected a URL"),
        ("traces.endpoint", "\"http://user@host\"", "expected a URL"),
        ("traces.share", "0", "1"),
        ("traces.authorities", "\"missing.pem\"", "missing.pem"),
    ] {
        let mut setup = Setup::new();
        if key == "traces.authorities" {
            setup = setup.set("traces.endpoint", "\"https://localhost:4318\"");
        }
        let setup = setup.set(key, value);
        let (status, said) = setup.run(&["check"]);
        assert_ne!(status, 0, "{key} {value}: {said}");
        assert!(said.contains(key), "{key} {value}: {said}");
        assert!(said.contains(text), "{key} {value}: {said}");
    }
}
