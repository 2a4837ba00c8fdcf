//! The semantics of `state`, wherever it is kept: the tests of each store.

use std::{
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use crate::{
    config::State,
    plugin::{
        state::Full,
        state_file::StateFile,
        values::{Keeper, Values},
    },
    shared::Shared,
};

#[path = "../../../tests/support/port.rs"]
mod port;

/// A Redis that keeps nothing on the disk. Dropped, it is ended.
struct Redis {
    process: Child,
    url: String,
    _directory: tempfile::TempDir,
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Redis {
    /// None where it is not installed.
    async fn start() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let port = port::free_port();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let Ok(process) = process else {
            assert!(
                std::env::var("CI").is_err(),
                "tests/setup installs redis-server"
            );
            eprintln!("LEFT OUT: redis-server is not installed; tests/setup installs it");
            return None;
        };
        let redis = Self {
            process,
            url: format!("redis://127.0.0.1:{port}"),
            _directory: directory,
        };
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(redis);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("Redis does not listen");
    }

    /// As a server has it.
    async fn shared(&self) -> Arc<Shared> {
        let settings = State {
            url: Some(self.url.clone()),
            timeout: Duration::from_secs(30),
            ..State::default()
        };
        Shared::open(&settings, true).await.unwrap().unwrap()
    }
}

/// All that there are, and what they need.
struct Stores {
    keepers: Vec<Keeper>,
    _directory: tempfile::TempDir,
    _redis: Option<Redis>,
}

async fn stores() -> Stores {
    let directory = tempfile::tempdir().unwrap();
    let file = StateFile::open(&directory.path().join("state.redb")).unwrap();
    let mut keepers = vec![Keeper::Memory, Keeper::File(Arc::new(file))];
    let redis = Redis::start().await;
    if let Some(redis) = &redis {
        keepers.push(Keeper::Shared(redis.shared().await));
    }
    Stores {
        keepers,
        _directory: directory,
        _redis: redis,
    }
}

async fn set(values: &Values, key: &str, length: usize, seconds: Option<u32>) -> Result<(), Full> {
    values
        .set(key.into(), vec![1; length], seconds)
        .await
        .unwrap()
}

async fn add(values: &Values, key: &str, delta: i64, seconds: Option<u32>) -> Result<i64, i64> {
    values.add(key.into(), delta, seconds).await.unwrap()
}

async fn count(values: &Values, key: &str, seconds: Option<u32>) -> Result<i64, i64> {
    values.count(key.into(), 1, seconds).await.unwrap()
}

async fn get(values: &Values, key: &str) -> Option<Vec<u8>> {
    values.get(key).await.unwrap()
}

#[tokio::test]
async fn values_expire_and_make_room() {
    let stores = stores().await;
    for keeper in &stores.keepers {
        let state = keeper.values(200, "test").unwrap();
        set(&state, "a", 100, Some(0)).await.unwrap();
        assert_eq!(get(&state, "a").await, None);
        set(&state, "b", 100, None).await.unwrap();
        assert_eq!(set(&state, "c", 100, None).await, Err(Full));
        assert_eq!(state.size().await.unwrap().refused, 1);
        set(&state, "b", 120, None).await.unwrap();
        assert_eq!(state.size().await.unwrap().bytes, 64 + 1 + 120);
        assert!(state.delete("b").await.unwrap());
        assert!(!state.delete("b").await.unwrap());
        set(&state, "c", 100, Some(1)).await.unwrap();
        assert!(get(&state, "c").await.is_some());
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_eq!(get(&state, "c").await, None);
        assert_eq!(state.with_prefix("").await.unwrap(), []);
        set(&state, "d", 100, None).await.unwrap();
        assert_eq!(state.clear().await.unwrap(), 1);
        assert_eq!(state.size().await.unwrap().bytes, 0);
    }
}

#[tokio::test]
async fn counters_add_up_from_their_first_addition() {
    let stores = stores().await;
    for keeper in &stores.keepers {
        let state = keeper.values(1 << 20, "test").unwrap();
        assert_eq!(add(&state, "n", 2, None).await, Ok(2));
        assert_eq!(add(&state, "n", -5, Some(0)).await, Ok(-3));
        assert_eq!(get(&state, "n").await.unwrap(), b"-3");
        assert_eq!(add(&state, "m", i64::MAX, Some(0)).await, Ok(i64::MAX));
        assert_eq!(add(&state, "m", 1, None).await, Ok(1));
        assert_eq!(add(&state, "m", i64::MAX, None).await, Ok(i64::MAX));
        assert_eq!(add(&state, "least", i64::MIN, None).await, Ok(i64::MIN));
        assert_eq!(add(&state, "least", -1, None).await, Ok(i64::MIN));
        // A value that is a number may be added to, and every other one counts as 0.
        for (text, sum) in [
            ("+007", 8),
            ("-0", 1),
            ("x", 1),
            ("", 1),
            ("99999999999999999999", 1),
        ] {
            let value = text.as_bytes().to_vec();
            state.set("v".into(), value, None).await.unwrap().unwrap();
            assert_eq!(add(&state, "v", 1, None).await, Ok(sum), "{text}");
        }
        // The time counts from the first addition.
        assert_eq!(add(&state, "brief", 1, Some(600)).await, Ok(1));
        assert_eq!(add(&state, "brief", 1, Some(9000)).await, Ok(2));
        let left = state.with_prefix("brief").await.unwrap();
        let left = left[0].1.unwrap();
        assert!(left <= Duration::from_secs(600) && left > Duration::from_secs(590));
        assert_eq!(
            state.with_prefix("n").await.unwrap(),
            [("n".to_owned(), None)]
        );
    }
}

#[tokio::test]
async fn regression_a_full_state_refuses_and_counters_give_way() {
    let stores = stores().await;
    for keeper in &stores.keepers {
        let state = keeper.values(10_000, "test").unwrap();
        set(&state, "kept", 1000, None).await.unwrap();
        // Somebody guesses again and again, and a flood of others once each.
        for _ in 0..5 {
            count(&state, "guesser", Some(600)).await.unwrap();
        }
        for stranger in 0..2000 {
            let sum = count(&state, &format!("stranger {stranger}"), Some(600)).await;
            assert_eq!(sum, Ok(1));
        }
        assert_eq!(count(&state, "guesser", Some(600)).await, Ok(6));
        assert_eq!(get(&state, "kept").await.unwrap().len(), 1000);
        assert!(get(&state, "stranger 0").await.is_none());
        assert!(get(&state, "stranger 1999").await.is_some());
        let size = state.size().await.unwrap();
        assert!(size.gave_way > 1800 && size.bytes <= 10_000, "{size:?}");
        // Entries that give way to nobody fill it up in the end, and then the sum is told and not
        // kept.
        let mut refused = false;
        for number in 0..1000 {
            refused |= add(&state, &format!("firm {number}"), 1, None).await == Err(1);
        }
        assert!(refused);
        state.clear().await.unwrap();
        set(&state, "all", 9_900, None).await.unwrap();
        assert_eq!(state.count("late".into(), 3, None).await.unwrap(), Err(3));
        assert_eq!(get(&state, "late").await, None);
    }
}

#[tokio::test]
async fn plugins_and_their_keys_are_told_apart() {
    let stores = stores().await;
    for keeper in &stores.keepers {
        let one = keeper.values(1000, "one").unwrap();
        let other = keeper.values(1000, "one-more").unwrap();
        for key in ["a", "a:b", "\u{e4} \0*[", ""] {
            assert_eq!(add(&one, key, 1, None).await, Ok(1));
            assert_eq!(add(&other, key, 5, None).await, Ok(5));
        }
        assert_eq!(other.clear().await.unwrap(), 4);
        assert_eq!(one.with_prefix("a").await.unwrap().len(), 2);
        assert_eq!(one.size().await.unwrap().keys, 4);
    }
}

/// Two servers add to one counter as fast as they can.
#[tokio::test(flavor = "multi_thread")]
async fn no_addition_of_two_servers_is_lost() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let mut adding = Vec::new();
    for _ in 0..4 {
        let state = Keeper::Shared(redis.shared().await);
        let state = state.values(1 << 20, "test").unwrap();
        adding.push(tokio::spawn(async move {
            for _ in 0..250 {
                add(&state, "n", 1, Some(60)).await.unwrap();
            }
            state
        }));
    }
    let mut last = None;
    for one in adding {
        last = Some(one.await.unwrap());
    }
    assert_eq!(get(&last.unwrap(), "n").await.unwrap(), b"1000");
}

/// The bookkeeping of the script is gone a while after the last value.
#[tokio::test]
async fn the_books_end_with_their_values() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let shared = redis.shared().await;
    let state = Keeper::Shared(shared.clone())
        .values(1 << 20, "test")
        .unwrap();
    count(&state, "a", Some(100)).await.unwrap();
    let left = async || -> i64 {
        let mut ask = redis::cmd("TTL");
        ask.arg(shared.key("state-costs:test"));
        shared.ask(&ask).await.unwrap()
    };
    assert!((150..=160).contains(&left().await));
    set(&state, "b", 10, None).await.unwrap();
    assert_eq!(left().await, -1);
    assert!(state.delete("b").await.unwrap());
    assert!(left().await > 0);
    assert!(state.delete("a").await.unwrap());
    assert_eq!(left().await, -2, "it is not there");
}

/// A reload changes the limit of what is there.
#[tokio::test]
async fn the_limit_can_change() {
    let stores = stores().await;
    for keeper in &stores.keepers {
        let state = keeper.values(100, "test").unwrap();
        assert_eq!(set(&state, "a", 100, None).await, Err(Full));
        state.set_limit(1000);
        assert_eq!(set(&state, "a", 100, None).await, Ok(()));
    }
}
