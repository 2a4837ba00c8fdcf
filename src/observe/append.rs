//! A file that lines are appended to, by a thread of its own: nobody waits for the disk.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Bytes of lines that may wait to be written; what comes beyond is dropped and counted.
const WAITING: usize = 8 << 20;
/// A line waits as long for others to come, so that they are written with it. They are written at once when
/// the file is to be reopened, at the end, and when there are many.
const GATHER: Duration = Duration::from_millis(200);
/// This number of bytes is many.
const MANY: usize = 256 << 10;
/// How long until a file that could not be written to, or opened, is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// The last lines have this long to be written.
const LAST: Duration = Duration::from_secs(2);

/// The file, and the lines that wait for it.
pub struct AppendFile {
    path: PathBuf,
    /// The name of the thread.
    name: &'static str,
    state: Mutex<State>,
    changed: Condvar,
    /// Makes the line that says in the file how many were dropped, where the format has one.
    gap: fn(u64) -> Option<String>,
}

#[derive(Default)]
struct State {
    file: Option<File>,
    waiting: Vec<u8>,
    /// Bytes of `waiting`, and of what the thread has taken and not written yet.
    bytes: usize,
    /// Lines that were dropped since the file last said so.
    unsaid: u64,
    /// And since the start.
    dropped: u64,
    /// How often the file was to be opened anew, as somebody has moved it away; and how often it was.
    wanted: u64,
    opened: u64,
    writing: bool,
    /// Somebody waits until all is written.
    urgent: bool,
    /// The thread waits for a line, and the next one has to wake it.
    asleep: bool,
    /// Why it cannot be written to, as long as that is so.
    failure: Option<String>,
}

impl AppendFile {
    /// Opens the file, or makes it: for its owner to write and its group to read. The thread that writes
    /// gets the name.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(
        path: &Path,
        name: &'static str,
        gap: fn(u64) -> Option<String>,
    ) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            path: path.to_owned(),
            name,
            state: Mutex::new(State {
                file: Some(open(path)?),
                ..State::default()
            }),
            changed: Condvar::new(),
            gap,
        }))
    }

    /// Begins to write: until now lines have waited.
    ///
    /// # Errors
    /// When there is no thread.
    pub fn start(self: &Arc<Self>) -> io::Result<()> {
        let file = self.clone();
        let thread = thread::Builder::new().name(self.name.into());
        thread.spawn(move || file.write()).map(drop)
    }

    /// Adds a line, without its end. Never waits for the disk.
    pub fn add(&self, line: &[u8]) {
        let length = line.len() + 1;
        let mut state = self.state();
        if state.bytes + length > WAITING {
            state.unsaid += 1;
            state.dropped += 1;
            return;
        }
        let before = state.waiting.len();
        let asleep = std::mem::take(&mut state.asleep);
        state.bytes += length;
        state.waiting.extend_from_slice(line);
        state.waiting.push(b'\n');
        let behind = state.waiting.len();
        drop(state);
        // The thread takes all that waits at once: the first line wakes it, and the one that is too much to
        // wait with.
        if asleep || (before < MANY && behind >= MANY) {
            self.changed.notify_all();
        }
    }

    /// Has the file opened anew, under its name, and waits a moment until it is: from then on no line
    /// goes to the one that was moved away.
    pub fn reopen(&self) {
        let mut state = self.state();
        state.wanted += 1;
        let wanted = state.wanted;
        self.changed.notify_all();
        let _ = self
            .changed
            .wait_timeout_while(state, LAST, |state| state.opened < wanted)
            .unwrap_or_else(PoisonError::into_inner);
    }

    /// Why it cannot be written to, as long as that is so.
    pub fn failure(&self) -> Option<String> {
        self.state().failure.clone()
    }

    /// Lines that were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.state().dropped
    }

    /// Waits a moment until all is written.
    pub fn flush(&self) {
        let deadline = Instant::now() + LAST;
        let mut state = self.state();
        state.urgent = true;
        self.changed.notify_all();
        while state.writing || !state.waiting.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            (state, _) = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what comes, for ever. What cannot be written waits, and is tried again.
    fn write(&self) {
        let mut file = self.state().file.take();
        let mut taken: Vec<u8> = Vec::new();
        loop {
            let mut state = self.state();
            state.writing = !taken.is_empty();
            self.changed.notify_all();
            if taken.is_empty() {
                if state.waiting.is_empty() {
                    state.urgent = false;
                }
                state.asleep = state.waiting.is_empty();
                state = self
                    .changed
                    .wait_while(state, |state| {
                        state.waiting.is_empty() && state.opened == state.wanted
                    })
                    .unwrap_or_else(PoisonError::into_inner);
                state.asleep = false;
                (state, _) = self
                    .changed
                    .wait_timeout_while(state, GATHER, |state| {
                        !state.urgent && state.opened == state.wanted && state.waiting.len() < MANY
                    })
                    .unwrap_or_else(PoisonError::into_inner);
            }
            state.writing = true;
            match taken.is_empty() {
                // Its memory is used again.
                true => std::mem::swap(&mut taken, &mut state.waiting),
                false => taken.append(&mut state.waiting),
            }
            let (wanted, unsaid) = (state.wanted, state.unsaid);
            if state.opened < wanted {
                file = None;
            }
            drop(state);
            if file.is_none() {
                match open(&self.path) {
                    Ok(opened) => file = Some(opened),
                    Err(error) => self.failed(&error),
                }
            }
            let mut state = self.state();
            if file.is_some() {
                state.opened = wanted;
                self.changed.notify_all();
            }
            drop(state);
            let Some(open) = &mut file else {
                thread::sleep(RETRY);
                continue;
            };
            let bytes = taken.len();
            // They were dropped while these waited.
            let gap = (unsaid > 0).then(|| (self.gap)(unsaid)).flatten();
            if let Some(gap) = gap {
                taken.extend(gap.into_bytes());
                taken.push(b'\n');
            }
            if taken.is_empty() {
                continue;
            }
            match append(open, &taken) {
                Ok(()) => {
                    taken.clear();
                    // The memory of a burst is not kept for ever.
                    taken.shrink_to(MANY);
                    self.written(bytes, unsaid);
                }
                Err(error) => {
                    taken.truncate(bytes);
                    self.failed(&error);
                    thread::sleep(RETRY);
                }
            }
        }
    }

    fn written(&self, bytes: usize, unsaid: u64) {
        let mut state = self.state();
        state.bytes = state.bytes.saturating_sub(bytes);
        state.unsaid = state.unsaid.saturating_sub(unsaid);
        let failure = state.failure.take();
        drop(state);
        let file = self.path.display();
        if failure.is_some() {
            tracing::info!(%file, "written to again");
        }
        if unsaid > 0 {
            tracing::error!(%file, dropped = unsaid, "lines were dropped: the disk did not keep up");
        }
    }

    fn failed(&self, error: &io::Error) {
        let before = self.state().failure.replace(error.to_string());
        if before.is_none() {
            tracing::error!(
                file = %self.path.display(),
                %error,
                "the file cannot be written to; it is tried again every second, and lines wait as long as \
                 there is room"
            );
        }
    }
}

/// Opens the file. A line that was written in part, before the machine or the disk gave out, ends here.
fn open(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)?;
    let facts = file.metadata()?;
    if facts.is_file() && facts.len() > 0 {
        let mut last = [0];
        file.read_exact_at(&mut last, facts.len() - 1)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

/// Appends all of it, or nothing.
fn append(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    let before = file.metadata()?.len();
    file.write_all(bytes).inspect_err(|_| {
        // A full disk has taken a part.
        let _ = file.set_len(before);
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    fn gap(count: u64) -> Option<String> {
        Some(format!("dropped {count}"))
    }

    #[test]
    fn a_file_that_is_moved_away_is_opened_anew_and_no_line_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit");
        let file = AppendFile::open(&path, "append", gap).unwrap();
        file.start().unwrap();
        let mut all = String::new();
        for turn in 0..5 {
            for line in 0..1000 {
                file.add(format!("{turn} {line}").as_bytes());
            }
            let moved = directory.path().join(format!("audit.{turn}"));
            fs::rename(&path, &moved).unwrap();
            file.reopen();
            file.flush();
            all += &fs::read_to_string(&moved).unwrap();
        }
        all += &fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = all.lines().collect();
        assert_eq!(lines.len(), 5000);
        assert_eq!(lines.first(), Some(&"0 0"));
        assert_eq!(lines.last(), Some(&"4 999"));
    }

    /// The directory is gone, say: lines wait, and are there when it can go on.
    #[test]
    fn lines_that_cannot_be_written_wait() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let path = inner.join("audit");
        let file = AppendFile::open(&path, "append", gap).unwrap();
        file.start().unwrap();
        file.add(b"one");
        file.flush();
        fs::remove_dir_all(&inner).unwrap();
        file.reopen();
        file.add(b"two");
        let deadline = Instant::now() + Duration::from_secs(20);
        while file.failure().is_none() {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(5));
        }
        fs::create_dir(&inner).unwrap();
        file.add(b"three");
        while fs::read_to_string(&path).unwrap_or_default() != "two\nthree\n" {
            assert!(Instant::now() < deadline, "{:?}", fs::read_to_string(&path));
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!((file.dropped(), file.failure()), (0, None));
    }

    #[test]
    fn no_more_waits_than_may_and_what_is_missing_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let file = AppendFile::open(&directory.path().join("audit"), "append", gap).unwrap();
        let line = "x".repeat(999);
        let fits = WAITING / 1000;
        for _ in 0..fits + 10 {
            file.add(line.as_bytes());
        }
        assert_eq!(file.dropped(), 10);
        file.start().unwrap();
        file.flush();
        let written = fs::read_to_string(directory.path().join("audit")).unwrap();
        assert!(written.ends_with("x\ndropped 10\n"));
        assert_eq!(written.lines().count(), fits + 1);
    }

    #[test]
    fn a_line_that_was_torn_ends_before_the_next_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit");
        fs::write(&path, "whole\nto").unwrap();
        let file = AppendFile::open(&path, "append", gap).unwrap();
        file.start().unwrap();
        file.add(b"next");
        file.flush();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole\nto\nnext\n");
    }
}
