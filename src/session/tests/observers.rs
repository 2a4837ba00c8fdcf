//! The events of an observer: each one once, with all that it needs to know.

use std::sync::{Arc, Mutex};

use super::*;
use crate::gate::{
    SessionInfo,
    event::{Answer, Asked, Event, Observer, Refused, Uploaded},
};

/// As much of each event as a metric or a record of an audit would take.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Observer for Heard {
    fn observe(&self, session: &SessionInfo, event: &Event<'_>) {
        let user = session.user.as_deref().unwrap_or("nobody");
        let text = match *event {
            Event::LoggedIn { plugin, home, .. } => format!("login by {plugin} to {home}"),
            Event::LoginFailed {
                reason, attempt, ..
            } => format!("failed {attempt}: {reason}"),
            Event::LoggedOut { .. } => "logout".into(),
            Event::Uploaded(Uploaded { path, bytes, .. }) => format!("upload {path} {bytes}"),
            Event::Downloaded { path, bytes, .. } => format!("download {path} {bytes}"),
            Event::DirectoryMade { path } => format!("directory {path}"),
            Event::Renamed { from, to } => format!("rename {from} {to}"),
            Event::Denied {
                operation, path, ..
            } => format!("denied {operation} {path}"),
            Event::Refused(Refused {
                operation, cause, ..
            }) => format!("refused {operation}: {cause}"),
            Event::TransferFailed(failed) => {
                format!(
                    "broken {} {} {}",
                    failed.transfer.name(),
                    failed.code,
                    failed.cause
                )
            }
            Event::Connected => "connected".into(),
            Event::DataConnectionOpened { resumed } => format!("data, resumed: {resumed:?}"),
            Event::Disconnected { .. } => "disconnected".into(),
            Event::Asked(Asked {
                plugin,
                answer: Answer::Decided(answer),
                ..
            }) => format!("asked {plugin}: {answer}"),
            _ => "another".into(),
        };
        self.0.lock().unwrap().push(format!("{user}: {text}"));
    }
}

#[tokio::test]
async fn it_hears_of_everything_once() {
    let heard = Arc::new(Heard::default());
    let observer = heard.clone();
    let harness = Harness::with_hosts(
        |config| {
            config.limits.login_delay = std::time::Duration::ZERO;
            config.limits.upload_size = 100;
        },
        |config| {
            let mut host = HostSetup::new("", config)?;
            host.add("bob", "secret")?.permissions = crate::gate::Permissions::LIST;
            host.observers.push(observer);
            Ok(vec![host])
        },
    );
    let harness = harness.unwrap();
    let mut client = harness.connect();
    next(&mut client, "220").await;
    expect(&mut client, "USER alice", "331").await;
    expect(&mut client, "PASS wrong", "530").await;
    login(&mut client, "alice").await;
    expect(&mut client, "MKD a", "257").await;
    expect(&mut client, "RNFR a", "350").await;
    expect(&mut client, "RNTO b", "250").await;
    transfers::store(&mut client, "file", b"content").await;
    expect(&mut client, "ALLO 1000", "552").await;
    // Nobody needs to know.
    expect(&mut client, "DELE none", "550").await;
    expect(&mut client, "EPSV", "229").await;
    expect(&mut client, "REST 100", "350").await;
    expect(&mut client, "RETR file", "554").await;
    client.close().await;
    let mut client = harness.connect();
    next(&mut client, "220").await;
    login(&mut client, "bob").await;
    expect(&mut client, "MKD c", "550").await;
    client.close().await;
    let heard = heard.0.lock().unwrap();
    let expected = [
        "nobody: connected",
        "alice: asked accounts: deny",
        "alice: failed 1: accounts: wrong password",
        "alice: asked accounts: accept",
        "alice: login by accounts to /alice",
        "alice: directory /a",
        "alice: rename /a /b",
        "alice: data, resumed: None",
        "alice: upload /file 7",
        "alice: refused upload: ",
        "alice: logout",
        "alice: disconnected",
        "nobody: connected",
        "bob: asked accounts: accept",
        "bob: login by accounts to /bob",
        "bob: denied make-directory /c",
        "bob: logout",
        "bob: disconnected",
    ];
    assert_eq!(heard.len(), expected.len(), "{heard:#?}");
    for (heard, expected) in heard.iter().zip(expected) {
        assert!(heard.starts_with(expected), "{heard:?} is not {expected:?}");
    }
}
