//! Broken uploads that go on: with what curl and lftp do of themselves, and with what they rely on.

use std::{
    fs,
    io::Write as _,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    broken, partial, setup,
    support::{
        Client, Server, Tls, USER, content, eventually,
        program::{expect, installed, run},
        server::walk,
    },
};

const LENGTH: usize = 5_000_000;
/// More than a client that is to be slow sends at first.
const TREE: usize = 2_500_000;

fn curl(server: &Server, name: &str, words: &[&str]) -> Command {
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--show-error",
        "--disable",
        "--max-time",
        "60",
        "--ssl-reqd",
    ]);
    command.arg("--cacert").arg(server.certificate());
    command.arg("--user").arg(format!("{USER}:{USER}"));
    command
        .arg(format!("ftp://{}/{name}", server.address))
        .args(words);
    command
}

fn lftp(server: &Server, address: SocketAddr, directory: &Path, script: &str) -> Command {
    let script = format!(
        "set cmd:fail-exit yes; set net:timeout 20; set net:max-retries 5; \
         set net:reconnect-interval-base 1; set net:reconnect-interval-multiplier 1; \
         set ftp:ssl-force yes; set ftp:ssl-protect-data yes; set ssl:ca-file {:?}; \
         set ssl:check-hostname no; open -u {USER},{USER} -p {} ftp://127.0.0.1; {script}",
        server.certificate(),
        address.port(),
    );
    let mut command = Command::new("lftp");
    command
        .arg("--norc")
        .arg("-c")
        .arg(script)
        .current_dir(directory);
    command
        .env("HOME", directory)
        .env("LFTP_HOME", directory.join(".lftp"));
    command
}

/// Bytes that wait in staging.
fn staged(server: &Server) -> u64 {
    let mut all = 0;
    walk(&server.state().join("staging"), &mut |path| {
        all += fs::metadata(path).map_or(0, |found| found.len());
    });
    all
}

/// Starts a client and waits until the server has so much more of what it sends.
fn until(server: &Server, command: &mut Command, bytes: u64) -> Child {
    let wanted = staged(server) + bytes;
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let child = child.spawn().unwrap();
    eventually("the upload is under way", || staged(server) >= wanted);
    child
}

/// The client is gone at once, both of its connections with it.
fn kill(server: &Server, mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("nothing is being written any more", || {
        let mut written = false;
        walk(&server.state().join("staging"), &mut |path| {
            written |= path.extension().is_some_and(|suffix| suffix == "new");
        });
        !written
    });
}

/// The server is gone at once, and comes back.
fn kill_server(server: Server, mut child: Child) -> Server {
    let id = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    kill_process(id, Signal::KILL).unwrap();
    let server = server.revive();
    // It may try again by itself, and finds nothing there.
    let _ = child.kill();
    child.wait().unwrap();
    server
}

fn size(client: &mut Client, name: &str) -> u64 {
    let reply = client.send(&format!("SIZE {name}")).expect(213);
    reply.text().parse().unwrap()
}

/// Where a part is that is neither nothing nor all.
#[track_caller]
fn assert_part(server: &Server, name: &str, more_than: u64) -> u64 {
    let part = size(&mut server.login(), name);
    assert!(part > more_than && part < LENGTH as u64, "{part}");
    assert!(!server.home().join(name).exists());
    part
}

#[test]
fn curl_goes_on_where_it_was() {
    if !installed("curl") {
        return;
    }
    let local = TempDir::new().unwrap();
    let file = local.path().join("file");
    let bytes = content(LENGTH, 1);
    fs::write(&file, &bytes).unwrap();
    let put = |words: &[&'static str]| [&["-T", file.to_str().unwrap()], words].concat();
    let slowly = put(&["-C", "-", "--limit-rate", "1M"]);
    let mut server = setup().start();
    // Lost by the client, twice, then by the server, twice.
    let mut part = 0;
    for _ in 0..2 {
        let child = until(&server, &mut curl(&server, "new", &slowly), 300_000);
        kill(&server, child);
        part = assert_part(&server, "new", part);
    }
    let child = until(&server, &mut curl(&server, "new", &slowly), 300_000);
    server = kill_server(server, child);
    part = assert_part(&server, "new", part);
    server = server.restart(|| {});
    assert_eq!(assert_part(&server, "new", 0), part);
    // The last attempt sends no more than what is missing.
    let sent = expect(&mut curl(
        &server,
        "new",
        &put(&["-C", "-", "-w", "%{size_upload}"]),
    ));
    assert_eq!(sent.trim(), (LENGTH as u64 - part).to_string());
    assert!(fs::read(server.home().join("new")).unwrap() == bytes);
    // Over an old file, which stays until then.
    let old = content(100_000, 2);
    fs::write(server.home().join("old"), &old).unwrap();
    let from_start = put(&["--limit-rate", "1M"]);
    let child = until(&server, &mut curl(&server, "old", &from_start), 300_000);
    kill(&server, child);
    assert!(fs::read(server.home().join("old")).unwrap() == old);
    assert_eq!(size(&mut server.login(), "old"), 100_000);
    assert!(partial(&mut server.login(), "old").unwrap() > 100_000);
    // It would add to the old file what the new one has behind that length.
    let (worked, _) = run(&mut curl(&server, "old", &put(&["-C", "-"])));
    assert!(!worked);
    assert!(fs::read(server.home().join("old")).unwrap() == old);
    expect(&mut curl(&server, "old", &put(&[])));
    assert!(fs::read(server.home().join("old")).unwrap() == bytes);
}

#[test]
fn curl_begins_anew() {
    if !installed("curl") {
        return;
    }
    let local = TempDir::new().unwrap();
    let file = local.path().join("file");
    let bytes = content(200_000, 1);
    fs::write(&file, &bytes).unwrap();
    let server = setup().start();
    // The part is longer than what is to be sent: without -C it is of no interest.
    let mut client = server.login();
    broken(&mut client, "STOR file", &content(300_000, 2)).expect(426);
    // With it, curl takes the file for sent; no such file appears.
    let words = ["-C", "-", "-T", file.to_str().unwrap()];
    run(&mut curl(&server, "file", &words));
    assert!(!server.home().join("file").exists());
    expect(&mut curl(&server, "file", &words[2..]));
    assert!(fs::read(server.home().join("file")).unwrap() == bytes);
    assert_eq!(size(&mut client, "file"), 200_000);
}

/// How many lines of text it takes to fill a few transfers' buffers.
fn text() -> String {
    let lines = (0..60_000).map(|number| format!("line {number} of a text\n"));
    lines.collect()
}

#[test]
fn curl_in_ascii() {
    if !installed("curl") {
        return;
    }
    let local = TempDir::new().unwrap();
    let file = local.path().join("file");
    let text = text();
    fs::write(&file, &text).unwrap();
    let words = ["--use-ascii", "-T", file.to_str().unwrap()];
    let server = setup().start();
    for (name, old) in [("new", None), ("old", Some("an old text\nof two lines\n"))] {
        if let Some(old) = old {
            fs::write(server.home().join(name), old).unwrap();
        }
        let slowly = [&words[..], &["--limit-rate", "500K"]].concat();
        let child = until(&server, &mut curl(&server, name, &slowly), 300_000);
        kill(&server, child);
        let again = [&words[..], &["-C", "-"]].concat();
        match old {
            None => expect(&mut curl(&server, name, &again)),
            Some(_) => {
                assert!(!run(&mut curl(&server, name, &again)).0);
                expect(&mut curl(&server, name, &words))
            }
        };
        assert!(
            fs::read_to_string(server.home().join(name)).unwrap() == text,
            "{name}"
        );
    }
}

/// The size that a client can rely on that counts what it sends: SIZE is that of the wire, or not
/// known.
#[test]
fn regression_size_of_a_broken_upload_in_ascii() {
    let server = setup().start();
    let mut client = server.login();
    client.send("TYPE A").expect(200);
    let text = text();
    let wire = text.replace('\n', "\r\n").into_bytes();
    for (name, old) in [("new", None), ("old", Some("an old text\nof two lines\n"))] {
        if let Some(old) = old {
            fs::write(server.home().join(name), old).unwrap();
        }
        broken(&mut client, &format!("STOR {name}"), &wire[..500_000]).expect(426);
        match old {
            None => client.send(&format!("SIZE {name}")).expect(550),
            // As RETR sends it, with CRLF; there is nothing to go on with from there.
            Some(_) => client
                .send(&format!("SIZE {name}"))
                .expect(213)
                .saying("27"),
        };
        if old.is_some() {
            let stream = client.open();
            client.send(&format!("APPE {name}")).expect(550);
            drop(stream);
        }
        client.store(&format!("STOR {name}"), &wire).expect(226);
        let stored = fs::read_to_string(server.home().join(name)).unwrap();
        assert!(stored == text, "{name}: {} bytes", stored.len());
    }
}

/// Between lftp and the server: the control connection can be cut, the server can be another.
struct Relay {
    address: SocketAddr,
    to: Arc<Mutex<SocketAddr>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    fn new(to: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let relay = Self {
            address: listener.local_addr().unwrap(),
            to: Arc::new(Mutex::new(to)),
            open: Arc::default(),
        };
        let (to, open) = (relay.to.clone(), relay.open.clone());
        // It ends with the test's process.
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(*to.lock().unwrap()) else {
                    continue;
                };
                open.lock().unwrap().push(client.try_clone().unwrap());
                open.lock().unwrap().push(server.try_clone().unwrap());
                for (mut from, mut to) in [
                    (client.try_clone().unwrap(), server.try_clone().unwrap()),
                    (server, client),
                ] {
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.flush();
                        let _ = to.shutdown(std::net::Shutdown::Write);
                    });
                }
            }
        });
        relay
    }

    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

/// By the commands that it has for that, after it was killed.
#[test]
fn lftp_goes_on_where_it_was() {
    if !installed("lftp") {
        return;
    }
    let local = TempDir::new().unwrap();
    let bytes = content(LENGTH, 3);
    fs::write(local.path().join("file"), &bytes).unwrap();
    let slowly = "set net:limit-total-rate 0:1000000";
    let mut server = setup().start();
    for (name, again) in [
        ("put", "put -c file -o put"),
        ("reput", "reput file -o reput"),
    ] {
        for by_client in [true, false] {
            let script = format!("{slowly}; put file -o {name}");
            let mut command = lftp(&server, server.address, local.path(), &script);
            let child = until(&server, &mut command, 300_000);
            if by_client {
                kill(&server, child);
            } else {
                server = kill_server(server, child);
            }
            assert_part(&server, name, 0);
            expect(&mut lftp(&server, server.address, local.path(), again));
            assert!(
                fs::read(server.home().join(name)).unwrap() == bytes,
                "{again}"
            );
            fs::remove_file(server.home().join(name)).unwrap();
        }
    }
    // A tree, of which some is there and some is broken.
    let tree = local.path().join("tree");
    fs::create_dir(&tree).unwrap();
    for number in 0..4_u64 {
        fs::write(tree.join(format!("file{number}")), content(TREE, number)).unwrap();
    }
    let script = format!("{slowly}; mirror -R --no-perms tree tree");
    let mut command = lftp(&server, server.address, local.path(), &script);
    let child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let first = server.home().join("tree/file0");
    eventually("one is there, another on its way", || {
        first.exists() && staged(&server) > 100_000
    });
    kill(&server, child);
    expect(&mut lftp(
        &server,
        server.address,
        local.path(),
        "mirror -R -c tree tree",
    ));
    for number in 0..4_u64 {
        let there = fs::read(server.home().join(format!("tree/file{number}"))).unwrap();
        assert!(there == content(TREE, number), "{number}");
    }
}

/// Of itself, when its connection breaks in the middle, and when the server is another by then.
#[test]
fn lftp_reconnects() {
    if !installed("lftp") {
        return;
    }
    let local = TempDir::new().unwrap();
    let bytes = content(LENGTH, 4);
    fs::write(local.path().join("file"), &bytes).unwrap();
    let mut server = setup().start();
    let relay = Relay::new(server.address);
    for (name, restarts) in [("cut", false), ("killed", true)] {
        let script = format!("set net:limit-total-rate 0:1000000; put -c file -o {name}");
        let mut command = lftp(&server, relay.address, local.path(), &script);
        let mut child = until(&server, &mut command, 500_000);
        if restarts {
            let id = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
            kill_process(id, Signal::KILL).unwrap();
            server = server.revive();
            *relay.to.lock().unwrap() = server.address;
        }
        relay.cut();
        let mut status = None;
        eventually("lftp is done", || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        assert!(status.unwrap().success(), "{name}");
        assert!(
            fs::read(server.home().join(name)).unwrap() == bytes,
            "{name}"
        );
    }
}

#[test]
fn the_same_path_is_nothing_to_another_user() {
    let server = setup().user("bob", "home = \"/alice\"").start();
    let (mut owner, mut other) = (server.login(), server.login_as("bob", &Tls::new()));
    broken(&mut owner, "STOR file", &content(1000, 1)).expect(426);
    other.send("SIZE file").expect(550);
    other.send("MLST file").expect(550);
    other.send("MDTM file").expect(550);
    other.send("RNFR file").expect(550);
    other.send("DELE file").expect(550);
    for command in ["LIST -a", "NLST -a", "MLSD"] {
        assert!(!other.listing(command).contains("file"), "{command}");
    }
    // To go on is to go on from nothing.
    other.send("REST 500").expect(350);
    let stream = other.open();
    other.send("STOR file").expect(554);
    drop(stream);
    other.store("APPE file", b"bob's").expect(226);
    assert_eq!(fs::read(server.home().join("file")).unwrap(), b"bob's");
    other.send("SIZE file").expect(213).saying("5");
    // The owner's belonged to nothing's place, where something lies now.
    assert_eq!(size(&mut owner, "file"), 5);
    assert_eq!(partial(&mut owner, "file"), None);
    owner.send("REST 1000").expect(350);
    let stream = owner.open();
    owner.send("STOR file").expect(554);
    drop(stream);
    owner.store("APPE file", b", and more").expect(226);
    assert_eq!(
        fs::read(server.home().join("file")).unwrap(),
        b"bob's, and more"
    );
}

#[test]
fn a_part_that_is_replaced_or_shortened() {
    let server = setup().start();
    let mut client = server.login();
    let (first, second) = (content(300_000, 1), content(200_000, 2));
    // From its beginning: nothing of the first remains, broken or not.
    broken(&mut client, "STOR file", &first).expect(426);
    broken(&mut client, "STOR file", &second[..100_000]).expect(426);
    assert_eq!(size(&mut client, "file"), 100_000);
    client.store("APPE file", &second[100_000..]).expect(226);
    assert!(fs::read(server.home().join("file")).unwrap() == second);
    // From an offset within it: what stood behind is gone.
    broken(&mut client, "STOR file", &first).expect(426);
    client.send("REST 1000").expect(350);
    client.store("STOR file", b"the end").expect(226);
    let whole = [&first[..1000], b"the end"].concat();
    assert!(fs::read(server.home().join("file")).unwrap() == whole);
    // From behind its end: nothing that could stand in between is known, and nothing is lost.
    broken(&mut client, "STOR file", &second).expect(426);
    client.send("REST 200001").expect(350);
    let stream = client.open();
    client.send("STOR file").expect(554);
    drop(stream);
    assert_eq!(partial(&mut client, "file"), Some(200_000));
    client.store("STOR file", &first).expect(226);
    assert!(fs::read(server.home().join("file")).unwrap() == first);
    let server = server.restart(|| {});
    assert_eq!(size(&mut server.login(), "file"), 300_000);
}

/// All bytes came, and the client is gone before the verdict: what is told to be there is not all,
/// since a client that has nothing left to send would never have it published.
#[test]
fn what_lacks_nothing_but_the_verdict_is_published_too() {
    let component = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/components/built/faulty-inspector.wasm"
    );
    let limits = "limits.cpu-time = \"60s\"\nlimits.wall-time = \"60s\"";
    let setup = crate::support::Setup::new().plugin("slow", component, limits);
    let server = setup.users_plugin().start();
    let local = TempDir::new().unwrap();
    // The end of the data may also be on its way when that of the control connection has come.
    let late = Duration::from_millis(100);
    for (program, name, length, behind) in [
        ("curl", "late-1", 300_000, Duration::ZERO),
        ("lftp", "late-2", 200_000, late),
    ] {
        if !installed(program) {
            continue;
        }
        let bytes = content(length, 1);
        fs::write(local.path().join(name), &bytes).unwrap();
        // It takes its time with files that are called so.
        let mut client = server.login();
        let mut data = client.begin(&format!("STOR {name}"));
        data.send(&bytes).unwrap();
        if behind.is_zero() {
            data.finish().unwrap();
            drop(client);
        } else {
            drop(client);
            thread::sleep(behind);
            data.finish().unwrap();
        }
        let (mut client, published) = (server.login(), server.home().join(name));
        eventually("it is kept, if it is not there", || {
            published.exists() || client.send(&format!("SIZE {name}")).code == 213
        });
        // It may be published at any moment.
        let told = size(&mut client, name);
        assert!(told < bytes.len() as u64 || published.exists());
        let file = local.path().join(name);
        match program {
            "curl" => expect(&mut curl(
                &server,
                name,
                &["-C", "-", "-T", file.to_str().unwrap()],
            )),
            _ => expect(&mut lftp(
                &server,
                server.address,
                local.path(),
                &format!("put -c {name}"),
            )),
        };
        assert!(fs::read(&published).unwrap() == bytes, "{program}");
    }
}

/// Bytes that had arrived are kept, however few, and however the transfer ended.
#[test]
fn abor_and_a_lost_connection_keep_what_has_arrived() {
    let server = setup().start();
    let mut client = server.login();
    let mut data = client.begin("STOR aborted");
    data.send(&content(1000, 1)).unwrap();
    arrived(&mut client, 1000);
    client.send("ABOR").expect(426);
    client.reply().expect(226);
    assert_eq!(size(&mut client, "aborted"), 1000);
    let mut data = client.begin("STOR lost");
    data.send(&content(2000, 1)).unwrap();
    arrived(&mut client, 2000);
    drop(client);
    let mut client = server.login();
    eventually("it is kept", || client.send("SIZE lost").code == 213);
    assert_eq!(size(&mut client, "lost"), 2000);
}

/// Waits until so many bytes of the transfer that goes on have come.
#[track_caller]
fn arrived(client: &mut Client, bytes: u64) {
    eventually("it has arrived", || {
        let reply = client.send("STAT").expect(213);
        let mut numbers = reply.text().split(|c: char| !c.is_ascii_digit());
        let moved = numbers.find_map(|number| number.parse().ok());
        moved.is_some_and(|moved: u64| moved > bytes)
    });
}
