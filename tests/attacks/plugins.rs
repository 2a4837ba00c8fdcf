//! Plugins that fail in each way that there is, beside a hundred sessions that transfer.

use std::{
    collections::BTreeMap,
    io::Read,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::{
    scale,
    support::{Client, Server, Setup, Tls, USER, content, eventually},
};

/// Sessions that transfer, and nothing else.
const HONEST: usize = 100;
/// Sessions at a time that have the plugin fail.
const HOSTILE: usize = 4;
/// How long each way to fail goes on.
const PHASE: Duration = Duration::from_millis(1500);

/// The ways to fail of each kind of plugin, by the name of a user, a file and an upload.
const AUTHENTICATOR: &[&str] = &["trap", "loop", "memory", "stack", "flood", "accounts"];
const GUARD: &[&str] = &["trap", "loop", "memory", "stack", "internal"];
const INSPECTOR: &[&str] = &["trap-before", "trap-after", "loop", "memory"];
const LISTENER: &[&str] = &["trap", "loop", "unavailable"];

/// Things that somebody waits for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Wait {
    Noop,
    FirstByte,
    Upload,
    Login,
}

const WAITS: [Wait; 4] = [Wait::Noop, Wait::FirstByte, Wait::Upload, Wait::Login];

/// How long each took, by phase.
#[derive(Default)]
struct Waits {
    phase: AtomicUsize,
    measured: Mutex<BTreeMap<(usize, Wait), Vec<Duration>>>,
}

impl Waits {
    fn measure<T>(&self, wait: Wait, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        let key = (self.phase.load(Relaxed), wait);
        let mut measured = self.measured.lock().unwrap();
        measured.entry(key).or_default().push(begun.elapsed());
        done
    }

    /// Number, median and longest of a phase.
    fn of(&self, phase: usize, wait: Wait) -> (usize, Duration, Duration) {
        let mut measured = self.measured.lock().unwrap();
        let all = measured.entry((phase, wait)).or_default();
        all.sort();
        let median = all.get(all.len() / 2).copied().unwrap_or_default();
        (all.len(), median, all.last().copied().unwrap_or_default())
    }
}

fn built(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/components/built");
    path.join(name)
        .with_extension("wasm")
        .to_str()
        .unwrap()
        .to_owned()
}

/// The tables of the configuration; `notify` is how the listener fails.
fn tables(notify: &str) -> String {
    // A machine on which all tests run at once is no reason for an honest call to be late.
    let limits = "limits.cpu-time = \"200ms\"\nlimits.wall-time = \"30s\"\n\
                  limits.pool-wait = \"30s\"\nlimits.memory = \"16MiB\"\n";
    let mut text = String::new();
    for (name, component, settings) in [
        (
            "listens",
            built("listens"),
            format!("settings.notify = {notify:?}\n"),
        ),
        (
            "faulty-authenticator",
            built("faulty-authenticator"),
            String::new(),
        ),
        (
            "users",
            "builtin:users".into(),
            "settings.users = { file = \"users.toml\" }\n".into(),
        ),
        ("faulty-guard", built("faulty-guard"), String::new()),
        (
            "rules",
            "builtin:rules".into(),
            "settings.default = \"allow\"\n".into(),
        ),
        ("faulty-inspector", built("faulty-inspector"), String::new()),
    ] {
        text +=
            &format!("[[plugin]]\nname = {name:?}\ncomponent = {component:?}\n{settings}{limits}");
    }
    text
}

/// Transfers until told to stop. Each refusal and each broken connection is a panic.
fn honest(server: &Server, number: usize, waits: &Waits, stop: &AtomicBool) {
    let tls = Tls::new();
    let bytes = content(64 << 10, number as u64);
    let mut client = server.login_as(USER, &tls);
    let name = format!("honest-{number}");
    client.store(&format!("STOR {name}"), &bytes).expect(226);
    let mut round = number;
    while !stop.load(Relaxed) {
        waits.measure(Wait::Noop, || client.send("NOOP").expect(200));
        if round.is_multiple_of(2) {
            let (mut data, first) = waits.measure(Wait::FirstByte, || {
                let mut data = client.begin(&format!("RETR {name}"));
                let mut first = [0];
                data.read_exact(&mut first).unwrap();
                (data, first)
            });
            let mut all = first.to_vec();
            data.read_to_end(&mut all).unwrap();
            client.reply().expect(226);
            assert!(all == bytes, "{name} is another file");
        } else {
            waits.measure(Wait::Upload, || {
                client.store(&format!("STOR {name}"), &bytes).expect(226)
            });
        }
        if round.is_multiple_of(5) {
            waits.measure(Wait::Login, || drop(server.login_as(USER, &tls)));
        }
        round += 1;
    }
}

/// Has a plugin fail, again and again, while it is its turn: how often.
fn hostile(server: &Server, plugin: &str, mode: &str, over: &AtomicBool) -> usize {
    let mut failed = 0;
    while !over.load(Relaxed) {
        // A listener is told of what the honest ones do.
        if plugin == "listener" {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        }
        let mut client = Client::connect(server.address);
        if plugin == "authenticator" {
            client.send(&format!("USER {mode}")).expect(331);
            client.send("PASS x").expect_one_of(&[421, 530]);
            failed += 1;
            continue;
        }
        client.login("mallory");
        while !over.load(Relaxed) {
            let reply = match plugin {
                "guard" => client.send(&format!("SIZE {mode}")),
                // It may fail before the transfer begins.
                _ => {
                    let mut data = client.open();
                    let reply = client.send(&format!("STOR {mode}"));
                    if reply.code == 150 {
                        let _ = std::io::Write::write_all(&mut data, b"content");
                        drop(data);
                        client.reply()
                    } else {
                        reply
                    }
                }
            };
            reply.expect(451);
            failed += 1;
        }
    }
    failed
}

/// Ends the sessions, also where something else has failed.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Has another configuration read.
fn reload(server: &Server, notify: &str) {
    server.setup().file("config.toml", tables(notify));
    let done = || server.log().matches("reloaded: ").count();
    let before = done();
    let id = rustix::process::Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::HUP).unwrap();
    eventually("the reload is done", || done() > before);
}

/// Runs all of it: the names of the phases. Nothing fails in the first one.
fn run(server: &Server, waits: &Waits) -> Vec<String> {
    let stop = AtomicBool::new(false);
    let sessions = HONEST * scale();
    let mut phases = vec!["nothing fails".to_owned()];
    std::thread::scope(|scope| {
        let stopping = Stop(&stop);
        let begin = |number| {
            let stop = &stop;
            scope.spawn(move || honest(server, number, waits, stop))
        };
        let honest: Vec<_> = (0..sessions).map(begin).collect();
        eventually("all are at work", || {
            waits.of(0, Wait::Noop).0 >= 2 * sessions
        });
        // From here on it is measured how long they wait where nothing fails.
        waits.measured.lock().unwrap().clear();
        std::thread::sleep(2 * PHASE);
        for (plugin, modes) in [
            ("authenticator", AUTHENTICATOR),
            ("guard", GUARD),
            ("inspector", INSPECTOR),
            ("listener", LISTENER),
        ] {
            for mode in modes {
                if plugin == "listener" {
                    reload(server, mode);
                }
                phases.push(format!("{plugin}: {mode}"));
                waits.phase.store(phases.len() - 1, Relaxed);
                let over = AtomicBool::new(false);
                let failed: usize = std::thread::scope(|scope| {
                    let ending = Stop(&over);
                    let begin = |_| scope.spawn(|| hostile(server, plugin, mode, &over));
                    let hostile: Vec<_> = (0..HOSTILE * scale()).map(begin).collect();
                    std::thread::sleep(PHASE);
                    drop(ending);
                    hostile.into_iter().map(|one| one.join().unwrap()).sum()
                });
                assert!(
                    failed > 0 || plugin == "listener",
                    "{plugin}: {mode} never failed"
                );
                let ended = honest.iter().filter(|one| one.is_finished()).count();
                assert_eq!(ended, 0, "{plugin}: {mode}: sessions that broke off");
            }
        }
        drop(stopping);
        for one in honest {
            one.join().expect("none is refused, and none breaks off");
        }
    });
    phases
}

#[test]
fn a_plugin_that_fails_holds_up_none_of_a_hundred_sessions() {
    let server = Setup::new()
        .tables(&tables("none"))
        .user("mallory", "")
        .set("limits.sessions-per-address", "0")
        .set("limits.sessions-per-user", "0")
        .set("tls.required", "false")
        .set("tls.data-required", "false")
        .start();
    let waits = Waits::default();
    let phases = run(&server, &waits);
    eprintln!("number, median and longest in ms");
    for (phase, name) in phases.iter().enumerate() {
        let mut line = format!("{name:>24}");
        for wait in WAITS {
            let (count, median, longest) = waits.of(phase, wait);
            let (median, longest) = (median.as_millis(), longest.as_millis());
            line += &format!("  {wait:?} {count:>5} {median:>5} {longest:>6}");
        }
        eprintln!("{line}");
    }
    for (phase, name) in phases.iter().enumerate().skip(1) {
        for wait in WAITS {
            let (_, usual, _) = waits.of(0, wait);
            let (count, median, longest) = waits.of(phase, wait);
            assert!(count > 0, "{name}: {wait:?}: nobody got through");
            // The plugin that fails has its share of the machine, and no more than that.
            let bound = 10 * usual + Duration::from_secs(1);
            let waited = format!("{name}: {wait:?}: {median:?}, {longest:?}; usually {usual:?}");
            assert!(median < bound, "{waited}");
            assert!(longest < Duration::from_secs(20), "{waited}");
        }
    }
    // Events that the listener has failed at.
    let log = server.log();
    for word in ["unhealthy", "listens"] {
        assert!(log.contains(word), "{word} is not in the log");
    }
}
