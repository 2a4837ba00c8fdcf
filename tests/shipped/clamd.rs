//! A virus scanner: Debian's clamd, with a few signatures of its own. It asks nobody for more.

use std::{
    fs::{self, File},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    path,
    support::{PATIENCE, eicar, free_port, tls::hex},
};

/// The bytes that the signature by content finds, wherever they lie.
pub const BAD: &[u8] = b"what portcullis looks for in its tests";

/// A file that is found by its digest alone.
pub fn bad_by_digest() -> Vec<u8> {
    crate::support::content(5000, 99)
}

/// StreamMaxLength, MaxFileSize and MaxScanSize of the test's choice; `more` are further lines.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    pub stream: &'a str,
    pub file: &'a str,
    pub scan: &'a str,
    pub more: &'a str,
}

/// As the book says.
pub const LIMITS: Limits<'static> = Limits {
    stream: "8M",
    file: "8M",
    scan: "32M",
    more: "AlertExceedsMax yes\n",
};

/// A running scanner, which can be ended and started again at the same port.
pub struct Clamd {
    child: Option<Child>,
    place: TempDir,
    pub port: u16,
}

impl Clamd {
    pub fn start() -> Self {
        Self::with(LIMITS)
    }

    /// A port that was free a moment ago may be taken by now: then another one is tried.
    pub fn with(limits: Limits) -> Self {
        let mut last = String::new();
        for _ in 0..5 {
            let mut clamd = Self::prepared(limits);
            if clamd.revive() {
                return clamd;
            }
            last = clamd.said();
        }
        panic!("clamd does not start:\n{last}");
    }

    fn prepared(limits: Limits) -> Self {
        let place = TempDir::new().unwrap();
        let file = |name: &str, text: String| fs::write(place.path().join(name), text).unwrap();
        fs::create_dir(place.path().join("database")).unwrap();
        let digest = |bytes: &[u8]| {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
            format!("{}:{}", hex(digest.as_ref()), bytes.len())
        };
        // The format that clamav calls hsb: digest, size, name, and the version from which `*` is
        // meant.
        let by_digest = format!(
            "{}:Tests.ByDigest:73\n{}:Tests.EICAR:73\n",
            digest(&bad_by_digest()),
            digest(&eicar())
        );
        file("database/tests.hsb", by_digest);
        // Name, any kind of file, any offset, bytes.
        let by_content = format!(
            "Tests.ByContent:0:*:{}\nTests.EICAR.Anywhere:0:*:{}\n",
            hex(BAD),
            hex(&eicar())
        );
        file("database/tests.ndb", by_content);

        let port = free_port();
        let Limits {
            stream,
            file: largest,
            scan,
            more,
        } = limits;
        let directory = place.path().display();
        file(
            "clamd.conf",
            format!(
                "Foreground yes\nTCPAddr 127.0.0.1\nTCPSocket {port}\n\
                 DatabaseDirectory {directory}/database\nTemporaryDirectory {directory}\n\
                 StreamMaxLength {stream}\nMaxFileSize {largest}\nMaxScanSize {scan}\n\
                 SelfCheck 0\nConcurrentDatabaseReload no\n{more}"
            ),
        );
        Self {
            child: None,
            place,
            port,
        }
    }

    /// Starts it (again). False if it has ended at once.
    pub fn revive(&mut self) -> bool {
        let log = File::create(self.place.path().join("log")).unwrap();
        let mut child = Command::new("clamd")
            .env("PATH", path())
            .arg("--config-file")
            .arg(self.place.path().join("clamd.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let deadline = Instant::now() + PATIENCE;
        let up = loop {
            // The process first: whoever else has the port listens, too.
            if child.try_wait().unwrap().is_some() {
                break false;
            }
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                break child.try_wait().unwrap().is_none();
            }
            assert!(Instant::now() < deadline, "clamd does not listen");
            std::thread::sleep(Duration::from_millis(20));
        };
        self.child = Some(child);
        up
    }

    /// Ends it; the port stays as it is.
    pub fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn said(&self) -> String {
        fs::read_to_string(self.place.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Clamd {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("--- clamd's log\n{}---", self.said());
        }
    }
}
