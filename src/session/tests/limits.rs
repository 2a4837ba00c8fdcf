//! Timeouts and limits, on a clock that does not wait.

use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::session::Shutdown;

#[tokio::test(start_paused = true)]
async fn the_login_has_its_time() {
    let limit = Duration::from_secs(30);
    let harness = harness(|config| config.limits.login_timeout = limit);
    let begun = Instant::now();
    let mut client = harness.connect();
    next(&mut client, "220").await;
    // A client that is not silent has no longer.
    let ended = loop {
        // It may have ended meanwhile.
        let _ = client.write(b"NOOP\r\n").await;
        let answer = client.reply().await.unwrap();
        match answer.starts_with("200") {
            true => tokio::time::sleep(Duration::from_secs(1)).await,
            false => break answer,
        }
    };
    assert!(ended.starts_with("421"), "{ended}");
    assert!((limit..limit * 2).contains(&begun.elapsed()));
    assert_eq!(client.rest().await.unwrap(), "");
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_ends() {
    let harness = harness(|config| config.limits.idle_timeout = Duration::from_secs(300));
    let mut client = alice(&harness).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(290)).await;
        expect(&mut client, "NOOP", "200").await;
    }
    let begun = Instant::now();
    next(&mut client, "421").await;
    assert!(begun.elapsed() >= Duration::from_secs(299));
}

#[tokio::test(start_paused = true)]
async fn failed_logins_take_ever_longer_and_end_the_session() {
    let harness = harness(|config| {
        config.limits.login_attempts = 4;
        config.limits.login_delay = Duration::from_secs(1);
    });
    for user in ["alice", "nobody"] {
        let mut client = harness.connect();
        next(&mut client, "220").await;
        for (delay, reply) in [(1, "530"), (2, "530"), (4, "530"), (8, "421")] {
            expect(&mut client, &format!("USER {user}"), "331").await;
            let begun = Instant::now();
            expect(&mut client, "PASS wrong", reply).await;
            let delay = Duration::from_secs(delay);
            assert!((delay..delay * 2).contains(&begun.elapsed()));
        }
        assert_eq!(client.rest().await.unwrap(), "");
    }
}

#[tokio::test]
async fn lines_have_a_length() {
    let harness = harness(|config| config.limits.line_length = 100);
    let mut client = harness.connect();
    next(&mut client, "220").await;
    let name = "a".repeat(90);
    expect(&mut client, &format!("USER {name}"), "331").await;
    client.write(&[b'a'; 200]).await.unwrap();
    next(&mut client, "500").await;
    assert_eq!(client.rest().await.unwrap(), "");
}

#[tokio::test]
async fn a_user_has_so_many_sessions() {
    let harness = harness(|config| config.limits.sessions_per_user = 2);
    let first = alice(&harness).await;
    let mut second = alice(&harness).await;
    let mut third = harness.connect();
    next(&mut third, "220").await;
    expect(&mut third, "USER alice", "331").await;
    expect(&mut third, "PASS secret", "421").await;
    first.close().await;
    // REIN gives it back, too.
    let mut third = alice(&harness).await;
    expect(&mut third, "REIN", "220").await;
    let _fourth = alice(&harness).await;
    expect(&mut second, "NOOP", "200").await;
}

#[tokio::test]
async fn a_server_that_ends_tells_idle_sessions() {
    let harness = harness(|_| {});
    let mut idle = alice(&harness).await;
    let mut new = harness.connect();
    next(&mut new, "220").await;
    harness.shutdown.send_replace(Shutdown::Draining);
    for client in [&mut idle, &mut new] {
        next(client, "421").await;
        assert_eq!(client.rest().await.unwrap(), "");
    }
}

/// A client that is gone takes its session along.
#[tokio::test]
async fn a_lost_connection_ends_the_session() {
    let harness = harness(|config| config.limits.sessions_per_user = 1);
    for _ in 0..3 {
        alice(&harness).await.close().await;
    }
}
