//! Certificates by ACME, from Pebble, the test server of Let's Encrypt's authors.

use std::{
    fs,
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use x509_parser::prelude::*;

use crate::support::{
    Client, Server, Setup, Tls, USER, eventually, free_port,
    program::{clients, works},
    tls::Identity,
};

/// An authority with a DNS server of its own, in which all names are at 127.0.0.1.
struct Pebble {
    directory: TempDir,
    processes: Vec<Child>,
    port: u16,
    management: u16,
    dns: u16,
    http: u16,
    tls: u16,
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
        if thread::panicking() {
            let log = fs::read_to_string(self.directory.path().join("1.log"));
            eprintln!("--- the authority's log\n{}", log.unwrap_or_default());
        }
    }
}

fn program(name: &str) -> Command {
    Command::new(clients().join("bin").join(name))
}

/// None where it is not installed.
fn pebble() -> Option<Pebble> {
    works("pebble", program("pebble").arg("-version")).then(|| {
        let directory = TempDir::new().unwrap();
        let identity = Identity::server("localhost");
        fs::write(directory.path().join("ca.pem"), &identity.certificate_pem).unwrap();
        fs::write(directory.path().join("key.pem"), &identity.key_pem).unwrap();
        let mut pebble = Pebble {
            directory,
            processes: Vec::new(),
            port: free_port(),
            management: free_port(),
            dns: free_port(),
            http: free_port(),
            tls: free_port(),
        };
        pebble.start();
        pebble
    })
}

impl Pebble {
    fn start(&mut self) {
        let at = |name: &str| self.directory.path().join(name);
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{}", self.port),
            "managementListenAddress": format!("127.0.0.1:{}", self.management),
            "certificate": at("ca.pem"),
            "privateKey": at("key.pem"),
            "httpPort": self.http,
            "tlsPort": self.tls,
            "domainBlocklist": ["blocked.test"],
            "retryAfter": { "authz": 1, "order": 1 },
            "keyAlgorithm": "ecdsa",
            "profiles": { "default": { "description": "-", "validityPeriod": 7_776_000 } },
        }});
        fs::write(at("pebble.json"), config.to_string()).unwrap();
        let names = free_port();
        let mut dns = program("pebble-challtestsrv");
        dns.arg("-dnsserver").arg(format!("127.0.0.1:{names}"));
        dns.arg("-management")
            .arg(format!("127.0.0.1:{}", self.dns));
        dns.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", ""]);
        dns.args(["-defaultIPv6", ""]);
        let mut server = program("pebble");
        server.arg("-config").arg(at("pebble.json"));
        server.arg("-dnsserver").arg(format!("127.0.0.1:{names}"));
        server.env("PEBBLE_VA_NOSLEEP", "1");
        for mut command in [dns, server] {
            let log = fs::File::create(at(&format!("{}.log", self.processes.len()))).unwrap();
            command
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log);
            self.processes.push(command.spawn().unwrap());
        }
        for port in [self.port, self.management, self.dns] {
            eventually("the authority listens", || {
                TcpStream::connect(("127.0.0.1", port)).is_ok()
            });
        }
    }

    /// A server that asks it for a certificate.
    fn setup(&self, names: &str, challenge: &str) -> Setup {
        Setup::new()
            .set("acme.names", names)
            .set("acme.agree-to-terms", "true")
            .set("acme.contact", "[\"mailto:ops@example.test\"]")
            .set(
                "acme.directory",
                &format!("\"https://localhost:{}/dir\"", self.port),
            )
            .set(
                "acme.authorities",
                &format!("{:?}", self.directory.path().join("ca.pem")),
            )
            .set("acme.challenge", &format!("{challenge:?}"))
            .set("acme.http-listen", &format!("\"127.0.0.1:{}\"", self.http))
    }

    fn post(&self, scheme: &str, port: u16, path: &str, body: &serde_json::Value) {
        let status = Command::new("curl")
            .args(["--silent", "--insecure", "--fail", "--data"])
            .arg(body.to_string())
            .arg(format!("{scheme}://localhost:{port}{path}"))
            .stdout(Stdio::null())
            .status();
        assert!(status.unwrap().success(), "{path}");
    }

    /// Has the authority say when it wants a certificate renewed.
    fn renew(&self, certificate: &str, start: &str, end: &str) {
        let window = serde_json::json!({ "suggestedWindow": { "start": start, "end": end } });
        let body = serde_json::json!({
            "Certificate": certificate,
            "ARIResponse": window.to_string(),
        });
        self.post("https", self.management, "/set-renewal-info/", &body);
    }

    fn publish(&self, name: &str, value: &str) {
        let body = serde_json::json!({ "host": format!("{name}."), "value": value });
        self.post("http", self.dns, "/set-txt", &body);
    }
}

/// The issuer of the certificate that clients get, and its names.
fn shown(server: &Server) -> (String, Vec<String>) {
    let client = server.secure(&Tls::new());
    let shown = client.connection().peer_certificates().unwrap()[0].clone();
    let (_, certificate) = X509Certificate::from_der(&shown).unwrap();
    let names = certificate.subject_alternative_name().unwrap();
    let names = names.map(|names| names.value.general_names.clone());
    let names = names
        .unwrap_or_default()
        .into_iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_owned()),
            _ => None,
        });
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    (certificate.issuer().to_string(), names)
}

fn is_issued(server: &Server, names: &[&str]) -> bool {
    let (issuer, found) = shown(server);
    issuer.contains("Pebble") && found == names
}

fn works_with_transfers(server: &Server) {
    let mut client: Client = server.login();
    client.store("STOR file", b"content").expect(226);
    assert_eq!(client.retrieve("RETR file"), b"content");
}

fn status(server: &Server) -> String {
    let (status, said) = server.setup().run(&["status"]);
    assert_eq!(status, 0, "{said}");
    said
}

#[test]
fn a_certificate_is_had_by_http_kept_and_renewed_when_the_authority_says() {
    let Some(pebble) = pebble() else { return };
    let setup = pebble.setup("[\"ftp.example.test\"]", "http-01");
    let server = setup.start();
    // It serves from the first moment on.
    works_with_transfers(&server);
    let names = ["ftp.example.test"];
    eventually("the certificate is there", || is_issued(&server, &names));
    works_with_transfers(&server);
    let text = status(&server);
    assert!(
        text.contains("by ACME for ftp.example.test: expires on"),
        "{text}"
    );
    let directory = server.state().join("acme");
    let mut files = 0;
    for file in fs::read_dir(&directory).unwrap() {
        let file = file.unwrap();
        assert_eq!(
            file.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{file:?}"
        );
        files += 1;
    }
    assert_eq!(files, 3);
    assert_eq!(
        fs::metadata(&directory).unwrap().permissions().mode() & 0o777,
        0o700
    );
    // Nothing else is told at that address.
    let output = Command::new("curl")
        .args([
            "--silent",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
        ])
        .arg(format!(
            "http://127.0.0.1:{}/.well-known/acme-challenge/x",
            pebble.http
        ))
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"404");

    let chain = directory.join("certificate.pem");
    let first = fs::read_to_string(&chain).unwrap();
    let server = server.restart(|| {});
    assert!(is_issued(&server, &names));
    thread::sleep(Duration::from_secs(3));
    assert_eq!(
        fs::read_to_string(&chain).unwrap(),
        first,
        "none is ordered without need"
    );
    // The authority is asked when the server starts, and answers that it is time.
    let server = server.restart(|| {
        pebble.renew(&first, "2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z");
    });
    eventually("it is renewed", || {
        fs::read_to_string(&chain).unwrap() != first
    });
    eventually("it is shown", || is_issued(&server, &names));
    works_with_transfers(&server);
}

#[test]
fn a_certificate_is_had_by_tls_on_the_implicit_port() {
    let Some(pebble) = pebble() else { return };
    let setup = pebble
        .setup("[\"a.example.test\", \"b.example.test\"]", "tls-alpn-01")
        .set(
            "server.listen-implicit",
            &format!("[\"127.0.0.1:{}\"]", pebble.tls),
        );
    let server = setup.start();
    eventually("the certificate is there", || {
        is_issued(&server, &["a.example.test", "b.example.test"])
    });
    let mut client = Client::implicit(server.implicit, &Tls::new());
    client.login(USER);
}

/// Publishes what is there, as the operator's program would.
fn publish(directory: &Path, pebble: &Pebble) {
    for file in fs::read_dir(directory).into_iter().flatten() {
        let file = file.unwrap().path();
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let done = directory.join(format!("{name}.published"));
        if name.starts_with('.') || name.ends_with(".published") || done.exists() {
            continue;
        }
        for value in fs::read_to_string(&file).unwrap_or_default().lines() {
            pebble.publish(&name, value);
        }
        fs::write(done, "").unwrap();
    }
}

#[test]
fn a_certificate_for_a_wildcard_is_had_by_records_that_another_program_publishes() {
    let Some(pebble) = pebble() else { return };
    let server = pebble
        .setup("[\"example.test\", \"*.example.test\"]", "dns-01")
        .start();
    let directory = server.state().join("acme-dns");
    eventually("the certificate is there", || {
        publish(&directory, &pebble);
        is_issued(&server, &["*.example.test", "example.test"])
    });
    let left = || fs::read_dir(&directory).unwrap().count();
    eventually("no record is left", || left() == 0);
}

/// A refusal of the authority is said with its words; the server serves with what it has, and a reload with
/// other names does not wait.
#[test]
fn what_the_authority_refuses_is_told_and_mended_by_a_reload() {
    let Some(pebble) = pebble() else { return };
    let names = |name: &str| format!("[acme]\nnames = [\"{name}\"]\n");
    let mut server = pebble
        .setup("[]", "http-01")
        .unset("acme.names")
        .tables(&names("blocked.test"))
        .start();
    let line = server.wait_for_line(|line| line.contains("no certificate could be had"));
    assert!(line.contains("blocked.test"), "{line}");
    works_with_transfers(&server);
    let (code, text) = server.setup().run(&["status"]);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("NONE YET") && text.contains("THE LAST ORDER FAILED"),
        "{text}"
    );
    server
        .setup()
        .file("config.toml", names("good.example.test"));
    let id = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    kill_process(id, Signal::HUP).unwrap();
    eventually("the certificate is there", || {
        is_issued(&server, &["good.example.test"])
    });
}

#[test]
fn settings_that_cannot_work_are_named() {
    for (sets, key, text) in [
        (
            &[("acme.names", "[\"a b\"]")][..],
            "acme.names[0]",
            "DNS name",
        ),
        (
            &[("acme.names", "[\"*.example.org\"]")][..],
            "acme.names[0]",
            "dns-01",
        ),
        (&[][..], "acme.agree-to-terms", "true"),
        (
            &[("acme.agree-to-terms", "true"), ("acme.directory", "\"x\"")][..],
            "acme.directory",
            "URL",
        ),
        (
            &[
                ("acme.agree-to-terms", "true"),
                ("acme.contact", "[\"me\"]"),
            ][..],
            "acme.contact[0]",
            "mailto:",
        ),
        (
            &[
                ("acme.agree-to-terms", "true"),
                ("acme.challenge", "\"tls-alpn-01\""),
                ("server.listen-implicit", "[]"),
            ][..],
            "acme.challenge",
            "listen-implicit",
        ),
        (
            &[
                ("acme.agree-to-terms", "true"),
                ("acme.external-account", "\"id\""),
            ][..],
            "acme.external-account",
            "together",
        ),
    ] {
        let mut setup = Setup::new().set("acme.names", "[\"ftp.example.org\"]");
        for (key, value) in sets {
            setup = setup.set(key, value);
        }
        let (status, said) = setup.run(&["check"]);
        assert_ne!(status, 0, "{sets:?}: {said}");
        assert!(
            said.contains(key) && said.contains(text),
            "{sets:?}: {said}"
        );
    }
}
