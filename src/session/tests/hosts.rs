//! Which virtual host serves a session.

use super::*;
use crate::config::{ClientCertificates, TlsVersion};

/// The default host, and other.example with bob and a greeting of its own.
fn two(change: impl FnOnce(&mut HostSetup)) -> Harness {
    Harness::with_hosts(
        |_| {},
        |config| {
            let default = HostSetup::new("", config)?;
            let mut other = HostSetup::new("other", config)?;
            other.config.names = vec!["other.example".into()];
            other.config.greeting = "The other one".into();
            other.add("bob", "secret")?;
            change(&mut other);
            Ok(vec![default, other])
        },
    )
    .unwrap()
}

#[tokio::test]
async fn the_server_name_chooses_it() {
    let harness = two(|_| {});
    let mut other = harness
        .connect_implicit(Some("other.example"))
        .await
        .unwrap();
    next(&mut other, "220 The other one").await;
    login(&mut other, "bob").await;
    for name in [None, Some("localhost"), Some("nobody.example")] {
        let mut client = harness.connect_implicit(name).await.unwrap();
        next(&mut client, "220 Portcullis").await;
        expect(&mut client, "USER bob", "331").await;
        expect(&mut client, "PASS secret", "530").await;
    }
    let mut client = harness.connect();
    next(&mut client, "220 Portcullis").await;
    client.auth(Some("OTHER.example"), false).await.unwrap();
    login(&mut client, "bob").await;
}

#[tokio::test]
async fn host_chooses_it() {
    let harness = two(|_| {});
    let mut client = harness.connect();
    next(&mut client, "220").await;
    expect(&mut client, "HOST nobody.example", "504").await;
    expect(&mut client, "HOST Other.Example", "220").await;
    // The handshake names none, and HOST still holds.
    client.auth(None, false).await.unwrap();
    login(&mut client, "bob").await;
    expect(&mut client, "HOST localhost", "503").await;
    // As if the connection were new (RFC 959).
    expect(&mut client, "REIN", "220 Portcullis").await;
}

#[tokio::test]
async fn host_agrees_with_the_server_name() {
    let harness = two(|_| {});
    let mut client = harness.connect();
    next(&mut client, "220").await;
    client.auth(Some("localhost"), false).await.unwrap();
    expect(&mut client, "HOST other.example", "504").await;
    expect(&mut client, "HOST localhost", "220").await;
}

#[tokio::test]
async fn rein_goes_back_to_what_implicit_tls_has_chosen() {
    let harness = two(|_| {});
    let mut client = harness
        .connect_implicit(Some("other.example"))
        .await
        .unwrap();
    next(&mut client, "220").await;
    login(&mut client, "bob").await;
    expect(&mut client, "REIN", "220 The other one").await;
    login(&mut client, "bob").await;
}

/// The terms of a host hold however the client comes to it.
#[tokio::test]
async fn host_moves_no_session_whose_handshake_falls_short() {
    let harness = two(|other| other.config.tls.minimum_version = TlsVersion::V1_3);
    for (old, reply) in [(true, "504"), (false, "220")] {
        let mut client = harness.connect();
        next(&mut client, "220").await;
        client.auth(None, old).await.unwrap();
        expect(&mut client, "HOST other.example", reply).await;
    }
    // Its own handshake does not succeed at all.
    let mut client = harness.connect();
    next(&mut client, "220").await;
    client.auth(Some("other.example"), true).await.unwrap_err();
}

#[tokio::test]
async fn a_host_that_requires_certificates_takes_none_of_another() {
    let directory = tempfile::tempdir().unwrap();
    let (authority, _) = crate::tls::self_signed::ensure(directory.path()).unwrap();
    let harness = two(|other| {
        other.config.tls.client_certificates = ClientCertificates::Required;
        other.config.tls.client_authorities = Some(authority.clone());
    });
    let mut client = harness.connect();
    next(&mut client, "220").await;
    client.auth(None, false).await.unwrap();
    expect(&mut client, "HOST other.example", "504").await;
    expect(&mut client, "USER bob", "331").await;
    expect(&mut client, "PASS secret", "530").await;
}

#[tokio::test]
async fn tls_is_required_by_the_host_that_serves() {
    let harness = two(|other| other.config.tls.required = true);
    let mut client = harness.connect();
    next(&mut client, "220").await;
    login(&mut client, "alice").await;
    let mut client = harness.connect();
    next(&mut client, "220").await;
    expect(&mut client, "HOST other.example", "220").await;
    expect(&mut client, "USER bob", "530").await;
    client.auth(None, false).await.unwrap();
    login(&mut client, "bob").await;
}

#[tokio::test]
async fn two_users_of_one_name_are_counted_apart() {
    let harness = Harness::with_hosts(
        |config| config.limits.sessions_per_user = 1,
        |config| {
            let mut other = HostSetup::new("other", config)?;
            other.config.names = vec!["other.example".into()];
            Ok(vec![HostSetup::new("", config)?, other])
        },
    );
    let harness = harness.unwrap();
    let mut first = alice(&harness).await;
    for reply in ["230", "421"] {
        let mut client = harness.connect();
        next(&mut client, "220").await;
        expect(&mut client, "HOST other.example", "220").await;
        expect(&mut client, "USER alice", "331").await;
        expect(&mut client, "PASS secret", reply).await;
        // Dropped clients would give their place back.
        std::mem::forget(client);
    }
    expect(&mut first, "NOOP", "200").await;
}
