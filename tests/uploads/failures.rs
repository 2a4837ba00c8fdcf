//! Failures under an upload while it runs: the client is told, nobody sees anything of it, and the
//! session goes on.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::support::{Client, Data, Server, USER, content, eicar, eventually, server::walk};
use crate::{broken, partial, setup};

const LENGTH: usize = 600_000;

/// An upload of which half is on its way to `directory/file`.
struct Half {
    server: Server,
    client: Client,
    data: Data,
    bytes: Vec<u8>,
}

impl Half {
    #[track_caller]
    fn begin(command: &str, old: Option<&str>) -> Self {
        let server = setup().start();
        fs::create_dir(server.home().join("directory")).unwrap();
        if let Some(old) = old {
            fs::write(server.home().join("directory/file"), old).unwrap();
        }
        let mut client = server.login();
        let bytes = content(LENGTH, 1);
        let mut data = client.begin(&format!("{command} directory/file"));
        data.send(&bytes[..LENGTH / 2]).unwrap();
        let staging = server.state().join("staging");
        eventually("some of it is staged", || {
            staged(&staging).iter().any(|(_, size)| *size > 0)
        });
        Self {
            server,
            client,
            data,
            bytes,
        }
    }

    fn directory(&self) -> PathBuf {
        self.server.home().join("directory")
    }

    /// Sends the rest, of which the end is told to have failed; what is kept can expire, and the same
    /// session uploads something else.
    #[track_caller]
    fn fails(self, codes: &[u16]) -> (Server, Client) {
        let Self {
            server,
            mut client,
            mut data,
            bytes,
        } = self;
        let _ = data.send(&bytes[LENGTH / 2..]);
        let _ = data.finish();
        client.reply().expect_one_of(codes);
        assert_expires(&server.state().join("staging"));
        client.send("NOOP").expect(200);
        client.store("STOR next", b"next").expect(226);
        assert_eq!(fs::read(server.home().join("next")).unwrap(), b"next");
        (server, client)
    }
}

/// Names and sizes of what is in staging; labels say nothing of a file, and what was replaced is no upload.
fn staged(staging: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    walk(staging, &mut |path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let is_upload = !name.ends_with(".label") && !name.ends_with(".spare");
        if name != "lock" && is_upload {
            found.push((name, fs::metadata(path).map_or(0, |found| found.len())));
        }
    });
    found
}

/// Nothing lies in staging that looks as if it were still written: only that expires.
#[track_caller]
fn assert_expires(staging: &Path) {
    let left = staged(staging);
    assert!(
        left.iter().all(|(name, _)| name.ends_with(".part")),
        "{left:?}"
    );
}

/// An upload that was kept can be finished when the cause is gone.
#[track_caller]
fn assert_goes_on(server: &Server, client: &mut Client) {
    let bytes = content(LENGTH, 1);
    let size = partial(client, "directory/file").unwrap();
    let size = usize::try_from(size).unwrap();
    assert!(size >= LENGTH / 2 - (256 << 10), "{size}");
    client.send(&format!("REST {size}")).expect(350);
    client
        .store("STOR directory/file", &bytes[size..])
        .expect(226);
    assert!(fs::read(server.home().join("directory/file")).unwrap() == bytes);
    assert_eq!(staged(&server.state().join("staging")), []);
}

/// It is gone with what was there when it began.
#[track_caller]
fn assert_begins_anew(server: &Server, client: &mut Client) {
    client.send("MLST directory/file").expect(550);
    client.send("SIZE directory/file").expect(550);
    assert_eq!(staged(&server.state().join("staging")), []);
    let bytes = content(LENGTH, 1);
    client.store("STOR directory/file", &bytes).expect(226);
    assert!(fs::read(server.home().join("directory/file")).unwrap() == bytes);
}

#[test]
fn its_directory_is_removed() {
    let half = Half::begin("STOR", None);
    fs::remove_dir(half.directory()).unwrap();
    let (server, mut client) = half.fails(&[550, 553]);
    assert!(!server.home().join("directory").exists());
    client.send("MKD directory").expect(257);
    assert_begins_anew(&server, &mut client);
}

#[test]
fn its_directory_is_renamed() {
    let half = Half::begin("STOR", Some("old"));
    let moved = half.server.home().join("moved");
    fs::rename(half.directory(), &moved).unwrap();
    let (server, mut client) = half.fails(&[550, 553]);
    assert_eq!(fs::read(moved.join("file")).unwrap(), b"old");
    client.send("RNFR moved").expect(350);
    client.send("RNTO directory").expect(250);
    assert_goes_on(&server, &mut client);
}

#[test]
fn its_directory_becomes_a_link() {
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("file"), "another's").unwrap();
    for target in [
        outside.path().to_owned(),
        PathBuf::from("../bob"),
        PathBuf::from("/proc/self/cwd"),
    ] {
        let half = Half::begin("STOR", Some("old"));
        fs::create_dir(half.server.state().join("files/bob")).unwrap();
        fs::rename(half.directory(), half.server.home().join("moved")).unwrap();
        symlink(&target, half.directory()).unwrap();
        let (server, _) = half.fails(&[550, 553]);
        assert_eq!(fs::read(outside.path().join("file")).unwrap(), b"another's");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
        assert_eq!(
            fs::read_dir(server.state().join("files/bob"))
                .unwrap()
                .count(),
            0
        );
        assert_eq!(fs::read(server.home().join("moved/file")).unwrap(), b"old");
    }
}

#[test]
fn its_name_becomes_a_directory() {
    for old in [None, Some("old")] {
        let half = Half::begin("STOR", old);
        let path = half.directory().join("file");
        if old.is_some() {
            fs::remove_file(&path).unwrap();
        }
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inner"), "content").unwrap();
        let (server, mut client) = half.fails(&[550, 553]);
        assert_eq!(fs::read(path.join("inner")).unwrap(), b"content");
        fs::remove_dir_all(&path).unwrap();
        assert_begins_anew(&server, &mut client);
    }
}

#[test]
fn its_name_becomes_a_pipe() {
    let half = Half::begin("STOR", None);
    let path = half.directory().join("file");
    assert!(
        Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    let (server, mut client) = half.fails(&[550, 553]);
    fs::remove_file(&path).unwrap();
    assert_begins_anew(&server, &mut client);
}

/// The target of a link within the home is replaced; nothing goes out through one.
#[test]
fn its_name_becomes_a_link() {
    let outside = TempDir::new().unwrap();
    let file = outside.path().join("file");
    fs::write(&file, "another's").unwrap();
    for old in [None, Some("old")] {
        let half = Half::begin("STOR", old);
        let path = half.directory().join("file");
        let _ = fs::remove_file(&path);
        symlink(&file, &path).unwrap();
        let (server, _) = half.fails(&[550, 553]);
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"another's");
        drop(server);
        let Half {
            server,
            mut client,
            mut data,
            bytes,
        } = Half::begin("STOR", old);
        let path = server.home().join("directory/file");
        let _ = fs::remove_file(&path);
        fs::write(server.home().join("target"), "older").unwrap();
        symlink("../target", &path).unwrap();
        data.send(&bytes[LENGTH / 2..]).unwrap();
        data.finish().unwrap();
        client.reply().expect(226);
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        assert!(fs::read(server.home().join("target")).unwrap() == bytes);
    }
}

/// The file that it would be added to is gone by the time it is added: nothing comes back with it.
#[test]
fn what_it_is_appended_to_is_removed() {
    let Half {
        server,
        mut client,
        mut data,
        bytes,
    } = Half::begin("APPE", Some("old"));
    let path = server.home().join("directory/file");
    fs::remove_file(&path).unwrap();
    data.send(&bytes[LENGTH / 2..]).unwrap();
    data.finish().unwrap();
    client.reply().expect(450);
    assert!(!path.exists());
    assert_eq!(staged(&server.state().join("staging")), []);
    client.store("APPE directory/file", &bytes).expect(226);
    assert!(fs::read(&path).unwrap() == bytes);
}

/// Makes a directory one in which nothing can be changed, and back. Where the server may do
/// everything, the file system has to say so; not all of them can.
fn forbid(directory: &Path, forbidden: bool) -> bool {
    if rustix::process::geteuid().is_root() {
        let how = if forbidden { "+i" } else { "-i" };
        let output = Command::new("chattr").arg(how).arg(directory).output();
        return output.is_ok_and(|output| output.status.success());
    }
    let mode = if forbidden { 0o500 } else { 0o755 };
    fs::set_permissions(directory, fs::Permissions::from_mode(mode)).unwrap();
    true
}

struct Forbidden(PathBuf);

impl Drop for Forbidden {
    fn drop(&mut self) {
        forbid(&self.0, false);
    }
}

#[test]
fn its_directory_may_not_be_written_any_more() {
    for old in [None, Some("old")] {
        let half = Half::begin("STOR", old);
        if !forbid(&half.directory(), true) {
            eprintln!("LEFT OUT: nothing can be forbidden to root on this file system");
            return;
        }
        let forbidden = Forbidden(half.directory());
        let (server, mut client) = half.fails(&[550, 553]);
        let path = server.home().join("directory/file");
        assert_eq!(fs::read(&path).ok(), old.map(|old| old.as_bytes().to_vec()));
        // Nor does another attempt get through, or lose what is there.
        client
            .store("STOR directory/other", b"content")
            .expect_one_of(&[550, 553]);
        assert!(!server.home().join("directory/other").exists());
        client.send("DELE directory/other").expect(250);
        drop(forbidden);
        assert_goes_on(&server, &mut client);
    }
}

/// Somebody has tidied up.
#[test]
fn what_is_staged_is_removed() {
    let half = Half::begin("STOR", Some("old"));
    let staging = half.server.state().join("staging/default");
    for (name, _) in staged(&staging) {
        fs::remove_file(staging.join(name)).unwrap();
    }
    let (server, _) = half.fails(&[450, 451, 550]);
    assert_eq!(
        fs::read(server.home().join("directory/file")).unwrap(),
        b"old"
    );
}

/// A small file system, for as long as this is there.
struct Mounted {
    // Removed when nothing is mounted there any more.
    directory: TempDir,
}

impl Mounted {
    fn new(options: &str) -> Self {
        let mounted = Self {
            directory: TempDir::new().unwrap(),
        };
        mounted.mount(options);
        mounted
    }

    fn mount(&self, options: &str) {
        let mut command = Command::new("mount");
        command
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(self.path());
        assert!(command.status().unwrap().success());
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn server(&self) -> Server {
        let root = format!("{:?}", self.path().join("root"));
        let setup = setup().user("bob", "home = \"/alice\"");
        setup.set("storage.default.root", &root).start()
    }

    fn home(&self) -> PathBuf {
        self.path().join("root").join(USER)
    }

    fn staging(&self) -> PathBuf {
        self.path().join(".root.portcullis-staging")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // The server may be about to end.
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.path())
            .status();
    }
}

/// A removed file gives its space back when the last one who looks at it has noticed.
#[track_caller]
fn store_soon(client: &mut Client, command: &str, bytes: &[u8]) {
    eventually("there is space", || {
        client.store(command, bytes).expect_one_of(&[226, 452]).code == 226
    });
}

/// Needs to mount, so `./test` runs it where that is possible.
#[test]
#[ignore = "mounts a file system"]
fn a_mounted_file_system_that_is_full() {
    let mounted = Mounted::new("size=2m");
    let server = mounted.server();
    let mut client = server.login();
    let old = content(100_000, 1);
    client.store("STOR file", &old).expect(226);
    for command in ["STOR file", "APPE file", "STOR new"] {
        let name = command.split(' ').nth(1).unwrap();
        let reply = client.store(command, &content(4_000_000, 2));
        reply.expect(452);
        assert!(
            fs::read(mounted.home().join("file")).unwrap() == old,
            "{command}"
        );
        assert!(!mounted.home().join("new").exists());
        assert_expires(&mounted.staging());
        client.send("NOOP").expect(200);
        // From its start, or after what was kept is removed, there is room again.
        if name == "new" {
            client.send("DELE new").expect(250);
        } else {
            store_soon(&mut client, &format!("STOR {name}"), &old);
        }
        store_soon(&mut client, "STOR other", &old);
        assert_eq!(staged(&mounted.staging()), []);
        client.send("DELE other").expect(250);
    }
    let log = server.log();
    let full = log.lines().filter(|line| line.contains("broken off"));
    let full: Vec<_> = full.filter(|line| line.contains("code=452")).collect();
    // Some are repeated, until there is room again.
    assert!(full.len() >= 3, "{full:?}");
    for line in full {
        for part in [
            "WARN",
            "user=\"alice\"",
            "client=127.0.0.1:",
            "path=\"/",
            "cause=\"the storage is full",
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
    // A virus that does not fit is no virus that got through.
    let mut bytes = content(4_000_000, 3);
    bytes.splice(3_000_000..3_000_000, eicar());
    client.store("STOR virus", &bytes).expect(452);
    client.send("DELE virus").expect(250);
    store_soon(&mut client, "STOR file", &old);
    assert_eq!(fs::read_dir(mounted.home()).unwrap().count(), 1);
    // Broken uploads do not keep it full.
    for number in 0..2 {
        let name = format!("STOR broken{number}");
        broken(&mut client, &name, &content(800_000, number)).expect(426);
    }
    let bytes = content(1_500_000, 4);
    client.store("STOR whole", &bytes).expect(226);
    assert!(fs::read(mounted.home().join("whole")).unwrap() == bytes);
    drop((client, server));
}

/// Needs to mount, so `./test` runs it where that is possible.
#[test]
#[ignore = "mounts a file system"]
fn a_mounted_file_system_that_is_read_only() {
    let mounted = Mounted::new("size=2m");
    let server = mounted.server();
    let mut client = server.login();
    client.store("STOR file", b"old").expect(226);
    broken(&mut client, "STOR broken", b"half of").expect(426);
    drop(client);
    let server = server.restart(|| mounted.mount("remount,ro"));
    let mut client = server.login();
    for command in ["STOR file", "STOR new", "APPE file", "APPE broken", "STOU"] {
        let stream = client.open();
        client.send(command).expect_one_of(&[550, 553]);
        drop(stream);
        client.send("NOOP").expect(200);
        assert_eq!(client.retrieve("RETR file"), b"old");
    }
    assert_eq!(fs::read_dir(mounted.home()).unwrap().count(), 1);
    drop(client);
    let server = server.restart(|| mounted.mount("remount,rw"));
    let mut client = server.login();
    client.store("STOR file", b"new").expect(226);
    assert_eq!(client.retrieve("RETR file"), b"new");
    client.store("APPE broken", b" it").expect(226);
    assert_eq!(client.retrieve("RETR broken"), b"half of it");
    assert_eq!(staged(&mounted.staging()), []);
    drop((client, server));
}
