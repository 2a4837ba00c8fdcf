//! Inspectors read what is sent, however it is cut.

use bytes::Bytes;

use super::*;
use crate::{
    gate::{
        FaultKind, Named,
        event::Observers,
        inspection::Inspection,
        upload::{Inspector, Record, Refusal, UploadFacts},
    },
    types::UploadMode,
};

const EICAR: &[u8] = br"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*";

fn upload(path: &str) -> UploadFacts {
    let path = VirtualPath::parse(path, &VirtualPath::root()).unwrap();
    UploadFacts {
        path,
        mode: UploadMode::Create,
        announced_size: None,
        staged: None,
        record: Record::default(),
    }
}

pub(super) async fn send(
    chain: &[Named<dyn Inspector>],
    path: &str,
    pieces: &[&[u8]],
) -> Result<Option<String>, Refusal> {
    let mut inspection = Inspection::start(
        chain,
        &session("alice"),
        &Observers::default(),
        &upload(path),
    );
    for piece in pieces {
        inspection.push(Bytes::copy_from_slice(piece)).await?;
    }
    let approval = inspection.finish().await?;
    Ok(approval.accept_as().map(str::to_owned))
}

async fn faulty(fixture: &Fixture) -> Vec<Named<dyn Inspector>> {
    let mut plugin = configured(component("faulty-inspector"), "");
    plugin.limits.memory = 4 << 20;
    plugin.limits.cpu_time = millis(60);
    plugin.limits.wall_time = millis(400);
    fixture.gates(&[plugin]).await.inspectors
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eicar_is_found_at_each_split() {
    let fixture = Fixture::new();
    let chain = fixture
        .gates(&[configured("builtin:upload-guard".into(), "eicar = true")])
        .await;
    let chain = chain.inspectors;
    for at in 0..=EICAR.len() {
        let (head, tail) = EICAR.split_at(at);
        let sent = send(&chain, "/x.txt", &[head, tail]).await;
        assert!(
            matches!(sent, Err(Refusal::Rejected(..))),
            "cut at {at}: {sent:?}"
        );
    }
    let bytes: Vec<&[u8]> = EICAR.chunks(1).collect();
    assert!(matches!(
        send(&chain, "/x", &bytes).await,
        Err(Refusal::Rejected(..))
    ));
    let clean = vec![b'a'; 300_000];
    assert!(matches!(
        send(&chain, "/x", &[&clean, &clean]).await,
        Ok(None)
    ));
    assert!(matches!(send(&chain, "/x", &[]).await, Ok(None)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verdicts_and_faults_reach_the_pump() {
    let fixture = Fixture::new();
    let chain = faulty(&fixture).await;
    let pieces: &[&[u8]] = &[b"one", b"two", b"three"];
    for (name, kind) in [
        ("trap-before", FaultKind::Trap),
        ("trap-after", FaultKind::Trap),
        ("loop", FaultKind::Timeout),
        ("late", FaultKind::Timeout),
        ("memory", FaultKind::TooBig),
    ] {
        let Err(Refusal::Failed(fault)) = send(&chain, name, pieces).await else {
            panic!("{name}")
        };
        assert_eq!(fault.kind, kind, "{fault}");
    }
    for (name, path) in [
        ("fine", None),
        ("early-accept", None),
        ("accept-as", Some("/renamed-by-inspector")),
        ("accept-as-outside", Some("../../x")),
    ] {
        let sent = send(&chain, name, pieces).await;
        assert_eq!(sent.unwrap().as_deref(), path, "{name}");
    }
    let sent = send(&chain, "early-reject", pieces).await;
    assert!(
        matches!(&sent, Err(Refusal::Rejected(_, why)) if why == "Rejected on purpose"),
        "{sent:?}"
    );
    let sent = send(&chain, "quarantine", pieces).await;
    assert!(matches!(sent, Err(Refusal::Quarantined(..))), "{sent:?}");
    fixture.still_works().await;
}

/// Neither limit counts while the client is slow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_a_slow_client_is_taken() {
    let fixture = Fixture::new();
    let chain = faulty(&fixture).await;
    let mut inspection = Inspection::start(
        &chain,
        &session("alice"),
        &Observers::default(),
        &upload("slow"),
    );
    for _ in 0..6 {
        tokio::time::sleep(millis(150)).await;
        inspection.push(Bytes::from_static(b"piece")).await.unwrap();
    }
    tokio::time::sleep(millis(600)).await;
    assert_eq!(inspection.finish().await.unwrap().accept_as(), None);
}

#[tokio::test]
async fn an_aborted_upload_ends_its_inspection() {
    let fixture = Fixture::new();
    let chain = faulty(&fixture).await;
    let none = fixture.host.shared.instances.taken();
    let mut inspection = Inspection::start(
        &chain,
        &session("alice"),
        &Observers::default(),
        &upload("aborted"),
    );
    inspection.push(Bytes::from_static(b"piece")).await.unwrap();
    let waited = tokio::time::timeout(millis(20), inspection.refused()).await;
    assert!(waited.is_err());
    assert_eq!(fixture.host.shared.instances.taken(), none + 1);
    drop(inspection);
    for _ in 0..50 {
        tokio::time::sleep(millis(10)).await;
        if fixture.host.shared.instances.taken() == none {
            return;
        }
    }
    panic!("the inspector goes on");
}
