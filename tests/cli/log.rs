//! The log, when nobody reads it, and when strangers cause it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{ChildStderr, Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{Client, PATIENCE, Server, Setup, Tls, USER, eventually};

/// The address in a line of the log that says where the server listens, if it is one.
fn address(line: &str) -> Option<SocketAddr> {
    let plain = line.replace('"', "");
    if !plain.contains("listening") || !plain.contains("tls=explicit") {
        return None;
    }
    let address = plain.split("address=").nth(1).unwrap();
    Some(address.split_whitespace().next().unwrap().parse().unwrap())
}

/// Where the server listens, by its log, of which nothing more is read than that takes.
fn listening(log: &mut BufReader<ChildStderr>) -> SocketAddr {
    loop {
        let mut line = String::new();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended");
        if let Some(address) = address(&line) {
            return address;
        }
    }
}

/// Sends commands until their log is many times what a pipe holds.
fn talk(client: &mut Client) {
    let noise = format!("NOOP {}\r\n", "x".repeat(200));
    for _ in 0..100 {
        client.write(noise.repeat(50));
        for _ in 0..50 {
            client.reply();
        }
    }
}

#[test]
fn sessions_go_on_when_nobody_reads_the_log() {
    let setup = Setup::new().set("log.level", r#""trace""#);
    let mut child = setup
        .command(&[])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::with_capacity(1, child.stderr.take().unwrap());
    let address = listening(&mut log);
    let mut clients: Vec<_> = (0..8).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        talk(client);
    }
    let mut other = Client::connect(address);
    other.send("NOOP").expect_one_of(&[200, 530]);

    // Read again, it says how much is missing.
    let reader = std::thread::spawn(move || {
        let mut said = String::new();
        while !said.contains("lines of the log were dropped") {
            said.clear();
            assert_ne!(log.read_line(&mut said).unwrap(), 0, "it ended");
        }
        (said, log)
    });
    eventually("the count is told", || reader.is_finished());
    let (said, _log) = reader.join().unwrap();
    let dropped = said.split("dropped=").nth(1).unwrap();
    let dropped: u64 = dropped.split_whitespace().next().unwrap().parse().unwrap();
    assert!(dropped > 1000, "{said}");

    // It is full once more, and the end comes all the same.
    talk(&mut other);
    let begun = Instant::now();
    let id = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    eventually("the end", || child.try_wait().unwrap().is_some());
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
}

#[test]
fn the_last_lines_are_written() {
    let mut server = Server::start();
    server.terminate();
    assert!(server.wait().success());
    eventually("the last line", || {
        server.log().contains("all sessions have ended")
    });
}

#[test]
fn refused_connections_of_one_client_have_a_few_lines_a_second() {
    let mut server = Setup::new().set("limits.sessions-per-address", "1").start();
    let _only = server.connect();
    let begun = Instant::now();
    let mut refused = 0;
    while begun.elapsed() < Duration::from_secs(2) {
        let mut stream = TcpStream::connect(server.address).unwrap();
        let _ = stream.write_all(b"NOOP\r\n");
        let mut said = String::new();
        let _ = stream.read_to_string(&mut said);
        refused += 1;
    }
    let seconds = begun.elapsed().as_secs_f64().ceil();
    server.wait_for_line(|line| line.contains("more connections were refused"));
    let counted = || {
        let log = server.log();
        let of = |text: &str| log.lines().filter(|line| line.contains(text)).count();
        let told = of("a connection was refused");
        let counts = log.lines().filter_map(|line| line.split_once("count="));
        let counts = counts.map(|(_, count)| count.split(' ').next().unwrap().trim());
        (
            told,
            counts
                .map(|count| count.parse::<usize>().unwrap())
                .sum::<usize>(),
        )
    };
    eventually("each is told or counted", || {
        let (told, left_out) = counted();
        told + left_out == refused
    });
    let (told, _) = counted();
    assert!(told as f64 <= (seconds + 1.0) * 5.0, "{told} of {refused}");
}

/// The level is another one at once, by module, and the configured one again after a reload.
#[test]
fn the_level_is_changed_while_the_server_runs() {
    let server = Setup::new().start();
    let ask = |words: &[&str]| {
        let (status, said) = server.setup().run(words);
        assert_eq!(status, 0, "{said}");
        said
    };
    assert_eq!(ask(&["log-level"]), "info\n");
    server.login();
    assert!(!server.log().contains("connected"), "{}", server.log());
    ask(&["log-level", "info,portcullis::session=debug"]);
    assert_eq!(ask(&["log-level"]), "info,portcullis::session=debug\n");
    server.login();
    crate::support::eventually("it is told", || server.log().contains("connected"));
    let (status, said) = server.setup().run(&["log-level", "loud=very"]);
    assert_eq!(status, 1);
    assert!(said.contains("expected error, warn"), "{said}");
    ask(&["reload"]);
    assert_eq!(ask(&["log-level"]), "info\n");
}

/// A process that a test started, and ends.
struct Process(std::process::Child);

impl Process {
    fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.0.id()).unwrap();
        let id = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(id, signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The log is in a file, and goes on in a new one when that was moved away: by a reload, and by SIGHUP.
#[test]
fn the_log_goes_to_a_file_that_is_rotated() {
    let setup = Setup::new()
        .set("log.output", "\"file\"")
        .set("log.format", "\"json\"")
        .set("log.level", "\"debug\"")
        .set("log.unknown-users", "true");
    let log = setup.state().join("log/portcullis.log");
    let stderr = setup.file("stderr", "");
    let mut command = setup.command(&[]);
    let command = command.stdout(Stdio::null());
    let command = command.stderr(fs::File::create(&stderr).unwrap());
    let mut server = Process(command.spawn().unwrap());
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let told = |path: &Path, user: &str| {
        let lines = read(path);
        let mut lines = lines.lines().map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("whole lines");
            line.to_string()
        });
        lines.any(|line| line.contains("login failed") && line.contains(user))
    };
    let found = || {
        read(&log).lines().find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            let is = line["message"] == "listening" && line["tls"] == "explicit";
            is.then(|| line["address"].as_str().unwrap().parse().unwrap())
        })
    };
    eventually("the server listens", || found().is_some());
    let address: SocketAddr = found().unwrap();
    let fail = |attempt: &str| {
        let mut client = Client::connect(address);
        client.auth_tls(&Tls::new());
        client.send(&format!("USER {USER}")).expect(331);
        client.send(&format!("PASS {attempt}")).expect(530);
    };
    fail("one");
    eventually("it is told in the file", || told(&log, USER));
    let first = log.with_extension("1");
    fs::rename(&log, &first).unwrap();
    let (status, said) = setup.run(&["reload"]);
    assert_eq!(status, 0, "{said}");
    let before = read(&first);
    fail("two");
    eventually("it is told in the new file", || told(&log, USER));
    assert_eq!(
        read(&first),
        before,
        "nothing goes to the one that was moved away"
    );
    let second = log.with_extension("2");
    fs::rename(&log, &second).unwrap();
    server.signal(rustix::process::Signal::HUP);
    eventually("there is another file", || log.exists());
    server.signal(rustix::process::Signal::TERM);
    eventually("the end", || server.0.try_wait().unwrap().is_some());
    assert!(
        read(&log).contains("all sessions have ended"),
        "the last line is there"
    );
    assert_eq!(read(&stderr), "", "nothing else is said");
}

/// A file that cannot be made is told before anything is served.
#[test]
fn a_log_that_cannot_be_written_ends_the_start() {
    let run = |file: &str| {
        let setup = Setup::new().set("log.output", "\"file\"");
        setup.set("log.file", file).run(&[])
    };
    let (status, said) = run("\"/nonexistent/log\"");
    assert_eq!(status, 2, "{said}");
    assert!(
        said.contains("log.file") && said.contains("/nonexistent/log"),
        "{said}"
    );
    let setup = Setup::new().set("audit.file", "\"portcullis.log\"");
    let (status, said) = setup.set("log.output", "\"file\"").run(&[]);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("this is log.file already"), "{said}");
}

/// journald of systemd, in a mount name space of its own, gets entries with priorities and fields.
#[test]
fn the_log_goes_to_journald() {
    const JOURNAL: &str = "/lib/systemd/systemd-journald";
    let mut there = Command::new("unshare");
    there.args(["--mount", "--pid", "--fork", "test", "-x", JOURNAL]);
    if !there.status().is_ok_and(|status| status.success()) {
        eprintln!("LEFT OUT: no name space can be made here, or there is no {JOURNAL}");
        return;
    }
    let setup = Setup::new()
        .set("log.output", "\"journald\"")
        .set("log.unknown-users", "true");
    let entries = setup.file("entries", "");
    let (server, stop) = (setup.command(&[]), setup.state().join("../stop"));
    let script = r#"
set -eu
entries=$1 stop=$2
shift 2
mount --make-rprivate /
mount -t proc none /proc
mount -t tmpfs none /run
mkdir -p /run/systemd/journal /run/log
/lib/systemd/systemd-journald &
journal=$!
trap 'kill "$journal"' EXIT
for _ in $(seq 200); do
    [ -S /run/systemd/journal/socket ] && break
    sleep 0.05
done
"$@" &
server=$!
for _ in $(seq 400); do
    journalctl -o json --no-pager SYSLOG_IDENTIFIER=portcullis >"$entries.new" 2>/dev/null || true
    mv "$entries.new" "$entries"
    [ -e "$stop" ] && break
    sleep 0.1
done
kill "$server"
wait "$server"
journalctl -o json --no-pager SYSLOG_IDENTIFIER=portcullis >"$entries"
"#;
    let mut command = Command::new("unshare");
    // All of it ends with the first process.
    command.args(["--mount", "--pid", "--fork", "--kill-child"]);
    command.args(["sh", "-c", script, "sh"]);
    command.arg(&entries).arg(&stop);
    command.arg(server.get_program()).args(server.get_args());
    for (key, value) in server.get_envs() {
        command.env(key, value.unwrap_or_default());
    }
    if let Some(directory) = server.get_current_dir() {
        command.current_dir(directory);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = Process(command.spawn().unwrap());
    let entry = |text: &str| {
        let all = fs::read_to_string(&entries).unwrap_or_default();
        let mut all = all
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        all.find(|entry: &serde_json::Value| {
            entry["MESSAGE"]
                .as_str()
                .is_some_and(|message| message.contains(text))
        })
    };
    eventually("the server listens", || entry("tls=explicit").is_some());
    let listening = entry("tls=explicit").unwrap();
    let address = address(listening["MESSAGE"].as_str().unwrap()).unwrap();
    assert_eq!(listening["PRIORITY"], "6");
    let mut client = Client::connect(address);
    client.auth_tls(&Tls::new());
    client.send(&format!("USER {USER}")).expect(331);
    client.send("PASS wrong").expect(530);
    eventually("it is told", || entry("login failed").is_some());
    let failed = entry("login failed").unwrap();
    assert_eq!(failed["PRIORITY"], "4", "{failed}");
    assert_eq!(failed["PORTCULLIS_USER"], USER, "{failed}");
    assert_eq!(failed["PORTCULLIS_ATTEMPT"], "1", "{failed}");
    assert_eq!(
        failed["TARGET"], "portcullis::observe::sessions",
        "{failed}"
    );
    fs::write(&stop, "").unwrap();
    eventually("the end", || child.0.try_wait().unwrap().is_some());
    assert!(
        entry("all sessions have ended").is_some(),
        "the last line is there"
    );
}
