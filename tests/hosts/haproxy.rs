//! HAProxy in front of control and data connections, with clients that know nothing of it.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
};

use crate::support::{
    Setup, USER, content, eventually, free_port,
    program::{installed, works},
};

/// The balancer's address, and that of its clients.
const BALANCER: &str = "127.0.0.2";
const CLIENT: &str = "127.0.0.5";

/// A port that is free at both addresses.
fn free() -> u16 {
    let mut all = std::iter::repeat_with(free_port);
    all.find(|port| TcpListener::bind((BALANCER, *port)).is_ok())
        .unwrap()
}

struct Balancer(Child);

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn any_client_comes_through_a_balancer_that_tells_who_it_is() {
    let there = works("haproxy", Command::new("haproxy").arg("-v"));
    if !there || !installed("curl") {
        return;
    }
    let (control, data) = (free(), free());
    let mut server = Setup::new()
        .set("server.proxy-networks", "['127.0.0.1/32']")
        .set("data.proxy-networks", "['127.0.0.1/32']")
        .set("data.passive-ports", &format!("\"{data}\""))
        .set("tls.data-binding", "\"require\"")
        .start();
    let config = server.setup().file(
        "haproxy.cfg",
        format!(
            "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n\
             listen control\n  bind {BALANCER}:{control}\n  server ftp {} send-proxy-v2\n\
             listen data\n  bind {BALANCER}:{data}\n  server ftp 127.0.0.1:{data} send-proxy-v2\n",
            server.address
        ),
    );
    let balancer = Command::new("haproxy")
        .arg("-db")
        .arg("-f")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _balancer = Balancer(balancer.unwrap());
    eventually("the balancer listens", || {
        TcpStream::connect((BALANCER, control)).is_ok()
    });
    for number in 0..8 {
        let bytes = content(300_000, number);
        fs::write(server.home().join(format!("{number}")), bytes).unwrap();
    }
    let certificate = server.certificate();
    let curl = |arguments: &[&str], name: &str| {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--disable", "--max-time", "60"])
            .args(["--ssl-reqd", "--interface", CLIENT, "--cacert"])
            .arg(&certificate)
            .args([
                "--connect-to",
                &format!("localhost:{control}:{BALANCER}:{control}"),
            ])
            .args(["--user", &format!("{USER}:{USER}")])
            .args(arguments)
            .arg(format!("ftp://localhost:{control}/{name}"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{name}: {said}");
        output.stdout
    };
    // All at once, through one port, and each gets its own.
    thread::scope(|scope| {
        for number in 0..8 {
            let (curl, home) = (&curl, server.home());
            scope.spawn(move || {
                let name = number.to_string();
                assert!(curl(&[], &name) == fs::read(home.join(&name)).unwrap());
                let file = home.join(&name);
                curl(&["-T", file.to_str().unwrap()], &format!("new{name}"));
                let new = fs::read(home.join(format!("new{name}"))).unwrap();
                assert!(new == fs::read(&file).unwrap());
            });
        }
    });
    let line = server.wait_for_line(|line| line.contains("stored"));
    assert!(line.contains(&format!("client={CLIENT}:")), "{line}");
}
