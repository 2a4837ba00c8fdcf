//! Every way to fail is a fault of its kind, and of that one call.

use super::{super::stock::Purpose, *};
use crate::gate::FaultKind;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_has_its_kind() {
    let fixture = Fixture::new();
    let mut plugin = configured(component("faulty-authenticator"), "");
    plugin.limits.memory = 8 << 20;
    plugin.limits.cpu_time = millis(100);
    let gates = fixture.gates(&[plugin]).await;
    let gate = &*gates.authenticators[0].gate;
    for (user, kind, text) in [
        ("trap", FaultKind::Trap, "in __rustc::rust_panic < "),
        ("loop", FaultKind::Timeout, "limits.cpu-time"),
        ("memory", FaultKind::TooBig, "limits.memory"),
        ("stack", FaultKind::Trap, "call stack exhausted"),
        ("accounts", FaultKind::TooBig, "handles"),
        ("list", FaultKind::TooBig, "groups"),
        ("home", FaultKind::InvalidResponse, "../../etc"),
        (
            "unavailable",
            FaultKind::Unavailable,
            "unavailable on purpose",
        ),
        ("internal", FaultKind::Internal, "internal on purpose"),
    ] {
        let fault = login(gate, user, "").await.expect_err(user);
        assert_eq!(fault.kind, kind, "{user}: {fault}");
        assert!(fault.text.contains(text), "{user}: {fault}");
        assert!(!fault.text.contains(char::is_control), "{user}: {fault}");
        assert_eq!(&*fault.plugin, "test");
        assert!(
            matches!(login(gate, "ok", "").await, Ok(Outcome::Accept(_))),
            "after {user}"
        );
    }
    for (user, said) in [
        ("deny", "Deny"),
        ("challenge", "Challenge"),
        ("nobody", "Abstain"),
    ] {
        let outcome = login(gate, user, "").await;
        assert!(format!("{outcome:?}").contains(said), "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_log_lines_is_cut_off() {
    let fixture = Fixture::new();
    let mut plugin = configured(component("faulty-authenticator"), "");
    plugin.limits.cpu_time = millis(5000);
    plugin.limits.wall_time = millis(60_000);
    let gates = fixture.gates(&[plugin]).await;
    let outcome = login(&*gates.authenticators[0].gate, "flood", "").await;
    assert!(matches!(outcome, Ok(Outcome::Deny(_))), "{outcome:?}");
}

/// Others go on while a guest computes: it yields at each tick.
#[tokio::test]
async fn a_loop_holds_up_nobody_else() {
    let fixture = Fixture::new();
    let gates = fixture
        .gates(&[configured(component("faulty-authenticator"), "")])
        .await;
    let gate = gates.authenticators[0].gate.clone();
    let looping = tokio::spawn({
        let gate = gate.clone();
        async move { login(&*gate, "loop", "").await }
    });
    tokio::task::yield_now().await;
    let start = std::time::Instant::now();
    assert!(matches!(
        login(&*gate, "ok", "").await,
        Ok(Outcome::Accept(_))
    ));
    assert!(start.elapsed() < millis(150), "{:?}", start.elapsed());
    assert!(!looping.is_finished());
    assert_eq!(looping.await.unwrap().unwrap_err().kind, FaultKind::Timeout);
}

#[tokio::test]
async fn a_cancelled_call_takes_its_instance_along() {
    let fixture = Fixture::new();
    let gates = fixture
        .gates(&[configured(component("faulty-authenticator"), "")])
        .await;
    let gate = &*gates.authenticators[0].gate;
    for _ in 0..100 {
        // More often than there are instances, so that each has to be given back.
        let cancelled = tokio::time::timeout(millis(1), login(gate, "loop", "")).await;
        assert!(cancelled.is_err());
    }
    fixture.still_works().await;
}

#[tokio::test]
async fn the_wall_clock_ends_what_the_epoch_does_not() {
    let fixture = Fixture::new();
    let mut plugin = configured(component("faulty-authenticator"), "");
    plugin.limits.cpu_time = Duration::from_secs(60);
    plugin.limits.wall_time = millis(60);
    let gates = fixture.gates(&[plugin]).await;
    let fault = login(&*gates.authenticators[0].gate, "loop", "")
        .await
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Timeout);
    assert!(fault.text.contains("limits.wall-time"), "{fault}");
}

#[tokio::test]
async fn the_busy_wait_for_an_instance() {
    let fixture = Fixture::new();
    let mut plugin = configured(component("faulty-authenticator"), "");
    plugin.limits.wall_time = millis(30);
    let gates = fixture.gates(&[plugin]).await;
    let mut slots = Vec::new();
    let all = &fixture.host.shared.instances;
    while let Ok(slot) = all.take(Purpose::Login, None, 1, millis(1), None).await {
        slots.push(slot);
    }
    // The rest is for other purposes.
    assert!((32..64).contains(&slots.len()), "{}", slots.len());
    let fault = login(&*gates.authenticators[0].gate, "ok", "")
        .await
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Busy);
    drop(slots);
    fixture.still_works().await;
}

#[tokio::test]
async fn all_instances_share_one_memory() {
    let fixture = Fixture::with_memory(Some(40 << 20));
    let plugin = configured(component("faulty-authenticator"), "");
    let gates = fixture.gates(&[plugin]).await;
    let gate = &*gates.authenticators[0].gate;
    let fault = login(gate, "memory", "").await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::TooBig);
    assert!(fault.text.contains("plugin-host.memory"), "{fault}");
    // It has given all of it back.
    assert_eq!(fixture.host.instances().memory, 0);
    assert!(login(gate, "ok", "").await.is_ok());
}
