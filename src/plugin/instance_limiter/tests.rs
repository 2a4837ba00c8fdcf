//! Who gets an instance, and who waits.

#![allow(clippy::unwrap_used)]

use super::{Purpose::*, *};

const SOON: Duration = Duration::from_millis(1);

/// As many as can be had.
async fn all(
    slots: &InstanceLimiter,
    purpose: Purpose,
    user: &UserId,
    weight: u32,
) -> Vec<InstancePermit> {
    let mut held = Vec::new();
    while let Ok(slot) = slots.take(purpose, Some(user), weight, SOON, None).await {
        held.push(slot);
    }
    held
}

#[tokio::test]
async fn no_purpose_takes_the_part_of_another() {
    for first in Purpose::ALL {
        let slots = InstanceLimiter::new(1000, 4, u64::MAX);
        let mut held = Vec::new();
        for user in 0..200 {
            held.extend(all(&slots, first, &user.to_string().as_str().into(), 1).await);
        }
        for (purpose, at_least) in [
            (Load, 4),
            (Login, 100),
            (Policy, 80),
            (Upload, 200),
            (Event, 50),
        ] {
            if purpose != first {
                let got = all(&slots, purpose, &"bob".into(), 1).await.len();
                assert!(got >= at_least, "{first:?} leaves {got} to {purpose:?}");
            }
        }
        drop(held);
        assert_eq!(slots.taken(), 0);
    }
}

#[tokio::test]
async fn no_user_takes_all_uploads() {
    let slots = InstanceLimiter::new(1000, 4, u64::MAX);
    let first = all(&slots, Upload, &"greedy".into(), 1).await;
    assert_eq!(first.len(), 600);
    let busy = slots
        .take(Upload, Some(&"greedy".into()), 1, SOON, None)
        .await;
    assert_eq!(busy.err().unwrap(), Busy { share: Some(600) });
    let second = all(&slots, Upload, &"honest".into(), 1).await;
    assert!(second.len() >= 100, "{}", second.len());
    // And the more there are, the more give way.
    drop(first);
    let first = all(&slots, Upload, &"greedy".into(), 1).await;
    assert!(first.len() < 600, "{}", first.len());
    // Of logins there are no shares: who logs in may say any name.
    assert_eq!(
        all(&slots, Login, &"greedy".into(), 1).await.len(),
        1000 - 100 - 50 - first.len() - second.len()
    );
}

#[tokio::test]
async fn every_plugin_finds_room_however_few_there_are() {
    for total in [16, 17, 64] {
        for purpose in Purpose::ALL {
            let slots = InstanceLimiter::new(total, 4, u64::MAX);
            let slot = slots
                .take(purpose, Some(&"alice".into()), 4, SOON, None)
                .await;
            assert!(slot.is_ok(), "{purpose:?} of {total}");
        }
    }
}

#[tokio::test]
async fn who_has_least_comes_first() {
    let slots = InstanceLimiter::own(8);
    let mut greedy = all(&slots, Upload, &"greedy".into(), 1).await;
    let more = all(&slots, Upload, &"other".into(), 1).await;
    assert_eq!((greedy.len(), more.len()), (6, 1));
    let last = all(&slots, Upload, &"third".into(), 1).await;
    assert_eq!(last.len(), 1);
    let wait = async |user: &'static str| {
        let id = user.into();
        let slot = slots.take(Upload, Some(&id), 1, Duration::from_secs(5), None);
        (user, slot.await.is_ok())
    };
    let release = async {
        tokio::task::yield_now().await;
        greedy.pop();
        tokio::task::yield_now().await;
    };
    let first = tokio::select! {
        first = async { tokio::join!(biased; wait("greedy"), release).0 } => first,
        first = wait("new") => first,
    };
    assert_eq!(first, ("new", true));
}

#[tokio::test]
async fn few_are_not_shared() {
    let slots = InstanceLimiter::own(2);
    let held = all(&slots, Upload, &"alice".into(), 1).await;
    assert_eq!(held.len(), 2);
    let own = slots.take(Upload, Some(&"bob".into()), 1, SOON, None).await;
    assert_eq!(own.err().unwrap(), Busy { share: None });
}

#[tokio::test]
async fn who_gives_up_leaves_nothing_behind() {
    let slots = InstanceLimiter::own(8);
    let held = all(&slots, Event, &"".into(), 8).await;
    assert!(slots.take(Event, None, 1, SOON, None).await.is_err());
    drop(held);
    assert_eq!(slots.taken(), 0);
    assert!(slots.take(Event, None, 8, SOON, None).await.is_ok());
    assert_eq!(slots.taken(), 0);
}

#[tokio::test]
async fn an_idle_instance_answers_another_user_within_shares() {
    let slots = InstanceLimiter::own(8);
    let held = all(&slots, Upload, &"greedy".into(), 1).await;
    let idle = slots
        .take(Upload, Some(&"honest".into()), 1, SOON, None)
        .await
        .unwrap();
    assert!(!idle.plenty());
    idle.leave();
    assert!(!idle.enter(Some(&"greedy".into())));
    assert!(idle.enter(Some(&"honest".into())));
    idle.leave();
    drop(held);
    assert!(idle.enter(Some(&"greedy".into())));
    drop(idle);
    assert_eq!(slots.taken(), 0);
    assert!(slots.ledger().slots.has_no_users());
}

#[tokio::test]
async fn memory_is_shared_like_slots() {
    let mib = 1 << 20;
    let (greedy_user, honest) = (UserId::from("greedy"), UserId::from("honest"));
    let slots = InstanceLimiter::new(1000, 4, 1000 * mib);
    let slot = async |purpose, user| {
        slots
            .take(purpose, Some(user), 1, SOON, None)
            .await
            .unwrap()
    };
    let greedy = slot(Upload, &greedy_user).await;
    let mut had = 0;
    while greedy.grow(mib) {
        had += 1;
    }
    assert!((500..600).contains(&had), "{had}");
    assert!(!slot(Upload, &greedy_user).await.grow(mib));
    assert!(!greedy.plenty());
    for (purpose, least) in [(Load, 50), (Login, 100), (Policy, 80), (Event, 50)] {
        assert!(
            slot(purpose, &honest).await.grow(least * mib),
            "{purpose:?}"
        );
    }
    assert!(slot(Upload, &honest).await.grow(100 * mib));
    greedy.shrink(100 * mib);
    assert!(greedy.grow(50 * mib));
    drop(greedy);
    assert!(slot(Upload, &honest).await.grow(500 * mib));
    assert_eq!(slots.ledger().memory.all_used(), 0);
}
