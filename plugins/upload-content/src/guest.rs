//! The plugin as the server sees it.

use crate::inspect::{self, Gone};
use crate::settings::Settings;
use sdk::settings;
use sdk::settings_check::{self, Problem};
use sdk::upload_inspector::{Failure, Guest, Session, Upload, Verdict};

struct UploadContent;
sdk::upload_inspector::export!(UploadContent);
settings_check::export!(UploadContent);

impl Guest for UploadContent {
    fn inspect(session: Session, upload: Upload) -> Result<Verdict, Failure> {
        sdk::log_panics();
        let settings = Settings::parse(&settings::all()).map_err(Failure::Internal)?;
        let user = session.user().unwrap_or_default();
        let verdict = inspect::inspect(&settings, &user, &upload).map_err(Failure::Internal)?;
        Ok(match verdict {
            inspect::Verdict::Accept => Verdict::Accept,
            inspect::Verdict::Reject(reason) => Verdict::Reject(reason),
            inspect::Verdict::Quarantine(reason) => Verdict::Quarantine(reason),
        })
    }
}

impl settings_check::Guest for UploadContent {
    fn check() -> Result<(), Vec<Problem>> {
        sdk::log_panics();
        settings_check::checked(Settings::parse(&settings::all()))
    }
}

impl inspect::Upload for Upload {
    fn path(&self) -> String {
        self.path()
    }

    fn read(&self, at_most: u32) -> Result<Option<Vec<u8>>, Gone> {
        self.read(at_most).map_err(|_| Gone)
    }

    fn drain(&self) -> Result<(), Gone> {
        self.drain().map_err(|_| Gone)
    }
}
