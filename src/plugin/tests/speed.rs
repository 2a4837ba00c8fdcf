//! Rough numbers, printed with `--nocapture`; the assertions are far from them.

use std::time::Instant;

use bytes::Bytes;

use super::*;
use crate::gate::{
    path_policy::{Guard, Operation, Request, UploadMode},
    upload::{Inspection, UploadFacts},
};

fn report(what: &str, start: Instant, rounds: u32) -> Duration {
    let each = start.elapsed() / rounds;
    println!("{what}: {each:?}");
    each
}

fn path(text: &str) -> VirtualPath {
    VirtualPath::parse(text, &VirtualPath::root()).unwrap()
}

#[tokio::test]
async fn what_calls_cost() {
    let fixture = Fixture::new();
    let named = |name: &str, settings| config::Plugin {
        name: name.into(),
        ..configured(format!("builtin:{name}"), settings)
    };
    let rules = "default = 'deny'\nrules = [{ effect = 'hide', paths = ['**/.*'] }, \
        { effect = 'allow', operations = ['read'] }]";
    let users = "anonymous.home = '/public'";
    let faulty = configured(component("faulty-authenticator"), "");
    let plain = configured(component("faulty-guard"), "");
    let plugins = [
        faulty,
        named("users", users),
        plain,
        named("rules", rules),
        named("upload-guard", ""),
    ];
    println!("{}", fixture.host.shared.allocation);
    let start = Instant::now();
    let gates = fixture.gates(&plugins).await;
    report("load, compiling", start, 1);
    let start = Instant::now();
    fixture.gates(&plugins).await;
    report("load, compiled", start, 1);

    for (index, what) in ["a fresh login, plain", "a fresh login, users"]
        .iter()
        .enumerate()
    {
        let gate = &*gates.authenticators[index].gate;
        for rounds in [100, 1000] {
            let start = Instant::now();
            for _ in 0..rounds {
                login(gate, "anonymous", "").await.unwrap();
            }
            let each = report(what, start, rounds);
            assert!(each < millis(10));
        }
    }

    for (policy, what) in gates.policies.iter().zip(["plain", "rules"]) {
        paths(&*policy.gate.guard(), what).await;
    }
    let facts = session("alice");
    let upload = UploadFacts {
        path: path("/x"),
        mode: UploadMode::Create,
        announced_size: None,
        staged: None,
    };
    let mut inspection = Inspection::start(&gates.inspectors, &facts, &upload);
    let start = Instant::now();
    for _ in 0..4096 {
        inspection
            .push(Bytes::from(vec![b'a'; 64 << 10]))
            .await
            .unwrap();
    }
    inspection.finish().await.unwrap();
    report("256 MiB inspected, in all", start, 1);
}

async fn paths(guard: &dyn Guard, what: &str) {
    let facts = session("alice");
    let one: Arc<[Request]> = [Request {
        operation: Operation::Download,
        path: path("/a/b.txt"),
    }]
    .into();
    guard.decide(facts.clone(), one.clone()).await.unwrap();
    let start = Instant::now();
    for _ in 0..10_000 {
        guard.decide(facts.clone(), one.clone()).await.unwrap();
    }
    assert!(report(&format!("a path, {what}"), start, 10_000) < millis(1));
    let many: Arc<[Request]> = (0..10_000)
        .map(|n| Request {
            operation: Operation::See,
            path: path(&format!("/a/file-{n}.txt")),
        })
        .collect();
    let start = Instant::now();
    for _ in 0..10 {
        guard.decide(facts.clone(), many.clone()).await.unwrap();
    }
    assert!(report(&format!("10,000 entries, {what}"), start, 10) < millis(500));
}
