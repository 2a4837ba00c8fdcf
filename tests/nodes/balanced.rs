//! Several servers behind a balancer, with one bucket and one Redis, as one service: its clients see that one of them dies, and lose nothing.

use std::{
    fs,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    bucket::{self, holds},
    engine,
    support::{
        Client, Data, PATIENCE, Reply, Server, Tls, USER, content, eicar, eventually, free_port,
        program::works, server::walk,
    },
};

const BALANCER: [u8; 4] = [127, 0, 0, 2];
const CLIENTS: u64 = 6;
/// Uploads of one client.
const UPLOADS: u64 = 12;
/// In this time an upload arrives, whatever dies meanwhile.
const LONG: Duration = Duration::from_secs(60);
/// An upload is this far before the server that it goes to is killed.
const UNDER_WAY: usize = 11 << 20;

/// A port that is free here and at the balancer's address.
fn free() -> u16 {
    let mut all = std::iter::repeat_with(free_port);
    all.find(|port| TcpListener::bind((std::net::Ipv4Addr::from(BALANCER), *port)).is_ok())
        .unwrap()
}

/// HAProxy.
struct Balancer {
    process: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Balancer {
    /// Sessions go to each server in turn, and the data connections of each to where they are told.
    fn start(nodes: &[Node]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let address = SocketAddr::from((BALANCER, free()));
        let ip = address.ip();
        let mut text = format!(
            "defaults\n  mode tcp\n  timeout connect 2s\n  timeout client 1m\n  timeout server 1m\n  \
             option redispatch\n  retries 3\n\
             listen control\n  bind {address}\n  balance roundrobin\n  \
             default-server check inter 100ms fall 2 rise 1 on-marked-down shutdown-sessions\n"
        );
        for (number, node) in nodes.iter().enumerate() {
            let check = "check-send-proxy send-proxy-v2";
            text += &format!("  server node{number} {} {check}\n", node.control);
        }
        for Node { data, .. } in nodes {
            text += &format!(
                "listen data{data}\n  bind {ip}:{data}\n  server node 127.0.0.1:{data} send-proxy-v2\n"
            );
        }
        let config = directory.path().join("haproxy.cfg");
        fs::write(&config, text).unwrap();
        let process = Command::new("haproxy")
            .arg("-db")
            .arg("-f")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let balancer = Self {
            process,
            address,
            _directory: directory,
        };
        eventually("the balancer listens", || {
            TcpStream::connect(address).is_ok()
        });
        balancer
    }
}

/// One of the servers.
struct Node {
    server: Mutex<Option<Server>>,
    control: SocketAddr,
    data: u16,
}

impl Node {
    fn start(bucket: &bucket::Engine, redis: &engine::Engine) -> Self {
        let data = free();
        let server = bucket
            .setup()
            .set("state.url", &redis.url())
            .set("limits.sessions-per-user", "20")
            .set("storage.default.resume", "\"anywhere\"")
            .set("storage.default.partial-listing", "\"hide\"")
            .set("server.listen", &format!("[\"127.0.0.1:{}\"]", free_port()))
            .set("server.proxy-networks", "['127.0.0.1/32']")
            .set("data.proxy-networks", "['127.0.0.1/32']")
            .set("data.passive-ports", &format!("\"{data}\""))
            .set("tls.data-binding", "\"require\"")
            .start();
        Self {
            control: server.address,
            server: Mutex::new(Some(server)),
            data,
        }
    }

    /// As a machine that loses its power.
    fn kill(&self) {
        let mut server = self.server.lock().unwrap();
        if let Some(server) = &mut *server {
            server.kill();
        }
    }

    fn revive(&self) {
        let mut server = self.server.lock().unwrap();
        *server = server.take().map(Server::revive);
    }
}

/// Counts of all clients together.
#[derive(Default)]
struct Seen {
    acknowledged: AtomicUsize,
    refused: AtomicUsize,
    /// Transfers and sessions that ended without a word, or with one of failure.
    broken: AtomicUsize,
    /// Uploads that went on from what another session had sent.
    resumed: AtomicUsize,
    /// An upload that waits for its server to be killed: its name, and that server's data port.
    under_way: Mutex<Option<(String, u16)>>,
    /// Such an upload is looked for.
    wanted: AtomicBool,
}

/// Ends an upload, and takes the ticket for the next one.
fn end(mut data: Data) -> io::Result<()> {
    if let Data::Tls(stream) = &mut data {
        stream.conn.send_close_notify();
        stream.flush()?;
    }
    data.socket().shutdown(Shutdown::Write)?;
    data.read_to_end(&mut Vec::new()).map(drop)
}

struct Uploader<'a> {
    balancer: SocketAddr,
    client: Option<Client>,
    seen: &'a Seen,
}

/// The end of an attempt.
enum Ended {
    Acknowledged,
    Refused,
    Broken,
}

fn broken(reply: &Reply) -> io::Error {
    io::Error::other(format!("{reply:?}"))
}

/// A reply with one of the codes; every other one is an error.
fn expect(reply: Reply, codes: &[u16]) -> io::Result<Reply> {
    match codes.contains(&reply.code) {
        true => Ok(reply),
        false => Err(broken(&reply)),
    }
}

fn ask(client: &mut Client, command: &str) -> io::Result<Reply> {
    client.try_write(format!("{command}\r\n"))?;
    client.try_reply()
}

impl Uploader<'_> {
    fn login(&self) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&self.balancer, PATIENCE)?;
        let mut client = Client::over(stream);
        expect(client.try_reply()?, &[220])?;
        expect(ask(&mut client, "AUTH TLS")?, &[234])?;
        let tls = Tls::new();
        client.handshake(&tls)?;
        client.tls = Some(tls);
        for (command, code) in [
            (format!("USER {USER}"), 331),
            (format!("PASS {USER}"), 230),
            ("PBSZ 0".to_owned(), 200),
            ("PROT P".to_owned(), 200),
            ("TYPE I".to_owned(), 200),
        ] {
            expect(ask(&mut client, &command)?, &[code])?;
        }
        Ok(client)
    }

    /// Sends a file until it is acknowledged or refused.
    fn upload(&mut self, name: &str, bytes: &[u8], bad: bool) {
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < LONG, "{name} never arrived");
            match self.attempt(name, bytes) {
                Ok(Ended::Acknowledged) => {
                    assert!(!bad, "{name} was to be refused");
                    self.seen.acknowledged.fetch_add(1, Relaxed);
                    return;
                }
                Ok(Ended::Refused) => {
                    assert!(bad, "{name} was refused");
                    self.seen.refused.fetch_add(1, Relaxed);
                    return;
                }
                Ok(Ended::Broken) => {}
                Err(_) => self.client = None,
            }
            self.seen.broken.fetch_add(1, Relaxed);
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn attempt(&mut self, name: &str, bytes: &[u8]) -> io::Result<Ended> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => self.login()?,
        };
        let size = expect(ask(&mut client, &format!("SIZE {name}"))?, &[213, 550])?;
        let offset = match size.code {
            213 => size.text().trim().parse().unwrap(),
            _ => 0,
        };
        if offset == bytes.len() && !bytes.is_empty() {
            // It was published, and the reply was lost.
            self.client = Some(client);
            return Ok(Ended::Acknowledged);
        }
        assert!(offset < bytes.len(), "{name}: {offset}");
        let opened = expect(ask(&mut client, "EPSV")?, &[229])?;
        let port: u16 = opened.text().split('|').nth(3).unwrap().parse().unwrap();
        if offset > 0 {
            expect(ask(&mut client, &format!("REST {offset}"))?, &[350])?;
        }
        let stream = TcpStream::connect((self.balancer.ip(), port))?;
        let begun = expect(ask(&mut client, &format!("STOR {name}"))?, &[150, 450, 451])?;
        if begun.code != 150 {
            // The first server has not noticed yet that its client is gone.
            self.client = Some(client);
            return Ok(Ended::Broken);
        }
        if offset > 0 {
            self.seen.resumed.fetch_add(1, Relaxed);
        }
        let mut data = Data::tls(stream, client.tls.as_ref().unwrap())?;
        let mut sent = offset;
        for piece in bytes[offset..].chunks(1 << 20) {
            if data.send(piece).is_err() {
                break;
            }
            sent += piece.len();
            if sent >= UNDER_WAY && self.seen.wanted.swap(false, SeqCst) {
                *self.seen.under_way.lock().unwrap() = Some((name.to_owned(), port));
                eventually("its server is killed", || {
                    self.seen.under_way.lock().unwrap().is_none()
                });
            }
        }
        let _ = end(data);
        let reply = client.try_reply()?;
        self.client = Some(client);
        match reply.code {
            226 => Ok(Ended::Acknowledged),
            550 | 552..=554 => Ok(Ended::Refused),
            425 | 426 | 450 | 451 => Ok(Ended::Broken),
            _ => Err(broken(&reply)),
        }
    }
}

/// The name and the content of an upload, and whether it is one to be refused.
fn planned(client: u64, number: u64) -> (String, Vec<u8>, bool) {
    let seed = client * 1000 + number;
    let length = match number % 3 {
        0 => 16 << 20,
        1 => 70_000,
        _ => usize::try_from(seed * 7919 % 5000).unwrap() + 1,
    };
    let mut bytes = content(length, seed);
    let bad = number % 4 == 3;
    if bad {
        bytes.extend(eicar());
    }
    let kind = if bad { "bad" } else { "good" };
    (format!("{kind}-{client}-{number}"), bytes, bad)
}

/// The names of the files in a home, as nobody but the bucket's owner sees them.
fn published(home: &Path) -> Vec<String> {
    let mut names = Vec::new();
    if home.exists() {
        walk(home, &mut |path| {
            names.push(path.file_name().unwrap().to_string_lossy().into_owned());
        });
    }
    names
}

#[test]
fn a_server_that_is_killed_under_load_loses_nothing() {
    let (Some(bucket), Some(redis)) = (bucket::Engine::start(), engine::Engine::start()) else {
        return;
    };
    if !works("haproxy", Command::new("haproxy").arg("-v")) {
        return;
    }
    let nodes: Vec<_> = (0..3).map(|_| Node::start(&bucket, &redis)).collect();
    let balancer = Balancer::start(&nodes);
    let (seen, ended) = (Seen::default(), AtomicBool::new(false));
    let home = bucket.home_of(USER);
    thread::scope(|scope| {
        let uploaders: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let seen = &seen;
                let mut uploader = Uploader {
                    balancer: balancer.address,
                    client: None,
                    seen,
                };
                scope.spawn(move || {
                    for upload in 0..UPLOADS {
                        let (name, bytes, bad) = planned(number, upload);
                        uploader.upload(&name, &bytes, bad);
                    }
                })
            })
            .collect();
        let watcher = scope.spawn(|| {
            while !ended.load(SeqCst) {
                let names = published(&home);
                assert!(
                    !names.iter().any(|name| name.starts_with("bad")),
                    "{names:?}"
                );
                thread::sleep(Duration::from_millis(5));
            }
        });
        // One after the other, each with an upload on its way, and each comes back.
        for _ in 0..2 {
            seen.wanted.store(true, SeqCst);
            let under_way = || seen.under_way.lock().unwrap().clone();
            eventually("an upload is under way", || under_way().is_some());
            let (name, port) = under_way().unwrap();
            let looker = Uploader {
                balancer: balancer.address,
                client: None,
                seen: &seen,
            };
            let mut looker = looker.login().unwrap();
            eventually("every server could go on with it", || {
                let told = looker.send(&format!("SIZE {name}"));
                told.code == 213 && told.text().trim().parse::<usize>().unwrap() >= 10_000_000
            });
            let node = nodes.iter().find(|node| node.data == port).unwrap();
            node.kill();
            *seen.under_way.lock().unwrap() = None;
            thread::sleep(Duration::from_secs(1));
            node.revive();
        }
        for uploader in uploaders {
            uploader.join().unwrap();
        }
        ended.store(true, SeqCst);
        watcher.join().unwrap();
    });
    let [acknowledged, refused, broken, resumed] = [
        &seen.acknowledged,
        &seen.refused,
        &seen.broken,
        &seen.resumed,
    ]
    .map(|count| count.load(Relaxed));
    eprintln!("{acknowledged} acknowledged, {refused} refused, {broken} broken, {resumed} resumed");
    let mut expected = Vec::new();
    for (client, number) in (0..CLIENTS).flat_map(|client| (0..UPLOADS).map(move |n| (client, n))) {
        let (name, bytes, bad) = planned(client, number);
        assert_eq!(holds(&home.join(&name), &bytes), !bad, "{name}");
        if !bad {
            expected.push(name);
        }
    }
    assert_eq!(acknowledged, expected.len());
    let mut names = published(&home);
    names.sort();
    expected.sort();
    assert_eq!(names, expected);
    assert!(broken >= 2 && resumed >= 2);
}
