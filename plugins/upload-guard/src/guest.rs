//! The plugin as the server sees it.

use crate::scan;
use crate::settings::Settings;
use bindings::exports::portcullis::plugin::upload_inspection::{
    Failure, Guest, Session, Upload, Verdict,
};
use bindings::portcullis::plugin::log::{self, Level};
use bindings::portcullis::plugin::settings;

#[expect(unsafe_code, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ world: "upload-inspector", path: "../../wit" });

    export!(UploadGuard with_types_in self);
    use super::UploadGuard;
}

struct UploadGuard;

impl Guest for UploadGuard {
    fn inspect(_session: Session, upload: Upload) -> Result<Verdict, Failure> {
        // There is no standard error: without this a panic's text would be lost.
        std::panic::set_hook(Box::new(|panic| {
            log::write(Level::Error, &panic.to_string())
        }));

        let settings = Settings::parse(&settings::all()).map_err(Failure::Internal)?;
        Ok(match scan::inspect(&settings, &upload) {
            scan::Verdict::Accept => Verdict::Accept,
            scan::Verdict::Reject(reason) => Verdict::Reject(reason),
            scan::Verdict::Quarantine(reason) => Verdict::Quarantine(reason),
        })
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
}
