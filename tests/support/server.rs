//! The server under test: the real binary, one process and one state directory for each test.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, IoSlice, Write},
    mem::MaybeUninit,
    net::SocketAddr,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{fs::OpenOptionsExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex},
    time::Instant,
};

use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version, password_hash::SaltString};
use rustix::{
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
    process::{Pid, Signal, kill_process},
};
use tempfile::TempDir;

use super::{Client, PATIENCE, Tls};

/// The user that every server has; the password is the same word.
pub const USER: &str = "alice";

/// Settings of a server that is yet to be started.
pub struct Setup {
    directory: TempDir,
    sets: BTreeMap<String, String>,
    tables: String,
    users: String,
    warm: bool,
    unprivileged: bool,
    limit: Option<u64>,
    no_executable_memory: bool,
    nobodys: bool,
    may_bind: bool,
    environment: BTreeMap<String, String>,
    passed: Mutex<Vec<(String, OwnedFd)>>,
}

impl Setup {
    /// The defaults, but for ports that the system chooses, and for failed logins that are answered
    /// soon.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("portcullis-test-")
            .tempdir()
            .unwrap();
        let setup = Self {
            directory,
            sets: BTreeMap::new(),
            tables: String::new(),
            users: String::new(),
            warm: true,
            unprivileged: false,
            limit: None,
            no_executable_memory: false,
            nobodys: false,
            may_bind: false,
            environment: BTreeMap::new(),
            passed: Mutex::default(),
        };
        setup
            .set("server.listen", r#"["127.0.0.1:0"]"#)
            .set("server.listen-implicit", r#"["127.0.0.1:0"]"#)
            .set("limits.login-delay", r#""10ms""#)
            .set("data.passive-ports", r#""0-0""#)
            .user(USER, "")
    }

    /// Compiles its plugins itself, as the first start on a machine does.
    pub fn cold(mut self) -> Self {
        self.warm = false;
        self
    }

    /// Runs it as a user that may nothing, who owns the directory of the test. Where the tests have no
    /// privileges themselves, they stay as they are.
    pub fn unprivileged(mut self) -> Self {
        self.unprivileged = rustix::process::geteuid().is_root();
        if self.unprivileged {
            self.own(self.directory.path());
        }
        self.cold()
    }

    /// Gives a file or directory, and all in it, to the user of [`unprivileged`](Self::unprivileged).
    pub fn own(&self, path: &Path) {
        if !self.unprivileged && !self.nobodys {
            return;
        }
        std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        if fs::symlink_metadata(path).unwrap().is_dir() {
            for entry in fs::read_dir(path).unwrap() {
                self.own(&entry.unwrap().path());
            }
        }
    }

    /// Leaves its files to the user "nobody", whom it is to become.
    pub fn unprivileged_files(mut self) -> Self {
        self.nobodys = true;
        self.cold()
    }

    /// Runs it as a service manager does: as another user, who may bind low ports, and whose programs get
    /// no new rights.
    pub fn like_a_service(mut self) -> Self {
        self.may_bind = true;
        self.unprivileged()
    }

    /// Runs it where no memory becomes executable, as with MemoryDenyWriteExecute= of systemd.
    pub fn no_executable_memory(mut self) -> Self {
        self.no_executable_memory = true;
        self
    }

    /// Lets it have this many files open.
    pub fn open_files(mut self, limit: u64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Sets a variable of its environment.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Passes sockets to the servers that are started from now on, with their names, as a service manager
    /// does.
    pub fn pass(&self, sockets: Vec<(String, OwnedFd)>) {
        *self.passed.lock().unwrap() = sockets;
    }

    /// Starts a command, and passes it the sockets.
    fn spawn_with_sockets(&self, command: &mut Command) -> Child {
        let passed = self.passed.lock().unwrap();
        if passed.is_empty() {
            return command.spawn().unwrap();
        }
        let (here, there) = UnixStream::pair().unwrap();
        let sockets: Vec<_> = passed.iter().map(|(_, socket)| socket.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&sockets)));
        let data = [IoSlice::new(b"x")];
        sendmsg(&here, &data, &mut control, SendFlags::empty()).unwrap();
        command.stdin(OwnedFd::from(there)).spawn().unwrap()
    }

    /// The program, with what stands before it.
    fn program(&self) -> Command {
        let binary = env!("CARGO_BIN_EXE_portcullis");
        let mut words: Vec<String> = Vec::new();
        let passed = self.passed.lock().unwrap();
        if !passed.is_empty() {
            let script = "import fcntl, os, socket, sys\n\
                          channel = socket.socket(fileno=0)\n\
                          _, passed, _, _ = socket.recv_fds(channel, 1, 16)\n\
                          passed = [fcntl.fcntl(one, fcntl.F_DUPFD, 100) for one in passed]\n\
                          for place, one in enumerate(passed):\n\
                          \x20   os.dup2(one, 3 + place)\n\
                          \x20   os.close(one)\n\
                          os.dup2(os.open('/dev/null', os.O_RDONLY), 0)\n\
                          os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(passed)),\n\
                          \x20   LISTEN_FDNAMES=sys.argv[1])\n\
                          os.execvp(sys.argv[2], sys.argv[2:])";
            let names: Vec<_> = passed.iter().map(|(name, _)| name.as_str()).collect();
            words.extend([
                "python3".into(),
                "-c".into(),
                script.into(),
                names.join(":"),
            ]);
        }
        drop(passed);
        if self.no_executable_memory {
            // prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN)
            let script = "import ctypes, os, sys\n\
                          ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)\n\
                          os.execvp(sys.argv[1], sys.argv[1:])";
            words.extend(["python3".into(), "-c".into(), script.into()]);
        }
        if let Some(limit) = self.limit {
            words.extend(["prlimit".into(), format!("--nofile={limit}:{limit}")]);
        }
        if self.unprivileged {
            let (user, group) = (format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"));
            words.extend(["setpriv".into(), user, group, "--clear-groups".into()]);
            if self.may_bind {
                words.extend(
                    [
                        "--inh-caps=-all,+net_bind_service",
                        "--ambient-caps=-all,+net_bind_service",
                        "--bounding-set=-all,+net_bind_service",
                        "--no-new-privs",
                    ]
                    .map(String::from),
                );
            }
        }
        words.push(match self.unprivileged {
            true => reachable(Path::new(binary)).display().to_string(),
            false => binary.into(),
        });
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }

    /// The next server need not compile again what this one has compiled.
    fn keep_compiled(&self) {
        if self.warm {
            copy_entries(&self.state().join("cache"), &compiled());
        }
    }

    /// Sets one key to a TOML value.
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.sets.insert(key.into(), value.into());
        self
    }

    /// Leaves a key to the configuration file.
    pub fn unset(mut self, key: &str) -> Self {
        self.sets.remove(key);
        self
    }

    /// Text of the configuration file: arrays of tables, which are no single key.
    pub fn tables(mut self, text: &str) -> Self {
        self.tables.push_str(text);
        self.tables.push('\n');
        self
    }

    /// The plugins that ship, of which a test wants to replace others.
    pub fn plugin(self, name: &str, component: &str, more: &str) -> Self {
        self.tables(&format!(
            "[[plugin]]\nname = {name:?}\ncomponent = {component:?}\n{more}"
        ))
    }

    /// The users plugin as configured by default.
    pub fn users_plugin(self) -> Self {
        self.plugin(
            "users",
            "builtin:users",
            r#"settings = { users = { file = "users.toml" } }"#,
        )
    }

    /// One more user, whose password is the name; `more` are further lines of the table.
    pub fn user(mut self, name: &str, more: &str) -> Self {
        self.users.push_str(&entry(
            name,
            &format!("password = {:?}\n{more}", hash(name)),
        ));
        self
    }

    /// One more user, by the lines of the table alone.
    pub fn user_without_password(mut self, name: &str, lines: &str) -> Self {
        self.users.push_str(&entry(name, lines));
        self
    }

    /// A file beside the configuration.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Where it will keep its state.
    pub fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// The command line with the given words behind the configuration.
    pub fn command(&self, words: &[&str]) -> Command {
        let config = self.file("config.toml", &self.tables);
        fs::create_dir_all(self.state()).unwrap();
        if self.unprivileged || self.nobodys {
            self.own(self.directory.path());
            self.own(&config);
            self.own(&self.state());
        }
        let mut command = self.program();
        command.arg("--config").arg(config);
        command
            .arg("--set")
            .arg(format!("server.state={:?}", self.state()));
        for (key, value) in &self.sets {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        command.args(words).stdin(Stdio::null());
        command.env_remove("RUST_LOG").env("NO_COLOR", "1");
        command.envs(&self.environment);
        command
    }

    /// As [`Setup::new`], but as it is before anything was there: without users.
    pub fn first() -> Self {
        let mut setup = Self::new().cold();
        setup.users.clear();
        setup
    }

    fn write_users(&self) {
        fs::create_dir_all(self.state()).unwrap();
        if self.users.is_empty() {
            return;
        }
        if !self.state().join("users.toml").exists() {
            let mut options = fs::OpenOptions::new();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(self.state().join("users.toml"))
                .unwrap();
            file.write_all(self.users.as_bytes()).unwrap();
        }
    }

    /// Starts it and waits until it listens.
    #[track_caller]
    pub fn start(self) -> Server {
        self.write_users();
        let mut server = self.begin();
        server.find_addresses();
        server
    }

    /// Starts it and waits for a line of its log; its addresses are not known.
    #[track_caller]
    pub fn start_with(self, ready: impl Fn(&str) -> bool) -> Server {
        self.write_users();
        let mut server = self.begin();
        server.wait_for_line(ready);
        server
    }

    /// Gives it what other servers have compiled.
    pub fn warm_up(&self) {
        if self.warm {
            copy_entries(&compiled(), &self.state().join("cache"));
        }
    }

    fn begin(self) -> Server {
        self.warm_up();
        let (child, log) = self.spawn(&[]);
        let nowhere = SocketAddr::from(([0; 4], 0));
        Server {
            setup: self,
            child,
            log,
            address: nowhere,
            implicit: nowhere,
        }
    }

    fn spawn(&self, words: &[&str]) -> (Child, Log) {
        let mut command = self.command(words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.spawn_with_sockets(&mut command);
        let log = Log::default();
        log.follow(child.stderr.take().unwrap());
        log.follow(child.stdout.take().unwrap());
        (child, log)
    }

    /// Starts it and waits until it has ended by itself: the status, and all that it said.
    #[track_caller]
    pub fn run(&self, words: &[&str]) -> (i32, String) {
        self.write_users();
        let mut command = self.command(words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.spawn_with_sockets(&mut command);
        let log = Log::default();
        let readers = [
            log.follow(child.stderr.take().unwrap()),
            log.follow(child.stdout.take().unwrap()),
        ];
        let status = wait(&mut child);
        for reader in readers {
            reader.join().unwrap();
        }
        let said = log.text();
        let status = status.unwrap_or_else(|| panic!("it did not end; it said:\n{said}"));
        (status.code().unwrap_or(-1), said)
    }
}

/// The user that may nothing, and the group.
pub const NOBODY: u32 = 65_534;

/// The program where that user can reach it.
fn reachable(binary: &Path) -> PathBuf {
    use std::{os::unix::fs::PermissionsExt, sync::OnceLock};
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    let place = PLACE.get_or_init(|| {
        // Kept for all tests of this build, by its time; those of builds before it go.
        let mut hasher = std::hash::DefaultHasher::new();
        std::hash::Hash::hash(binary, &mut hasher);
        let ours = format!("portcullis-test-{:x}-", std::hash::Hasher::finish(&hasher));
        let time = fs::metadata(binary).unwrap().modified().unwrap();
        let time = time.duration_since(std::time::UNIX_EPOCH).unwrap();
        let name = format!("{ours}{:x}", time.as_nanos());
        for entry in fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
            let other = entry.file_name().to_string_lossy().into_owned();
            if other.starts_with(&ours) && other != name {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let directory = std::env::temp_dir().join(name);
        let place = directory.join("portcullis");
        if !place.exists() {
            fs::create_dir_all(&directory).unwrap();
            fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
            let fresh = directory.join(format!("new-{}", std::process::id()));
            if fs::hard_link(binary, &fresh).is_err() {
                fs::copy(binary, &fresh).unwrap();
            }
            fs::rename(&fresh, &place).unwrap();
        }
        place
    });
    place.clone()
}

/// Compiled plugins, kept between tests: by content, so that an old one is never taken for a new one.
fn compiled() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-plugins")
}

/// Servers need not compile again what something else has compiled.
pub fn keep_compiled(from: &Path) {
    copy_entries(from, &compiled());
}

/// Copies what is not there yet, each file at once; where it can be, as another name of the same file:
/// they are many megabytes, and no test that is given them changes them.
fn copy_entries(from: &Path, to: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(to);
    let Ok(()) = made else { return };
    for entry in fs::read_dir(from).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with('.') || to.join(&name).exists() {
            continue;
        }
        if fs::hard_link(entry.path(), to.join(&name)).is_ok() {
            continue;
        }
        let Ok(fresh) = tempfile::NamedTempFile::with_prefix_in(".new-", to) else {
            return;
        };
        if fs::copy(entry.path(), fresh.path()).is_ok() {
            let _ = fresh.persist(to.join(&name));
        }
    }
}

/// A table of the users file.
pub fn entry(name: &str, lines: &str) -> String {
    format!("[{name:?}]\n{lines}\n")
}

/// The hash of a password at the least cost there is.
pub fn hash(password: &str) -> String {
    let cheap = Argon2::new(
        Algorithm::Argon2id,
        Version::V0x13,
        Params::new(8, 1, 1, None).unwrap(),
    );
    let salt = SaltString::encode_b64(b"of no importance").unwrap();
    cheap
        .hash_password(password.as_bytes(), &salt)
        .unwrap()
        .to_string()
}

/// A running server. Dropped, it is killed; when a test fails, its log is printed.
pub struct Server {
    setup: Setup,
    child: Child,
    log: Log,
    /// Explicit FTPS.
    pub address: SocketAddr,
    /// Implicit FTPS.
    pub implicit: SocketAddr,
}

impl Server {
    /// One with the defaults.
    #[track_caller]
    pub fn start() -> Self {
        Setup::new().start()
    }

    #[track_caller]
    fn find_addresses(&mut self) {
        self.address = self.listener("explicit");
        self.implicit = self.listener("implicit");
    }

    /// Ends it in order, lets `between` do its work on the state directory, and starts it anew.
    #[track_caller]
    pub fn restart(mut self, between: impl FnOnce()) -> Self {
        self.terminate();
        assert!(self.wait().success());
        between();
        self.revive()
    }

    /// Starts another one in its place with `serve --take-over`, does `meanwhile`, and waits until that one
    /// serves. The old one is left to end.
    #[track_caller]
    pub fn take_over(mut self, meanwhile: impl FnOnce()) -> (Self, Former) {
        let (child, log) = self.setup.spawn(&["serve", "--take-over"]);
        let former = Former {
            child: std::mem::replace(&mut self.child, child),
            log: std::mem::replace(&mut self.log, log),
        };
        meanwhile();
        self.find_addresses();
        (self, former)
    }

    /// Replaces the text of its configuration file, for the next start.
    pub fn with_tables(mut self, tables: &str) -> Self {
        self.setup.tables = tables.into();
        self
    }

    /// Starts anew what has ended.
    #[track_caller]
    pub fn revive(mut self) -> Self {
        self.wait();
        (self.child, self.log) = self.setup.spawn(&[]);
        self.find_addresses();
        self
    }

    #[track_caller]
    fn listener(&mut self, tls: &str) -> SocketAddr {
        let tls = format!("tls={tls}");
        let line = self.wait_for_line(|line| {
            let plain = line.replace("\":", "=").replace('"', "");
            plain.contains("listening") && plain.contains(&tls)
        });
        let plain = line.replace("\":", "=").replace('"', "");
        let address = plain
            .split("address=")
            .nth(1)
            .and_then(|rest| rest.split([' ', ',', '}']).next());
        self.setup.keep_compiled();
        address.unwrap().parse().unwrap()
    }

    /// A connection on which nothing has been said but the greeting.
    #[track_caller]
    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// A connection behind AUTH TLS.
    #[track_caller]
    pub fn secure(&self, tls: &Tls) -> Client {
        let mut client = self.connect();
        client.auth_tls(tls);
        client
    }

    /// Logged in as [`USER`], with protected data connections.
    #[track_caller]
    pub fn login(&self) -> Client {
        self.login_as(USER, &Tls::new())
    }

    /// Logged in, with protected data connections.
    #[track_caller]
    pub fn login_as(&self, user: &str, tls: &Tls) -> Client {
        let mut client = self.secure(tls);
        client.login(user);
        client.send("PBSZ 0").expect(200);
        client.send("PROT P").expect(200);
        client.send("TYPE I").expect(200);
        client
    }

    /// Where the files of [`USER`] lie on the disk.
    pub fn home(&self) -> PathBuf {
        self.home_of(USER)
    }

    /// Where the files of a user lie on the disk.
    pub fn home_of(&self, user: &str) -> PathBuf {
        let home = self.state().join("files").join(user);
        fs::create_dir_all(&home).unwrap();
        home
    }

    /// The state directory.
    pub fn state(&self) -> PathBuf {
        self.setup.state()
    }

    /// The certificate that it made for itself.
    pub fn certificate(&self) -> PathBuf {
        self.state().join("tls/certificate.pem")
    }

    /// The setup that it was started with.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Every file that it holds, staging and quarantine included, whose content has `needle`; what
    /// plugins are compiled to may.
    pub fn files_with(&self, needle: &[u8]) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let compiled = self.state().join("cache");
        walk(&self.state(), &mut |path| {
            if path.starts_with(&compiled) {
                return;
            }
            let content = fs::read(path).unwrap_or_default();
            if content.windows(needle.len()).any(|window| window == needle) {
                found.push(path.to_path_buf());
            }
        });
        found
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How often each of these lies in its memory; `None` where the system does not let others look.
    pub fn in_memory(&self, needles: &[&[u8]]) -> Option<Vec<usize>> {
        use std::os::unix::fs::FileExt;
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.id())).ok()?;
        let memory = fs::File::open(format!("/proc/{}/mem", self.id())).ok()?;
        let mut found = vec![0; needles.len()];
        let longest = needles.iter().map(|needle| needle.len()).max().unwrap();
        let mut piece = vec![0; 4 << 20];
        let mut read_anything = false;
        for line in maps.lines() {
            let mut words = line.split_whitespace();
            let (range, mode) = (words.next().unwrap(), words.next().unwrap());
            // A mapping that cannot be written holds parts of files.
            if !mode.starts_with("rw") {
                continue;
            }
            let (from, to) = range.split_once('-').unwrap();
            let [mut from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
            while from < to {
                let length = usize::try_from((to - from).min(piece.len() as u64)).unwrap();
                let Ok(read) = memory.read_at(&mut piece[..length], from) else {
                    break;
                };
                read_anything = true;
                for (count, needle) in found.iter_mut().zip(needles) {
                    *count += occurrences(&piece[..read], needle);
                }
                // A needle may lie across two pieces; none is counted twice but for chance.
                let step = if from + (read as u64) < to {
                    read.saturating_sub(longest).max(1)
                } else {
                    read
                };
                from += step as u64;
            }
        }
        read_anything.then_some(found)
    }

    /// Bytes of its memory that are resident.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            * 1024
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Waits for a line of its log.
    #[track_caller]
    pub fn wait_for_line(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(line) = self.log.find(&wanted) {
                return line;
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the server ended with {status}");
            }
            assert!(Instant::now() < deadline, "no such line in the log");
            self.log.wait();
        }
    }

    /// Asks it to end, as a service manager does.
    pub fn terminate(&self) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(id, Signal::TERM).unwrap();
    }

    /// Ends it at once, as a machine that loses its power.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
    }

    /// Waits until it has ended.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        wait(&mut self.child).expect("the server did not end")
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let mut text = String::from("--- the server's log\n");
            let _ = writeln!(text, "{}---", self.log.text());
            eprint!("{text}");
        }
    }
}

/// A server after which another one has come.
pub struct Former {
    child: Child,
    log: Log,
}

impl Former {
    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub fn wait(mut self) -> ExitStatus {
        let status = wait(&mut self.child);
        status.unwrap_or_else(|| panic!("it did not end; it said:\n{}", self.log.text()))
    }
}

impl Drop for Former {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How often `needle` lies in `bytes`.
pub fn occurrences(bytes: &[u8], needle: &[u8]) -> usize {
    let mut count = 0;
    let mut rest = bytes;
    // By the C library, which is quick in tests, too.
    while rest.skip_until(needle[0]).unwrap() > 0 {
        count += usize::from(rest.starts_with(&needle[1..]));
    }
    count
}

fn wait(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// Calls `each` with every regular file below a directory.
pub fn walk(directory: &Path, each: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&entry.path(), each),
            Ok(kind) if kind.is_file() => each(&entry.path()),
            _ => {}
        }
    }
}

#[derive(Clone, Default)]
struct Log(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Log {
    fn follow(&self, from: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<()> {
        let log = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
                log.0
                    .0
                    .lock()
                    .unwrap()
                    .push(String::from_utf8_lossy(&line).into_owned());
                log.0.1.notify_all();
            }
        })
    }

    fn find(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        self.0
            .0
            .lock()
            .unwrap()
            .iter()
            .find(|line| wanted(line))
            .cloned()
    }

    fn wait(&self) {
        let lines = self.0.0.lock().unwrap();
        drop(
            self.0
                .1
                .wait_timeout(lines, std::time::Duration::from_millis(50)),
        );
    }

    fn text(&self) -> String {
        let mut text = self.0.0.lock().unwrap().join("\n");
        text.push('\n');
        text
    }
}
