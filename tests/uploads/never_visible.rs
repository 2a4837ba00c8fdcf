//! A refused upload is never seen: not for a moment, not by anybody who looks all the time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    mem::MaybeUninit,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

use crate::{
    broken, rounds, setup,
    support::{Client, Server, Tls, content, eicar, server::walk},
};

/// The most bytes that the upload guard takes.
const MOST: usize = 400_000;

fn server() -> Server {
    let guard = format!(
        "settings = {{ deny-names = [\"*.denied\"], deny-extensions = [\"exe\"], max-size = {MOST} }}"
    );
    setup()
        .user("bob", "home = \"/alice\"")
        .set("storage.default.durability", r#""none""#)
        .users_plugin()
        .plugin("rules", "builtin:rules", "")
        .plugin("upload-guard", "builtin:upload-guard", &guard)
        .start()
}

/// The kernel's word on every name that came into a directory.
struct Watch(rustix::fd::OwnedFd);

/// The name that says that all is over.
const END: &str = "end-of-all";

impl Watch {
    fn new(directory: &Path) -> Self {
        let watch = inotify::init(CreateFlags::CLOEXEC).unwrap();
        let events = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::DELETE
            | WatchFlags::MODIFY
            | WatchFlags::OPEN;
        inotify::add_watch(&watch, directory, events).unwrap();
        Self(watch)
    }

    /// Every event until [`END`] comes.
    fn follow(self) -> Vec<(String, ReadFlags)> {
        let (mut buffer, mut seen) = ([MaybeUninit::uninit(); 64 << 10], Vec::new());
        let mut reader = Reader::new(&self.0, &mut buffer);
        loop {
            let event = reader.next().unwrap();
            assert!(
                !event.events().contains(ReadFlags::QUEUE_OVERFLOW),
                "too many events"
            );
            let Some(name) = event.file_name() else {
                continue;
            };
            let name = name.to_str().unwrap().to_owned();
            if name == END {
                return seen;
            }
            seen.push((name, event.events()));
        }
    }
}

/// Ends the watchers, also when something fails.
struct End<'a>(PathBuf, &'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.1.store(true, Ordering::SeqCst);
        let _ = fs::write(self.0.join(END), "");
    }
}

/// The virus at a place in other content.
fn infected(before: usize, behind: usize, seed: u64) -> Vec<u8> {
    [content(before, seed), eicar(), content(behind, seed + 1)].concat()
}

/// Ways to be refused, each with the name that must never be seen.
const WAYS: usize = 12;

/// One upload that is refused.
fn refused(client: &mut Client, number: usize, home: &Path, names: &Mutex<BTreeSet<String>>) {
    let (mut name, seed) = (format!("refused-{number}"), number as u64);
    let note = |name: &str| assert!(names.lock().unwrap().insert(name.to_owned()));
    let store = |client: &mut Client, command: &str, bytes: &[u8]| {
        client.store(command, bytes).expect_one_of(&[550, 552, 553]);
    };
    match number % WAYS {
        // By content: small, at the end, and at the beginning of much that the client goes on with.
        0 => store(client, &format!("STOR {name}"), &eicar()),
        1 => store(client, &format!("STOR {name}"), &infected(300_000, 0, seed)),
        2 => store(client, &format!("STOR {name}"), &infected(0, 390_000, seed)),
        3 => store(client, &format!("APPE {name}"), &infected(1000, 1000, seed)),
        // Content of another kind than the name says.
        4 => {
            name += ".png";
            store(
                client,
                &format!("STOR {name}"),
                b"\x7fELF\x02\x01\x01\0 and no picture",
            );
        }
        // By name.
        5 => {
            name += ".denied";
            store(client, &format!("STOR {name}"), b"innocent");
        }
        6 => {
            name += ".exe";
            store(client, &format!("APPE {name}"), &content(300_000, seed));
        }
        // Too large: seen early, and with the last byte alone.
        7 => store(client, &format!("STOR {name}"), &content(MOST * 3, seed)),
        8 => store(client, &format!("STOR {name}"), &content(MOST + 1, seed)),
        // In two transfers.
        9 => {
            let bytes = infected(100_000, 50_000, seed);
            broken(client, &format!("STOR {name}"), &bytes[..100_030]).expect(426);
            client.send("REST 100030").expect(350);
            store(client, &format!("STOR {name}"), &bytes[100_030..]);
        }
        10 => {
            broken(client, &format!("STOR {name}"), &eicar()[..40]).expect(426);
            store(client, &format!("APPE {name}"), &eicar()[40..]);
        }
        // Under a name that the server chooses, and tells before.
        _ => {
            let stream = client.open();
            let reply = client.send("STOU").expect(150);
            name = reply.text().trim_start_matches("FILE: ").to_owned();
            note(&name);
            let mut data = client.protect(stream);
            let _ = data.send(&infected(20_000, 20_000, seed));
            let _ = data.finish();
            client.reply().expect(550);
        }
    }
    if number % WAYS != 11 {
        note(&name);
    }
    client.send(&format!("SIZE {name}")).expect(550);
    assert!(!home.join(&name).exists(), "{name}");
}

/// One upload that is accepted, and after it refused ones that would change it.
fn accepted(client: &mut Client, number: usize, home: &Path) {
    let (name, old) = (format!("accepted-{number}"), content(10_000, number as u64));
    client.store(&format!("STOR {name}"), &old).expect(226);
    for (command, bytes) in [
        (format!("APPE {name}"), infected(0, 1000, 1)),
        (format!("STOR {name}"), infected(1000, 0, 2)),
        (format!("APPE {name}"), content(MOST, 3)),
    ] {
        client.store(&command, &bytes).expect(550);
    }
    client.send("REST 5000").expect(350);
    client.store(&format!("STOR {name}"), &eicar()).expect(550);
    assert!(fs::read(home.join(&name)).unwrap() == old, "{name}");
}

#[test]
fn what_is_refused_is_never_seen() {
    let server = server();
    let home = server.home();
    let (count, begun) = (rounds(100).max(WAYS), Instant::now());
    // One in ten is accepted, and shows that all who watch see something.
    let extra = count.div_ceil(10);
    let (names, over, next) = (
        Mutex::default(),
        AtomicBool::new(false),
        AtomicUsize::new(0),
    );
    let (looks, lists) = (AtomicU64::new(0), AtomicU64::new(0));
    let (mut events, mut found, mut listed) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    let watch = Watch::new(&home);
    std::thread::scope(|scope| {
        let end = End(home.clone(), &over);
        let kernel = scope.spawn(|| watch.follow());
        // Directory entries, and bytes.
        let entries = scope.spawn(|| {
            let (mut found, virus) = (BTreeSet::new(), eicar());
            loop {
                let last = over.load(Ordering::SeqCst);
                for entry in fs::read_dir(&home).unwrap().flatten() {
                    let name = entry.file_name().into_string().unwrap();
                    if found.insert(name) {
                        let bytes = fs::read(entry.path()).unwrap();
                        assert!(!bytes.windows(virus.len()).any(|window| window == virus));
                    }
                }
                looks.fetch_add(1, Ordering::Relaxed);
                if last {
                    return found;
                }
            }
        });
        let client = scope.spawn(|| list(&server, &over, &lists, count));
        let writers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = server.login();
                    loop {
                        let number = next.fetch_add(1, Ordering::SeqCst);
                        if number >= count {
                            return;
                        }
                        refused(&mut client, number, &home, &names);
                        if number % 10 == 0 {
                            accepted(&mut client, number / 10, &home);
                        }
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        drop(end);
        events = kernel.join().unwrap();
        found = entries.join().unwrap();
        listed = client.join().unwrap();
    });
    let took = begun.elapsed();
    let names: BTreeSet<String> = names.into_inner().unwrap();
    assert_eq!(names.len(), count);
    let mut moved: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, event) in &events {
        assert!(!names.contains(name), "{name}: {event:?}");
        assert!(name.starts_with("accepted-"), "{name}: {event:?}");
        // Nothing is ever made or written in place, nor taken away.
        let others =
            ReadFlags::CREATE | ReadFlags::MODIFY | ReadFlags::DELETE | ReadFlags::MOVED_FROM;
        assert!(!event.intersects(others), "{name}: {event:?}");
        *moved.entry(name).or_default() += usize::from(event.contains(ReadFlags::MOVED_TO));
    }
    let expected: BTreeSet<String> = (0..extra)
        .map(|number| format!("accepted-{number}"))
        .collect();
    let once = expected.iter().map(|name| (name.as_str(), 1)).collect();
    assert_eq!(moved, once, "each that was accepted came once");
    found.remove(END);
    assert_eq!(found, expected, "directory entries");
    listed.remove(END);
    assert_eq!(listed, expected, "lists");
    let left: Vec<_> = files(&server.state().join("staging"));
    assert_eq!(left, ["lock"]);
    println!(
        "{count} refused and {} refused changes in {took:?}; {} events, {looks:?} looks at the \
         directory, {lists:?} rounds of lists",
        extra * 4,
        events.len()
    );
}

/// Another client, which lists and asks; all names that it was told.
fn list(server: &Server, over: &AtomicBool, lists: &AtomicU64, count: usize) -> BTreeSet<String> {
    let mut client = server.login_as("bob", &Tls::new());
    let mut listed = BTreeSet::new();
    let mut number = 0;
    loop {
        let last = over.load(Ordering::SeqCst);
        for command in ["MLSD", "LIST -a", "NLST -a"] {
            for line in client.listing(command).lines() {
                let name = line.rsplit(' ').next().unwrap();
                if name != "." && name != ".." && name != "/" {
                    listed.insert(name.to_owned());
                }
            }
        }
        number = (number + 7) % count;
        for verb in ["SIZE", "MDTM", "MLST"] {
            client.send(&format!("{verb} refused-{number}")).expect(550);
        }
        lists.fetch_add(1, Ordering::Relaxed);
        if last {
            return listed;
        }
    }
}

fn files(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    walk(directory, &mut |path| {
        names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
    });
    names
}

/// A file that is there for a moment alone does not escape: the watch that the test above relies
/// on.
#[test]
fn the_watch_sees_what_is_there_for_a_moment() {
    let place = tempfile::TempDir::new().unwrap();
    let (inside, outside) = (place.path().join("inside"), place.path().join("outside"));
    fs::create_dir(&inside).unwrap();
    let watch = Watch::new(&inside);
    for number in 0..100 {
        fs::write(&outside, "").unwrap();
        fs::rename(&outside, inside.join(format!("moved{number}"))).unwrap();
        fs::remove_file(inside.join(format!("moved{number}"))).unwrap();
        fs::write(inside.join(format!("made{number}")), "").unwrap();
        fs::rename(inside.join(format!("made{number}")), &outside).unwrap();
    }
    fs::write(inside.join(END), "").unwrap();
    let events = watch.follow();
    for number in 0..100 {
        for (name, kind) in [("moved", ReadFlags::MOVED_TO), ("made", ReadFlags::CREATE)] {
            let name = format!("{name}{number}");
            let seen = events
                .iter()
                .filter(|(of, event)| *of == name && event.contains(kind));
            assert_eq!(seen.count(), 1, "{name}");
        }
    }
}
