//! The audit: files that tell all that somebody may be asked about one day, as lines of JSON, and as
//! xferlog.

use std::{
    borrow::Cow,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use super::append::AppendFile;
use crate::{
    config::{Loaded, Problem},
    gate::{
        SessionInfo,
        event::{Event, Observer, Transfer},
        record::{Kind, Record},
    },
    startup::Startup,
    types::access::{Wanted, explain},
};

/// The most bytes of a text in a line, where a client or a plugin chose it.
const TEXT: usize = 4096;

/// The files.
#[derive(Clone, Default)]
pub struct Audit {
    events: Option<Arc<AppendFile>>,
    transfers: Option<Arc<AppendFile>>,
}

impl Audit {
    /// Opens those that are configured; a trial finds out whether it could.
    ///
    /// # Errors
    /// The file that cannot be opened, with its key.
    pub fn open(loaded: &Loaded, startup: &Startup) -> Result<Self, Problem> {
        let config = &loaded.config.audit;
        let open = |key, file: &Option<std::path::PathBuf>, gap| {
            let Some(file) = file else { return Ok(None) };
            let about = |error: io::Error| {
                let error = explain(error, file, Wanted::Make);
                loaded.problem(key, format!("{}: {error}", file.display()))
            };
            if startup.is_trial() {
                let tried = super::try_file(file, loaded, startup);
                return tried.map(|()| None).map_err(about);
            }
            AppendFile::open(file, "audit", gap)
                .map(Some)
                .map_err(about)
        };
        Ok(Self {
            events: open("audit.file", &config.file, gap)?,
            transfers: open("audit.xferlog", &config.xferlog, |_| None)?,
        })
    }

    /// Begins to write: until now lines have waited.
    ///
    /// # Errors
    /// When there is no thread.
    pub fn start(&self) -> io::Result<()> {
        self.files().try_for_each(AppendFile::start)
    }

    /// Has the files opened anew, and waits a moment for it. Blocks.
    pub fn reopen(&self) {
        self.files().for_each(|file| file.reopen());
    }

    /// Waits a moment until all is written.
    pub fn flush(&self) {
        self.files().for_each(|file| file.flush());
    }

    /// Why a file cannot be written to, as long as that is so.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.files().find_map(|file| file.failure())
    }

    /// Lines that were dropped since the start; none where nothing is written.
    #[must_use]
    pub fn dropped(&self) -> Option<u64> {
        self.files().map(|file| file.dropped()).reduce(|a, b| a + b)
    }

    /// Tells of something that an administrator did, or was refused.
    pub fn administration(&self, by: &str, action: &str, outcome: Result<&str, &str>) {
        if let Some(events) = &self.events {
            events.add(line(Record::administration(by, action, outcome)).as_bytes());
        }
    }

    fn files(&self) -> impl Iterator<Item = &Arc<AppendFile>> {
        self.events.iter().chain(&self.transfers)
    }
}

impl Observer for Audit {
    fn observe(&self, session: &SessionInfo, event: &Event<'_>) {
        if self.events.is_none() && self.transfers.is_none() {
            return;
        }
        Record::each(session, event, |record| {
            if let Some(transfers) = &self.transfers
                && let Some(line) = xferlog(session, &record)
            {
                transfers.add(line.as_bytes());
            }
            if let Some(events) = &self.events {
                let line = line(Record {
                    // A name that nobody has may be a password.
                    user: session.told_user().map(str::to_owned),
                    ..record
                });
                events.add(line.as_bytes());
            }
        });
    }
}

/// The line with its long texts cut.
fn line(mut record: Record) -> String {
    for text in [
        &mut record.user,
        &mut record.path,
        &mut record.to,
        &mut record.reason,
        &mut record.action,
    ] {
        if let Some(text) = text
            && text.len() > TEXT
        {
            *text = super::escape::cut(text, TEXT).into_owned();
        }
    }
    let line = record.line();
    match super::escape::json(&line) {
        Cow::Borrowed(_) => line,
        Cow::Owned(escaped) => escaped,
    }
}

fn gap(count: u64) -> Option<String> {
    let mut record = Record::new(Kind::EventsDropped);
    record.count = Some(count);
    Some(line(record))
}

/// The time as xferlog has it. Many lines are of the same second.
fn dated(time: jiff::Timestamp) -> String {
    static LAST: Mutex<(i64, String)> = Mutex::new((i64::MIN, String::new()));
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.0 != time.as_second() {
        *last = (
            time.as_second(),
            time.strftime("%a %b %e %H:%M:%S %Y").to_string(),
        );
    }
    last.1.clone()
}

/// A transfer as xferlog(5) of wu-ftpd and its heirs has it; none where it is none.
fn xferlog(session: &SessionInfo, record: &Record) -> Option<String> {
    let upload = Transfer::Upload.name();
    let (direction, complete) = match record.event {
        // The transfer has had its line.
        Kind::Upload if record.operation == Some("release") => return None,
        Kind::Upload => ('i', 'c'),
        Kind::Download => ('o', 'c'),
        Kind::UploadRefused | Kind::UploadQuarantined => ('i', 'i'),
        Kind::TransferFailed | Kind::Denied if record.operation == Some(upload) => ('i', 'i'),
        Kind::TransferFailed if record.operation == Some(Transfer::Download.name()) => ('o', 'i'),
        _ => return None,
    };
    let plain = |text| -> Cow<'_, str> {
        let text: &str = text;
        if text.len() <= TEXT && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Cow::Borrowed(text);
        }
        let odd = |letter: char| letter.is_whitespace() || super::escape::steers(letter);
        let letters = text.chars().take(TEXT);
        letters
            .map(|letter| if odd(letter) { '_' } else { letter })
            .collect()
    };
    let user = session.told_user().unwrap_or("?");
    let anonymous = ["anonymous", "ftp"]
        .iter()
        .any(|name| user.eq_ignore_ascii_case(name));
    let mode = if anonymous { 'a' } else { 'r' };
    Some(format!(
        "{} {} {} {} {} b _ {direction} {mode} {} ftp 0 * {complete}",
        dated(record.time),
        record.seconds.unwrap_or_default().round(),
        session.client.ip(),
        record.size.unwrap_or_default(),
        plain(record.path.as_deref().unwrap_or("?")),
        plain(user),
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ftp::path::VirtualPath;

    #[test]
    fn transfers_are_lines_of_xferlog() {
        let mut session = (*SessionInfo::nobody("1")).clone();
        session.user = Some("alice b".into());
        let path = VirtualPath::parse("/a b\u{202e}c", &VirtualPath::root()).unwrap();
        let event = Event::Downloaded {
            path: &path,
            bytes: 1234,
            lasted: Duration::from_millis(2600),
        };
        let mut lines = Vec::new();
        Record::each(&session, &event, |mut record| {
            record.time = jiff::Timestamp::from_second(0).unwrap();
            lines.extend(xferlog(&session, &record));
        });
        let line = "Thu Jan  1 00:00:00 1970 3 0.0.0.0 1234 /a_b_c b _ o r alice_b ftp 0 * c";
        assert_eq!(lines, [line]);
        session.user = Some("Anonymous".into());
        Record::each(&session, &event, |record| {
            let line = xferlog(&session, &record).unwrap();
            assert!(line.ends_with(" b _ o a Anonymous ftp 0 * c"), "{line}");
        });
        let event = Event::Deleted { path: &path };
        Record::each(&session, &event, |record| {
            assert_eq!(xferlog(&session, &record), None);
        });
    }
}
