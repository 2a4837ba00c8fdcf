//! Counting.
//!
//! An attempt is *under way* from when it is asked about until the event that says what became of
//! it. Only so many are let through that failures and those under way together stay within each
//! limit; the next ones wait until some are decided, for as long as [`ROUNDS`] pauses. So no burst,
//! however many at once, gets more guesses than the limit, and nobody is locked out for logging in
//! with the right password many times at once.
//!
//! A session's mark remembers that an attempt of its was let through: what was denied here is no
//! failure once more. An attempt whose end is never heard of (a challenge without an answer, say)
//! is forgotten after [`UNDER_WAY`].
//!
//! Strangers can make as many counters as there are networks and names. Where the server has no room
//! for more, the least and oldest counters give way, so that nobody is refused for it; locks do not.

use crate::event::{End, Ended};
use crate::settings::Settings;
use sha2::{Digest, Sha256};
use std::net::IpAddr;

/// How often an attempt looks whether it may go on.
pub const ROUNDS: u32 = 60;
/// Seconds after which an attempt no longer counts as under way.
const UNDER_WAY: u32 = 60;
/// Seconds for which locks make the next one longer.
const DAY: u32 = 24 * 60 * 60;

/// What the server keeps and knows.
pub trait Server {
    /// The counter, 0 where there is none.
    fn count(&self, key: &str) -> i64;
    /// Adds to the counter, which lives for so many seconds from the first time on. It gives way
    /// where there is no room.
    fn add(&self, key: &str, delta: i64, seconds: u32) -> i64;
    /// The same for one that does not give way. Where there is no room, it is not kept.
    fn add_lasting(&self, key: &str, delta: i64, seconds: u32) -> i64;
    /// Forgets the counter.
    fn delete(&self, key: &str);
    /// Waits a moment.
    fn pause(&self);
}

/// Somebody who tries to log in.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The name that the client gave.
    pub user: &'a str,
    /// Where the client is.
    pub address: &'a str,
    /// The session's identifier.
    pub session: &'a str,
}

/// What is counted together.
struct Scope {
    /// For state: short, whatever the client calls itself.
    key: String,
    /// For people.
    name: String,
    limit: i64,
    /// Whether a success is a reason to forget the failures: not where one user could have those of
    /// others forgotten.
    forgiving: bool,
}

/// Says why an attempt is not even to be looked at, if that is so. `counted` is false where it goes
/// on with one that was counted before.
pub fn admit(
    settings: &Settings,
    server: &impl Server,
    attempt: Attempt,
    counted: bool,
) -> Result<(), String> {
    if settings.exempt.contain(attempt.address) {
        return Ok(());
    }
    let scopes = scopes(settings, attempt.user, attempt.address);
    let locked = || scopes.iter().find(|scope| scope.is_locked(server));
    for _ in 0..ROUNDS {
        if let Some(scope) = locked() {
            return Err(format!("locked out: {}", scope.name));
        }
        if !counted {
            return Ok(());
        }
        if begin(server, &scopes) {
            // There may be room because a lock has just taken the place of failures.
            if let Some(scope) = locked() {
                scopes.iter().for_each(|scope| scope.end(server));
                return Err(format!("locked out: {}", scope.name));
            }
            server.add(&mark(attempt.session), 1, UNDER_WAY);
            return Ok(());
        }
        server.pause();
    }
    Err("too many attempts at once".to_owned())
}

/// Counts what became of an attempt. The result tells of locks, for the log.
pub fn ended(settings: &Settings, server: &impl Server, ended: &Ended) -> Vec<String> {
    let mark = mark(&ended.session);
    if server.count(&mark) <= 0 {
        return Vec::new();
    }
    server.add(&mark, -1, UNDER_WAY);

    let mut told = Vec::new();
    for scope in scopes(settings, &ended.user, &ended.address) {
        match ended.end {
            End::Failed => told.extend(scope.fail(settings, server)),
            End::Accepted if scope.forgiving => server.delete(&scope.failed()),
            End::Accepted | End::Undecided => {}
        }
        // After the failure was counted: in between it counts twice, rather than not at all.
        scope.end(server);
    }
    told
}

/// Counts an attempt as under way, if there is room for it everywhere.
fn begin(server: &impl Server, scopes: &[Scope]) -> bool {
    let room = |scope: &Scope| {
        let under_way = server.add(&scope.under_way(), 1, UNDER_WAY);
        under_way.saturating_add(server.count(&scope.failed())) <= scope.limit
    };
    let taken = scopes.iter().position(|scope| !room(scope));
    if let Some(full) = taken {
        for scope in scopes.iter().take(full.saturating_add(1)) {
            scope.end(server);
        }
    }
    taken.is_none()
}

impl Scope {
    fn failed(&self) -> String {
        format!("failed {}", self.key)
    }

    fn under_way(&self) -> String {
        format!("under way {}", self.key)
    }

    fn locked(&self) -> String {
        format!("locked {}", self.key)
    }

    fn is_locked(&self, server: &impl Server) -> bool {
        server.count(&self.locked()) > 0
    }

    fn end(&self, server: &impl Server) {
        let key = self.under_way();
        if server.count(&key) > 0 {
            server.add(&key, -1, UNDER_WAY);
        }
    }

    fn fail(&self, settings: &Settings, server: &impl Server) -> Option<String> {
        let failures = server.add(&self.failed(), 1, settings.window);
        if failures < self.limit {
            return None;
        }
        let before = server.add_lasting(&format!("locks {}", self.key), 1, DAY) - 1;
        let double = 1_u32 << before.clamp(0, 30);
        let seconds = settings.lock_time.saturating_mul(double);
        let seconds = seconds.min(settings.longest_lock);
        server.add_lasting(&self.locked(), 1, seconds);
        let name = &self.name;
        if !self.is_locked(server) {
            // No room for the lock: the failures go on to keep further attempts away.
            return Some(format!(
                "{failures} failures: {name} is to be locked out, and state is full"
            ));
        }
        server.delete(&self.failed());
        Some(format!(
            "{failures} failures: {name} is locked out for {seconds} s"
        ))
    }
}

fn scopes(settings: &Settings, user: &str, address: &str) -> Vec<Scope> {
    let network = network(address);
    let digest = Sha256::digest(user);
    let digest: String = digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let scope = |limit: u32, key: String, name: String, forgiving: bool| Scope {
        key,
        name,
        limit: limit.into(),
        forgiving,
    };
    let mut scopes = vec![
        scope(
            settings.per_user,
            format!("{digest} {network}"),
            format!("{user:?} from {network}"),
            true,
        ),
        scope(settings.per_address, network.clone(), network, false),
        scope(settings.anywhere, digest, format!("{user:?}"), true),
    ];
    scopes.retain(|scope| scope.limit > 0);
    scopes
}

fn mark(session: &str) -> String {
    format!("session {session}")
}

/// Whoever has one IPv6 address has 2^64 of them.
fn network(address: &str) -> String {
    match address.parse::<IpAddr>().map(|one| one.to_canonical()) {
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        Ok(address) => address.to_string(),
        Err(_) => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};
    use std::collections::HashMap;

    /// Time passes only in pauses, and when a test says so.
    #[derive(Default)]
    struct Fake {
        now: Cell<u32>,
        counters: RefCell<HashMap<String, (i64, u32)>>,
        pauses: Cell<u32>,
        /// What happens in the first pause.
        meanwhile: RefCell<Vec<Ended>>,
        /// What happens right after it was looked whether somebody is locked.
        after_look: RefCell<Vec<Ended>>,
        /// No lock is kept.
        full: bool,
    }

    impl Server for Fake {
        fn count(&self, key: &str) -> i64 {
            let counter = self.counters.borrow().get(key).copied();
            let counter = counter.filter(|(_, end)| *end > self.now.get());
            if key.starts_with("locked") {
                for event in self.after_look.take() {
                    ended(&settings(), self, &event);
                }
            }
            counter.map_or(0, |(count, _)| count)
        }
        fn add(&self, key: &str, delta: i64, seconds: u32) -> i64 {
            let now = self.now.get();
            let mut counters = self.counters.borrow_mut();
            let counter = counters.entry(key.into()).or_insert((0, 0));
            if counter.1 <= now {
                *counter = (0, now + seconds);
            }
            counter.0 += delta;
            counter.0
        }
        fn add_lasting(&self, key: &str, delta: i64, seconds: u32) -> i64 {
            match self.full {
                true => self.count(key) + delta,
                false => self.add(key, delta, seconds),
            }
        }
        fn delete(&self, key: &str) {
            self.counters.borrow_mut().remove(key);
        }
        fn pause(&self) {
            self.pauses.set(self.pauses.get() + 1);
            for event in self.meanwhile.take() {
                ended(&settings(), self, &event);
            }
        }
    }

    fn settings() -> Settings {
        let json = r#"{"max-failures-per-user": 3, "max-failures-per-address": 5,
            "window": 100, "lock-time": 200, "longest-lock": 500, "exempt": ["198.51.100.0/24"]}"#;
        Settings::parse(json).unwrap()
    }

    fn begin(server: &Fake, user: &str, address: &str) -> Result<(), String> {
        let session = "s";
        let attempt = Attempt {
            user,
            address,
            session,
        };
        admit(&settings(), server, attempt, true)
    }

    fn event(user: &str, address: &str, end: End) -> Ended {
        Ended {
            user: user.into(),
            address: address.into(),
            session: "s".into(),
            end,
        }
    }

    fn fail(server: &Fake, user: &str, address: &str) -> Result<Vec<String>, String> {
        begin(server, user, address)?;
        Ok(ended(
            &settings(),
            server,
            &event(user, address, End::Failed),
        ))
    }

    fn succeed(server: &Fake, user: &str, address: &str) -> Result<(), String> {
        begin(server, user, address)?;
        assert!(ended(&settings(), server, &event(user, address, End::Accepted)).is_empty());
        Ok(())
    }

    #[test]
    fn locks_a_user_at_one_address() {
        let server = Fake::default();
        assert!(fail(&server, "bob", "192.0.2.1").unwrap().is_empty());
        assert!(fail(&server, "bob", "192.0.2.1").unwrap().is_empty());
        assert_eq!(
            fail(&server, "bob", "192.0.2.1").unwrap(),
            ["3 failures: \"bob\" from 192.0.2.1 is locked out for 200 s"]
        );
        assert_eq!(
            begin(&server, "bob", "192.0.2.1").unwrap_err(),
            "locked out: \"bob\" from 192.0.2.1"
        );
        assert_eq!(server.pauses.get(), 0);
        // Elsewhere the user is not locked, and nobody else is here.
        succeed(&server, "bob", "192.0.2.2").unwrap();
        succeed(&server, "eve", "192.0.2.1").unwrap();
        server.now.set(200);
        succeed(&server, "bob", "192.0.2.1").unwrap();
    }

    #[test]
    fn locks_grow_to_the_longest() {
        let server = Fake::default();
        let mut seconds = Vec::new();
        for _ in 0..3 {
            let mut told = Vec::new();
            while told.is_empty() {
                told = fail(&server, "bob", "192.0.2.1").unwrap();
            }
            let text = told.join(" ");
            seconds.push(text.split(' ').nth_back(1).unwrap().to_owned());
            server.now.set(server.now.get() + 500);
        }
        assert_eq!(seconds, ["200", "400", "500"]);
    }

    #[test]
    fn a_success_forgives_the_user_but_not_the_address() {
        let server = Fake::default();
        fail(&server, "bob", "192.0.2.1").unwrap();
        fail(&server, "bob", "192.0.2.1").unwrap();
        succeed(&server, "bob", "192.0.2.1").unwrap();
        fail(&server, "bob", "192.0.2.1").unwrap();
        fail(&server, "bob", "192.0.2.1").unwrap();
        // Four failures at this address; Eve's own success takes none of them away.
        succeed(&server, "eve", "192.0.2.1").unwrap();
        let told = fail(&server, "mallory", "192.0.2.1").unwrap();
        assert_eq!(told, ["5 failures: 192.0.2.1 is locked out for 200 s"]);
        assert!(begin(&server, "eve", "192.0.2.1").is_err());
    }

    #[test]
    fn failures_are_forgotten_after_the_window() {
        let server = Fake::default();
        for _ in 0..6 {
            assert!(fail(&server, "bob", "192.0.2.1").unwrap().is_empty());
            server.now.set(server.now.get() + 60);
        }
    }

    #[test]
    fn a_burst_gets_no_more_than_the_limit() {
        let server = Fake::default();
        let through = (0..20).filter(|_| begin(&server, "bob", "192.0.2.1").is_ok());
        assert_eq!(through.count(), 3);
        let told: Vec<_> = (0..20)
            .flat_map(|_| {
                ended(
                    &settings(),
                    &server,
                    &event("bob", "192.0.2.1", End::Failed),
                )
            })
            .collect();
        assert_eq!(told.len(), 1, "{told:?}");
        // The seventeen that were not let through are no failures: the address has three.
        fail(&server, "eve", "192.0.2.1").unwrap();
        assert_eq!(fail(&server, "eve", "192.0.2.1").unwrap().len(), 1);
    }

    #[test]
    fn a_lock_that_comes_between_looking_and_counting() {
        let server = Fake::default();
        for _ in 0..3 {
            begin(&server, "bob", "192.0.2.1").unwrap();
        }
        let failed = || event("bob", "192.0.2.1", End::Failed);
        let failures = vec![failed(), failed(), failed()];
        server.after_look.replace(failures);
        let error = begin(&server, "bob", "192.0.2.1").unwrap_err();
        assert!(error.starts_with("locked out"), "{error}");
        // It has given its place back.
        assert_eq!(server.count("under way 192.0.2.1"), 0);
    }

    #[test]
    fn those_that_wait_go_on_when_others_are_in() {
        let server = Fake::default();
        for _ in 0..3 {
            begin(&server, "bob", "192.0.2.1").unwrap();
        }
        server
            .meanwhile
            .replace(vec![event("bob", "192.0.2.1", End::Accepted)]);
        begin(&server, "bob", "192.0.2.1").unwrap();
        assert_eq!(server.pauses.get(), 1);
        // And are refused at once when those before them have failed.
        let failed = || event("bob", "192.0.2.1", End::Failed);
        server.meanwhile.replace(vec![failed(), failed(), failed()]);
        let error = begin(&server, "bob", "192.0.2.1").unwrap_err();
        assert_eq!(
            (error.starts_with("locked"), server.pauses.get()),
            (true, 2)
        );
    }

    #[test]
    fn what_never_ends_is_forgotten() {
        let server = Fake::default();
        for _ in 0..3 {
            begin(&server, "bob", "192.0.2.1").unwrap();
        }
        let error = begin(&server, "bob", "192.0.2.1").unwrap_err();
        assert_eq!(error, "too many attempts at once");
        server.now.set(60);
        begin(&server, "bob", "192.0.2.1").unwrap();
    }

    #[test]
    fn a_second_factor_is_the_same_attempt() {
        let server = Fake::default();
        for _ in 0..3 {
            begin(&server, "bob", "192.0.2.1").unwrap();
            let code = Attempt {
                user: "bob",
                address: "192.0.2.1",
                session: "s",
            };
            admit(&settings(), &server, code, false).unwrap();
            ended(
                &settings(),
                &server,
                &event("bob", "192.0.2.1", End::Failed),
            );
        }
        assert!(begin(&server, "bob", "192.0.2.1").is_err());
    }

    #[test]
    fn what_nobody_could_decide_is_no_failure() {
        let server = Fake::default();
        for _ in 0..10 {
            begin(&server, "bob", "192.0.2.1").unwrap();
            let event = event("bob", "192.0.2.1", End::Undecided);
            ended(&settings(), &server, &event);
        }
    }

    #[test]
    fn nobody_gains_by_events_of_others() {
        let server = Fake::default();
        // A login by certificate was never counted, so it takes nothing away.
        for _ in 0..10 {
            ended(
                &settings(),
                &server,
                &event("eve", "192.0.2.1", End::Accepted),
            );
        }
        let through = (0..20).filter(|_| begin(&server, "bob", "192.0.2.1").is_ok());
        assert_eq!(through.count(), 3);
    }

    #[test]
    fn without_room_for_a_lock_the_failures_hold() {
        let server = Fake {
            full: true,
            ..Fake::default()
        };
        fail(&server, "bob", "192.0.2.1").unwrap();
        fail(&server, "bob", "192.0.2.1").unwrap();
        let told = fail(&server, "bob", "192.0.2.1").unwrap();
        assert!(told[0].ends_with("state is full"), "{told:?}");
        begin(&server, "bob", "192.0.2.1").unwrap_err();
        begin(&server, "bob", "192.0.2.2").unwrap();
    }

    #[test]
    fn networks_and_exemptions() {
        assert_eq!(network("2001:db8::1:2:3:4"), "2001:db8:0:0::/64");
        assert_eq!(network("::ffff:192.0.2.1"), "192.0.2.1");
        let server = Fake::default();
        for last in 0..3 {
            fail(&server, "bob", &format!("2001:db8::{last}")).unwrap();
        }
        assert!(begin(&server, "bob", "2001:db8::ffff").is_err());
        begin(&server, "bob", "2001:db8:0:1::").unwrap();
        for _ in 0..100 {
            fail(&server, "bob", "198.51.100.7").unwrap();
        }
    }

    #[test]
    fn a_user_may_be_counted_everywhere() {
        let settings = r#"{"max-failures-per-user-anywhere": 4, "max-failures-per-user": 0}"#;
        let settings = Settings::parse(settings).unwrap();
        let server = Fake::default();
        for last in 0..5 {
            let address = format!("192.0.2.{last}");
            let attempt = Attempt {
                user: "bob",
                address: &address,
                session: "s",
            };
            let result = admit(&settings, &server, attempt, true);
            assert_eq!(result.is_ok(), last < 4);
            ended(&settings, &server, &event("bob", &address, End::Failed));
        }
    }
}
