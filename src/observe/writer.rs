//! The log's way to standard error, journald or a file: over a thread of its own, so that nothing else
//! waits for the other end.

use std::{
    cell::Cell,
    collections::VecDeque,
    fs::File,
    io::{self, Write},
    os::{fd::AsFd, unix::net::UnixDatagram},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, poll};
use tracing_subscriber::fmt::MakeWriter;

use super::append::AppendFile;

/// Bytes of lines that may wait to be written; what comes beyond is dropped and counted.
const WAITING: usize = 1 << 20;
/// The last lines have this long to be written.
const LAST: Duration = Duration::from_secs(1);

thread_local! {
    /// Whether this is the thread that writes: the line with its count is never dropped.
    static WRITES: Cell<bool> = const { Cell::new(false) };
}

/// Takes lines, and never waits.
#[derive(Clone)]
pub(super) struct Writer(Arc<Lines>);

/// The other end.
pub(super) enum To {
    /// Standard error, without the lock of `io::stderr`, which others would wait for as well.
    Stderr(File),
    /// journald, which takes an entry in each datagram.
    Journal(UnixDatagram),
    /// A file, which has a thread and a backlog of its own.
    File(Arc<AppendFile>),
    /// Lines stay where they are.
    #[cfg(test)]
    Nowhere,
}

/// Kept until the end of the program: dropped, it waits a moment until the last lines are written.
#[must_use]
pub struct Flush {
    writer: Writer,
    /// Until there is a thread.
    to: Option<To>,
}

#[derive(Default)]
struct Lines {
    state: Mutex<Backlog>,
    changed: Condvar,
}

#[derive(Default)]
struct Backlog {
    waiting: VecDeque<Vec<u8>>,
    /// Bytes of `waiting`, and of what the thread has taken and not written yet.
    bytes: usize,
    /// Lines that were dropped since the log last said so.
    dropped: u64,
    /// And before.
    said: u64,
    /// The thread has taken lines and not written them yet.
    writing: bool,
    /// Lines go there at once.
    file: Option<Arc<AppendFile>>,
}

impl To {
    /// Standard error.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn stderr() -> io::Result<Self> {
        let stderr = io::stderr().as_fd().try_clone_to_owned()?;
        Ok(Self::Stderr(stderr.into()))
    }
}

impl Writer {
    /// Takes lines for another end.
    pub(super) fn over(to: To) -> (Self, Flush) {
        let writer = Self(Arc::default());
        let flush = Flush {
            writer: writer.clone(),
            to: Some(to),
        };
        (writer, flush)
    }

    /// Adds a line, with its end, or an entry for journald.
    pub(super) fn add(&self, line: &[u8]) {
        self.0.add(line);
    }

    /// The file, once lines go there.
    pub(super) fn file(&self) -> Option<Arc<AppendFile>> {
        self.0.state().file.clone()
    }

    /// Lines that were dropped since the start.
    pub(super) fn dropped(&self) -> u64 {
        let state = self.0.state();
        let file = state.file.as_ref().map_or(0, |file| file.dropped());
        state.said + state.dropped + file
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> VecDeque<Vec<u8>> {
        self.0.state().waiting.clone()
    }
}

impl Flush {
    /// Has the lines go to a file, and not to standard error.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(&mut self, file: &Path) -> io::Result<()> {
        self.to = Some(To::File(AppendFile::open(file, "log", |_| None)?));
        Ok(())
    }

    /// Begins to write: until now lines have waited.
    ///
    /// # Errors
    /// When there is no thread.
    pub fn start(&mut self) -> io::Result<()> {
        let Some(to) = self.to.take() else {
            return Ok(());
        };
        let lines = self.writer.0.clone();
        let spawn = |write: Box<dyn FnOnce() + Send>| {
            let thread = thread::Builder::new().name("log".into());
            thread.spawn(write).map(drop)
        };
        match to {
            To::Stderr(to) => spawn(Box::new(move || lines.write(to)))?,
            To::Journal(to) => spawn(Box::new(move || lines.write(to)))?,
            To::File(file) => {
                file.start()?;
                lines.hand_over(file);
            }
            #[cfg(test)]
            To::Nowhere => {}
        }
        Ok(())
    }
}

impl Lines {
    fn state(&self) -> MutexGuard<'_, Backlog> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, line: &[u8]) {
        let mut state = self.state();
        if let Some(file) = &state.file {
            file.add(line.strip_suffix(b"\n").unwrap_or(line));
            return;
        }
        if state.bytes.saturating_add(line.len()) > WAITING && !WRITES.get() {
            state.dropped += 1;
            return;
        }
        state.bytes += line.len();
        state.waiting.push_back(line.to_vec());
        drop(state);
        self.changed.notify_all();
    }

    /// Has all lines go to the file, those that have come first.
    fn hand_over(&self, file: Arc<AppendFile>) {
        let mut state = self.state();
        for line in std::mem::take(&mut state.waiting) {
            file.add(line.strip_suffix(b"\n").unwrap_or(&line));
        }
        state.bytes = 0;
        state.file = Some(file);
    }

    /// Writes what comes, for ever.
    fn write(&self, mut to: impl Take) {
        WRITES.set(true);
        loop {
            let mut state = self.state();
            state.writing = false;
            self.changed.notify_all();
            while state.waiting.is_empty() {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            state.writing = true;
            let lines = std::mem::take(&mut state.waiting);
            drop(state);
            let mut written = false;
            for line in lines {
                written = to.take(&line).is_ok();
                let mut state = self.state();
                state.bytes = state.bytes.saturating_sub(line.len());
                if !written {
                    state.dropped += 1;
                }
            }
            if written {
                let mut state = self.state();
                let dropped = std::mem::take(&mut state.dropped);
                state.said += dropped;
                drop(state);
                if dropped > 0 {
                    tracing::error!(
                        dropped,
                        "lines of the log were dropped: the other end did not take them in time"
                    );
                }
            }
        }
    }
}

/// Takes a line, and may wait.
trait Take {
    fn take(&mut self, line: &[u8]) -> io::Result<()>;
}

impl Take for File {
    /// Writes a line whole; standard error may be non-blocking if others share it.
    fn take(&mut self, mut line: &[u8]) -> io::Result<()> {
        while !line.is_empty() {
            match self.write(line) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => line = line.get(length..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let _ = poll(&mut [PollFd::new(&*self, PollFlags::OUT)], None);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Take for UnixDatagram {
    fn take(&mut self, entry: &[u8]) -> io::Result<()> {
        loop {
            match self.send(entry) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => return sent.map(drop),
            }
        }
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        // Lines that came before a start that failed.
        let _ = self.start();
        let lines = &self.writer.0;
        if let Some(file) = self.writer.file() {
            file.flush();
            return;
        }
        let deadline = Instant::now() + LAST;
        let mut state = lines.state();
        while state.writing || !state.waiting.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            (state, _) = lines
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl io::Write for Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{io::Read, sync::mpsc};

    use super::*;

    #[test]
    fn lines_that_nobody_reads_are_dropped_and_counted() {
        let (mut read, write) = io::pipe().unwrap();
        let (mut writer, mut flush) =
            Writer::over(To::Stderr(std::os::fd::OwnedFd::from(write).into()));
        flush.start().unwrap();
        let line = [b'x'; 999].iter().chain(b"\n").copied().collect::<Vec<_>>();
        let all = 4 * WAITING / line.len();
        for _ in 0..all {
            writer.write_all(&line).unwrap();
        }
        let dropped = writer.0.state().dropped as usize;
        assert!(dropped > all / 2 && dropped < all, "{dropped} of {all}");
        let begun = Instant::now();
        drop(flush);
        assert!(begun.elapsed() < LAST * 5, "the end waits a moment only");

        let (found, count) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = vec![0; (all - dropped) * line.len()];
            read.read_exact(&mut bytes).unwrap();
            found.send(bytes == line.repeat(all - dropped)).unwrap();
        });
        let whole = count.recv_timeout(Duration::from_secs(30)).unwrap();
        assert!(whole, "lines that are not dropped are whole and in order");
    }

    #[test]
    fn the_end_waits_for_the_last_line() {
        let (mut read, write) = io::pipe().unwrap();
        let (mut writer, mut flush) =
            Writer::over(To::Stderr(std::os::fd::OwnedFd::from(write).into()));
        flush.start().unwrap();
        writer.write_all(b"last\n").unwrap();
        drop(flush);
        let mut bytes = [0; 5];
        read.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"last\n");
        assert!(writer.0.state().waiting.is_empty());
    }
}
