//! Transfers: the control connection in memory, data connections on loopback.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::*;
use crate::{
    gate::{
        Fault, Named, SessionInfo,
        upload::{Inspector, Upload, Verdict},
    },
    session::Shutdown,
    types::{BoxFuture, OnFailure},
};

/// Far more than any of these tests takes.
const LIMIT: Duration = Duration::from_secs(30);

/// EPSV, and a connection to where it listens.
async fn open(client: &mut Client) -> TcpStream {
    let answer = expect(client, "EPSV", "229").await;
    let port = answer.rsplit('|').nth(1).unwrap().parse().unwrap();
    TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .await
        .unwrap()
}

pub(super) async fn store(client: &mut Client, path: &str, content: &[u8]) {
    let mut data = open(client).await;
    expect(client, &format!("STOR {path}"), "150").await;
    data.write_all(content).await.unwrap();
    drop(data);
    next(client, "226").await;
}

async fn binary(harness: &Harness) -> Client {
    let mut client = alice(harness).await;
    expect(&mut client, "TYPE I", "200").await;
    client
}

#[tokio::test]
async fn a_file_goes_there_and_back() {
    let harness = harness(|_| {});
    let mut client = binary(&harness).await;
    let content = vec![7; 300_000];
    store(&mut client, "file", &content).await;
    let mut data = open(&mut client).await;
    expect(&mut client, "RETR file", "150").await;
    let mut back = Vec::new();
    timeout(LIMIT, data.read_to_end(&mut back))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(back, content);
    next(&mut client, "226").await;
    expect(&mut client, "SIZE file", "213 300000").await;
}

/// Nothing is visible of an upload that was given up, and it waits to be resumed.
#[tokio::test]
async fn abor_ends_an_upload() {
    let harness = harness(|_| {});
    let mut client = binary(&harness).await;
    let mut data = open(&mut client).await;
    expect(&mut client, "STOR file", "150").await;
    data.write_all(b"0123456789").await.unwrap();
    // STAT tells when they have arrived; what else is sent waits for its turn.
    while !client.send("STAT").await.unwrap().contains("10 bytes") {}
    client.write(b"ABOR\r\nNOOP\r\n").await.unwrap();
    next(&mut client, "426").await;
    next(&mut client, "226").await;
    next(&mut client, "200").await;
    let visible = harness.directory.path().join("files/alice/file");
    assert!(!visible.exists());
    expect(&mut client, "SIZE file", "213 10").await;
}

#[tokio::test]
async fn abor_ends_a_download() {
    let harness = harness(|_| {});
    let mut client = binary(&harness).await;
    store(&mut client, "file", &vec![7; 8 << 20]).await;
    let mut data = open(&mut client).await;
    expect(&mut client, "RETR file", "150").await;
    data.read_exact(&mut [0; 1000]).await.unwrap();
    client.write(b"ABOR\r\n").await.unwrap();
    next(&mut client, "426").await;
    next(&mut client, "226").await;
    let mut rest = Vec::new();
    let _ = timeout(LIMIT, data.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.len() < 8 << 20);
    expect(&mut client, "NOOP", "200").await;
}

/// Commands that come while a transfer runs are answered behind it, in order, and no more of them are
/// kept than the configuration says; one that is left out leaves out those behind it.
#[tokio::test]
async fn commands_wait_for_the_transfer() {
    let harness = harness(|config| config.limits.queued_commands = 2);
    let mut client = binary(&harness).await;
    let mut data = open(&mut client).await;
    expect(&mut client, "STOR file", "150").await;
    let lines = b"PWD\r\nMKD a\r\nMKD b\r\nNOOP\r\n";
    client.write(lines).await.unwrap();
    data.write_all(b"content").await.unwrap();
    expect(&mut client, "STAT", "213").await;
    drop(data);
    next(&mut client, "226").await;
    for reply in ["257 \"/\"", "257 \"/a\"", "503", "503"] {
        next(&mut client, reply).await;
    }
    expect(&mut client, "CWD b", "550").await;
}

#[tokio::test]
async fn a_transfer_ends_before_the_server_does() {
    let harness = harness(|_| {});
    let mut client = binary(&harness).await;
    let mut data = open(&mut client).await;
    expect(&mut client, "STOR file", "150").await;
    data.write_all(b"0123").await.unwrap();
    harness.shutdown.send_replace(Shutdown::Draining);
    data.write_all(b"4567").await.unwrap();
    drop(data);
    next(&mut client, "226").await;
    next(&mut client, "421").await;
    let file = harness.directory.path().join("files/alice/file");
    assert_eq!(std::fs::read(file).unwrap(), b"01234567");
}

#[tokio::test]
async fn a_transfer_that_is_cut_is_kept() {
    let harness = harness(|_| {});
    let mut client = binary(&harness).await;
    let mut data = open(&mut client).await;
    expect(&mut client, "STOR file", "150").await;
    data.write_all(b"0123").await.unwrap();
    while !client.send("STAT").await.unwrap().contains("4 bytes") {}
    harness.shutdown.send_replace(Shutdown::Cutting);
    next(&mut client, "426").await;
    next(&mut client, "421").await;
    client.close().await;
    harness.shutdown.send_replace(Shutdown::None);
    let mut client = binary(&harness).await;
    expect(&mut client, "SIZE file", "213 4").await;
    expect(&mut client, "REST 4", "350").await;
    let mut data = open(&mut client).await;
    expect(&mut client, "STOR file", "150").await;
    data.write_all(b"4567").await.unwrap();
    drop(data);
    next(&mut client, "226").await;
    expect(&mut client, "SIZE file", "213 8").await;
}

/// An inspector that is busy with something else.
struct Busy;

impl Inspector for Busy {
    fn inspect(
        &self,
        _: Arc<SessionInfo>,
        upload: Upload,
    ) -> BoxFuture<'static, Result<Verdict, Fault>> {
        Box::pin(async move {
            let _unread = upload;
            std::future::pending().await
        })
    }
}

/// A server whose inspector takes its time with everything.
fn busy() -> Harness {
    let hosts = |config: &Config| {
        let mut host = HostSetup::new("", config)?;
        host.gates.inspectors.push(Named {
            name: "busy".into(),
            on_failure: OnFailure::Deny,
            gate: Arc::new(Busy),
        });
        Ok(vec![host])
    };
    Harness::with_hosts(|_| {}, hosts).unwrap()
}

/// A client that is told that all is there would send nothing, and have nothing published: of an upload that
/// was cut when all of it had come, and waited for an inspector, less is told.
#[tokio::test]
async fn of_what_lacks_its_verdict_alone_not_all_is_told() {
    for length in [1, 1000, 100_000, 300_000] {
        let harness = busy();
        let mut client = binary(&harness).await;
        let mut data = open(&mut client).await;
        expect(&mut client, "STOR file", "150").await;
        data.write_all(&vec![7; length]).await.unwrap();
        drop(data);
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.write(b"ABOR\r\n").await.unwrap();
        next(&mut client, "426").await;
        next(&mut client, "226").await;
        let size = client.send("SIZE file").await.unwrap();
        let told = size.strip_prefix("213 ").unwrap_or("0").trim();
        let told: usize = told.parse().unwrap();
        assert!(told < length, "{size}");
        assert!(
            told + 1 == length || length > 256 << 10,
            "{size} of {length}"
        );
    }
}

/// All that STAT has told of is there to be resumed, also where it waited for an inspector.
#[tokio::test]
async fn bytes_that_wait_for_an_inspector_are_kept() {
    for (ascii, first) in [(false, 1000), (false, 70_000), (true, 30_000)] {
        let harness = busy();
        let mut client = binary(&harness).await;
        let mut data = open(&mut client).await;
        let kind = if ascii { "TYPE A" } else { "TYPE I" };
        expect(&mut client, kind, "200").await;
        expect(&mut client, "STOR file", "150").await;
        // So that what is read at a time and what is staged at a time end at different places.
        data.write_all(&vec![7; first]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        data.write_all(&vec![7; 1_000_000]).await.unwrap();
        let mut told = String::new();
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = client.send("STAT").await.unwrap();
            if now == told {
                break;
            }
            told = now;
        }
        let moved: String = told.chars().skip(4).filter(char::is_ascii_digit).collect();
        client.write(b"ABOR\r\n").await.unwrap();
        next(&mut client, "426").await;
        next(&mut client, "226").await;
        expect(&mut client, "TYPE I", "200").await;
        let size = client.send("SIZE file").await.unwrap();
        let size: u64 = size.trim_start_matches("213 ").trim().parse().unwrap();
        assert!(size >= moved.parse().unwrap(), "{size}: {told}");
    }
}

#[tokio::test]
async fn an_upload_has_a_size() {
    let harness = harness(|config| config.limits.upload_size = 10);
    let mut client = binary(&harness).await;
    store(&mut client, "file", &[7; 10]).await;
    let mut data = open(&mut client).await;
    expect(&mut client, "STOR file", "150").await;
    let _ = data.write_all(&[8; 11]).await;
    drop(data);
    next(&mut client, "552").await;
    expect(&mut client, "SIZE file", "213 10").await;
}

/// RFC 1123 §4.1.3.2: a transfer is no silence.
#[tokio::test]
async fn a_transfer_is_not_idle() {
    let idle = Duration::from_millis(300);
    let harness = harness(|config| config.limits.idle_timeout = idle);
    let mut client = binary(&harness).await;
    let mut data = open(&mut client).await;
    expect(&mut client, "STOR file", "150").await;
    for _ in 0..6 {
        data.write_all(b"0123456789").await.unwrap();
        tokio::time::sleep(idle / 3).await;
    }
    drop(data);
    next(&mut client, "226").await;
    expect(&mut client, "NOOP", "200").await;
}
