//! Path guards keep their instance, unless something went wrong in it.

use super::{super::stock::Purpose, *};
use crate::gate::{
    FaultKind, Named,
    path_policy::{Decision, Guard, Operation, PathPolicy, Request},
};

async fn guard(fixture: &Fixture) -> (Named<dyn PathPolicy>, Box<dyn Guard>) {
    let mut plugin = configured(component("faulty-guard"), "");
    plugin.limits.memory = 8 << 20;
    plugin.limits.cpu_time = millis(100);
    plugin.limits.pool_wait = millis(500);
    let gates = fixture.gates(&[plugin]).await;
    let policy = gates.policies[0].clone();
    let guard = policy.gate.guard();
    (policy, guard)
}

async fn ask(guard: &dyn Guard, names: &[&str]) -> Result<Vec<Decision>, Fault> {
    let path = |name: &&str| VirtualPath::parse(name, &VirtualPath::root()).unwrap();
    let requests: Vec<_> = names
        .iter()
        .map(|name| Request {
            operation: Operation::See,
            path: path(name),
        })
        .collect();
    let decisions = guard
        .decide(session("alice"), Arc::new(requests.into()))
        .await?;
    Ok(decisions.into_iter().collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_cost_the_instance_and_no_more() {
    let fixture = Fixture::new();
    let (_policy, guard) = guard(&fixture).await;
    let taken = || fixture.host.shared.instances.taken();
    let none = taken();
    let decisions = ask(&*guard, &["a", "hide", "deny"]).await.unwrap();
    let denied = Decision::Deny("Denied on purpose".into());
    assert_eq!(decisions, [Decision::Allow, Decision::Hide, denied]);
    assert_eq!(taken(), none + 1, "the instance is kept");
    for (name, kind) in [
        ("trap", FaultKind::Trap),
        ("loop", FaultKind::Timeout),
        ("memory", FaultKind::TooBig),
        ("stack", FaultKind::Trap),
        ("short", FaultKind::InvalidResponse),
        ("long", FaultKind::InvalidResponse),
        ("internal", FaultKind::Internal),
    ] {
        let fault = ask(&*guard, &["a", name]).await.unwrap_err();
        assert_eq!(fault.kind, kind, "{fault}");
        assert_eq!(taken(), none, "the instance is gone after {name}");
        assert_eq!(ask(&*guard, &["a"]).await.unwrap(), [Decision::Allow]);
        assert_eq!(taken(), none + 1);
    }
    assert_eq!(ask(&*guard, &[]).await.unwrap(), []);
    guard.release_idle();
    assert_eq!(taken(), none);
    assert_eq!(ask(&*guard, &["hide"]).await.unwrap(), [Decision::Hide]);
}

#[tokio::test]
async fn a_cancelled_question_never_re_enters_the_instance() {
    let fixture = Fixture::new();
    let (_policy, guard) = guard(&fixture).await;
    let none = fixture.host.shared.instances.taken();
    ask(&*guard, &["a"]).await.unwrap();
    let cancelled = tokio::time::timeout(millis(20), ask(&*guard, &["loop"])).await;
    assert!(cancelled.is_err());
    assert_eq!(fixture.host.shared.instances.taken(), none);
    assert_eq!(ask(&*guard, &["a"]).await.unwrap(), [Decision::Allow]);
}

#[tokio::test]
async fn nothing_is_kept_when_instances_are_scarce() {
    let fixture = Fixture::new();
    let (_policy, guard) = guard(&fixture).await;
    let slots = &fixture.host.shared.instances;
    let mut held = Vec::new();
    for user in 0..64 {
        let user = user.to_string().as_str().into();
        let slot = slots.take(Purpose::Policy, Some(&user), 1, millis(1), None);
        let slot = slot.await.unwrap();
        let scarce = !slot.plenty();
        held.push(slot);
        if scarce {
            break;
        }
    }
    let taken = slots.taken();
    ask(&*guard, &["a"]).await.unwrap();
    assert_eq!(slots.taken(), taken);
}

#[tokio::test]
async fn what_is_kept_gives_way_to_who_waits() {
    let fixture = Fixture::new();
    let (policy, guard) = guard(&fixture).await;
    let slots = &fixture.host.shared.instances;
    ask(&*guard, &["a"]).await.unwrap();
    assert_eq!(slots.taken(), 1, "the instance is kept");
    // Somebody else has all but that, and wants one more.
    let mut held = Vec::new();
    for user in 0..64 {
        let user = user.to_string().as_str().into();
        let slot = slots.take(Purpose::Policy, Some(&user), 1, millis(50), None);
        let Ok(slot) = slot.await else { break };
        held.push(slot);
    }
    assert_eq!(slots.taken(), held.len() as u64, "the guard's is gone");
    assert!(ask(&*guard, &["a"]).await.is_err());
    held.pop();
    ask(&*guard, &["a"]).await.unwrap();
    // Of the same user's sessions, too: each question is answered, however many keep a guard.
    drop(held);
    let others: Vec<_> = (0..60).map(|_| policy.gate.guard()).collect();
    for _ in 0..2 {
        for guard in &others {
            ask(&**guard, &["a"]).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_plugins_own_instances_are_not_kept_from_others() {
    let fixture = Fixture::new();
    let mut plugin = configured(component("faulty-guard"), "");
    plugin.limits.instances = 2;
    plugin.limits.pool_wait = millis(500);
    let gates = fixture.gates(&[plugin]).await;
    let policy = &gates.policies[0].gate;
    let guards: Vec<_> = (0..5).map(|_| policy.guard()).collect();
    for _ in 0..3 {
        for guard in &guards {
            ask(&**guard, &["a"]).await.unwrap();
        }
    }
}
