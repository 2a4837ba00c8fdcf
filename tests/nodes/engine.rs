//! A Redis of the test's own.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{Setup, eventually, free_port, program::installed};

/// Redis keeps nothing on the disk. Dropped, it is ended.
pub struct Engine {
    directory: TempDir,
    process: Option<Child>,
    options: Vec<String>,
    pub address: SocketAddr,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Engine {
    /// None where it is not installed.
    pub fn start() -> Option<Self> {
        Self::with(&[])
    }

    /// The same with more options.
    pub fn with(options: &[&str]) -> Option<Self> {
        installed("redis-server").then(|| {
            let mut engine = Self {
                directory: tempfile::tempdir().unwrap(),
                process: None,
                options: options.iter().map(|&option| option.to_owned()).collect(),
                address: ([127, 0, 0, 1], free_port()).into(),
            };
            engine.revive();
            engine
        })
    }

    /// Starts it again after [`kill`](Self::kill), empty.
    pub fn revive(&mut self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.directory.path().join("log"))
            .unwrap();
        let child = Command::new("redis-server")
            .args(["--port", &self.address.port().to_string()])
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .arg("--dir")
            .arg(self.directory.path())
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(child);
        let address = self.address;
        eventually("Redis listens", || TcpStream::connect(address).is_ok());
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Has it hang, or go on.
    pub fn signal(&self, signal: Signal) {
        let id = self.process.as_ref().unwrap().id();
        let id = Pid::from_raw(id.try_into().unwrap()).unwrap();
        kill_process(id, signal).unwrap();
    }

    /// A server that shares state there.
    pub fn setup(&self) -> Setup {
        Setup::new().set("state.url", &self.url())
    }

    /// Its URL, as TOML.
    pub fn url(&self) -> String {
        format!("\"redis://{}\"", self.address)
    }

    /// The answer to a command.
    pub fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let client = redis::Client::open(format!("redis://{}", self.address)).unwrap();
        let patience = Duration::from_secs(10);
        let mut connection = client.get_connection_with_timeout(patience).unwrap();
        redis::cmd(words[0])
            .arg(&words[1..])
            .query(&mut connection)
            .unwrap()
    }

    /// All keys.
    pub fn keys(&self) -> Vec<String> {
        self.ask(&["KEYS", "*"])
    }
}
