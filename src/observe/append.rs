//! A file that lines are appended to, by a thread of its own: nobody waits for the disk.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Bytes of lines that may wait to be written; what comes beyond is dropped and counted.
const WAITING: usize = 8 << 20;
/// How long until a file that could not be written to, or opened, is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// The last lines have this long to be written.
const LAST: Duration = Duration::from_secs(2);

/// The file, and the lines that wait for it.
pub struct AppendFile {
    path: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
    /// Makes the line that says in the file how many were dropped, where the format has one.
    gap: fn(u64) -> Option<String>,
}

#[derive(Default)]
struct State {
    file: Option<File>,
    waiting: VecDeque<Vec<u8>>,
    /// Bytes of `waiting`, and of what the thread has taken and not written yet.
    bytes: usize,
    /// Lines that were dropped since the file last said so.
    unsaid: u64,
    /// And since the start.
    dropped: u64,
    /// The file is to be opened anew: somebody has moved it away.
    reopen: bool,
    writing: bool,
    failed: bool,
}

impl AppendFile {
    /// Opens the file, or makes it: for its owner to write and its group to read.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(path: &Path, gap: fn(u64) -> Option<String>) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            path: path.to_owned(),
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
        let thread = thread::Builder::new().name("audit".into());
        thread.spawn(move || file.write()).map(drop)
    }

    /// Adds a line, without its end. Never waits for the disk.
    pub fn add(&self, line: String) {
        let mut line = line.into_bytes();
        line.push(b'\n');
        let mut state = self.state();
        if state.bytes + line.len() > WAITING {
            state.unsaid += 1;
            state.dropped += 1;
            return;
        }
        state.bytes += line.len();
        state.waiting.push_back(line);
        // The thread takes all that waits at once: only the first has to wake it.
        let first = state.waiting.len() == 1;
        drop(state);
        if first {
            self.changed.notify_all();
        }
    }

    /// Has the file opened anew, under its name, before the next line is written.
    pub fn reopen(&self) {
        self.state().reopen = true;
        self.changed.notify_all();
    }

    /// Lines that were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.state().dropped
    }

    /// Waits a moment until all is written.
    pub fn flush(&self) {
        let deadline = Instant::now() + LAST;
        let mut state = self.state();
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

    /// Writes what comes, for ever.
    fn write(&self) {
        let mut file = self.state().file.take();
        // A line that was written in part ends before the next one begins.
        let mut torn = false;
        loop {
            let mut state = self.state();
            state.writing = false;
            self.changed.notify_all();
            while state.waiting.is_empty() && !state.reopen {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            state.writing = true;
            let lines = std::mem::take(&mut state.waiting);
            if std::mem::take(&mut state.reopen) {
                file = None;
                torn = false;
            }
            let dropped = std::mem::take(&mut state.unsaid);
            drop(state);
            if file.is_none() {
                file = open(&self.path)
                    .inspect_err(|error| self.failed(error))
                    .ok();
            }
            let gap = (dropped > 0).then(|| (self.gap)(dropped)).flatten();
            let mut batch = Vec::with_capacity(lines.iter().map(Vec::len).sum());
            if torn {
                batch.push(b'\n');
            }
            if let Some(gap) = gap {
                batch.extend(gap.into_bytes());
                batch.push(b'\n');
            }
            lines.iter().for_each(|line| batch.extend(line));
            let written = match &mut file {
                Some(file) => file.write_all(&batch),
                None => Err(io::ErrorKind::NotFound.into()),
            };
            let mut state = self.state();
            state.bytes -= lines.iter().map(Vec::len).sum::<usize>().min(state.bytes);
            match written {
                Ok(()) => {
                    torn = false;
                    if std::mem::take(&mut state.failed) {
                        drop(state);
                        tracing::info!(file = %self.path.display(), "written to again");
                    }
                    if dropped > 0 {
                        tracing::error!(
                            file = %self.path.display(),
                            dropped,
                            "lines were dropped: the disk did not keep up"
                        );
                    }
                }
                Err(error) => {
                    let lost = lines.len() as u64;
                    state.unsaid += dropped + lost;
                    state.dropped += lost;
                    drop(state);
                    torn |= file.is_some();
                    self.failed(&error);
                    thread::sleep(RETRY);
                }
            }
        }
    }

    fn failed(&self, error: &io::Error) {
        if !std::mem::replace(&mut self.state().failed, true) {
            tracing::error!(
                file = %self.path.display(),
                %error,
                "the file cannot be written to, and lines are dropped; it is tried again every second"
            );
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
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
        let file = AppendFile::open(&path, gap).unwrap();
        file.start().unwrap();
        let mut all = String::new();
        for turn in 0..5 {
            for line in 0..1000 {
                file.add(format!("{turn} {line}"));
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

    /// The disk is full, or the directory is gone: it goes on when it can, and says what is missing.
    #[test]
    fn what_could_not_be_written_is_counted_and_told() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let path = inner.join("audit");
        let file = AppendFile::open(&path, gap).unwrap();
        file.start().unwrap();
        file.add("one".into());
        file.flush();
        fs::remove_dir_all(&inner).unwrap();
        file.reopen();
        file.add("two".into());
        let deadline = Instant::now() + Duration::from_secs(20);
        while file.dropped() == 0 {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(5));
        }
        fs::create_dir(&inner).unwrap();
        file.add("three".into());
        while fs::read_to_string(&path).unwrap_or_default() != "dropped 1\nthree\n" {
            assert!(Instant::now() < deadline, "{:?}", fs::read_to_string(&path));
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn no_more_waits_than_may() {
        let directory = tempfile::tempdir().unwrap();
        let file = AppendFile::open(&directory.path().join("audit"), gap).unwrap();
        let line = "x".repeat(999);
        let fits = WAITING / 1000;
        for _ in 0..fits + 10 {
            file.add(line.clone());
        }
        assert_eq!(file.dropped(), 10);
        file.start().unwrap();
        file.flush();
        let written = fs::read_to_string(directory.path().join("audit")).unwrap();
        assert!(written.starts_with("dropped 10\n"));
        assert_eq!(written.lines().count(), fits + 1);
    }
}
