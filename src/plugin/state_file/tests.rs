//! The entries that the file keeps, and what a fault of the disk does to it.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
};

use super::*;

#[test]
fn values_are_there_again_and_expired_ones_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let plugin: Arc<str> = "lockout".into();
    {
        let file = StateFile::open(&path).unwrap();
        let later = SystemTime::now() + Duration::from_secs(60);
        file.note(&plugin, "a", Some(stored("1", None)));
        let counter = Stored {
            yields: true,
            ..stored("2", Some(later))
        };
        file.note(&plugin, "b", Some(counter));
        file.note(&plugin, "c", Some(stored("3", Some(UNIX_EPOCH))));
        file.note(&plugin, "d", Some(stored("4", None)));
        file.note(&"lockouts".into(), "a", Some(stored("other", None)));
        file.flush();
        file.note(&plugin, "d", None);
        assert!(StateFile::open(&path).is_err(), "one server at a time");
    }
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let file = StateFile::open(&path).unwrap();
    let values = file.read("lockout").unwrap();
    let keys: Vec<_> = values
        .iter()
        .map(|(key, stored)| (key.as_str(), stored.value.as_slice(), stored.yields))
        .collect();
    assert_eq!(keys, [("a", &b"1"[..], false), ("b", &b"2"[..], true)]);
    assert!(
        values
            .iter()
            .all(|(key, stored)| stored.until.is_some() == (key == "b"))
    );
    assert_eq!(file.read("nobody").unwrap(), []);
}

fn stored(value: &str, until: Option<SystemTime>) -> Stored {
    Stored {
        value: value.into(),
        until,
        yields: false,
    }
}

/// A file that fails as long as it is told to.
#[derive(Debug)]
struct Failing {
    file: FileBackend,
    fails: Arc<AtomicBool>,
}

impl Failing {
    fn fail(&self) -> io::Result<()> {
        match self.fails.load(SeqCst) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

impl StorageBackend for Failing {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.fail()?;
        self.file.set_len(length)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.fail()?;
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.fail()?;
        self.file.write(offset, data)
    }
}

struct Memory(Mutex<Vec<(String, Stored)>>);

impl Source for Memory {
    fn all(&self) -> Vec<(String, Stored)> {
        self.0.lock().unwrap().clone()
    }
}

#[test]
fn regression_a_file_that_failed_once_is_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let fails = Arc::new(AtomicBool::new(false));
    let opener = || -> Opener {
        let (path, fails) = (path.clone(), fails.clone());
        Box::new(move || {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            let file = FileBackend::new(file)?;
            let fails = fails.clone();
            database(Failing { file, fails })
        })
    };
    let retry = Duration::from_millis(50);
    let until = |file: &StateFile, failed: bool| {
        for _ in 0..2000 {
            if file.failed().is_some() == failed {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("failed: {:?}", file.failed());
    };
    let plugin: Arc<str> = "lockout".into();
    let value = |text: &str| stored(text, None);
    {
        let file = StateFile::with(opener(), retry).unwrap();
        for key in ["a", "gone"] {
            file.note(&plugin, key, Some(value("1")));
        }
        file.note(&"other".into(), "x", Some(value("1")));
        file.flush();
        fails.store(true, SeqCst);
        file.note(&plugin, "b", Some(value("2")));
        file.note(&plugin, "gone", None);
        file.note(&"other".into(), "y", Some(value("2")));
        until(&file, true);
        // Memory knows more than was noted: all of it is written.
        let memory = [("a", "1"), ("b", "2"), ("c", "3")];
        let memory = memory.map(|(key, text)| (key.to_owned(), value(text)));
        let source: Arc<dyn Source> = Arc::new(Memory(Mutex::new(memory.into())));
        file.keep(plugin.clone(), &source);
        fails.store(false, SeqCst);
        until(&file, false);
        file.note(&plugin, "d", Some(value("4")));
    }
    let file = StateFile::open(&path).unwrap();
    let keys = |plugin: &str| {
        let values = file.read(plugin).unwrap();
        values.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    assert_eq!(keys("lockout"), ["a", "b", "c", "d"]);
    assert_eq!(keys("other"), ["x", "y"]);
}

/// Needs to mount, so `./test` runs it where that is possible.
#[test]
#[ignore = "mounts a file system"]
fn a_mounted_file_system_that_was_full() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    let mount = |words: &[&str]| {
        let status = std::process::Command::new(words[0])
            .args(&words[1..])
            .arg(place)
            .status();
        assert!(status.unwrap().success());
    };
    mount(&["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs"]);
    let path = place.join("state.redb");
    let plugin: Arc<str> = "lockout".into();
    let memory: Vec<(String, Stored)> = (0..40)
        .map(|key| (format!("{key:02}"), stored(&"x".repeat(50_000), None)))
        .collect();
    {
        let file = StateFile::open(&path).unwrap();
        file.note(&plugin, "00", Some(memory[0].1.clone()));
        file.flush();
        // The disk is full of something else.
        let mut filler = fs::File::create(place.join("filler")).unwrap();
        while io::Write::write_all(&mut filler, &[0; 4096]).is_ok() {}
        let source: Arc<dyn Source> = Arc::new(Memory(Mutex::new(memory.clone())));
        file.keep(plugin.clone(), &source);
        for (key, stored) in &memory {
            file.note(&plugin, key, Some(stored.clone()));
        }
        file.flush();
        let (_, why) = file.failed().unwrap();
        assert!(why.contains("No space left"), "{why}");
        drop(filler);
        fs::remove_file(place.join("filler")).unwrap();
        for _ in 0..2000 {
            if file.failed().is_none() {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(file.failed(), None);
    }
    let file = StateFile::open(&path).unwrap();
    assert_eq!(file.read("lockout").unwrap(), memory);
    drop(file);
    mount(&["umount"]);
}

#[test]
fn what_is_no_database_is_said_to_be_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    fs::write(&path, "no database").unwrap();
    let error = StateFile::open(&path).err().unwrap();
    assert!(error.contains("state.redb"), "{error}");
    assert_eq!(
        fs::read(&path).unwrap(),
        b"no database",
        "it is left as it was"
    );
}
