//! An S3 engine: versitygw, which keeps objects as files.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::support::{
    Server, Setup, eventually, free_port,
    program::{clients, works},
    server::walk,
};

const KEY: &str = "portcullis-test";
const SECRET: &str = "a secret of the test";
pub const BUCKET: &str = "bucket";
/// The beginning of the server's keys.
pub const PREFIX: &str = "ftp";

/// The engine, with one bucket.
pub struct Engine {
    directory: TempDir,
    process: Option<Child>,
    pub address: SocketAddr,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
    }
}

fn program() -> PathBuf {
    clients().join("bin/versitygw")
}

impl Engine {
    /// None where it is not installed.
    pub fn start() -> Option<Self> {
        works("versitygw", Command::new(program()).arg("--version")).then(|| {
            let directory = tempfile::tempdir().unwrap();
            fs::create_dir_all(directory.path().join("data").join(BUCKET)).unwrap();
            let mut engine = Self {
                directory,
                process: None,
                address: ([127, 0, 0, 1], free_port()).into(),
            };
            engine.revive();
            engine
        })
    }

    /// Starts it again after [`kill`](Self::kill).
    pub fn revive(&mut self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.directory.path().join("log"))
            .unwrap();
        let child = Command::new(program())
            .args(["--port", &self.address.to_string(), "--keep-alive", "posix"])
            .arg(self.directory.path().join("data"))
            .env("ROOT_ACCESS_KEY", KEY)
            .env("ROOT_SECRET_KEY", SECRET)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(child);
        let address = self.address;
        eventually("the engine listens", || TcpStream::connect(address).is_ok());
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// The bucket, as its files.
    pub fn bucket(&self) -> PathBuf {
        self.directory.path().join("data").join(BUCKET)
    }

    /// The home of a user, as its files.
    pub fn home_of(&self, user: &str) -> PathBuf {
        self.bucket().join(PREFIX).join(user)
    }

    /// The files of uploads in parts that are not completed.
    pub fn parts(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let place = self.bucket().join(".sgwtmp");
        if place.exists() {
            walk(&place, &mut |path| found.push(path.to_owned()));
        }
        found
    }

    /// The requests that it has answered since the last time, as "GET /bucket/key query".
    pub fn requests(&self) -> Vec<String> {
        let path = self.directory.path().join("log");
        let log = fs::read_to_string(&path).unwrap();
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(0)
            .unwrap();
        let requests = log.lines().filter(|line| line.contains("| vgw |"));
        requests
            .map(|line| {
                let fields: Vec<_> = line.split('|').map(str::trim).collect();
                format!("{} {} {}", fields[5], fields[6], fields[8])
            })
            .collect()
    }

    /// A server whose files are in the bucket.
    pub fn setup(&self) -> Setup {
        self.setup_at(self.address)
    }

    /// The same, with another way to the engine.
    pub fn setup_at(&self, address: SocketAddr) -> Setup {
        let credentials = self.credentials(SECRET);
        Setup::new()
            .set("storage.default.kind", "\"s3\"")
            .set("storage.default.bucket", &format!("{BUCKET:?}"))
            .set("storage.default.prefix", &format!("{PREFIX:?}"))
            .set("storage.default.part-size", "\"5MiB\"")
            .set("storage.default.endpoint", &format!("\"http://{address}\""))
            .set(
                "storage.default.credentials",
                &format!("{:?}", credentials.display().to_string()),
            )
    }

    pub fn start_server(&self) -> Server {
        self.setup().start()
    }

    /// A file with credentials.
    pub fn credentials(&self, secret: &str) -> PathBuf {
        let path = self.directory.path().join("credentials");
        let text =
            format!("[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {secret}\n");
        fs::write(&path, text).unwrap();
        path
    }
}

/// Whether a file is there, and has this content.
pub fn holds(path: &Path, content: &[u8]) -> bool {
    fs::read(path).is_ok_and(|found| found == content)
}
