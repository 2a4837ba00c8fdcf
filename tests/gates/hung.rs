//! File systems that do not answer.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{Server, Setup, eventually};

/// Mounts a file system that answers nothing, as a server of NFS does that is gone; it ends with its
/// standard input.
const MOUNT: &str = "
import ctypes, os, sys
device = os.open('/dev/fuse', os.O_RDWR)
options = 'fd=%d,rootmode=40000,user_id=0,group_id=0' % device
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b'hung', sys.argv[1].encode(), b'fuse', 0, options.encode()):
    sys.exit(os.strerror(ctypes.get_errno()))
print('mounted', flush=True)
sys.stdin.read()
libc.umount2(sys.argv[1].encode(), 2)
";

/// A directory of which every question waits.
struct Hung {
    directory: TempDir,
    holder: Child,
}

impl Hung {
    /// None where nothing can be mounted.
    fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mut holder = Command::new("python3")
            .args(["-c", MOUNT])
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut line = String::new();
        let said = BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line);
        if said.is_err() || line.trim() != "mounted" {
            let _ = holder.wait();
            eprintln!("LEFT OUT: file systems that hang; none can be mounted here");
            return None;
        }
        Some(Self { directory, holder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        // With the device all who wait for it hear an error.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

fn hang_up(server: &Server) {
    let id = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    kill_process(id, Signal::HUP).unwrap();
}

fn replace_by_link(path: &Path, target: &Path) {
    fs::remove_file(path).unwrap();
    symlink(target, path).unwrap();
}

/// The start, `check` and a reload say so, and the server serves on and can be ended.
#[test]
fn the_configuration_hangs() {
    let Some(hung) = Hung::mount() else { return };
    let mut server = Server::start();
    let config = server.state().with_file_name("config.toml");
    for words in [&["check"][..], &[]] {
        let mut command = server.setup().command(words);
        replace_by_link(&config, &hung.path("config.toml"));
        let begun = Instant::now();
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("config.toml: cannot be read: it could not be read within 10 s"),
            "{said}"
        );
        assert!(begun.elapsed() < Duration::from_secs(15), "{said}");
        fs::remove_file(&config).unwrap();
    }
    symlink(hung.path("config.toml"), &config).unwrap();
    hang_up(&server);
    server.wait_for_line(|line| line.contains("reloading"));
    server.login();
    server.wait_for_line(|line| line.contains("it could not be read within 10 s"));
    server.wait_for_line(|line| line.contains("the reload failed"));
    // The end does not wait for a reload that hangs.
    hang_up(&server);
    eventually("the second reload", || {
        server.log().matches("reloading").count() == 2
    });
    let begun = Instant::now();
    server.terminate();
    assert!(server.wait().success());
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(9), "{took:?}");
}

/// A storage that hangs holds up neither sessions nor the end.
#[test]
fn a_storage_hangs() {
    let Some(hung) = Hung::mount() else { return };
    // Where the walls are, a new storage takes a restart, and nobody looks at it.
    let setup = Setup::new()
        .set("server.landlock", "\"off\"")
        .tables("[storage.default]\nroot = \"files\"\n");
    let mut server = setup.start();
    let config = server.state().with_file_name("config.toml");
    let root = hung.path("files");
    let text = format!("[storage.default]\nroot = \"files\"\n[storage.far]\nroot = {root:?}\n");
    fs::write(&config, text).unwrap();
    hang_up(&server);
    server.wait_for_line(|line| line.contains("reloading"));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        server.login().send("NOOP").expect(200);
    }
    let line = server.wait_for_line(|line| line.contains("storage.far.root"));
    for words in [
        "config.toml:4",
        "it could not be opened within 20 s",
        root.to_str().unwrap(),
    ] {
        assert!(line.contains(words), "{words}: {line}");
    }
    hang_up(&server);
    eventually("the second reload", || {
        server.log().matches("reloading").count() == 2
    });
    let begun = Instant::now();
    server.terminate();
    assert!(server.wait().success());
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(9), "{took:?}");
}
