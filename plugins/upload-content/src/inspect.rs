//! One upload, from its first byte to the verdict.

use crate::look::Look;
use crate::reader::{Meter, Pieces, Reader, Stop};
use crate::settings::Settings;

/// How much to ask for at a time where it is looked at as it is; and otherwise, so that what is
/// unpacked of it does not take too long.
const READ: u32 = 256 << 10;
const READ_PACKED: u32 = 4 << 10;

/// The file that a client is sending.
pub trait Upload {
    /// Where to.
    fn path(&self) -> String;
    /// The next bytes; none at the end.
    fn read(&self, at_most: u32) -> Result<Option<Vec<u8>>, Gone>;
    /// Waits for the end.
    fn drain(&self) -> Result<(), Gone>;
}

/// The client has vanished, or sends more than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// What becomes of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is taken.
    Accept,
    /// It is not, for this reason.
    Reject(String),
    /// It is kept for a person to look at, for this reason.
    Quarantine(String),
}

/// Decides as early as it can. An error is the operator's to put right.
pub fn inspect(settings: &Settings, user: &str, upload: &impl Upload) -> Result<Verdict, String> {
    let path = upload.path();
    let checks = settings.of(&path, user)?;
    let look = Look::new(checks);
    let mut file = File {
        upload,
        meter: &look.meter,
    };
    let interrupted = || Verdict::Reject("Interrupted".into());
    Ok(match look.upload(&mut Reader::new(&mut file), &path) {
        Ok(()) => Verdict::Accept,
        // Of no consequence: the server ignores it.
        Err(Stop::Gone) => interrupted(),
        Err(Stop::Refused(why)) if !checks.quarantine => Verdict::Reject(why),
        // All of it is kept.
        Err(Stop::Refused(why)) => match upload.drain() {
            Ok(()) => Verdict::Quarantine(why),
            Err(Gone) => interrupted(),
        },
    })
}

struct File<'a, U> {
    upload: &'a U,
    meter: &'a Meter,
}

impl<U: Upload> Pieces for File<'_, U> {
    fn piece(&mut self, into: &mut Vec<u8>) -> Result<bool, Stop> {
        let at_most = match self.meter.plain.get() {
            true => READ,
            false => READ_PACKED,
        };
        let Some(bytes) = self.upload.read(at_most).map_err(|Gone| Stop::Gone)? else {
            return Ok(false);
        };
        self.meter.arrived(bytes.len());
        match into.is_empty() {
            true => *into = bytes, // as a rule: nothing is copied
            false => into.extend_from_slice(&bytes),
        }
        Ok(true)
    }
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
