//! From a line to its reply.

use super::*;

#[tokio::test]
async fn lines_are_answered_in_order() {
    let harness = harness(|_| {});
    let mut client = alice(&harness).await;
    let lines = "PWD\r\nMKD a\r\nCWD a\r\nPWD\r\nCDUP\r\nRMD a\r\nXYZZY\r\nQUIT\r\nNOOP\r\n";
    client.write(lines.as_bytes()).await.unwrap();
    for reply in [
        "257 \"/\"",
        "257 \"/a\"",
        "250",
        "257 \"/a\"",
        "250",
        "250",
        "500",
        "221",
    ] {
        next(&mut client, reply).await;
    }
    assert_eq!(client.rest().await.unwrap(), "", "nothing after QUIT");
}

/// However a line arrives, it is one line.
#[tokio::test]
async fn lines_may_come_in_pieces() {
    let harness = harness(|_| {});
    let mut client = alice(&harness).await;
    for byte in b"MKD one\r\nPWD\r\n" {
        client.write(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    next(&mut client, "257 \"/one\"").await;
    next(&mut client, "257 \"/\"").await;
}

#[tokio::test]
async fn rnto_follows_rnfr_at_once() {
    let harness = harness(|_| {});
    let mut client = alice(&harness).await;
    expect(&mut client, "MKD a", "257").await;
    expect(&mut client, "RNTO b", "503").await;
    expect(&mut client, "RNFR a", "350").await;
    expect(&mut client, "NOOP", "200").await;
    expect(&mut client, "RNTO b", "503").await;
    expect(&mut client, "RNFR a", "350").await;
    expect(&mut client, "RNTO b", "250").await;
    expect(&mut client, "MLST b", "250").await;
}

#[tokio::test]
async fn nothing_before_the_login_needs_a_user() {
    let harness = harness(|_| {});
    let mut client = harness.connect();
    next(&mut client, "220").await;
    for line in [
        "PWD",
        "RETR a",
        "LIST",
        "MLSD",
        "DELE a",
        "SITE WHOAMI",
        "REST 1",
    ] {
        expect(&mut client, line, "530").await;
    }
    for line in ["FEAT", "HELP", "NOOP", "SYST"] {
        expect(&mut client, line, "2").await;
    }
    expect(&mut client, "PASS secret", "503").await;
    login(&mut client, "alice").await;
    expect(&mut client, "USER bob", "530").await;
}

/// A browser or a mail client that is made to speak to us hears no more.
#[tokio::test]
async fn other_protocols_end_the_session() {
    let harness = harness(|_| {});
    for line in ["GET / HTTP/1.1", "EHLO here"] {
        let mut client = harness.connect();
        next(&mut client, "220").await;
        expect(&mut client, line, "421").await;
        assert_eq!(client.rest().await.unwrap(), "");
    }
}

/// CVE-2011-1575: a command that was sent in the clear is never taken for a protected one.
#[tokio::test]
async fn bytes_behind_auth_end_the_session() {
    let harness = harness(|_| {});
    let mut client = harness.connect();
    next(&mut client, "220").await;
    client.write(b"AUTH TLS\r\nUSER alice\r\n").await.unwrap();
    assert_eq!(client.rest().await.unwrap(), "");
}
