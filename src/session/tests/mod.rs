//! Sessions in memory.

mod commands;
mod hosts;
mod limits;
mod observers;
mod random;
mod transfers;

use super::harness::{Client, Harness, HostSetup};
use crate::config::Config;

/// A server with one host; TLS is allowed and not required.
fn harness(change: impl FnOnce(&mut Config)) -> Harness {
    Harness::new(change).unwrap()
}

/// Sends a line, and expects a reply that begins so.
async fn expect(client: &mut Client, line: &str, reply: &str) -> String {
    let answer = client.send(line).await.unwrap();
    assert!(answer.starts_with(reply), "{line}: {answer:?}");
    answer
}

/// Reads the greeting, or the next reply, which is to begin so.
async fn next(client: &mut Client, reply: &str) -> String {
    let answer = client.reply().await.unwrap();
    assert!(answer.starts_with(reply), "{answer:?} instead of {reply:?}");
    answer
}

async fn login(client: &mut Client, user: &str) {
    expect(client, &format!("USER {user}"), "331").await;
    expect(client, "PASS secret", "230").await;
}

/// A client that has logged in as alice.
async fn alice(harness: &Harness) -> Client {
    let mut client = harness.connect();
    next(&mut client, "220").await;
    login(&mut client, "alice").await;
    client
}
