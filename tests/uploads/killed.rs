//! A file is its old self or its new self, whole, at each instant, also when the server is killed.
//!
//! Files describe themselves: they are records one after the other, each with its name, its number,
//! the number of the one before it, its length and its digest. So whoever reads one can tell whether
//! it is whole, whether anything refused is in it, and which upload it is.
//!
//! `PORTCULLIS_SEED` repeats what a failed run has printed, as far as threads do.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use aws_lc_rs::digest::{SHA256, digest};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    rounds, setup,
    support::{Client, Data, PATIENCE, Server, Tls, content, eicar, eventually},
};

/// The users that write. The homes are one, what they leave unfinished is each one's own.
const WRITERS: [&str; 3] = ["alice", "bob", "carol"];
/// A user that only looks, and so has nothing unfinished.
const STRANGER: &str = "dave";
/// Names that all of them write, only ever as a whole.
const SHARED: [&str; 2] = ["shared-0", "shared-1"];
/// Names that one of them writes, also in pieces.
const OWN: usize = 2;

/// Chance that can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn apart(&mut self) -> Self {
        Self(self.next() | 1)
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    number: u64,
    /// The number of the record before it in the same file; 0 for nothing.
    after: u64,
    refused: bool,
}

const HEAD: usize = 160;

fn record(name: &str, number: u64, after: u64, length: usize, refused: bool) -> Vec<u8> {
    let mut bytes = content(length, number);
    if refused {
        // Anywhere in it.
        let at = usize::try_from(number).unwrap() % length;
        bytes.splice(at..at, eicar());
    }
    let hash = crate::support::tls::hex(digest(&SHA256, &bytes).as_ref());
    let kind = if refused { "refused" } else { "fine" };
    let head = format!(
        "record {name} {number} {after} {kind} {} {hash}",
        bytes.len()
    );
    assert!(head.len() < HEAD);
    let mut whole = format!("{head:<width$}\n", width = HEAD - 1).into_bytes();
    whole.extend(bytes);
    whole
}

/// The records of a file, or in what way it is torn.
fn parse(name: &str, mut bytes: &[u8]) -> Result<Vec<Record>, String> {
    let mut records: Vec<Record> = Vec::new();
    while !bytes.is_empty() {
        let Some((head, rest)) = bytes.split_at_checked(HEAD) else {
            return Err(format!(
                "{} bytes of a head behind {records:?}",
                bytes.len()
            ));
        };
        let head = String::from_utf8_lossy(head).into_owned();
        let words: Vec<&str> = head.split_whitespace().collect();
        let ["record", of, number, after, kind, length, hash] = words[..] else {
            return Err(format!("no head behind {records:?}: {head:?}"));
        };
        let (number, after) = (number.parse().unwrap(), after.parse().unwrap());
        let Some((content, rest)) = rest.split_at_checked(length.parse().unwrap()) else {
            return Err(format!("{head}: {} bytes", rest.len()));
        };
        if crate::support::tls::hex(digest(&SHA256, content).as_ref()) != hash {
            return Err(format!("{head}: another digest"));
        }
        let before = records.last().map_or(0, |record: &Record| record.number);
        if of != name || after != before {
            return Err(format!("{head}: in {name}, behind {before}"));
        }
        records.push(Record {
            number,
            after,
            refused: kind == "refused",
        });
        bytes = rest;
    }
    Ok(records)
}

/// The number of the last record of a whole file that nothing refused is in; 0 if it is not there.
fn seen(home: &Path, name: &str) -> u64 {
    let bytes = match fs::read(home.join(name)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return 0,
        Err(error) => panic!("{name}: {error}"),
    };
    let records = parse(name, &bytes).unwrap_or_else(|torn| panic!("{name} is torn: {torn}"));
    let refused = records.iter().any(|record| record.refused);
    assert!(!refused, "{name} has what was refused: {records:?}");
    records
        .last()
        .unwrap_or_else(|| panic!("{name} is empty"))
        .number
}

/// One upload to a name: when it began, and when 226 came, in the order of all that happened.
#[derive(Debug)]
struct Sent {
    number: u64,
    began: u64,
    accepted: Option<u64>,
    refused: bool,
}

/// All that was sent to each name since it was last looked at.
#[derive(Default)]
struct Journal {
    clock: AtomicU64,
    names: Mutex<BTreeMap<String, Vec<Sent>>>,
    accepted: AtomicU64,
    refused: AtomicU64,
}

impl Journal {
    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn begin(&self, name: &str, refused: bool) -> u64 {
        let number = self.tick();
        let sent = Sent {
            number,
            began: number,
            accepted: None,
            refused,
        };
        let mut names = self.names.lock().unwrap();
        names.entry(name.to_owned()).or_default().push(sent);
        number
    }

    fn accepted(&self, name: &str, number: u64) {
        let mut names = self.names.lock().unwrap();
        let all = names.get_mut(name).unwrap();
        let sent = all.iter_mut().find(|sent| sent.number == number).unwrap();
        sent.accepted = Some(self.tick());
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// The numbers that may be there: everything that was sent, but for what was refused, and for
    /// what 226 had confirmed before another one began that 226 confirmed, too.
    fn allowed(&self, name: &str) -> BTreeSet<u64> {
        let names = self.names.lock().unwrap();
        let Some(all) = names.get(name) else {
            return [0].into();
        };
        let latest = all.iter().filter(|sent| sent.accepted.is_some());
        let latest = latest.map(|sent| sent.began).max().unwrap_or(0);
        let fine = all.iter().filter(|sent| !sent.refused);
        let mut allowed: BTreeSet<u64> = fine
            .filter(|sent| sent.accepted.is_none_or(|accepted| accepted > latest))
            .map(|sent| sent.number)
            .collect();
        if latest == 0 {
            allowed.insert(0);
        }
        allowed
    }

    /// From here on only this is there.
    fn settle(&self, name: &str, number: u64) {
        let sent = Sent {
            number,
            began: number,
            accepted: Some(self.tick()),
            refused: false,
        };
        let settled = if number == 0 { vec![] } else { vec![sent] };
        self.names.lock().unwrap().insert(name.to_owned(), settled);
    }
}

/// The upload that one of them was about when the server went.
#[derive(Clone)]
struct Unfinished {
    name: String,
    number: u64,
    whole: Vec<u8>,
    refused: bool,
}

/// A session with a server that may be gone at any moment.
struct Session(Client);

impl Session {
    fn login(address: SocketAddr, user: &str) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        let mut session = Self(Client::over(stream));
        session.reply()?;
        session.tell("AUTH TLS", 234)?;
        let tls = Tls::new().apart();
        session.0.handshake(&tls)?;
        session.0.tls = Some(tls);
        session.tell(&format!("USER {user}"), 331)?;
        session.tell(&format!("PASS {user}"), 230)?;
        session.tell("PBSZ 0", 200)?;
        session.tell("PROT P", 200)?;
        session.tell("TYPE I", 200)?;
        Ok(session)
    }

    fn reply(&mut self) -> io::Result<(u16, String)> {
        let reply = self.0.try_reply()?;
        Ok((reply.code, reply.text().to_owned()))
    }

    fn say(&mut self, command: &str) -> io::Result<(u16, String)> {
        self.0.try_write(format!("{command}\r\n"))?;
        self.reply()
    }

    fn tell(&mut self, command: &str, expected: u16) -> io::Result<String> {
        let (code, text) = self.say(command)?;
        assert_eq!(code, expected, "{command}: {text}");
        Ok(text)
    }

    fn begin(&mut self, command: &str) -> io::Result<Data> {
        let text = self.tell("EPSV", 229)?;
        let port = text.split('|').nth(3).unwrap().parse().unwrap();
        let mut address = self.0.socket().peer_addr()?;
        address.set_port(port);
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        self.tell(command, 150)?;
        Data::tls(stream, self.0.tls.as_ref().unwrap())
    }

    /// A whole upload: its last reply.
    fn store(&mut self, command: &str, bytes: &[u8]) -> io::Result<u16> {
        let mut data = self.begin(command)?;
        // A refusal may come before the end, and with it the end of the connection.
        let _ = data.send(bytes).and_then(|()| data.finish());
        Ok(self.reply()?.0)
    }

    /// How much is there of what this user sees.
    fn size(&mut self, name: &str) -> io::Result<u64> {
        Ok(match self.say(&format!("SIZE {name}"))? {
            (213, text) => text.parse().unwrap(),
            (code, text) => {
                assert_eq!(code, 550, "{text}");
                0
            }
        })
    }

    /// How much waits of what this user has begun.
    fn partial(&mut self, name: &str) -> io::Result<u64> {
        self.0.try_write(format!("MLST {name}\r\n"))?;
        let reply = self.0.try_reply()?;
        let fact = reply
            .lines
            .iter()
            .find_map(|line| line.split_once("X.partial="));
        Ok(fact.map_or(0, |(_, rest)| {
            rest.split(';').next().unwrap().parse().unwrap()
        }))
    }
}

/// Writes until the server is gone; what was not finished by then.
fn write(
    user: &str,
    address: SocketAddr,
    home: &Path,
    journal: &Journal,
    random: &mut Random,
    ready: &AtomicU64,
) -> Option<Unfinished> {
    let mut unfinished = None;
    let ended = write_on(user, address, home, journal, random, ready, &mut unfinished);
    drop(ended.expect_err("it ends when the server does"));
    unfinished
}

fn write_on(
    user: &str,
    address: SocketAddr,
    home: &Path,
    journal: &Journal,
    random: &mut Random,
    ready: &AtomicU64,
    unfinished: &mut Option<Unfinished>,
) -> io::Result<()> {
    let mut session = Session::login(address, user)?;
    ready.fetch_add(1, Ordering::SeqCst);
    loop {
        let whole_only = random.below(3) == 0;
        let name = if whole_only {
            SHARED[random.below(SHARED.len() as u64) as usize].to_owned()
        } else {
            format!("{user}-{}", random.below(OWN as u64))
        };
        let refused = random.below(5) == 0;
        let appends = !whole_only && random.below(3) == 0;
        let most = [20_000, 20_000, 20_000, 400_000][random.below(4) as usize];
        let length = 1 + random.below(most) as usize;
        let number = journal.begin(&name, refused);
        let before = if appends {
            // Nobody else writes it.
            fs::read(home.join(&name)).unwrap_or_default()
        } else {
            Vec::new()
        };
        // It may not grow for ever.
        let before = if before.len() > 1_000_000 {
            Vec::new()
        } else {
            before
        };
        let after = match parse(&name, &before).unwrap().last() {
            Some(last) => last.number,
            None => 0,
        };
        let new = record(&name, number, after, length, refused);
        let verb = if before.is_empty() { "STOR" } else { "APPE" };
        *unfinished = Some(Unfinished {
            name: name.clone(),
            number,
            whole: [&before[..], &new[..]].concat(),
            refused,
        });
        let code = if !whole_only && random.below(3) == 0 {
            // Broken, and gone on with in another session.
            let cut = random.below(new.len() as u64) as usize;
            let mut data = session.begin(&format!("{verb} {name}"))?;
            let _ = data.send(&new[..cut]);
            data.cut();
            let (code, text) = session.reply()?;
            let quick = refused && code == 550;
            assert!(code == 426 || quick, "{text}");
            if quick {
                code
            } else {
                session = Session::login(address, user)?;
                let whole = [&before[..], &new[..]].concat();
                let kept = session.partial(&name)? as usize;
                assert!(kept <= before.len() + cut, "{kept} of {cut}");
                session.tell(&format!("REST {kept}"), 350)?;
                session.store(&format!("STOR {name}"), &whole[kept..])?
            }
        } else {
            session.store(&format!("{verb} {name}"), &new)?
        };
        assert_eq!(
            code,
            if refused { 550 } else { 226 },
            "{verb} {name} {number}"
        );
        if refused {
            journal.refused.fetch_add(1, Ordering::Relaxed);
        } else {
            journal.accepted(&name, number);
        }
        *unfinished = None;
    }
}

/// Finishes what was begun before the server went, from where the server says that it is.
fn finish(
    session: &mut Session,
    stranger: &mut Session,
    home: &Path,
    begun: &Unfinished,
    tally: &mut Tally,
) {
    let Unfinished {
        name,
        number,
        whole,
        refused,
    } = begun;
    let published = fs::read(home.join(name)).unwrap_or_default();
    if &published == whole {
        tally.published += 1;
        return;
    }
    let all = stranger.size(name).unwrap();
    assert_eq!(
        all,
        published.len() as u64,
        "{name}: others see what is published"
    );
    let kept = session.partial(name).unwrap();
    assert!(
        kept <= whole.len() as u64,
        "{name}: {kept} of {}",
        whole.len()
    );
    session.tell(&format!("REST {kept}"), 350).unwrap();
    let code = session
        .store(&format!("STOR {name}"), &whole[kept as usize..])
        .unwrap();
    assert_eq!(
        code,
        if *refused { 550 } else { 226 },
        "{name} {number} from {kept}"
    );
    if *refused {
        assert!(fs::read(home.join(name)).unwrap_or_default() == published);
    } else {
        assert!(
            &fs::read(home.join(name)).unwrap() == whole,
            "{name} {number}"
        );
    }
    tally.resumed += usize::from(kept > 0);
}

fn names() -> Vec<String> {
    let own = WRITERS
        .iter()
        .flat_map(|user| (0..OWN).map(move |index| format!("{user}-{index}")));
    own.chain(SHARED.map(str::to_owned)).collect()
}

#[test]
fn what_is_torn_is_noticed() {
    let (one, two) = (
        record("file", 1, 0, 1000, false),
        record("file", 2, 1, 500, false),
    );
    let other = record("file", 3, 0, 1000, false);
    let whole = [&one[..], &two[..]].concat();
    let numbers = |bytes: &[u8]| -> Vec<u64> {
        let records = parse("file", bytes).unwrap();
        records.iter().map(|record| record.number).collect()
    };
    assert_eq!(numbers(&whole), [1, 2]);
    for length in 0..whole.len() {
        let expected = length == 0 || length == one.len();
        assert_eq!(
            parse("file", &whole[..length]).is_ok(),
            expected,
            "{length}"
        );
    }
    // The beginning of one and the end of another; one behind another that it does not go on from.
    let mixed = [&one[..HEAD + 500], &other[HEAD + 500..]].concat();
    assert!(parse("file", &mixed).is_err());
    assert!(parse("file", &[&other[..], &two[..]].concat()).is_err());
    assert!(parse("file", &two).is_err());
    assert!(parse("another", &one).is_err());
    let refused = record("file", 4, 0, 100, true);
    assert!(parse("file", &refused).unwrap()[0].refused);
    assert!(
        refused
            .windows(eicar().len())
            .any(|window| window == eicar())
    );
}

/// The counts of a run, to tell how much it says.
#[derive(Debug, Default)]
struct Tally {
    unfinished: usize,
    /// Of them, those that were there all the same: killed before 226 was heard.
    published: usize,
    /// Those of which a part was gone on with.
    resumed: usize,
}

#[test]
fn killed_at_any_time() {
    let seed = match std::env::var("PORTCULLIS_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            now.unwrap().as_nanos() as u64
        }
    };
    println!("PORTCULLIS_SEED={seed}");
    let mut random = Random(seed | 1);
    let mut server = setup()
        .user("bob", "home = \"/alice\"")
        .user("carol", "home = \"/alice\"")
        .user(STRANGER, "home = \"/alice\"")
        .start();
    let home = server.home();
    let (journal, over, reads) = (
        Journal::default(),
        AtomicBool::new(false),
        AtomicU64::new(0),
    );
    let mut tally = Tally::default();
    let (rounds, begun_at) = (rounds(15), Instant::now());
    std::thread::scope(|scope| {
        let end = End(&over);
        let reader = || {
            while !over.load(Ordering::Relaxed) {
                for name in names() {
                    seen(&home, &name);
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let readers = [scope.spawn(reader), scope.spawn(reader)];
        let (home, journal, tally, random) = (&home, &journal, &mut tally, &mut random);
        let run = move || {
            for round in 0..rounds {
                let begun = until_it_is_killed(&server, home, journal, random);
                server.wait();
                settle(home, journal);
                server = server.revive();
                settle(home, journal);
                tally.unfinished += begun.len();
                for (user, begun) in &begun {
                    let mut own = Session::login(server.address, user).unwrap();
                    let mut other = Session::login(server.address, STRANGER).unwrap();
                    finish(&mut own, &mut other, home, begun, tally);
                    journal.settle(&begun.name, seen(home, &begun.name));
                }
                assert_eq!(left(&server), ["lock"], "round {round}");
            }
        };
        run();
        drop(end);
        for reader in readers {
            reader.join().unwrap();
        }
    });
    let took = begun_at.elapsed();
    let (accepted, refused) = (&journal.accepted, &journal.refused);
    println!(
        "{rounds} rounds in {took:?}: {accepted:?} accepted, {refused:?} refused, {tally:?}, \
         {reads:?} looks at files"
    );
    assert!(journal.accepted.load(Ordering::Relaxed) > 0);
}

/// All write, and in the midst of that the server is killed: who was about what.
fn until_it_is_killed(
    server: &Server,
    home: &Path,
    journal: &Journal,
    random: &mut Random,
) -> Vec<(&'static str, Unfinished)> {
    let ready = &AtomicU64::new(0);
    let pause = Duration::from_micros(random.below(200_000));
    std::thread::scope(|scope| {
        let writers = WRITERS.map(|user| {
            let (mut random, address) = (random.apart(), server.address);
            let write = move || write(user, address, home, journal, &mut random, ready);
            (user, scope.spawn(write))
        });
        eventually("all are logged in", || {
            let ended = writers.iter().any(|(_, writer)| writer.is_finished());
            ended || ready.load(Ordering::SeqCst) == WRITERS.len() as u64
        });
        std::thread::sleep(pause);
        let id = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
        kill_process(id, Signal::KILL).unwrap();
        let ended = writers.map(|(user, writer)| (user, writer.join().unwrap()));
        let unfinished = ended.into_iter();
        unfinished
            .filter_map(|(user, unfinished)| Some((user, unfinished?)))
            .collect()
    })
}

/// Each file is one of those that may be there; from now on it is the only one.
fn settle(home: &Path, journal: &Journal) {
    for name in names() {
        let (number, allowed) = (seen(home, &name), journal.allowed(&name));
        let names = journal.names.lock().unwrap();
        let sent = names.get(&name).map(Vec::as_slice).unwrap_or_default();
        assert!(
            allowed.contains(&number),
            "{name} is {number}, not of {allowed:?}: {sent:#?}"
        );
        drop(names);
        journal.settle(&name, number);
    }
}

/// Readers end also when something fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The names in staging; a file that was replaced may wait there for the next upload to its path.
fn left(server: &Server) -> Vec<String> {
    let names = fs::read_dir(server.state().join("staging/default")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.ends_with(".spare")).collect()
}

/// An append begins with a copy of what is there. One that was killed meanwhile has to be forgotten:
/// what comes next would else be appended to the beginning of a copy, and published over the whole.
#[test]
fn regression_killed_while_an_append_is_prepared() {
    const LENGTH: u64 = 128 << 20;
    let mut server = setup()
        .set("storage.default.durability", r#""none""#)
        .start();
    let home = server.home();
    fs::write(home.join("file"), vec![b'x'; LENGTH as usize]).unwrap();
    let (mut length, mut hits) = (LENGTH, 0);
    // Where the file system shares blocks, there is no such moment.
    for _ in 0..3 {
        let mut session = Session::login(server.address, "alice").unwrap();
        session.tell("EPSV", 229).unwrap();
        session.0.write("APPE file\r\n");
        hits += usize::from(copying(&server));
        let id = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
        kill_process(id, Signal::KILL).unwrap();
        server = server.revive();
        assert_eq!(fs::metadata(home.join("file")).unwrap().len(), length);
        let mut session = Session::login(server.address, "alice").unwrap();
        let code = session.store("APPE file", b"more").unwrap();
        assert_eq!(code, 226);
        length += 4;
        let stored = fs::metadata(home.join("file")).unwrap().len();
        assert_eq!(stored, length);
        assert_eq!(left(&server), ["lock"]);
    }
    println!("killed {hits} times in the midst of the copy");
}

/// Waits until something is staged: whether it is a copy that is not whole by then.
fn copying(server: &Server) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "nothing is staged");
        let (mut staged, mut copying) = (false, false);
        crate::support::server::walk(&server.state().join("staging"), &mut |path| {
            let suffix = path.extension().unwrap_or_default();
            copying |= suffix == "copy";
            staged |= copying || suffix == "new";
        });
        if staged {
            return copying;
        }
    }
}
