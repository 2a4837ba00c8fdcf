//! Where inspectors work, and how an inspection ends.

#![allow(clippy::panic, clippy::unwrap_used)]

use std::sync::Mutex;

use tokio::task;

use super::*;
use crate::types::UploadMode;

/// Does as it is told once it has read all, and notes the task that it works in, and how the
/// upload ended for it.
#[derive(Default)]
struct Told {
    panics: bool,
    seen: Arc<Mutex<Vec<(task::Id, bool)>>>,
    /// For something else than the client, before it reads.
    waits: bool,
}

impl Inspector for Told {
    fn inspect(&self, _: Arc<SessionInfo>, mut upload: Upload) -> BoxFuture<'static, Decision> {
        let (panics, seen, waits) = (self.panics, self.seen.clone(), self.waits);
        Box::pin(async move {
            if waits {
                task::yield_now().await;
            }
            let whole = loop {
                match upload.read(1 << 20).await {
                    Ok(Some(_)) => {}
                    Ok(None) => break true,
                    Err(_) => break false,
                }
            };
            seen.lock().unwrap().push((task::id(), whole));
            assert!(!panics, "told to");
            Ok(Verdict::Accept)
        })
    }
}

fn inspection(told: Told) -> Inspection {
    let chain = [Named::<dyn Inspector> {
        name: "told".into(),
        on_failure: OnFailure::Deny,
        gate: Arc::new(told),
    }];
    let facts = UploadFacts {
        path: VirtualPath::root(),
        mode: UploadMode::Create,
        announced_size: None,
        staged: None,
        record: Record::default(),
    };
    let nobody = SessionInfo::nobody("1");
    Inspection::start(&chain, &nobody, &Observers::default(), &facts)
}

async fn in_a_task<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    tokio::spawn(work).await.unwrap()
}

#[tokio::test]
async fn an_inspector_that_takes_long_with_a_piece_goes_on_beside() {
    let (slow, quick) = (Duration::ZERO, Duration::MAX);
    for (pieces, limit, beside) in [
        (0, slow, false),
        (1, slow, false),
        (2, slow, true),
        (9, slow, true),
        (9, quick, false),
    ] {
        let told = Told::default();
        let seen = told.seen.clone();
        let own = in_a_task(async move {
            let mut inspection = inspection(told);
            inspection.in_passing = limit;
            for _ in 0..pieces {
                inspection.push("piece".into()).await.unwrap();
            }
            inspection.finish().await.unwrap();
            task::id()
        })
        .await;
        let seen = seen.lock().unwrap();
        let [(worked, true)] = **seen else {
            panic!("{seen:?}")
        };
        assert_eq!(worked != own, beside, "{pieces} pieces");
    }
}

/// The session may be busy with its client, its disk or its rate for a long time.
#[tokio::test]
async fn an_inspector_that_waits_for_something_else_works_on_beside() {
    let told = Told {
        waits: true,
        ..Told::default()
    };
    let seen = told.seen.clone();
    let own = in_a_task(async move {
        let mut inspection = inspection(told);
        inspection.push("piece".into()).await.unwrap();
        inspection.finish().await.unwrap();
        task::id()
    })
    .await;
    let seen = seen.lock().unwrap();
    assert!(
        matches!(**seen, [(worked, true)] if worked != own),
        "{seen:?}"
    );
}

#[tokio::test]
async fn a_panic_is_a_fault_and_not_the_end_of_the_session() {
    for (pieces, limit) in [(1, Duration::ZERO), (2, Duration::ZERO), (2, Duration::MAX)] {
        let refusal = in_a_task(async move {
            let mut inspection = inspection(Told {
                panics: true,
                ..Told::default()
            });
            inspection.in_passing = limit;
            for _ in 0..pieces {
                inspection.push("piece".into()).await.unwrap();
            }
            inspection.finish().await.map(drop).unwrap_err()
        })
        .await;
        let Refusal::Failed(fault) = refusal else {
            panic!("{refusal:?}")
        };
        assert_eq!((fault.kind, &*fault.plugin), (FaultKind::Trap, "told"));
    }
}

/// It may have something to write down.
#[tokio::test]
async fn an_inspector_of_an_upload_that_breaks_off_comes_to_its_own_end() {
    for (pieces, limit) in [
        (0, Duration::ZERO),
        (1, Duration::ZERO),
        (2, Duration::ZERO),
        (2, Duration::MAX),
    ] {
        let told = Told::default();
        let seen = told.seen.clone();
        in_a_task(async move {
            let mut inspection = inspection(told);
            inspection.in_passing = limit;
            for _ in 0..pieces {
                inspection.push("piece".into()).await.unwrap();
            }
        })
        .await;
        for _ in 0..100 {
            task::yield_now().await;
        }
        let seen = seen.lock().unwrap();
        assert!(matches!(**seen, [(_, false)]), "{pieces}: {seen:?}");
    }
}
