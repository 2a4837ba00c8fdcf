//! `/metrics`, `/healthz`, `/readyz`, and what is made of them.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    address, built,
    http::{bearer, request},
    setup,
    support::{
        Server,
        program::{expect, installed},
    },
    token,
};

fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("packaging/prometheus")
        .join(name)
}

/// The address of the metrics.
fn metrics(server: &mut Server) -> SocketAddr {
    let line = server.wait_for_line(|line| line.contains("metrics at"));
    let address = line.split("address=").nth(1).unwrap();
    address.split_whitespace().next().unwrap().parse().unwrap()
}

/// A server at which something of each kind has happened, and its metrics.
fn busy() -> (Server, SocketAddr, String) {
    let setup = setup()
        .set("metrics.listen", "\"127.0.0.1:0\"")
        .plugin("inspector", &built("faulty-inspector"), "")
        .users_plugin();
    let mut server = setup.start();
    let at = metrics(&mut server);
    let mut client = server.login();
    client.store("STOR secretname", &[7; 1000]).expect(226);
    client.retrieve("RETR secretname");
    client.store("STOR quarantine-it", b"bad").expect(550);
    client.send("DELE secretname").expect(250);
    let mut data = client.begin("STOR cut");
    data.send(b"half").unwrap();
    data.cut();
    client.reply().expect_one_of(&[426, 451]);
    let mut wrong = server.secure(&crate::support::Tls::new());
    wrong.send("USER alice").expect(331);
    wrong.send("PASS wrong").expect(530);
    wrong.send("QUIT").expect(221);
    wrong.rest();
    let text = request(at, "GET /metrics", "", "").expect(200).body;
    (server, at, text)
}

fn value(text: &str, series: &str) -> f64 {
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{series} ")));
    let line = line.unwrap_or_else(|| panic!("{series}: {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn what_happened_is_counted_and_nobody_is_named() {
    let (mut server, at, text) = busy();
    for (series, expected) in [
        ("portcullis_connections_total", 2.0),
        ("portcullis_logins_total{outcome=\"accepted\"}", 1.0),
        ("portcullis_logins_total{outcome=\"refused\"}", 1.0),
        (
            "portcullis_transfers_total{direction=\"upload\",outcome=\"complete\"}",
            1.0,
        ),
        (
            "portcullis_transfers_total{direction=\"download\",outcome=\"complete\"}",
            1.0,
        ),
        (
            "portcullis_transfers_total{direction=\"upload\",outcome=\"quarantined\"}",
            1.0,
        ),
        (
            "portcullis_transfers_total{direction=\"upload\",outcome=\"failed\"}",
            1.0,
        ),
        (
            "portcullis_transfer_failures_total{direction=\"upload\",cause=\"client\"}",
            1.0,
        ),
        (
            "portcullis_transfer_bytes_total{direction=\"upload\"}",
            1000.0,
        ),
        (
            "portcullis_transfer_duration_seconds_count{direction=\"download\"}",
            1.0,
        ),
        ("portcullis_operations_total{operation=\"delete\"}", 1.0),
        ("portcullis_sessions_ended_total{version=\"TLSv1.3\"}", 1.0),
        ("portcullis_sessions", 1.0),
        ("portcullis_quarantined_uploads{storage=\"default\"}", 1.0),
        ("portcullis_broken_uploads{storage=\"default\"}", 1.0),
        ("portcullis_plugin_healthy{plugin=\"inspector\"}", 1.0),
        (
            "portcullis_data_connections_total{protection=\"resumed\"}",
            4.0,
        ),
        (
            "portcullis_plugin_dropped_events_total{plugin=\"inspector\"}",
            0.0,
        ),
        ("portcullis_log_dropped_lines_total", 0.0),
    ] {
        assert_eq!(value(&text, series), expected, "{series}");
    }
    assert!(value(&text, "portcullis_plugin_calls_total{plugin=\"inspector\"}") >= 3.0);
    for series in ["call_duration", "call_cpu", "wait"] {
        let series = format!("portcullis_plugin_{series}_seconds");
        let count = value(&text, &format!("{series}_count{{plugin=\"inspector\"}}"));
        assert!(count >= 3.0, "{series}: {count}");
        let all = format!("{series}_bucket{{le=\"+Inf\",plugin=\"inspector\"}}");
        assert_eq!(value(&text, &all), count, "{series}");
    }
    assert!(
        text.contains("portcullis_certificate_expiry_time_seconds{key=\"tls.certificate\""),
        "{text}"
    );
    for name in ["alice", "secretname", "127.0.0.1"] {
        assert!(!text.contains(name), "{name}");
    }
    request(at, "GET /healthz", "", "").expect(200);
    request(at, "GET /readyz", "", "")
        .expect(200)
        .saying("ready");
    // Here there is nothing else.
    request(at, "GET /api/v1/status", "", "").expect(404);
    request(at, "POST /api/v1/drain", "", "").expect(404);
    // And there to those alone who may.
    let admin = address(&mut server);
    request(admin, "GET /metrics", "", "").expect(401);
    let look = token(&server, "prometheus", "look");
    request(admin, "GET /metrics", &bearer(&look), "")
        .expect(200)
        .saying("portcullis_sessions");
}

/// A server that drains is alive and not ready.
#[test]
fn a_server_that_drains_is_not_ready() {
    let (mut server, at, _) = busy();
    let mut client = server.login();
    let mut data = client.begin("STOR file");
    data.send(b"first").unwrap();
    server.terminate();
    server.wait_for_line(|line| line.contains("shutting down"));
    request(at, "GET /healthz", "", "").expect(200);
    request(at, "GET /readyz", "", "").expect(503);
    data.finish().unwrap();
    client.reply().expect(226);
}

#[test]
fn prometheus_reads_all_of_it() {
    let (_server, _, text) = busy();
    let names: BTreeSet<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    // Each series that alerts and the dashboard ask for is there.
    for file in ["portcullis.rules.yml", "grafana.json"] {
        let content = fs::read_to_string(packaging(file)).unwrap();
        let asked = content.match_indices("portcullis_").map(|(at, _)| {
            let name = &content[at..];
            let end = name.find(|c: char| c != '_' && !c.is_ascii_lowercase());
            &name[..end.unwrap_or(name.len())]
        });
        // Where nothing has happened yet, and nothing is shared, there is no series.
        let late = [
            "portcullis_data_connections_dropped_total",
            "portcullis_shared_state_away",
        ];
        for name in asked {
            assert!(
                names.contains(name) || late.contains(&name),
                "{file}: {name}"
            );
        }
    }
    let dashboard: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(packaging("grafana.json")).unwrap()).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 8);
    if !installed("promtool") {
        return;
    }
    expect(
        Command::new("promtool")
            .args(["check", "rules"])
            .arg(packaging("portcullis.rules.yml")),
    );
    let mut check = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It reads the older text format, which has no line for the end.
    let old: String = text
        .lines()
        .filter(|line| !line.starts_with("# EOF"))
        .map(|line| format!("{line}\n"))
        .collect();
    check
        .stdin
        .take()
        .unwrap()
        .write_all(old.as_bytes())
        .unwrap();
    let output = check.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!said.contains("error while linting"), "{said}");
}
