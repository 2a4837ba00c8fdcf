//! Rejects every upload that contains the EICAR test file, wherever in it.

wit_bindgen::generate!({ world: "checked-upload-inspector", path: "wit" });

use exports::portcullis::plugin::settings_check::{Guest as SettingsCheck, Problem};
use exports::portcullis::plugin::upload_inspection::{Failure, Guest, Session, Upload, Verdict};
use memchr::memmem::Finder;
use portcullis::plugin::log::{self, Level};
use portcullis::plugin::settings;

/// Written backwards, so that no scanner takes this plugin itself for the test file.
const RACIE: &str = "*H+H$!ELIF-TSET-SURIVITNA-DRADNATS-RACIE$}7)CC7)^P(45XZP\\4[PA@%P!O5X";
const CHUNK: u32 = 256 * 1024;

struct Scanner;
export!(Scanner);

impl Guest for Scanner {
    fn inspect(_session: Session, upload: Upload) -> Result<Verdict, Failure> {
        log_panics();
        let signature: Vec<u8> = RACIE.bytes().rev().collect();
        let finder = Finder::new(&signature);
        let overlap = signature.len() - 1;

        // The signature may lie across two chunks: the end of what came before, with the start of
        // what comes next, is searched as well.
        let mut border = Vec::new();

        // An interruption ends the loop like the end of the file: the server ignores the verdict.
        while let Ok(Some(chunk)) = upload.read(CHUNK) {
            border.extend_from_slice(&chunk[..chunk.len().min(overlap)]);
            if finder.find(&border).is_some() || finder.find(&chunk).is_some() {
                return Ok(Verdict::Reject("EICAR test file".into()));
            }
            if chunk.len() >= overlap {
                border = chunk;
            }
            border.drain(..border.len().saturating_sub(overlap));
        }
        Ok(Verdict::Accept)
    }
}

/// Asked when the plugin is loaded, so that a wrong setting is found by `portcullis check`.
impl SettingsCheck for Scanner {
    fn check() -> Result<(), Vec<Problem>> {
        // There are no settings: whatever is written there is a mistake.
        match settings::keys("").unwrap_or_default().into_iter().next() {
            None => Ok(()),
            Some(key) => Err(vec![Problem {
                key,
                reason: "there is no such setting".into(),
            }]),
        }
    }
}

/// There is no standard error here: without this a panic is a trap without a word.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        log::write(Level::Error, &panic.to_string())
    }));
}
