//! The plugin as the server sees it.

use crate::scan;
use crate::settings::Settings;
use sdk::settings;
use sdk::settings_check::{self, Problem};
use sdk::upload_inspector::{Failure, Guest, Session, Upload, Verdict};

struct UploadGuard;
sdk::upload_inspector::export!(UploadGuard);
settings_check::export!(UploadGuard);

impl Guest for UploadGuard {
    fn inspect(_session: Session, upload: Upload) -> Result<Verdict, Failure> {
        sdk::log_panics();
        let settings = Settings::parse(&settings::all()).map_err(Failure::Internal)?;
        Ok(match scan::inspect(&settings, &upload) {
            scan::Verdict::Accept => Verdict::Accept,
            scan::Verdict::Reject(reason) => Verdict::Reject(reason),
            scan::Verdict::Quarantine(reason) => Verdict::Quarantine(reason),
        })
    }
}

impl settings_check::Guest for UploadGuard {
    fn check() -> Result<(), Vec<Problem>> {
        sdk::log_panics();
        settings_check::checked(Settings::parse(&settings::all()))
    }
}

impl scan::Upload for Upload {
    fn path(&self) -> String {
        self.path()
    }

    fn announced_size(&self) -> Option<u64> {
        self.announced_size()
    }

    fn read(&self, at_most: u32) -> Option<Vec<u8>> {
        // After an interruption the server ignores the verdict: as good as the end.
        self.read(at_most).ok().flatten()
    }

    fn drain(&self) {
        let _ = self.drain();
    }
}
