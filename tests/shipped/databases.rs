//! Databases: Debian's PostgreSQL and MariaDB, each in a directory of the test's own, with the same
//! table of users. They refuse root, so they run as a user that may nothing.

use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt, lchown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    path,
    support::{
        PATIENCE, free_port,
        server::{NOBODY, hash},
        tls::Identity,
    },
};

/// The password of the account that looks users up.
pub const SECRET: &str = "looks users up";

/// The two kinds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Postgres,
    Mariadb,
}

/// A database, which can be ended and started again at the same port.
pub struct Database {
    kind: Kind,
    child: Option<Child>,
    place: TempDir,
    pub port: u16,
}

impl Database {
    pub fn postgres() -> Self {
        Self::start(Kind::Postgres, true)
    }

    pub fn mariadb() -> Self {
        Self::start(Kind::Mariadb, true)
    }

    /// One without a certificate.
    pub fn without_tls(kind: Kind) -> Self {
        Self::start(kind, false)
    }

    /// A port that was free a moment ago may be taken by now: then another one is tried.
    fn start(kind: Kind, tls: bool) -> Self {
        let mut database = Self::prepared(kind, tls);
        for _ in 0..5 {
            database.port = free_port();
            if database.revive() {
                return database;
            }
        }
        panic!("the database does not start:\n{}", database.said());
    }

    fn prepared(kind: Kind, tls: bool) -> Self {
        let database = Self {
            kind,
            child: None,
            place: TempDir::new().unwrap(),
            port: 0,
        };
        let identity = Identity::server("127.0.0.1");
        let file = |name: &str, text: &str| {
            let path = database.file(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            own(&path);
        };
        own(database.place.path());
        file("certificate.pem", &identity.certificate_pem);
        file("key.pem", &identity.key_pem);
        let data = database.file("data").display().to_string();
        let (program, arguments) = match kind {
            Kind::Postgres => {
                file("options", &postgres_options(database.place.path(), tls));
                file("start.sql", &postgres_tables());
                let words =
                    "--no-locale --encoding=UTF8 --username=postgres --auth=trust --no-sync";
                let words = words.split(' ').map(str::to_owned);
                let words = words.chain(["-D".into(), data.clone()]);
                (postgres_program("initdb").unwrap(), words.collect())
            }
            Kind::Mariadb => {
                file("options", &mariadb_options(database.place.path(), tls));
                file("start.sql", &mariadb_tables());
                let words = "--no-defaults --auth-root-authentication-method=normal --skip-test-db \
                             --skip-name-resolve";
                let words = words.split(' ').map(str::to_owned);
                let words = words.chain([format!("--datadir={data}")]);
                ("mariadb-install-db".into(), words.collect::<Vec<_>>())
            }
        };
        let made = database.command(&program).args(arguments).status();
        assert!(made.unwrap().success(), "{}", database.said());
        if kind == Kind::Postgres {
            let single = ["--single", "-j", "-D", &data, "postgres"];
            let input = File::open(database.file("start.sql")).unwrap();
            let filled = database
                .command(&postgres_program("postgres").unwrap())
                .args(single)
                .stdin(input)
                .status();
            assert!(filled.unwrap().success(), "{}", database.said());
            let rules = fs::read_to_string(database.file("options")).unwrap();
            let (options, rules) = rules.split_once("# pg_hba.conf\n").unwrap();
            fs::write(database.file("data/postgresql.conf"), options).unwrap();
            fs::write(database.file("data/pg_hba.conf"), rules).unwrap();
        }
        database
    }

    /// Starts it (again). False if it has ended at once.
    pub fn revive(&mut self) -> bool {
        let before = self.said().len();
        let (mut command, ready) = match self.kind {
            Kind::Postgres => {
                let mut command = self.command(&postgres_program("postgres").unwrap());
                command.arg("-D").arg(self.file("data"));
                command.arg("-p").arg(self.port.to_string());
                (command, "database system is ready to accept connections")
            }
            Kind::Mariadb => {
                let mut command = self.command(Path::new("mariadbd"));
                let options = format!("--defaults-file={}", self.file("options").display());
                command.arg(options).arg(format!("--port={}", self.port));
                (command, "ready for connections")
            }
        };
        let mut child = command.spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let up = loop {
            if child.try_wait().unwrap().is_some() {
                break false;
            }
            if self
                .said()
                .get(before..)
                .is_some_and(|said| said.contains(ready))
            {
                break true;
            }
            assert!(Instant::now() < deadline, "not ready: {}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        };
        self.child = Some(child);
        up
    }

    /// Ends it; the port stays as it is.
    pub fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both end at once by this signal, and take their children along.
            let id = rustix::process::Pid::from_child(&child);
            let signal = match self.kind {
                Kind::Postgres => rustix::process::Signal::QUIT,
                Kind::Mariadb => rustix::process::Signal::KILL,
            };
            let _ = rustix::process::kill_process(id, signal);
            let _ = child.wait();
        }
    }

    /// Leaves it there, deaf and dumb, or makes it go on.
    pub fn hang(&self, hanging: bool) {
        let signal = match hanging {
            true => rustix::process::Signal::STOP,
            false => rustix::process::Signal::CONT,
        };
        let child = self.child.as_ref().unwrap();
        let id = rustix::process::Pid::from_child(child);
        rustix::process::kill_process(id, signal).unwrap();
    }

    pub fn certificate(&self) -> PathBuf {
        self.file("certificate.pem")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn said(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    /// A program of its own, as the user who owns the directory.
    fn command(&self, program: &Path) -> Command {
        let mut options = fs::OpenOptions::new();
        let log = options.create(true).append(true).open(self.file("log"));
        let log = log.unwrap();
        let mut command = match rustix::process::geteuid().is_root() {
            true => {
                let mut command = Command::new("setpriv");
                let (user, group) = (format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"));
                command.args([&user, &group, "--clear-groups"]).arg(program);
                command
            }
            false => Command::new(program),
        };
        command
            .current_dir(self.place.path())
            .env("PATH", path())
            // A starting MariaDB does away with temporary files, those of others included.
            .env("TMPDIR", self.place.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        command
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("--- the database's log\n{}---", self.said());
        }
    }
}

fn own(path: &Path) {
    if rustix::process::geteuid().is_root() {
        lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// One of PostgreSQL's programs, which Debian has beside the path: the newest.
pub fn postgres_program(name: &str) -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut programs: Vec<_> = versions
        .filter_map(|version| Some(version.ok()?.path().join("bin").join(name)))
        .filter(|program| program.exists())
        .collect();
    programs.sort();
    programs.pop()
}

/// How it is set, and who may connect how, in one file.
fn postgres_options(place: &Path, tls: bool) -> String {
    let place = place.display();
    let tls = match tls {
        true => format!(
            "ssl = on\nssl_cert_file = '{place}/certificate.pem'\nssl_key_file = '{place}/key.pem'\n"
        ),
        false => String::new(),
    };
    format!(
        "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nfsync = off\n\
         max_connections = 20\nshared_buffers = '8MB'\nautovacuum = off\n{tls}\
         # pg_hba.conf\n\
         host all old 127.0.0.1/32 md5\n\
         host all clear 127.0.0.1/32 password\n\
         host all portcullis 127.0.0.1/32 scram-sha-256\n"
    )
}

/// With each kind of type that a column is likely to have.
fn postgres_tables() -> String {
    let mut sql = format!(
        "create role portcullis login password '{SECRET}';\n\n\
         create role clear login password '{SECRET}';\n\n\
         set password_encryption = 'md5';\n\n\
         create role old login password '{SECRET}';\n\n\
         create table ftp_users (name varchar(80) not null, password text, home text, \
         quota bigint, disabled boolean, expires timestamptz, groups text[], \
         permissions text, max_sessions smallint, department text);\n\n\
         grant select on ftp_users to portcullis, clear, old;\n\n"
    );
    for user in users() {
        let groups = user.groups.map(|group| format!("array['{group}']"));
        let groups = groups.unwrap_or("null".into());
        sql += &user.insert(&groups);
        sql += "\n";
    }
    sql
}

fn mariadb_options(place: &Path, tls: bool) -> String {
    let place = place.display();
    let tls = match tls {
        true => format!("ssl-cert={place}/certificate.pem\nssl-key={place}/key.pem\n"),
        false => "skip-ssl\n".into(),
    };
    format!(
        "[mysqld]\ndatadir={place}/data\nsocket={place}/socket\npid-file={place}/pid\n\
         bind-address=127.0.0.1\ninit-file={place}/start.sql\ninnodb-flush-log-at-trx-commit=0\n\
         innodb-buffer-pool-size=8M\nskip-name-resolve\nskip-log-bin\n{tls}"
    )
}

/// Read at each start.
fn mariadb_tables() -> String {
    let mut sql = format!(
        "set names utf8mb4;\n\
         create database if not exists ftp character set utf8mb4;\n\
         create or replace user portcullis identified by '{SECRET}';\n\
         use ftp;\n\
         create or replace table ftp_users (name varchar(80) not null, password varchar(200), \
         home text, quota bigint unsigned, disabled tinyint(1), expires datetime, \
         groups varchar(200), permissions set('read', 'upload', 'write'), max_sessions smallint, \
         department varchar(20));\n\
         grant select on ftp_users to portcullis;\n"
    );
    for user in users() {
        let groups = user.groups.map(|group| format!("'{group}'"));
        sql += &user.insert(&groups.unwrap_or("null".into()));
    }
    sql
}

struct Row {
    name: &'static str,
    /// Of which the password is hashed; nothing is NULL.
    password: Option<&'static str>,
    home: Option<&'static str>,
    quota: Option<u64>,
    disabled: bool,
    expires: Option<&'static str>,
    groups: Option<&'static str>,
    permissions: Option<&'static str>,
}

impl Row {
    fn insert(&self, groups: &str) -> String {
        let text = |text: Option<&str>| text.map_or("null".into(), |text| format!("'{text}'"));
        let number = |number: Option<u64>| number.map_or("null".into(), |one| one.to_string());
        let hashed = self.password.map(hash);
        format!(
            "insert into ftp_users values ('{}', {}, {}, {}, {}, {}, {groups}, {}, null, 'sales');\n",
            self.name.replace('\'', "''"),
            text(hashed.as_deref()),
            text(self.home),
            number(self.quota),
            self.disabled,
            text(self.expires),
            text(self.permissions),
        )
    }
}

/// Bob has much, Carol nothing, and the others something that keeps them out.
fn users() -> Vec<Row> {
    let plain = |name| Row {
        name,
        password: Some(name),
        home: None,
        quota: None,
        disabled: false,
        expires: None,
        groups: None,
        permissions: None,
    };
    vec![
        Row {
            home: Some("/homes/bob"),
            quota: Some(1000),
            expires: Some("2999-12-31 18:00:00"),
            groups: Some("staff"),
            ..plain("bob")
        },
        Row {
            permissions: Some("read"),
            ..plain("carol")
        },
        Row {
            disabled: true,
            ..plain("dave")
        },
        Row {
            expires: Some("2020-01-01 00:00:00"),
            ..plain("erin")
        },
        Row {
            password: None,
            ..plain("frank")
        },
        // Two of one name.
        plain("twin"),
        plain("twin"),
        plain("o'neill"),
        plain("zoë"),
    ]
}
