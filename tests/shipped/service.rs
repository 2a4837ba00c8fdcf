//! The HTTP service that `service.py` is.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{eventually, tls::Identity};

/// A running service.
pub struct Service {
    child: Child,
    scheme: &'static str,
    port: u16,
    seen: Arc<Mutex<Vec<Value>>>,
    directory: TempDir,
}

impl Service {
    pub fn start() -> Self {
        Self::with(None)
    }

    /// The same by https.
    pub fn secure(identity: &Identity) -> Self {
        Self::with(Some(identity))
    }

    fn with(identity: Option<&Identity>) -> Self {
        let directory = TempDir::new().unwrap();
        let mut command = Command::new("python3");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shipped/service.py"));
        if let Some(identity) = identity {
            for (name, text) in [
                ("certificate.pem", &identity.certificate_pem),
                ("key.pem", &identity.key_pem),
            ] {
                fs::write(directory.path().join(name), text).unwrap();
                command.arg(directory.path().join(name));
            }
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap().parse().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shared = seen.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let request = serde_json::from_str(&line).unwrap();
                shared.lock().unwrap().push(request);
            }
        });
        Self {
            child,
            scheme: if identity.is_some() { "https" } else { "http" },
            port,
            seen,
            directory,
        }
    }

    /// Where it is, for grants.
    pub fn origin(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// Its certificate.
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Value> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits for so many requests.
    #[track_caller]
    pub fn wait_for(&self, count: usize) -> Vec<Value> {
        eventually("the service hears of it", || self.seen().len() >= count);
        self.seen()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request's body.
pub fn body(request: &Value) -> Value {
    serde_json::from_str(request["body"].as_str().unwrap()).unwrap()
}
